// SPDX-License-Identifier: Apache-2.0
#include "controller/api/api.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "controller/api/api_priv.h"
#include "controller/api/codec_api.h"

/* "*" stands for one part of a path. Parameters are words between blanks. */
static const struct row {
    const char *method;
    const char *path;
    const char *params;
    size_t body_max;
    bool is_loaded_only; /* needs the fleet */
    api_handler handler;
} rows[] = {
    {"GET", "/v1/version", "", 0, false, api_read_version},
    {"GET", "/v1/status", "stack", 0, true, api_read_status},
    {"GET", "/v1/containers", "stack service", 0, true, api_read_containers},
    {"GET", "/v1/nodes", "", 0, true, api_read_nodes},
    {"POST", "/v1/nodes/*/lost", "", 0, true, api_change_lost},
    {"GET", "/v1/doctor", "node", 0, true, api_gather_doctor},
    {"GET", "/v1/net/stats", "node", 0, true, api_gather_stats},
    {"GET", "/v1/net/check", "from to port", 0, true, api_gather_check},
    {"GET", "/v1/volumes", "", 0, true, api_read_volumes},
    {"DELETE", "/v1/volumes/*", "", 0, true, api_change_forget},
    {"GET", "/v1/networks", "", 0, true, api_read_networks},
    {"GET", "/v1/networks/*", "", 0, true, api_read_network},
    {"GET", "/v1/stacks/*", "", 0, true, api_read_inspect},
    {"GET", "/v1/stacks/*/*", "", 0, true, api_read_inspect},
    {"POST", "/v1/stacks/*", "prune", DOC_SPEC_MAX, true, api_change_apply},
    {"DELETE", "/v1/stacks/*", "", 0, true, api_change_delete},
    {"DELETE", "/v1/stacks/*/*", "", 0, true, api_change_delete},
    {"GET", "/v1/logs", "stack service slot follow tail since", 0, true, api_read_logs},
    {"GET", "/v1/events", "follow since stack", 0, true, api_read_events},
};

/* ---- errors ---- */

static const struct {
    const char *code;
    int status;
} statuses[] = {
    {"bad_request", 400},        {"forbidden", 403}, {"not_found", 404},
    {"method_not_allowed", 405}, {"conflict", 409},  {"too_large", 413},
    {"too_many", 429},           {"internal", 500},  {"unavailable", 503},
};

static int status_of(const char *code)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        if (strcmp(statuses[i].code, code) == 0) {
            return statuses[i].status;
        }
    }
    return 500;
}

void api_error(struct api_answer *ret, const char *code, const char *fmt, ...)
{
    char text[FLEET_TEXT + 256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    ret->kind = API_NOW;
    ret->status = status_of(code);
    buf_clear(&ret->body);
    codec_api_error(code, text, &ret->body);
}

void api_unavailable(struct api_answer *ret)
{
    api_error(ret, "unavailable",
              "the store has failed and is being read anew; whether this was done is not known: "
              "look, and try again");
}

void api_answer_finish(struct api_answer *a)
{
    codec_want_free(a->ask.want);
    buf_finish(&a->body);
    *a = (struct api_answer){0};
}

/* ---- parameters ---- */

const char *api_param(const struct api_call *call, const char *name)
{
    size_t len = strlen(name);

    for (unsigned i = 0; i < call->request->n_params; i++) {
        const char *p = call->request->params[i];

        if (strncmp(p, name, len) == 0 && (p[len] == '=' || p[len] == '\0')) {
            return p[len] == '=' ? p + len + 1 : p + len;
        }
    }
    return NULL;
}

bool api_param_number(struct api_call *call, const char *name, uint64_t max, uint64_t otherwise,
                      uint64_t *ret)
{
    const char *text = api_param(call, name);
    char *end = NULL;
    unsigned long long n;

    *ret = otherwise;
    if (text == NULL) {
        return true;
    }
    errno = 0;
    n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n > max) {
        api_error(call->ret, "bad_request", "%s=%.40s is no number from 0 to %llu", name, text,
                  (unsigned long long)max);
        return false;
    }
    *ret = n;
    return true;
}

bool api_param_flag(struct api_call *call, const char *name, bool *ret)
{
    const char *text = api_param(call, name);

    *ret = text != NULL && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || text[0] == '\0');
    if (text == NULL || *ret || strcmp(text, "0") == 0 || strcmp(text, "false") == 0) {
        return true;
    }
    api_error(call->ret, "bad_request", "%s=%.40s is not known (allowed: 0, 1)", name, text);
    return false;
}

