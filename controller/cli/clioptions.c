// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/clioptions.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/didyoumean.h"
#include "controller/cli/humane.h"

#define COUNT_DIGITS 9
#define LONG_BASE    256 /* getopt's values: beyond any letter */

#define ROW(id, name_, letter_, argument_, kind_, field_, help_)                                   \
    [CLIOPTIONS_##                                                                                 \
        id] = {name_, letter_, argument_, CLIOPTIONS_##kind_, offsetof(struct clioptions, field_), \
               help_},
const struct clioptions_row clioptions_rows[CLIOPTIONS_N] = {CLIOPTIONS(ROW)};

void clioptions_init(struct clioptions *o)
{
    const char *socket = getenv("WHERRY_SOCKET");

    *o = (struct clioptions){
        .socket = socket != NULL && socket[0] != '\0' ? socket : CLIOPTIONS_SOCKET,
        .tail = CLIOPTIONS_NOT_SET,
        .timeout_ms = CLIOPTIONS_NOT_SET,
    };
}

/* ---- values ---- */

/* Whether `value` is one of "one|other". */
static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);

    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strcspn(at, "|") == len && strncmp(at, value, len) == 0) {
            return true;
        }
    }
    return false;
}

static int set_choice(const struct clioptions_row *row, const char *value, const char **ret,
                      struct err *e)
{
    if (!is_choice(row->argument, value)) {
        return err_say(e, E2BIG, "--%s: '%s' is not one of %s", row->name, value, row->argument);
    }
    *ret = value;
    return 0;
}

static int set_count(const struct clioptions_row *row, const char *value, uint64_t *ret,
                     struct err *e)
{
    size_t digits = strspn(value, "0123456789");

    if (strcmp(value, "all") == 0) {
        *ret = CLIOPTIONS_NOT_SET;
        return 0;
    }
    if (digits == 0 || digits > COUNT_DIGITS || value[digits] != '\0') {
        return err_say(e, E2BIG, "--%s: '%s' is neither a number from 0 to 999999999 nor all",
                       row->name, value);
    }
    *ret = strtoull(value, NULL, 10);
    return 0;
}

static int set_duration(const struct clioptions_row *row, const char *value, uint64_t *ret,
                        struct err *e)
{
    if (humane_duration(value, ret, e) < 0) {
        (void)err_wrap(e, "--%s", row->name);
        return -E2BIG;
    }
    return 0;
}

static int set(struct clioptions *o, const struct clioptions_row *row, const char *value,
               struct err *e)
{
    void *field = (char *)o + row->field;

    switch (row->kind) {
    case CLIOPTIONS_SWITCH:
        *(bool *)field = true;
        return 0;
    case CLIOPTIONS_TEXT:
        *(const char **)field = value;
        return 0;
    case CLIOPTIONS_CHOICE:
        return set_choice(row, value, field, e);
    case CLIOPTIONS_COUNT:
        return set_count(row, value, field, e);
    case CLIOPTIONS_DURATION:
        return set_duration(row, value, field, e);
    }
    return -E2BIG;
}

/* ---- getopt's tables, from ours ---- */

struct tables {
    struct option rows[CLIOPTIONS_N + 1];
    char letters[2 * CLIOPTIONS_N + 3];
};

static void build(uint32_t mask, bool leading, struct tables *t)
{
    size_t n = 0;
    size_t letters = 0;

    *t = (struct tables){0};
    if (leading) {
        t->letters[letters++] = '+'; /* stop at the first argument */
    }
    t->letters[letters++] = ':'; /* tell a missing argument from an unknown option */
    for (int i = 0; i < CLIOPTIONS_N; i++) {
        const struct clioptions_row *row = &clioptions_rows[i];

        if ((mask & UINT32_C(1) << i) == 0) {
            continue;
        }
        t->rows[n++] =
            (struct option){row->name, row->argument != NULL ? required_argument : no_argument,
                            NULL, LONG_BASE + i};
        if (row->letter != 0) {
            t->letters[letters++] = row->letter;
            t->letters[letters] = ':';
            letters += row->argument != NULL;
        }
    }
    t->letters[letters] = '\0';
}

static const struct clioptions_row *row_of(uint32_t mask, int value)
{
    for (int i = 0; i < CLIOPTIONS_N; i++) {
        bool hit = value >= LONG_BASE ? value == LONG_BASE + i : value == clioptions_rows[i].letter;

        if (hit && (mask & UINT32_C(1) << i) != 0) {
            return &clioptions_rows[i];
        }
    }
    return NULL;
}

/* ---- what is wrong ---- */

static int say_unknown(uint32_t mask, const char *word, struct err *e)
{
    auto_free char *name = xstrndup(word + 2, strcspn(word + 2, "="));
    struct didyoumean near;
    auto_buf struct buf all = {0};

    didyoumean_start(&near, name);
    for (int i = 0; i < CLIOPTIONS_N; i++) {
        if ((mask & UINT32_C(1) << i) != 0) {
            didyoumean_offer(&near, clioptions_rows[i].name);
            buf_printf(&all, "%s--%s", all.len > 0 ? ", " : "", clioptions_rows[i].name);
        }
    }
    if (near.best != NULL) {
        return err_say(e, E2BIG, "unknown option --%s (did you mean \"--%s\"?)", name, near.best);
    }
    return err_say(e, E2BIG, "unknown option --%s (allowed: %s)", name, buf_text(&all));
}

/* getopt_long says '?' for what is unknown, ambiguous, or has an argument it must not have. */
static int say_wrong(uint32_t mask, const char *word, struct err *e)
{
    const struct clioptions_row *row = optopt >= LONG_BASE ? row_of(mask, optopt) : NULL;

    if (row != NULL) {
        return err_say(e, E2BIG, "option --%s takes no argument", row->name);
    }
    if (optopt != 0) {
        return err_say(e, E2BIG, "unknown option -%c", optopt);
    }
    return say_unknown(mask, word, e);
}

static int say_missing(uint32_t mask, struct err *e)
{
    const struct clioptions_row *row = row_of(mask, optopt);

    assert(row != NULL);
    return err_say(e, E2BIG, "option --%s needs an argument: %s", row->name, row->argument);
}

int clioptions_parse(struct clioptions *o, uint32_t mask, bool leading, int argc, char **argv,
                     int *ret_first, struct err *e)
{
    struct tables tables;
    int value;
    int rc = 0;

    build(mask, leading, &tables);
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while (rc == 0 && (value = getopt_long(argc, argv, tables.letters, tables.rows, NULL)) != -1) {
        if (value == '?') {
            rc = say_wrong(mask, argv[optind - 1], e);
        } else if (value == ':') {
            rc = say_missing(mask, e);
        } else {
            rc = set(o, row_of(mask, value), optarg, e);
        }
    }
    *ret_first = optind;
    return rc;
}
