/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Window counters: one cell a host and direction, in direct-index tables, a pair of them a CPU (gate) or
 * worker, so that no counter is shared between writers. A reader maps the tables and takes differences;
 * nothing is ever reset while its host owns the cell.
 *
 * All traffic is counted, whatever its verdict. A table has sets of four cells; a packet whose host's set
 * belongs to other hosts that were active within MOAT_CELL_IDLE windows is counted as unaccounted.
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

/* What a packet is counted as: each is of one kind. Those that are most of the traffic stand first, in the
 * cell's first cache line. */
enum moat_cell_kind {
	MOAT_CELL_TCP_ACK = 0, /* ACK without SYN, FIN, RST: what a conversation is made of */
	MOAT_CELL_UDP,         /* later fragments of UDP too, whose port nobody knows */
	MOAT_CELL_TCP_SYN,     /* SYN without ACK */
	MOAT_CELL_UDP_REFLECT, /* UDP from a port that reflectors answer from */
	MOAT_CELL_TCP_SYNACK,
	MOAT_CELL_TCP_RST,
	MOAT_CELL_TCP_FIN,
	MOAT_CELL_TCP_OTHER, /* flag sets that no stack sends: null, FIN without ACK, SYN+FIN, ... */
	MOAT_CELL_ICMP,
	MOAT_CELL_OTHER, /* neither TCP, UDP nor ICMP; later fragments but of UDP */
	MOAT_CELL_KINDS,
};

/*
 * Packets and bytes of a kind are one word, so that a packet costs one addition: bytes of IP datagrams in
 * its lower MOAT_CELL_BYTES_BITS, packets above. The word as such wraps and carries; what is exact is the
 * difference of two readings, between which a cell may gain 2^28 packets and 2^36 bytes of a kind: 18 s
 * at 14.88 Mpps, 5 s at 100 Gbit/s, both to one host on one CPU.
 */
#define MOAT_CELL_BYTES_BITS 36
#define MOAT_CELL_SPAN_NS 5000000000ULL

MOAT_INLINE __u64 moat_cell_packets(__u64 difference)
{
	return difference >> MOAT_CELL_BYTES_BITS;
}

MOAT_INLINE __u64 moat_cell_bytes(__u64 difference)
{
	return difference & ((1ULL << MOAT_CELL_BYTES_BITS) - 1);
}

/* Two more counts share a word in the same way: packets with verdict drop or tx below, small datagrams
 * (MOAT_SMALL_LEN) above; modulo 2^32 each. */
#define MOAT_CELL_SMALL_SHIFT 32

/* A packet writes the first and the third line; of rarer kinds the second as well. */
struct moat_cell {
	struct moat_addr addr; /* all zero: free */
	__u32 epoch; /* +1 at the begin and +1 at the end of each takeover: odd is in change */
	__u32 fragments;
	/* The last even and the last odd window with packets, to which the bitmaps below belong. */
	__u32 windows[2];
	__u64 marks; /* see MOAT_CELL_SMALL_SHIFT */
	/* The gate's: what its tables have for the address, as a destination or a source, while their
	 * generation (struct moat_gate_ctl) is this one. Who has a cell at hand is spared the trie. */
	__u32 leaf;
	__u32 leaf_generation;
	__u64 kinds[MOAT_CELL_KINDS];
	/* To-cells: distinct sources. From-cells: distinct (destination, destination port). One bitmap for
	 * even and one for odd windows. */
	__u64 distinct[2][MOAT_DISTINCT_WORDS];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_cell) == 192, "three cache lines, no cell shares one");
MOAT_STATIC_ASSERT(__builtin_offsetof(struct moat_cell, kinds[MOAT_CELL_TCP_SYN]) == 64,
		   "the commonest kinds stand in the line of the address");
MOAT_STATIC_ASSERT(__builtin_offsetof(struct moat_cell, distinct) == 128, "a line of their own");

/* Of all kinds: what every packet makes greater. */
MOAT_INLINE __u64 moat_cell_sum(const struct moat_cell *cell)
{
	__u64 sum = 0;

	for (int kind = 0; kind < MOAT_CELL_KINDS; kind++)
		sum += cell->kinds[kind];
	return sum;
}

/* What a table couldn't count, or forgot to be able to. */
struct moat_cell_misses {
	__u64 unaccounted; /* packets that found no cell */
	__u64 takeovers;
};

/* Heads the two tables of a writer, that of destinations and that of sources; in memory the cells of the
 * one and then those of the other follow, each a power of two of them. */
