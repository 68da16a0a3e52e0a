/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/evidence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define WAYS 8
#define SETS 64
#define LAST_SAMPLES 512
/* How long a header waits before it is taken for normal: longer than any flood needs to be found. */
#define SETTLE_NS MOAT_NS_PER_S
/* In calm at most so many headers a class are taken, so that the ring spans the time to settle. */
#define CALM_GAP_NS (SETTLE_NS / MOAT_RECENT_RECORDS)
#define VALUE_MAX 1000
/* The reservoir forgets: a new header replaces an old one at least this often. */
#define RESERVOIR_SEEN_MAX (16 * MOAT_NORMAL_RECORDS)

struct recent {
	struct moat_record records[MOAT_RECENT_RECORDS]; /* ring */
	uint32_t left_out[MOAT_RECENT_RECORDS]; /* packets of headers left out before each */
	uint32_t head, count;                   /* place of the oldest; valid ones */
	uint64_t taken_ns;                      /* of the newest */
	uint32_t pending;                       /* packets of headers left out since then */
};

struct entry {
	struct moat_addr dst; /* all zero: free */
	uint32_t value;       /* rises with samples, falls when others want the place */
	uint64_t suspect_ns, suspect_until_ns; /* 0: calm */
	uint32_t seen[MOAT_CLASSES];
	struct recent recent[MOAT_CLASSES];
	struct moat_normals normals;
};

struct moat_evidence {
	uint64_t seed, random;
	struct entry entries[SETS][WAYS];
	struct moat_sample last[LAST_SAMPLES]; /* ring, of all hosts */
	uint64_t last_count;
};

int moat_evidence_new(uint64_t seed, struct moat_evidence **ret_evidence)
{
	/* 38 MB, backed by memory as destinations appear */
	struct moat_evidence *evidence = calloc(1, sizeof(*evidence));

	if (!evidence)
		return -ENOMEM;
	evidence->seed = seed;
	evidence->random = seed | 1;
	*ret_evidence = evidence;
	return 0;
}

void moat_evidence_free(struct moat_evidence *evidence)
{
	free(evidence);
}

/* xorshift64 (Marsaglia, 2003): repeatable for a seed */
static uint64_t next_random(struct moat_evidence *evidence)
{
	uint64_t x = evidence->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	evidence->random = x;
	return x;
}

static enum moat_evidence_class class_of(const struct moat_headers *h)
{
	switch (h->proto) {
	case 6:
		return (h->tcp_flags & (MOAT_TCP_SYN | MOAT_TCP_ACK)) == MOAT_TCP_SYN
			       ? MOAT_CLASS_SYN
			       : MOAT_CLASS_REST;
	case 17:
		return MOAT_CLASS_UDP;
	case 1:
	case 58:
		return MOAT_CLASS_ICMP;
	default:
		return MOAT_CLASS_REST;
	}
}

static struct entry *find(const struct moat_evidence *evidence, const struct moat_addr *dst)
{
	const struct entry *set = evidence->entries[moat_addr_hash(dst, evidence->seed) % SETS];

	for (int i = 0; i < WAYS; i++)
		if (set[i].value && moat_addr_equal(&set[i].dst, dst))
			return (struct entry *)&set[i];
	return NULL;
}

static void entry_reset(struct entry *entry, const struct moat_addr *dst)
{
	entry->dst = *dst;
	entry->value = 1;
	entry->suspect_ns = 0;
	entry->suspect_until_ns = 0;
	memset(entry->seen, 0, sizeof(entry->seen));
	memset(entry->normals.counts, 0, sizeof(entry->normals.counts));
	memset(entry->normals.weights, 0, sizeof(entry->normals.weights));
	for (int class = 0; class < MOAT_CLASSES; class ++) {
		entry->recent[class].count = 0;
		entry->recent[class].taken_ns = 0;
		entry->recent[class].pending = 0;
	}
}

/* The suspicion is over: what is left of it is forgotten, not learned. */
static void calm_down(struct entry *entry)
{
	entry->suspect_ns = 0;
	for (int class = 0; class < MOAT_CLASSES; class ++) {
		entry->recent[class].count = 0;
		entry->recent[class].pending = 0;
	}
}

