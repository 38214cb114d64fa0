// SPDX-License-Identifier: Apache-2.0
/* One frame of a peer; the first byte says whose and when. What is taken encodes to something that
 * is taken again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What agents rely on without looking. */
static void look_at_service(const struct svc_entry *s)
{
    assert(name_is_valid(s->stack) && name_is_valid(s->service));
    assert(s->n_networks <= SVC_NETWORKS_MAX && s->n_endpoints <= SVC_ENDPOINTS_MAX);
    for (unsigned i = 0; i < s->n_networks; i++) {
        assert(svc_network_is_valid(s->networks[i].name));
        assert(i == 0 || strcmp(s->networks[i - 1].name, s->networks[i].name) < 0);
    }
    for (unsigned i = 0; i < s->n_endpoints; i++) {
        assert(s->endpoints[i].networks >> s->n_networks == 0);
        assert(i == 0 ||
               svc_key_compare(svc_key_of(&s->endpoints[i - 1]), svc_key_of(&s->endpoints[i])) < 0);
    }
    for (unsigned i = 0; i < s->n_ports; i++) {
        assert(s->ports[i].published != 0 && s->ports[i].target != 0);
    }
}

/* Onto whatever entry the message has of that service. */
static void look_at_patch(const struct svc_patch *p, const struct link_services *s)
{
    assert(name_is_valid(p->stack) && name_is_valid(p->service));
    assert(p->n_set <= SVC_ENDPOINTS_MAX && p->n_gone <= SVC_ENDPOINTS_MAX);
    for (unsigned i = 0; i < s->n_changed; i++) {
        if (svc_compare(&s->changed[i], p->stack, p->service) == 0) {
            struct svc_entry *entry = svcpatch_apply(&s->changed[i], p);

            if (entry != NULL) {
                look_at_service(entry);
            }
            free(entry);
        }
    }
}

/* Reads all text, so that the sanitizer sees it. */
static void look(const struct link_message *m)
{
    if (m->kind == LINK_REPORT) {
        for (unsigned i = 0; i < m->u.report.n; i++) {
            const struct link_observation *o = &m->u.report.list[i];

            assert(o->incarnation != 0 && o->phase >= 1 && o->phase <= LINK_PHASE_MAX);
            assert(strlen(o->reason) + strlen(o->stack) <= 2u * 4096);
            assert(o->controls == NULL || strlen(o->controls) < FRAME_MAX);
        }
    }
    if (m->kind == LINK_SERVICES) {
        for (unsigned i = 0; i < m->u.services.n_changed; i++) {
            look_at_service(&m->u.services.changed[i]);
        }
        for (unsigned i = 0; i < m->u.services.n_patched && i < 16; i++) {
            look_at_patch(&m->u.services.patched[i], &m->u.services);
        }
    }
    if (m->kind == LINK_SET_CHUNK) {
        for (unsigned i = 0; i < m->u.set_chunk.n_placements; i++) {
            assert(name_is_valid(m->u.set_chunk.placements[i].stack));
            assert(m->u.set_chunk.placements[i].revision != NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum link_side side;
    struct link_message m, again;
    struct buf bytes = {0};
    struct err e = {0};
    int rc;

    if (size < 2) {
        return 0;
    }
    side = data[0] & 1 ? LINK_AGENT : LINK_CONTROLLER;
    if (codec_link_decode(data + 1, size - 1, side, (data[0] & 2) != 0, &m, &e) < 0) {
        assert(e.text[0] != '\0');
        return 0;
    }
    look(&m);
    /* Empty envelopes of long unknown fields shrink; nothing grows beyond its cap here. */
    codec_link_encode(&m, &bytes);
    rc = codec_link_decode(bytes.data, bytes.len, side, (data[0] & 2) != 0, &again, &e);
    assert(rc == 0);
    codec_link_free(&again);
    codec_link_free(&m);
    buf_finish(&bytes);
    return 0;
}
