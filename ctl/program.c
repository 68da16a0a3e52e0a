/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/program.h"

#include <signal.h>

void moat_program_block_signals(const struct moat_program_signal *signals)
{
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGPIPE);
	for (; signals->number; signals++)
		sigaddset(&blocked, signals->number);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
}

int moat_program_add_signals(sd_event *loop, const struct moat_program_signal *signals,
			     void *userdata)
{
	int r = 0;

	for (; r >= 0 && signals->number; signals++)
		r = sd_event_add_signal(loop, NULL, signals->number, signals->handler, userdata);
	return r < 0 ? r : 0;
}
