// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/plan_write.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static void flush(struct plan_write *w)
{
    if (w->any) {
        buf_append(&w->steps, &w->last, sizeof(w->last));
    }
    w->any = false;
}

struct plan_step *plan_write_step(struct plan_write *w, enum plan_op op)
{
    flush(w);
    w->any = true;
    w->last = (struct plan_step){.op = op, .fd = -1, .fd2 = -1};
    return &w->last;
}

struct plan_ref plan_write_bytes(struct plan_write *w, const void *bytes, size_t len)
{
    static const char zeros[8];
    struct plan_ref ref;

    if (len > PLAN_BYTES_MAX || w->data.len > PLAN_BYTES_MAX) {
        w->too_big = true;
        return (struct plan_ref){0};
    }
    buf_append(&w->data, zeros, (8 - w->data.len % 8) % 8);
    ref = (struct plan_ref){.at = (uint32_t)w->data.len, .len = (uint32_t)len};
    buf_append(&w->data, bytes, len);
    return ref;
}

struct plan_ref plan_write_string(struct plan_write *w, const char *text)
{
    return plan_write_bytes(w, text, strlen(text) + 1);
}

struct plan_step *plan_write_text(struct plan_write *w, enum plan_op op, const char *text)
{
    struct plan_step *s = plan_write_step(w, op);

    s->text = plan_write_string(w, text);
    return s;
}

struct plan_step *plan_write_list(struct plan_write *w, enum plan_op op, const char *const *strings,
                                  unsigned n)
{
    struct plan_step *s = plan_write_step(w, op);
    struct buf all = {0};

    for (unsigned i = 0; i < n; i++) {
        buf_append(&all, strings[i], strlen(strings[i]) + 1);
    }
    if (n > 0) {
        s->list = plan_write_bytes(w, all.data, all.len);
    }
    s->n = n;
    buf_finish(&all);
    return s;
}

/* From offsets in the data to offsets in the plan. */
static void shift(struct plan_ref *ref, uint32_t by)
{
    if (ref->len > 0) {
        ref->at += by;
    }
}

static int lay_out(struct plan_write *w, struct buf *ret, struct err *e)
{
    size_t n = w->steps.len / sizeof(struct plan_step);
    size_t data = sizeof(struct plan_header) + w->steps.len;
    struct plan_header header = {.magic = PLAN_MAGIC,
                                 .version = PLAN_VERSION,
                                 .kind = w->kind,
                                 .bytes = (uint32_t)(data + w->data.len),
                                 .n_steps = (uint32_t)n,
                                 .deadline_ms = w->deadline_ms};

    if (w->too_big || n > PLAN_STEPS_MAX || data + w->data.len > PLAN_BYTES_MAX) {
        return err_say(e, E2BIG, "plan of %zu bytes; at most %d", data + w->data.len,
                       PLAN_BYTES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        struct plan_step *s = (struct plan_step *)w->steps.data + i;

        shift(&s->text, (uint32_t)data);
        shift(&s->text2, (uint32_t)data);
        shift(&s->list, (uint32_t)data);
    }
    buf_append(ret, &header, sizeof(header));
    buf_append(ret, w->steps.data, w->steps.len);
    buf_append(ret, w->data.data, w->data.len);
    return 0;
}

int plan_write_end(struct plan_write *w, int rc, struct buf *ret, struct err *e)
{
    assert(ret->len == 0);
    flush(w);
    if (rc == 0) {
        rc = lay_out(w, ret, e);
    }
    buf_finish(&w->steps);
    buf_finish(&w->data);
    return rc;
}
