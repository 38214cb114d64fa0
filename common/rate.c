// SPDX-License-Identifier: Apache-2.0
#include "common/rate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define DECIMALS_MAX 9u /* of a gigabit that is a bit */

static const struct unit {
    const char *name;
    uint64_t bits;
} units[] = {{"gbit", 1000000000u}, {"mbit", 1000000u}, {"kbit", 1000u}, {"bit", 1u}};

void rate_text(uint64_t bits_per_s, char ret[RATE_TEXT])
{
    const struct unit *u = units;
    unsigned rest, decimals = 3;

    while (u->bits > 1 && bits_per_s < u->bits) {
        u++;
    }
    rest = u->bits > 1 ? (unsigned)(bits_per_s % u->bits / (u->bits / 1000)) : 0;
    for (; decimals > 0 && rest % 10 == 0; decimals--) {
        rest /= 10;
    }
    if (decimals == 0) {
        (void)snprintf(ret, RATE_TEXT, "%" PRIu64 "%s", bits_per_s / u->bits, u->name);
    } else {
        (void)snprintf(ret, RATE_TEXT, "%" PRIu64 ".%0*u%s", bits_per_s / u->bits, (int)decimals,
                       rest, u->name);
    }
}

/* Digits as a number; false: too many. */
static bool read_digits(const char **text, unsigned digits_max, uint64_t *ret, unsigned *ret_n)
{
    unsigned n = 0;
    uint64_t value = 0;

    for (; **text >= '0' && **text <= '9'; (*text)++, n++) {
        if (n == digits_max) {
            return false;
        }
        value = value * 10 + (uint64_t)(**text - '0');
    }
    *ret = value;
    *ret_n = n;
    return true;
}

static const struct unit *find_unit(const char *name)
{
    if (name[0] == '\0') {
        return &units[ARRAY_LEN(units) - 1];
    }
    for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
        if (strcasecmp(name, units[i].name) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

int rate_parse(const char *text, uint64_t *ret, struct err *e)
{
    const char *p = text;
    const struct unit *u;
    uint64_t whole = 0, part = 0, bits;
    unsigned n = 0, decimals = 0;
    bool fits = read_digits(&p, 18, &whole, &n);

    if (fits && n > 0 && *p == '.') {
        p++;
        fits = read_digits(&p, DECIMALS_MAX, &part, &decimals);
        n = decimals;
    }
    u = fits && n > 0 ? find_unit(p) : NULL;
    if (fits && u == NULL) {
        return err_say(e, EINVAL, "\"%.100s\" is no rate (allowed: like 10mbit, 1.5gbit, 64kbit)",
                       text);
    }
    if (!fits || __builtin_mul_overflow(whole, u->bits, &bits)) {
        return err_say(e, ERANGE, "\"%.100s\" is too large", text);
    }
    for (part *= u->bits; decimals > 0; decimals--) {
        part /= 10;
    }
    *ret = bits + part;
    return 0;
}
