// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/clicommand.h"

#include <errno.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/didyoumean.h"
#include "controller/cli/clioptions.h"
#include "controller/cli/cmd.h"

#define BIT CLIOPTIONS_BIT

static const struct clicommand rows[] = {
    {"apply", "", 0, 0, CLICOMMAND_WORDS_NONE,
     BIT(FILE) | BIT(NAME) | BIT(ENV_FILE) | BIT(STRICT) | BIT(PRUNE) | BIT(WAIT) | BIT(TIMEOUT),
     "make the cluster run what a Compose file says",
     "Reads the file, sends the resolved document to the controller and prints what that changes,\n"
     "service by service. The same file again changes nothing. Services that are gone from the\n"
     "file are kept, and removed with --prune. Changed services are replaced one container at a\n"
     "time. With --wait it ends when everything runs and is healthy: exit code 1 as soon as a\n"
     "service fails for good, 124 after --timeout.",
     cmd_apply_run},
    {"config", "", 0, 0, CLICOMMAND_WORDS_NONE, BIT(FILE) | BIT(NAME) | BIT(ENV_FILE) | BIT(STRICT),
     "check a Compose file and print it resolved",
     "Needs no controller. Prints what `wherry apply` would send, again as a Compose file:\n"
     "variables are filled in, short forms are long, defaults of the file are written out. With\n"
     "-o json the document itself is printed.",
     cmd_config_run},
    {"status", "[STACK]", 0, 1, CLICOMMAND_WORDS_STACKS, 0,
     "how everything stands, and what is wrong and why",
     "Nodes, then each stack with its services: wanted, running and healthy containers. Ends with\n"
     "what is not as wanted, one sentence each, the worst first.",
     cmd_status_run},
    {"ps", "[STACK[/SERVICE]]", 0, 1, CLICOMMAND_WORDS_SERVICES, 0,
     "containers: node, state, health, restarts, age",
     "One line for every container that is wanted or still there.", cmd_ps_run},
    {"logs", "STACK[/SERVICE[.N]]…", 1, 16, CLICOMMAND_WORDS_CONTAINERS,
     BIT(FOLLOW) | BIT(TAIL) | BIT(SINCE), "what containers have written",
     "Lines of all containers named, each container's in order. On a terminal control characters\n"
     "are made visible, but colours stay.",
     cmd_logs_run},
    {"events", "[STACK]", 0, 1, CLICOMMAND_WORDS_STACKS, BIT(FOLLOW) | BIT(SINCE),
     "what has happened", "Placements, failures, nodes that fell silent and came back.",
     cmd_events_run},
    {"inspect", "WHAT", 1, 1, CLICOMMAND_WORDS_CONTAINERS, 0,
     "everything about a stack, service, container, node or volume",
     "WHAT is STACK, STACK/SERVICE or STACK/SERVICE.N; or else the name of a node or a volume.\n"
     "Of a service or container also how its sandbox is: what is applied and what is not.",
     cmd_inspect_run},
    {"rm", "STACK[/SERVICE]", 1, 1, CLICOMMAND_WORDS_SERVICES, BIT(WAIT) | BIT(TIMEOUT),
     "remove a stack or one of its services",
     "Containers are stopped within their grace periods. Named volumes stay: see\n"
     "`wherry volume forget`.",
     cmd_rm_run},
    {"nodes", "", 0, 0, CLICOMMAND_WORDS_NONE, 0, "hosts: state, load, labels",
     "What is reserved on each host and what it has.", cmd_nodes_run},
    {"node lost", "NODE…", 1, CLICOMMAND_MANY, CLICOMMAND_WORDS_NODES, 0,
     "say that a silent host will not come back",
     "What ran on it is replaced elsewhere at once, even if so many hosts are silent that nothing\n"
     "is replaced by itself. A host that is heard of is not given up: stop its agent first.",
     cmd_nodes_lost},
    {"doctor", "[NODE…]", 0, CLICOMMAND_MANY, CLICOMMAND_WORDS_NODES, 0,
     "what hosts lack, what is in the way, and how to mend it",
     "Each host looks at itself: kernel, clock, control groups, forwarding, firewall rules of\n"
     "others, packet sizes, ports. Prints what is not as it should be, each with the command that\n"
     "mends it; of hosts that are named, everything. Changes nothing. Exit code 1 if there is a\n"
     "problem. Without a controller: `wherry-agent doctor` on the host.",
     cmd_findings_run},
    {"net ls", "", 0, 0, CLICOMMAND_WORDS_NONE, 0, "networks, and who is on them",
     "A container reaches those with which it shares a network, and no others.", cmd_networks_ls},
    {"net inspect", "NETWORK", 1, 1, CLICOMMAND_WORDS_NETWORKS, 0,
     "the services on a network: names, virtual addresses, containers",
     "What every node knows: by which names and addresses each service is reached there.",
     cmd_networks_inspect},
    {"net check", "A B[:PORT]", 2, 2, CLICOMMAND_WORDS_CONTAINERS, 0,
     "walk the way from one container to another; name the hop that is broken",
     "A is STACK/SERVICE or STACK/SERVICE.N. B is the same, or a name as a program in A writes "
     "it:\n"
     "a service, or a host of the world. Looks on both hosts and from inside the containers:\n"
     "name, virtual address, containers behind it, networks, routes, tunnel, rules, packet size,\n"
     "who listens; at last it connects. The last line names the first hop that is broken and what\n"
     "to do. Exit code 1 if there is one.",
     cmd_net_check},
    {"net stats", "[NODE]", 0, 1, CLICOMMAND_WORDS_NODES, 0,
     "what each container has sent and received",
     "Bytes, packets and drops since its link was made, and connections that are open now.",
     cmd_net_stats},
    {"volume ls", "", 0, 0, CLICOMMAND_WORDS_NONE, 0, "named volumes and where they live",
     "A container with a named volume runs on that volume's host, and nowhere else.",
     cmd_volume_ls},
    {"volume forget", "VOLUME", 1, 1, CLICOMMAND_WORDS_VOLUMES, 0, "remove a volume and its data",
     "The data is gone. It is refused while a container uses the volume.", cmd_volume_forget},
    {"version", "", 0, 0, CLICOMMAND_WORDS_NONE, 0, "versions of this program and the controller",
     "Exit code 1 if the controller cannot be reached.", cmd_version_run},
    {"help", "[COMMAND]", 0, 2, CLICOMMAND_WORDS_COMMANDS, 0, "how to use a command",
     "Without a command: what there is.", cmd_help_run},
    {"completion", "bash|zsh|fish", 1, 1, CLICOMMAND_WORDS_SHELLS, 0,
     "a script that makes a shell complete commands and names",
     "  bash:  wherry completion bash >/usr/share/bash-completion/completions/wherry\n"
     "  zsh:   wherry completion zsh >/usr/local/share/zsh/site-functions/_wherry\n"
     "  fish:  wherry completion fish >~/.config/fish/completions/wherry.fish",
     cmd_completion_run},
    {"__words", "KIND", 1, 1, CLICOMMAND_WORDS_NONE, 0, NULL, "For the completion scripts.",
     cmd_completion_words},
};

