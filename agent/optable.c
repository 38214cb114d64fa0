// SPDX-License-Identifier: Apache-2.0
#include "agent/optable.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "common/cleanup.h"

#define ROWS_MAX    64
#define FIRST_VALUE 256 /* getopt's value of the first row; below are letters */
#define HELP_COLUMN 24

struct flat {
    const struct optable_row *rows[ROWS_MAX];
    void *targets[ROWS_MAX];
    struct option longs[ROWS_MAX + 2];
    char shorts[2 * ROWS_MAX + 4];
    unsigned n;
};

static void add(struct flat *f, const struct optable_row *row, void *target)
{
    size_t len = strlen(f->shorts);

    assert(f->n < ROWS_MAX);
    f->rows[f->n] = row;
    f->targets[f->n] = target;
    f->longs[f->n] = (struct option){.name = row->name,
                                     .has_arg = row->arg != NULL ? required_argument : no_argument,
                                     .val = FIRST_VALUE + (int)f->n};
    if (row->letter != 0) {
        f->shorts[len] = row->letter;
        f->shorts[len + 1] = row->arg != NULL ? ':' : '\0';
    }
    f->n++;
}

static void flatten(const struct optable_group *groups, unsigned n, struct flat *f)
{
    *f = (struct flat){.shorts = "+:h"}; /* '+': what follows the first argument is not ours */
    for (unsigned g = 0; g < n; g++) {
        for (unsigned i = 0; i < groups[g].n; i++) {
            add(f, &groups[g].rows[i], groups[g].target);
        }
    }
    f->longs[f->n] = (struct option){.name = "help", .val = 'h'};
}

static int find_row(const struct flat *f, int value)
{
    if (value >= FIRST_VALUE) {
        return value - FIRST_VALUE;
    }
    for (unsigned i = 0; i < f->n; i++) {
        if (f->rows[i]->letter == (char)value) {
            return (int)i;
        }
    }
    return -1;
}

static int set_one(const struct flat *f, int at, struct err *e)
{
    const struct optable_row *row = f->rows[at];
    const char *value = row->arg != NULL ? optarg : "";

    return row->set(f->targets[at], value, e) < 0 ? err_wrap(e, "--%s", row->name) : 0;
}

int optable_parse(const struct optable_group *groups, unsigned n, int argc, char **argv,
                  int *ret_index, struct err *e)
{
    struct flat f;
    int c;

    flatten(groups, n, &f);
    optind = 1;
    opterr = 0;
    while ((c = getopt_long(argc, argv, f.shorts, f.longs, NULL)) != -1) {
        if (c == 'h') {
            return OPTABLE_HELP;
        }
        if (c == '?') {
            return err_say(e, EINVAL, "unknown option '%s' (see --help)", argv[optind - 1]);
        }
        if (c == ':') {
            return err_say(e, EINVAL, "option '%s' needs a value (see --help)", argv[optind - 1]);
        }
        if (set_one(&f, find_row(&f, c), e) < 0) {
            return -EINVAL;
        }
    }
    *ret_index = optind;
    return 0;
}

/* Prints lines, each but the first moved to the column. */
static void print_lines(const char *text, FILE *out)
{
    for (;;) {
        size_t len = strcspn(text, "\n");

        (void)fprintf(out, "%.*s\n", (int)len, text);
        if (text[len] == '\0') {
            return;
        }
        text += len + 1;
        (void)fprintf(out, "%*s", HELP_COLUMN, "");
    }
}

static void print_row(const struct optable_row *row, FILE *out)
{
    char left[64], letter[8] = "";

    if (row->letter != 0) {
        (void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    }
    (void)snprintf(left, sizeof(left), "  %s--%s%s%s", letter, row->name,
                   row->arg != NULL ? " " : "", row->arg != NULL ? row->arg : "");
    if (strlen(left) < HELP_COLUMN - 1) {
        (void)fprintf(out, "%-*s", HELP_COLUMN, left);
    } else {
        (void)fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
    }
    print_lines(row->help, out);
}

void optable_help(const struct optable_group *groups, unsigned n, FILE *out)
{
    for (unsigned g = 0; g < n; g++) {
        if (groups[g].title != NULL) {
            (void)fprintf(out, "\n%s:\n", groups[g].title);
        }
        for (unsigned i = 0; i < groups[g].n; i++) {
            if (groups[g].rows[i].help != NULL) {
                print_row(&groups[g].rows[i], out);
            }
        }
    }
}
