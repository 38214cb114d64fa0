// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/pslist.h"

#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/humane.h"
#include "controller/cli/reply.h"
#include "controller/cli/table.h"

static const struct table_column columns[] = {
    {.title = "CONTAINER"},
    {.title = "NODE"},
    {.title = "STATE"},
    {.title = "HEALTH"},
    {.title = "RESTARTS", .right = true},
    {.title = "AGE", .right = true},
    {.title = "ADDRESS"},
    {.title = "PORTS", .shrinks = true, .optional = true},
    {.title = "WHY", .shrinks = true, .optional = true},
};

static enum term_style style_of(const char *word)
{
    static const struct {
        const char *word;
        enum term_style style;
    } rows[] = {
        {"running", TERM_GOOD},  {"completed", TERM_GOOD}, {"healthy", TERM_GOOD},
        {"unhealthy", TERM_BAD}, {"failed", TERM_BAD},     {"unknown", TERM_BAD},
        {"ended", TERM_BAD},     {"orphaned", TERM_WARN},  {"pending", TERM_WARN},
        {"held", TERM_WARN},     {"starting", TERM_WARN},  {"waiting", TERM_WARN},
        {"assigned", TERM_WARN}, {"stopping", TERM_DIM},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].word, word) == 0) {
            return rows[i].style;
        }
    }
    return TERM_PLAIN;
}

static void put_or_dash(struct table *t, enum term_style style, const char *text)
{
    table_put(t, text[0] != '\0' ? style : TERM_DIM, text[0] != '\0' ? text : "-");
}

/* Of what runs, since its start; of what is over, since its end; else since it was placed. */
static uint64_t since(const json_t *c)
{
    static const char *const keys[] = {"ended_unix_ms", "started_unix_ms", "created_unix_ms"};
    bool running = strcmp(reply_text(c, "state"), "running") == 0;

    for (size_t i = running ? 1 : 0; i < ARRAY_LEN(keys); i++) {
        if (reply_number(c, keys[i]) > 0) {
            return reply_number(c, keys[i]);
        }
    }
    return 0;
}

static void put_container(struct table *t, const json_t *c, uint64_t now)
{
    const char *state = reply_text(c, "state");
    const char *health = reply_text(c, "health");
    auto_buf struct buf ports = {0};
    char age[HUMANE_MAX];

    humane_since(now, since(c), age);
    reply_ports(reply_list(c, "ports"), &ports);
    table_put(t, TERM_PLAIN, reply_text(c, "name"));
    put_or_dash(t, TERM_PLAIN, reply_text(c, "node"));
    table_put(t, style_of(state), state);
    put_or_dash(t, style_of(health), strcmp(health, "none") == 0 ? "" : health);
    table_putf(t, TERM_PLAIN, "%" PRIu64, reply_number(c, "restarts"));
    table_put(t, TERM_PLAIN, age);
    put_or_dash(t, TERM_PLAIN, reply_text(c, "address"));
    table_put(t, TERM_PLAIN, buf_text(&ports));
    table_put(t, TERM_PLAIN, reply_text(c, "why"));
}

void pslist_print(const struct cli *cli, const json_t *list, uint64_t now_unix_ms)
{
    auto_table struct table t = {0};

    table_init(&t, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const json_t *inner = reply_object(one, "container");

        put_container(&t, inner != NULL ? inner : one, now_unix_ms);
    }
    table_print(&t, &cli->out);
}
