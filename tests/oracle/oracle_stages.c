/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/oracle/oracle_stages.h"

#include <stdlib.h>
#include <string.h>

#include "tests/oracle/oracle_priv.h"

struct oracle_memory *oracle_memory_new(uint32_t row_buckets)
{
	struct oracle_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->row_buckets = row_buckets;
	for (int row = 0; row < 2; row++) {
		memory->rows[row] = calloc(row_buckets, sizeof(struct oracle_row));
		if (!memory->rows[row]) {
			oracle_memory_free(memory);
			return NULL;
		}
	}
	return memory;
}

void oracle_memory_free(struct oracle_memory *memory)
{
	if (!memory)
		return;
	free(memory->rows[0]);
	free(memory->rows[1]);
	free(memory);
}

static struct oracle_clock clock_of(const struct moat_oracle *oracle)
{
	return (struct oracle_clock){ oracle->clock.ticks_per_s, oracle->settings.judges };
}

static struct oracle_rate packet_rate(const struct moat_rate_ask *ask)
{
	return (struct oracle_rate){ ask->per_s, ask->burst, ORACLE_LOT_PACKETS };
}

/* ---- 2 control -------------------------------------------------------------------------------- */

bool oracle_is_control(struct moat_oracle *oracle, const struct moat_headers *h, uint64_t now_ticks)
{
	const struct oracle_rate rate = { 1000, 0, ORACLE_LOT_PACKETS };
	const struct oracle_clock clock = clock_of(oracle);
	struct oracle_tokens *tokens = &oracle->memory->control;
	bool v6 = h->family == MOAT_FAMILY_V6;

	if (h->fragment != MOAT_FRAGMENT_NONE || h->proto != (v6 ? 58 : 1))
		return false;
	if (v6 && h->ttl == 255 && h->icmp_type >= 133 && h->icmp_type <= 137)
		return true;
	if (v6 ? h->icmp_type != 2 : h->icmp_type != 3 || h->icmp_code != 4)
		return false;
	if (!oracle_tokens_fill(tokens, &clock, &rate, oracle->judge, 1, now_ticks))
		return false;
	oracle_tokens_spend(tokens, &clock, &rate, oracle->judge, 1);
	return true;
}

static bool is_marked(const struct moat_oracle *oracle, enum moat_marked marked,
		      const struct moat_addr *addr)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(oracle->set);

	for (size_t i = 0; stages && i < stages->marked[marked].count; i++) {
		if (oracle_prefix_matches(&stages->marked[marked].prefixes[i], addr))
			return true;
	}
	return false;
}

static bool is_routing(const struct moat_headers *h)
{
	if (h->fragment != MOAT_FRAGMENT_NONE)
		return false;
	if (h->proto == 89 || h->proto == 112)
		return true;
	if (h->proto == 6 && (h->sport == 179 || h->dport == 179))
		return true;
	return h->proto == 17 && (h->dport == 3784 || h->dport == 4784 || h->dport == 6784);
}

static bool is_session(const struct moat_oracle *oracle, const struct moat_headers *h)
{
	size_t count;
	const struct moat_session *sessions = moat_ruleset_sessions(oracle->set, &count);

	for (size_t i = 0; i < count; i++) {
		if (h->proto == 6 && h->has_ports && h->sport == sessions[i].sport &&
		    h->dport == sessions[i].dport &&
		    memcmp(&h->src, &sessions[i].src, sizeof(h->src)) == 0 &&
		    memcmp(&h->dst, &sessions[i].dst, sizeof(h->dst)) == 0)
			return true;
	}
	return false;
}

enum moat_reason oracle_by_marks(const struct moat_oracle *oracle, const struct moat_headers *h)
{
	if (is_routing(h) && is_marked(oracle, MOAT_MARKED_NEIGHBOUR, &h->src))
		return MOAT_REASON_PASS_CONTROL;
	if (is_marked(oracle, MOAT_MARKED_MANAGEMENT, &h->src) || is_session(oracle, h))
		return MOAT_REASON_PASS_MANAGEMENT;
	return MOAT_REASON_PASS_DEFAULT;
}

