// SPDX-License-Identifier: Apache-2.0
#include "agent/sysfilter.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"

#define X32_BIT       0x40000000u
#define CACHE_MAX     64u
#define TREE          2 /* SCMP_FLTATR_CTL_OPTIMIZE: a binary tree instead of a list */
#define STUB_PER      6u
#define ARCHES_MAX    3u
#define CAP_TO_BIT(c) (1ull << (c))
#define ARCH(name)    ARCH_##name

/* Go's names, as the profile has them. */
enum {
    ARCH_amd64 = 1 << 0,
    ARCH_x86 = 1 << 1,
    ARCH_x32 = 1 << 2,
    ARCH_arm64 = 1 << 3,
    ARCH_arm = 1 << 4,
    ARCH_ppc64le = 1 << 5,
    ARCH_s390 = 1 << 6,
    ARCH_s390x = 1 << 7,
    ARCH_riscv64 = 1 << 8
};

/* One group of the profile. */
struct row {
    const char *const *names;
    uint32_t errno_ret; /* 0: allowed */
    bool has_arg;
    uint32_t arg;
    enum scmp_compare op;
    uint64_t value;
    uint64_t caps;    /* holds only with all of them */
    uint64_t no_caps; /* holds only with none of them */
    unsigned arches;  /* 0: on all */
    unsigned no_arches;
};

#include "sysfilter_table.inc"

/* An architecture whose calls this machine's kernel takes. */
struct arch {
    uint32_t scmp;
    uint32_t audit;
    uint32_t end; /* its numbers are below */
};

#if defined(__x86_64__)
#define NATIVE ARCH_amd64
static const struct arch arches[] = {
    {SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, X32_BIT},
    {SCMP_ARCH_X32, AUDIT_ARCH_X86_64, UINT32_MAX},
    {SCMP_ARCH_X86, AUDIT_ARCH_I386, UINT32_MAX},
};
#elif defined(__aarch64__)
#define NATIVE ARCH_arm64
static const struct arch arches[] = {
    {SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, UINT32_MAX},
    {SCMP_ARCH_ARM, AUDIT_ARCH_ARM, UINT32_MAX},
};
#else
#error "no system call filter for this architecture yet"
#endif

static_assert(ARRAY_LEN(arches) <= ARCHES_MAX, "stub");

static bool holds(const struct row *row, uint64_t caps)
{
    return (caps & row->caps) == row->caps && (caps & row->no_caps) == 0 &&
           (row->arches == 0 || (row->arches & NATIVE) != 0) && (row->no_arches & NATIVE) == 0;
}

static int add_row(scmp_filter_ctx ctx, const struct row *row, struct err *e)
{
    uint32_t action = row->errno_ret == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(row->errno_ret);
    struct scmp_arg_cmp cmp = {.arg = row->arg, .op = row->op, .datum_a = row->value};

    for (const char *const *name = row->names; *name != NULL; name++) {
        int nr = seccomp_syscall_resolve_name(*name);
        int rc;

        if (nr == __NR_SCMP_ERROR) {
            continue; /* newer than the library: answered as unknown */
        }
        rc = seccomp_rule_add_array(ctx, action, nr, row->has_arg ? 1 : 0, &cmp);
        if (rc < 0 && rc != -EEXIST) {
            return err_set(e, rc, "add %s to the system call filter", *name);
        }
    }
    return 0;
}

static int fill(scmp_filter_ctx ctx, uint64_t caps, struct err *e)
{
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, TREE);

    for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(arches); i++) {
        rc = seccomp_arch_add(ctx, arches[i].scmp);
        rc = rc == -EEXIST ? 0 : rc;
    }
    if (rc < 0) {
        return err_set(e, rc, "set up the system call filter");
    }
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        if (holds(&rows[i], caps) && add_row(ctx, &rows[i], e) < 0) {
            return e != NULL ? e->code : -EIO;
        }
    }
    return 0;
}

/* ---- the numbers beyond the table ---- */

