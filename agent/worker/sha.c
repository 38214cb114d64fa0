// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/sha.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"

struct sha {
    EVP_MD_CTX *ctx;
};

struct sha *sha_create(void)
{
    struct sha *sha = xcalloc(1, sizeof(*sha));

    sha->ctx = EVP_MD_CTX_new();
    if (sha->ctx == NULL || EVP_DigestInit_ex(sha->ctx, EVP_sha256(), NULL) != 1) {
        die("no SHA-256 in libcrypto");
    }
    return sha;
}

void sha_destroy(struct sha *sha)
{
    if (sha != NULL) {
        EVP_MD_CTX_free(sha->ctx);
        free(sha);
    }
}

void sha_update(struct sha *sha, const void *data, size_t len)
{
    if (EVP_DigestUpdate(sha->ctx, data, len) != 1) {
        die("SHA-256 failed");
    }
}

void sha_text(struct sha *sha, char ret_text[SHA_TEXT])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int at = snprintf(ret_text, SHA_TEXT, "sha256:");

    if (EVP_DigestFinal_ex(sha->ctx, bytes, &len) != 1 || len != 32) {
        die("SHA-256 failed");
    }
    for (unsigned i = 0; i < len; i++) {
        at += snprintf(ret_text + at, SHA_TEXT - (size_t)at, "%02x", bytes[i]);
    }
}

void sha_of(const void *data, size_t len, char ret_text[SHA_TEXT])
{
    struct sha *sha = sha_create();

    sha_update(sha, data, len);
    sha_text(sha, ret_text);
    sha_destroy(sha);
}
