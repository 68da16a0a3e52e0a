/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One packet against a limit rule: the taking that moat/rule.h describes. */
#ifndef MOAT_LIB_LIMIT_H
#define MOAT_LIB_LIMIT_H

#include "moat/rule.h"

/* Refills an exhausted share from the box's bucket: off the common path, once in a batch or a window. */
MOAT_INLINE void moat_limit_refill(struct moat_limit *limit, struct moat_limit_share *share,
				   __u32 budget, __u32 window)
{
	__u64 seen = *(volatile __u64 *)&limit->granted;
	__u32 batch = moat_limit_batch(budget);
	__u32 granted;

	/* who loses the race finds the window set by the winner */
	if ((__s32)(window - (__u32)(seen >> 32)) > 0)
		__sync_val_compare_and_swap(&limit->granted, seen, (__u64)window << 32);
	granted = (__u32)__sync_fetch_and_add(&limit->granted, batch);
	if (granted >= budget)
		share->empty = 1;
	else
		share->credit = budget - granted < batch ? budget - granted : batch;
}

/* 1 if the packet is within the rate. */
MOAT_INLINE int moat_limit_take(struct moat_limit *limit, struct moat_limit_share *share, __u32 budget,
				__u32 window)
{
	if (share->window != window) {
		share->window = window;
		share->credit = 0;
		share->empty = 0;
	}
	if (share->credit == 0 && !share->empty)
		moat_limit_refill(limit, share, budget, window);
	if (share->credit == 0)
		return 0;
	share->credit--;
	return 1;
}

#endif
