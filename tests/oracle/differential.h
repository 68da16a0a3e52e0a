/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the differential test share: the three judges in one world, and what each file does in
 * it. The world is made and ended by differential.c. */
#ifndef MOAT_TESTS_DIFFERENTIAL_H
#define MOAT_TESTS_DIFFERENTIAL_H

#include "dataplane/cells.h"
#include "dataplane/policy.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/oracle_cells.h"
#include "tests/oracle/replay/gate.h"

#define HASH_SEED 0x6d6f6174

/* What a judge says of a packet. */
struct answer {
	const char *who;
	enum moat_reason reason;
	uint32_t rule_id;
	enum moat_parse parse;
	struct moat_headers headers;
};

#define HANDSHAKES 8

/* A client that was challenged. */
struct handshake {
	uint8_t frame[MOAT_GENERATE_FRAME_LEN];
	size_t length; /* 0: nobody yet */
	size_t tcp;    /* where its header begins */
	uint32_t cookie;
};

struct world {
	struct oracle_challenge_settings challenges[2]; /* of the gate, of the policy */
	struct handshake handshakes[HANDSHAKES];
	unsigned int handshake_next;
	struct moat_generator generator;
	struct moat_oracle_settings settings;
	struct moat_tunnels tunnels;
	struct replay_gate gate;
	struct moat_policy *policy;
	struct moat_ruleset *set;
	/* what the gate and the policy have to say; their clocks differ */
	struct moat_oracle for_gate, for_policy;
	struct moat_gate_counters expected[REPLAY_CPUS];
	struct oracle_cells gate_cells[REPLAY_CPUS], worker_cells;
	struct moat_cells cells; /* of a worker; one for all */
	bool sampled;            /* every packet of this set; without, the gate has shorter ways */
	uint64_t packets, sets, expired, parted;
	uint64_t reasons[MOAT_REASON_COUNT];
};

/* differential_world.c: opens the judges, the gate among them (which skips the program where there is no BPF), with
 * a seed and a tick rate of the shard's and so many buckets of sources a row; ends them. */
void open_world(struct world *world, unsigned int shard, uint32_t row_buckets);
void close_world(struct world *world);
/* Loads gate and judges with some of the stages, mostly with those that nobody goes without. */
void choose_stages(struct world *world);

/* The number of the window that a clock's tick is in: the longest windows of 2^n ticks up to 128 ms. */
uint32_t window_of(uint64_t ticks, uint32_t ticks_per_s);

/* Says on stderr what differs for a packet. False. */
bool explain(const struct world *world, const uint8_t *frame, size_t length,
	     const struct answer *answer, const struct answer *expected);

/* differential_packet.c: one packet through all judges, at this moment. False, with the reason on stderr,
 * if they differ. */
bool compare_packet(struct world *world, uint32_t cpu, const uint8_t *frame, size_t length);

/* differential_set.c: a rule set at random, in force on both sides; one source into or out of a list of it,
 * without a commit, and a packet of it before and after; and behind its packets every count that they
 * should have left. */
void begin_oracle(const struct world *world, struct moat_oracle *oracle, uint64_t ticks,
		  uint32_t ticks_per_s);
void begin_set(struct world *world);
bool change_list(struct world *world);
bool end_set(struct world *world);

/* differential_challenge.c: keys and settings at random; the client's next step, 0 if nobody was challenged;
 * a SYN that was; whether the gate's answer is right. */
void choose_challenge(struct world *world);
size_t answer_challenge(struct world *world, uint8_t frame[MOAT_GENERATE_FRAME_LEN]);
void remember_syn(struct world *world, const uint8_t *frame, size_t length,
		  const struct answer *expected, uint32_t cookie);
bool is_answer(const struct world *world, const struct moat_headers *syn, uint32_t cookie);
bool challenges_agree(const struct world *world);

#endif
