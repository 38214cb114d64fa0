// SPDX-License-Identifier: Apache-2.0
/* A layer, as it comes from the stream to the tree. Everything happens below a directory that the
 * process has made its root (which is why it needs to be root); beside the layer lies a canary. */
#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/treerm.h"
#include "agent/worker/layer.h"
#include "common/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static int root_fd = -1;

/* The working directory stays outside: corpus and findings are named relative to it. /proc is for
 * the leak check. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("fuzz", "/mnt", "tmpfs", 0, NULL) < 0 || mkdir("/mnt/proc", 0755) < 0 ||
        mount("proc", "/mnt/proc", "proc", 0, NULL) < 0 || chroot("/mnt") < 0) {
        perror("fuzz_image_layer: must be root");
        exit(77);
    }
    assert(mkdir("/layer", 0755) == 0);
    assert(close(open("/canary", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
    root_fd = open("/layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static void check_canary(void)
{
    struct stat st;

    assert(lstat("/canary", &st) == 0);
    assert(st.st_size == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0600);
    assert(stat("/", &st) == 0 && st.st_nlink == 4); /* "layer" and "proc" */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_close int fd = memfd_create("layer", MFD_CLOEXEC);
    struct layer_stats stats;
    struct blobstream *in;

    assert(write(fd, data, size) == (ssize_t)size);
    in = blobstream_create(fd, 0, size);
    (void)layer_unpack(in, root_fd, NULL, NULL, &stats, NULL);
    blobstream_destroy(in);
    check_canary();
    assert(treerm_empty(root_fd, "layer", NULL) >= 0);
    return 0;
}
