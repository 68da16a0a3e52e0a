/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What containers send, counted, limited and cut at the host's side of their veth: what dataplane/egress.h
 * and bpf/egress share. A slot is one interface; its number is a constant of the program that stands there.
 */
#ifndef MOAT_EGRESS_H
#define MOAT_EGRESS_H

#include "moat/limit.h"
#include "moat/packet.h"

#define MOAT_EGRESS_SLOTS 1024
/* Destinations that containers are cut off from, over all slots. */
#define MOAT_EGRESS_CUTS 4096

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

enum moat_egress_flag {
	MOAT_EGRESS_BY_OPERATOR = 1, /* the limits were set at run time: the configuration's don't touch them */
	MOAT_EGRESS_OUR_QDISC = 2, /* the clsact qdisc was made for us */
};

/* State of one interface. */
struct moat_egress_slot {
	char name[16]; /* empty: the slot is free */
	__u32 ifindex;
	__u32 cut;                       /* enum moat_egress_cut */
	struct moat_rate packets, bytes; /* limits on the whole box */
	__u64 packets_rate, bytes_rate;  /* as asked for, a second; 0: none */
	struct moat_limit buckets;
	__u32 flags;    /* enum moat_egress_flag */
	__u32 priority; /* of our filter */
	__u64 reserved[7];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_egress_slot) == 192, "cache lines: the buckets have theirs");

/* Key of the trie "cuts": prefix length in bits over slot and address. */
struct moat_egress_key {
	__u32 prefix; /* 32 + bits of the address, IPv4 as IPv4-mapped */
	__u32 slot;
	struct moat_addr addr;
};

#endif
