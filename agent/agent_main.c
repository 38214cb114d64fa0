// SPDX-License-Identifier: Apache-2.0
/* wherry-agent: the daemon of a host, and its commands for images and single containers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/cmd_doctor.h"
#include "agent/cmd_image.h"
#include "agent/cmd_netprobe.h"
#include "agent/cmd_netstats.h"
#include "agent/cmd_run.h"
#include "agent/cmd_sweep.h"
#include "agent/options.h"
#include "agent/uv_daemon.h"
#include "common/cleanup.h"
#include "common/log.h"

static const char usage_text[] =
    "usage: wherry-agent [daemon] --controller ADDR:PORT [options]\n"
    "       wherry-agent image load|ls|rm …    images of this node\n"
    "       wherry-agent run --image IMAGE …   one container, without a controller\n"
    "       wherry-agent doctor …              what this host lacks, and what is in the way\n"
    "       wherry-agent sweep-trash           delete what is left of discarded volumes\n"
    "\n"
    "The agent of one host: runs the containers that a controller assigns to it. They outlive it:\n"
    "it may be ended, killed or replaced at any time. `wherry-agent COMMAND --help` says more.\n"
    "\n"
    "  --version             print the version\n";

static int daemon_main(int argc, char **argv)
{
    struct options options;
    struct optable_group groups[] = {
        {"This node", options_daemon_rows, options_daemon_rows_n, &options},
        {"On this host", options_node_rows, options_node_rows_n, &options},
    };
    struct err e = {0};
    int first = argc;
    int rc;

    options_init(&options);
    rc = optable_parse(groups, ARRAY_LEN(groups), argc, argv, &first, &e);
    if (rc == OPTABLE_HELP) {
        (void)fputs(usage_text, stdout);
        optable_help(groups, ARRAY_LEN(groups), stdout);
        return 0;
    }
    if (rc == 0 && first < argc) {
        rc = err_say(&e, EINVAL,
                     "no command '%.80s' (allowed: daemon, doctor, image, run, sweep-trash)",
                     argv[first]);
    } else if (rc == 0 && options.controller == NULL) {
        rc = err_say(&e, EINVAL, "--controller ADDR:PORT says where the controller listens");
    } else if (rc == 0) {
        rc = options_complete(&options, &e);
    }
    if (rc < 0) {
        (void)fprintf(stderr, "wherry-agent: %s\n", e.text);
        options_finish(&options);
        return OPTIONS_EXIT_USAGE;
    }
    log_init("wherry-agent", options.level);
    rc = uv_daemon_run(&options);
    options_finish(&options);
    return rc;
}

static int version_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)puts("wherry-agent " WHERRY_VERSION);
    return 0;
}

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
} commands[] = {
    {"daemon", daemon_main},
    {"image", cmd_image_main},
    {"run", cmd_run_main},
    {"doctor", cmd_doctor_main},
    {"net-probe", cmd_netprobe_main},
    {"net-stats", cmd_netstats_main},
    {"sweep-trash", cmd_sweep_main},
    {"--version", version_main},
    {"version", version_main},
};

/* Without a command, it is the daemon. */
int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].main(argc - 1, argv + 1);
        }
    }
    return daemon_main(argc, argv);
}
