// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/clihelp.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "controller/cli/clioptions.h"
#include "controller/cli/term.h"

#define OPTION_COLUMN  27
#define COMMAND_COLUMN 17

/* Pads to a column; a text that is too long gets two spaces. */
static void tab(struct buf *out, size_t from, unsigned column)
{
    unsigned width = term_width(out->data + from);

    buf_printf(out, "%*s", width + 2 <= column ? (int)(column - width) : 2, "");
}

static void put_option(const struct clioptions_row *row, struct buf *out)
{
    size_t from = out->len;

    if (row->letter != 0) {
        buf_printf(out, "  -%c, --%s", row->letter, row->name);
    } else {
        buf_printf(out, "      --%s", row->name);
    }
    if (row->argument != NULL) {
        buf_printf(out, " %s", row->argument);
    }
    tab(out, from, OPTION_COLUMN);
    buf_printf(out, "%s\n", row->help);
}

static void put_options(const char *title, uint32_t mask, struct buf *out)
{
    if (mask == 0) {
        return;
    }
    buf_printf(out, "\n%s:\n", title);
    for (int i = 0; i < CLIOPTIONS_N; i++) {
        if ((mask & UINT32_C(1) << i) != 0) {
            put_option(&clioptions_rows[i], out);
        }
    }
}

/* Those that begin with `words`. */
static void put_commands(const char *words, struct buf *out)
{
    size_t n;
    const struct clicommand *rows = clicommand_rows(&n);

    buf_puts(out, "\ncommands:\n");
    for (size_t i = 0; i < n; i++) {
        size_t from = out->len;

        if (rows[i].help == NULL || strncmp(rows[i].name, words, strlen(words)) != 0) {
            continue;
        }
        buf_printf(out, "  %s", rows[i].name);
        tab(out, from, COMMAND_COLUMN);
        buf_printf(out, "%s\n", rows[i].help);
    }
}

void clihelp_all(struct buf *out)
{
    buf_puts(out, "usage: wherry COMMAND [options] [arguments]\n\n"
                  "Runs the containers of a Compose file on several hosts.\n");
    put_commands("", out);
    put_options("options of every command", CLIOPTIONS_GLOBAL, out);
    buf_puts(out, "\nexit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 conflict, "
                  "124 timed out\n"
                  "`wherry help COMMAND` tells more. Begin with `wherry apply -f compose.yaml`.\n");
}

void clihelp_group(const char *group, struct buf *out)
{
    auto_free char *words = xasprintf("%s ", group);

    buf_printf(out, "usage: wherry %s COMMAND [options] [arguments]\n", group);
    put_commands(words, out);
    buf_printf(out, "\n`wherry help %s COMMAND` tells more.\n", group);
}

void clihelp_command(const struct clicommand *row, struct buf *out)
{
    buf_printf(out, "usage: wherry %s%s%s%s\n\n", row->name, row->options != 0 ? " [options]" : "",
               row->args[0] != '\0' ? " " : "", row->args);
    if (row->help != NULL) {
        buf_printf(out, "%s: %s\n\n", row->name, row->help);
    }
    buf_printf(out, "%s\n", row->text);
    put_options("options", row->options, out);
    put_options("options of every command", CLIOPTIONS_GLOBAL, out);
}
