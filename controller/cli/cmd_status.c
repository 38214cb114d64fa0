// SPDX-License-Identifier: Apache-2.0
/* `wherry status`: everything at a glance, and why it is not as wanted. */
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/imageref.h"
#include "controller/cli/cmd.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"

static const struct table_column columns[] = {
    {.title = "  SERVICE"},
    {.title = "IMAGE", .shrinks = true},
    {.title = "WANTED", .right = true},
    {.title = "RUNNING", .right = true},
    {.title = "HEALTHY", .right = true},
    {.title = "RESTARTS", .right = true},
    {.title = "PORTS", .shrinks = true, .optional = true},
    {.title = "STATE"},
};

/* ---- nodes ---- */

static void print_nodes(const struct cli *cli, const json_t *status)
{
    static const struct {
        const char *key, *word;
        enum term_style style;
    } kinds[] = {{"nodes_ready", "ready", TERM_GOOD},
                 {"nodes_unknown", "unknown", TERM_BAD},
                 {"nodes_expected", "expected", TERM_WARN},
                 {"nodes_lost", "lost", TERM_DIM}};
    uint64_t nodes = reply_number(status, "nodes");
    auto_buf struct buf line = {0};

    if (nodes == 0) {
        cli_print(cli, TERM_WARN, "no nodes; start wherry-agent on a host");
        return;
    }
    buf_printf(&line, "%" PRIu64 " node%s:", nodes, nodes == 1 ? "" : "s");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        auto_free char *part =
            xasprintf("%" PRIu64 " %s", reply_number(status, kinds[i].key), kinds[i].word);

        if (reply_number(status, kinds[i].key) > 0) {
            buf_puts(&line, buf_text(&line)[line.len - 1] == ':' ? " " : ", ");
            term_paint(&cli->out, kinds[i].style, part, &line);
        }
    }
    (void)fprintf(cli->out.file, "%s\n", buf_text(&line));
}

/* ---- services ---- */

static bool is_job(const json_t *service)
{
    return strstr(reply_text(service, "mode"), "job") != NULL;
}

/* "2 pending, 1 unknown": what keeps a service from being as wanted. */
static void say_counts(const json_t *service, struct buf *out)
{
    static const char *const keys[] = {"failed",   "unknown",  "pending",
                                       "outdated", "stopping", "orphans"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        uint64_t n = reply_number(service, keys[i]);

        if (n > 0) {
            buf_printf(out, "%s%" PRIu64 " %s", out->len > 0 ? ", " : "", n, keys[i]);
        }
    }
}

static enum term_style say_state(const json_t *service, struct buf *out)
{
    if (reply_flag(service, "converged")) {
        buf_puts(out, is_job(service) && reply_number(service, "completed") > 0 ? "completed"
                                                                                : "as wanted");
        return TERM_GOOD;
    }
    say_counts(service, out);
    if (reply_flag(service, "failing")) {
        buf_puts(out, out->len > 0 ? ", failing" : "failing");
        return TERM_BAD;
    }
    if (out->len == 0) {
        buf_puts(out, "starting");
    }
    return TERM_WARN;
}

static void put_number(struct table *t, uint64_t n, uint64_t wanted)
{
    table_putf(t, n < wanted ? TERM_WARN : TERM_PLAIN, "%" PRIu64, n);
}

#define DIGITS_SHOWN 12 /* of a digest: as much as anybody compares by eye */

static void put_image(struct table *t, const char *image)
{
    const char *name = imageref_short(image);
    const char *digest = strstr(name, "sha256:");

    if (digest == NULL) {
        table_put(t, TERM_PLAIN, name);
    } else {
        table_putf(t, TERM_PLAIN, "%.*s", (int)(digest - name + 7 + DIGITS_SHOWN), name);
    }
}

