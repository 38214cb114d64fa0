// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/client.h"

#define SLOT_DIGITS 6

/* ".3" at the end of a service's name. A service may have dots in its name, but hardly ".3". */
static uint32_t take_slot(char *service)
{
    char *dot = strrchr(service, '.');
    size_t digits = dot != NULL ? strspn(dot + 1, "0123456789") : 0;

    if (digits == 0 || digits > SLOT_DIGITS || dot[1 + digits] != '\0' || dot[1] == '0') {
        return 0;
    }
    dot[0] = '\0';
    return (uint32_t)strtoul(dot + 1, NULL, 10);
}

static int set_name(const char *what, const char *name, char ret[NAME_MAX_LEN + 1], struct err *e)
{
    if (!name_is_valid(name)) {
        return err_say(e, E2BIG, "'%s' is no name of a %s (%s)", name, what, name_rule);
    }
    (void)snprintf(ret, NAME_MAX_LEN + 1, "%s", name);
    return 0;
}

int target_parse(const char *text, bool slots, struct target *ret, struct err *e)
{
    auto_free char *copy = xstrdup(text);
    char *service = strchr(copy, '/');
    struct target t = {0};
    int rc;

    if (service != NULL) {
        *service++ = '\0';
        t.slot = slots ? take_slot(service) : 0;
    }
    rc = set_name("stack", copy, t.stack, e);
    if (rc == 0 && service != NULL) {
        rc = set_name("service", service, t.service, e);
    }
    if (rc == 0) {
        *ret = t;
    }
    return rc;
}

void target_add_path(const struct target *t, struct buf *path)
{
    buf_puts(path, "/v1/stacks");
    client_path_add(path, t->stack);
    if (t->service[0] != '\0') {
        client_path_add(path, t->service);
    }
}

void target_add_query(const struct target *t, struct buf *path)
{
    char slot[16];

    if (t->stack[0] != '\0') {
        client_query_add(path, "stack", t->stack);
    }
    if (t->service[0] != '\0') {
        client_query_add(path, "service", t->service);
    }
    if (t->slot > 0) {
        (void)snprintf(slot, sizeof(slot), "%u", t->slot);
        client_query_add(path, "slot", slot);
    }
}