/* ---- 4 sanity --------------------------------------------------------------------------------- */

static bool is_legal(uint8_t flags)
{
	const uint8_t fin = 1, syn = 2, rst = 4, ack = 16;
	uint8_t kind = flags & (fin | syn | rst | ack);

	return kind == syn || kind == (syn | ack) || kind == ack || kind == (fin | ack) ||
	       kind == rst || kind == (rst | ack);
}

enum moat_reason oracle_by_sanity(const struct moat_oracle *oracle, const struct moat_headers *h)
{
	uint32_t stages = oracle->settings.stages;

	if ((stages & MOAT_STAGE_BROKEN) && h->broken)
		return MOAT_REASON_DROP_BROKEN;
	if ((stages & MOAT_STAGE_FLAGS) && h->proto == 6 && h->fragment != MOAT_FRAGMENT_LATER &&
	    !is_legal(h->tcp_flags))
		return MOAT_REASON_DROP_FLAGS;
	if ((stages & MOAT_STAGE_LAND) && memcmp(&h->src, &h->dst, sizeof(h->src)) == 0)
		return MOAT_REASON_DROP_LAND;
	if ((stages & MOAT_STAGE_MARTIAN) && is_marked(oracle, MOAT_MARKED_MARTIAN, &h->src))
		return MOAT_REASON_DROP_MARTIAN;
	return MOAT_REASON_PASS_DEFAULT;
}

/* ---- hashed buckets --------------------------------------------------------------------------- */

/* One rate of the two buckets of a key: which of them have tokens. */
static bool fill_rows(const struct moat_oracle *oracle, struct oracle_tokens *pair[2],
		      const struct oracle_rate *rate, uint64_t wanted, uint64_t now_ticks,
		      bool ret_has[2])
{
	const struct oracle_clock clock = clock_of(oracle);

	for (int row = 0; row < 2; row++)
		ret_has[row] = rate->per_s && oracle_tokens_fill(pair[row], &clock, rate,
								 oracle->judge, wanted, now_ticks);
	return rate->per_s == 0 || ret_has[0] || ret_has[1];
}

static void spend_rows(const struct moat_oracle *oracle, struct oracle_tokens *pair[2],
		       const struct oracle_rate *rate, uint64_t count, const bool has[2])
{
	const struct oracle_clock clock = clock_of(oracle);

	for (int row = 0; row < 2; row++) {
		if (has[row])
			oracle_tokens_spend(pair[row], &clock, rate, oracle->judge, count);
	}
}

/* True unless both buckets of a rate are empty; then those that aren't pay. */
static bool rows_take(struct moat_oracle *oracle, uint64_t hash, const struct oracle_rate *packets,
		      const struct oracle_rate *bytes, uint32_t length, uint64_t now_ticks)
{
	struct oracle_row *first = &oracle->memory->rows[0][hash % oracle->memory->row_buckets];
	struct oracle_row *second = &oracle->memory
					     ->rows[1][(hash >> 32) % oracle->memory->row_buckets];
	struct oracle_tokens *of_packets[] = { &first->packets, &second->packets };
	struct oracle_tokens *of_bytes[] = { &first->bytes, &second->bytes };
	bool has_packets[2], has_bytes[2];

	if (!fill_rows(oracle, of_packets, packets, 1, now_ticks, has_packets) ||
	    !fill_rows(oracle, of_bytes, bytes, length, now_ticks, has_bytes))
		return false;
	spend_rows(oracle, of_packets, packets, 1, has_packets);
	spend_rows(oracle, of_bytes, bytes, length, has_bytes);
	return true;
}

/* ---- 7 to 11 ---------------------------------------------------------------------------------- */

static bool is_amplified(const struct moat_stage_set *stages, const struct moat_headers *h)
{
	return h->proto == 17 && h->has_ports && stages->reflect_len[h->sport] != 0 &&
	       h->l3_len > stages->reflect_len[h->sport];
}

