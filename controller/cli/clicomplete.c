// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/clicomplete.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/clioptions.h"

const char *clicomplete_kind(enum clicommand_words words)
{
    static const char *const kinds[] = {
        [CLICOMMAND_WORDS_NONE] = NULL,           [CLICOMMAND_WORDS_STACKS] = "stacks",
        [CLICOMMAND_WORDS_SERVICES] = "services", [CLICOMMAND_WORDS_CONTAINERS] = "containers",
        [CLICOMMAND_WORDS_NODES] = "nodes",       [CLICOMMAND_WORDS_VOLUMES] = "volumes",
        [CLICOMMAND_WORDS_NETWORKS] = "networks", [CLICOMMAND_WORDS_COMMANDS] = "commands",
        [CLICOMMAND_WORDS_SHELLS] = "shells",
    };

    return kinds[words];
}

/* ---- pieces ---- */

static bool has(uint32_t mask, int option)
{
    return (mask & UINT32_C(1) << option) != 0;
}

static void put_option_words(uint32_t mask, struct buf *out)
{
    for (int i = 0; i < CLIOPTIONS_N; i++) {
        if (has(mask, i)) {
            buf_printf(out, " --%s", clioptions_rows[i].name);
        }
    }
}

/* The second words of "node" and "volume"; with NULL the first words of all, each once. */
static void put_command_words(const char *group, struct buf *out)
{
    size_t n;
    const struct clicommand *rows = clicommand_rows(&n);
    const char *before = "";

    for (size_t i = 0; i < n; i++) {
        size_t first = strcspn(rows[i].name, " ");
        bool grouped = rows[i].name[first] == ' ';
        bool again = strncmp(before, rows[i].name, first) == 0 && before[first] == ' ';

        if (rows[i].help == NULL) {
            continue;
        }
        if (group == NULL && !again) {
            buf_printf(out, " %.*s", (int)first, rows[i].name);
        } else if (group != NULL && grouped && strlen(group) == first &&
                   strncmp(rows[i].name, group, first) == 0) {
            buf_printf(out, " %s", rows[i].name + first + 1);
        }
        before = rows[i].name;
    }
}

/* In single quotes, for all three shells. */
static void put_quoted(const char *text, struct buf *out)
{
    buf_putc(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            buf_puts(out, "'\\''");
        } else {
            buf_putc(out, *text);
        }
    }
    buf_putc(out, '\'');
}

/* ---- bash, and zsh through its bashcompinit ---- */

static void put_bash_cases(struct buf *out)
{
    size_t n;
    const struct clicommand *rows = clicommand_rows(&n);

    for (size_t i = 0; i < n; i++) {
        const char *kind = clicomplete_kind(rows[i].words);

        if (rows[i].help == NULL) {
            continue;
        }
        buf_printf(out, "    '%s') kind=%s options='", rows[i].name, kind != NULL ? kind : "''");
        put_option_words(rows[i].options | CLIOPTIONS_GLOBAL, out);
        buf_puts(out, "' ;;\n");
    }
}

