// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/reply.h"

#include <inttypes.h>
#include <string.h>

const char *reply_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

uint64_t reply_number(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));

    return number > 0 ? (uint64_t)number : 0;
}

bool reply_flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const json_t *reply_list(const json_t *object, const char *key)
{
    const json_t *list = json_object_get(object, key);

    return json_is_array(list) ? list : NULL;
}

const json_t *reply_object(const json_t *object, const char *key)
{
    const json_t *found = json_object_get(object, key);

    return json_is_object(found) ? found : NULL;
}

const json_t *reply_find(const json_t *list, const char *key, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        if (strcmp(reply_text(one, key), text) == 0) {
            return one;
        }
    }
    return NULL;
}

static void add_port(const json_t *port, struct buf *out)
{
    const char *ip = reply_text(port, "host_ip");
    const char *protocol = reply_text(port, "protocol");

    if (ip[0] != '\0') {
        buf_printf(out, strchr(ip, ':') != NULL ? "[%s]:" : "%s:", ip);
    }
    if (reply_number(port, "published") > 0) {
        buf_printf(out, "%" PRIu64 "->", reply_number(port, "published"));
    }
    buf_printf(out, "%" PRIu64, reply_number(port, "target"));
    if (protocol[0] != '\0' && strcmp(protocol, "tcp") != 0) {
        buf_printf(out, "/%s", protocol);
    }
    if (strcmp(reply_text(port, "mode"), "host") == 0) {
        buf_puts(out, " (this host)"); /* the others are on every node */
    }
}

void reply_ports(const json_t *ports, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(ports); i++) {
        if (i > 0) {
            buf_puts(out, ", ");
        }
        add_port(json_array_get(ports, i), out);
    }
}
