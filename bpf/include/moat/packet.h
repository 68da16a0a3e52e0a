/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a parser finds in a packet, and the one reason every packet ends with. The gate, the workers and
 * the tests' oracle parse on their own; they meet in these values.
 */
#ifndef MOAT_PACKET_H
#define MOAT_PACKET_H

#include "moat/types.h"

/*
 * What every parser does, in this order:
 * - Ethernet, tags 0x8100 and 0x88a8, then 0x0800 or 0x86dd; any other type is NOT_IP.
 * - IP header: not whole in the frame (20 or 40 bytes) is TRUNCATED; version, IPv4 header length below 20,
 *   IPv4 total length below the header length, or a datagram that ends behind the frame is MALFORMED.
 *   Only then family, addresses, l3_len, ttl, fragment and proto are set. Ethernet padding behind the
 *   datagram is never read.
 * - IPv6 extension headers 0, 43, 44, 51 (its length is in words, plus 2) and 60 are walked; others,
 *   50 too, are transports. Behind the fragment header of a later fragment nothing is walked: proto is
 *   what that header names. Offset 0 without "more fragments" is no fragment (RFC 6946).
 * - Transport, unless a later fragment: TCP needs 20 bytes within the datagram, UDP 8, SCTP 12, ICMP
 *   and ICMPv6 4, else TRUNCATED, as for an extension header; other protocols need none.
 * Cells count a packet whose family is set, whatever the parse result.
 */

/* Bounds of both parsers; what goes beyond is MOAT_PARSE_DEPTH, passed and counted. */
#define MOAT_VLAN_DEPTH 2 /* 802.1ad outer and 802.1Q inner tag */
#define MOAT_EXT_DEPTH 6  /* IPv6 extension headers walked (RFC 8200, 4.1 lists six) */

enum moat_parse {
	MOAT_PARSE_OK = 0,
	MOAT_PARSE_NOT_IP,    /* ARP, LLDP, ...: passed, never judged */
	MOAT_PARSE_TRUNCATED, /* a header ends behind the frame */
	MOAT_PARSE_MALFORMED, /* version, header length or total length contradict the frame */
	MOAT_PARSE_DEPTH,     /* more tags or extension headers than the bounds above */
};

enum moat_fragment {
	MOAT_FRAGMENT_NONE = 0,
	MOAT_FRAGMENT_FIRST = 1, /* has the transport header */
	MOAT_FRAGMENT_LATER = 2, /* has none: ports, flags and ICMP type are 0 and match no rule on them */
};

/*
 * Tunnels whose inner packet is judged and counted in place of the outer one, where that is asked for
 * (enum moat_stage):
 * - The frame is parsed as above. If the result is OK, the packet no fragment and not broken, and its
 *   protocol or UDP destination port that of a kind asked for, what follows the transport header (that of
 *   UDP; the others have none) is the tunnel's. A fragment of a tunnel's packet is judged by its outer
 *   headers, since the inner packet lies in several frames.
 * - GRE: version 0 without source routing; checksum, key and sequence number are stepped over, the other
 *   flags not looked at (as Linux does, net/ipv4/gre_demux.c). VXLAN: the I flag must be set. Geneve:
 *   version 0; its options, 0 to 252 bytes, are stepped over; O and C flags are not looked at.
 * - What follows is IPv4 (4, 0x0800), IPv6 (41, 0x86dd) or, by type 0x6558 and in VXLAN, an Ethernet
 *   frame; parsed by the rules above, with the end of the outer datagram as the frame's end.
 * - Is the result OK, then all of struct moat_headers but frame_len and vlan is the inner packet's:
 *   l3_len is the inner datagram's length, the offsets are those in the frame, fragment, ttl and broken
 *   the inner headers'; the inner frame's tags are forgotten. If it isn't, the outer headers stand, with
 *   the result OK.
 * - One level: a tunnel in a tunnel is judged by the outermost's inner packet.
 * Counters of frames count the whole frame, cells and limits the inner datagram. No inner packet is ever
 * answered (the SYN challenge passes over packets with a tunnel): an answer would have to be wrapped.
 */
