/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The order of judgement of the workers' policy (moat/stage.h): as bpf/gate/judge.h. Each stage returns
 * whether it decided. */
#include "dataplane/policy_priv.h"

/* One packet on its way through the stages. */
struct judged {
	struct moat_judge *judge;
	const struct moat_tables *half;
	const struct moat_headers *headers;
	uint64_t now_ms;
	uint32_t stages; /* the judge's, which may change meanwhile */
	uint32_t leaf;   /* of the source */
	enum moat_reason reason;
	uint32_t rule_id;
};

void moat_judge_set_stages(struct moat_judge *judge, uint32_t stages, bool fail_closed)
{
	atomic_store_explicit(&judge->stages, stages, memory_order_relaxed);
	judge->fail_closed = fail_closed;
	/* by 2: others may be in the middle of theirs */
	atomic_fetch_add(&judge->policy->changes, 2);
}

static bool decide(struct judged *judged, enum moat_reason reason)
{
	judged->reason = reason;
	return true;
}

/* ---- 2 control -------------------------------------------------------------------------------- */

static bool take_control(struct moat_judge *judge, uint64_t now_ms)
{
	__u64 *bucket = &judge->policy->profiles[0].rates[MOAT_KIND_ICMP];
	struct moat_share *share = &judge->profiles[0].rates[MOAT_KIND_ICMP];
	const struct moat_rate *rate = &judge->policy->control_rate;

	if (!moat_share_fill(bucket, share, rate, now_ms, 1))
		return false;
	moat_share_spend(bucket, share, rate, 1);
	return true;
}

static bool judge_icmp(struct judged *judged)
{
	const struct moat_headers *h = judged->headers;
	bool v4 = h->family == MOAT_FAMILY_V4, too_big;

	if (h->proto != (v4 ? 1 : 58) || h->fragment != MOAT_FRAGMENT_NONE)
		return false;
	if (!v4 && h->ttl == 255 && h->icmp_type >= 133 && h->icmp_type <= 137)
		return decide(judged, MOAT_REASON_PASS_CONTROL);
	too_big = v4 ? h->icmp_type == 3 && h->icmp_code == 4 : h->icmp_type == 2;
	return too_big && take_control(judged->judge, judged->now_ms) &&
	       decide(judged, MOAT_REASON_PASS_CONTROL);
}

static bool is_routing(const struct moat_headers *h)
{
	if (h->fragment != MOAT_FRAGMENT_NONE)
		return false;
	if (h->proto == 6)
		return h->sport == 179 || h->dport == 179;
	if (h->proto == 17)
		return h->dport == 3784 || h->dport == 4784 || h->dport == 6784;
	return h->proto == 89 || h->proto == 112;
}

static bool is_session(const struct moat_stage_tables *tables, const struct moat_headers *h)
{
	for (uint32_t i = 0; h->proto == 6 && i < tables->session_count; i++) {
		const struct moat_session *session = &tables->sessions[i];

		if (moat_addr_equal(&session->src, &h->src) &&
		    moat_addr_equal(&session->dst, &h->dst) && session->sport == h->sport &&
		    session->dport == h->dport)
			return true;
	}
	return false;
}

static bool judge_marked(struct judged *judged)
{
	if ((judged->leaf & MOAT_LPM_NEIGHBOUR) && is_routing(judged->headers))
		return decide(judged, MOAT_REASON_PASS_CONTROL);
	if (judged->leaf & MOAT_LPM_MANAGEMENT)
		return decide(judged, MOAT_REASON_PASS_MANAGEMENT);
	if ((judged->leaf & MOAT_LPM_SESSION) && is_session(judged->half->stages, judged->headers))
		return decide(judged, MOAT_REASON_PASS_MANAGEMENT);
	return false;
}

/* ---- 4 sanity, 5 lists, 7 amplification, 8 fragments ------------------------------------------ */

