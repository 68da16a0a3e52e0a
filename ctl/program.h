/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs that stay have in common. */
#ifndef MOAT_CTL_PROGRAM_H
#define MOAT_CTL_PROGRAM_H

#include <systemd/sd-event.h>

struct moat_program_signal {
	int number;
	sd_event_signal_handler_t handler;
};

/* Blocks the signals of the list, which ends with number 0, and SIGPIPE: a peer that has gone is an error code.
 * Before the first thread, so that signals reach only the loop. */
void moat_program_block_signals(const struct moat_program_signal *signals);

/* Has the loop call their handlers. 0 or a negative errno. */
int moat_program_add_signals(sd_event *loop, const struct moat_program_signal *signals,
			     void *userdata);

#endif