struct moat_cell_head {
	__u64 packets; /* IP packets, each in a cell of either table or unaccounted there */
	struct moat_cell_misses to, from;
	__u64 reserved[3];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_cell_head) == 64, "cells begin at a cache line");

/*
 * Tables have sets of four cells, and a word a set that says whose they are, so that a packet
 * whose host has no cell touches none: under a flood from forged addresses that is most of them. The words
 * stand behind the cells, those of destinations first.
 *
 * A word holds a mark a cell (0: free; else 1 to 2^13, of the address's hash) and, above the marks, the
 * lowest byte of the last window in which the set was looked through and no cell found idle: none can become
 * idle within that window, so it isn't looked through again. Two hosts of a set with the same mark can't both
 * have cells: the one is as if the set had no room for it.
 *
 * Of n active hosts in m cells, (sum over k > 4 of (k - 4) P(k)) / (4n/m) have none, with P the Poisson
 * distribution of mean 4n/m: 0.4 % at n = m/4, 3.8 % at m/2, 20 % at m; and 3 in 2^13 for their marks.
 */
#define MOAT_CELL_WAYS 4
#define MOAT_CELL_MARK_BITS 14
#define MOAT_CELL_MARKS_BITS (MOAT_CELL_WAYS * MOAT_CELL_MARK_BITS)
#define MOAT_CELL_MARK_EACH (1ULL | 1ULL << 14 | 1ULL << 28 | 1ULL << 42)
#define MOAT_CELL_MARK_TOPS (MOAT_CELL_MARK_EACH << (MOAT_CELL_MARK_BITS - 1))

/* What the word has for a host; the set's number comes from the other end of the hash. */
MOAT_INLINE __u64 moat_cell_mark(__u64 hash)
{
	return (hash >> (64 - MOAT_CELL_MARK_BITS + 1)) + 1;
}

/* The topmost bit of the first of the four marks that is this one, 0 if none is; whatever stands above that
 * bit. Subtracting 1 of each turns the topmost bit on in those that were 0 (Knuth, TAOCP 4A, 7.1.3). */
MOAT_INLINE __u64 moat_cell_marks_find(__u64 marks, __u64 mark)
{
	__u64 differ = marks ^ mark * MOAT_CELL_MARK_EACH;

	return (differ - MOAT_CELL_MARK_EACH) & ~differ & MOAT_CELL_MARK_TOPS;
}

/* The way, 0 to 3, of what moat_cell_marks_find found: by multiplication, for BPF can't count zeros. */
MOAT_INLINE __u64 moat_cell_way(__u64 found)
{
	__u64 first = (found & -found) >> (MOAT_CELL_MARK_BITS - 1);

	return first * (1ULL << 48 | 2ULL << 34 | 3ULL << 20) >> 62;
}

/* 1 if the set has been looked through in this window, and has no mark that is 0. */
MOAT_INLINE int moat_cell_set_is_full(__u64 marks, __u32 window)
{
	return marks >> MOAT_CELL_MARKS_BITS == (window & 0xff) && !moat_cell_marks_find(marks, 0);
}

MOAT_INLINE __u64 moat_cell_set_note(__u64 marks, __u32 window)
{
	return (marks & ((1ULL << MOAT_CELL_MARKS_BITS) - 1)) | (__u64)(window & 0xff)
									<< MOAT_CELL_MARKS_BITS;
}

/* Gives a way to the host of that mark. */
MOAT_INLINE __u64 moat_cell_set_give(__u64 marks, __u64 way, __u64 mark)
{
	__u64 shift = way * MOAT_CELL_MARK_BITS;

	return (marks & ~(((1ULL << MOAT_CELL_MARK_BITS) - 1) << shift)) | mark << shift;
}

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

/* The kind of TCP flags other than a plain ACK: a table of four bits each, by ACK, RST, SYN and FIN. */
MOAT_INLINE __u32 moat_cell_tcp_kind(__u8 flags)
{
	/* clang-format off */
	const __u64 kinds =
		/* without ACK */
		(__u64)MOAT_CELL_TCP_OTHER | (__u64)MOAT_CELL_TCP_OTHER << 4 |
		(__u64)MOAT_CELL_TCP_SYN << 8 | (__u64)MOAT_CELL_TCP_OTHER << 12 |
		(__u64)MOAT_CELL_TCP_RST << 16 | (__u64)MOAT_CELL_TCP_OTHER << 20 |
		(__u64)MOAT_CELL_TCP_OTHER << 24 | (__u64)MOAT_CELL_TCP_OTHER << 28 |
		/* with ACK */
		(__u64)MOAT_CELL_TCP_ACK << 32 | (__u64)MOAT_CELL_TCP_FIN << 36 |
		(__u64)MOAT_CELL_TCP_SYNACK << 40 | (__u64)MOAT_CELL_TCP_OTHER << 44 |
		(__u64)MOAT_CELL_TCP_RST << 48 | (__u64)MOAT_CELL_TCP_OTHER << 52 |
		(__u64)MOAT_CELL_TCP_OTHER << 56 | (__u64)MOAT_CELL_TCP_OTHER << 60;
	/* clang-format on */
	__u32 index = (flags & (MOAT_TCP_FIN | MOAT_TCP_SYN | MOAT_TCP_RST)) |
		      (flags & MOAT_TCP_ACK) >> 1;

	return kinds >> (index * 4) & 15;
}

