/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "dataplane/challenge.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "dataplane/rate.h"

#define MOAT_MIN(a, b) ((a) < (b) ? (a) : (b))

/* A key that is being written belongs to slots far away. */
#define FAR_SLOTS 0x40000000u

struct moat_challenge_options moat_challenge_default(void)
{
	return (struct moat_challenge_options){
		.lifetime_s = MOAT_CHALLENGE_LIFETIME_DEFAULT,
		.prefix_pps = MOAT_CHALLENGE_PREFIX_PPS_DEFAULT,
		.form = MOAT_CHALLENGE_WRONG_ACK,
	};
}

static int random_words(void *words)
{
	const size_t size = 2 * sizeof(uint64_t);

	return getrandom(words, size, 0) == (ssize_t)size ? 0 : -EIO;
}

int moat_challenge_init(struct moat_challenge_state *challenge, uint32_t slot)
{
	memset(challenge, 0, sizeof(*challenge));
	if (random_words(challenge->keys[0].words) < 0 ||
	    random_words(challenge->keys[1].words) < 0 || random_words(challenge->seed) < 0)
		return -EIO;
	challenge->keys[0].first_slot = slot - 4;
	challenge->keys[1].first_slot = slot - 3;
	return 0;
}

void moat_challenge_configure(struct moat_challenge_state *challenge,
			      const struct moat_challenge_options *options, uint32_t ticks_per_s,
			      uint32_t window_shift, uint32_t judges)
{
	uint64_t tick = 1ULL << (window_shift + MOAT_CHALLENGE_TICK_SHIFT); /* in the clock's */
	uint64_t lifetime = (uint64_t)options->lifetime_s * ticks_per_s / tick + 1;
	uint64_t cap = options->prefix_pps * tick / ticks_per_s / judges;

	challenge->lifetime = (uint32_t)MOAT_MIN(lifetime, MOAT_VALIDATED_LIFETIME_MAX);
	challenge->prefix_cap = (uint32_t)MOAT_MIN(cap ? cap : 1, MOAT_CHALLENGE_CAP_MAX);
	if (options->prefix_pps == UINT32_MAX)
		challenge->prefix_cap = MOAT_CHALLENGE_CAP_NONE;
	challenge->box_rate = moat_rate_of_packets(options->box_pps, 0, ticks_per_s, judges);
}

int moat_challenge_rotate(struct moat_challenge_state *challenge, uint32_t slot)
{
	struct moat_challenge_key *keys = challenge->keys;
	uint32_t newer = (int32_t)(keys[1].first_slot - keys[0].first_slot) > 0;
	struct moat_challenge_key *key = &keys[!newer];
	uint64_t words[2];

	/* the older one is still asked for the slot before this, by judges that may lag by one */
	if ((int32_t)(slot - keys[newer].first_slot) < 2)
		return 0;
	if (random_words(words) < 0)
		return -EIO;
	__atomic_store_n(&key->first_slot, slot + FAR_SLOTS, __ATOMIC_SEQ_CST);
	__atomic_store_n(&key->words[0], words[0], __ATOMIC_RELAXED);
	__atomic_store_n(&key->words[1], words[1], __ATOMIC_RELAXED);
	__atomic_store_n(&key->first_slot, slot + 2, __ATOMIC_RELEASE);
	return 1;
}

void moat_challenge_stats_add(struct moat_challenge_stats *stats,
			      const struct moat_challenge_cpu *cpu)
{
	const volatile uint64_t *from = (const uint64_t *)&cpu->counters;
	uint64_t *to = (uint64_t *)&stats->counters;

	for (size_t i = 0; i < sizeof(stats->counters) / sizeof(*to); i++)
		to[i] += from[i];
}

void moat_challenge_stats_table(struct moat_challenge_stats *stats,
				const struct moat_validated *sets, uint64_t count, uint64_t window)
{
	uint32_t tick = (uint32_t)(window >> MOAT_CHALLENGE_TICK_SHIFT);

	stats->live = 0;
	stats->capacity = count * MOAT_VALIDATED_WAYS;
	for (uint64_t i = 0; i < count; i++) {
		for (int way = 0; way < MOAT_VALIDATED_WAYS; way++)
			stats->live += moat_validated_left(__atomic_load_n(&sets[i].words[way],
									   __ATOMIC_RELAXED),
							   tick) != 0;
	}
}

size_t moat_challenge_sweep(struct moat_validated *sets, uint64_t count, uint64_t window)
{
	uint32_t tick = (uint32_t)(window >> MOAT_CHALLENGE_TICK_SHIFT);
	size_t cleared = 0;

	for (uint64_t i = 0; i < count; i++) {
		for (int way = 0; way < MOAT_VALIDATED_WAYS; way++) {
			__u64 *at = &sets[i].words[way],
			      word = __atomic_load_n(at, __ATOMIC_RELAXED);

			/* a judge that renews it meanwhile keeps what it wrote */
			if (word && !moat_validated_left(word, tick))
				cleared += __atomic_compare_exchange_n(
					at, &word, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		}
	}
	return cleared;
}

size_t moat_challenge_answer(uint8_t *frame, size_t length, const struct moat_headers *headers,
			     uint32_t form, uint32_t cookie)
{
	bool is_v4 = headers->family == MOAT_FAMILY_V4;
	size_t size = 4 * (is_v4 ? MOAT_CHALLENGE_WORDS_V4 : MOAT_CHALLENGE_WORDS_V6);
	uint32_t words[MOAT_CHALLENGE_WORDS_V6];
	uint8_t mac[6];

	if (headers->l3_offset < 2 * sizeof(mac) || headers->l3_offset + size > length)
		return 0;
	memcpy(mac, frame, sizeof(mac));
	memcpy(frame, frame + sizeof(mac), sizeof(mac));
	memcpy(frame + sizeof(mac), mac, sizeof(mac));
	if (is_v4)
		moat_challenge_write_v4(words, headers, form, cookie);
	else
		moat_challenge_write_v6(words, headers, form, cookie);
	memcpy(frame + headers->l3_offset, words, size);
	return moat_challenge_frame((uint32_t)size + headers->l3_offset, (uint32_t)length);
}

void moat_challenge_read_ack(const uint8_t *frame, size_t length, struct moat_headers *headers)
{
	const uint8_t *ack = frame + headers->l4_offset + 8;

	if (moat_challenge_part(headers, MOAT_CHALLENGE_RESET) != MOAT_CHALLENGE_ANSWER ||
	    headers->l4_offset + 12U > length)
		return;
	headers->tcp_seq = (uint32_t)ack[0] << 24 | (uint32_t)ack[1] << 16 | (uint32_t)ack[2] << 8 |
			   ack[3];
}
