/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Window counters: one cell a host and direction, in direct-index tables, one table a CPU (gate) or
 * worker, so that no counter is shared between writers. A reader maps the tables and takes differences;
 * nothing is ever reset while its host owns the cell.
 *
 * All traffic is counted, whatever its verdict. A table is 2-way associative; a packet whose two cells
 * belong to other hosts that were active within MOAT_CELL_IDLE windows is counted as unaccounted.
 */
#ifndef MOAT_CELL_H
#define MOAT_CELL_H

#include "moat/packet.h"

/* A window is 2^shift ticks of the judge's clock, the power of two next to 1/8 s: 128 ms at HZ=250 and
 * 1000, 80 ms at HZ=100; workers tick in milliseconds and use 2^7. A shift instead of a division. */
#define MOAT_WINDOW_SHIFT_MS 7
/* A cell that was idle for so many windows may be taken over by another host. */
#define MOAT_CELL_IDLE 8
/* Linear counting (Whang et al., TODS 1990) over 256 bits: n = -256 ln(empty / 256), standard error
 * 8 % at 128 and 13 % at 512 distinct; saturated (reported as 1,420) when 255 bits are set. */
#define MOAT_DISTINCT_BITS 256
#define MOAT_DISTINCT_WORDS (MOAT_DISTINCT_BITS / 64)

/* Datagrams up to this length count as small (a 64-byte frame's are 46 bytes at most). */
#define MOAT_SMALL_LEN 64

struct moat_cell {
	struct moat_addr addr; /* all zero: free */
	__u32 epoch; /* +1 at the begin and +1 at the end of each takeover: odd is in change */
	__u32 seen;  /* window of the last packet */
	__u64 packets;
	__u64 bytes;   /* of IP datagrams */
	__u32 dropped; /* packets with verdict drop */
	__u32 tcp_syn; /* SYN without ACK */
	__u32 tcp_synack;
	__u32 tcp_ack; /* ACK without SYN, FIN, RST: what a conversation is made of */
	__u32 tcp_rst;
	__u32 tcp_fin;
	__u32 tcp_other; /* flag sets that no stack sends: null, FIN without ACK, SYN+FIN, ... */
	__u32 udp;
	__u32 udp_reflect; /* UDP from a port that reflectors answer from (moat_is_reflector_port) */
	__u32 icmp;
	__u32 fragments;
	__u32 small; /* datagrams <= MOAT_SMALL_LEN */
	__u32 other; /* neither TCP, UDP nor ICMP */
	__u32 reserved;
	/* To-cells: distinct sources. From-cells: distinct (destination, destination port). One bitmap for
	 * even and one for odd windows; distinct_window says which window each belongs to. */
	__u32 distinct_window[2];
	__u64 distinct[2][MOAT_DISTINCT_WORDS];
	__u64 udp_bytes;
	__u64 icmp_bytes;
	__u64 reserved2;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_cell) == 192, "three cache lines, no cell shares one");

/* Heads a table; the cells follow in memory, a power of two of them. */
struct moat_cell_head {
	__u64 accounted;   /* packets counted in a cell */
	__u64 unaccounted; /* packets that found no cell */
	__u64 takeovers;
	__u64 reserved[5];
};

/* Source ports of UDP reflection (US-CERT TA14-017A and its updates): what a victim receives from. */
MOAT_INLINE int moat_is_reflector_port(__u16 port)
{
	switch (port) {
	case 17:    /* QOTD */
	case 19:    /* CharGEN */
	case 53:    /* DNS */
	case 69:    /* TFTP */
	case 111:   /* portmap */
	case 123:   /* NTP */
	case 137:   /* NetBIOS name service */
	case 161:   /* SNMP */
	case 389:   /* CLDAP */
	case 520:   /* RIPv1 */
	case 1900:  /* SSDP */
	case 3283:  /* Apple remote management */
	case 3702:  /* WS-Discovery */
	case 5353:  /* mDNS */
	case 11211: /* memcached */
		return 1;
	default:
		return 0;
	}
}

