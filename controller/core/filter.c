// SPDX-License-Identifier: Apache-2.0
#include "controller/core/filter.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/imageref.h"
#include "common/rate.h"

#define GROUPS_MAX 6 /* different reasons told */
#define NAMES_MAX  5 /* nodes named with one reason */

struct question {
    const struct fleet *f;
    const struct service *s;
    const struct node *node;
};

#define AFTER(w, ...)  (void)snprintf((w)->after, sizeof((w)->after), __VA_ARGS__)
#define BEFORE(w, ...) (void)snprintf((w)->before, sizeof((w)->before), __VA_ARGS__)

/* ---- ready ---- */

static bool is_ready(const struct question *q)
{
    return roster_usable(q->node);
}

static void say_ready(const struct question *q, struct filter_words *w)
{
    if (q->node->state == FLEET_NODE_STATE_READY) {
        AFTER(w, ": has not reported all it runs yet");
    } else {
        AFTER(w, " is %s", fleet_node_state_name(q->node->state));
    }
}

/* ---- constraints ---- */

static const char *fact(const struct node *node, const char *key, char hex[ID128_HEX + 1])
{
    static const char labels[] = "node.labels.";

    if (strcmp(key, "node.id") == 0) {
        id128_to_hex(node->id, hex);
        return hex;
    }
    if (strcmp(key, "node.hostname") == 0) {
        return node->name;
    }
    if (strcmp(key, "node.platform.os") == 0) {
        return node->has_facts ? node->facts.os : "";
    }
    if (strcmp(key, "node.platform.arch") == 0) {
        return node->has_facts ? node->facts.arch : "";
    }
    if (strncmp(key, labels, sizeof(labels) - 1) != 0) {
        return "";
    }
    for (unsigned i = 0; node->has_facts && i < node->facts.n_labels; i++) {
        if (strcmp(node->facts.labels[i].key, key + sizeof(labels) - 1) == 0) {
            return node->facts.labels[i].value;
        }
    }
    return "";
}

bool filter_constraints_hold(const struct fleet_want *want, const struct node *node,
                             const struct fleet_constraint **ret_broken)
{
    char hex[ID128_HEX + 1];

    for (unsigned i = 0; i < want->n_constraints; i++) {
        const struct fleet_constraint *c = &want->constraints[i];

        if ((strcmp(fact(node, c->key, hex), c->value) == 0) == c->negated) {
            *ret_broken = c;
            return false;
        }
    }
    return true;
}

static bool is_constrained(const struct question *q)
{
    const struct fleet_constraint *broken;

    return filter_constraints_hold(q->s->want, q->node, &broken);
}

static void say_constrained(const struct question *q, struct filter_words *w)
{
    const struct fleet_constraint *broken = NULL;

    (void)filter_constraints_hold(q->s->want, q->node, &broken);
    assert(broken != NULL);
    AFTER(w, ": constraint %.60s %s %.60s", broken->key,
          broken->negated ? "!=" : "==", broken->value);
}

/* ---- volumes ---- */

static const struct fleet_volume_use *volume_elsewhere(const struct question *q,
                                                       const struct binding **ret)
{
    const struct fleet_ask *a = &q->s->ask->a;

    for (unsigned i = 0; i < a->n_volumes; i++) {
        const struct binding *b = tables_binding(q->f, a->volumes[i].name);

        *ret = b;
        if (b == NULL ? a->volumes[i].external : b->node != q->node) {
            return &a->volumes[i];
        }
    }
    return NULL;
}

static bool has_volumes(const struct question *q)
{
    const struct binding *b;

    return volume_elsewhere(q, &b) == NULL;
}

/* The same words for every node, so that it is said once. */
static void say_volumes(const struct question *q, struct filter_words *w)
{
    const struct binding *b;
    const struct fleet_volume_use *v = volume_elsewhere(q, &b);
    char at[32];

    if (b == NULL) {
        BEFORE(w, "external volume %s does not exist yet, not on ", v->name);
    } else if (b->node->state == FLEET_NODE_STATE_UNKNOWN) {
        words_clock(b->node->since_unix_ms, at);
        BEFORE(w, "volume %s lives on %s, unknown since %s, not on ", v->name, b->node->name, at);
    } else if (b->node->state == FLEET_NODE_STATE_LOST) {
        BEFORE(w,
               "volume %s lives on %s, which is lost (`wherry volume forget` gives it up), not "
               "on ",
               v->name, b->node->name);
    } else {
        BEFORE(w, "volume %s lives on %s, not on ", v->name, b->node->name);
    }
}

/* ---- image ---- */

