// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd_doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/doctor.h"
#include "agent/options.h"
#include "common/askrow.h"
#include "common/cleanup.h"

#define RANGE_USUAL  0x0a800000u /* 10.128.0.0/9, as the controller's --range */
#define RANGE_PREFIX 9

struct doctor_options {
    uint32_t range;
    unsigned range_prefix;
    const char *address;
    bool has_offset;
    int64_t offset_ms;
    bool rows;
};

static int set_range(void *target, const char *value, struct err *e)
{
    struct doctor_options *o = target;
    const char *slash = strchr(value, '/');
    char *end = NULL;
    struct in_addr in;
    auto_free char *net = xstrndup(value, strcspn(value, "/"));
    unsigned long prefix = slash != NULL ? strtoul(slash + 1, &end, 10) : 33;

    if (end == NULL || *end != '\0' || end == slash + 1 || prefix > 32 ||
        inet_pton(AF_INET, net, &in) != 1) {
        return err_say(e, EINVAL, "'%.80s' is no network, as 10.128.0.0/9", value);
    }
    o->range = ntohl(in.s_addr);
    o->range_prefix = (unsigned)prefix;
    return 0;
}

static int set_address(void *target, const char *value, struct err *e)
{
    struct in_addr in;

    if (inet_pton(AF_INET, value, &in) != 1) {
        return err_say(e, EINVAL, "'%.80s' is no IPv4 address", value);
    }
    ((struct doctor_options *)target)->address = value;
    return 0;
}

static int set_offset(void *target, const char *value, struct err *e)
{
    struct doctor_options *o = target;
    char *end;

    o->offset_ms = strtoll(value, &end, 10);
    o->has_offset = true;
    return *end == '\0' && end != value ? 0 : err_say(e, EINVAL, "'%.40s' is no number", value);
}

static int set_rows(void *target, const char *value, struct err *e)
{
    (void)value;
    (void)e;
    ((struct doctor_options *)target)->rows = true;
    return 0;
}

static const struct optable_row rows[] = {
    {"address", 0, "IP", "by which other hosts reach this one, as the daemon's", set_address},
    {"range", 0, "NETWORK", "the cluster's, as the controller's (default 10.128.0.0/9)", set_range},
    {"clock-offset", 0, "MS", NULL, set_offset},
    {"rows", 0, NULL, NULL, set_rows},
};

/* ---- saying it ---- */

static void put_row(const struct doctor_row *row, const struct doctor_result *result)
{
    auto_buf struct buf out = {0};

    askrow_put(&out, "id", row->id);
    askrow_put(&out, "what", row->what);
    askrow_put(&out, "state", doctor_state_name(result->state));
    askrow_put(&out, "text", result->text);
    askrow_put(&out, "mend", result->mend);
    askrow_end(&out);
    (void)fwrite(out.data, 1, out.len, stdout);
    (void)fflush(stdout);
}

static void put_text(const struct doctor_row *row, const struct doctor_result *result)
{
    (void)printf("%-9s %s: %s\n", doctor_state_name(result->state), row->what, result->text);
    if (result->mend[0] != '\0') {
        (void)printf("          mend: %s\n", result->mend);
    }
}

/* Returns whether there is a problem. */
static bool examine(const struct doctor_world *w, bool as_rows)
{
    bool problem = false;

    for (unsigned i = 0; i < doctor_rows_n; i++) {
        struct doctor_result result = {0};

        doctor_rows[i].check(w, &result);
        (as_rows ? put_row : put_text)(&doctor_rows[i], &result);
        problem |= result.state == DOCTOR_PROBLEM;
    }
    return problem;
}

static bool look(const struct options *options, const struct doctor_options *own)
{
    struct doctor_world w = {
        .proc = "/proc",
        .sys = "/sys",
        .etc = "/etc",
        .modules = "/lib/modules",
        .state_path = options->state_path,
        .id_base = options->id_base,
        .id_count = options->id_count,
        .range = own->range,
        .range_prefix = own->range_prefix,
        .has_offset = own->has_offset,
        .clock_offset_ms = own->offset_ms,
    };
    struct in_addr in;
    bool problem;

    if (own->address != NULL && inet_pton(AF_INET, own->address, &in) == 1) {
        w.address = ntohl(in.s_addr);
    }
    doctor_world_look(&w, "nft");
    problem = examine(&w, own->rows);
    doctor_world_finish(&w);
    return problem;
}

int cmd_doctor_main(int argc, char **argv)
{
    struct options options;
    struct doctor_options own = {.range = RANGE_USUAL, .range_prefix = RANGE_PREFIX};
    struct optable_group groups[] = {
        {"What is looked at", rows, ARRAY_LEN(rows), &own},
        {"On this host", options_node_rows, options_node_rows_n, &options},
    };
    struct err e = {0};
    int first = argc;
    bool problem;
    int rc;

    options_init(&options);
    rc = optable_parse(groups, ARRAY_LEN(groups), argc, argv, &first, &e);
    if (rc == OPTABLE_HELP) {
        (void)puts(
            "usage: wherry-agent doctor [--address IP] [--state DIR] …\n\n"
            "Looks whether this host has what containers and their network need and whether\n"
            "something is in their way; changes nothing. Each line that is not ok is followed\n"
            "by the command that mends it. Exit code 1 if there is a problem.\n");
        optable_help(groups, ARRAY_LEN(groups), stdout);
        return 0;
    }
    if (rc < 0 || first < argc) {
        (void)fprintf(stderr, "wherry-agent doctor: %s\n", rc < 0 ? e.text : "takes no argument");
        return OPTIONS_EXIT_USAGE;
    }
    problem = look(&options, &own);
    options_finish(&options);
    return problem && !own.rows ? 1 : 0;
}
