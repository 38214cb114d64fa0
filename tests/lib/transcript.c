// SPDX-License-Identifier: Apache-2.0
#include "tests/lib/transcript.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static char *slurp(const char *path)
{
    auto_fclose FILE *f = fopen(path, "re");
    struct buf b = {0};
    char chunk[4096];
    size_t n;

    if (f == NULL) {
        perror(path);
        exit(1);
    }
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        buf_append(&b, chunk, n);
    }
    return buf_take(&b);
}

/* Blank lines do not count: strtok skips them too. */
static int compare(const char *path, const char *want, const char *got)
{
    unsigned line = 0;

    while (*want != '\0' || *got != '\0') {
        size_t w, g;

        line++;
        while (*want == '\n') {
            want++;
        }
        while (*got == '\n') {
            got++;
        }
        w = strcspn(want, "\n");
        g = strcspn(got, "\n");
        if (w != g || memcmp(want, got, w) != 0) {
            (void)printf("%s: text line %u differs\n  want: %.*s\n  got:  %.*s\n", path, line,
                         (int)w, want, (int)g, got);
            return 1;
        }
        want += w;
        got += g;
    }
    return 0;
}

static int one_file(const char *path, bool write, int (*play)(char *script, struct buf *out))
{
    auto_free char *script = slurp(path);
    auto_free char *want = strdup(script);
    auto_buf struct buf out = {0};

    if (play(script, &out) < 0) {
        return 1;
    }
    if (write) {
        auto_fclose FILE *f = fopen(path, "we");

        return f == NULL || fputs(buf_text(&out), f) < 0;
    }
    return compare(path, want, buf_text(&out));
}

int transcript_main(int argc, char **argv, int (*play)(char *script, struct buf *out))
{
    bool write = argc > 1 && strcmp(argv[1], "--write") == 0;
    int failed = 0;

    for (int i = write ? 2 : 1; i < argc; i++) {
        failed += one_file(argv[i], write, play);
    }
    return failed > 0;
}
