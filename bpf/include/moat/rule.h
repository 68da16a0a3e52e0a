/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules, and the tables they are compiled into (dataplane/tables.h builds them, the gate and
 * dataplane/policy.h read them).
 *
 * Where lists and rules stand in the order of judgement: moat/stage.h. Every rule that a
 * packet was found to match and that hasn't expired gets a hit: those that count and the one that
 * decides. A rule's position is its rank by (priority, id); its slot is where its hits and its bucket
 * live and stays the same for the rule's life, so that counters survive a rebuild.
 *
 * The tries are chosen by the address, never by the packet's family: an IPv6 packet from ::ffff:a.b.c.d
 * is judged as the IPv4 host that it names.
 *
 * Lookup: the source and the destination address are each looked up once in a multibit trie whose leaf
 * carries the list flags and a class; ports, length, VLAN, protocol and TCP flags map to classes directly.
 * Every class of every dimension has a bit vector of the rules that it satisfies; the AND of eight
 * vectors is the set of matching rules (Lakshman and Stiliadis, SIGCOMM'98), its lowest bit the answer.
 * The cost depends on the number of 64-rule words that survive the AND of the eight summaries, not on
 * the number of rules.
 */
#ifndef MOAT_RULE_H
#define MOAT_RULE_H

#include "moat/limit.h"
#include "moat/packet.h"
#include "moat/stage.h"

#define MOAT_RULES_MAX 4096
#define MOAT_RULE_WORDS (MOAT_RULES_MAX / 64)

/* Candidates looked at for one packet, "count" rules and expired ones among them; a packet that none of
 * them decides passes by default. The next rebuild (at most a second away while moatd runs) removes the
 * expired ones. */
#define MOAT_RULE_TRIES 32

enum moat_action {
	MOAT_ACTION_DROP = 0,
	MOAT_ACTION_PASS = 1,
	MOAT_ACTION_LIMIT = 2, /* pass up to rate_pps on the whole box, drop the rest */
	MOAT_ACTION_COUNT = 3, /* count a hit and go on with the next rule */
	MOAT_ACTION_CHALLENGE = 4, /* SYN challenge of sources not yet validated (moat/challenge.h); what is
				    * neither such a SYN nor its answer goes on with the next rule */
	MOAT_ACTION_SAMPLE = 5,   /* sample one in `interval` and go on with the next rule */
	MOAT_ACTION_REDIRECT = 6, /* out of another port of the gate */
	MOAT_ACTION_COUNT_OF,     /* how many there are */
};

enum moat_rule_flag {
	MOAT_RULE_PREFER_KNOWN = 1, /* limit: sources known from before (struct moat_known) pass uncounted */
	MOAT_RULE_COUNT_ONLY = 2, /* do all but enforce: count what the action would have stopped, go on */
};

/* What a rule matches: the AND of its fields. Ranges are inclusive. A field that says "any" matches
 * packets that lack the header as well; a field that says something doesn't. */
struct moat_match {
	struct moat_prefix src;
	struct moat_prefix dst;
	__u16 sport_min, sport_max; /* any: 0-65535 */
	__u16 dport_min, dport_max;
	__u16 len_min, len_max; /* of the IP datagram; any: 0-65535 */
	__u8 proto;             /* IANA number; 0 is any (0 is hop-by-hop, never a transport) */
	__u8 tcp_mask; /* matches if tcp_flags & tcp_mask == tcp_flags of the rule; 0 is any */
	__u8 tcp_flags;
	__u8 reserved;
	__u16 vlan;      /* outer VLAN id, 0: untagged or priority-tagged */
	__u16 vlan_mask; /* matches if the id & vlan_mask == vlan of the rule; 0 is any */
	__u32 reserved2;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_match) == 72, "no padding: compared as memory");

#define MOAT_RULE_BURST_MAX (1u << 20)
#define MOAT_RULE_INTERVAL_MAX (1u << 31)

