// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_H
#define WHERRY_COMMON_COMPOSE_H

/* Reads a Compose file (https://compose-spec.io) into the document that is applied: parsed with
 * positions, interpolated, decoded by tables (compose_table.h) and checked (compose_check.h).
 * Nothing of the file is dropped in silence: what is wrong is an error, what Wherry does not do yet
 * is a warning (an error if strict), and what would leave a container less isolated than its file
 * says is always an error.
 *
 * Limits: file 1 MiB, nesting 64, 100,000 nodes after aliases and merges, document DOC_SPEC_MAX. */

#include <stdbool.h>
#include <stddef.h>

#include "common/doc.h"

#define COMPOSE_FILE_MAX   (1024 * 1024)
#define COMPOSE_DEPTH_MAX  64
#define COMPOSE_NODES_MAX  100000
#define COMPOSE_ERRORS_MAX 20 /* kept and shown; the rest is counted */
#define COMPOSE_WARNS_MAX  100

/* The value of an environment variable, or NULL if it is not set. */
typedef const char *compose_lookup(void *arg, const char *name);

struct compose_options {
    const char *path;  /* the file, for messages too; "-": standard input */
    const void *bytes; /* its content, if the caller has it already; NULL: it is read here */
    size_t len;
    const char *directory;  /* what relative paths start from; NULL: the folder of the file, or the
                               current one for "-" */
    const char *project;    /* name of the stack; NULL: COMPOSE_PROJECT_NAME, else `name:`, else the
                               folder's name in lower case, as Compose has it */
    compose_lookup *lookup; /* NULL: the environment of this process */
    void *lookup_arg;
    const char *env_file; /* used where `lookup` knows no value; NULL: `.env` in the directory if
                             there is one; "": none */
    bool strict;          /* "not supported yet" is an error */
};

/* One thing to say about the file. All text is printable UTF-8: control characters are escaped. */
struct compose_note {
    char *file;
    unsigned line, column; /* from 1; 0: not known (JSON, or the file as a whole) */
    char *path;            /* "services.web.ports[0]", in JSON "/services/web/ports/0"; may be "" */
    char *message;         /* what was found, what is allowed, the nearest known key */
    char *text; /* ready to print, without "error:": "file:line:column: path: message", then
                   the source line and a caret; ends in a newline */
};

struct compose_notes {
    struct compose_note *items; /* by position */
    unsigned n;
    unsigned left_out; /* beyond the limit */
};

struct compose_result {
    struct doc stack; /* a Wherry__Spec__Stack, canonical; empty if there are errors */
    struct compose_notes errors, warnings;
};

/* Returns 0 with a document; -EINVAL with at least one error in `ret`. `ret` is filled in either
 * case and freed by compose_free. */
int compose_read(const struct compose_options *options, struct compose_result *ret_result);
void compose_free(struct compose_result *result);
#define auto_compose __attribute__((cleanup(compose_free)))

#endif
