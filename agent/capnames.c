// SPDX-License-Identifier: Apache-2.0
#include "agent/capnames.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/capability.h>

#define BIT(cap) (1ull << (cap))

uint64_t capnames_default(bool root)
{
    return root ? BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_SETUID) |
                      BIT(CAP_SETGID) | BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE)
                : 0;
}

/* Every capability of this kernel. */
static uint64_t all(void)
{
    cap_value_t n = cap_max_bits();

    return n >= 64 ? UINT64_MAX : BIT(n) - 1;
}

int capnames_parse(const char *name, unsigned *ret, struct err *e)
{
    char text[64];
    cap_value_t cap;

    (void)snprintf(text, sizeof(text), "%s%s", strncasecmp(name, "cap_", 4) == 0 ? "" : "cap_",
                   name);
    if (cap_from_name(text, &cap) < 0 || cap < 0 || cap >= 64) {
        return err_say(e, EINVAL,
                       "\"%s\" is no capability of this host; write for example "
                       "NET_RAW, or ALL",
                       name);
    }
    *ret = (unsigned)cap;
    return 0;
}

static int parse_list(char *const *names, size_t n, bool *ret_all, uint64_t *ret, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        unsigned bit;
        int rc;

        if (strcasecmp(names[i], "ALL") == 0) {
            *ret_all = true;
            continue;
        }
        rc = capnames_parse(names[i], &bit, e);
        if (rc < 0) {
            return rc;
        }
        *ret |= BIT(bit);
    }
    return 0;
}

int capnames_apply(uint64_t base, char *const *add, size_t n_add, char *const *drop, size_t n_drop,
                   uint64_t *ret, struct err *e)
{
    uint64_t adds = 0, drops = 0;
    bool add_all = false, drop_all = false;

    if (parse_list(add, n_add, &add_all, &adds, e) < 0) {
        return err_wrap(e, "cap_add");
    }
    if (parse_list(drop, n_drop, &drop_all, &drops, e) < 0) {
        return err_wrap(e, "cap_drop");
    }
    if (add_all) {
        *ret = all() & ~drops;
    } else {
        *ret = (drop_all ? 0 : base & ~drops) | adds;
    }
    *ret &= all();
    return 0;
}

void capnames_text(uint64_t caps, struct buf *ret)
{
    const char *separator = "";

    for (cap_value_t cap = 0; cap < 64; cap++) {
        char *name = (caps & BIT(cap)) != 0 ? cap_to_name(cap) : NULL;

        if (name == NULL) {
            continue;
        }
        buf_puts(ret, separator);
        for (const char *c = strncasecmp(name, "cap_", 4) == 0 ? name + 4 : name; *c != '\0'; c++) {
            buf_putc(ret, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
        }
        separator = ", ";
        (void)cap_free(name);
    }
    if (caps == 0) {
        buf_puts(ret, "none");
    }
}
