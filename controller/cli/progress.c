// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

#define REDRAW_MS        100
#define BAR_COLUMNS      20
#define NAME_MAX_COLUMNS 32

void progress_init(struct progress *p, const struct term *term)
{
    *p = (struct progress){.term = term};
}

void progress_finish(struct progress *p)
{
    for (size_t i = 0; i < p->n_said; i++) {
        free(p->said[i].name);
    }
    free(p->said);
    *p = (struct progress){0};
}

/* ---- a terminal ---- */

static bool is_done(const struct progress_row *row)
{
    return row->done >= row->wanted && row->note[0] == '\0';
}

static void put_bar(const struct progress_row *row, const struct term *term, struct buf *out)
{
    uint64_t done = row->done < row->wanted ? row->done : row->wanted;
    unsigned full = (unsigned)(done * BAR_COLUMNS / row->wanted);
    auto_buf struct buf bar = {0};

    for (unsigned i = 0; i < BAR_COLUMNS; i++) {
        buf_puts(&bar, i < full ? (term->utf8 ? "█" : "#") : (term->utf8 ? "░" : "."));
    }
    term_paint(term, row->style, buf_text(&bar), out);
}

static void put_row(const struct progress_row *row, const struct term *term, unsigned columns,
                    unsigned name_columns, struct buf *out)
{
    auto_buf struct buf name = {0};
    auto_buf struct buf tail = {0};
    auto_buf struct buf note = {0};
    unsigned used = 2 + name_columns + 2;

    term_cut(term, row->name, name_columns, &name);
    buf_printf(out, "  %s%*s  ", buf_text(&name), (int)(name_columns - term_width(buf_text(&name))),
               "");
    if (row->wanted > 0) {
        put_bar(row, term, out);
        buf_printf(&tail, " %" PRIu64 "/%" PRIu64 "  ", row->done, row->wanted);
        buf_puts(out, buf_text(&tail));
        used += BAR_COLUMNS + term_width(buf_text(&tail));
    }
    term_escape(row->note, &note);
    if (columns == 0 || used < columns) {
        term_cut(term, buf_text(&note), columns > 0 ? columns - used : UINT32_MAX, out);
    }
    buf_putc(out, '\n');
}

unsigned progress_render(const struct progress_row *rows, size_t n, const struct term *term,
                         unsigned columns, unsigned lines, struct buf *out)
{
    size_t room = lines > 0 && n > lines ? (lines > 1 ? lines - 1 : 1) : n;
    unsigned name_columns = 0;
    size_t shown = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned width = term_width(rows[i].name);

        name_columns = width > name_columns ? width : name_columns;
    }
    name_columns = name_columns < NAME_MAX_COLUMNS ? name_columns : NAME_MAX_COLUMNS;
    for (size_t i = 0; i < n; i++) {
        /* With room for all, in their order; else the ones that are done give way. */
        if (shown < room && (room == n || !is_done(&rows[i]))) {
            put_row(&rows[i], term, columns, name_columns, out);
            shown++;
        }
    }
    if (shown < n) {
        buf_printf(out, "  and %zu more\n", n - shown);
        return (unsigned)shown + 1;
    }
    return (unsigned)shown;
}

static void draw(struct progress *p, const struct progress_row *rows, size_t n)
{
    unsigned height = term_rows(p->term);
    auto_buf struct buf out = {0};

    if (p->drawn > 0) {
        buf_printf(&out, "\x1b[%uA", p->drawn);
    }
    buf_puts(&out, "\r\x1b[J");
    p->drawn =
        progress_render(rows, n, p->term, term_columns(p->term), height > 1 ? height - 1 : 0, &out);
    (void)fputs(buf_text(&out), p->term->file);
    (void)fflush(p->term->file);
}

/* ---- anything else ---- */

/* Whether the row tells something that the last line about it did not. */
static bool is_news(struct progress *p, const struct progress_row *row)
{
    size_t i;
    bool news;

    for (i = 0; i < p->n_said && strcmp(p->said[i].name, row->name) != 0; i++) {
    }
    if (i == p->n_said) {
        p->said = xrealloc(p->said, ++p->n_said, sizeof(*p->said));
        p->said[i].name = xstrdup(row->name);
        news = true;
    } else {
        news = p->said[i].done != row->done || p->said[i].wanted != row->wanted;
    }
    p->said[i].done = row->done;
    p->said[i].wanted = row->wanted;
    return news;
}

static void say(struct progress *p, const struct progress_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        auto_buf struct buf line = {0};

        if (!is_news(p, &rows[i])) {
            continue;
        }
        term_escape(rows[i].name, &line);
        if (rows[i].wanted > 0) {
            buf_printf(&line, " %" PRIu64 "/%" PRIu64, rows[i].done, rows[i].wanted);
        }
        if (rows[i].note[0] != '\0') {
            buf_puts(&line, ": ");
            term_escape(rows[i].note, &line);
        }
        (void)fprintf(p->term->file, "%s\n", buf_text(&line));
    }
    (void)fflush(p->term->file);
}

void progress_show(struct progress *p, const struct progress_row *rows, size_t n, uint64_t now_ms,
                   bool last)
{
    if (!last && p->drawn_ms != 0 && now_ms - p->drawn_ms < REDRAW_MS) {
        return;
    }
    p->drawn_ms = now_ms;
    if (p->term->tty) {
        draw(p, rows, n);
    } else {
        say(p, rows, n);
    }
}
