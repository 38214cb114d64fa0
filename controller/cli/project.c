// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/project.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/name.h"

static const char names[][20] = {"compose.yaml", "compose.yml", "docker-compose.yml",
                                 "docker-compose.yaml"};

/* "/a/b" -> "/a" -> "/". Returns false at the root. */
static bool go_up(char *directory)
{
    char *slash = strrchr(directory, '/');

    if (slash == NULL || directory[1] == '\0') {
        return false;
    }
    slash[slash == directory] = '\0';
    return true;
}

char *project_find(const char *directory)
{
    auto_free char *at = xstrdup(directory);

    do {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            auto_free char *path = xasprintf("%s/%s", strcmp(at, "/") == 0 ? "" : at, names[i]);

            if (access(path, F_OK) == 0) {
                return take_ptr(path);
            }
        }
    } while (go_up(at));
    return NULL;
}

/* As it is shown: a file of the current folder without the folder. */
static char *find_here(struct err *e)
{
    char here[PATH_MAX];
    auto_free char *path = NULL;
    size_t len;

    if (getcwd(here, sizeof(here)) == NULL) {
        (void)err_set(e, errno, "find out the current folder");
        return NULL;
    }
    path = project_find(here);
    if (path == NULL) {
        (void)err_say(
            e, EINVAL,
            "no Compose file (compose.yaml, compose.yml, docker-compose.yml) here or in a "
            "folder above; name one with -f FILE");
        return NULL;
    }
    len = strlen(here);
    if (strncmp(path, here, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL) {
        return xstrdup(path + len + 1);
    }
    return take_ptr(path);
}

static void print_notes(const struct cli *cli, const struct compose_notes *notes, const char *word,
                        enum term_style style)
{
    auto_buf struct buf head = {0};

    term_paint(&cli->err, style, word, &head);
    for (unsigned i = 0; i < notes->n; i++) {
        (void)fprintf(cli->err.file, "%s %s", buf_text(&head), notes->items[i].text);
    }
    if (notes->left_out > 0) {
        (void)fprintf(cli->err.file, "%s and %u more\n", buf_text(&head), notes->left_out);
    }
}

static int check_name(const char *name, struct err *e)
{
    if (name != NULL && !name_is_valid(name)) {
        return err_say(e, E2BIG, "--name: '%s' is no name of a stack (%s)", name, name_rule);
    }
    return 0;
}

int project_read(const struct cli *cli, struct compose_result *ret_result, struct err *e)
{
    const struct clioptions *o = &cli->options;
    auto_free char *path = o->file != NULL ? xstrdup(o->file) : find_here(e);
    struct compose_options options = {
        .path = path, .project = o->name, .env_file = o->env_file, .strict = o->strict};
    int rc = check_name(o->name, e);

    *ret_result = (struct compose_result){0};
    if (rc < 0 || path == NULL) {
        return rc < 0 ? rc : -EINVAL;
    }
    rc = compose_read(&options, ret_result);
    if (!o->quiet) {
        print_notes(cli, &ret_result->warnings, "warning:", TERM_WARN);
    }
    print_notes(cli, &ret_result->errors, "error:", TERM_BAD);
    return rc < 0 ? CLI_SAID : 0;
}
