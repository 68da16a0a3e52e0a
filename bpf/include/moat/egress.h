/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What containers send, counted, limited and cut at the host's side of their veth: what dataplane/egress.h
 * and bpf/egress share. A slot is one interface; its number is a constant of the program that stands there.
 */
#ifndef MOAT_EGRESS_H
#define MOAT_EGRESS_H

#include "moat/packet.h"
#include "moat/rule.h"

#define MOAT_EGRESS_SLOTS 1024
/* Destinations that containers are cut off from, over all slots. */
#define MOAT_EGRESS_CUTS 4096
/* A limit on bytes counts in these, so that its budget is a 32-bit number. */
#define MOAT_EGRESS_UNIT 64

/* What became of a packet; each is counted under exactly one. */
enum moat_egress_reason {
	MOAT_EGRESS_PASS = 0,
	MOAT_EGRESS_DROP_CUT,         /* the container is cut off */
	MOAT_EGRESS_DROP_DESTINATION, /* ... from this destination */
	MOAT_EGRESS_DROP_PACKETS,     /* beyond its packets a second */
	MOAT_EGRESS_DROP_BYTES,       /* beyond its bytes a second */
	MOAT_EGRESS_REASONS,
};

enum moat_egress_cut {
	MOAT_EGRESS_CUT_NONE = 0,
	MOAT_EGRESS_CUT_DESTINATIONS, /* the slot's entries of the map "cuts" */
	MOAT_EGRESS_CUT_ALL,
};

/* Of one slot on one CPU. Packets and bytes as they are on a wire: a GSO frame counts as the packets that it
 * is cut into, each with its headers. in = sum of reasons, always. */
struct moat_egress_counters {
	struct moat_counter in;
	struct moat_counter reasons[MOAT_EGRESS_REASONS];
	__u64 frames; /* handed over by the container: a GSO frame is one */
	__u64 syn;    /* packets, of them: TCP with SYN and without ACK */
	__u64 udp;
	__u64 icmp;   /* ICMP and ICMPv6 */
	__u64 unread; /* frames whose headers couldn't be read: they count as they are */
	__u64 reserved;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_egress_counters) == 144, "mapped by readers");

/* A limit in one word, so that no packet sees half of a change: units a window on the whole box in the lower
 * half (0: no limit), how many bits of the tick count are within a window in the upper. */
MOAT_INLINE __u64 moat_egress_limit(__u32 budget, __u32 shift)
{
	return (__u64)shift << 32 | budget;
}

enum moat_egress_flag {
	MOAT_EGRESS_BY_OPERATOR = 1, /* the limits were set at run time: the configuration's don't touch them */
	MOAT_EGRESS_OUR_QDISC = 2, /* the clsact qdisc was made for us */
};

/* State of one interface. */
struct moat_egress_slot {
	char name[16]; /* empty: the slot is free */
	__u32 ifindex;
	__u32 cut;                        /* enum moat_egress_cut */
	__u64 packets_limit, bytes_limit; /* moat_egress_limit; bytes in MOAT_EGRESS_UNIT */
	__u64 packets_rate, bytes_rate;   /* as asked for, a second; 0: none */
	__u32 flags;                      /* enum moat_egress_flag */
	__u32 priority;                   /* of our filter */
	struct moat_limit packets, bytes;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_egress_slot) == 192, "cache lines: buckets have theirs");

/* A CPU's credits of one slot. */
struct moat_egress_share {
	struct moat_limit_share packets, bytes;
};

/* Key of the trie "cuts": prefix length in bits over slot and address. */
struct moat_egress_key {
	__u32 prefix; /* 32 + bits of the address, IPv4 as IPv4-mapped */
	__u32 slot;
	struct moat_addr addr;
};

/*
 * moat_limit_take for what counts as many. A frame is never split: it passes if anything is left, and what it
 * took beyond is charged to the next window, so that the rate holds over time however large frames are.
 */
MOAT_INLINE int moat_egress_take(struct moat_limit *limit, struct moat_limit_share *share,
				 __u32 window, __u32 budget, __u32 amount)
{
	__u32 batch = moat_limit_batch(budget), granted, debt = 0;
	__u64 old;

	if (share->window != window) {
		share->window = window;
		share->credit = 0;
		share->empty = 0;
	}
	if (share->credit >= amount) {
		share->credit -= amount;
		return 1;
	}
	if (share->empty)
		return 0;
	amount -= share->credit;
	if (batch < amount)
		batch = amount;
	old = *(volatile __u64 *)&limit->granted;
	if ((__u32)(old >> 32) - window > MOAT_LIMIT_AHEAD) {
		/* the window before this one, overdrawn: one window of debt at most */
		if ((__u32)(old >> 32) + 1 == window && (__u32)old > budget)
			debt = (__u32)old - budget < budget ? (__u32)old - budget : budget;
		__sync_val_compare_and_swap(&limit->granted, old, (__u64)window << 32 | debt);
		old = *(volatile __u64 *)&limit->granted;
	}
	if ((__u32)old >= budget) {
		share->empty = (__u32)(old >> 32) == window;
		return 0;
	}
	granted = (__u32)__sync_fetch_and_add(&limit->granted, (__u64)batch);
	if (granted >= budget)
		return 0;
	share->credit = batch - amount;
	return 1;
}

#endif
