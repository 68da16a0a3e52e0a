/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* In place of the gate's skeleton, for a dataplane/gate_port.c that loads the gate with given inputs. */
#include "gate_replay.skel.h"
