// SPDX-License-Identifier: Apache-2.0
/* Plans and run records: the first byte says which. Whatever is accepted must be readable whole. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shim/plan.h"
#include "agent/shim/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_step(const struct plan *p, const struct plan_step *s)
{
    const char *at = p->bytes + s->list.at;
    size_t sum = strlen(plan_text(p, s->text)) + strlen(plan_text(p, s->text2));

    for (uint32_t i = 0; i < s->n; i++, at += strlen(at) + 1) {
        sum += strlen(at);
    }
    assert(s->n == 0 || at == p->bytes + s->list.at + s->list.len);
    for (uint32_t i = 0; i < s->list.len; i++) {
        sum += (uint8_t)p->bytes[s->list.at + i];
    }
    return sum;
}

static void plan(const uint8_t *data, size_t size, enum plan_kind kind)
{
    uint64_t *bytes = malloc(size + 8);
    struct plan_header *h = (struct plan_header *)bytes;
    size_t sum = 0;
    struct plan p;

    memcpy(bytes, data, size);
    if (size >= sizeof(*h)) { /* so that it gets further */
        h->magic = PLAN_MAGIC;
        h->version = PLAN_VERSION;
        h->kind = kind;
        h->bytes = (uint32_t)size;
    }
    if (plan_open(bytes, size, kind, &p, NULL) == 0) {
        for (uint32_t i = 0; i < p.header->n_steps; i++) {
            sum += read_step(&p, &p.steps[i]);
        }
    }
    assert(sum < (size_t)-1);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record record;
    struct record_exit exit;

    if (size == 0) {
        return 0;
    }
    if (data[0] % 5 < 3) {
        plan(data + 1, size - 1, (enum plan_kind)(data[0] % 5 + 1));
    } else if (data[0] % 5 == 3) {
        (void)record_parse((const char *)data + 1, size - 1, &record, NULL);
    } else {
        (void)record_exit_parse((const char *)data + 1, size - 1, &exit, NULL);
    }
    return 0;
}