/* Clears the bits behind the first `length`, of IPv4 those of its own 32. */
static struct moat_addr masked(const struct moat_addr *addr, unsigned int length)
{
	struct moat_addr result = *addr;

	for (unsigned int bit = length; bit < 128; bit++)
		result.bytes[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	return result;
}

static bool source_is_within(struct moat_oracle *oracle, const struct moat_stage_set *stages,
			     const struct moat_headers *h, uint64_t now_ticks)
{
	const struct moat_source_limit *best = NULL;
	struct oracle_rate packets, bytes;
	struct moat_addr source;

	/* ANY has length 0, like the shortest prefixes, which go before it */
	for (size_t i = 0; i < stages->source_count; i++) {
		const struct moat_source_limit *limit = &stages->sources[i];

		if (!oracle_prefix_matches(&limit->prefix, &h->src))
			continue;
		if (!best || best->prefix.family == MOAT_FAMILY_ANY ||
		    (limit->prefix.family != MOAT_FAMILY_ANY && limit->prefix.len > best->prefix.len))
			best = limit;
	}
	if (!best || (best->packets.per_s == 0 && best->bytes.per_s == 0))
		return true;
	source = masked(&h->src, oracle_is_mapped(&h->src) ? 96U + best->v4_len : best->v6_len);
	packets = packet_rate(&best->packets);
	bytes = (struct oracle_rate){ best->bytes.per_s, best->bytes.burst, ORACLE_LOT_BYTES };
	return rows_take(oracle, oracle_hash(&source, oracle->settings.hash_seed), &packets, &bytes,
			 h->l3_len, now_ticks);
}

static int kind_of(const struct moat_headers *h)
{
	if (h->fragment == MOAT_FRAGMENT_LATER)
		return MOAT_KIND_OTHER;
	if (h->proto == 6)
		return (h->tcp_flags & 2) && !(h->tcp_flags & 16) ? MOAT_KIND_SYN : -1;
	if (h->proto == 17)
		return MOAT_KIND_UDP;
	return h->proto == 1 || h->proto == 58 ? MOAT_KIND_ICMP : MOAT_KIND_OTHER;
}

static const struct moat_protection *protection_of(const struct moat_stage_set *stages,
						   const struct moat_addr *dst)
{
	const struct moat_protection *best = NULL;

	for (size_t i = 0; i < stages->protection_count; i++) {
		const struct moat_protection *protection = &stages->protections[i];

		if (oracle_prefix_matches(&protection->prefix, dst) &&
		    (!best || protection->prefix.len > best->prefix.len))
			best = protection;
	}
	return best;
}

/* What a judge has of a number's former protection is void. */
static struct oracle_profile *profile_of(struct moat_oracle *oracle, size_t index,
					 const struct moat_prefix *prefix)
{
	struct oracle_profile *profile = &oracle->memory->profiles[index];
	uint32_t judge = oracle->judge;

	if (memcmp(&profile->owners[judge], prefix, sizeof(*prefix)) == 0)
		return profile;
	profile->owners[judge] = *prefix;
	profile->matched[judge] = profile->dropped[judge] = 0;
	for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++)
		profile->rates[kind].held[judge] = profile->rates[kind].empty_until[judge] = 0;
	profile->challenge.held[judge] = profile->challenge.empty_until[judge] = 0;
	return profile;
}

static bool destination_is_within(struct moat_oracle *oracle, const struct moat_stage_set *stages,
				  const struct moat_headers *h, uint64_t now_ticks)
{
	static const struct oracle_rate none = { 0 };
	const struct moat_protection *protection = protection_of(stages, &h->dst);
	const struct oracle_clock clock = clock_of(oracle);
	struct oracle_profile *profile;
	struct oracle_rate rate;
	int kind = kind_of(h);
	uint64_t hash;
	bool within;

	if (!protection || kind < 0 || protection->rates[kind].per_s == 0)
		return true;
	rate = packet_rate(&protection->rates[kind]);
	profile = profile_of(oracle, (size_t)(protection - stages->protections),
			     &protection->prefix);
	profile->matched[oracle->judge]++;
	if (protection->each) {
		/* by moat_each_hash */
		hash = oracle_hash(&h->dst, oracle->settings.hash_seed) ^ (uint64_t)(kind + 1);
		hash *= 0xc4ceb9fe1a85ec53ULL;
		within = rows_take(oracle, hash ^ hash >> 32, &rate, &none, 0, now_ticks);
	} else {
		within = oracle_tokens_fill(&profile->rates[kind], &clock, &rate, oracle->judge, 1,
					    now_ticks);
		if (within)
			oracle_tokens_spend(&profile->rates[kind], &clock, &rate, oracle->judge, 1);
	}
	profile->dropped[oracle->judge] += !within;
	return within;
}

