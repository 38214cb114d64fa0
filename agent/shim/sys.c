// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/sys.h"

#ifdef WHERRY_FAILPOINTS
#include <stdlib.h>
#include <string.h>

static unsigned long calls;

bool sys_fails(void)
{
    const char *order = getenv("WHERRY_SHIM_FAIL");
    char *end;

    if (order == NULL || ++calls != strtoul(order, &end, 10)) {
        return false;
    }
    errno = *end == ':' ? (int)strtoul(end + 1, NULL, 10) : EIO;
    return true;
}

bool sys_denied(const char *feature)
{
    const char *list = getenv("WHERRY_SHIM_DENY");

    return list != NULL && strstr(list, feature) != NULL;
}
#endif
