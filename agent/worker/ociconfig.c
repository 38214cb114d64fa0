// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/ociconfig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/worker/jsonget.h"
#include "agent/worker/ocijson.h"
#include "common/cleanup.h"
#include "common/imageref.h"

#define STRING_MAX 65536 /* commands, environment */
#define PATH_LEN   4095
#define LIST_MAX   1024
#define NS_PER_MS  1000000u

const char *ociconfig_host_arch(void)
{
#if defined(__x86_64__)
    return "amd64";
#elif defined(__aarch64__)
    return "arm64";
#elif defined(__riscv)
    return "riscv64";
#elif defined(__powerpc64__)
    return "ppc64le";
#elif defined(__s390x__)
    return "s390x";
#else
    return "unknown";
#endif
}

/* Decimal digits only, at most `max`; -1 otherwise. */
static long parse_number(const char *text, long max)
{
    long value = 0;

    if (text[0] == '\0') {
        return -1;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9') {
            return -1;
        }
        value = value * 10 + (*p - '0');
        if (value > max) {
            return -1;
        }
    }
    return value;
}

unsigned ociconfig_signal(const char *text)
{
    long number = parse_number(text, 64);

    if (number >= 0) {
        return (unsigned)number;
    }
    if (strncasecmp(text, "SIG", 3) == 0) {
        text += 3;
    }
    if (strncasecmp(text, "RTMIN", 5) == 0) {
        long plus = text[5] == '+' ? parse_number(text + 6, 64 - SIGRTMIN) : text[5] ? -1 : 0;

        return plus < 0 ? 0 : (unsigned)(SIGRTMIN + plus);
    }
    for (int s = 1; s < 32; s++) {
        const char *name = sigabbrev_np(s);

        if (name != NULL && strcasecmp(name, text) == 0) {
            return (unsigned)s;
        }
    }
    return 0;
}

/* ---- lists ---- */

static int fill_strings(const json_t *config, const char *key, char ***strv, unsigned *n,
                        struct err *e)
{
    const json_t *list;
    int rc = jsonget_array(config, key, LIST_MAX, &list, e);

    *strv = xcalloc(1, sizeof(char *));
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (!json_is_string(item) || json_string_length(item) > STRING_MAX) {
            return err_say(e, EBADMSG, "'%s'[%zu] is not a string of at most %d bytes", key, i,
                           STRING_MAX);
        }
        image_strv_add(strv, n, json_string_value(item));
    }
    return 0;
}

/* The keys of an object that serves as a set. */
static int fill_keys(const json_t *config, const char *key, bool paths, char ***strv, unsigned *n,
                     struct err *e)
{
    const json_t *set;
    const char *name;
    json_t *ignored;
    int rc = jsonget_object(config, key, LIST_MAX, &set, e);

    *strv = xcalloc(1, sizeof(char *));
    if (rc < 0 || set == NULL) {
        return rc;
    }
    json_object_foreach((json_t *)set, name, ignored)
    {
        if (strlen(name) > PATH_LEN || name[0] == '\0' || (paths && name[0] != '/')) {
            return err_say(e, EBADMSG, "'%s' has the key '%.80s', which is not %s", key, name,
                           paths ? "an absolute path" : "a port");
        }
        image_strv_add(strv, n, name);
    }
    return 0;
}

static int fill_env(const json_t *config, struct image *image, struct err *e)
{
    char **strings = NULL;
    unsigned n = 0;
    int rc = fill_strings(config, "Env", &strings, &n, e);

    for (unsigned i = 0; i < n && rc == 0; i++) {
        char *equals = strchr(strings[i], '=');

        if (equals == NULL || equals == strings[i]) {
            rc = err_say(e, EBADMSG, "'Env'[%u] is '%.80s' (allowed: NAME=VALUE)", i, strings[i]);
            break;
        }
        *equals = '\0';
        image_pairs_add(&image->env, &image->n_env, strings[i], equals + 1);
    }
    image_strv_free(strings);
    return rc;
}

static int fill_labels(const json_t *config, struct image *image, struct err *e)
{
    const json_t *labels;
    const char *key;
    json_t *value;
    int rc = jsonget_object(config, "Labels", LIST_MAX, &labels, e);

    if (rc < 0 || labels == NULL) {
        return rc;
    }
    json_object_foreach((json_t *)labels, key, value)
    {
        if (!json_is_string(value) || json_string_length(value) > STRING_MAX ||
            strlen(key) > PATH_LEN) {
            return err_say(e, EBADMSG, "'Labels' has a value that is not a string");
        }
        image_pairs_add(&image->labels, &image->n_labels, key, json_string_value(value));
    }
    return 0;
}

/* ---- health check ---- */

static int fill_times(const json_t *check, struct image_health *health, struct err *e)
{
    struct {
        const char *key;
        uint64_t *to;
    } rows[] = {
        {"Interval", &health->interval_ms},
        {"Timeout", &health->timeout_ms},
        {"StartPeriod", &health->start_period_ms},
        {"StartInterval", &health->start_interval_ms},
    };
    uint64_t retries = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t ns;
        int rc = jsonget_u64(check, rows[i].key, &ns, e);

        if (rc < 0) {
            return rc;
        }
        *rows[i].to = (ns + NS_PER_MS - 1) / NS_PER_MS;
    }
    if (jsonget_u64(check, "Retries", &retries, e) < 0 || retries > 1000000) {
        return err_say(e, EBADMSG, "'Retries' is not a number from 0 to 1000000");
    }
    health->retries = (uint32_t)retries;
    return 0;
}

