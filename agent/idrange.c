// SPDX-License-Identifier: Apache-2.0
#include "agent/idrange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define LINE_MAX_BYTES 1024

static void exclude(struct idrange *r, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;

    for (uint32_t i = 0; i < r->slots; i++) {
        uint64_t slot = (uint64_t)r->base + (uint64_t)i * IDRANGE_SIZE;

        if (first < slot + IDRANGE_SIZE && end > slot) {
            r->used[i] = 1;
        }
    }
}

/* The decimal number in the given field of a line, fields separated by ':'. */
static bool field(const char *line, unsigned index, uint64_t *ret)
{
    char *end;
    unsigned long long v;

    for (; index > 0; index--) {
        line = strchr(line, ':');
        if (line == NULL) {
            return false;
        }
        line++;
    }
    errno = 0;
    v = strtoull(line, &end, 10);
    if (end == line || errno != 0 || (*end != ':' && *end != '\n' && *end != '\0')) {
        return false;
    }
    *ret = v;
    return true;
}

/* One line names ids in field `at`, and how many in `at + 1` if `ranges`, else one. */
static void exclude_file(struct idrange *r, const char *etc, const char *name, unsigned at,
                         bool ranges)
{
    auto_free char *path = xasprintf("%s/%s", etc, name);
    auto_fclose FILE *f = fopen(path, "re");
    char line[LINE_MAX_BYTES];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        uint64_t first, count = 1;

        if (field(line, at, &first) && (!ranges || field(line, at + 1, &count)) &&
            first < IDRANGE_LIMIT && count <= UINT32_MAX) {
            exclude(r, first, count);
        }
    }
}

int idrange_init(struct idrange *r, uint32_t base, uint32_t count, const char *etc, struct err *e)
{
    if (count == 0 && base < IDRANGE_LIMIT) {
        count = IDRANGE_LIMIT - base;
    }
    if (base % IDRANGE_SIZE != 0 || base < IDRANGE_SIZE || count < IDRANGE_SIZE ||
        (uint64_t)base + count > IDRANGE_LIMIT) {
        return err_say(e, EINVAL,
                       "id range %u + %u: the base must be a multiple of %u, the count at least "
                       "that, and the end at most %u",
                       base, count, IDRANGE_SIZE, IDRANGE_LIMIT);
    }
    *r = (struct idrange){.base = base, .slots = count / IDRANGE_SIZE};
    r->used = xcalloc(r->slots, 1);
    exclude_file(r, etc, "subuid", 1, true);
    exclude_file(r, etc, "subgid", 1, true);
    exclude_file(r, etc, "passwd", 2, false);
    exclude_file(r, etc, "group", 2, false);
    return 0;
}

void idrange_finish(struct idrange *r)
{
    free(r->used);
    *r = (struct idrange){0};
}

uint32_t idrange_take(struct idrange *r)
{
    for (uint32_t i = 0; i < r->slots; i++) {
        uint32_t slot = (r->cursor + i) % r->slots;

        if (r->used[slot] == 0) {
            r->used[slot] = 1;
            r->cursor = (slot + 1) % r->slots;
            return r->base + slot * IDRANGE_SIZE;
        }
    }
    return 0;
}

static uint8_t *slot_of(struct idrange *r, uint32_t first)
{
    if (first < r->base || (first - r->base) / IDRANGE_SIZE >= r->slots) {
        return NULL;
    }
    return &r->used[(first - r->base) / IDRANGE_SIZE];
}

void idrange_reserve(struct idrange *r, uint32_t first)
{
    uint8_t *slot = slot_of(r, first);

    if (slot != NULL) {
        *slot = 1;
    }
}

void idrange_give(struct idrange *r, uint32_t first)
{
    uint8_t *slot = slot_of(r, first);

    if (slot != NULL) {
        *slot = 0;
    }
}
