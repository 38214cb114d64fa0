// SPDX-License-Identifier: Apache-2.0
/* Whether nothing goes from node to node but by WireGuard, as the controller says at each welcome;
 * until then what the last agent had in force stays. This node's key is new with each agent, and
 * goes to the others by the controller. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/uv_agent_net_priv.h"
#include "common/log.h"

void uv_agent_net_encrypt_apply(struct uv_agent_net *n)
{
    uint8_t key[NET_KEY] = {0};
    bool could = n->encrypt_why[0] == '\0';
    struct err e;

    n->encrypt_why[0] = '\0';
    if (net_encrypt(n->up->net, n->encrypt, key, &e) < 0) {
        (void)snprintf(n->encrypt_why, sizeof(n->encrypt_why),
                       "the cluster is encrypted, and this node neither reaches others nor is "
                       "reached by them: %s",
                       e.text);
        log_error("network: %s", n->encrypt_why);
    }
    if (memcmp(key, n->key, sizeof(key)) != 0 || could != (n->encrypt_why[0] == '\0')) {
        memcpy(n->key, key, sizeof(key));
        uv_agent_link_facts(n->agent);
    }
}

void uv_agent_net_encrypt(struct uv_agent *a, bool on)
{
    struct uv_agent_net *n = a->net;

    if (n == NULL) {
        return;
    }
    n->encrypt_told = true;
    n->encrypt = on;
    if (n->up != NULL) {
        uv_agent_net_encrypt_apply(n);
    }
}

void uv_agent_net_key(const struct uv_agent *a, uint8_t ret[UV_AGENT_KEY])
{
    static_assert(NET_KEY == UV_AGENT_KEY, "one kind of key");
    memset(ret, 0, UV_AGENT_KEY);
    if (a->net != NULL) {
        memcpy(ret, a->net->key, UV_AGENT_KEY);
    }
}
