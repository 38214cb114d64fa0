// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/humane.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define WEEK   (7 * DAY)

static const struct unit {
    const char *name;
    uint64_t ms;
} units[] = {{"ms", 1}, {"s", SECOND}, {"m", MINUTE}, {"h", HOUR}, {"d", DAY}, {"w", WEEK}};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t humane_tick_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

uint64_t humane_now_unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

void humane_age(uint64_t ms, char ret[HUMANE_MAX])
{
    const struct unit *unit = &units[1];

    for (size_t i = 1; i < ARRAY_LEN(units); i++) {
        /* Two of a unit before it is used, but for minutes: "36h" says more than "1d". */
        if (ms >= units[i].ms * (units[i].ms > MINUTE ? 2 : 1)) {
            unit = &units[i];
        }
    }
    (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 "%s", ms / unit->ms, unit->name);
}

void humane_since(uint64_t now_unix_ms, uint64_t then_unix_ms, char ret[HUMANE_MAX])
{
    if (then_unix_ms == 0) {
        (void)snprintf(ret, HUMANE_MAX, "-");
        return;
    }
    humane_age(now_unix_ms > then_unix_ms ? now_unix_ms - then_unix_ms : 0, ret);
}

void humane_took(uint64_t ms, char ret[HUMANE_MAX])
{
    if (ms < SECOND) {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 " ms", ms);
    } else if (ms % SECOND < 100 && ms < MINUTE) {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 " s", ms / SECOND);
    } else if (ms < MINUTE) {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 ".%" PRIu64 " s", ms / SECOND,
                       ms % SECOND / 100);
    } else {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 " min %" PRIu64 " s", ms / MINUTE,
                       ms % MINUTE / SECOND);
    }
}

void humane_bytes(uint64_t bytes, char ret[HUMANE_MAX])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t scale = 1;
    uint64_t tenths;

    while (bytes / scale >= 1024) {
        scale *= 1024;
        unit++;
    }
    tenths = bytes % scale * 10 / 1024 / (scale > 1024 ? scale / 1024 : 1);
    if (unit == 0 || tenths == 0) {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 " %s", bytes / scale, names[unit]);
    } else {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 ".%" PRIu64 " %s", bytes / scale, tenths,
                       names[unit]);
    }
}

void humane_cores(uint64_t millis, char ret[HUMANE_MAX])
{
    if (millis % 1000 == 0) {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64, millis / 1000);
    } else {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64 ".%" PRIu64, millis / 1000, millis % 1000 / 100);
    }
}

void humane_clock(uint64_t unix_ms, char ret[HUMANE_MAX])
{
    time_t at = (time_t)(unix_ms / 1000);
    struct tm tm;

    if (localtime_r(&at, &tm) == NULL || strftime(ret, HUMANE_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        (void)snprintf(ret, HUMANE_MAX, "%" PRIu64, unix_ms);
    }
}

static const struct unit *unit_at(const char *text, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strlen(units[i].name) == len && strncmp(units[i].name, text, len) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

/* One "<number><unit>" of a duration. Returns the bytes it took; 0: it is none. */
static size_t part(const char *text, uint64_t *sum_ms)
{
    size_t digits = strspn(text, "0123456789");
    size_t letters = strspn(text + digits, "mshdw");
    const struct unit *unit = letters > 0 ? unit_at(text + digits, letters) : NULL;
    uint64_t more;

    if (digits == 0 || digits > 12 || unit == NULL) {
        return 0;
    }
    if (__builtin_mul_overflow(strtoull(text, NULL, 10), unit->ms, &more) ||
        __builtin_add_overflow(*sum_ms, more, sum_ms)) {
        return 0;
    }
    return digits + letters;
}

int humane_duration(const char *text, uint64_t *ret_ms, struct err *e)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t sum = 0;

    if (digits > 0 && digits <= 12 && text[digits] == '\0') {
        *ret_ms = strtoull(text, NULL, 10) * SECOND;
        return 0;
    }
    for (const char *at = text; at == text || *at != '\0';) {
        size_t n = part(at, &sum);

        if (n == 0) {
            return err_say(e, EINVAL, "'%s' is not a duration (such as 90s, 10m, 1h30m, 500ms)",
                           text);
        }
        at += n;
    }
    *ret_ms = sum;
    return 0;
}

static int calendar(const char *text, uint64_t *ret_unix_ms)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M", "%Y-%m-%d"};

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *rest = strptime(text, forms[i], &tm);
        time_t at;

        if (rest == NULL || (rest[0] != '\0' && strcmp(rest, "Z") != 0)) {
            continue;
        }
        at = rest[0] == 'Z' ? timegm(&tm) : mktime(&tm);
        if (at < 0) {
            return -EINVAL;
        }
        *ret_unix_ms = (uint64_t)at * 1000;
        return 0;
    }
    return -EINVAL;
}

int humane_moment(const char *text, uint64_t now_unix_ms, uint64_t *ret_unix_ms, struct err *e)
{
    uint64_t back;

    if (humane_duration(text, &back, NULL) == 0) {
        *ret_unix_ms = now_unix_ms > back ? now_unix_ms - back : 0;
        return 0;
    }
    if (calendar(text, ret_unix_ms) == 0) {
        return 0;
    }
    return err_say(e, EINVAL,
                   "'%s' is neither a duration back from now (10m, 1h30m) nor a time "
                   "(2026-11-24T20:00:00Z)",
                   text);
}