enum moat_tunnel {
	MOAT_TUNNEL_NONE = 0,
	MOAT_TUNNEL_GRE,    /* RFC 2784, 2890: IPv4, IPv6 and transparent Ethernet in version 0 */
	MOAT_TUNNEL_IP,     /* protocols 4 and 41: IPIP, SIT, ip6tnl */
	MOAT_TUNNEL_VXLAN,  /* RFC 7348, UDP to port 4789 or as configured */
	MOAT_TUNNEL_GENEVE, /* RFC 8926, UDP to port 6081 or as configured */
	MOAT_TUNNEL_COUNT,
};
#define MOAT_VXLAN_PORT 4789
#define MOAT_GENEVE_PORT 6081

enum moat_tcp_flag {
	MOAT_TCP_FIN = 0x01,
	MOAT_TCP_SYN = 0x02,
	MOAT_TCP_RST = 0x04,
	MOAT_TCP_PSH = 0x08,
	MOAT_TCP_ACK = 0x10,
	MOAT_TCP_URG = 0x20,
	MOAT_TCP_ECE = 0x40,
	MOAT_TCP_CWR = 0x80,
};

/* The headers of one packet. Numbers in host byte order, addresses in network byte order. All zero
 * before parsing; with a result other than MOAT_PARSE_OK only the fields found so far are set. */
struct moat_headers {
	struct moat_addr src;
	struct moat_addr dst;
	__u16 frame_len; /* bytes on the wire without FCS, capped at 65,535 */
	__u16 l3_len;    /* the whole IP datagram: IPv4 total length, IPv6 payload length + 40 */
	__u16 l3_offset; /* of the IP header in the frame */
	__u16 l4_offset; /* of the transport header in the frame */
	__u16 sport;     /* TCP, UDP, SCTP; else 0 */
	__u16 dport;
	__u16 ether_type; /* behind the tags */
	__u16 vlan;       /* outer VLAN id, 0 if untagged */
	__u8 family;      /* enum moat_family; ANY if not IP */
	__u8 proto;       /* IANA protocol number of the transport header */
	__u8 tcp_flags;   /* enum moat_tcp_flag */
	__u8 fragment;    /* enum moat_fragment */
	__u8 ttl;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 has_ports; /* 1 if sport and dport were read */
	__u32 tcp_seq;  /* TCP sequence number, which the SYN challenge answers; else 0 */
	__u8 tunnel; /* enum moat_tunnel; then all but frame_len and vlan is the inner packet's */
	__u8 broken; /* 1: the transport header contradicts the datagram: TCP data offset below 5 or behind
			 * the datagram's end, UDP length below 8 or, unless a fragment, behind the end;
			 * parsed all the same */
	__u16 reserved;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_headers) == 64, "a cache line, copied into every sample");

enum moat_verdict {
	MOAT_VERDICT_PASS = 0,
	MOAT_VERDICT_DROP = 1,
	MOAT_VERDICT_REDIRECT = 2, /* handed to an AF_XDP worker, which judges it, or to another port */
	MOAT_VERDICT_TX = 3,       /* answered: the frame went back as another one */
};

