// SPDX-License-Identifier: Apache-2.0
#include "common/compose_rule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/capname.h"
#include "common/cleanup.h"
#include "common/didyoumean.h"
#include "common/imageref.h"
#include "common/name.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define SHOWN  "\"%.100s\""

int compose_rule_name(const char *text, struct err *e)
{
    if (name_is_valid(text)) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no name (allowed: %s)", text, name_rule);
}

int compose_rule_volume_name(const char *text, struct err *e)
{
    size_t len = strlen(text);

    if (len > 0 && len <= COMPOSE_VOLUME_NAME && strspn(text, LOWER DIGITS "_.-") == len &&
        strchr("_.-", text[0]) == NULL) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no name of a volume (allowed: [a-z0-9][a-z0-9_.-]{0,126})",
                   text);
}

int compose_rule_image(const char *text, struct err *e)
{
    struct imageref ref;

    return imageref_parse(text, &ref, e);
}

/* A label of RFC 1123, both cases. */
static bool is_label(const char *p, size_t len)
{
    return len > 0 && len <= 63 && p[0] != '-' && p[len - 1] != '-';
}

int compose_rule_hostname(const char *text, struct err *e)
{
    size_t len = strlen(text);
    bool good = len <= 63 && strspn(text, LOWER UPPER DIGITS ".-") == len;

    for (const char *p = text; good && len > 0; p++) {
        size_t n = strcspn(p, ".");

        good = is_label(p, n);
        p += n;
        if (*p == '\0') {
            break;
        }
    }
    if (good) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no host name (allowed: letters, digits, '-' and '.', 63 in all)",
                   text);
}

/* A user or group: a decimal number in the container's range, or a name. */
static bool is_account(const char *p, size_t len)
{
    char number[6];

    if (len == 0 || len > 64) {
        return false;
    }
    if (strspn(p, DIGITS) < len) {
        return strchr(LOWER UPPER "_", p[0]) != NULL && strspn(p, LOWER UPPER DIGITS "_.-") >= len;
    }
    if (len > 5 || (p[0] == '0' && len > 1)) {
        return false;
    }
    memcpy(number, p, len);
    number[len] = '\0';
    return strtoul(number, NULL, 10) <= COMPOSE_UID_MAX;
}

int compose_rule_user(const char *text, struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);

    if (text[0] == '\0' ||
        (is_account(text, len) && (colon == NULL || is_account(colon + 1, strlen(colon + 1))))) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no user (allowed: name, uid, uid:gid, name:group; ids 0 to %u)", text,
                   COMPOSE_UID_MAX);
}

/* Begins with '/', and no part is empty, "." or "..". */
static bool is_clean(const char *p)
{
    if (p[0] != '/') {
        return false;
    }
    if (p[1] == '\0') {
        return true;
    }
    while (*p == '/') {
        size_t len = strcspn(++p, "/");

        if (len == 0 || len > 255 || (len == 1 && p[0] == '.') ||
            (len == 2 && memcmp(p, "..", 2) == 0)) {
            return false;
        }
        p += len;
    }
    return true;
}

int compose_rule_path(const char *text, struct err *e)
{
    if (is_clean(text) && strlen(text) < 4096) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no absolute path without \".\", \"..\" and \"//\"", text);
}

int compose_rule_working_dir(const char *text, struct err *e)
{
    return text[0] == '\0' ? 0 : compose_rule_path(text, e);
}

static bool is_below(const char *path, const char *root)
{
    size_t len = strlen(root);

    return strncmp(path, root, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

int compose_rule_target(const char *text, struct err *e)
{
    int rc = compose_rule_path(text, e);

    if (rc < 0) {
        return rc;
    }
    if (strcmp(text, "/") == 0 || strcmp(text, "/dev") == 0 || is_below(text, "/proc") ||
        is_below(text, "/sys")) {
        return err_say(e, EINVAL, SHOWN " cannot be mounted on: it is the sandbox's own", text);
    }
    return 0;
}

int compose_rule_host_ip(const char *text, struct err *e)
{
    struct in_addr address;

    if (text[0] == '\0' || inet_pton(AF_INET, text, &address) == 1) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no IPv4 address of the host", text);
}

int compose_rule_capability(const char *text, struct err *e)
{
    struct didyoumean near;
    char phrase[100];

    if (strcmp(text, "ALL") == 0 || capname_find(text) >= 0) {
        return 0;
    }
    didyoumean_start(&near, text);
    didyoumean_offer(&near, "ALL");
    for (unsigned i = 0; i < CAPNAME_N; i++) {
        didyoumean_offer(&near, capname_list[i]);
    }
    return err_say(e, EINVAL,
                   SHOWN " is no capability%s (allowed: ALL, or a name of capabilities(7))", text,
                   didyoumean_phrase(&near, phrase, sizeof(phrase)));
}

int compose_rule_variable(const char *text, struct err *e)
{
    if (text[0] != '\0' && strchr(text, '=') == NULL && strlen(text) <= 1024) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no name of a variable (allowed: text without '=')", text);
}

int compose_rule_label(const char *text, struct err *e)
{
    if (text[0] != '\0' && strlen(text) <= 1024) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no key of a label (allowed: 1 to 1024 bytes)", text);
}

int compose_rule_constraint_key(const char *text, struct err *e)
{
    static const char *const keys[] = {"node.id", "node.hostname", "node.platform.os",
                                       "node.platform.arch"};

    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(text, keys[i]) == 0) {
            return 0;
        }
    }
    if (strncmp(text, "node.labels.", 12) == 0 && text[12] != '\0') {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " cannot constrain (allowed: node.id, node.hostname, node.platform.os, "
                         "node.platform.arch, node.labels.KEY)",
                   text);
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text >= 0x7f) {
            return false;
        }
    }
    return true;
}

int compose_rule_http_path(const char *text, struct err *e)
{
    if (text[0] == '/' && is_printable(text) && strchr(text, '#') == NULL && strlen(text) <= 2048) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no path of a URL (allowed: begins with '/', no blanks)",
                   text);
}

int compose_rule_http_host(const char *text, struct err *e)
{
    if (strlen(text) <= 253 && strspn(text, LOWER UPPER DIGITS ".-_") == strlen(text)) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no host of a URL (allowed: a name or an IPv4 address)",
                   text);
}
