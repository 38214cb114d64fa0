// SPDX-License-Identifier: Apache-2.0
/* A document from two: services that are kept though the newer file has them no more, with the
 * volumes and networks that they use. */
#include <stdlib.h>
#include <string.h>

#include "common/doc.h"
#include "common/err.h"
#include "controller/codec_want_priv.h"

static Wherry__Spec__Service *service_in(const Wherry__Spec__Stack *m, const char *name)
{
    for (size_t i = 0; m != NULL && i < m->n_services; i++) {
        if (strcmp(m->services[i]->name, name) == 0) {
            return m->services[i];
        }
    }
    return NULL;
}

static Wherry__Spec__Volume *volume_in(const Wherry__Spec__Stack *m, const char *key)
{
    for (size_t i = 0; m != NULL && i < m->n_volumes; i++) {
        if (strcmp(m->volumes[i]->key, key) == 0) {
            return m->volumes[i];
        }
    }
    return NULL;
}

static Wherry__Spec__Network *network_in(Wherry__Spec__Network *const *list, size_t n,
                                         const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i]->name, name) == 0) {
            return list[i];
        }
    }
    return NULL;
}

static int service_order(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Service *const *)a)->name,
                  (*(Wherry__Spec__Service *const *)b)->name);
}

static int volume_order(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Volume *const *)a)->key,
                  (*(Wherry__Spec__Volume *const *)b)->key);
}

static int network_order(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Network *const *)a)->key,
                  (*(Wherry__Spec__Network *const *)b)->key);
}

static bool uses(const Wherry__Spec__Stack *m, const char *key)
{
    for (size_t i = 0; i < m->n_services; i++) {
        const Wherry__Spec__Container *c = m->services[i]->container;

        for (size_t k = 0; k < c->n_mounts; k++) {
            if (c->mounts[k]->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME &&
                strcmp(c->mounts[k]->source, key) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void merge_services(const Wherry__Spec__Stack *older, const Wherry__Spec__Stack *newer,
                           bool (*has)(void *arg, const char *service), void *arg,
                           Wherry__Spec__Stack *out)
{
    for (size_t i = 0; newer != NULL && i < newer->n_services; i++) {
        if (has(arg, newer->services[i]->name)) {
            out->services[out->n_services++] = newer->services[i];
        }
    }
    for (size_t i = 0; older != NULL && i < older->n_services; i++) {
        if (service_in(newer, older->services[i]->name) == NULL &&
            has(arg, older->services[i]->name)) {
            out->services[out->n_services++] = older->services[i];
        }
    }
    qsort(out->services, out->n_services, sizeof(Wherry__Spec__Service *), service_order);
}

/* The newer document's all; of the older's those that a service of it still mounts. */
static void merge_volumes(const Wherry__Spec__Stack *older, const Wherry__Spec__Stack *newer,
                          Wherry__Spec__Stack *out)
{
    for (size_t i = 0; newer != NULL && i < newer->n_volumes; i++) {
        out->volumes[out->n_volumes++] = newer->volumes[i];
    }
    for (size_t i = 0; older != NULL && i < older->n_volumes; i++) {
        if (volume_in(newer, older->volumes[i]->key) == NULL && uses(out, older->volumes[i]->key)) {
            out->volumes[out->n_volumes++] = older->volumes[i];
        }
    }
    qsort(out->volumes, out->n_volumes, sizeof(Wherry__Spec__Volume *), volume_order);
}

static bool is_on(const Wherry__Spec__Container *c, const char *network)
{
    for (size_t i = 0; i < c->n_networks; i++) {
        if (strcmp(c->networks[i]->name, network) == 0) {
            return true;
        }
    }
    return false;
}

/* Likewise; of the older's those that a service of it alone is on, as the fleet has it. */
static void merge_networks(const Wherry__Spec__Stack *older, const Wherry__Spec__Stack *newer,
                           Wherry__Spec__Stack *out)
{
    for (size_t i = 0; newer != NULL && i < newer->n_networks; i++) {
        out->networks[out->n_networks++] = newer->networks[i];
    }
    for (size_t i = 0; older != NULL && i < older->n_networks; i++) {
        Wherry__Spec__Network *n = older->networks[i];
        bool used = newer == NULL;

        for (size_t k = 0; k < out->n_services && !used; k++) {
            used = service_in(newer, out->services[k]->name) == NULL &&
                   is_on(out->services[k]->container, n->name);
        }
        if (used && network_in(out->networks, out->n_networks, n->name) == NULL) {
            out->networks[out->n_networks++] = n;
        }
    }
    qsort(out->networks, out->n_networks, sizeof(Wherry__Spec__Network *), network_order);
}

void codec_want_merge(const struct codec_want *older, const struct codec_want *newer,
                      const char *name, bool (*has)(void *arg, const char *service), void *arg,
                      struct buf *out)
{
    const Wherry__Spec__Stack *a = older != NULL ? codec_want_document(older) : NULL;
    const Wherry__Spec__Stack *b = newer != NULL ? codec_want_document(newer) : NULL;
    size_t services = (a != NULL ? a->n_services : 0) + (b != NULL ? b->n_services : 0);
    size_t volumes = (a != NULL ? a->n_volumes : 0) + (b != NULL ? b->n_volumes : 0);
    size_t networks = (a != NULL ? a->n_networks : 0) + (b != NULL ? b->n_networks : 0);
    Wherry__Spec__Stack m = WHERRY__SPEC__STACK__INIT;

    m.name = (char *)(uintptr_t)name;
    m.services = xcalloc(services + 1, sizeof(Wherry__Spec__Service *));
    m.volumes = xcalloc(volumes + 1, sizeof(Wherry__Spec__Volume *));
    merge_services(a, b, has, arg, &m);
    m.networks = xcalloc(networks + 1, sizeof(Wherry__Spec__Network *));
    merge_volumes(a, b, &m);
    merge_networks(a, b, &m);
    doc_encode(&m.base, out);
    free(m.networks);
    free(m.services);
    free(m.volumes);
}