/* ["NONE"]; ["CMD", argv…]; ["CMD-SHELL", text]; []: as the base image says, so nothing. */
static int fill_health(const json_t *config, struct image *image, struct err *e)
{
    struct image_health *health = &image->health;
    const json_t *check;
    char **test = NULL;
    unsigned n = 0;
    int rc = jsonget_object(config, "Healthcheck", 64, &check, e);

    health->argv = xcalloc(1, sizeof(char *));
    if (rc < 0 || check == NULL) {
        return rc;
    }
    rc = fill_strings(check, "Test", &test, &n, e);
    if (rc == 0) {
        rc = fill_times(check, health, e);
    }
    health->set = rc == 0 && n > 0;
    if (health->set && strcmp(test[0], "CMD") == 0) {
        for (unsigned i = 1; i < n; i++) {
            image_strv_add(&health->argv, &health->argc, test[i]);
        }
    } else if (health->set && strcmp(test[0], "CMD-SHELL") == 0 && n == 2) {
        image_strv_add(&health->argv, &health->argc, "/bin/sh");
        image_strv_add(&health->argv, &health->argc, "-c");
        image_strv_add(&health->argv, &health->argc, test[1]);
    } else if (health->set && !(strcmp(test[0], "NONE") == 0 && n == 1)) {
        rc = err_say(e, EBADMSG,
                     "'Healthcheck.Test' begins with '%.80s' (allowed: NONE; CMD and "
                     "a command; CMD-SHELL and one text)",
                     test[0]);
    }
    image_strv_free(test);
    return rc;
}

/* ---- the whole ---- */

static int fill_texts(const json_t *config, struct image *image, struct err *e)
{
    const char *user, *workdir, *signal;
    int rc = jsonget_string(config, "User", PATH_LEN, &user, e);

    if (rc == 0) {
        rc = jsonget_string(config, "WorkingDir", PATH_LEN, &workdir, e);
    }
    if (rc == 0) {
        rc = jsonget_string(config, "StopSignal", 32, &signal, e);
    }
    if (rc < 0) {
        return rc;
    }
    if (workdir[0] != '\0' && workdir[0] != '/') {
        return err_say(e, EBADMSG, "'WorkingDir' is '%.80s', not an absolute path", workdir);
    }
    image->stop_signal = ociconfig_signal(signal);
    if (signal[0] != '\0' && image->stop_signal == 0) {
        return err_say(e, EBADMSG, "'StopSignal' is '%.32s', no signal's name or number", signal);
    }
    image->user = xstrdup(user);
    image->workdir = xstrdup(workdir);
    return 0;
}

static int fill_config(const json_t *config, struct image *image, struct err *e)
{
    int rc = fill_texts(config, image, e);

    if (rc == 0) {
        rc = fill_strings(config, "Entrypoint", &image->entrypoint, &image->n_entrypoint, e);
    }
    if (rc == 0) {
        rc = fill_strings(config, "Cmd", &image->cmd, &image->n_cmd, e);
    }
    if (rc == 0) {
        rc = fill_env(config, image, e);
    }
    if (rc == 0) {
        rc = fill_keys(config, "ExposedPorts", false, &image->ports, &image->n_ports, e);
    }
    if (rc == 0) {
        rc = fill_keys(config, "Volumes", true, &image->volumes, &image->n_volumes, e);
    }
    if (rc == 0) {
        rc = fill_labels(config, image, e);
    }
    return rc < 0 ? rc : fill_health(config, image, e);
}

static int fill_diff_ids(const json_t *root, struct image *image, struct err *e)
{
    const json_t *rootfs, *list;
    int rc = jsonget_object(root, "rootfs", 16, &rootfs, e);

    if (rc < 0 || rootfs == NULL) {
        return rc < 0 ? rc : err_say(e, EBADMSG, "'rootfs' is missing");
    }
    rc = jsonget_array(rootfs, "diff_ids", IMAGE_LAYERS_MAX, &list, e);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_array_get(list, i));

        if (id == NULL || !imageref_is_digest(id)) {
            return err_say(e, EBADMSG, "'rootfs.diff_ids'[%zu] is no sha256 digest", i);
        }
        image_diff_id_add(image, id);
    }
    return 0;
}

static int check_platform(const json_t *root, const char *arch, struct err *e)
{
    char os[24], has[24];
    int rc = jsonget_text(root, "os", os, sizeof(os), e);

    if (rc == 0) {
        rc = jsonget_text(root, "architecture", has, sizeof(has), e);
    }
    if (rc == 0 && (strcmp(os, "linux") != 0 || strcmp(has, arch) != 0)) {
        rc = err_say(e, ENOEXEC, "image is for %s/%s, this node is linux/%s",
                     os[0] != '\0' ? os : "?", has[0] != '\0' ? has : "?", arch);
    }
    return rc;
}

int ociconfig_parse(const char *text, size_t len, const char *arch, struct image *ret_image,
                    struct err *e)
{
    auto_json json_t *root = NULL;
    struct image image = {0};
    const json_t *config;
    int rc = jsonget_parse(text, len, OCIJSON_DEPTH_MAX, &root, e);

    if (rc < 0) {
        return rc;
    }
    if (!json_is_object(root)) {
        return err_say(e, EBADMSG, "document is not an object");
    }
    rc = check_platform(root, arch, e);
    if (rc == 0) {
        rc = fill_diff_ids(root, &image, e);
    }
    if (rc == 0) {
        rc = jsonget_object(root, "config", 64, &config, e);
    }
    if (rc == 0) {
        rc = fill_config(config, &image, e);
    }
    if (rc < 0) {
        image_finish(&image);
        return rc;
    }
    *ret_image = image;
    return 0;
}
