/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a gateway port sends on what its judgement passed: by the kernel's stack, by the gate itself with the
 * kernel's routes, or to the other port of a pair. What bpf/gate/forward.h and dataplane share.
 */
#ifndef MOAT_FORWARD_H
#define MOAT_FORWARD_H

#include "moat/types.h"

enum moat_forward_mode {
	MOAT_FORWARD_KERNEL = 0, /* all of it goes to the stack; nothing is counted here */
	MOAT_FORWARD_FIB,        /* routed by the gate, what it can't route goes to the stack */
	MOAT_FORWARD_WIRE,       /* all of it, also what isn't IP, leaves by the peer */
};

/* What became of a packet that passed; each is counted under exactly one. All but SENT, and with a wire
 * NO_TARGET where the port fails closed, went to the stack. */
enum moat_forward {
	MOAT_FORWARD_SENT = 0, /* handed to the port that it leaves by */
	MOAT_FORWARD_NOT_IP,   /* ARP, LLDP, spanning tree, ...; also headers that can't be read */
	MOAT_FORWARD_TAGGED,   /* with a VLAN tag: its route is that of the VLAN's interface */
	MOAT_FORWARD_NOT_OURS, /* to a group, or to another station's Ethernet address */
	MOAT_FORWARD_OPTIONS, /* IPv4 options, IPv6 hop-by-hop or routing header: the stack looks at them */
	MOAT_FORWARD_TTL,   /* its last hop: the stack answers */
	MOAT_FORWARD_LOCAL, /* not to be forwarded: to this host, a broadcast address, or no route */
	MOAT_FORWARD_REFUSED,     /* its route says blackhole, unreachable or prohibit */
	MOAT_FORWARD_OFF,         /* forwarding is off on the interface that it came in by */
	MOAT_FORWARD_UNSUPPORTED, /* its route encapsulates */
	MOAT_FORWARD_NEIGHBOUR, /* the next hop's Ethernet address isn't known yet: the stack asks for it */
	MOAT_FORWARD_TOO_BIG, /* larger than the MTU of its way out: the stack cuts it up or answers */
	MOAT_FORWARD_NO_TARGET, /* the way out is no port that the gate may send to */
	MOAT_FORWARD_ERROR,     /* the lookup failed otherwise */
	MOAT_FORWARD_COUNT,
};

/* Of one port on one CPU. */
struct moat_forward_counters {
	__u64 packets[MOAT_FORWARD_COUNT];
	__u64 reserved[2];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_forward_counters) == 128, "two cache lines a CPU");

/* Keys of the map of ways out: a fib's are the numbers of the interfaces that may be sent to, a wire's the
 * number of its port with this bit, whose value is its peer. */
#define MOAT_FORWARD_PEER 0x80000000u

#endif