/* The place of the set that is worth least, NULL if all are of suspicious destinations. One whose suspicion
 * is over is calm even if nothing was sent to it since: else hosts that were attacked once, and never again
 * sent to, would fill the table for good. */
static struct entry *least_sampled(struct moat_evidence *evidence, const struct moat_addr *dst,
				   uint64_t now_ns)
{
	struct entry *set = evidence->entries[moat_addr_hash(dst, evidence->seed) % SETS];
	struct entry *least = NULL;

	for (int i = 0; i < WAYS; i++) {
		if (set[i].suspect_ns && now_ns >= set[i].suspect_until_ns)
			calm_down(&set[i]);
		if (!set[i].suspect_ns && (!least || set[i].value < least->value))
			least = &set[i];
	}
	return least;
}

/*
 * The destination's entry, or that of the least sampled destination of the set once enough newcomers have
 * asked for it (frequent items by Misra and Gries, 1982): backscatter to random addresses turns over one
 * place a set and no more. Suspicious destinations stay as long as they are suspicious.
 */
static struct entry *claim(struct moat_evidence *evidence, const struct moat_addr *dst,
			   uint64_t now_ns)
{
	struct entry *entry = find(evidence, dst), *least;

	if (entry) {
		if (entry->value < VALUE_MAX)
			entry->value++;
		return entry;
	}
	least = least_sampled(evidence, dst, now_ns);
	if (!least)
		return NULL;
	if (least->value > 1) {
		least->value--;
		return NULL;
	}
	entry_reset(least, dst);
	return least;
}

static void make_normal(struct moat_evidence *evidence, struct entry *entry,
			enum moat_evidence_class class, const struct moat_record *record,
			uint32_t left_out)
{
	struct moat_normals *normals = &entry->normals;
	uint32_t place;

	if (entry->seen[class] < RESERVOIR_SEEN_MAX)
		entry->seen[class]++;
	normals->weights[class] += (double)record->weight + left_out;
	if (normals->counts[class] < MOAT_NORMAL_RECORDS) {
		normals->records[class][normals->counts[class]++] = *record;
		return;
	}
	/* reservoir sampling (Vitter, algorithm R) */
	place = (uint32_t)(next_random(evidence) % entry->seen[class]);
	if (place < MOAT_NORMAL_RECORDS)
		normals->records[class][place] = *record;
}

static void settle(struct moat_evidence *evidence, struct entry *entry, uint64_t now_ns)
{
	for (int class = 0; class < MOAT_CLASSES; class ++) {
		struct recent *recent = &entry->recent[class];

		while (recent->count) {
			const struct moat_record *oldest = &recent->records[recent->head];

			if (oldest->time_ns + SETTLE_NS > now_ns)
				break;
			make_normal(evidence, entry, class, oldest, recent->left_out[recent->head]);
			recent->head = (recent->head + 1) % MOAT_RECENT_RECORDS;
			recent->count--;
		}
	}
}

static void recent_push(struct recent *recent, const struct moat_record *record)
{
	uint32_t place = (recent->head + recent->count) % MOAT_RECENT_RECORDS;

	recent->records[place] = *record;
	recent->left_out[place] = recent->pending;
	if (recent->count < MOAT_RECENT_RECORDS)
		recent->count++;
	else
		recent->head = (recent->head + 1) % MOAT_RECENT_RECORDS;
	recent->taken_ns = record->time_ns;
	recent->pending = 0;
}

void moat_evidence_add(struct moat_evidence *evidence, const struct moat_sample *sample)
{
	const struct moat_headers *h = &sample->headers;
	enum moat_evidence_class class = class_of(h);
	struct moat_record record = {
		.time_ns = sample->time_ns,
		.src = h->src,
		.weight = sample->interval ? sample->interval : 1,
		.sport = h->sport,
		.dport = h->dport,
		.len = h->l3_len,
		.proto = h->proto,
		.tcp_flags = h->tcp_flags,
		.has_ports = h->has_ports,
	};
	struct recent *recent;
	struct entry *entry;

	if (h->family == MOAT_FAMILY_ANY)
		return;
	evidence->last[evidence->last_count++ % LAST_SAMPLES] = *sample;
	entry = claim(evidence, &h->dst, record.time_ns);
	if (!entry)
		return;
	if (entry->suspect_ns && record.time_ns >= entry->suspect_until_ns)
		calm_down(entry);
	recent = &entry->recent[class];
	if (!entry->suspect_ns) {
		settle(evidence, entry, record.time_ns);
		if (recent->count && record.time_ns < recent->taken_ns + CALM_GAP_NS) {
			recent->pending += record.weight;
			return;
		}
	}
	recent_push(recent, &record);
}