static void put_service(struct table *t, const json_t *service)
{
    uint64_t wanted = reply_number(service, "wanted");
    uint64_t expected = is_job(service) ? 0 : wanted;
    auto_buf struct buf ports = {0};
    auto_buf struct buf state = {0};
    enum term_style style = say_state(service, &state);

    reply_ports(reply_list(service, "ports"), &ports);
    table_putf(t, TERM_PLAIN, "  %s", reply_text(service, "name"));
    put_image(t, reply_text(service, "image"));
    put_number(t, wanted, 0);
    put_number(t, reply_number(service, "running"), expected);
    if (reply_flag(service, "has_probe")) {
        put_number(t, reply_number(service, "healthy"), expected);
    } else {
        table_put(t, TERM_DIM, "-");
    }
    put_number(t, reply_number(service, "restarts"), 0);
    table_put(t, TERM_PLAIN, buf_text(&ports));
    table_put(t, style, buf_text(&state));
}

static void print_stack(const struct cli *cli, const json_t *stack, uint64_t now)
{
    const json_t *services = reply_list(stack, "services");
    auto_table struct table t = {0};
    char age[HUMANE_MAX];

    humane_since(now, reply_number(stack, "applied_unix_ms"), age);
    if (reply_flag(stack, "stored")) {
        cli_print(cli, TERM_BOLD, "%s (revision %" PRIu64 ", applied %s ago)",
                  reply_text(stack, "name"), reply_number(stack, "revision"), age);
    } else {
        cli_print(cli, TERM_BOLD, "%s (%s)", reply_text(stack, "name"),
                  "not stored: being removed, or known by its containers alone");
    }
    table_init(&t, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(services); i++) {
        put_service(&t, json_array_get(services, i));
    }
    table_print(&t, &cli->out);
}

/* ---- all of it ---- */

#define PROBLEMS_SHOWN 20u

static void print_problems(const struct cli *cli, const json_t *status)
{
    const json_t *problems = reply_list(status, "problems");
    size_t n = json_array_size(problems);
    const char *brake = reply_text(status, "brake"); /* among the problems too */

    if (n == 0) {
        cli_print(cli, TERM_GOOD, "everything is as wanted");
        return;
    }
    cli_print(cli, TERM_BOLD, "what is wrong");
    for (size_t i = 0; i < n && i < PROBLEMS_SHOWN; i++) {
        const char *text = json_string_value(json_array_get(problems, i));

        text = text != NULL ? text : "";
        cli_print(cli, strcmp(text, brake) == 0 ? TERM_BAD : TERM_PLAIN, "  %s", text);
    }
    if (n > PROBLEMS_SHOWN) {
        cli_print(cli, TERM_PLAIN, "  and more: wherry ps says it of each container");
    }
}

static void print_notes(const struct cli *cli, const json_t *notes)
{
    for (size_t i = 0; i < json_array_size(notes); i++) {
        const char *text = json_string_value(json_array_get(notes, i));

        cli_print(cli, TERM_DIM, "%s", text != NULL ? text : "");
    }
}

static void print_status(const struct cli *cli, const json_t *status)
{
    const json_t *stacks = reply_list(status, "stacks");

    print_nodes(cli, status);
    print_notes(cli, reply_list(status, "notes"));
    for (size_t i = 0; i < json_array_size(stacks); i++) {
        (void)fputc('\n', cli->out.file);
        print_stack(cli, json_array_get(stacks, i), reply_number(status, "now_unix_ms"));
    }
    (void)fputc('\n', cli->out.file);
    if (json_array_size(stacks) == 0) {
        cli_print(cli, TERM_PLAIN, "no stacks; wherry apply -f compose.yaml");
    }
    if (json_array_size(stacks) > 0 || json_array_size(reply_list(status, "problems")) > 0) {
        print_problems(cli, status);
    }
}

int cmd_status_run(struct cli *cli, struct err *e)
{
    auto_reply struct client_reply reply = {0};
    auto_buf struct buf path = {0};
    int rc;

    buf_puts(&path, "/v1/status");
    if (cli->n_args > 0) {
        client_query_add(&path, "stack", cli->args[0]);
    }
    rc = client_get(cli->client, buf_text(&path), &reply, e);
    if (rc == 0 && !cli_print_json(cli, &reply)) {
        print_status(cli, reply.json);
    }
    return rc;
}
