// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_CLIENT_H
#define WHERRY_CONTROLLER_CLI_CLIENT_H

/* The controller's HTTP API (deploy/docs/api.md) over its unix socket. Blocking. A connection is
 * kept between calls. Answers are capped: CLIENT_REPLY_MAX for one, CLIENT_LINE_MAX for a line of a
 * stream.
 *
 * Errors, everywhere: -ENOENT not found, -EEXIST conflict, -EINVAL refused as wrong, -EACCES not
 * permitted, -ENOTCONN no controller to be reached, -EPROTO what answers is no controller,
 * -ECANCELED interrupted (interrupt.h), -EIO anything else. The text is the controller's own
 * message where it gave one. */

#include <jansson.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

#define CLIENT_REPLY_MAX ((size_t)64 * 1024 * 1024)
#define CLIENT_LINE_MAX  ((size_t)1024 * 1024)
#define CLIENT_STREAMS   64

struct client;

struct client_reply {
    json_t *json;    /* an object */
    struct buf text; /* as it came */
};

/* Borrows `socket_path` for good. Connects at the first call. */
struct client *client_create(const char *socket_path);
void client_destroy(struct client *client);

const char *client_socket(const struct client *client);

void client_reply_finish(struct client_reply *reply);
#define auto_reply __attribute__((cleanup(client_reply_finish)))

/* `method`: "GET", "POST" or "DELETE"; a POST has a body, which may be empty. */
int client_call(struct client *client, const char *method, const char *path, const void *body,
                size_t len, struct client_reply *ret_reply, struct err *e);
int client_get(struct client *client, const char *path, struct client_reply *ret_reply,
               struct err *e);

/* One line of a stream: the object, and its bytes without the newline, NUL-terminated. A return
 * below 0 ends all streams of the call with this value, `e` set by the callback. */
typedef int client_line_cb(void *arg, const json_t *line, const char *text, struct err *e);

/* Reads `n` streams (at most CLIENT_STREAMS) at the same time, until all have ended. */
int client_stream(struct client *client, const char *const *paths, unsigned n, client_line_cb *cb,
                  void *arg, struct err *e);

/* Appends "/<segment>", escaped; "?key=value" or "&key=value", escaped. */
void client_path_add(struct buf *path, const char *segment);
void client_query_add(struct buf *path, const char *key, const char *value);

#endif
