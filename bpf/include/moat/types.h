/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses and prefixes: the words every other ABI header is made of. BPF programs include vmlinux.h
 * before any header of this directory; user space gets the fixed-width types from the kernel's UAPI.
 */
#ifndef MOAT_TYPES_H
#define MOAT_TYPES_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Bumped whenever a struct, an enum value or a map of this directory changes meaning or layout. A gate
 * pinned by another version is moved to new maps (see dataplane/gate.h). */
#define MOAT_ABI_VERSION 3

#ifdef __cplusplus
#define MOAT_STATIC_ASSERT(what, why) static_assert(what, why)
#else
#define MOAT_STATIC_ASSERT(what, why) _Static_assert(what, why)
#endif

/* BPF programs inline what they share: a static subprogram can't take a pointer into a map value and
 * keep its bounds on 5.15 and 6.1. */
#define MOAT_INLINE static inline __attribute__((always_inline))

/* An IPv6 address in network byte order; IPv4 as IPv4-mapped ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so that
 * one key serves both families. */
struct moat_addr {
	union {
		__u8 bytes[16];
		__be32 words[4];
		__u64 quads[2];
	};
};
MOAT_STATIC_ASSERT(sizeof(struct moat_addr) == 16, "an address is 16 bytes in every table");

/* The third word of an IPv4-mapped address, ::ffff:0:0/96, as it stands in memory; and how far behind it
 * the address proper stands in the second quad. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MOAT_V4_MAPPED 0xffff0000u
#define MOAT_V4_MAPPED_QUAD(v4) ((__u64)(v4) << 32 | MOAT_V4_MAPPED)
#else
#define MOAT_V4_MAPPED 0x0000ffffu
#define MOAT_V4_MAPPED_QUAD(v4) ((__u64)MOAT_V4_MAPPED << 32 | (v4))
#endif

enum moat_family {
	MOAT_FAMILY_ANY = 0,
	MOAT_FAMILY_V4 = 4,
	MOAT_FAMILY_V6 = 6,
};

/* A prefix of one family, or of any (family 0, length 0: matches everything). `len` counts the bits of
 * its own family: 0-32 or 0-128. Bits of `addr` behind the prefix are zero. */
struct moat_prefix {
	struct moat_addr addr;
	__u8 family; /* enum moat_family */
	__u8 len;
	__u16 reserved;
	__u32 reserved2;
};
MOAT_STATIC_ASSERT(sizeof(struct moat_prefix) == 24, "prefixes stand in rules that are stored");

MOAT_INLINE void moat_addr_from_v4(struct moat_addr *ret_addr, __be32 v4)
{
	/* in one store: a quad read back from two stores of words waits for both to reach the cache */
	ret_addr->quads[0] = 0;
	ret_addr->quads[1] = MOAT_V4_MAPPED_QUAD(v4);
}

MOAT_INLINE int moat_addr_is_v4(const struct moat_addr *addr)
{
	return addr->quads[0] == 0 && addr->words[2] == MOAT_V4_MAPPED;
}

MOAT_INLINE int moat_addr_equal(const struct moat_addr *a, const struct moat_addr *b)
{
	return a->quads[0] == b->quads[0] && a->quads[1] == b->quads[1];
}

/*
 * 64-bit mix of an address and a seed: two multiply-xorshift rounds with the constants of
 * MurmurHash3's finaliser (Appleby, public domain). Not keyed cryptographically: `seed` is random for
 * each load of the gate, so that an outsider can't aim at chosen cells.
 */
/* The first round, over the upper half. Of IPv4 addresses it is the same for all (quads[0] is 0), so that
 * who has it at hand is spared a round. */
MOAT_INLINE __u64 moat_addr_hash_begin(__u64 upper, __u64 seed)
{
	__u64 h = upper ^ seed;

	return (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
}

MOAT_INLINE __u64 moat_addr_hash_end(__u64 begun, __u64 lower)
{
	__u64 h = begun ^ lower;

	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	h = (h ^ (h >> 29)) * 0xff51afd7ed558ccdULL;
	return h ^ (h >> 32);
}

MOAT_INLINE __u64 moat_addr_hash(const struct moat_addr *addr, __u64 seed)
{
	return moat_addr_hash_end(moat_addr_hash_begin(addr->quads[0], seed), addr->quads[1]);
}

#endif