/* By its digest, whatever it is called there: a document that names one wants that build. */
static const struct fleet_image *image_of_digest(const struct node *node, const char *digest)
{
    for (unsigned i = 0; i < node->facts.n_images; i++) {
        if (strcmp(node->facts.images[i].digest, digest) == 0) {
            return &node->facts.images[i];
        }
    }
    return NULL;
}

const struct fleet_image *filter_image(const struct node *node, const char *reference)
{
    const char *digest = strchr(reference, '@');
    unsigned low = 0, high = node->facts.n_images;

    if (digest != NULL) {
        return image_of_digest(node, digest + 1);
    }
    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (strcmp(node->facts.images[mid].name, reference) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == node->facts.n_images || strcmp(node->facts.images[low].name, reference) != 0) {
        return NULL;
    }
    return &node->facts.images[low];
}

static bool has_image(const struct question *q)
{
    const struct fleet_image *image = filter_image(q->node, q->s->want->image);

    return image != NULL && (q->s->pin[0] == '\0' || strcmp(image->digest, q->s->pin) == 0);
}

static void say_image(const struct question *q, struct filter_words *w)
{
    const struct fleet_image *image = filter_image(q->node, q->s->want->image);
    const char *name = imageref_short(q->s->want->image);

    name += name[0] == '@'; /* a digest alone */
    if (image == NULL) {
        BEFORE(w, "image %.120s is not on ", name);
        AFTER(w, "; load it with wherry-agent image load");
    } else {
        BEFORE(w, "image %.120s is another build on ", name);
        AFTER(w, ": %.19s instead of %.19s", image->digest, q->s->pin);
    }
}

/* ---- resources ---- */

static uint64_t left(uint64_t total, uint64_t used)
{
    return total > used ? total - used : 0;
}

static bool has_memory(const struct question *q)
{
    return q->s->ask->a.reserve.memory_bytes <=
           left(q->node->facts.total.memory_bytes, q->node->reserved.memory_bytes);
}

static void say_memory(const struct question *q, struct filter_words *w)
{
    char asked[32], free_[32];

    words_bytes(q->s->ask->a.reserve.memory_bytes, asked);
    words_bytes(left(q->node->facts.total.memory_bytes, q->node->reserved.memory_bytes), free_);
    AFTER(w, ": %s of memory asked, %s free", asked, free_);
}

static bool has_cpu(const struct question *q)
{
    return q->s->ask->a.reserve.cpu_millis <=
           left(q->node->facts.total.cpu_millis, q->node->reserved.cpu_millis);
}

static void say_cpu(const struct question *q, struct filter_words *w)
{
    uint64_t asked = q->s->ask->a.reserve.cpu_millis;
    uint64_t free_ = left(q->node->facts.total.cpu_millis, q->node->reserved.cpu_millis);

    AFTER(w, ": %" PRIu64 ".%03" PRIu64 " CPUs asked, %" PRIu64 ".%03" PRIu64 " free", asked / 1000,
          asked % 1000, free_ / 1000, free_ % 1000);
}

static bool has_pids(const struct question *q)
{
    return q->s->ask->a.reserve.pids <= left(q->node->facts.total.pids, q->node->reserved.pids);
}

static void say_pids(const struct question *q, struct filter_words *w)
{
    AFTER(w, ": %" PRIu64 " processes asked, %" PRIu64 " free", q->s->ask->a.reserve.pids,
          left(q->node->facts.total.pids, q->node->reserved.pids));
}

/* The two directions do not share: a link carries both at once. */
static bool fits(uint64_t asked, uint64_t total, uint64_t used)
{
    return asked == 0 || total == 0 || asked <= left(total, used);
}

static bool has_bandwidth(const struct question *q)
{
    const struct fleet_reserve *asked = &q->s->ask->a.reserve;
    const struct fleet_reserve *total = &q->node->facts.total;
    const struct fleet_reserve *used = &q->node->reserved;

    return fits(asked->bits_in, total->bits_in, used->bits_in) &&
           fits(asked->bits_out, total->bits_out, used->bits_out);
}

static void say_bandwidth(const struct question *q, struct filter_words *w)
{
    const struct fleet_reserve *asked = &q->s->ask->a.reserve;
    const struct fleet_reserve *total = &q->node->facts.total;
    const struct fleet_reserve *used = &q->node->reserved;
    bool in = !fits(asked->bits_in, total->bits_in, used->bits_in);
    char wanted[RATE_TEXT], free_[RATE_TEXT];

    rate_text(in ? asked->bits_in : asked->bits_out, wanted);
    rate_text(in ? left(total->bits_in, used->bits_in) : left(total->bits_out, used->bits_out),
              free_);
    AFTER(w, ": %s of bandwidth %s asked, %s free", wanted, in ? "in" : "out", free_);
}

/* The first and the last are no container's. */
static uint32_t block_size(const struct question *q)
{
    return ((uint32_t)1 << (32 - q->f->node_prefix)) - 2;
}

