// SPDX-License-Identifier: Apache-2.0
/* Reading what nodes have told, and saying what follows. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/askrow.h"
#include "controller/api/netcheck_priv.h"

bool netcheck_next(const struct api_part *part, size_t *at, const char *kind,
                   struct netcheck_fact *ret)
{
    while (part != NULL && askrow_take(part->rows.data, part->rows.len, at, &ret->row, &ret->len)) {
        if (strcmp(askrow_text(ret->row, ret->len, "fact"), kind) == 0) {
            ret->node = part->node;
            return true;
        }
    }
    *ret = (struct netcheck_fact){0};
    return false;
}

struct netcheck_fact netcheck_first(const struct api_part *part, const char *kind)
{
    struct netcheck_fact f;
    size_t at = 0;

    (void)netcheck_next(part, &at, kind, &f);
    return f;
}

const char *netcheck_word(const struct netcheck_fact *f, const char *key)
{
    return askrow_text(f->row, f->len, key);
}

bool netcheck_has(const struct netcheck_fact *f, const char *key)
{
    return askrow_get(f->row, f->len, key) != NULL;
}

bool netcheck_is(const struct netcheck_fact *f, const char *key, const char *value)
{
    return strcmp(netcheck_word(f, key), value) == 0;
}

unsigned long long netcheck_number(const struct netcheck_fact *f, const char *key)
{
    return askrow_number(f->row, f->len, key);
}

/* ---- saying ---- */

void netcheck_say(struct netcheck_step *s, enum netcheck_state state, const char *node,
                  const char *fmt, ...)
{
    va_list ap;

    s->state = state;
    s->node = node != NULL ? node : "";
    va_start(ap, fmt);
    (void)vsnprintf(s->text, sizeof(s->text), fmt, ap);
    va_end(ap);
}

void netcheck_mend(struct netcheck_step *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(s->mend, sizeof(s->mend), fmt, ap);
    va_end(ap);
}

void netcheck_unknown(struct netcheck_step *s)
{
    netcheck_say(s, NETCHECK_SKIPPED, NULL, "not known");
}

const char *netcheck_node(const struct netcheck_facts *f)
{
    return f->from != NULL ? f->from->node : "";
}

/* The first endpoint for which a field has this value, among those that are ready. */
struct netcheck_fact netcheck_endpoint_with(const struct netcheck_facts *f, const char *key,
                                            const char *value)
{
    struct netcheck_fact e;
    size_t at = 0;

    while (netcheck_next(f->from, &at, "endpoint", &e)) {
        if (netcheck_is(&e, "ready", "1") && netcheck_has(&e, key) && netcheck_is(&e, key, value)) {
            return e;
        }
    }
    return e;
}

struct netcheck_fact netcheck_endpoint_that_has(const struct netcheck_facts *f, const char *key)
{
    struct netcheck_fact e;
    size_t at = 0;

    while (netcheck_next(f->from, &at, "endpoint", &e)) {
        if (netcheck_has(&e, key)) {
            return e;
        }
    }
    return e;
}

/* Both sides' rules: of ours, and of others. */
const struct api_part *netcheck_part(const struct netcheck_facts *f, unsigned i)
{
    return i < f->parts->n ? &f->parts->list[i] : NULL;
}

const char *netcheck_endpoint_node(const struct netcheck_facts *f,
                                   const struct netcheck_fact *endpoint)
{
    for (unsigned i = 1; i < f->parts->n; i++) {
        if (f->parts->list[i].incarnation == netcheck_number(endpoint, "incarnation")) {
            return f->parts->list[i].node;
        }
    }
    return netcheck_word(endpoint, "address");
}
