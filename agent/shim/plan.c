// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/plan.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

static const struct {
    const char *name;
    unsigned kinds;
} ops[PLAN_OP_N] = {
#define X(name, text, kinds) [PLAN_OP_##name] = {text, kinds},
    PLAN_OPS(X)
#undef X
};

const char *plan_op_name(unsigned op)
{
    return op < PLAN_OP_N ? ops[op].name : "unknown";
}

const char *plan_text(const struct plan *p, struct plan_ref ref)
{
    return ref.len > 0 ? p->bytes + ref.at : "";
}

/* Whether the reference lies in the data behind the steps. */
static bool in_data(const struct plan *p, struct plan_ref ref)
{
    size_t data = sizeof(struct plan_header) + p->header->n_steps * sizeof(struct plan_step);

    if (ref.len == 0) {
        return ref.at == 0;
    }
    return ref.at >= data && ref.at <= p->header->bytes && ref.len <= p->header->bytes - ref.at;
}

static bool is_text(const struct plan *p, struct plan_ref ref)
{
    return in_data(p, ref) && (ref.len == 0 || memchr(p->bytes + ref.at, '\0', ref.len) ==
                                                   (const void *)(p->bytes + ref.at + ref.len - 1));
}

/* Whether it is `n` strings one behind the other and nothing else. */
static bool is_list(const struct plan *p, struct plan_ref ref, uint32_t n)
{
    const char *at = p->bytes + ref.at;
    uint32_t found = 0;

    if (!in_data(p, ref) || n > PLAN_STRINGS_MAX || (ref.len > 0 && at[ref.len - 1] != '\0')) {
        return false;
    }
    for (uint32_t i = 0; i < ref.len; i++) {
        found += at[i] == '\0';
    }
    return found == n;
}

static bool is_bpf(const struct plan *p, struct plan_ref ref, uint32_t n)
{
    return in_data(p, ref) && n == 0 && ref.len > 0 && ref.len % 8 == 0 && ref.at % 8 == 0 &&
           ref.len / 8 <= PLAN_BPF_MAX;
}

static bool is_fd(int32_t fd)
{
    return fd == -1 || (fd > PLAN_STATUS_FD && fd < PLAN_FD_MAX);
}

/* What is wrong with a step, or NULL. */
static const char *check_step(const struct plan *p, const struct plan_step *s, enum plan_kind kind)
{
    bool list_ok = s->op == PLAN_OP_SECCOMP ? is_bpf(p, s->list, s->n) : is_list(p, s->list, s->n);

    if ((ops[s->op].kinds & 1u << (kind - 1)) == 0) {
        return "not in a plan of this kind";
    }
    if ((s->flags & ~PLAN_FLAGS_ALL) != 0) {
        return "unknown flags";
    }
    if (!is_fd(s->fd) || !is_fd(s->fd2)) {
        return "a descriptor out of range";
    }
    if (!is_text(p, s->text) || !is_text(p, s->text2) || !list_ok) {
        return "a broken reference";
    }
    return NULL;
}

static int check_header(const void *bytes, size_t len, enum plan_kind kind, struct err *e)
{
    const struct plan_header *h = bytes;

    if (len < sizeof(*h) || len > PLAN_BYTES_MAX || h->magic != PLAN_MAGIC || h->bytes != len) {
        return err_say(e, EPROTO, "plan: none, or cut short");
    }
    if (h->version != PLAN_VERSION) {
        return err_say(e, EPROTO, "plan: version %u; this program knows %d", h->version,
                       PLAN_VERSION);
    }
    if (h->kind != kind) {
        return err_say(e, EPROTO, "plan: of kind %u, not %u", h->kind, kind);
    }
    if (h->n_steps > PLAN_STEPS_MAX || h->n_steps * sizeof(struct plan_step) > len - sizeof(*h)) {
        return err_say(e, EPROTO, "plan: %u steps", h->n_steps);
    }
    return 0;
}

int plan_open(const void *bytes, size_t len, enum plan_kind kind, struct plan *ret, struct err *e)
{
    struct plan p = {.bytes = bytes, .header = bytes};
    uint32_t last = 0;
    int rc = check_header(bytes, len, kind, e);

    assert((uintptr_t)bytes % 8 == 0);
    if (rc < 0) {
        return rc;
    }
    p.steps = (const struct plan_step *)(p.bytes + sizeof(struct plan_header));
    for (uint32_t i = 0; i < p.header->n_steps; i++) {
        const struct plan_step *s = &p.steps[i];
        const char *wrong =
            s->op >= PLAN_OP_N || s->op < last ? "out of order" : check_step(&p, s, kind);

        if (wrong != NULL) {
            return err_say(e, EPROTO, "plan: step %u (%s): %s", i, plan_op_name(s->op), wrong);
        }
        last = s->op;
    }
    *ret = p;
    return 0;
}
