// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/jsondiff.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "controller/cli/printer.h"
#include "controller/cli/term.h"

#define VALUE_MAX 60 /* bytes of one value; what is longer is cut */

struct walk {
    const char *head;
    unsigned left; /* lines */
    bool more;
    struct buf *out;
};

static void differ(struct walk *w, const char *path, const char *key, const json_t *from,
                   const json_t *to);

/* ---- one line ---- */

static void put_value(const char *key, const json_t *value, struct buf *out)
{
    auto_buf struct buf text = {0};
    char *dump;

    if (json_is_object(value) || json_is_array(value)) {
        dump = json_dumps(value, JSON_COMPACT);
        term_escape(dump != NULL ? dump : "", &text);
        free(dump);
    } else {
        printer_scalar(key, value, &text);
    }
    if (text.len == 0) {
        buf_puts(&text, "\"\"");
    }
    if (text.len > VALUE_MAX) {
        size_t cut = VALUE_MAX;

        while (cut > 0 && ((unsigned char)text.data[cut] & 0xc0) == 0x80) {
            cut--; /* not within a character */
        }
        text.data[cut] = '\0';
        buf_printf(out, "%s…", text.data);
        return;
    }
    buf_puts(out, buf_text(&text));
}

static void put_line(struct walk *w, const char *path, const char *key, const json_t *from,
                     const json_t *to)
{
    if (w->left == 0) {
        w->more = true;
        return;
    }
    w->left--;
    buf_printf(w->out, "%s", w->head);
    term_escape(path, w->out);
    buf_puts(w->out, ": ");
    put_value(key, from != NULL ? from : to, w->out);
    if (from != NULL && to != NULL) {
        buf_puts(w->out, " -> ");
        put_value(key, to, w->out);
    }
    buf_puts(w->out, from == NULL ? " (new)\n" : to == NULL ? " (gone)\n" : "\n");
}

/* ---- the walk ---- */

/* The container's own settings have no prefix: most of a service is there. */
static char *path_to(const char *path, const char *key)
{
    auto_buf struct buf shown = {0};

    if (path[0] == '\0' && strcmp(key, "container") == 0) {
        return xstrdup("");
    }
    printer_key(key, &shown);
    return xasprintf("%s%s%s", path, path[0] != '\0' ? "." : "", buf_text(&shown));
}

static void differ_in(struct walk *w, const char *path, const char *key, const json_t *from,
                      const json_t *to)
{
    auto_free char *below = path_to(path, key);

    differ(w, below, key, json_object_get(from, key), json_object_get(to, key));
}

static void differ_objects(struct walk *w, const char *path, const json_t *from, const json_t *to)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)from, key, value)
    {
        differ_in(w, path, key, from, to);
    }
    json_object_foreach((json_t *)(uintptr_t)to, key, value)
    {
        if (json_object_get(from, key) == NULL) {
            differ_in(w, path, key, from, to);
        }
    }
}

static bool is_plain_list(const json_t *list)
{
    return !json_is_object(json_array_get(list, 0));
}

static void differ_lists(struct walk *w, const char *path, const char *key, const json_t *from,
                         const json_t *to)
{
    size_t n =
        json_array_size(from) > json_array_size(to) ? json_array_size(from) : json_array_size(to);

    if (is_plain_list(from) || is_plain_list(to)) {
        put_line(w, path, key, from, to); /* the words of a command belong together */
        return;
    }
    for (size_t i = 0; i < n; i++) {
        auto_free char *below = xasprintf("%s[%zu]", path, i);

        differ(w, below, key, json_array_get(from, i), json_array_get(to, i));
    }
}

static void differ(struct walk *w, const char *path, const char *key, const json_t *from,
                   const json_t *to)
{
    if (json_equal(from, to)) {
        return;
    }
    if (json_is_object(from) && json_is_object(to)) {
        differ_objects(w, path, from, to);
    } else if (json_is_array(from) && json_is_array(to)) {
        differ_lists(w, path, key, from, to);
    } else if (json_is_object(from) || json_is_object(to)) {
        differ_objects(w, path, from, to); /* a whole group, new or gone */
    } else {
        put_line(w, path, key, from, to);
    }
}

void jsondiff_put(const json_t *from, const json_t *to, const char *head, unsigned max,
                  struct buf *out)
{
    struct walk w = {.head = head, .left = max, .out = out};

    differ(&w, "", "", from, to);
    if (w.more) {
        buf_printf(out, "%sand more\n", head);
    }
}
