// SPDX-License-Identifier: Apache-2.0
/* Requests that change something: what they ask of the fleet, and what its reply says. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_check.h"
#include "controller/api/api_priv.h"
#include "controller/api/codec_api.h"

#define WARNINGS_MAX 8u

static struct api_ask *ask(struct api_call *call, enum fleet_event_type type)
{
    call->ret->kind = API_ASK;
    call->ret->ask.type = type;
    return &call->ret->ask;
}

static void text_to(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from);
}

/* ---- apply ---- */

static bool has_asked(void *arg, const char *service)
{
    return arg != NULL || service != NULL; /* all */
}

static unsigned services_kept(const struct codec_want *now, const struct codec_want *want)
{
    const struct fleet_stack_want *before = codec_want_stack(now);
    unsigned n = 0;

    for (unsigned i = 0; i < before->n_wants; i++) {
        n += codec_want_service(want, before->wants[i].service) == NULL;
    }
    return n;
}

/* Services that are kept beside those asked for stay in the stored document: together they must
 * fit too. */
static bool fits(struct api_call *call, const struct codec_want *want, bool prune)
{
    const struct docs_stack *now = docs_stack(call->world->docs, codec_want_stack(want)->name);
    auto_buf struct buf merged = {0};
    unsigned kept;

    if (now == NULL || prune) {
        return true;
    }
    kept = services_kept(now->want, want);
    if (kept + codec_want_stack(want)->n_wants > FLEET_SERVICES_MAX) {
        api_error(call->ret, "too_many",
                  "with the %u services that are kept, stack %s would have more than %u: remove "
                  "some, or apply with prune",
                  kept, now->name, FLEET_SERVICES_MAX);
        return false;
    }
    codec_want_merge(now->want, want, now->name, has_asked, NULL, &merged);
    if (merged.len <= CODEC_WANT_MERGED_MAX) {
        return true;
    }
    api_error(call->ret, "too_large",
              "with the services that are kept, the document of stack %s would have %zu bytes (at "
              "most %u): remove some, or apply with prune",
              now->name, merged.len, CODEC_WANT_MERGED_MAX);
    return false;
}

void api_change_apply(struct api_call *call)
{
    struct codec_want *want = NULL;
    struct err e = {0};
    bool prune;

    if (!api_param_flag(call, "prune", &prune)) {
        return;
    }
    if (codec_want_decode(call->request->body, call->request->len, &want, &e) < 0 ||
        compose_check(codec_want_document(want), &e) < 0) {
        api_error(call->ret, e.code == -E2BIG ? "too_large" : "bad_request", "%s", e.text);
    } else if (strcmp(codec_want_stack(want)->name, call->parts[0]) != 0) {
        api_error(call->ret, "bad_request", "the document is of stack %s, the path of %s",
                  codec_want_stack(want)->name, call->parts[0]);
    } else if (fits(call, want, prune)) {
        struct api_ask *a = ask(call, FLEET_APPLY);

        text_to(a->stack, sizeof(a->stack), call->parts[0]);
        a->prune = prune;
        a->want = take_ptr(want);
    }
    codec_want_free(want);
}

/* ---- the others ---- */

void api_change_delete(struct api_call *call)
{
    int stack, service;
    struct api_ask *a;

    if (api_find(call, call->parts[0], call->parts[1], &stack, &service)) {
        a = ask(call, FLEET_DELETE);
        text_to(a->stack, sizeof(a->stack), call->parts[0]);
        text_to(a->service, sizeof(a->service), call->parts[1]);
    }
}

void api_change_lost(struct api_call *call)
{
    struct api_ask *a = ask(call, FLEET_NODE_LOST);

    text_to(a->name, sizeof(a->name), call->parts[0]);
}

void api_change_forget(struct api_call *call)
{
    struct api_ask *a = ask(call, FLEET_VOLUME_FORGET);

    text_to(a->name, sizeof(a->name), call->parts[0]);
}

/* ---- replies ---- */

static const char *code_of(enum fleet_result result)
{
    switch (result) {
    case FLEET_NOT_FOUND:
        return "not_found";
    case FLEET_CONFLICT:
        return "conflict";
    case FLEET_TOO_MANY:
        return "too_many";
    case FLEET_OK:
    case FLEET_UNCHANGED:
        break;
    }
    return "internal";
}

static void applied(const struct api_ask *ask, const struct fleet_action *reply, struct buf *out)
{
    char *warnings[WARNINGS_MAX] = {0};
    unsigned n = ask->want != NULL ? codec_want_warnings(ask->want, warnings, WARNINGS_MAX) : 0;

    codec_api_applied(ask->stack, reply, warnings, n, out);
    while (n > 0) {
        free(warnings[--n]);
    }
}

void api_reply(const struct api_ask *ask, const struct fleet_action *reply, struct api_answer *ret)
{
    assert(reply->type == FLEET_REPLY);
    ret->status = 200;
    if (reply->result != FLEET_OK && reply->result != FLEET_UNCHANGED) {
        api_error(ret, code_of(reply->result), "%s", reply->text != NULL ? reply->text : "");
    } else if (ask->type == FLEET_APPLY || ask->type == FLEET_DELETE) {
        applied(ask, reply, &ret->body);
    } else {
        codec_api_done(reply, &ret->body);
    }
}
