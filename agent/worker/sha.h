// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_SHA_H
#define WHERRY_AGENT_WORKER_SHA_H

/* SHA-256 of a stream as the text OCI uses, "sha256:<64 digits>". */

#include <stddef.h>

#define SHA_TEXT 72 /* with its NUL */

struct sha;

struct sha *sha_create(void);
void sha_destroy(struct sha *sha); /* accepts NULL */
void sha_update(struct sha *sha, const void *data, size_t len);

/* Ends the stream: call once. */
void sha_text(struct sha *sha, char ret_text[SHA_TEXT]);

/* Of one block of memory. */
void sha_of(const void *data, size_t len, char ret_text[SHA_TEXT]);

#endif
