// SPDX-License-Identifier: Apache-2.0
/* `wherry inspect WHAT`: everything the controller says about one thing. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/cmd.h"
#include "controller/cli/printer.h"
#include "controller/cli/pslist.h"
#include "controller/cli/reply.h"
#include "controller/cli/target.h"

/* One object: as text, or with -o json as it came. */
static void print_object(const struct cli *cli, const json_t *object)
{
    auto_buf struct buf out = {0};

    if (cli_wants_json(cli)) {
        (void)json_dumpf(object, cli->out.file, JSON_COMPACT);
        (void)fputc('\n', cli->out.file);
        return;
    }
    printer_put(object, 0, &out);
    (void)fputs(buf_text(&out), cli->out.file);
}

/* ---- a stack or a service ---- */

static bool has_line(const json_t *controls, const char *line)
{
    for (size_t i = 0; i < json_array_size(controls); i++) {
        if (strcmp(json_string_value(json_array_get(controls, i)), line) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether every container that has reported its controls has reported this one. */
static bool all_have(const json_t *containers, const char *line)
{
    for (size_t i = 0; i < json_array_size(containers); i++) {
        const json_t *controls = reply_list(json_array_get(containers, i), "controls");

        if (json_array_size(controls) > 0 && !has_line(controls, line)) {
            return false;
        }
    }
    return true;
}

/* Once what all have in common, or else of each what it has alone. */
static void print_lines(const struct cli *cli, const json_t *containers, const json_t *one,
                        bool common)
{
    const json_t *controls = reply_list(one, "controls");
    const char *name = reply_text(reply_object(one, "container"), "name");

    for (size_t i = 0; i < json_array_size(controls); i++) {
        const char *line = json_string_value(json_array_get(controls, i));

        if (all_have(containers, line) != common) {
            continue;
        }
        if (common) {
            cli_print(cli, TERM_PLAIN, "  %s", line);
        } else {
            cli_print(cli, TERM_PLAIN, "  %s: %s", name, line);
        }
    }
}

static void print_controls(const struct cli *cli, const json_t *containers)
{
    size_t n = json_array_size(containers);
    size_t first = 0;

    while (first < n &&
           json_array_size(reply_list(json_array_get(containers, first), "controls")) == 0) {
        first++;
    }
    if (first == n) {
        return;
    }
    (void)fputc('\n', cli->out.file);
    cli_print(cli, TERM_BOLD, "sandbox");
    print_lines(cli, containers, json_array_get(containers, first), true);
    for (size_t i = first; i < n; i++) {
        print_lines(cli, containers, json_array_get(containers, i), false);
    }
}

static void print_whole(const struct cli *cli, const json_t *inspect, bool with_controls)
{
    const json_t *containers = reply_list(inspect, "containers");
    json_t *document = json_copy((json_t *)(uintptr_t)inspect); /* shallow */

    (void)json_object_del(document, "status");
    (void)json_object_del(document, "containers");
    (void)json_object_del(document, "now_unix_ms");
    print_object(cli, document);
    json_decref(document);
    if (json_array_size(containers) == 0) {
        return;
    }
    (void)fputc('\n', cli->out.file);
    pslist_print(cli, containers, reply_number(inspect, "now_unix_ms"));
    if (with_controls) {
        print_controls(cli, containers);
    }
}

/* ---- one container ---- */

/* The containers of one slot, those being drained too. */
static int print_slot(const struct cli *cli, const json_t *inspect, const char *name, struct err *e)
{
    const json_t *list = reply_list(inspect, "containers");
    unsigned found = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        if (strcmp(reply_text(reply_object(one, "container"), "name"), name) == 0) {
            if (found++ > 0 && !cli_wants_json(cli)) {
                (void)fputc('\n', cli->out.file);
            }
            print_object(cli, one);
        }
    }
    return found > 0 ? 0 : err_say(e, ENOENT, "no container %s", name);
}

/* ---- all else ---- */

/* Named like a node or a volume? Leaves `e` alone if neither. Returns 1 if it was found. */
static int try_list(struct cli *cli, const char *path, const char *key, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    const json_t *found;
    int rc = client_get(cli->client, path, &reply, e);

    if (rc < 0) {
        return rc;
    }
    found = reply_find(reply_list(reply.json, key), "name", cli->args[0]);
    if (found != NULL) {
        print_object(cli, found);
    }
    return found != NULL;
}

static int inspect_other(struct cli *cli, struct err *e)
{
    int rc = try_list(cli, "/v1/nodes", "nodes", e);

    if (rc == 0) {
        rc = try_list(cli, "/v1/volumes", "volumes", e);
    }
    if (rc == 0) {
        return err_say(e, ENOENT, "no stack, node or volume is called %s", cli->args[0]);
    }
    return rc < 0 ? rc : 0;
}

int cmd_inspect_run(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    struct target target = {0};
    int rc = target_parse(cli->args[0], true, &target, e);

    if (rc < 0) {
        return rc;
    }
    target_add_path(&target, &path);
    rc = client_get(cli->client, buf_text(&path), &reply, e);
    if (rc == -ENOENT && target.service[0] == '\0') {
        return inspect_other(cli, e);
    }
    if (rc < 0) {
        return rc;
    }
    if (target.slot > 0) {
        return print_slot(cli, reply.json, cli->args[0], e);
    }
    if (!cli_print_json(cli, &reply)) {
        print_whole(cli, reply.json, target.service[0] != '\0');
    }
    return 0;
}
