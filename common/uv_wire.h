// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_UV_WIRE_H
#define WHERRY_COMMON_UV_WIRE_H

/* Frames over a stream of libuv. It holds no queue: one frame is written at a time, and `writable`
 * asks for the next when that one is gone, so that a slow peer costs one frame of memory. What is
 * between frames and stream (TLS) is a layer; without one, bytes go as they are.
 *
 * Embedded by value. The owner may end or close the wire from any of its callbacks. */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/frame.h"

struct uv_wire;

/* Changes bytes on their way. Both append; a negative errno ends the wire. */
struct uv_wire_layer {
    /* `bytes` have come: what they say goes to `plain`, what must go back at once to `back`. */
    int (*in)(struct uv_wire_layer *layer, const void *bytes, size_t len, struct buf *plain,
              struct buf *back, struct err *e);
    int (*out)(struct uv_wire_layer *layer, const void *bytes, size_t len, struct buf *wire,
               struct err *e);
};

struct uv_wire_events {
    void (*frame)(struct uv_wire *wire, const uint8_t *bytes, size_t len); /* borrowed */
    void (*writable)(struct uv_wire *wire);
    /* Nothing more comes: the peer has closed (code 0), broke the framing, the stream failed, or
     * the last frame (uv_wire_end) is out (code 0). Never from inside a call. The owner closes the
     * wire. */
    void (*ended)(struct uv_wire *wire, const struct err *why);
};

struct uv_wire {
    const struct uv_wire_events *events;
    struct uv_wire_layer *layer; /* NULL: none */
    struct frame_reader reader;
    struct buf out;  /* what is being written */
    struct buf last; /* the frame to end with */
    uv_tcp_t tcp;
    uv_timer_t timer; /* for ends that are said from the loop, and those that take too long */
    uv_write_t write;
    uv_shutdown_t shutdown;
    uv_connect_t connect;
    struct err trouble;
    unsigned live; /* handles and requests that are not called back yet */
    bool writing;
    bool started;
    bool ending; /* nothing is read any more */
    bool ended;  /* said so */
    bool closing;
    void (*closed)(struct uv_wire *wire);
};

/* Prepares the handles: uv_wire_close is owed. `frame_max` at most FRAME_MAX. */
void uv_wire_init(struct uv_wire *w, uv_loop_t *loop, const struct uv_wire_events *events,
                  uint32_t frame_max);

/* Dials, and starts. Trouble comes as `ended`; the owner closes what takes too long. */
void uv_wire_connect(struct uv_wire *w, const struct sockaddr *address);

/* Begins reading once `tcp` is connected or accepted; `writable` comes soon, not from inside. */
int uv_wire_start(struct uv_wire *w, struct err *e);

/* From now on frames may be this long. */
void uv_wire_limit(struct uv_wire *w, uint32_t frame_max);

/* Whether a frame may be written now. */
bool uv_wire_is_writable(const struct uv_wire *w);

/* Writes one frame (copies it). Only when writable. Trouble comes as `ended`. */
void uv_wire_write(struct uv_wire *w, const void *bytes, size_t len);

/* Asks for `writable` as soon as it is: from inside if it is so now. */
void uv_wire_poke(struct uv_wire *w);

/* Says a last frame and takes no more; `ended` comes when the peer has closed, or after a second.
 */
void uv_wire_end(struct uv_wire *w, const void *bytes, size_t len);

/* No callbacks from now on but `closed`, once, after which the memory may go. Idempotent. */
void uv_wire_close(struct uv_wire *w, void (*closed)(struct uv_wire *wire));

/* "192.0.2.7:51034", or "?" */
void uv_wire_peer(const struct uv_wire *w, char *ret, size_t size);

/* "ADDR:PORT" with an IPv4 address or an IPv6 address in brackets. -EINVAL with what is allowed. */
int uv_wire_parse(const char *text, struct sockaddr_storage *ret, struct err *e);

#endif
