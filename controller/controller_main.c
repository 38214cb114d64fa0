// SPDX-License-Identifier: Apache-2.0
/* wherry-controller: desired state, scheduler, sessions with the agents, API. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "controller/uv_controllerd.h"

#define EXIT_USAGE 2

static const char usage_text[] =
    "usage: wherry-controller [options]\n"
    "\n"
    "Keeps what shall run, decides where, and tells the agents. It may be ended, killed or "
    "replaced\n"
    "at any time: containers go on, and what was acknowledged is not lost.\n"
    "\n"
    "  --state DIR           where it keeps its state (default /var/lib/wherry-controller);\n"
    "                        a first start makes a new cluster there\n"
    "  --listen ADDR:PORT    where it listens for agents; never a wildcard\n"
    "                        (default 127.0.0.1:7420)\n"
    "  --socket PATH         where it answers the API\n"
    "                        (default /run/wherry-controller/controller.sock)\n"
    "  --range NETWORK       first start: addresses of all containers (default 10.128.0.0/9)\n"
    "  --node-prefix BITS    first start: size of each node's block in it (default 22)\n"
    "  --encrypt             nothing goes from node to node but by WireGuard, now and for good;\n"
    "                        nodes whose kernel has none are not reached\n"
    "  --log-level LEVEL     error, warn, info (default) or debug\n"
    "  -h, --help            this text\n"
    "  --version             print the version\n";

enum {
    OPT_STATE = 256,
    OPT_LISTEN,
    OPT_SOCKET,
    OPT_RANGE,
    OPT_PREFIX,
    OPT_ENCRYPT,
    OPT_LEVEL,
    OPT_VERSION
};

static const struct option rows[] = {
    {"state", required_argument, NULL, OPT_STATE},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"range", required_argument, NULL, OPT_RANGE},
    {"node-prefix", required_argument, NULL, OPT_PREFIX},
    {"encrypt", no_argument, NULL, OPT_ENCRYPT},
    {"log-level", required_argument, NULL, OPT_LEVEL},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int wrong(const char *option, const char *value, const char *allowed)
{
    (void)fprintf(stderr, "wherry-controller: %s '%s' is not possible (allowed: %s)\n", option,
                  value, allowed);
    return EXIT_USAGE;
}

static int set_prefix(struct uv_controller_config *config)
{
    char *end = NULL;
    unsigned long bits = strtoul(optarg, &end, 10);

    if (*optarg < '1' || *optarg > '9' || *end != '\0' || bits < 8 || bits > 28) {
        return wrong("--node-prefix", optarg, "8 to 28");
    }
    config->node_prefix = (unsigned)bits;
    return -1;
}

/* -1: go on; else the exit code. */
static int set(int option, struct uv_controller_config *config, enum log_level *level)
{
    switch (option) {
    case OPT_STATE:
        config->state_dir = optarg;
        return -1;
    case OPT_LISTEN:
        config->listen = optarg;
        return -1;
    case OPT_SOCKET:
        config->socket = optarg;
        return -1;
    case OPT_RANGE:
        config->range = optarg;
        return -1;
    case OPT_PREFIX:
        return set_prefix(config);
    case OPT_ENCRYPT:
        config->encrypt = true;
        return -1;
    case OPT_LEVEL:
        return log_level_parse(optarg, level) == 0
                   ? -1
                   : wrong("--log-level", optarg, "error, warn, info, debug");
    case OPT_VERSION:
        (void)puts("wherry-controller " WHERRY_VERSION);
        return 0;
    case 'h':
        (void)fputs(usage_text, stdout);
        return 0;
    default:
        (void)fputs("See wherry-controller --help.\n", stderr);
        return EXIT_USAGE;
    }
}

int main(int argc, char **argv)
{
    struct uv_controller_config config = {.state_dir = "/var/lib/wherry-controller",
                                          .listen = "127.0.0.1:7420",
                                          .socket = "/run/wherry-controller/controller.sock"};
    enum log_level level = LOG_LEVEL_INFO;
    int option;

    while ((option = getopt_long(argc, argv, "h", rows, NULL)) != -1) {
        int rc = set(option, &config, &level);

        if (rc >= 0) {
            return rc;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "wherry-controller: takes no argument '%s'; see --help\n",
                      argv[optind]);
        return EXIT_USAGE;
    }
    log_init("wherry-controller", level);
    return uv_controllerd_run(&config);
}
