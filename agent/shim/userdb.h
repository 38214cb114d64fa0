// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_USERDB_H
#define WHERRY_AGENT_SHIM_USERDB_H

/* Who "name", "uid", "uid:gid", "name:group" … is in a container, by its own /etc/passwd and
 * /etc/group, with Docker's meaning: a number is always an id; without a group, the user's own one
 * and those that list the user count; with one, only that. Ids are exact decimal numbers from 0 to
 * 65535: signs, blanks, leading zeros and larger numbers are errors, never another user. The files
 * are hostile: read with a bound, lines too long for us are skipped. No allocation, no NSS. */

#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

#define USERDB_ID_MAX     65535
#define USERDB_GROUPS_MAX 64
#define USERDB_HOME_MAX   512
#define USERDB_BYTES_MAX  (1024 * 1024) /* of each file; the rest is not looked at */

struct userdb_user {
    uint32_t uid, gid;
    gid_t groups[USERDB_GROUPS_MAX];
    unsigned n_groups;
    char home[USERDB_HOME_MAX]; /* "/" if nothing is known */
};

/* "" is uid 0. -EINVAL: no such user, group or number; the text says which. */
int userdb_find(const char *text, const char *passwd_path, const char *group_path,
                struct userdb_user *ret, struct err *e);

#endif
