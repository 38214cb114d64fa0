// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CORE_SLOTSTATE_H
#define WHERRY_CONTROLLER_CORE_SLOTSTATE_H

/* The one word that says how a slot stands, from what decided it. */

#include "controller/core/fleet_priv.h"

enum fleet_slot_state slotstate_of(const struct service *s, const struct slot *slot);

#endif
