/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/oracle/oracle_challenge.h"

#include <stdlib.h>
#include <string.h>

/* ---- SipHash-1-3, after the paper, byte by byte ------------------------------------------------- */

static uint64_t word_of(const uint8_t *bytes)
{
	uint64_t word = 0;

	for (int i = 7; i >= 0; i--)
		word = word << 8 | bytes[i];
	return word;
}

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t siphash(const uint8_t key[16], const uint8_t *message, size_t length)
{
	uint64_t k0 = word_of(key), k1 = word_of(key + 8), block;
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL,
			  k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL };

	/* messages are whole words: the last block holds their length alone */
	for (size_t i = 0; i <= length; i += 8) {
		block = i < length ? word_of(message + i) : (uint64_t)length << 56;
		v[3] ^= block;
		sip_round(v);
		v[0] ^= block;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- cookies ---------------------------------------------------------------------------------- */

static uint32_t cookie_of(const struct oracle_challenge_settings *settings,
			  const struct moat_headers *h, uint32_t slot)
{
	bool v4 = h->family == MOAT_FAMILY_V4;
	const uint8_t last[8] = {
		(uint8_t)h->sport,     (uint8_t)(h->sport >> 8),
		(uint8_t)h->dport,     (uint8_t)(h->dport >> 8),
		(uint8_t)slot,         (uint8_t)(slot >> 8),
		(uint8_t)(slot >> 16), (uint8_t)(slot >> 24),
	};
	uint8_t message[40];
	size_t length = v4 ? 4 : 16;
	int key = slot >= settings->first_slots[1];

	memcpy(message, h->src.bytes + 16 - length, length);
	memcpy(message + length, h->dst.bytes + 16 - length, length);
	memcpy(message + 2 * length, last, sizeof(last));
	return (uint32_t)siphash(settings->keys[key], message, 2 * length + sizeof(last));
}

/* One that the client's SYN can't have asked for: what it sent is up to 2^16 behind its number. */
static uint32_t make_cookie(const struct oracle_challenge_settings *settings,
			    const struct moat_headers *h, uint32_t slot)
{
	uint32_t cookie = cookie_of(settings, h, slot);

	return cookie - h->tcp_seq > 0x10000 ? cookie : cookie_of(settings, h, slot - 1);
}

/* ---- caps ------------------------------------------------------------------------------------- */

/* Hashed by its declared formula; a judge has its part of the cap, at least 1. */
static bool prefix_takes(struct oracle_challenges *challenges,
			 const struct oracle_challenge_settings *settings,
			 const struct oracle_challenge_moment *moment, const struct moat_headers *h)
{
	uint64_t tick = moment->window / 8, prefix = 0, hash, cap;
	const uint8_t *bytes = h->src.bytes;

	/* the /24 or /48 as it stands in memory, moved behind the host's part */
	if (h->family == MOAT_FAMILY_V4)
		prefix = word_of(bytes + 8) << 8;
	else
		prefix = word_of(bytes) << 16;
	hash = (prefix ^ settings->seed) * 0xff51afd7ed558ccdULL;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ULL;
	hash = hash >> 40 & (MOAT_CHALLENGE_BUCKETS - 1);
	cap = settings->prefix_pps * moment->window_ticks * 8 / moment->clock.ticks_per_s /
	      moment->clock.judges;
	if (challenges->caps[moment->judge][hash].tick != (uint16_t)tick) {
		challenges->caps[moment->judge][hash].tick = (uint16_t)tick;
		challenges->caps[moment->judge][hash].answers = 0;
	}
	if (challenges->caps[moment->judge][hash].answers >= (cap ? cap : 1))
		return false;
	challenges->caps[moment->judge][hash].answers++;
	return true;
}

static bool box_takes(struct oracle_challenges *challenges,
		      const struct oracle_challenge_settings *settings,
		      const struct oracle_challenge_moment *moment)
{
	const struct oracle_rate rate = { settings->box_pps, 0, ORACLE_LOT_PACKETS };

	if (!rate.per_s)
		return true;
	if (!oracle_tokens_fill(&challenges->box, &moment->clock, &rate, moment->judge, 1,
				moment->now_ticks))
		return false;
	oracle_tokens_spend(&challenges->box, &moment->clock, &rate, moment->judge, 1);
	return true;
}

/* ---- judgement -------------------------------------------------------------------------------- */

static struct oracle_validated *find(struct oracle_challenges *challenges,
				     const struct moat_headers *h, uint32_t scope)
{
	for (size_t i = 0; i < challenges->count; i++) {
		struct oracle_validated *entry = &challenges->validated[i];

		if (entry->scope == scope && entry->family == h->family &&
		    memcmp(&entry->addr, &h->src, sizeof(h->src)) == 0)
			return entry;
	}
	return NULL;
}

static void validate(struct oracle_challenges *challenges,
		     const struct oracle_challenge_settings *settings,
		     const struct oracle_challenge_moment *moment, const struct moat_headers *h,
		     uint32_t scope)
{
	struct oracle_validated *entry = find(challenges, h, scope);
	uint64_t tick = moment->window / 8;

	if (entry && entry->end > tick)
		challenges->counters.renewed++;
	else
		challenges->counters.validated++;
	if (!entry) {
		if (challenges->count == ORACLE_VALIDATED_MAX)
			abort();
		entry = &challenges->validated[challenges->count++];
		*entry = (struct oracle_validated){ h->src, h->family, scope, 0 };
	}
	entry->end = tick + 1 +
		     settings->lifetime_s * (uint64_t)moment->clock.ticks_per_s /
			     (moment->window_ticks * 8);
}

bool oracle_is_syn(const struct moat_headers *h)
{
	return h->proto == 6 && !h->tunnel && h->fragment == MOAT_FRAGMENT_NONE &&
	       (h->tcp_flags & 0x17) == 0x02;
}

static bool is_answer(const struct moat_headers *h)
{
	return h->proto == 6 && !h->tunnel && h->fragment == MOAT_FRAGMENT_NONE &&
	       (h->tcp_flags & 0x07) == 0x04;
}

bool oracle_has_part(const struct moat_headers *h)
{
	return oracle_is_syn(h) || is_answer(h);
}

enum moat_challenge_outcome oracle_challenge(struct oracle_challenges *challenges,
					     const struct oracle_challenge_settings *settings,
					     const struct oracle_challenge_moment *moment,
					     const struct moat_headers *h, uint32_t scope,
					     uint32_t *ret_cookie)
{
	const struct oracle_validated *entry = find(challenges, h, scope);
	uint32_t slot = (uint32_t)(moment->window / 64);

	if (is_answer(h)) {
		if (h->tcp_seq != cookie_of(settings, h, slot) &&
		    h->tcp_seq != cookie_of(settings, h, slot - 1)) {
			challenges->counters.wrong++;
			return MOAT_CHALLENGE_GO_ON;
		}
		validate(challenges, settings, moment, h, scope);
		return MOAT_CHALLENGE_ACCEPTED;
	}
	if (!oracle_is_syn(h))
		return MOAT_CHALLENGE_UNASKED;
	if (entry && entry->end > moment->window / 8) {
		challenges->counters.known++;
		return MOAT_CHALLENGE_KNOWN;
	}
	if (!prefix_takes(challenges, settings, moment, h)) {
		challenges->counters.capped_prefix++;
		return MOAT_CHALLENGE_CAPPED;
	}
	if (!box_takes(challenges, settings, moment)) {
		challenges->counters.capped_box++;
		return MOAT_CHALLENGE_CAPPED;
	}
	challenges->counters.sent++;
	*ret_cookie = make_cookie(settings, h, slot);
	return MOAT_CHALLENGE_SEND;
}
