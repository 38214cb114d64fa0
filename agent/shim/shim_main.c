// SPDX-License-Identifier: Apache-2.0
/* wherry-shim: what is done to and around one container, outside of the agent. See plan.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/shim.h"
#include "agent/shim/shim_init.h"
#include "agent/shim/sys.h"
#include "common/cleanup.h"

#define STATUS_USAGE 2
#define SEALS        (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

/* ---- what the modes share ---- */

void shim_tell(const struct plan_result *result)
{
    struct plan_result r = *result;

    r.magic = PLAN_MAGIC;
    (void)!write(PLAN_STATUS_FD, &r, sizeof(r));
    (void)close(PLAN_STATUS_FD);
}

void shim_fail(const struct err *e)
{
    struct plan_result r = {.kind = PLAN_RESULT_FAILED, .code = e->code};

    memcpy(r.text, e->text, sizeof(r.text));
    shim_tell(&r);
}

int shim_poll_ms(uint64_t deadline_ms)
{
    uint64_t now = shim_clock_ms(CLOCK_BOOTTIME);

    if (deadline_ms == 0) {
        return -1;
    }
    return deadline_ms > now ? (int)(deadline_ms - now < 60000 ? deadline_ms - now : 60000) : 0;
}

/* ---- the plan ---- */

static int map_plan(enum plan_kind kind, struct plan *ret, struct err *e)
{
    int seals = fcntl(PLAN_FD, F_GET_SEALS);
    struct stat st;
    void *bytes;

    if (seals < 0 || (seals & SEALS) != SEALS) {
        return err_say(e, EPROTO, "plan: descriptor %d is no sealed memfd", PLAN_FD);
    }
    if (fstat(PLAN_FD, &st) < 0 || st.st_size <= 0 || st.st_size > PLAN_BYTES_MAX) {
        return err_say(e, EPROTO, "plan: empty, or over %d bytes", PLAN_BYTES_MAX);
    }
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, PLAN_FD, 0);
    if (bytes == MAP_FAILED) {
        return err_set(e, errno, "plan: map it");
    }
    return plan_open(bytes, (size_t)st.st_size, kind, ret, e);
}

/* The agent may end in any way: its signals are not for us. */
static void leave_agent(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGPIPE};
    sigset_t none;

    (void)setsid();
    for (unsigned i = 0; i < ARRAY_LEN(ignored); i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
}

static int clean(struct step_state *s)
{
    return shim_clean(&s->plan);
}

static const struct {
    const char *name;
    enum plan_kind kind;
    int (*fn)(struct step_state *s);
} modes[] = {
    {"run", PLAN_RUN, shim_run}, {"exec", PLAN_EXEC, shim_exec}, {"clean", PLAN_CLEAN, clean}};

int main(int argc, char **argv)
{
    static struct step_state state;
    struct plan plan;
    struct err e = {0};

    if (argc > 2 && strcmp(argv[0], SHIM_INIT_NAME) == 0) {
        return shim_init_main(argv);
    }
    for (unsigned i = 0; i < ARRAY_LEN(modes) && argc == 2; i++) {
        if (strcmp(argv[1], modes[i].name) != 0) {
            continue;
        }
        leave_agent();
        if (map_plan(modes[i].kind, &plan, &e) < 0) {
            shim_fail(&e);
            return 1;
        }
        step_init(&state, &plan, modes[i].kind);
        return modes[i].fn(&state);
    }
    (void)dprintf(2, "usage: wherry-shim run|exec|clean, by wherry-agent only\n");
    return STATUS_USAGE;
}