#define MOAT_RULE_OWNER_LEN 16
#define MOAT_RULE_COMMENT_LEN 96

struct moat_rule {
	struct moat_match match;
	__u64 expires_ns; /* CLOCK_MONOTONIC; 0 is never */
	__u32 id;         /* unique while the rule lives, > 0; what operators name it by */
	__u32 priority;   /* 0-65535, the lower is judged first */
	__u32 slot;       /* 0 to MOAT_RULES_MAX - 1 */
	__u32 rate_pps;   /* limit: packets a second on the whole box; 0: no limit on packets */
	__u64 rate_bps; /* limit: bytes of IP datagrams a second on the whole box; 0: no limit on bytes */
	__u32 burst; /* limit: packets (or 1,500-byte units of bytes) above the rate at once; 0: default */
	__u32 interval;  /* sample: 1 to 2^31 */
	char target[16]; /* redirect: name of the port */
	__u8 action;     /* enum moat_action */
	__u8 flags;      /* enum moat_rule_flag */
	__u16 reserved;
	__u32 finding; /* id of the finding that asked for it, 0 if an operator did */
	char owner[MOAT_RULE_OWNER_LEN];
	char comment[MOAT_RULE_COMMENT_LEN];
};

/* A leaf or child pointer of a trie. Leaf: list flags and class. Child: index of a 256-entry node. */
#define MOAT_LPM_CHILD 0x80000000u
#define MOAT_LPM_CLASS 0x00001fffu /* of rules */
#define MOAT_LPM_PROFILE \
	0x00ffe000u /* src: of its rates (struct moat_source_profile); dst: of its
				      * protection (struct moat_profile); 0: the default's */
#define MOAT_LPM_PROFILE_SHIFT 13
#define MOAT_LPM_ALLOW 0x01000000u
#define MOAT_LPM_DENY 0x02000000u
#define MOAT_LPM_NEIGHBOUR 0x04000000u  /* src: speaks routing protocols with us */
#define MOAT_LPM_MANAGEMENT 0x08000000u /* src: manages the box */
#define MOAT_LPM_SESSION 0x10000000u    /* src: has a session of struct moat_sessions */
#define MOAT_LPM_MARTIAN 0x20000000u    /* src: can't be one */

/* First stride in bits: DIR-24-8 (Gupta, Lin, McKeown, INFOCOM'98) for IPv4 sources, where the long
 * lists are; 16 and then 8s elsewhere. */
#define MOAT_LPM_SRC4_BITS 24
#define MOAT_LPM_ROOT_BITS 16
#define MOAT_LPM_NODE_SIZE 256
#define MOAT_LPM_V6_LEVELS 14 /* nodes below the 16-bit root of a 128-bit key */
#define MOAT_LPM_V4_LEVELS 2

/* Nodes in one element of the map, 512 MiB: the verifier's largest offset. More of them are further
 * elements. */
#define MOAT_LPM_CHUNK_SHIFT 19
#define MOAT_LPM_CHUNK_NODES (1u << MOAT_LPM_CHUNK_SHIFT)

/* One bit a rule, by position; bit w of `summary` says that words[w] is not 0. Words whose bit isn't set
 * are not written, and hold what an earlier set left there. */
struct moat_bits {
	__u64 summary;
	__u64 words[MOAT_RULE_WORDS];
};

/* What a matching rule does, by position. */
struct moat_rule_entry {
	__u64 expires; /* in ticks of the judge's clock; 0 is never */
	__u32 slot;
	__u32 id;
	struct moat_rate packets; /* limit; the buckets are one a slot (struct moat_limit) */
	struct moat_rate bytes;
	__u8 action;
	__u8 flags;
	__u16 reserved;
	__u32 value; /* sample: the interval; redirect: index of the port, or MOAT_TARGET_NONE */
};
#define MOAT_TARGET_NONE 0xffffffffu

