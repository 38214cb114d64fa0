// SPDX-License-Identifier: Apache-2.0
#include "agent/capnames.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>

#include "common/capname.h"

#define BIT(cap) (1ull << (cap))

uint64_t capnames_default(bool root)
{
    return root ? BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_SETUID) |
                      BIT(CAP_SETGID) | BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE)
                : 0;
}

/* Every capability of this kernel that has a name. */
static uint64_t all(void)
{
    unsigned n = 0;

    while (n < CAPNAME_N && prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0) {
        n++;
    }
    return BIT(n) - 1;
}

int capnames_parse(const char *name, unsigned *ret, struct err *e)
{
    char upper[32] = "";
    int cap;

    for (size_t i = 0; i < sizeof(upper) - 1 && name[i] != '\0'; i++) {
        upper[i] = (char)toupper((unsigned char)name[i]);
    }
    cap = capname_find(strncmp(upper, "CAP_", 4) == 0 ? upper + 4 : upper);
    if (cap < 0) {
        return err_say(e, EINVAL, "\"%s\" is no capability; write for example NET_RAW, or ALL",
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

    for (unsigned cap = 0; cap < CAPNAME_N; cap++) {
        if ((caps & BIT(cap)) != 0) {
            buf_printf(ret, "%s%s", separator, capname_list[cap]);
            separator = ", ";
        }
    }
    if (caps == 0) {
        buf_puts(ret, "none");
    }
}
