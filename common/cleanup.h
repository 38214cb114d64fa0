// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_CLEANUP_H
#define WHERRY_COMMON_CLEANUP_H

/* Cleanup attributes for locals, and the `take_*` that hand a local over to somebody else.
 * With these, error paths are plain returns. Every cleanup accepts an empty value. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

static inline void cleanup_fclose(FILE *const *f)
{
    if (*f != NULL) {
        (void)fclose(*f);
    }
}

static inline void cleanup_closedir(DIR *const *d)
{
    if (*d != NULL) {
        (void)closedir(*d);
    }
}

#define auto_free     __attribute__((cleanup(cleanup_free)))
#define auto_close    __attribute__((cleanup(cleanup_close)))
#define auto_fclose   __attribute__((cleanup(cleanup_fclose)))
#define auto_closedir __attribute__((cleanup(cleanup_closedir)))

/* Gives the descriptor to the caller and leaves -1 behind. */
static inline int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* Gives the pointer to the caller and leaves NULL behind. */
#define take_ptr(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#define container_of(ptr, type, member)                                                            \
    __extension__({                                                                                \
        const __typeof__(((type *)0)->member) *member_ = (ptr);                                    \
        (type *)((char *)(uintptr_t)member_ - offsetof(type, member));                             \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
