// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_NOTIFY_H
#define WHERRY_COMMON_NOTIFY_H

/* Tells the service manager how this daemon stands, by the protocol of sd_notify(3): a datagram to
 * the socket that NOTIFY_SOCKET names. Without that variable, and on any failure, nothing. */

/* `state` as in sd_notify(3): "READY=1", "STOPPING=1". */
void notify_state(const char *state);

#endif
