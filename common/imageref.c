// SPDX-License-Identifier: Apache-2.0
#include "common/imageref.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_REGISTRY "docker.io"
#define DEFAULT_FOLDER   "library/"
#define TAG_MAX          128
#define PATH_MAX_LEN     255 /* registry and path together, as the distribution project has it */

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

bool imageref_is_tag(const char *text)
{
    size_t len = 0;

    if (!is_alnum(text[0]) && text[0] != '_') {
        return false;
    }
    for (; text[len] != '\0'; len++) {
        char c = text[len];

        if (len >= TAG_MAX || (!is_alnum(c) && c != '_' && c != '.' && c != '-')) {
            return false;
        }
    }
    return true;
}

bool imageref_is_digest(const char *text)
{
    if (strncmp(text, "sha256:", 7) != 0) {
        return false;
    }
    for (int i = 7; i < IMAGEREF_DIGEST_LEN; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
    }
    return text[IMAGEREF_DIGEST_LEN] == '\0';
}

/* Length of a separator inside a path component: ".", "_", "__" or any number of "-". */
static size_t separator(const char *p, const char *end)
{
    size_t dashes = 0;

    if (*p == '.') {
        return 1;
    }
    if (*p == '_') {
        return p + 1 < end && p[1] == '_' ? 2 : 1;
    }
    while (p + dashes < end && p[dashes] == '-') {
        dashes++;
    }
    return dashes;
}

/* One component: [a-z0-9]+ (separator [a-z0-9]+)*. */
static bool component_is_valid(const char *p, const char *end)
{
    if (p == end || !is_lower(*p)) {
        return false;
    }
    while (p < end) {
        if (!is_lower(*p)) {
            size_t n = separator(p, end);

            if (n == 0 || p + n >= end || !is_lower(p[n])) {
                return false;
            }
            p += n;
        }
        p++;
    }
    return true;
}

static bool path_is_valid(const char *path)
{
    const char *p = path;

    for (;;) {
        const char *slash = strchr(p, '/');
        const char *end = slash != NULL ? slash : p + strlen(p);

        if (!component_is_valid(p, end)) {
            return false;
        }
        if (slash == NULL) {
            return true;
        }
        p = slash + 1;
    }
}

/* Host labels joined by dots, then perhaps ":port". */
static bool registry_is_valid(const char *text)
{
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    bool start = true;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '.' || c == '-') {
            bool joins_dash = c == '.' && (text[i - (i > 0)] == '-' || text[i + 1] == '-');

            if (start || i + 1 == len || joins_dash) {
                return false;
            }
            start = c == '.';
            continue;
        }
        if (!is_alnum(c)) {
            return false;
        }
        start = false;
    }
    if (len == 0) {
        return false;
    }
    return colon == NULL || (strlen(colon + 1) > 0 && strlen(colon + 1) <= 5 &&
                             strspn(colon + 1, "0123456789") == strlen(colon + 1));
}

/* Whether the first component names a registry rather than a folder. */
static bool first_is_registry(const char *first)
{
    return strpbrk(first, ".:") != NULL || strcmp(first, "localhost") == 0;
}

static int refuse(struct err *e, const char *text, const char *why)
{
    return err_say(
        e, EINVAL,
        "image name '%.200s' %s (allowed: [registry/]path[:tag][@sha256:digest], path in "
        "lower case)",
        text, why);
}

static int split_digest(char *work, const char *text, struct imageref *ref, struct err *e)
{
    char *at = strchr(work, '@');

    if (imageref_is_digest(work)) {
        memcpy(ref->digest, work, IMAGEREF_DIGEST_LEN + 1);
        work[0] = '\0';
        return 0;
    }
    if (at == NULL) {
        return 0;
    }
    if (!imageref_is_digest(at + 1)) {
        return refuse(e, text, "has a bad digest: 'sha256:' and 64 lower-case digits are wanted");
    }
    memcpy(ref->digest, at + 1, IMAGEREF_DIGEST_LEN + 1);
    *at = '\0';
    return work[0] != '\0' ? 0 : refuse(e, text, "has a digest but no path");
}

/* Cuts the tag off; NULL if there is none. */
static char *split_tag(char *work)
{
    char *slash = strrchr(work, '/');
    char *colon = strchr(slash != NULL ? slash : work, ':');

    if (colon == NULL) {
        return NULL;
    }
    *colon = '\0';
    return colon + 1;
}

static int assemble(char *work, const char *tag, const char *text, struct imageref *ref,
                    struct err *e)
{
    const char *registry = DEFAULT_REGISTRY;
    const char *path = work;
    char *slash = strchr(work, '/');
    const char *folder = "";

    if (slash != NULL) {
        *slash = '\0';
        if (first_is_registry(work)) {
            registry = work;
            path = slash + 1;
        } else {
            *slash = '/';
        }
    }
    if (strcmp(registry, "index.docker.io") == 0) {
        registry = DEFAULT_REGISTRY;
    }
    if (!registry_is_valid(registry)) {
        return refuse(e, text, "has a bad registry");
    }
    if (!path_is_valid(path)) {
        return refuse(e, text, "has a bad path");
    }
    if (strcmp(registry, DEFAULT_REGISTRY) == 0 && strchr(path, '/') == NULL) {
        folder = DEFAULT_FOLDER;
    }
    if (strlen(registry) + 1 + strlen(folder) + strlen(path) > PATH_MAX_LEN) {
        return refuse(e, text, "is longer than 255 bytes");
    }
    (void)snprintf(ref->name, sizeof(ref->name), "%s/%s%s%s%s", registry, folder, path,
                   tag != NULL ? ":" : "", tag != NULL ? tag : "");
    return 0;
}

int imageref_parse(const char *text, struct imageref *ret_ref, struct err *e)
{
    struct imageref ref = {0};
    char work[IMAGEREF_MAX];
    const char *tag;
    int rc;

    if (text[0] == '\0') {
        return refuse(e, text, "is empty");
    }
    if (strlen(text) >= sizeof(work) - 64) {
        return refuse(e, text, "is too long");
    }
    memcpy(work, text, strlen(text) + 1);
    rc = split_digest(work, text, &ref, e);
    if (rc < 0) {
        return rc;
    }
    if (work[0] != '\0') {
        tag = split_tag(work);
        if (tag != NULL && !imageref_is_tag(tag)) {
            return refuse(e, text, "has a bad tag");
        }
        if (tag == NULL && ref.digest[0] == '\0') {
            tag = "latest";
        }
        rc = assemble(work, tag, text, &ref, e);
        if (rc < 0) {
            return rc;
        }
    }
    *ret_ref = ref;
    return 0;
}

const char *imageref_short(const char *name)
{
    static const char *const prefixes[] = {DEFAULT_REGISTRY "/" DEFAULT_FOLDER,
                                           DEFAULT_REGISTRY "/"};

    for (unsigned i = 0; i < 2; i++) {
        size_t len = strlen(prefixes[i]);

        if (strncmp(name, prefixes[i], len) == 0) {
            return name + len;
        }
    }
    return name;
}
