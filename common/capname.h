// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_CAPNAME_H
#define WHERRY_COMMON_CAPNAME_H

/* Capabilities by number and by name, as Compose writes them: "NET_RAW". Pure. */

#define CAPNAME_N 41 /* of Linux 6.1 */

/* By number; complete. */
extern const char *const capname_list[CAPNAME_N];

/* The number of "NET_RAW", written exactly so; -1: there is no such capability. */
int capname_find(const char *name);

#endif