/* Why a packet got its verdict. Each packet is counted under exactly one reason. */
enum moat_reason {
	MOAT_REASON_PASS_DEFAULT = 0, /* no list and no rule named it */
	MOAT_REASON_PASS_ALLOWED,     /* its source is on the allow list */
	MOAT_REASON_PASS_RULE,        /* a rule with action pass */
	MOAT_REASON_PASS_KNOWN,       /* a limit rule that prefers known sources, and this is one */
	MOAT_REASON_PASS_LIMIT,       /* within the rate of a limit rule */
	MOAT_REASON_PASS_NOT_IP,
	MOAT_REASON_PASS_TRUNCATED,
	MOAT_REASON_PASS_MALFORMED,
	MOAT_REASON_PASS_DEPTH,
	MOAT_REASON_PASS_NO_TABLE, /* no policy is loaded: a missing policy allows and counts */
	MOAT_REASON_PASS_CONTROL,  /* what keeps the network up: see moat/stage.h */
	MOAT_REASON_PASS_MANAGEMENT, /* from a management prefix, or the session of who changes rules */
	MOAT_REASON_PASS_NO_TARGET, /* a rule with action redirect whose target isn't there */
	MOAT_REASON_DROP_DENIED,    /* its source is on the deny list */
	MOAT_REASON_DROP_RULE,      /* a rule with action drop */
	MOAT_REASON_DROP_LIMIT,     /* beyond the rate of a limit rule */
	MOAT_REASON_DROP_BROKEN, /* sanity: a header that can't be read, or contradicts the frame */
	MOAT_REASON_DROP_FLAGS,  /* sanity: TCP flags that no stack sends */
	MOAT_REASON_DROP_LAND,   /* sanity: source and destination are the same host */
	MOAT_REASON_DROP_MARTIAN,       /* sanity: a source address that can't be one (RFC 6890) */
	MOAT_REASON_DROP_AMPLIFICATION, /* an answer of a reflector, longer than such answers need be */
	MOAT_REASON_DROP_FRAGMENT,      /* a fragment where none are wanted */
	MOAT_REASON_DROP_SOURCE,        /* beyond the rate of its source */
	MOAT_REASON_DROP_PROFILE,       /* beyond the rate that its destination's profile allows */
	MOAT_REASON_DROP_CHALLENGE,     /* a SYN to be challenged, beyond the cap on answers */
	MOAT_REASON_DROP_COOKIE,    /* the RST that answered a challenge: its source is validated */
	MOAT_REASON_DROP_NO_POLICY, /* no policy is loaded, and the port is to fail closed */
	MOAT_REASON_DROP_NO_XSK,    /* no socket or a dead worker, and the port is to fail closed */
	MOAT_REASON_DROP_NO_PEER,   /* wire mode: the other port can't send */
	MOAT_REASON_REDIRECT_XSK, /* gate of a wire or mirror port: handed to the worker's socket */
	MOAT_REASON_REDIRECT_RULE,   /* a rule with action redirect */
	MOAT_REASON_REDIRECT_BYPASS, /* worker of a wire gone: judged by the gate, sent to the peer */
	MOAT_REASON_TX_CHALLENGE,    /* a SYN, answered with a challenge */
	MOAT_REASON_PASS_NO_XSK,     /* gate of a wire or mirror port: no socket on this queue */
	MOAT_REASON_CONSUMED,        /* mirror port: judged, counted, not sent on */
	MOAT_REASON_COUNT,
};

MOAT_INLINE enum moat_verdict moat_reason_verdict(__u32 reason)
{
	switch (reason) {
	case MOAT_REASON_DROP_DENIED:
	case MOAT_REASON_DROP_RULE:
	case MOAT_REASON_DROP_LIMIT:
	case MOAT_REASON_DROP_BROKEN:
	case MOAT_REASON_DROP_FLAGS:
	case MOAT_REASON_DROP_LAND:
	case MOAT_REASON_DROP_MARTIAN:
	case MOAT_REASON_DROP_AMPLIFICATION:
	case MOAT_REASON_DROP_FRAGMENT:
	case MOAT_REASON_DROP_SOURCE:
	case MOAT_REASON_DROP_PROFILE:
	case MOAT_REASON_DROP_CHALLENGE:
	case MOAT_REASON_DROP_COOKIE:
	case MOAT_REASON_DROP_NO_POLICY:
	case MOAT_REASON_DROP_NO_XSK:
	case MOAT_REASON_DROP_NO_PEER:
	case MOAT_REASON_CONSUMED:
		return MOAT_VERDICT_DROP;
	case MOAT_REASON_REDIRECT_XSK:
	case MOAT_REASON_REDIRECT_RULE:
	case MOAT_REASON_REDIRECT_BYPASS:
		return MOAT_VERDICT_REDIRECT;
	case MOAT_REASON_TX_CHALLENGE:
		return MOAT_VERDICT_TX;
	default:
		return MOAT_VERDICT_PASS;
	}
}

/* The reason of a packet that can't be judged, MOAT_REASON_PASS_DEFAULT if it can. */
MOAT_INLINE enum moat_reason moat_parse_reason(__u32 parse)
{
	switch (parse) {
	case MOAT_PARSE_OK:
		return MOAT_REASON_PASS_DEFAULT;
	case MOAT_PARSE_NOT_IP:
		return MOAT_REASON_PASS_NOT_IP;
	case MOAT_PARSE_TRUNCATED:
		return MOAT_REASON_PASS_TRUNCATED;
	case MOAT_PARSE_DEPTH:
		return MOAT_REASON_PASS_DEPTH;
	default:
		return MOAT_REASON_PASS_MALFORMED;
	}
}

struct moat_counter {
	__u64 packets;
	__u64 bytes; /* of frames, without FCS */
};

#endif
