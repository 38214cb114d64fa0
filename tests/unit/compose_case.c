// SPDX-License-Identifier: Apache-2.0
#include "compose_case.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static const char *lookup(void *arg, const char *name)
{
    static const char *const vars[][2] = {
        {"HOME", "/root"}, {"SET", "value"}, {"EMPTY", ""}, {"PORT", "8080"}, {"DOLLAR", "$x"}};

    (void)arg;
    for (unsigned i = 0; i < ARRAY_LEN(vars); i++) {
        if (strcmp(vars[i][0], name) == 0) {
            return vars[i][1];
        }
    }
    return NULL;
}

void compose_case_read(const char *file, const char *text, bool strict, struct compose_result *ret)
{
    const struct compose_options options = {.path = file,
                                            .bytes = text,
                                            .len = strlen(text),
                                            .directory = "/srv/shop",
                                            .lookup = lookup,
                                            .env_file = "",
                                            .strict = strict};

    (void)compose_read(&options, ret);
}

static char *notes_text(const struct compose_notes *notes)
{
    struct buf out = {0};

    for (unsigned i = 0; i < notes->n; i++) {
        buf_puts(&out, notes->items[i].text);
    }
    if (notes->left_out > 0) {
        buf_printf(&out, "%u more\n", notes->left_out);
    }
    return buf_take(&out);
}

char *compose_case_json(const char *text)
{
    auto_compose struct compose_result result = {0};
    struct buf out = {0};

    compose_case_read("c.yaml", text, false, &result);
    if (result.stack.message == NULL) {
        return notes_text(&result.errors);
    }
    doc_to_json(result.stack.message, &out);
    return buf_take(&out);
}

char *compose_case_errors(const char *text)
{
    auto_compose struct compose_result result = {0};

    compose_case_read("c.yaml", text, false, &result);
    return notes_text(&result.errors);
}

char *compose_case_warnings(const char *text)
{
    auto_compose struct compose_result result = {0};

    compose_case_read("c.yaml", text, false, &result);
    return notes_text(&result.warnings);
}

char *compose_case_service(const char *lines)
{
    auto_free char *text =
        xasprintf("services:\n  a:\n    image: busybox\n%svolumes:\n  data:\n", lines);

    return compose_case_json(text);
}
