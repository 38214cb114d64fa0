// SPDX-License-Identifier: Apache-2.0
/* Reports as envelopes: the one message with lists in a list. */
#include <string.h>

#include "common/cleanup.h"
#include "common/codec_link_priv.h"

/* ---- reports ---- */

static size_t lines_in(const char *text_or_null)
{
    size_t n = text_or_null != NULL && text_or_null[0] != '\0';

    for (const char *p = text_or_null; n > 0 && (p = strchr(p, '\n')) != NULL; p++) {
        n++;
    }
    return n;
}

/* Cuts the lines apart in a copy at `copy`; gives how much of it was used. */
static size_t controls_out(const char *controls, char **pointers, char *copy)
{
    size_t len = strlen(controls);
    char *at = copy;

    memcpy(copy, controls, len + 1);
    for (size_t i = 0; at != NULL; i++) {
        char *end = strchr(at, '\n');

        pointers[i] = at;
        if (end != NULL) {
            *end++ = '\0';
        }
        at = end;
    }
    return len + 1;
}

static void observation_out(const struct link_observation *o, Wherry__Link__Observation *msg)
{
    wherry__link__observation__init(msg);
    msg->incarnation = o->incarnation;
    msg->run = o->run;
    msg->seq = o->seq;
    msg->phase = (Wherry__Link__Phase)o->phase;
    msg->health = (Wherry__Link__Health)o->health;
    msg->exit_known = o->exit_known;
    msg->exit_code = o->exit_code;
    msg->exit_signal = o->exit_signal;
    msg->oom_killed = o->oom_killed;
    msg->restarts = o->restarts;
    msg->reason = codec_link_text(o->reason);
    msg->address = o->address;
    msg->started_unix_ms = o->started_unix_ms;
    msg->ended_unix_ms = o->ended_unix_ms;
    msg->retry_unix_ms = o->retry_unix_ms;
    msg->image_digest = codec_link_text(o->image_digest);
    msg->stack = codec_link_text(o->stack);
    msg->service = codec_link_text(o->service);
    msg->slot = o->slot;
    msg->revision = codec_link_bytes(o->revision, o->revision != NULL ? LINK_DIGEST : 0);
    msg->pid = o->pid;
}

void codec_link_report_out(const struct link_report *r, codec_link_envelope *env, struct buf *out)
{
    Wherry__Link__Report msg = WHERRY__LINK__REPORT__INIT;
    Wherry__Link__Sum sum = codec_link_sum(r->observed);
    auto_codec_link_list struct codec_link_list list =
        codec_link_list_of(r->n, sizeof(Wherry__Link__Observation));
    auto_free char **pointers = NULL;
    auto_free char *copy = NULL;
    size_t n_lines = 0, n_bytes = 0, line = 0, at = 0;

    for (unsigned i = 0; i < r->n; i++) {
        n_lines += lines_in(r->list[i].controls);
        n_bytes += r->list[i].controls != NULL ? strlen(r->list[i].controls) + 1 : 0;
    }
    pointers = xcalloc(n_lines + 1, sizeof(*pointers));
    copy = xmalloc(n_bytes + 1);
    for (unsigned i = 0; i < r->n; i++) {
        Wherry__Link__Observation *o = list.pointers[i];

        observation_out(&r->list[i], o);
        o->n_controls = lines_in(r->list[i].controls);
        if (o->n_controls > 0) {
            o->controls = pointers + line;
            at += controls_out(r->list[i].controls, o->controls, copy + at);
            line += o->n_controls;
        }
    }
    msg.all_begin = r->all_begin;
    msg.all_end = r->all_end;
    msg.observations = (Wherry__Link__Observation **)list.pointers;
    msg.n_observations = r->n;
    msg.gone = (uint64_t *)(uintptr_t)r->gone;
    msg.n_gone = r->n_gone;
    msg.observed = r->has_sum ? &sum : NULL;
    env->report = &msg;
    codec_link_put(env, LINK_REPORT, out);
}
