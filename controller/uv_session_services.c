// SPDX-License-Identifier: Apache-2.0
/* What a node is told of the service table. A session knows a version up to which its node has
 * been told everything; what changed since is read from the table when the frame is made. A node
 * whose Hello has the table's sum is told nothing; else the whole, which counts at its end. Only a
 * frame after which nothing is left over carries the sum. */
#include <stdlib.h>

#include "controller/uv_session_priv.h"

#define FRAME_ITEMS 512u

struct filling {
    struct svc_entry changed[FRAME_ITEMS];
    struct link_service removed[FRAME_ITEMS];
    struct link_services what;
    size_t size;
    bool full;
};

static bool fits(const struct filling *fill, size_t more)
{
    return fill->what.n_changed + fill->what.n_removed < FRAME_ITEMS &&
           (fill->size == 0 || fill->size + more <= LINK_FRAME_AIM);
}

static bool on_change(void *arg, uint64_t version, const char *stack, const char *service,
                      const struct svc_entry *entry)
{
    struct filling *fill = arg;
    size_t size = entry != NULL ? codec_link_size_service(entry) : 2 * FLEET_NAME;

    if (!fits(fill, size)) {
        fill->full = true;
        return false;
    }
    if (entry != NULL) {
        fill->changed[fill->what.n_changed++] = *entry;
    } else {
        fill->removed[fill->what.n_removed++] = (struct link_service){stack, service};
    }
    fill->size += size;
    fill->what.version = version;
    return true;
}

static void begin_whole(struct session *se, const struct svctable *t)
{
    se->services_known = se->services_whole = se->services_begin_due = true;
    se->services_begun = svctable_version(t);
    se->services_told = 0;
}

/* False: not now. */
static bool begin(struct session *se, const struct svctable *t, bool complete)
{
    if (id128_equal(se->services_held, svctable_sum(t))) {
        se->services_known = true;
        se->services_begun = se->services_told = svctable_version(t);
        return true;
    }
    if (!complete && !id128_is_zero(se->services_held)) {
        return false;
    }
    begin_whole(se, t);
    return true;
}

static void fill_frame(struct session *se, const struct svctable *t, struct filling *fill)
{
    fill->what.version = se->services_told;
    if (!svctable_whole(t, se->services_begun, se->services_told, on_change, fill)) {
        begin_whole(se, t); /* what was told of it is dropped by the node */
        fill->what.version = 0;
        (void)svctable_whole(t, se->services_begun, 0, on_change, fill);
    }
    fill->what.changed = fill->changed;
    fill->what.removed = fill->removed;
    fill->what.whole_begin = se->services_begin_due;
    fill->what.has_sum = !fill->full;
    fill->what.whole_end = se->services_whole && !fill->full;
    fill->what.sum = svctable_sum(t);
    if (!fill->full) {
        fill->what.version = svctable_version(t);
    }
}

/* Whether there is something to tell. */
static bool is_due(struct session *se, const struct svctable *t, bool complete)
{
    if (t == NULL || (!se->services_known && !begin(se, t, complete))) {
        return false;
    }
    return se->services_whole || se->services_told != svctable_version(t);
}

bool uv_session_services(struct session *se)
{
    const struct uv_sessions_config *config = &se->owner->config;
    struct link_message m = {.kind = LINK_SERVICES};
    const struct svctable *t;
    struct filling *fill;
    bool complete = false;

    if ((se->features & LINK_FEATURE_SERVICES) == 0) {
        return false;
    }
    t = config->services(config->arg, &complete);
    if (!is_due(se, t, complete)) {
        return false;
    }
    fill = xcalloc(1, sizeof(*fill));
    fill_frame(se, t, fill);
    m.u.services = fill->what;
    se->services_told = fill->what.version;
    se->services_begin_due = false;
    se->services_whole &= !fill->what.whole_end;
    uv_session_write(se, &m);
    free(fill);
    return true;
}