/* The highest number that the table names, allowed or not. */
static uint32_t highest(const struct arch *arch)
{
    uint32_t max = 0;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        for (const char *const *name = rows[i].names; *name != NULL; name++) {
            int nr = seccomp_syscall_resolve_name_arch(arch->scmp, *name);

            if (nr >= 0 && (uint32_t)nr > max) {
                max = (uint32_t)nr;
            }
        }
    }
    return max;
}

/* libseccomp's own default answers for everything it was not told; these instructions in front of
 * its program answer for what is newer than the table, per architecture. */
static void put_stub(struct buf *ret)
{
    const unsigned end = STUB_PER * ARRAY_LEN(arches);

    for (unsigned i = 0; i < ARRAY_LEN(arches); i++) {
        const uint8_t out = (uint8_t)(end - STUB_PER * i - 4); /* from the fourth, to the end */
        const struct sock_filter stub[STUB_PER] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arches[i].audit, 0, 4),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, highest(&arches[i]), 0, out),
            BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, arches[i].end, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        };

        buf_append(ret, stub, sizeof(stub));
    }
}

static int append_export(scmp_filter_ctx ctx, struct buf *ret, struct err *e)
{
    auto_close int fd = memfd_create("filter", MFD_CLOEXEC);
    char bytes[4096];
    ssize_t n;
    int rc;

    if (fd < 0) {
        return err_set(e, errno, "make a memory file");
    }
    rc = seccomp_export_bpf(ctx, fd);
    if (rc < 0) {
        return err_set(e, rc, "compile the system call filter");
    }
    for (off_t at = 0; (n = pread(fd, bytes, sizeof(bytes), at)) > 0; at += n) {
        buf_append(ret, bytes, (size_t)n);
    }
    if (n < 0) {
        return err_set(e, errno, "read the system call filter");
    }
    if (ret->len > SYSFILTER_BYTES_MAX) {
        return err_say(e, E2BIG, "the system call filter is too long for the kernel");
    }
    return 0;
}

int sysfilter_compile(uint64_t caps, struct buf *ret, struct err *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    auto_buf struct buf program = {0};
    int rc;

    if (ctx == NULL) {
        return err_say(e, ENOMEM, "libseccomp does not start");
    }
    put_stub(&program);
    rc = fill(ctx, caps, e);
    rc = rc < 0 ? rc : append_export(ctx, &program, e);
    seccomp_release(ctx);
    if (rc == 0) {
        buf_append(ret, program.data, program.len);
    }
    return rc;
}

/* ---- cache ---- */

struct sysfilter_entry {
    uint64_t caps;
    struct buf program;
};

const struct buf *sysfilter_find(const struct sysfilter_cache *cache, uint64_t caps)
{
    for (unsigned i = 0; i < cache->n; i++) {
        if (cache->entries[i].caps == caps) {
            return &cache->entries[i].program;
        }
    }
    return NULL;
}

int sysfilter_get(struct sysfilter_cache *cache, uint64_t caps, const struct buf **ret,
                  struct err *e)
{
    struct sysfilter_entry entry = {.caps = caps};
    int rc;

    *ret = sysfilter_find(cache, caps);
    if (*ret != NULL) {
        return 0;
    }
    if (cache->n == CACHE_MAX) {
        return err_say(e, E2BIG, "more than %u different sets of capabilities", CACHE_MAX);
    }
    rc = sysfilter_compile(caps, &entry.program, e);
    if (rc < 0) {
        return rc;
    }
    if (cache->entries == NULL) { /* whole at once: what was given out never moves */
        cache->entries = xcalloc(CACHE_MAX, sizeof(*cache->entries));
    }
    cache->entries[cache->n] = entry;
    *ret = &cache->entries[cache->n++].program;
    return 0;
}

void sysfilter_finish(struct sysfilter_cache *cache)
{
    for (unsigned i = 0; i < cache->n; i++) {
        buf_finish(&cache->entries[i].program);
    }
    free(cache->entries);
    *cache = (struct sysfilter_cache){0};
}
