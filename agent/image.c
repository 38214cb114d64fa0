// SPDX-License-Identifier: Apache-2.0
#include "agent/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

void image_strv_add(char ***strv, unsigned *n, const char *text)
{
    *strv = xrealloc(*strv, *n + 2, sizeof(char *));
    (*strv)[(*n)++] = xstrdup(text);
    (*strv)[*n] = NULL;
}

void image_strv_free(char **strv)
{
    if (strv == NULL) {
        return;
    }
    for (char **s = strv; *s != NULL; s++) {
        free(*s);
    }
    free(strv);
}

void image_pairs_add(struct image_pair **pairs, unsigned *n, const char *key, const char *value)
{
    *pairs = xrealloc(*pairs, *n + 1, sizeof(**pairs));
    (*pairs)[(*n)++] = (struct image_pair){.key = xstrdup(key), .value = xstrdup(value)};
}

void image_diff_id_add(struct image *image, const char *digest)
{
    size_t len = strlen(digest);

    assert(len < IMAGE_DIGEST_MAX);
    image->diff_ids = xrealloc(image->diff_ids, image->n_diff_ids + 1, sizeof(image->diff_ids[0]));
    memcpy(image->diff_ids[image->n_diff_ids++], digest, len + 1);
}

bool image_has_name(const struct image *image, const char *name)
{
    for (unsigned i = 0; i < image->n_names; i++) {
        if (strcmp(image->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void image_name_add(struct image *image, const char *name)
{
    if (!image_has_name(image, name)) {
        image_strv_add(&image->names, &image->n_names, name);
    }
}

void image_name_drop(struct image *image, const char *name)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < image->n_names; i++) {
        if (strcmp(image->names[i], name) == 0) {
            free(image->names[i]);
        } else {
            image->names[kept++] = image->names[i];
        }
    }
    image->n_names = kept;
    if (image->names != NULL) {
        image->names[kept] = NULL;
    }
}

static void pairs_free(struct image_pair *pairs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

void image_finish(struct image *image)
{
    image_strv_free(image->names);
    free(image->diff_ids);
    free(image->layers);
    image_strv_free(image->entrypoint);
    image_strv_free(image->cmd);
    pairs_free(image->env, image->n_env);
    free(image->user);
    free(image->workdir);
    image_strv_free(image->ports);
    image_strv_free(image->volumes);
    pairs_free(image->labels, image->n_labels);
    image_strv_free(image->health.argv);
    *image = (struct image){0};
}
