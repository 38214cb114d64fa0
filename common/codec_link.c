// SPDX-License-Identifier: Apache-2.0
/* The rules of the link: who may say what, when, how long. */
#include "common/codec_link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec_link_priv.h"

#define A_ROW     .from_agent = true
#define C_ROW     .from_controller = true
#define B_ROW     A_ROW, C_ROW
#define FIRST_ROW .first = true
#define LATER_ROW .later = true
#define ANY_ROW   FIRST_ROW, LATER_ROW
#define LINK_X_ROW(id, text, side, phase, max)                                                     \
    [LINK_##id] = {.name = (text), .cap = (max), side##_ROW, phase##_ROW},

const struct link_row codec_link_rows[LINK_KIND_N] = {LINK_KINDS(LINK_X_ROW)};

/* The kinds are the fields of Envelope, in their order. */
#define LINK_X_FIELD(id, text, side, phase, max)                                                   \
    static_assert(WHERRY__LINK__ENVELOPE__WHAT_##id == LINK_##id + 1, #id);
LINK_KINDS(LINK_X_FIELD)

#define LINK_X_REFUSAL_NAME(id, text) [LINK_REFUSE_##id] = (text),
static const char *const refusal_names[LINK_REFUSE_N] = {LINK_REFUSALS(LINK_X_REFUSAL_NAME)};

static const struct doc_limits narrow = {.repeated_max = DOC_REPEATED_MAX,
                                         .string_max = DOC_STRING_MAX};
static const struct doc_limits wide = {.repeated_max = DOC_WIDE_MAX, .string_max = DOC_STRING_MAX};

const char *codec_link_refusal_name(enum link_refusal code)
{
    return (unsigned)code < LINK_REFUSE_N ? refusal_names[code] : refusal_names[0];
}

int codec_link_position_compare(struct link_position a, struct link_position b)
{
    if (a.epoch != b.epoch) {
        return a.epoch < b.epoch ? -1 : 1;
    }
    return (a.revision > b.revision) - (a.revision < b.revision);
}

/* Reads a varint of at most five bytes; returns how many, 0: there is none. */
static size_t varint(const uint8_t *p, size_t len, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len && i < 5; i++) {
        value |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if ((p[i] & 0x80) == 0) {
            *ret = value;
            return i + 1;
        }
    }
    return 0;
}

/* An envelope is exactly one field with a message: so its kind is known, and judged, before
 * anything in it is looked at. */
static int kind_of(const uint8_t *p, size_t len, enum link_kind *ret, struct err *e)
{
    uint64_t tag, size;
    size_t n = varint(p, len, &tag);
    size_t m = n > 0 ? varint(p + n, len - n, &size) : 0;

    if (n == 0 || (tag & 7) != 2 || m == 0 || size != len - n - m) {
        return err_say(e, EBADMSG, "frame is no envelope with one message");
    }
    if (tag >> 3 == 0 || tag >> 3 > LINK_KIND_N) {
        return err_say(e, EBADMSG, "message is of kind %llu, which this version does not know",
                       (unsigned long long)(tag >> 3));
    }
    *ret = (enum link_kind)((tag >> 3) - 1);
    return 0;
}

static int judge(const struct link_row *row, size_t len, enum link_side from, bool greeted,
                 struct err *e)
{
    if (!(from == LINK_AGENT ? row->from_agent : row->from_controller)) {
        return err_say(e, EPROTO, "%s is not for %s to say", row->name,
                       from == LINK_AGENT ? "an agent" : "a controller");
    }
    if (!(greeted ? row->later : row->first)) {
        return err_say(e, EPROTO, "%s comes %s", row->name,
                       greeted ? "a second time" : "before the greeting");
    }
    if (len > row->cap) {
        return err_say(e, E2BIG, "%s of %zu bytes is longer than the %u allowed", row->name, len,
                       row->cap);
    }
    return 0;
}

int codec_link_decode(const void *bytes, size_t len, enum link_side from, bool greeted,
                      struct link_message *ret, struct err *e)
{
    struct link_message m = {0};
    struct codec_link_memory *memory;
    const struct link_row *row;
    int rc = kind_of(bytes, len, &m.kind, e);

    if (rc < 0) {
        return rc;
    }
    row = &codec_link_rows[m.kind];
    rc = judge(row, len, from, greeted, e);
    if (rc < 0) {
        return rc;
    }
    memory = xcalloc(1, sizeof(*memory));
    m.memory = memory;
    rc = doc_decode(&wherry__link__envelope__descriptor, bytes, len,
                    row->cap > FRAME_MAX_FIRST ? &wide : &narrow, &memory->doc, e);
    if (rc == 0) {
        rc = codec_link_in((const codec_link_envelope *)memory->doc.message, &m, e);
    }
    if (rc < 0) {
        codec_link_free(&m);
        (void)err_wrap(e, "%s", row->name);
        return rc;
    }
    *ret = m;
    return 0;
}

void codec_link_free(struct link_message *m)
{
    struct codec_link_memory *memory = m->memory;

    if (memory == NULL) {
        return;
    }
    for (unsigned i = 0; i < memory->n_arrays; i++) {
        free(memory->arrays[i]);
    }
    doc_free(&memory->doc);
    free(memory);
    m->memory = NULL;
}