MOAT_INLINE __u32 moat_cell_kind(const struct moat_headers *h)
{
	const __u8 flags = MOAT_TCP_FIN | MOAT_TCP_SYN | MOAT_TCP_RST | MOAT_TCP_ACK;

	/* later fragments have no transport header: their protocol says what they belong to, no more */
	if (h->proto == 6 && h->fragment != MOAT_FRAGMENT_LATER)
		return (h->tcp_flags & flags) == MOAT_TCP_ACK ? MOAT_CELL_TCP_ACK
							      : moat_cell_tcp_kind(h->tcp_flags);
	if (h->proto == 17)
		return moat_is_reflector_port(h->sport) ? MOAT_CELL_UDP_REFLECT : MOAT_CELL_UDP;
	if ((h->proto == 1 || h->proto == 58) && h->fragment != MOAT_FRAGMENT_LATER)
		return MOAT_CELL_ICMP;
	return MOAT_CELL_OTHER;
}

/* What one packet adds to both its cells. */
struct moat_cell_gain {
	__u64 amount; /* of the kind's word */
	__u64 marks;
	__u32 kind;
	__u32 window;
	__u32 fragments;
	__u32 reserved;
};

MOAT_INLINE void moat_cell_gain_of(struct moat_cell_gain *gain, const struct moat_headers *h,
				   __u32 window, int drop)
{
	gain->amount = (1ULL << MOAT_CELL_BYTES_BITS) + h->l3_len;
	gain->marks = drop != 0;
	if (h->l3_len <= MOAT_SMALL_LEN)
		gain->marks += 1ULL << MOAT_CELL_SMALL_SHIFT;
	gain->kind = moat_cell_kind(h);
	gain->window = window;
	gain->fragments = h->fragment != MOAT_FRAGMENT_NONE;
	gain->reserved = 0;
}

/* Adds one packet to a cell that its host owns. `distinct` is the hash of what is counted as distinct. */
MOAT_INLINE void moat_cell_count(struct moat_cell *cell, const struct moat_cell_gain *gain,
				 __u64 distinct)
{
	__u32 half = gain->window & 1;

	if (gain->kind < MOAT_CELL_KINDS) /* for the verifier */
		cell->kinds[gain->kind] += gain->amount;
	cell->marks += gain->marks;
	if (gain->fragments)
		cell->fragments++;
	if (cell->windows[half] != gain->window) {
		cell->windows[half] = gain->window;
		cell->distinct[half][0] = 0;
		cell->distinct[half][1] = 0;
		cell->distinct[half][2] = 0;
		cell->distinct[half][3] = 0;
	}
	cell->distinct[half][(distinct >> 6) & (MOAT_DISTINCT_WORDS - 1)] |= 1ULL << (distinct & 63);
}

/* Counts the drop of a packet that was counted without it. */
MOAT_INLINE void moat_cell_count_drop(struct moat_cell *cell)
{
	cell->marks++;
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
	cell->fragments = 0;
	cell->windows[0] = 0;
	cell->windows[1] = 0;
	cell->marks = 0;
	cell->leaf_generation = 0;
	for (int i = 0; i < MOAT_CELL_KINDS; i++)
		cell->kinds[i] = 0;
	cell->addr.quads[0] = addr->quads[0];
	cell->addr.quads[1] = addr->quads[1];
	moat_cell_next_epoch(cell);
}

/* 1 if nobody lost anything by the cell's being taken over in this window. */
MOAT_INLINE int moat_cell_is_idle(const struct moat_cell *cell, __u32 window)
{
	return (cell->addr.quads[0] | cell->addr.quads[1]) == 0 ||
	       (window - cell->windows[0] >= MOAT_CELL_IDLE &&
		window - cell->windows[1] >= MOAT_CELL_IDLE);
}

#endif