/* Whether every parameter is one of the row's, and given once. */
static bool params_known(const struct row *row, struct api_call *call)
{
    for (unsigned i = 0; i < call->request->n_params; i++) {
        const char *p = call->request->params[i];
        size_t len = strcspn(p, "=");
        const char *at = row->params;

        while (*at != '\0' && !(strcspn(at, " ") == len && strncmp(at, p, len) == 0)) {
            at += strcspn(at, " ");
            at += strspn(at, " ");
        }
        if (*at == '\0') {
            api_error(call->ret, "bad_request", "%s has no parameter '%.*s' (allowed: %s)",
                      row->path, len > 40 ? 40 : (int)len, p,
                      row->params[0] != '\0' ? row->params : "none");
            return false;
        }
    }
    return true;
}

/* ---- what is named ---- */

bool api_find(struct api_call *call, const char *stack, const char *service, int *ret_stack,
              int *ret_service)
{
    const struct fleet *f = call->world->fleet;

    *ret_stack = *ret_service = -1;
    if (stack == NULL || stack[0] == '\0') {
        return true;
    }
    *ret_stack = fleet_stack_find(f, stack);
    if (*ret_stack < 0) {
        api_error(call->ret, "not_found", "no stack is named %.64s", stack);
        return false;
    }
    if (service == NULL || service[0] == '\0') {
        return true;
    }
    *ret_service = fleet_service_find(f, (unsigned)*ret_stack, service);
    if (*ret_service < 0) {
        api_error(call->ret, "not_found", "stack %.64s has no service named %.64s", stack, service);
        return false;
    }
    return true;
}

/* ---- routes ---- */

/* Whether `path` is of the pattern's form. What stands for "*" goes to `parts`. */
static bool path_fits(const char *pattern, const char *path, char parts[][FLEET_VOLUME])
{
    unsigned n = 0;

    while (*pattern != '\0') {
        size_t len;

        if (*pattern != '*') {
            if (*pattern++ != *path++) {
                return false;
            }
            continue;
        }
        len = strcspn(path, "/");
        if (len == 0 || len >= FLEET_VOLUME) {
            return false;
        }
        assert(n < API_PARTS_MAX);
        memcpy(parts[n], path, len);
        parts[n++][len] = '\0';
        path += len;
        pattern++;
    }
    return *path == '\0';
}

static const struct row *route(const char *method, const char *path, char parts[][FLEET_VOLUME],
                               bool *ret_path_known)
{
    *ret_path_known = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (path_fits(rows[i].path, path, parts)) {
            *ret_path_known = true;
            if (strcmp(rows[i].method, method) == 0) {
                return &rows[i];
            }
        }
    }
    return NULL;
}

size_t api_body_max(const char *method, const char *path)
{
    char parts[API_PARTS_MAX][FLEET_VOLUME];
    bool known;
    const struct row *row = route(method, path, parts, &known);

    return row != NULL ? row->body_max : 0;
}

static void method_wrong(struct api_call *call)
{
    auto_buf struct buf allowed = {0};
    char parts[API_PARTS_MAX][FLEET_VOLUME];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (path_fits(rows[i].path, call->request->path, parts)) {
            buf_printf(&allowed, "%s%s", allowed.len > 0 ? ", " : "", rows[i].method);
        }
    }
    api_error(call->ret, "method_not_allowed", "%s is not possible for %.200s (allowed: %s)",
              call->request->method, call->request->path, buf_text(&allowed));
}

/* What is wrong before anything is looked at. */
static bool is_refused(const struct row *row, struct api_call *call)
{
    const struct api_request *rq = call->request;

    if (rq->too_large) {
        api_error(call->ret, "too_large", "the body is larger than %zu bytes", row->body_max);
    } else if (rq->bad) {
        api_error(call->ret, "bad_request",
                  "the request has too many parameters, or a body without Content-Length");
    } else if (row->is_loaded_only && call->world->fleet == NULL) {
        api_error(call->ret, "unavailable",
                  "the controller is reading its store; try again in a moment");
    } else {
        return !params_known(row, call);
    }
    return true;
}

void api_answer(const struct api_world *world, const struct api_request *request,
                struct api_answer *ret)
{
    struct api_call call = {.world = world, .request = request, .ret = ret};
    bool path_known = false;
    const struct row *row;

    ret->status = 200;
    if (!request->is_allowed) {
        api_error(ret, "forbidden",
                  "only root, the controller's own user and members of the socket's group may ask");
        return;
    }
    row = route(request->method, request->path, call.parts, &path_known);
    if (row == NULL && path_known) {
        method_wrong(&call);
    } else if (row == NULL) {
        api_error(ret, "not_found", "there is nothing at %.200s", request->path);
    } else if (!is_refused(row, &call)) {
        row->handler(&call);
    }
}