static void put_bash(struct buf *out)
{
    buf_puts(out,
             "_wherry() {\n"
             "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
             "    local command= kind= options= word i\n"
             "    COMPREPLY=()\n"
             "    case $prev in\n"
             "    -o | --output) COMPREPLY=($(compgen -W 'table json' -- \"$cur\")); return ;;\n"
             "    -f | --file | --env-file | --controller)\n"
             "        [[ $prev == -f && \" ${COMP_WORDS[*]} \" =~ ' logs '|' events ' ]] ||\n"
             "            { COMPREPLY=($(compgen -f -- \"$cur\")); return; } ;;\n"
             "    esac\n"
             "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
             "        word=${COMP_WORDS[i]}\n"
             "        case $word in\n"
             "        --controller | -o | --output) i=$((i + 1)) ;;\n"
             "        -*) ;;\n"
             "        *) if [[ -z $command ]]; then command=$word\n"
             "           elif [[ $command == node || $command == volume ]]; then "
             "command+=\" $word\"; fi ;;\n"
             "        esac\n"
             "    done\n"
             "    case $command in\n");
    put_bash_cases(out);
    buf_puts(out, "    node) COMPREPLY=($(compgen -W '");
    put_command_words("node", out);
    buf_puts(out, "' -- \"$cur\")); return ;;\n    volume) COMPREPLY=($(compgen -W '");
    put_command_words("volume", out);
    buf_puts(out, "' -- \"$cur\")); return ;;\n    '') COMPREPLY=($(compgen -W '");
    put_command_words(NULL, out);
    buf_puts(out, "' -- \"$cur\")); return ;;\n"
                  "    esac\n"
                  "    if [[ $cur == -* ]]; then\n"
                  "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
                  "    elif [[ -n $kind ]]; then\n"
                  "        COMPREPLY=($(compgen -W \"$(wherry __words \"$kind\" 2>/dev/null)\" -- "
                  "\"$cur\"))\n"
                  "    fi\n"
                  "}\n"
                  "complete -F _wherry wherry\n");
}

static void put_zsh(struct buf *out)
{
    buf_puts(out, "#compdef wherry\nautoload -U +X bashcompinit && bashcompinit\n");
    put_bash(out);
}

/* ---- fish ---- */

static void put_fish_option(const char *when, const struct clioptions_row *row, struct buf *out)
{
    buf_printf(out, "complete -c wherry%s -l %s", when, row->name);
    if (row->letter != 0) {
        buf_printf(out, " -s %c", row->letter);
    }
    if (row->kind == CLIOPTIONS_CHOICE) {
        buf_puts(out, " -x -a 'table json'");
    } else if (row->argument != NULL) {
        buf_puts(out, " -r");
    }
    buf_puts(out, " -d ");
    put_quoted(row->help, out);
    buf_putc(out, '\n');
}

static void put_fish_command(const struct clicommand *row, struct buf *out)
{
    const char *kind = clicomplete_kind(row->words);
    size_t first = strcspn(row->name, " ");
    bool grouped = row->name[first] == ' ';
    auto_free char *group = xstrndup(row->name, first);
    auto_free char *when = grouped ? xasprintf(" -n '__fish_seen_subcommand_from %s; and "
                                               "__fish_seen_subcommand_from %s'",
                                               group, row->name + first + 1)
                                   : xasprintf(" -n '__fish_seen_subcommand_from %s'", group);

    if (grouped) {
        buf_printf(out, "complete -c wherry -n __fish_use_subcommand -a %s\n", group);
        buf_printf(out, "complete -c wherry -n '__fish_seen_subcommand_from %s' -a %s -d ", group,
                   row->name + first + 1);
    } else {
        buf_printf(out, "complete -c wherry -n __fish_use_subcommand -a %s -d ", row->name);
    }
    put_quoted(row->help, out);
    buf_putc(out, '\n');
    if (kind != NULL) {
        buf_printf(out, "complete -c wherry%s -a '(wherry __words %s 2>/dev/null)'\n", when, kind);
    }
    for (int i = 0; i < CLIOPTIONS_N; i++) {
        if (has(row->options, i)) {
            put_fish_option(when, &clioptions_rows[i], out);
        }
    }
}

static void put_fish(struct buf *out)
{
    size_t n;
    const struct clicommand *rows = clicommand_rows(&n);

    buf_puts(out, "complete -c wherry -f\n");
    for (int i = 0; i < CLIOPTIONS_N; i++) {
        if (has(CLIOPTIONS_GLOBAL, i)) {
            put_fish_option("", &clioptions_rows[i], out);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (rows[i].help != NULL) {
            put_fish_command(&rows[i], out);
        }
    }
}

/* ---- which ---- */

static const struct shell {
    const char *name;
    void (*put)(struct buf *out);
} shells[] = {{"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};

int clicomplete_script(const char *shell, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].put(out);
            return 0;
        }
    }
    return err_say(e, E2BIG, "completion: unknown shell '%s' (allowed: bash, zsh, fish)", shell);
}
