// SPDX-License-Identifier: Apache-2.0
#include "agent/uv_agent_link_priv.h"

/* As with assignments: the next session begins with what is held, and is told what it should be. */
void uv_agent_link_services(struct uv_agent_link *l, const struct link_message *m)
{
    if (!uv_agent_net_services(l->agent, &m->u.services)) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL,
                          "after this the service tables differ: a whole one is needed");
    }
}
