// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd_run.h"

#include <stdio.h>
#include <unistd.h>

#include "agent/codec_run.h"
#include "agent/options.h"
#include "agent/runspec.h"
#include "agent/uv_run.h"
#include "common/cleanup.h"
#include "common/log.h"

static const char usage_text[] =
    "usage: wherry-agent run --image IMAGE [options] [-- COMMAND [ARG…]]\n"
    "       wherry-agent run --attach [--name NAME] [--tail LINES]\n"
    "\n"
    "Runs one container without a controller, shows its output, ends with its exit code (128 and\n"
    "the number of the signal that killed it; 125: it could not be run), and removes it. SIGINT\n"
    "and SIGTERM stop it; a second one leaves it running.\n"
    "\n"
    "A container outlives this command: when it is killed, the container goes on and its output\n"
    "is kept. `run --attach` finds it again: same process, output from where it is now.\n";

static const char state_text[] = "\nA state directory belongs to one agent at a time; beside a "
                                 "running daemon, use another one.\n";

struct command {
    struct options options;
    struct runspec spec;
    struct optable_group groups[2];
};

static void init(struct command *c)
{
    options_init(&c->options);
    c->options.level = LOG_LEVEL_ERROR; /* what went wrong is said in one sentence at the end */
    runspec_init(&c->spec);
    c->groups[0] = (struct optable_group){
        .title = "Container", .rows = runspec_rows, .n = runspec_rows_n, .target = &c->spec};
    c->groups[1] = (struct optable_group){.title = "Node",
                                          .rows = options_node_rows,
                                          .n = options_node_rows_n,
                                          .target = &c->options};
}

static int parse(struct command *c, int argc, char **argv, struct err *e)
{
    int first = argc;
    int rc = optable_parse(c->groups, ARRAY_LEN(c->groups), argc, argv, &first, e);

    if (rc != 0) {
        return rc;
    }
    c->spec.argv = argv + first;
    c->spec.argc = (unsigned)(argc - first);
    rc = runspec_check(&c->spec, e);
    return rc < 0 ? rc : options_complete(&c->options, e);
}

static int run(const struct command *c)
{
    auto_buf struct buf document = {0};
    char name[32];
    struct uv_run_options options = {.node = &c->options,
                                     .name = c->spec.name,
                                     .attach = c->spec.attach,
                                     .detach = c->spec.detach,
                                     .tail_all = c->spec.tail_all,
                                     .tail = c->spec.tail};

    if (!c->spec.attach) {
        codec_run_encode(&c->spec, &document);
        options.container = buf_text(&document);
        options.container_len = document.len;
    }
    if (!c->spec.attach && options.name == NULL) {
        (void)snprintf(name, sizeof(name), "run-%d", (int)getpid());
        options.name = name;
    }
    return uv_run_container(&options);
}

int cmd_run_main(int argc, char **argv)
{
    struct command *c = xcalloc(1, sizeof(*c));
    struct err e = {0};
    int rc;

    init(c);
    rc = parse(c, argc, argv, &e);
    if (rc == OPTABLE_HELP) {
        (void)fputs(usage_text, stdout);
        optable_help(c->groups, ARRAY_LEN(c->groups), stdout);
        (void)fputs(state_text, stdout);
        rc = 0;
    } else if (rc < 0) {
        (void)fprintf(stderr, "wherry-agent run: %s\n", e.text);
        rc = OPTIONS_EXIT_USAGE;
    } else {
        log_init("wherry-agent", c->options.level);
        rc = run(c);
    }
    runspec_finish(&c->spec);
    options_finish(&c->options);
    free(c);
    return rc;
}