/* What a rule has seen on one judge, by slot. */
struct moat_rule_count {
	__u64 packets; /* that it was found to match: hits */
	__u64 acted; /* of them, those that its action dropped, answered, sent elsewhere or sampled; with
			* count-only those that it would have */
	__u64 bytes; /* of the frames of `packets`, as far as moat_headers.frame_len counts them */
	__u64 reserved;
};

/* Classes: one a distinct prefix and 0 for none; one an elementary port or length interval; one a VLAN
 * that a rule names and 0 for the others; for ports and flags class 0 is "the packet has none". */
#define MOAT_PREFIX_CLASSES (MOAT_RULES_MAX + 1)
#define MOAT_RANGE_CLASSES (2 * MOAT_RULES_MAX + 2)
#define MOAT_FLAG_CLASSES 257 /* flags + 1; 0 if not TCP */
#define MOAT_VLAN_IDS 4096
#define MOAT_VLAN_CLASSES (MOAT_VLAN_IDS + 1)

/* The index into `flags`. */
MOAT_INLINE __u32 moat_flags_class(const struct moat_headers *h)
{
	return h->proto == 6 && h->has_ports ? (__u32)h->tcp_flags + 1 : 0;
}

struct moat_rule_tables {
	__u32 rule_count; /* 0: no rule, the vectors are not read */
	__u32 generation; /* rebuilds of this half, for `moat rules list` */
	struct moat_rule_entry entries[MOAT_RULES_MAX];
	__u16 sport_class[65536];
	__u16 dport_class[65536];
	__u16 len_class[65536];
	__u16 vlan_class[MOAT_VLAN_IDS];
	struct moat_bits src[MOAT_PREFIX_CLASSES];
	struct moat_bits dst[MOAT_PREFIX_CLASSES];
	struct moat_bits proto[256];
	struct moat_bits flags[MOAT_FLAG_CLASSES];
	struct moat_bits sport[MOAT_RANGE_CLASSES];
	struct moat_bits dport[MOAT_RANGE_CLASSES];
	struct moat_bits len[MOAT_RANGE_CLASSES];
	struct moat_bits vlan[MOAT_VLAN_CLASSES];
	/* The summaries of some of the vectors once more, close together: enough for most packets, which no
	 * rule matches. */
	__u64 src_summary[MOAT_PREFIX_CLASSES];
	__u64 dst_summary[MOAT_PREFIX_CLASSES];
	__u64 proto_summary[256];
	__u64 dport_summary[MOAT_RANGE_CLASSES];
};

/*
 * Sources known from before an attack: a Bloom filter with two bits an address (the halves of
 * moat_addr_hash), written by user space from sources that were seen to hold conversations.
 * 2^20 bits: 1.4 % false positives at 65,536 sources, by (1 - e^(-2n/m))^2.
 */
#define MOAT_KNOWN_BITS (1u << 20)

struct moat_known {
	__u64 words[MOAT_KNOWN_BITS / 64];
};

MOAT_INLINE int moat_known_test(const struct moat_known *known, const struct moat_addr *addr,
				__u64 seed)
{
	__u64 hash = moat_addr_hash(addr, seed);
	__u32 a = (__u32)hash & (MOAT_KNOWN_BITS - 1);
	__u32 b = (__u32)(hash >> 32) & (MOAT_KNOWN_BITS - 1);

	return (known->words[a / 64] >> (a % 64)) & (known->words[b / 64] >> (b % 64)) & 1;
}

/* One writer at a time. */
MOAT_INLINE void moat_known_add(struct moat_known *known, const struct moat_addr *addr, __u64 seed)
{
	__u64 hash = moat_addr_hash(addr, seed);
	__u32 a = (__u32)hash & (MOAT_KNOWN_BITS - 1);
	__u32 b = (__u32)(hash >> 32) & (MOAT_KNOWN_BITS - 1);

	known->words[a / 64] |= 1ULL << (a % 64);
	known->words[b / 64] |= 1ULL << (b % 64);
}

#endif
