// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/layermeta.h"

#include <archive.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define XATTRS_MAX      64
#define XATTR_VALUE_MAX 65536

static int xattr_is_kept(const char *name)
{
    if (strcmp(name, "security.capability") == 0) {
        return 1;
    }
    return strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0;
}

static int set_xattrs(struct archive_entry *entry, int fd, uint32_t *skipped, struct err *e)
{
    const char *name;
    const void *value;
    size_t size;
    int n = archive_entry_xattr_reset(entry);

    if (n > XATTRS_MAX) {
        return err_say(e, E2BIG, "it has %d extended attributes (allowed: %d)", n, XATTRS_MAX);
    }
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
        if (name == NULL || !xattr_is_kept(name) || size > XATTR_VALUE_MAX) {
            (*skipped)++;
        } else if (fsetxattr(fd, name, value, size, 0) < 0) {
            if (errno == ENOSPC || errno == EDQUOT || errno == EIO) {
                return err_set(e, errno, "set an extended attribute");
            }
            (*skipped)++; /* a value that the kernel refuses */
        }
    }
    return 0;
}

int layermeta_owner(struct archive_entry *entry, uid_t *ret_uid, gid_t *ret_gid, struct err *e)
{
    int64_t uid = archive_entry_uid(entry);
    int64_t gid = archive_entry_gid(entry);

    if (uid < 0 || uid > LAYERMETA_ID_MAX || gid < 0 || gid > LAYERMETA_ID_MAX) {
        return err_say(e, EINVAL, "it belongs to %lld:%lld (allowed: 0 to %d)", (long long)uid,
                       (long long)gid, LAYERMETA_ID_MAX);
    }
    *ret_uid = (uid_t)uid;
    *ret_gid = (gid_t)gid;
    return 0;
}

struct timespec layermeta_mtime(struct archive_entry *entry)
{
    struct timespec t = {.tv_sec = archive_entry_mtime(entry),
                         .tv_nsec = archive_entry_mtime_nsec(entry)};

    if (!archive_entry_mtime_is_set(entry) || t.tv_nsec < 0 || t.tv_nsec >= 1000000000) {
        t = (struct timespec){0};
    }
    return t;
}

int layermeta_set(struct archive_entry *entry, int fd, uint32_t *skipped, struct err *e)
{
    uid_t uid;
    gid_t gid;
    int rc = layermeta_owner(entry, &uid, &gid, e);

    if (rc < 0) {
        return rc;
    }
    if (fchown(fd, uid, gid) < 0) {
        return err_set(e, errno, "give it to %u:%u", uid, gid);
    }
    if (fchmod(fd, archive_entry_perm(entry) & 07777) < 0) {
        return err_set(e, errno, "set its mode");
    }
    return set_xattrs(entry, fd, skipped, e);
}
