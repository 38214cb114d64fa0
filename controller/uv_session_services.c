// SPDX-License-Identifier: Apache-2.0
/* What a node is told of the service table. A session knows a version up to which its node has
 * been told everything; what changed since is read from the table when the frame is made. A node
 * whose Hello has the table's sum is told nothing; else the whole, which counts at its end. Only a
 * frame after which nothing is left over carries the sum; of an entry that the node had then, only
 * the endpoints are told that changed since. */
#include <stdlib.h>

#include "controller/uv_session_priv.h"

#define FRAME_ITEMS 512u

struct filling {
    struct svc_entry changed[FRAME_ITEMS];
    struct link_service removed[FRAME_ITEMS];
    struct svc_patch patched[FRAME_ITEMS];
    struct svc_patch *patches[FRAME_ITEMS]; /* whose lists those point into */
    const struct svctable *table;
    uint64_t exact;
    struct link_services what;
    size_t size;
    bool full;
};

static bool fits(const struct filling *fill, size_t more)
{
    const struct link_services *s = &fill->what;

    return s->n_changed + s->n_removed + s->n_patched < FRAME_ITEMS &&
           (fill->size == 0 || fill->size + more <= LINK_FRAME_AIM);
}

/* NULL: it is told whole, because it has to be, or because that is shorter. */
static struct svc_patch *patch_of(const struct filling *fill, const struct svc_entry *entry)
{
    struct svc_patch *patch =
        entry != NULL && fill->exact > 0
            ? svctable_patch(fill->table, entry->stack, entry->service, fill->exact)
            : NULL;

    if (patch != NULL && codec_link_size_patch(patch) >= codec_link_size_service(entry)) {
        free(patch);
        return NULL;
    }
    return patch;
}

static size_t size_of(const struct svc_entry *entry, const struct svc_patch *patch)
{
    if (patch != NULL) {
        return codec_link_size_patch(patch);
    }
    return entry != NULL ? codec_link_size_service(entry) : 2 * FLEET_NAME;
}

static bool on_change(void *arg, uint64_t version, const char *stack, const char *service,
                      const struct svc_entry *entry)
{
    struct filling *fill = arg;
    struct link_services *s = &fill->what;
    struct svc_patch *patch = patch_of(fill, entry);
    size_t size = size_of(entry, patch);

    if (!fits(fill, size)) {
        free(patch);
        fill->full = true;
        return false;
    }
    if (patch != NULL) {
        fill->patched[s->n_patched] = *patch;
        fill->patches[s->n_patched++] = patch;
    } else if (entry != NULL) {
        fill->changed[s->n_changed++] = *entry;
    } else {
        fill->removed[s->n_removed++] = (struct link_service){stack, service};
    }
    fill->size += size;
    s->version = version;
    return true;
}

static void filling_free(struct filling *fill)
{
    for (unsigned i = 0; i < fill->what.n_patched; i++) {
        free(fill->patches[i]);
    }
    free(fill);
}

static void begin_whole(struct session *se, const struct svctable *t)
{
    se->services_known = se->services_whole = se->services_begin_due = true;
    se->services_begun = svctable_version(t);
    se->services_told = se->services_exact = 0;
}

/* False: not now. */
static bool begin(struct session *se, const struct svctable *t, bool complete)
{
    if (id128_equal(se->services_held, svctable_sum(t))) {
        se->services_known = true;
        se->services_begun = se->services_told = se->services_exact = svctable_version(t);
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
    fill->table = t;
    fill->exact = (se->features & LINK_FEATURE_PATCHES) != 0 ? se->services_exact : 0;
    fill->what.version = se->services_told;
    if (!svctable_whole(t, se->services_begun, se->services_told, on_change, fill)) {
        begin_whole(se, t); /* what was told of it is dropped by the node */
        fill->what.version = fill->exact = 0;
        (void)svctable_whole(t, se->services_begun, 0, on_change, fill);
    }
    fill->what.changed = fill->changed;
    fill->what.removed = fill->removed;
    fill->what.patched = fill->patched;
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
    if (fill->what.has_sum) {
        se->services_exact = se->services_told;
    }
    uv_session_write(se, &m);
    filling_free(fill);
    return true;
}
