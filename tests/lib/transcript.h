// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_LIB_TRANSCRIPT_H
#define WHERRY_TESTS_LIB_TRANSCRIPT_H

/* Transcripts: files that are at once the test, its expectation and the documentation. */

#include "common/buf.h"

/* Plays every file through `play` (which may cut the script up and fills `out` with the whole text
 * anew) and compares, or with --write as first argument writes what happened. Returns the exit
 * code: 0 if all are as they say. */
int transcript_main(int argc, char **argv, int (*play)(char *script, struct buf *out));

#endif
