/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stages of a judge, in order; the first that decides gives the packet's reason. Gate, workers and
 * the tests' oracle all go by this text.
 *
 *  1 parse         what isn't IP passes (PASS_NOT_IP). Tunnels are looked into where configured.
 *  2 control       always on, and nothing overrides it: neighbour and router discovery with hop limit 255
 *                  (ICMPv6 133-137), ICMP "fragmentation needed" and ICMPv6 "packet too big" up to
 *                  MOAT_CONTROL_PTB_PPS on the box (beyond it they are judged like others), and, from
 *                  prefixes marked as neighbours, BGP (TCP 179, either port), BFD (UDP to 3784, 4784,
 *                  6784), OSPF (89) and VRRP (112): PASS_CONTROL. Management prefixes and the sessions in
 *                  the tables: PASS_MANAGEMENT.
 *  3 policy        none is loaded: PASS_NO_TABLE or, failing closed, DROP_NO_POLICY. Control needs a
 *                  policy for its prefixes; what needs none is passed before.
 *  4 sanity        BROKEN, FLAGS, LAND, MARTIAN, each switched alone. With BROKEN off, what can't be read
 *                  passes under its own reason, and nothing behind this stage sees it.
 *  5 allow, deny   source lists, the allow list first
 *  6 rules         by position
 *  7 amplification UDP from a reflector's port, longer than the port's bound
 *  8 fragments     dropped where they aren't wanted
 *  9 sources       rates of the source, packets and bytes
 * 10 challenge     initial SYNs to a profile that challenges, from sources not validated
 * 11 profile       rates of the destination by kind of packet
 * 12 pass          PASS_DEFAULT
 *
 * Every stage is a bit of a load-time constant: one that is off is not in the program.
 */
#ifndef MOAT_STAGE_H
#define MOAT_STAGE_H

#include "moat/packet.h"

enum moat_stage {
	MOAT_STAGE_BROKEN = 1u << 0,
	MOAT_STAGE_FLAGS = 1u << 1,
	MOAT_STAGE_LAND = 1u << 2,
	MOAT_STAGE_MARTIAN = 1u << 3,
	MOAT_STAGE_ALLOW = 1u << 4,
	MOAT_STAGE_DENY = 1u << 5,
	MOAT_STAGE_RULES = 1u << 6,
	MOAT_STAGE_AMPLIFICATION = 1u << 7,
	MOAT_STAGE_FRAGMENTS = 1u << 8,
	MOAT_STAGE_SOURCES = 1u << 9,
	MOAT_STAGE_CHALLENGE = 1u << 10,
	MOAT_STAGE_PROFILES = 1u << 11,
	MOAT_STAGE_SAMPLE = 1u << 12,
	MOAT_STAGE_GRE = 1u << 13, /* look into tunnels, one bit a kind */
	MOAT_STAGE_IP_TUNNEL = 1u << 14,
	MOAT_STAGE_VXLAN = 1u << 15,
	MOAT_STAGE_GENEVE = 1u << 16,
};

/* On where nothing else is said: what enforces only what an operator or the responder asked for. */
#define MOAT_STAGES_DEFAULT \
	(MOAT_STAGE_ALLOW | MOAT_STAGE_DENY | MOAT_STAGE_RULES | MOAT_STAGE_SAMPLE)

/* ICMP errors that path MTU discovery (RFC 1191, RFC 8201) needs, passed by the control stage. */
#define MOAT_CONTROL_PTB_PPS 1000

/* Kinds of packets that a destination's profile limits apart. */
enum moat_kind {
	MOAT_KIND_SYN = 0, /* TCP with SYN and without ACK */
	MOAT_KIND_UDP,     /* without later fragments, which are OTHER */
	MOAT_KIND_ICMP,    /* ICMP and ICMPv6 */
	MOAT_KIND_OTHER,   /* neither these nor TCP */
	MOAT_KIND_COUNT,   /* TCP without SYN, or with ACK, has no rate */
};

/* Bounds of the tables, a profile number being 11 bits of a leaf; number 0 is the default. */
#define MOAT_PROFILES_MAX 2048
#define MOAT_SOURCE_PROFILES_MAX 2048
#define MOAT_SESSIONS_MAX 8

/* A connection that nothing may cut: that of whoever changes rules, e.g. over SSH. */
struct moat_session {
	struct moat_addr src, dst;
	__u16 sport, dport; /* of TCP */
	__u32 used;
};

#endif