static bool has_address(const struct question *q)
{
    return !q->s->ask->a.linked || q->f->node_prefix == 0 || q->node->addresses < block_size(q);
}

static void say_address(const struct question *q, struct filter_words *w)
{
    AFTER(w, ": all %u addresses of its block are taken", block_size(q));
}

static const struct fleet_port *port_taken(const struct question *q, const struct port_use **ret)
{
    const struct fleet_ask *a = &q->s->ask->a;

    for (unsigned i = 0; i < a->n_ports; i++) {
        if (!capacity_port_free(q->f, q->node, &a->ports[i], q->s, ret)) {
            return &a->ports[i];
        }
    }
    return NULL;
}

static bool has_ports(const struct question *q)
{
    const struct port_use *taken;

    return port_taken(q, &taken) == NULL;
}

static void say_ports(const struct question *q, struct filter_words *w)
{
    const struct port_use *taken = NULL;
    const struct fleet_port *port = port_taken(q, &taken);

    AFTER(w, ": port %u/%s is %s by %s/%s", port->port, port->udp ? "udp" : "tcp",
          taken->port.ingress ? "published" : "taken", taken->service->stack->name,
          taken->service->name);
}

/* ---- bound per node ---- */

static bool is_below_bound(const struct question *q)
{
    return q->s->want->max_per_node == 0 || q->node->count < q->s->want->max_per_node;
}

static void say_bound(const struct question *q, struct filter_words *w)
{
    AFTER(w, ": has %u already (max_replicas_per_node)", q->node->count);
}

/* In the order in which they are asked: what needs the operator most comes first. */
static const struct filter_row {
    bool (*accepts)(const struct question *q);
    void (*say)(const struct question *q, struct filter_words *w);
} rows[] = {
    {is_ready, say_ready},      {is_constrained, say_constrained}, {has_volumes, say_volumes},
    {has_image, say_image},     {has_memory, say_memory},          {has_cpu, say_cpu},
    {has_pids, say_pids},       {has_bandwidth, say_bandwidth},    {has_ports, say_ports},
    {has_address, say_address}, {is_below_bound, say_bound},
};

static const struct filter_row *refusing(const struct question *q)
{
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        if (!rows[i].accepts(q)) {
            return &rows[i];
        }
    }
    return NULL;
}

bool filter_accepts(const struct fleet *f, const struct service *s, const struct node *node)
{
    return refusing(&(struct question){f, s, node}) == NULL;
}

struct group {
    struct filter_words words;
    const struct node *names[NAMES_MAX];
    unsigned n;
};

static void group_add(struct group groups[GROUPS_MAX], unsigned *n, unsigned *more,
                      const struct filter_words *w, const struct node *node)
{
    unsigned i = 0;

    while (i < *n && (strcmp(groups[i].words.before, w->before) != 0 ||
                      strcmp(groups[i].words.after, w->after) != 0)) {
        i++;
    }
    if (i == GROUPS_MAX) {
        (*more)++;
        return;
    }
    if (i == *n) {
        groups[(*n)++] = (struct group){.words = *w};
    }
    if (groups[i].n < NAMES_MAX) {
        groups[i].names[groups[i].n] = node;
    }
    groups[i].n++;
}

static void group_say(const struct group *g, struct buf *out)
{
    buf_puts(out, g->words.before);
    for (unsigned i = 0; i < g->n && i < NAMES_MAX; i++) {
        buf_printf(out, "%s%s", i > 0 ? ", " : "", g->names[i]->name);
    }
    if (g->n > NAMES_MAX) {
        buf_printf(out, " and %u more", g->n - NAMES_MAX);
    }
    buf_puts(out, g->words.after);
}

void filter_explain(const struct fleet *f, const struct service *s, const struct node *only,
                    char ret_text[FLEET_TEXT])
{
    struct group groups[GROUPS_MAX] = {0};
    unsigned n = 0, more = 0;
    auto_buf struct buf out = {0};

    for (unsigned i = 0; i < f->n_nodes; i++) {
        struct question q = {f, s, f->nodes[i]};
        const struct filter_row *row = only == NULL || only == q.node ? refusing(&q) : NULL;
        struct filter_words w = {0};

        if (row != NULL) {
            row->say(&q, &w);
            group_add(groups, &n, &more, &w, q.node);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        buf_puts(&out, i > 0 ? "; " : "");
        group_say(&groups[i], &out);
    }
    if (more > 0) {
        buf_printf(&out, "; and %u more", more);
    }
    (void)snprintf(ret_text, FLEET_TEXT, "%s",
                   f->n_nodes == 0 ? "no node has joined the cluster yet" : buf_text(&out));
}
