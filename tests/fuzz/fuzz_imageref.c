// SPDX-License-Identifier: Apache-2.0
/* Image references: whatever is taken has a normal form that stays itself. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/imageref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    struct imageref ref, again;
    struct err e;

    if (imageref_parse(text, &ref, &e) == 0) {
        assert(ref.name[0] != '\0' || ref.digest[0] != '\0');
        assert(strstr(ref.name, "../") == NULL && strstr(ref.name, "/.") == NULL);
        if (ref.name[0] != '\0' && ref.digest[0] == '\0') {
            assert(imageref_parse(ref.name, &again, &e) == 0);
            assert(strcmp(ref.name, again.name) == 0);
        }
    }
    free(text);
    return 0;
}
