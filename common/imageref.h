// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_IMAGEREF_H
#define WHERRY_COMMON_IMAGEREF_H

/* Names of images, "[registry/]path[:tag][@sha256:digest]", by the grammar of the distribution
 * project: split, checked and brought into one form, in which `busybox` and
 * `docker.io/library/busybox:latest` are the same. Pure. */

#include <stdbool.h>

#include "common/err.h"

#define IMAGEREF_MAX        512 /* a whole normalised reference, with its NUL */
#define IMAGEREF_DIGEST_LEN 71  /* "sha256:" and 64 lower-case hexadecimal digits */

struct imageref {
    char name[IMAGEREF_MAX]; /* "docker.io/library/busybox:latest": registry, path, tag */
    char digest[IMAGEREF_DIGEST_LEN + 1]; /* "" or "sha256:…" */
};

/* Parses and normalises. The tag is "latest" if neither tag nor digest is given; with a digest
 * alone, `name` has no tag. A bare "sha256:…" gives an empty name. -EINVAL says what is wrong and
 * what is allowed. */
int imageref_parse(const char *text, struct imageref *ret_ref, struct err *e);

/* Whether `text` is a tag: [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}. */
bool imageref_is_tag(const char *text);

/* Whether `text` is "sha256:" and 64 lower-case hexadecimal digits. */
bool imageref_is_digest(const char *text);

/* Short form for people: without "docker.io/" and "library/". Borrows from `name`. */
const char *imageref_short(const char *name);

#endif
