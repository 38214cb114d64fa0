// SPDX-License-Identifier: Apache-2.0
#include "common/compose_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static const char *get_file_var(const struct compose_env *env, const char *name)
{
    for (unsigned i = env->n; i-- > 0;) {
        if (strcmp(env->vars[i].name, name) == 0) {
            return env->vars[i].value;
        }
    }
    return NULL;
}

const char *compose_env_get(void *arg, const char *name)
{
    const struct compose_env *env = arg;
    const char *value;

    if (env->project != NULL && strcmp(name, "COMPOSE_PROJECT_NAME") == 0) {
        return env->project;
    }
    value = env->lookup != NULL ? env->lookup(env->lookup_arg, name) : getenv(name);
    return value != NULL ? value : get_file_var(env, name);
}

static size_t blanks(const char *p)
{
    return strspn(p, " \t");
}

/* Reads a quoted value; `p` is behind the quote. Gives what follows the closing one, or NULL. */
static const char *read_quoted(const char *p, char quote, struct buf *out)
{
    static const char letters[] = "nrt", meant[] = "\n\r\t";

    for (; *p != '\0' && *p != quote; p++) {
        const char *letter = p[1] != '\0' ? strchr(letters, p[1]) : NULL;

        if (quote == '\'' || *p != '\\') {
            buf_putc(out, *p);
        } else if (letter != NULL) {
            buf_putc(out, meant[letter - letters]);
            p++;
        } else if (p[1] == '"' || p[1] == '\\') {
            buf_putc(out, *++p);
        } else {
            buf_putc(out, *p);
        }
    }
    return *p == quote ? p + 1 : NULL;
}

/* An unquoted value ends at the line's end or at " #". */
static const char *read_bare(const char *p, struct buf *out)
{
    size_t len = strcspn(p, "\r\n");
    const char *end = p + len;

    for (size_t i = 0; i < len; i++) {
        if (p[i] == '#' && (i == 0 || p[i - 1] == ' ' || p[i - 1] == '\t')) {
            len = i;
        }
    }
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t')) {
        len--;
    }
    buf_append(out, p, len);
    return end;
}

static int add(struct compose_env *env, const char *name, size_t len, const char *raw, bool literal,
               struct err *e)
{
    const struct compose_interp in = {.lookup = compose_env_get, .lookup_arg = env};
    struct buf value = {0};
    int rc = 0;

    if (env->n == COMPOSE_ENV_VARS_MAX) {
        return err_say(e, E2BIG, "more than %d variables", COMPOSE_ENV_VARS_MAX);
    }
    if (literal) {
        buf_puts(&value, raw);
    } else {
        rc = compose_interp_text(&in, raw, &value, e);
    }
    if (rc < 0) {
        buf_finish(&value);
        return rc;
    }
    env->vars = xrealloc(env->vars, env->n + 1, sizeof(*env->vars));
    env->vars[env->n++] =
        (struct compose_env_var){.name = xstrndup(name, len), .value = buf_take(&value)};
    return 0;
}

/* One variable; moves `text` behind it. A name alone says that the environment may set it. */
static int read_variable(struct compose_env *env, const char **text, struct err *e)
{
    auto_buf struct buf raw = {0};
    const char *name = *text, *p;
    size_t len;
    bool literal = false;

    if (strncmp(name, "export", 6) == 0 && blanks(name + 6) > 0) {
        name += 6 + blanks(name + 6);
    }
    len = compose_interp_name_length(name);
    p = name + len;
    p += blanks(p);
    if (len == 0 || (*p != '=' && *p != '\0' && *p != '\r' && *p != '\n')) {
        return err_say(e, EINVAL, "no variable (allowed: NAME=value)");
    }
    if (*p != '=') {
        *text = p;
        return 0;
    }
    p += 1 + blanks(p + 1);
    if (*p == '\'' || *p == '"') {
        literal = *p == '\'';
        p = read_quoted(p + 1, *p, &raw);
        if (p == NULL) {
            return err_say(e, EINVAL, "a quote is not closed");
        }
        p += blanks(p);
        p += *p == '#' ? strcspn(p, "\r\n") : 0;
        if (*p != '\0' && *p != '\r' && *p != '\n') {
            return err_say(e, EINVAL, "text follows the closing quote");
        }
    } else {
        p = read_bare(p, &raw);
    }
    *text = p;
    return add(env, name, len, buf_text(&raw), literal, e);
}

int compose_env_parse(struct compose_env *env, const char *text, struct err *e)
{
    const char *p = text;

    if (strncmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
    }
    for (;;) {
        const char *at = p += strspn(p, " \t\r\n");
        unsigned line = 1;
        int rc;

        if (*p == '\0') {
            return 0;
        }
        if (*p == '#') {
            p += strcspn(p, "\n");
            continue;
        }
        rc = read_variable(env, &p, e);
        if (rc < 0) {
            for (const char *q = text; q < at; q++) {
                line += *q == '\n';
            }
            return err_wrap(e, "line %u", line);
        }
    }
}

void compose_env_finish(struct compose_env *env)
{
    for (unsigned i = 0; i < env->n; i++) {
        free(env->vars[i].name);
        free(env->vars[i].value);
    }
    free(env->vars);
    env->vars = NULL;
    env->n = 0;
}