/* A protection that challenges: all SYNs, or those above a rate. A source is validated for the protection of this
 * number and prefix. */
static enum moat_reason by_protection(struct moat_oracle *oracle,
				      const struct moat_stage_set *stages,
				      const struct moat_headers *h, uint64_t now_ticks)
{
	const struct moat_protection *protection = protection_of(stages, &h->dst);
	const struct oracle_clock clock = clock_of(oracle);
	struct oracle_tokens *tokens;
	struct oracle_rate rate;
	size_t index;

	if (!protection || protection->challenge == MOAT_CHALLENGE_OFF || oracle->asked ||
	    !oracle_has_part(h))
		return MOAT_REASON_PASS_DEFAULT;
	index = (size_t)(protection - stages->protections);
	if (protection->challenge == MOAT_CHALLENGE_ABOVE && oracle_is_syn(h)) {
		tokens = &profile_of(oracle, index, &protection->prefix)->challenge;
		rate = packet_rate(&protection->challenge_above);
		if (oracle_tokens_fill(tokens, &clock, &rate, oracle->judge, 1, now_ticks)) {
			oracle_tokens_spend(tokens, &clock, &rate, oracle->judge, 1);
			return MOAT_REASON_PASS_DEFAULT;
		}
	}
	return oracle_by_challenge(oracle, h, now_ticks,
				   (uint32_t)oracle_hash(&protection->prefix.addr,
							 index * 256 + protection->prefix.len) >>
					   1);
}

enum moat_reason oracle_by_stages(struct moat_oracle *oracle, const struct moat_headers *h,
				  uint64_t now_ticks)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(oracle->set);
	uint32_t on = oracle->settings.stages;

	if (!stages)
		return MOAT_REASON_PASS_DEFAULT;
	if ((on & MOAT_STAGE_AMPLIFICATION) && is_amplified(stages, h))
		return MOAT_REASON_DROP_AMPLIFICATION;
	if ((on & MOAT_STAGE_FRAGMENTS) && stages->drop_fragments && h->fragment)
		return MOAT_REASON_DROP_FRAGMENT;
	if ((on & MOAT_STAGE_SOURCES) && !source_is_within(oracle, stages, h, now_ticks))
		return MOAT_REASON_DROP_SOURCE;
	if (on & MOAT_STAGE_CHALLENGE) {
		enum moat_reason reason = by_protection(oracle, stages, h, now_ticks);

		if (reason != MOAT_REASON_PASS_DEFAULT)
			return reason;
	}
	if ((on & MOAT_STAGE_PROFILES) && !destination_is_within(oracle, stages, h, now_ticks))
		return MOAT_REASON_DROP_PROFILE;
	return MOAT_REASON_PASS_DEFAULT;
}

void oracle_profile_hits(const struct moat_oracle *oracle, size_t index, uint64_t *ret_matched,
			 uint64_t *ret_dropped)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(oracle->set);
	const struct oracle_profile *profile = &oracle->memory->profiles[index];

	*ret_matched = *ret_dropped = 0;
	for (uint32_t judge = 0; judge < oracle->settings.judges; judge++) {
		if (memcmp(&profile->owners[judge], &stages->protections[index].prefix,
			   sizeof(profile->owners[judge])) != 0)
			continue;
		*ret_matched += profile->matched[judge];
		*ret_dropped += profile->dropped[judge];
	}
}