const struct clicommand *clicommand_rows(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(rows);
    return rows;
}

/* Words of the row's name, if argv begins with them; 0: it does not. */
static int matches(const struct clicommand *row, int argc, char **argv)
{
    size_t first = strcspn(row->name, " ");
    const char *second = row->name[first] == ' ' ? row->name + first + 1 : NULL;

    if (argc < 1 || strlen(argv[0]) != first || strncmp(argv[0], row->name, first) != 0) {
        return 0;
    }
    if (second == NULL) {
        return 1;
    }
    return argc > 1 && strcmp(argv[1], second) == 0 ? 2 : 0;
}

bool clicommand_is_group(const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strncmp(rows[i].name, word, len) == 0 && rows[i].name[len] == ' ') {
            return true;
        }
    }
    return false;
}

/* "node" and "volume" alone: what may follow. */
static int say_group(const char *group, const char *word, struct err *e)
{
    size_t len = strlen(group);
    struct didyoumean near;
    char phrase[DIDYOUMEAN_LEN_MAX + 32];
    auto_buf struct buf all = {0};

    didyoumean_start(&near, word != NULL ? word : "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strncmp(rows[i].name, group, len) == 0 && rows[i].name[len] == ' ') {
            buf_printf(&all, "%s%s", all.len > 0 ? ", " : "", rows[i].name + len + 1);
            didyoumean_offer(&near, rows[i].name + len + 1);
        }
    }
    if (all.len == 0) {
        return 0;
    }
    if (word == NULL) {
        return err_say(e, E2BIG, "%s: say what to do (allowed: %s)", group, buf_text(&all));
    }
    return err_say(e, E2BIG, "unknown command '%s %s'%s (allowed: %s)", group, word,
                   didyoumean_phrase(&near, phrase, sizeof(phrase)), buf_text(&all));
}

static int say_unknown(int argc, char **argv, struct err *e)
{
    struct didyoumean near;
    char phrase[DIDYOUMEAN_LEN_MAX + 32];
    int rc = say_group(argv[0], argc > 1 ? argv[1] : NULL, e);

    if (rc < 0) {
        return rc;
    }
    didyoumean_start(&near, argv[0]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].help != NULL) {
            didyoumean_offer(&near, rows[i].name);
        }
    }
    return err_say(e, E2BIG, "unknown command '%s'%s", argv[0],
                   didyoumean_phrase(&near, phrase, sizeof(phrase)));
}

int clicommand_find(int argc, char **argv, const struct clicommand **ret_row, int *ret_words,
                    struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int words = matches(&rows[i], argc, argv);

        if (words > 0) {
            *ret_row = &rows[i];
            *ret_words = words;
            return 0;
        }
    }
    return say_unknown(argc, argv, e);
}

int clicommand_check_args(const struct clicommand *row, int n, struct err *e)
{
    if (n >= row->args_min && n <= row->args_max) {
        return 0;
    }
    return err_say(e, E2BIG, "%s: %s (usage: wherry %s%s%s)", row->name,
                   n < row->args_min ? "an argument is missing" : "too many arguments", row->name,
                   row->args[0] != '\0' ? " " : "", row->args);
}
