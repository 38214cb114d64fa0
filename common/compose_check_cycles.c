// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/compose_check_priv.h"

enum colour { WHITE, GREY, BLACK };

/* A walk in depth with its own stack: a service that is met again while it is on the stack waits
 * for itself. */
struct walk {
    const Wherry__Spec__Stack *stack;
    unsigned char *colour;
    unsigned *path;
    size_t *next; /* which dependency of each comes next */
    unsigned depth;
};

static int by_name(const void *key, const void *element)
{
    const Wherry__Spec__Service *const *service = element;

    return strcmp(key, (*service)->name);
}

/* Services are sorted by name. -1: there is none of that name. */
static long find(const Wherry__Spec__Stack *stack, const char *name)
{
    Wherry__Spec__Service **found =
        bsearch(name, stack->services, stack->n_services, sizeof(Wherry__Spec__Service *), by_name);

    return found != NULL ? (long)(found - stack->services) : -1;
}

static int say_cycle(struct compose_check *c, const struct walk *w, unsigned again)
{
    auto_buf struct buf way = {0};
    unsigned from = 0;

    while (w->path[from] != again) {
        from++;
    }
    for (unsigned i = from; i < w->depth && way.len < 300; i++) {
        buf_printf(&way, "%s -> ", w->stack->services[w->path[i]]->name);
    }
    buf_puts(&way, w->stack->services[again]->name);
    (void)snprintf(c->path, sizeof(c->path), "services.%s", w->stack->services[again]->name);
    return compose_check_say(c, "depends_on", "services wait for each other: %s", buf_text(&way));
}

static void push(struct walk *w, unsigned service)
{
    w->colour[service] = GREY;
    w->path[w->depth++] = service;
}

static int walk_from(struct compose_check *c, struct walk *w, unsigned start)
{
    push(w, start);
    while (w->depth > 0) {
        unsigned at = w->path[w->depth - 1];
        const Wherry__Spec__Service *service = w->stack->services[at];
        long to;

        if (w->next[at] == service->n_depends_on) {
            w->colour[at] = BLACK;
            w->depth--;
            continue;
        }
        to = find(w->stack, service->depends_on[w->next[at]++]->service);
        if (to >= 0 && w->colour[to] == GREY) {
            return say_cycle(c, w, (unsigned)to);
        }
        if (to >= 0 && w->colour[to] == WHITE) {
            push(w, (unsigned)to);
        }
    }
    return 0;
}

int compose_check_cycles(struct compose_check *c, const Wherry__Spec__Stack *stack)
{
    size_t n = stack->n_services;
    auto_free unsigned char *colour = xcalloc(n, 1);
    auto_free unsigned *path = xcalloc(n, sizeof(*path));
    auto_free size_t *next = xcalloc(n, sizeof(*next));
    struct walk w = {.stack = stack, .colour = colour, .path = path, .next = next};

    for (unsigned i = 0; i < n; i++) {
        int rc = colour[i] == WHITE ? walk_from(c, &w, i) : 0;

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