void moat_evidence_suspect(struct moat_evidence *evidence, const struct moat_addr *dst,
			   uint64_t since_ns, uint64_t until_ns)
{
	struct entry *entry = find(evidence, dst);

	/* a victim's headers are wanted more than anybody's, however seldom it was sampled so far */
	if (!entry) {
		entry = least_sampled(evidence, dst, since_ns);
		if (!entry)
			return;
		entry_reset(entry, dst);
	}
	if (!entry->suspect_ns || since_ns < entry->suspect_ns)
		entry->suspect_ns = since_ns;
	if (until_ns > entry->suspect_until_ns)
		entry->suspect_until_ns = until_ns;
}

uint32_t moat_evidence_recent(const struct moat_evidence *evidence, const struct moat_addr *dst,
			      enum moat_evidence_class class, uint64_t since_ns,
			      struct moat_record ret_records[MOAT_RECENT_RECORDS])
{
	const struct entry *entry = find(evidence, dst);
	uint32_t count = 0;

	if (!entry)
		return 0;
	for (uint32_t i = 0; i < entry->recent[class].count; i++) {
		const struct recent *recent = &entry->recent[class];
		const struct moat_record
			*record = &recent->records[(recent->head + i) % MOAT_RECENT_RECORDS];

		if (record->time_ns >= since_ns)
			ret_records[count++] = *record;
	}
	return count;
}

const struct moat_normals *moat_evidence_normal(const struct moat_evidence *evidence,
						const struct moat_addr *dst)
{
	const struct entry *entry = find(evidence, dst);

	return entry ? &entry->normals : NULL;
}

/* ---- the last samples of all hosts ------------------------------------------------------------- */

static uint32_t last_available(const struct moat_evidence *evidence)
{
	return evidence->last_count < LAST_SAMPLES ? (uint32_t)evidence->last_count : LAST_SAMPLES;
}

/* The i-th newest. */
static const struct moat_sample *last_at(const struct moat_evidence *evidence, uint32_t i)
{
	return &evidence->last[(evidence->last_count - 1 - i) % LAST_SAMPLES];
}

uint32_t moat_evidence_peer(const struct moat_evidence *evidence, const struct moat_addr *src,
			    uint64_t since_ns, struct moat_addr *ret_peer, uint32_t *ret_peer_count)
{
	struct moat_addr candidate = { 0 };
	uint32_t total = 0, lead = 0, count = 0;

	/* majority vote (Boyer and Moore, 1981), then a count of the winner */
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < last_available(evidence); i++) {
			const struct moat_sample *sample = last_at(evidence, i);
			bool same = moat_addr_equal(&sample->headers.dst, &candidate);

			if (sample->time_ns < since_ns ||
			    !moat_addr_equal(&sample->headers.src, src))
				continue;
			if (pass == 1) {
				count += same;
				continue;
			}
			total++;
			if (lead == 0)
				candidate = sample->headers.dst;
			lead = lead == 0 || same ? lead + 1 : lead - 1;
		}
	*ret_peer = candidate;
	*ret_peer_count = count;
	return total;
}

uint32_t moat_evidence_pick(const struct moat_evidence *evidence, const struct moat_addr *subject,
			    bool is_source, enum moat_evidence_class class, uint64_t since_ns,
			    struct moat_sample *ret_samples, uint32_t max)
{
	uint32_t picked = 0;

	for (uint32_t i = 0; i < last_available(evidence) && picked < max; i++) {
		const struct moat_sample *sample = last_at(evidence, i);
		const struct moat_headers *h = &sample->headers;

		if (sample->time_ns < since_ns ||
		    !moat_addr_equal(is_source ? &h->src : &h->dst, subject))
			continue;
		if (class == MOAT_CLASSES || class_of(h) == class)
			ret_samples[picked++] = *sample;
	}
	return picked;
}
