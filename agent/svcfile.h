// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SVCFILE_H
#define WHERRY_AGENT_SVCFILE_H

/* The service table as a file in the state directory, so that names and addresses go on after a
 * restart of the agent, whether or not there is a controller. Nothing is lost with it: the
 * controller tells the table again to who holds another. So it is written without fsync, and what
 * is damaged is refused as a whole.
 *
 *   file   = "WHERRYS1" record* u32 0, u32 CRC32C of all before
 *   record = u32 length, that many bytes    (a Services of link.proto with one entry)
 *
 * Numbers are little-endian. */

#include "common/buf.h"
#include "common/err.h"
#include "common/svc.h"

#define SVCFILE_NAME      "services"
#define SVCFILE_BYTES_MAX (512u * 1024 * 1024)

/* Head, records and end, in this order. The end reads all of it. */
void svcfile_begin(struct buf *file);
void svcfile_put(struct buf *file, const struct svc_entry *entry);
void svcfile_end(struct buf *file);

/* Borrowed during the call. */
typedef void (*svcfile_cb)(void *arg, const struct svc_entry *entry);

/* Calls back for each entry, or for none: -EBADMSG: damaged. */
int svcfile_parse(const void *bytes, size_t len, svcfile_cb each, void *arg, struct err *e);

/* Into the directory, by rename. */
int svcfile_write(int dir_fd, const struct buf *file, struct err *e);

/* -ENOENT: there is none. */
int svcfile_read(int dir_fd, svcfile_cb each, void *arg, struct err *e);

#endif
