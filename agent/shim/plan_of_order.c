// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/plan_of_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spec.pb-c.h"

/* ---- what is executed ---- */

static void add_all(struct plan_of_order *own, char *const *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        image_strv_add(&own->argv, &own->n_argv, from[i]);
    }
}

/* Docker's rule: an entrypoint in the file replaces the image's and drops the image's command; a
 * command in the file replaces the image's command only. */
static void take_argv(const Wherry__Spec__Container *spec, const struct image *image,
                      struct plan_of_order *own)
{
    if (spec->entrypoint != NULL) {
        add_all(own, spec->entrypoint->arg, spec->entrypoint->n_arg);
    } else {
        add_all(own, image->entrypoint, image->n_entrypoint);
    }
    if (spec->command != NULL) {
        add_all(own, spec->command->arg, spec->command->n_arg);
    } else if (spec->entrypoint == NULL) {
        add_all(own, image->cmd, image->n_cmd);
    }
}

/* ---- its environment ---- */

static void set_env(struct plan_of_order *own, const char *key, const char *value)
{
    char *text = xasprintf("%s=%s", key, value);
    size_t n = strlen(key) + 1;

    for (unsigned i = 0; i < own->n_env; i++) {
        if (strncmp(own->env[i], text, n) == 0) {
            free(own->env[i]);
            own->env[i] = text;
            return;
        }
    }
    image_strv_add(&own->env, &own->n_env, text);
    free(text);
}

/* Ours first, then the image's, then the file's: the later one wins. HOME is left to the shim, who
 * sees the container's /etc/passwd. */
static void take_env(const Wherry__Spec__Container *spec, const struct image *image,
                     const char *hostname, struct plan_of_order *own)
{
    set_env(own, "PATH", PLAN_OF_ORDER_PATH);
    set_env(own, "HOSTNAME", hostname);
    for (unsigned i = 0; i < image->n_env; i++) {
        set_env(own, image->env[i].key, image->env[i].value);
    }
    for (size_t i = 0; i < spec->n_environment; i++) {
        set_env(own, spec->environment[i]->key, spec->environment[i]->value);
    }
}

/* ---- mounts and layers ---- */

/* 0: as the plan has it where nothing limits the container. */
static uint64_t tmpfs_bytes(const Wherry__Spec__Container *spec, const Wherry__Spec__Mount *m)
{
    if (m->tmpfs_size_bytes > 0 || spec->limits == NULL) {
        return m->tmpfs_size_bytes;
    }
    return spec->limits->memory_bytes / 2;
}

static void take_mounts(const struct order *order, const char *const *sources,
                        struct plan_of_order *own)
{
    const Wherry__Spec__Container *spec = order_spec(order);

    own->mounts = xcalloc(spec->n_mounts, sizeof(*own->mounts));
    for (size_t i = 0; i < spec->n_mounts; i++) {
        const Wherry__Spec__Mount *m = spec->mounts[i];
        bool tmpfs = m->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_TMPFS;

        own->mounts[own->n_mounts++] = (struct plan_mount){
            .kind = tmpfs ? PLAN_MOUNT_TMPFS : PLAN_MOUNT_BIND,
            .source = tmpfs ? NULL : sources[i],
            .target = m->target,
            .read_only = m->read_only,
            .create = !tmpfs && m->create_host_path,
            .size_bytes = tmpfs_bytes(spec, m),
            .mode = m->tmpfs_mode,
        };
    }
}

static void take_layers(const struct image *image, struct plan_of_order *own)
{
    own->layers = xcalloc(image->n_layers, sizeof(*own->layers));
    for (unsigned i = 0; i < image->n_layers; i++) {
        own->layers[own->n_layers++] = image->layers[i].link;
    }
}

/* ---- exported ---- */

static void take_process(const struct order *order, const struct image *image, const char *hostname,
                         struct plan_of_order *own, struct plan_process *ret)
{
    const Wherry__Spec__Container *spec = order_spec(order);

    take_env(spec, image, hostname, own);
    ret->env = (const char *const *)own->env;
    ret->n_env = own->n_env;
    ret->cwd = spec->working_dir[0] != '\0' ? spec->working_dir : image->workdir;
    ret->user = spec->user[0] != '\0' ? spec->user : image->user;
}

int plan_of_order(const struct order *order, const struct image *image, const char *const *sources,
                  const char *hostname, struct plan_of_order *ret_own, struct plan_input *ret,
                  struct err *e)
{
    const Wherry__Spec__Container *spec = order_spec(order);
    struct plan_of_order own = {0};

    take_argv(spec, image, &own);
    if (own.n_argv == 0 || own.argv[0][0] == '\0') {
        plan_of_order_finish(&own);
        return err_say(e, EINVAL, "image %.100s says no command, and the file gives none",
                       spec->image);
    }
    take_process(order, image, hostname, &own, &ret->process);
    take_mounts(order, sources, &own);
    take_layers(image, &own);
    ret->process.argv = (const char *const *)own.argv;
    ret->process.n_argv = own.n_argv;
    ret->init = spec->init;
    ret->read_only = spec->read_only;
    ret->hostname = hostname;
    ret->mounts = own.mounts;
    ret->n_mounts = own.n_mounts;
    ret->layers = own.layers;
    ret->n_layers = own.n_layers;
    *ret_own = own;
    return 0;
}

void plan_of_order_exec(const struct order *order, const struct image *image, const char *hostname,
                        struct plan_of_order *ret_own, struct plan_process *ret)
{
    struct plan_of_order own = {0};

    take_process(order, image, hostname, &own, ret);
    *ret_own = own;
}

void plan_of_order_finish(struct plan_of_order *own)
{
    image_strv_free(own->argv);
    image_strv_free(own->env);
    free(own->mounts);
    free(own->layers);
    *own = (struct plan_of_order){0};
}