static bool judge_sanity(struct judged *judged, uint32_t stages)
{
	const struct moat_headers *h = judged->headers;

	if ((stages & MOAT_STAGE_BROKEN) && h->broken)
		return decide(judged, MOAT_REASON_DROP_BROKEN);
	if ((stages & MOAT_STAGE_FLAGS) && h->proto == 6 && h->has_ports &&
	    !moat_flags_are_legal(h->tcp_flags))
		return decide(judged, MOAT_REASON_DROP_FLAGS);
	if ((stages & MOAT_STAGE_LAND) && moat_addr_equal(&h->src, &h->dst))
		return decide(judged, MOAT_REASON_DROP_LAND);
	return (stages & MOAT_STAGE_MARTIAN) && (judged->leaf & MOAT_LPM_MARTIAN) &&
	       decide(judged, MOAT_REASON_DROP_MARTIAN);
}

static bool judge_lists(struct judged *judged, uint32_t stages)
{
	if ((stages & MOAT_STAGE_ALLOW) && (judged->leaf & MOAT_LPM_ALLOW))
		return decide(judged, MOAT_REASON_PASS_ALLOWED);
	return (stages & MOAT_STAGE_DENY) && (judged->leaf & MOAT_LPM_DENY) &&
	       decide(judged, MOAT_REASON_DROP_DENIED);
}

static bool judge_amplification(struct judged *judged)
{
	const struct moat_headers *h = judged->headers;
	uint16_t longest;

	if (h->proto != 17 || !h->has_ports)
		return false;
	longest = judged->half->stages->reflect_len[h->sport];
	return longest && h->l3_len > longest && decide(judged, MOAT_REASON_DROP_AMPLIFICATION);
}

/* ---- 9 sources, 11 profiles ------------------------------------------------------------------- */

/* A rate's tokens from the buckets of both rows: false if neither has one; those that have are marked. */
static bool fill_rows(__u64 *const buckets[MOAT_ROWS], struct moat_share *const shares[MOAT_ROWS],
		      const struct moat_rate *rate, uint64_t now_ms, uint32_t tokens,
		      bool ret_filled[MOAT_ROWS])
{
	bool any = rate->cost == 0;

	for (size_t row = 0; row < MOAT_ROWS; row++) {
		ret_filled[row] = rate->cost &&
				  moat_share_fill(buckets[row], shares[row], rate, now_ms, tokens);
		any |= ret_filled[row];
	}
	return any;
}

static bool take_rows(struct moat_judge *judge, uint64_t hash, const struct moat_rate *packets,
		      const struct moat_rate *bytes, uint64_t now_ms, uint32_t length)
{
	__u64 *packet_buckets[MOAT_ROWS], *byte_buckets[MOAT_ROWS];
	struct moat_share *packet_shares[MOAT_ROWS], *byte_shares[MOAT_ROWS];
	bool packets_filled[MOAT_ROWS], bytes_filled[MOAT_ROWS];

	for (size_t row = 0; row < MOAT_ROWS; row++) {
		size_t at = (row ? hash >> 32 : hash) & (MOAT_POLICY_ROW - 1);

		packet_buckets[row] = &judge->policy->rows[row][at].packets;
		byte_buckets[row] = &judge->policy->rows[row][at].bytes;
		packet_shares[row] = &judge->rows[row][at].packets;
		byte_shares[row] = &judge->rows[row][at].bytes;
	}
	if (!fill_rows(packet_buckets, packet_shares, packets, now_ms, 1, packets_filled) ||
	    !fill_rows(byte_buckets, byte_shares, bytes, now_ms, length, bytes_filled))
		return false;
	for (size_t row = 0; row < MOAT_ROWS; row++) {
		if (packets_filled[row])
			moat_share_spend(packet_buckets[row], packet_shares[row], packets, 1);
		if (bytes_filled[row])
			moat_share_spend(byte_buckets[row], byte_shares[row], bytes, length);
	}
	return true;
}

