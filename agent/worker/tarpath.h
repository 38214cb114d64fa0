// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_TARPATH_H
#define WHERRY_AGENT_WORKER_TARPATH_H

/* What the name of a layer's entry means: brought into one form or refused, and told apart from
 * the whiteouts of the OCI image specification (layer.md). Pure. */

#include "common/err.h"

#define TARPATH_MAX 4096 /* with its NUL */

/* "./a//b/" becomes "a/b"; "." and "" become "" (the root of the layer). Refused: absolute names,
 * ".." anywhere, parts over 255 bytes, more than 4095 bytes in all. */
int tarpath_clean(const char *raw, char ret_path[TARPATH_MAX], struct err *e);

enum tarpath_kind {
    TARPATH_PLAIN,
    TARPATH_WHITEOUT, /* ".wh.NAME" hides NAME below */
    TARPATH_OPAQUE,   /* ".wh..wh..opq": the directory hides everything below */
    TARPATH_IGNORED,  /* other ".wh..wh.*": private marks of aufs */
    TARPATH_BAD       /* ".wh.", ".wh..", ".wh...": hides nothing that can exist */
};

/* Of the last part of a clean path. `ret_hidden` gets NAME for a whiteout, else the part itself. */
enum tarpath_kind tarpath_kind(const char *base, const char **ret_hidden);

/* Cuts a clean path: the directory ("" for the root) into `ret_dir`, returns the last part. */
const char *tarpath_split(const char *path, char ret_dir[TARPATH_MAX]);

/* A name for messages: printable ASCII, at most 120 characters. */
#define TARPATH_SHOW 128
const char *tarpath_show(const char *raw, char scratch[TARPATH_SHOW]);

#endif
