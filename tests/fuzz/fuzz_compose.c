// SPDX-License-Identifier: Apache-2.0
/* The Compose reader: whatever is taken is a document that passes the check of a stranger's, twice
 * the same; whatever is refused says why, in printable text. The first byte chooses YAML or JSON.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/compose.h"
#include "common/compose_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *lookup(void *arg, const char *name)
{
    (void)arg;
    return strlen(name) % 3 == 0 ? "value" : strlen(name) % 3 == 1 ? NULL : "";
}

static void check_notes(const struct compose_notes *notes)
{
    for (unsigned i = 0; i < notes->n; i++) {
        const char *text = notes->items[i].text;

        assert(text[0] != '\0' && text[strlen(text) - 1] == '\n');
        for (const char *p = text; *p != '\0'; p++) {
            assert((unsigned char)*p >= ' ' || *p == '\n');
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct compose_options options = {.path = size > 0 && data[0] == 'j' ? "c.json" : "c.yaml",
                                      .bytes = size > 0 ? data + 1 : data,
                                      .len = size > 0 ? size - 1 : 0,
                                      .directory = "/srv/shop",
                                      .lookup = lookup,
                                      .env_file = ""};
    struct compose_result first, again;
    int rc = compose_read(&options, &first);
    struct err e;

    assert((rc == 0) == (first.errors.n == 0) && (rc == 0) == (first.stack.message != NULL));
    check_notes(&first.errors);
    check_notes(&first.warnings);
    if (rc == 0) {
        uint8_t one[DOC_DIGEST], two[DOC_DIGEST];

        assert(compose_check((const Wherry__Spec__Stack *)first.stack.message, &e) == 0);
        assert(compose_read(&options, &again) == 0);
        doc_digest(first.stack.message, one);
        doc_digest(again.stack.message, two);
        assert(memcmp(one, two, sizeof(one)) == 0);
        compose_free(&again);
    }
    compose_free(&first);
    return 0;
}
