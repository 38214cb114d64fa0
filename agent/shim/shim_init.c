// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/shim_init.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define STATUS_NOT_FOUND 127
#define STATUS_NOT_RUN   126

static int run_command(char **argv, const sigset_t *signals)
{
    int code;

    (void)sigprocmask(SIG_UNBLOCK, signals, NULL);
    (void)setsid();
    (void)execve(argv[1], argv + 2, environ);
    code = errno;
    (void)dprintf(2, SHIM_INIT_NAME ": exec \"%s\": %s\n", argv[2], strerror(code));
    return code == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN;
}

/* Collects whatever has ended. Returns the command's status, or -1 while it runs. */
static int reap(pid_t command)
{
    int status, ret = -1;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == command) {
            ret = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
    return ret;
}

int shim_init_main(char **argv)
{
    sigset_t all;
    int signal, status = -1;
    pid_t command;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    command = fork();
    if (command < 0) {
        return STATUS_NOT_RUN;
    }
    if (command == 0) {
        _exit(run_command(argv, &all));
    }
    while (status < 0) {
        if (sigwait(&all, &signal) != 0) {
            continue;
        }
        if (signal == SIGCHLD) {
            status = reap(command);
        } else {
            (void)kill(command, signal);
        }
    }
    return status;
}