MOAT_INLINE void moat_cell_count_tcp(struct moat_cell *cell, __u8 flags)
{
	__u8 kind = flags & (MOAT_TCP_SYN | MOAT_TCP_ACK | MOAT_TCP_FIN | MOAT_TCP_RST);

	if (kind == MOAT_TCP_ACK)
		cell->tcp_ack++;
	else if (kind == MOAT_TCP_SYN)
		cell->tcp_syn++;
	else if (kind == (MOAT_TCP_SYN | MOAT_TCP_ACK))
		cell->tcp_synack++;
	else if (kind == (MOAT_TCP_FIN | MOAT_TCP_ACK))
		cell->tcp_fin++;
	else if ((kind & ~MOAT_TCP_ACK) == MOAT_TCP_RST)
		cell->tcp_rst++;
	else
		cell->tcp_other++;
}

/* Adds one packet to a cell that its host owns. `distinct` is the hash of what is counted as distinct. */
MOAT_INLINE void moat_cell_count(struct moat_cell *cell, const struct moat_headers *h, __u32 window,
				 int drop, __u64 distinct)
{
	__u32 half = window & 1;

	cell->seen = window;
	cell->packets++;
	cell->bytes += h->l3_len;
	if (drop)
		cell->dropped++;
	if (h->l3_len <= MOAT_SMALL_LEN)
		cell->small++;
	if (h->fragment != MOAT_FRAGMENT_NONE)
		cell->fragments++;
	if (h->fragment == MOAT_FRAGMENT_LATER) {
		/* no transport header: its protocol says what it belongs to, but nothing more */
		if (h->proto == 17) {
			cell->udp++;
			cell->udp_bytes += h->l3_len;
		} else {
			cell->other++;
		}
	} else if (h->proto == 6) {
		moat_cell_count_tcp(cell, h->tcp_flags);
	} else if (h->proto == 17) {
		cell->udp++;
		cell->udp_bytes += h->l3_len;
		if (moat_is_reflector_port(h->sport))
			cell->udp_reflect++;
	} else if (h->proto == 1 || h->proto == 58) {
		cell->icmp++;
		cell->icmp_bytes += h->l3_len;
	} else {
		cell->other++;
	}
	if (cell->distinct_window[half] != window) {
		cell->distinct_window[half] = window;
		cell->distinct[half][0] = 0;
		cell->distinct[half][1] = 0;
		cell->distinct[half][2] = 0;
		cell->distinct[half][3] = 0;
	}
	cell->distinct[half][(distinct >> 6) & (MOAT_DISTINCT_WORDS - 1)] |= 1ULL << (distinct & 63);
}

/* The next epoch, in order with all that the cell's one writer writes before and after. */
MOAT_INLINE void moat_cell_next_epoch(struct moat_cell *cell)
{
#if defined(__bpf__) && !defined(__TARGET_ARCH_x86)
	/* BPF has no barrier; but an atomic that returns what it found is one (kernel's JIT compilers,
	 * by Documentation/atomic_t.txt) */
	__u32 old = __sync_fetch_and_add(&cell->epoch, 1);

	asm volatile("" : : "r"(old));
#elif defined(__bpf__)
	/* x86 keeps the order of stores, the compiler has to be told to */
	asm volatile("" : : : "memory");
	cell->epoch++;
	asm volatile("" : : : "memory");
#else
	__atomic_store_n(&cell->epoch, cell->epoch + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/* Gives a free or idle cell to `addr`. Readers see an odd epoch until it is done (single writer). */
MOAT_INLINE void moat_cell_take(struct moat_cell *cell, const struct moat_addr *addr)
{
	moat_cell_next_epoch(cell);
	cell->packets = 0;
	cell->bytes = 0;
	cell->dropped = 0;
	cell->tcp_syn = 0;
	cell->tcp_synack = 0;
	cell->tcp_ack = 0;
	cell->tcp_rst = 0;
	cell->tcp_fin = 0;
	cell->tcp_other = 0;
	cell->udp = 0;
	cell->udp_reflect = 0;
	cell->icmp = 0;
	cell->fragments = 0;
	cell->small = 0;
	cell->other = 0;
	cell->udp_bytes = 0;
	cell->icmp_bytes = 0;
	cell->distinct_window[0] = 0;
	cell->distinct_window[1] = 0;
	cell->addr.quads[0] = addr->quads[0];
	cell->addr.quads[1] = addr->quads[1];
	moat_cell_next_epoch(cell);
}

/* 1 if nobody lost anything by the cell's being taken over in this window. */
MOAT_INLINE int moat_cell_is_idle(const struct moat_cell *cell, __u32 window)
{
	return (cell->addr.quads[0] | cell->addr.quads[1]) == 0 ||
	       window - cell->seen >= MOAT_CELL_IDLE;
}

#endif
