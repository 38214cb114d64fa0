// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/compose_value.h"

static const char allowed[] =
    "allowed: text for a shell, or a list that begins with CMD, CMD-SHELL, TCP, HTTP or NONE";

struct test {
    struct compose_reader *r;
    const struct compose_at *at;
    const struct compose_node *node;
    Wherry__Spec__Healthcheck *health;
};

static Wherry__Spec__Healthcheck *health_of(struct compose_reader *r, ProtobufCMessage *message)
{
    Wherry__Spec__Container *c = ((Wherry__Spec__Service *)message)->container;

    if (c->healthcheck == NULL) {
        c->healthcheck = compose_reader_message(r, &wherry__spec__healthcheck__descriptor);
    }
    return c->healthcheck;
}

static void push(const struct test *t, const char *word)
{
    compose_reader_push(t->r, &t->health->argv, &t->health->n_argv,
                        compose_reader_copy(t->r, word));
}

static void set_shell(const struct test *t, const char *text)
{
    t->health->kind = WHERRY__SPEC__PROBE_KIND__PROBE_EXEC;
    push(t, "/bin/sh");
    push(t, "-c");
    push(t, text);
}

static bool read_port(const char *text, uint32_t *ret)
{
    uint64_t value = 0;

    if (compose_value_number(text, &value, NULL) < 0 || value == 0 || value > UINT16_MAX) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

static void set_tcp(const struct test *t, const char *text)
{
    t->health->kind = WHERRY__SPEC__PROBE_KIND__PROBE_TCP;
    if (text[0] != ':' || !read_port(text + 1, &t->health->port)) {
        compose_reader_fail(t->r, t->at, t->node,
                            "\"%.100s\" is nothing to connect to (allowed: \":PORT\" of the "
                            "container, like \":5432\")",
                            text);
    }
}

/* "http://[HOST][:PORT][/PATH]": the container itself is asked; HOST is only what it is called. */
static void set_http(const struct test *t, const char *text)
{
    const char *host = text + 7, *path = host + strcspn(host, "/?");
    auto_free char *name = NULL;
    char *colon;
    struct err e;

    t->health->kind = WHERRY__SPEC__PROBE_KIND__PROBE_HTTP;
    t->health->port = 80;
    if (strncasecmp(text, "http://", 7) != 0) {
        compose_reader_fail(t->r, t->at, t->node,
                            "\"%.100s\" is no URL to ask (allowed: \"http://:PORT/PATH\")", text);
        return;
    }
    name = xstrndup(host, (size_t)(path - host));
    colon = strchr(name, ':');
    if (colon != NULL && !read_port(colon + 1, &t->health->port)) {
        compose_reader_fail(t->r, t->at, t->node, "\"%.100s\" has no port from 1 to 65535", text);
        return;
    }
    if (colon != NULL) {
        *colon = '\0';
    }
    t->health->http_host = compose_reader_copy(t->r, name);
    t->health->http_path =
        compose_tree_printf(&t->r->tree, "%s%s", path[0] == '/' ? "" : "/", path);
    if (compose_rule_http_host(name, &e) < 0 ||
        compose_rule_http_path(t->health->http_path, &e) < 0) {
        compose_reader_fail(t->r, t->at, t->node, "%s", e.text);
    }
}

/* How a list begins, how many more words it has, and what they mean. */
static const struct {
    const char *word;
    unsigned min, max;
    void (*set)(const struct test *t, const char *text);
    Wherry__Spec__ProbeKind kind;
} kinds[] = {
    {"CMD", 1, DOC_REPEATED_MAX - 1, NULL, WHERRY__SPEC__PROBE_KIND__PROBE_EXEC},
    {"CMD-SHELL", 1, 1, set_shell, WHERRY__SPEC__PROBE_KIND__PROBE_EXEC},
    {"HTTP", 1, 1, set_http, WHERRY__SPEC__PROBE_KIND__PROBE_HTTP},
    {"NONE", 0, 0, NULL, WHERRY__SPEC__PROBE_KIND__PROBE_NONE},
    {"TCP", 1, 1, set_tcp, WHERRY__SPEC__PROBE_KIND__PROBE_TCP},
};

static void read_list(const struct test *t, char **word, unsigned n)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        if (strcmp(word[0], kinds[k].word) != 0) {
            continue;
        }
        if (n - 1 < kinds[k].min || n - 1 > kinds[k].max) {
            compose_reader_fail(t->r, t->at, t->node, "%s has %u words after it (allowed: %s)",
                                word[0], n - 1,
                                kinds[k].max == 0   ? "none"
                                : kinds[k].max == 1 ? "one"
                                                    : "the command");
            return;
        }
        t->health->kind = kinds[k].kind;
        if (kinds[k].set != NULL) {
            kinds[k].set(t, word[1]);
            return;
        }
        for (unsigned i = 1; i < n; i++) {
            push(t, word[i]);
        }
        return;
    }
    compose_reader_fail(t->r, t->at, t->node, "list begins with \"%.100s\" (%s)", word[0], allowed);
}

void compose_health_test(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *up, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    struct test t = {.r = r, .at = up, .node = node, .health = health_of(r, message)};
    char **word;

    (void)row;
    if (node->kind == COMPOSE_SCALAR) {
        if (compose_reader_text(r, up, node) != NULL) {
            set_shell(&t, node->text);
        }
        return;
    }
    if (node->kind == COMPOSE_MAP || node->n == 0) {
        compose_reader_fail(r, up, node, "is %s (%s)",
                            node->kind == COMPOSE_MAP ? "a mapping" : "an empty list", allowed);
        return;
    }
    word = compose_tree_alloc(&r->tree, node->n * sizeof(*word));
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};
        const char *text = compose_reader_text(r, &at, node->entries[i].value);

        if (text == NULL || node->entries[i].value->broken) {
            return;
        }
        word[i] = compose_reader_copy(r, text);
    }
    read_list(&t, word, node->n);
}

void compose_health_disable(struct compose_reader *r, const struct compose_row *row,
                            const struct compose_at *at, const struct compose_node *node,
                            ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    bool disable = false;
    struct err e;

    (void)row;
    (void)message; /* compose_health_read asks again: it wins over the test, whatever the order */
    if (text != NULL && compose_value_flag(text, &disable, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    }
}

static bool is_disabled(const struct compose_node *node)
{
    const struct compose_node *value = compose_tree_get(node, "disable");
    bool disable = false;

    return value != NULL && value->kind == COMPOSE_SCALAR &&
           compose_value_flag(value->text, &disable, NULL) == 0 && disable;
}

void compose_health_read(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    Wherry__Spec__Container *c = ((Wherry__Spec__Service *)message)->container;

    if (compose_tree_is_null(node)) {
        return;
    }
    (void)health_of(r, message);
    compose_object_read(r, row->object, at, node, message);
    if (is_disabled(node) || c->healthcheck->kind == WHERRY__SPEC__PROBE_KIND__PROBE_NONE) {
        /* Nothing else counts then, and one meaning has one form. */
        c->healthcheck = compose_reader_message(r, &wherry__spec__healthcheck__descriptor);
        c->healthcheck->kind = WHERRY__SPEC__PROBE_KIND__PROBE_NONE;
    } else if (c->healthcheck->kind != WHERRY__SPEC__PROBE_KIND__PROBE_IMAGE) {
        compose_object_preset(r, row->object, at, node, message);
    }
}