static bool judge_source(struct judged *judged)
{
	uint32_t number = (judged->leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT;
	const struct moat_source_profile *profile = &judged->half->stages->sources[number];
	struct moat_addr source = judged->headers->src;

	if (!profile->packets.cost && !profile->bytes.cost)
		return false;
	if (moat_addr_is_v4(&source)) {
		source.quads[1] &= profile->v4_mask;
	} else {
		source.quads[0] &= profile->v6_mask.quads[0];
		source.quads[1] &= profile->v6_mask.quads[1];
	}
	return !take_rows(judged->judge, moat_addr_hash(&source, judged->judge->policy->hash_seed),
			  &profile->packets, &profile->bytes, judged->now_ms,
			  judged->headers->l3_len) &&
	       decide(judged, MOAT_REASON_DROP_SOURCE);
}

/* Tokens and counts of the protection that had the number before are void. */
static void own(struct moat_profile_share *share, uint16_t owner)
{
	if (share->owner == owner)
		return;
	*share = (struct moat_profile_share){ .owner = owner };
}

static bool take_profile(struct judged *judged, uint32_t number, const struct moat_profile *profile,
			 uint32_t kind)
{
	static const struct moat_rate none = { 0 };
	struct moat_judge *judge = judged->judge;
	__u64 *bucket = &judge->policy->profiles[number].rates[kind];
	struct moat_share *share = &judge->profiles[number].rates[kind];
	uint64_t hash;

	if (profile->each) {
		hash = moat_addr_hash(&judged->headers->dst, judge->policy->hash_seed);
		return take_rows(judge, moat_each_hash(hash, kind), &profile->rates[kind], &none,
				 judged->now_ms, 0);
	}
	if (!moat_share_fill(bucket, share, &profile->rates[kind], judged->now_ms, 1))
		return false;
	moat_share_spend(bucket, share, &profile->rates[kind], 1);
	return true;
}

/* One writer: counts need no atomic add. */
static void count(__u64 *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static bool judge_profile(struct judged *judged, uint32_t dst_leaf, uint32_t kind)
{
	uint32_t number = (dst_leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT;
	const struct moat_profile *profile = &judged->half->stages->profiles[number];
	struct moat_profile_share *share = &judged->judge->profiles[number];

	if (number == 0 || profile->rates[kind].cost == 0)
		return false;
	own(share, profile->owner);
	count(&share->matched);
	if (take_profile(judged, number, profile, kind))
		return false;
	count(&share->dropped);
	return decide(judged, MOAT_REASON_DROP_PROFILE);
}

/* Stage 10. */
static bool judge_challenge(struct judged *judged, uint32_t dst_leaf)
{
	uint32_t number = (dst_leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT;
	const struct moat_profile *profile = &judged->half->stages->profiles[number];
	struct moat_profile_share *share = &judged->judge->profiles[number];
	__u64 *bucket = &judged->judge->policy->profiles[number].challenge;
	enum moat_reason reason;

	if (number == 0 || profile->challenge == MOAT_CHALLENGE_OFF ||
	    !moat_judge_is_challengeable(judged->judge, judged->headers))
		return false;
	if (profile->challenge == MOAT_CHALLENGE_ABOVE &&
	    (judged->headers->tcp_flags & MOAT_TCP_SYN)) {
		own(share, profile->owner);
		if (moat_share_fill(bucket, &share->challenge, &profile->challenge_rate,
				    judged->now_ms, 1)) {
			moat_share_spend(bucket, &share->challenge, &profile->challenge_rate, 1);
			return false;
		}
	}
	return moat_judge_challenge(judged->judge, judged->headers, judged->now_ms,
				    moat_challenge_scope(profile, number), &reason) &&
	       decide(judged, reason);
}

/* ---- all -------------------------------------------------------------------------------------- */

/* What a source's leaf says besides its class and rates, and stages that look at every packet: with none of
 * them a packet is the rules' alone. */
#define LEAF_SAYS                                                                    \
	(MOAT_LPM_ALLOW | MOAT_LPM_DENY | MOAT_LPM_NEIGHBOUR | MOAT_LPM_MANAGEMENT | \
	 MOAT_LPM_SESSION | MOAT_LPM_MARTIAN)
#define STAGES_SANITY (MOAT_STAGE_BROKEN | MOAT_STAGE_FLAGS | MOAT_STAGE_LAND)
#define STAGES_BEHIND                                                           \
	(MOAT_STAGE_AMPLIFICATION | MOAT_STAGE_FRAGMENTS | MOAT_STAGE_SOURCES | \
	 MOAT_STAGE_CHALLENGE | MOAT_STAGE_PROFILES)

static uint32_t stages_of(const struct moat_judge *judge)
{
	return atomic_load_explicit(&judge->stages, memory_order_relaxed);
}

static bool has_rules(uint32_t stages, const struct moat_tables *half)
{
	return (stages & MOAT_STAGE_RULES) && half->rules->rule_count;
}

static void judge_by_rules(struct judged *judged, uint32_t dst_leaf)
{
	judged->reason = moat_judge_rules(judged->judge, judged->half, judged->headers,
					  judged->leaf & MOAT_LPM_CLASS, dst_leaf & MOAT_LPM_CLASS,
					  judged->now_ms, &judged->rule_id);
}

/* Stages 4 to 11. */
static void judge_policy(struct judged *judged)
{
	const struct moat_tables *half = judged->half;
	uint32_t stages = judged->stages, work = stages & half->work;
	uint32_t kind = moat_kind_of(judged->headers), dst_leaf = 0;
	bool rules = has_rules(stages, half);

	if (judge_sanity(judged, stages) || judge_lists(judged, stages))
		return;
	if (rules || ((work & MOAT_STAGE_PROFILES) && kind < MOAT_KIND_COUNT) ||
	    ((work & MOAT_STAGE_CHALLENGE) &&
	     moat_judge_is_challengeable(judged->judge, judged->headers)))
		dst_leaf = moat_tables_lookup_dst(half, &judged->headers->dst);
	if (rules) {
		judge_by_rules(judged, dst_leaf);
		if (judged->reason != MOAT_REASON_PASS_DEFAULT)
			return;
	}
	if ((work & MOAT_STAGE_AMPLIFICATION) && judge_amplification(judged))
		return;
	if ((work & MOAT_STAGE_FRAGMENTS) && judged->headers->fragment != MOAT_FRAGMENT_NONE) {
		judged->reason = MOAT_REASON_DROP_FRAGMENT;
		return;
	}
	if ((work & MOAT_STAGE_SOURCES) && judge_source(judged))
		return;
	if ((work & MOAT_STAGE_CHALLENGE) && judge_challenge(judged, dst_leaf))
		return;
	if ((work & MOAT_STAGE_PROFILES) && kind < MOAT_KIND_COUNT)
		judge_profile(judged, dst_leaf, kind);
}

void moat_judge_quiesce(struct moat_judge *judge)
{
	atomic_store_explicit(&judge->entered, 0, memory_order_release);
}

static void enter(struct moat_judge *judge)
{
	atomic_store(&judge->entered, atomic_load(&judge->policy->generation));
	/* either the commit sees us, or we see its half in force */
	atomic_thread_fence(memory_order_seq_cst);
}

enum moat_reason moat_judge_packet(struct moat_judge *judge, const struct moat_headers *headers,
				   enum moat_parse parse, uint64_t now_ms, uint32_t *ret_rule_id)
{
	struct judged judged = {
		.judge = judge,
		.headers = headers,
		.now_ms = now_ms,
		.stages = stages_of(judge),
		.reason = MOAT_REASON_PASS_DEFAULT,
	};
	uint32_t active;

	*ret_rule_id = 0;
	judge->challenge = MOAT_CHALLENGE_UNASKED;
	judge->sample_interval = 0;
	if (parse == MOAT_PARSE_NOT_IP)
		return MOAT_REASON_PASS_NOT_IP;
	if ((headers->proto == 1 || headers->proto == 58) && parse == MOAT_PARSE_OK &&
	    judge_icmp(&judged))
		return judged.reason;
	if (atomic_load_explicit(&judge->entered, memory_order_relaxed) == 0)
		enter(judge);
	active = atomic_load_explicit(&judge->policy->active, memory_order_acquire);
	if (active == MOAT_GATE_NO_POLICY)
		return judge->fail_closed ? MOAT_REASON_DROP_NO_POLICY : MOAT_REASON_PASS_NO_TABLE;
	if (parse != MOAT_PARSE_OK)
		return judged.stages & MOAT_STAGE_BROKEN ? MOAT_REASON_DROP_BROKEN
							 : moat_parse_reason(parse);
	judged.half = &judge->policy->halves[active];
	judged.leaf = moat_tables_lookup_src(judged.half, &headers->src);
	if (!(judged.leaf & LEAF_SAYS) &&
	    !(judged.stages & (STAGES_SANITY | (judged.half->work & STAGES_BEHIND)))) {
		/* as below, of which nothing else would do anything */
		if (has_rules(judged.stages, judged.half))
			judge_by_rules(&judged, moat_tables_lookup_dst(judged.half, &headers->dst));
	} else if (!judge_marked(&judged)) {
		judge_policy(&judged);
	}
	*ret_rule_id = judged.rule_id;
	return judged.reason;
}

/* Whether a destination's protection may have anything to do with packets of a flow. */
static bool profile_may_act(const struct moat_tables *half, const struct moat_headers *h,
			    uint32_t dst_leaf)
{
	uint32_t number = (dst_leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT;
	const struct moat_profile *profile = &half->stages->profiles[number];
	uint32_t kind = moat_kind_of(h);

	return number && (profile->challenge != MOAT_CHALLENGE_OFF ||
			  (kind < MOAT_KIND_COUNT && profile->rates[kind].cost));
}

bool moat_judge_is_indifferent(struct moat_judge *judge, const struct moat_headers *h)
{
	uint32_t active = atomic_load_explicit(&judge->policy->active, memory_order_acquire);
	uint32_t stages = stages_of(judge), work, src_leaf, dst_leaf;
	const struct moat_tables *half;

	if (active == MOAT_GATE_NO_POLICY ||
	    atomic_load_explicit(&judge->entered, memory_order_relaxed) == 0)
		return false;
	half = &judge->policy->halves[active];
	work = stages & half->work;
	src_leaf = moat_tables_lookup_src(half, &h->src);
	if ((src_leaf & LEAF_SAYS) || (work & MOAT_STAGE_SOURCES) ||
	    ((work & MOAT_STAGE_AMPLIFICATION) && h->proto == 17) ||
	    ((stages & MOAT_STAGE_LAND) && moat_addr_equal(&h->src, &h->dst)))
		return false;
	dst_leaf = moat_tables_lookup_dst(half, &h->dst);
	if ((work & (MOAT_STAGE_CHALLENGE | MOAT_STAGE_PROFILES)) &&
	    profile_may_act(half, h, dst_leaf))
		return false;
	if (!has_rules(stages, half))
		return true;
	for (uint32_t push = 0; push <= MOAT_TCP_PSH; push += MOAT_TCP_PSH) {
		uint32_t class = h->proto == 6 ? (MOAT_TCP_ACK | push) + 1 : 0;

		if (moat_judge_may_match(half, h, src_leaf & MOAT_LPM_CLASS,
					 dst_leaf & MOAT_LPM_CLASS, class))
			return false;
	}
	return true;
}
