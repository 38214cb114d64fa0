// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd_sweep.h"

#include <stdio.h>

#include "agent/options.h"
#include "agent/treerm.h"
#include "agent/volumes.h"
#include "common/cleanup.h"

static int sweep(const char *state_path, struct err *e)
{
    auto_free char *path = xasprintf("%s/volumes/.trash", state_path);
    struct volumes volumes = {.fd = -1, .trash_fd = -1};
    long n;

    if (volumes_open(state_path, &volumes, e) < 0) {
        return e->code;
    }
    n = treerm_empty(volumes.trash_fd, path, e);
    volumes_close(&volumes);
    return n < 0 ? (int)n : 0;
}

int cmd_sweep_main(int argc, char **argv)
{
    struct options options;
    struct optable_group group = {
        .rows = options_node_rows, .n = options_node_rows_n, .target = &options};
    struct err e = {0};
    int first = argc;
    int rc;

    options_init(&options);
    rc = optable_parse(&group, 1, argc, argv, &first, &e);
    if (rc == OPTABLE_HELP) {
        (void)puts("usage: wherry-agent sweep-trash [--state DIR]\n\n"
                   "Deletes what is left of discarded volumes.");
        return 0;
    }
    if (rc < 0 || first < argc) {
        (void)fprintf(stderr, "wherry-agent sweep-trash: %s\n",
                      rc < 0 ? e.text : "takes no argument");
        return OPTIONS_EXIT_USAGE;
    }
    rc = sweep(options.state_path, &e);
    if (rc < 0) {
        (void)fprintf(stderr, "wherry-agent: %s\n", e.text);
    }
    return rc < 0;
}
