// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd_image.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/images.h"
#include "agent/images_rm.h"
#include "agent/uv_load_wait.h"
#include "common/cleanup.h"
#include "common/imageref.h"

#define DEFAULT_STATE_DIR "/var/lib/wherry"
#define EXIT_USAGE        2

struct options {
    const char *state_dir;
    const char *name;
    const char *worker; /* NULL: beside this program */
    bool quiet;
};

static const char usage_text[] =
    "usage: wherry-agent image load FILE|DIR|- [--name NAME] [options]\n"
    "       wherry-agent image ls [options]\n"
    "       wherry-agent image rm NAME|DIGEST… [options]\n"
    "\n"
    "Images of this node: loaded from an OCI layout (directory or tar archive) or from the "
    "archive\n"
    "that `docker save` writes. A running agent notices by itself.\n"
    "\n"
    "  --state-dir DIR  the agent's state directory (default " DEFAULT_STATE_DIR ")\n"
    "  --name NAME      load: call the image so, whatever the archive says\n"
    "  --worker FILE    the wherry-worker program (default: beside this program)\n"
    "  -q, --quiet      print digests only\n";

/* ---- printing ---- */

static void print_size(uint64_t bytes, char *ret_text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(ret_text, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

static void print_loaded(const struct images *images, const char *digest, bool quiet)
{
    const struct image *image = images_find(images, digest);
    char size[32];

    if (quiet || image == NULL) {
        (void)printf("%s\n", digest);
        return;
    }
    print_size(image->bytes, size, sizeof(size));
    (void)printf("%s\n", image->n_names > 0 ? imageref_short(image->names[0]) : "<no name>");
    for (unsigned i = 1; i < image->n_names; i++) {
        (void)printf("%s\n", imageref_short(image->names[i]));
    }
    (void)printf("  digest  %s\n", image->digest);
    (void)printf("  layers  %u\n", image->n_layers);
    (void)printf("  size    %s\n", size);
}

/* ---- load ---- */

struct progress {
    bool tty;
    unsigned layer; /* the last one shown */
    bool dirty;     /* a line without its end is on the terminal */
};

static void on_progress(void *arg, const struct uv_load_progress *p)
{
    struct progress *shown = arg;
    unsigned percent = p->bytes_total > 0 ? (unsigned)(100 * p->bytes / p->bytes_total) : 0;
    char size[32];

    if (!shown->tty && p->layer == shown->layer) {
        return;
    }
    shown->layer = p->layer;
    print_size(p->bytes_total, size, sizeof(size));
    if (shown->tty) {
        (void)fprintf(stderr, "\rlayer %u of %u: %3u%% of %s\x1b[K", p->layer, p->layers,
                      percent < 100 ? percent : 100, size);
        shown->dirty = true;
    } else {
        (void)fprintf(stderr, "layer %u of %u: %s\n", p->layer, p->layers, size);
    }
    (void)fflush(stderr);
}

/* wherry-worker beside this program. */
static int find_worker(const struct options *options, char **ret_path, struct err *e)
{
    char self[4096];
    ssize_t n;
    char *slash;

    if (options->worker != NULL) {
        *ret_path = xstrdup(options->worker);
        return 0;
    }
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0) {
        return err_set(e, errno, "find out where this program is");
    }
    self[n] = '\0';
    slash = strrchr(self, '/');
    *ret_path = xasprintf("%.*s/wherry-worker", (int)(slash - self), self);
    return 0;
}

static int load_one(struct images *images, const struct options *options, const char *path,
                    struct err *e)
{
    struct progress shown = {.tty = isatty(STDERR_FILENO) == 1};
    auto_free char *worker = NULL;
    char **digests = NULL;
    struct uv_load_options load = {.images = images,
                                   .path = path,
                                   .name = options->name,
                                   .on_progress = options->quiet ? NULL : on_progress,
                                   .arg = &shown};
    int rc = find_worker(options, &worker, e);

    if (rc < 0) {
        return rc;
    }
    load.program = worker;
    rc = uv_load_wait(&load, &digests, e);
    if (rc == -EBUSY) {
        (void)fprintf(stderr, "wherry-agent: %s; waiting\n", e->text);
        load.wait = true;
        rc = uv_load_wait(&load, &digests, e);
    }
    if (shown.dirty) {
        (void)fprintf(stderr, "\r\x1b[K");
    }
    if (rc == 0) {
        rc = images_reload(images, e);
    }
    for (char **d = digests; rc == 0 && d != NULL && *d != NULL; d++) {
        print_loaded(images, *d, options->quiet);
    }
    image_strv_free(digests);
    return rc;
}

static int run_load(struct images *images, const struct options *options, char **args, int n,
                    struct err *e)
{
    if (n != 1) {
        return err_say(e, E2BIG, "image load takes one FILE or DIR");
    }
    return load_one(images, options, args[0], e);
}

/* ---- ls ---- */

static void print_row(const struct image *image, const char *name)
{
    char size[32];
    char when[32] = "";
    time_t at = (time_t)(image->loaded_unix_ms / 1000);
    struct tm tm;

    print_size(image->bytes, size, sizeof(size));
    if (localtime_r(&at, &tm) != NULL) {
        (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
    }
    (void)printf("%-32s %-12.12s %6u %10s  %s\n", name, image->digest + strlen("sha256:"),
                 image->n_layers, size, when);
}

static int run_ls(struct images *images, const struct options *options, char **args, int n,
                  struct err *e)
{
    (void)args;
    if (n != 0) {
        return err_say(e, E2BIG, "image ls takes no argument");
    }
    if (!options->quiet) {
        (void)printf("%-32s %-12s %6s %10s  %s\n", "IMAGE", "DIGEST", "LAYERS", "SIZE", "LOADED");
    }
    for (unsigned i = 0; i < images_count(images); i++) {
        const struct image *image = images_at(images, i);

        if (options->quiet) {
            (void)printf("%s\n", image->digest);
            continue;
        }
        for (unsigned k = 0; k < image->n_names; k++) {
            print_row(image, imageref_short(image->names[k]));
        }
        if (image->n_names == 0) {
            print_row(image, "<no name>");
        }
    }
    return 0;
}

/* ---- rm ---- */

static int run_rm(struct images *images, const struct options *options, char **args, int n,
                  struct err *e)
{
    if (n == 0) {
        return err_say(e, E2BIG, "image rm takes names or digests");
    }
    for (int i = 0; i < n; i++) {
        bool removed;
        int rc = images_rm(images, args[i], true, &removed, e);

        if (rc < 0) {
            return rc;
        }
        if (!options->quiet) {
            (void)printf("%s %s\n", removed ? "removed" : "removed the name", args[i]);
        }
    }
    return 0;
}

/* ---- the command line ---- */

static const struct command {
    const char *name;
    /* -E2BIG: wrong arguments */
    int (*run)(struct images *images, const struct options *options, char **args, int n,
               struct err *e);
} commands[] = {{"load", run_load}, {"ls", run_ls}, {"list", run_ls}, {"rm", run_rm}};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* Returns 0, or -EINVAL after getopt has said what is wrong, or 1 for --help. */
static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option rows[] = {
        {"state-dir", required_argument, NULL, 's'},
        {"name", required_argument, NULL, 'n'},
        {"worker", required_argument, NULL, 'w'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "qh", rows, NULL)) != -1) {
        switch (c) {
        case 's':
            options->state_dir = optarg;
            break;
        case 'n':
            options->name = optarg;
            break;
        case 'w':
            options->worker = optarg;
            break;
        case 'q':
            options->quiet = true;
            break;
        case 'h':
            return 1;
        default:
            return -EINVAL;
        }
    }
    return 0;
}

static int run(const struct command *command, const struct options *options, char **args, int n)
{
    struct images *images = NULL;
    struct err e = {0};
    int rc = images_open(options->state_dir, &images, &e);

    if (rc == 0) {
        rc = command->run(images, options, args, n, &e);
    }
    images_close(images);
    if (rc < 0) {
        (void)fprintf(stderr, "wherry-agent: %s\n", e.text);
    }
    return rc < 0;
}

int cmd_image_main(int argc, char **argv)
{
    struct options options = {.state_dir = DEFAULT_STATE_DIR};
    const struct command *command;
    int rc = parse_options(argc, argv, &options);

    if (rc > 0) {
        (void)fputs(usage_text, stdout);
        return 0;
    }
    if (rc < 0 || optind >= argc) {
        (void)fputs(usage_text, stderr);
        return EXIT_USAGE;
    }
    command = find_command(argv[optind]);
    if (command == NULL) {
        (void)fprintf(stderr, "wherry-agent: image has no command '%s' (allowed: load, ls, rm)\n",
                      argv[optind]);
        return EXIT_USAGE;
    }
    return run(command, &options, argv + optind + 1, argc - optind - 1);
}
