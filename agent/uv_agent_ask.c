// SPDX-License-Identifier: Apache-2.0
#include "agent/uv_agent_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_ask_priv.h"
#include "agent/uv_child.h"
#include "common/cleanup.h"

struct kind;

struct ask {
    struct uv_agent *agent;
    const struct kind *kind;
    void (*more)(void *arg);
    void *arg;
    struct buf rows;
    size_t at;
    struct uv_child *child; /* NULL: it has ended, or there is none */
    bool over;
    bool closed;
    char error[LINK_REASON_MAX];
};

void uv_agent_ask_word(struct ask_question *q, const char *word)
{
    struct ask_words *w = q->words;

    if (w->n < UV_AGENT_ASK_WORDS) {
        w->list[w->n++] = xstrdup(word);
    }
}

void uv_agent_ask_option(struct ask_question *q, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        uv_agent_ask_word(q, name);
        uv_agent_ask_word(q, value);
    }
}

static void words_finish(struct ask_words *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        free(w->list[i]);
    }
}

/* ---- kinds ---- */

/* How far this clock is before the controller's, which has said what time it is there. */
static void clock_offset(struct ask_question *q)
{
    uint64_t theirs = askrow_number(q->what->args, q->what->len, "now_unix_ms");
    char text[32];

    if (theirs > 0) {
        (void)snprintf(text, sizeof(text), "%lld", (long long)(uv_agent_unix_ms() - theirs));
        uv_agent_ask_option(q, "--clock-offset", text);
    }
}

static void doctor(struct ask_question *q)
{
    const struct uv_agent_options *o = &q->agent->options;
    char ids[32];

    (void)snprintf(ids, sizeof(ids), "%u:%u", o->id_base, o->id_count);
    uv_agent_ask_word(q, "doctor");
    uv_agent_ask_word(q, "--rows");
    uv_agent_ask_option(q, "--state", q->agent->dirs.state_path);
    uv_agent_ask_option(q, "--run", q->agent->dirs.run_path);
    uv_agent_ask_option(q, "--cgroup", o->cgroup_parent);
    uv_agent_ask_option(q, "--ids", o->id_count > 0 ? ids : NULL);
    uv_agent_ask_option(q, "--address", o->address);
    uv_agent_ask_option(q, "--range", q->agent->ledger.cluster_range);
    clock_offset(q);
}

static const struct kind {
    const char *name;
    void (*gather)(struct ask_question *q);
    /* Makes rows of what the process has printed; NULL: they are rows. */
    void (*found)(struct uv_agent *a, const void *out, size_t len, struct buf *rows);
} kinds[] = {
    {"doctor", doctor, NULL},
    {"net.from", uv_agent_ask_net_from, NULL},
    {"net.stats", uv_agent_ask_net_stats, uv_agent_ask_net_named},
    {"net.to", uv_agent_ask_net_to, NULL},
};

/* ---- the process ---- */

static void say(struct ask *ask)
{
    if (!ask->closed) {
        ask->more(ask->arg);
    }
}

static void on_done(void *arg, const char *out, size_t len, const char *error)
{
    struct ask *ask = arg;

    if (ask->kind->found != NULL) {
        ask->kind->found(ask->agent, out, len, &ask->rows);
    } else {
        buf_append(&ask->rows, out, len);
    }
    ask->over = true;
    (void)snprintf(ask->error, sizeof(ask->error), "%s", error);
    say(ask);
}

static void ask_free(struct ask *ask)
{
    buf_finish(&ask->rows);
    free(ask);
}

static void on_closed(void *arg)
{
    struct ask *ask = arg;
    struct uv_agent *a = ask->agent;

    ask->child = NULL;
    a->n_asks--;
    if (ask->closed) {
        ask_free(ask);
    }
    uv_agent_release(a);
}

static void start(struct ask *ask, struct ask_words *w)
{
    struct uv_child_order order = {.program = ask->agent->sweeper_program,
                                   .args = w->list,
                                   .bytes_max = UV_AGENT_ASK_BYTES,
                                   .timeout_ms = UV_AGENT_ASK_MS,
                                   .done = on_done,
                                   .closed = on_closed,
                                   .arg = ask};

    ask->agent->n_asks++;
    uv_agent_hold(ask->agent);
    uv_child_start(ask->agent->loop, &order, &ask->child);
}

/* ---- for the link ---- */

static void refuse(struct ask *ask, const char *fmt, const char *kind)
{
    ask->over = true;
    (void)snprintf(ask->error, sizeof(ask->error), fmt, kind);
}

struct ask *uv_agent_ask_open(struct uv_agent *a, const struct link_ask *what,
                              void (*more)(void *arg), void *arg)
{
    struct ask *ask = xcalloc(1, sizeof(*ask));
    struct ask_words words = {0};
    struct ask_question q = {.agent = a, .what = what, .rows = &ask->rows, .words = &words};
    size_t i = 0;

    *ask = (struct ask){.agent = a, .more = more, .arg = arg};
    while (i < ARRAY_LEN(kinds) && strcmp(kinds[i].name, what->kind) != 0) {
        i++;
    }
    if (i == ARRAY_LEN(kinds)) {
        refuse(ask, "this agent does not know the question \"%s\"", what->kind);
        return ask;
    }
    if (a->n_asks >= UV_AGENT_ASK_MAX) {
        refuse(ask, "too many questions are being answered already: %s", what->kind);
        return ask;
    }
    ask->kind = &kinds[i];
    uv_agent_ask_word(&q, "wherry-agent");
    kinds[i].gather(&q);
    if (words.n > 1) {
        start(ask, &words);
    } else {
        ask->over = true;
    }
    words_finish(&words);
    return ask;
}

bool uv_agent_ask_take(struct ask *ask, const void **ret_row, size_t *ret_len)
{
    return askrow_take(ask->rows.data, ask->rows.len, &ask->at, ret_row, ret_len);
}

bool uv_agent_ask_over(const struct ask *ask, const char **ret_error)
{
    *ret_error = ask->error;
    return ask->over;
}

void uv_agent_ask_close(struct ask *ask)
{
    if (ask == NULL) {
        return;
    }
    ask->closed = true;
    if (ask->child == NULL) {
        ask_free(ask);
    } else {
        uv_child_cancel(ask->child);
    }
}
