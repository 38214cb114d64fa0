// SPDX-License-Identifier: Apache-2.0
/* What nodes say together: their rows become messages by the names of the fields. */
#include <stdlib.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"
#include "controller/api/codec_api_priv.h"
#include "controller/api/netcheck.h"

/* Sets the fields of a message that a row has values for; others are not there for it. */
static void fill(ProtobufCMessage *message, const void *row, size_t len)
{
    const char *key, *value;
    size_t at = 0;

    while (askrow_next(row, len, &at, &key, &value)) {
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(message->descriptor, key);
        char *place = f != NULL ? (char *)message + f->offset : NULL;

        if (f == NULL || f->label == PROTOBUF_C_LABEL_REPEATED) {
            continue;
        }
        if (f->type == PROTOBUF_C_TYPE_STRING) {
            *(char **)(void *)place = codec_api_borrow(value);
        } else if (f->type == PROTOBUF_C_TYPE_UINT64) {
            *(uint64_t *)(void *)place = askrow_number(row, len, key);
        }
    }
}

static void put_unasked(struct codec_api_pool *pool, const struct api_parts *parts, size_t *ret_n,
                        Wherry__Api__Unasked ***ret_list)
{
    Wherry__Api__Unasked **list = codec_api_alloc(pool, parts->n, sizeof(*list));
    size_t n = 0;

    for (unsigned i = 0; i < parts->n; i++) {
        if (parts->list[i].error[0] != '\0') {
            Wherry__Api__Unasked *one = codec_api_alloc(pool, 1, sizeof(*one));

            wherry__api__unasked__init(one);
            one->node = codec_api_borrow(parts->list[i].node);
            one->error = codec_api_borrow(parts->list[i].error);
            list[n++] = one;
        }
    }
    *ret_n = n;
    *ret_list = list;
}

static size_t count_rows(const struct api_parts *parts)
{
    size_t n = 0;

    for (unsigned i = 0; i < parts->n; i++) {
        const struct buf *rows = &parts->list[i].rows;
        const void *row;
        size_t at = 0, len;

        while (askrow_take(rows->data, rows->len, &at, &row, &len)) {
            n++;
        }
    }
    return n;
}

/* One message for every row; all of them have a field `node`, whose value is not the node's to
 * say. */
static void **messages_of(struct codec_api_pool *pool, const struct api_parts *parts,
                          const ProtobufCMessageDescriptor *type, size_t *ret_n)
{
    const ProtobufCFieldDescriptor *node =
        protobuf_c_message_descriptor_get_field_by_name(type, "node");
    void **list = codec_api_alloc(pool, count_rows(parts), sizeof(*list));
    size_t n = 0;

    for (unsigned i = 0; i < parts->n; i++) {
        const struct buf *rows = &parts->list[i].rows;
        const void *row;
        size_t at = 0, len;

        while (askrow_take(rows->data, rows->len, &at, &row, &len)) {
            char *m = codec_api_alloc(pool, 1, type->sizeof_message);

            type->message_init((ProtobufCMessage *)(void *)m);
            fill((ProtobufCMessage *)(void *)m, row, len);
            *(char **)(void *)(m + node->offset) = codec_api_borrow(parts->list[i].node);
            list[n++] = m;
        }
    }
    *ret_n = n;
    return list;
}

void codec_api_doctor(const struct api_parts *parts, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    Wherry__Api__Doctor m = WHERRY__API__DOCTOR__INIT;

    m.findings = (Wherry__Api__Finding **)messages_of(
        &pool, parts, &wherry__api__finding__descriptor, &m.n_findings);
    put_unasked(&pool, parts, &m.n_unasked, &m.unasked);
    codec_api_emit(&m.base, out);
}

void codec_api_net_stats(const struct api_parts *parts, struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    Wherry__Api__NetStats m = WHERRY__API__NET_STATS__INIT;

    m.containers = (Wherry__Api__Traffic **)messages_of(
        &pool, parts, &wherry__api__traffic__descriptor, &m.n_containers);
    put_unasked(&pool, parts, &m.n_unasked, &m.unasked);
    codec_api_emit(&m.base, out);
}

void codec_api_net_check(const struct api_gather *what, const struct api_parts *parts,
                         struct buf *out)
{
    auto_pool struct codec_api_pool pool = {0};
    auto_free struct netcheck_step *steps = xcalloc(NETCHECK_STEPS_MAX, sizeof(*steps));
    unsigned n = netcheck_judge(what, parts, steps);
    const struct netcheck_step *broken = netcheck_broken(steps, n);
    Wherry__Api__NetCheck m = WHERRY__API__NET_CHECK__INIT;

    m.from = codec_api_borrow(what->from);
    m.to = codec_api_borrow(what->to);
    m.port = what->port;
    m.steps = codec_api_alloc(&pool, n, sizeof(*m.steps));
    for (unsigned i = 0; i < n; i++) {
        Wherry__Api__CheckStep *one = codec_api_alloc(&pool, 1, sizeof(*one));

        wherry__api__check_step__init(one);
        one->id = codec_api_borrow(steps[i].id);
        one->what = codec_api_borrow(steps[i].what);
        one->state = codec_api_borrow(netcheck_state_name(steps[i].state));
        one->node = codec_api_borrow(steps[i].node);
        one->text = codec_api_borrow(steps[i].text);
        one->mend = codec_api_borrow(steps[i].mend);
        m.steps[m.n_steps++] = one;
    }
    m.broken = codec_api_borrow(broken != NULL ? broken->id : "");
    m.text = broken != NULL ? codec_api_text(&pool, "broken at: %s: %s", broken->what, broken->text)
             : netcheck_reaches(steps, n)
                 ? codec_api_text(&pool, "%s reaches %s", what->from, what->to)
                 : codec_api_text(&pool, "nothing is broken as far as was looked at; give a port "
                                         "to have a connection tried");
    m.mend = codec_api_borrow(broken != NULL ? broken->mend : "");
    put_unasked(&pool, parts, &m.n_unasked, &m.unasked);
    codec_api_emit(&m.base, out);
}
