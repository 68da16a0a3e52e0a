/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's control word, counters and samples: what dataplane/gate.c and bpf/gate share besides the
 * rule tables and the cells.
 */
#ifndef MOAT_GATE_H
#define MOAT_GATE_H

#include "moat/cell.h"
#include "moat/rule.h"

/* What is in force. Read and written as one word, so that a half is never taken for that of another
 * generation. */
union moat_gate_force {
	struct {
		__u32 active;     /* which half of every table: 0 or 1; others: no policy loaded */
		__u32 generation; /* another one after each change of any table, never 0 */
	};
	__u64 word;
};

/* Written by user space, read once a packet; mapped memory, so no system call to change it. */
struct moat_gate_ctl {
	__u32 abi_version; /* MOAT_ABI_VERSION of the pinned maps */
	__u32 reserved;
	union moat_gate_force force;
	__u32 sample_pass;   /* one in so many passing packets is sampled, with jitter; 0 is off */
	__u32 sample_drop;   /* likewise of dropped packets */
	__u64 hash_seed;     /* of cells and the known filter, random at first load */
	__u64 hash_begun_v4; /* moat_addr_hash_begin(0, hash_seed) */
	__u32 stages[2]; /* of each half: those of enum moat_stage that its tables have work for */
};
#define MOAT_GATE_NO_POLICY 2 /* value of `active` before the first rule set */

/* Receive queues of an interface that a wire or mirror port can serve; the others' packets have no worker. */
#define MOAT_GATE_QUEUES_MAX 64

/* Longer frames don't fit a socket's buffer of 4,096 bytes behind XDP's headroom: they have no worker, unless
 * its socket takes frames of several buffers, up to four. */
#define MOAT_GATE_SOCKET_FRAME_MAX 3840
#define MOAT_GATE_CHAIN_FRAME_MAX (4 * MOAT_GATE_SOCKET_FRAME_MAX)

/* What happens to frames of a wire or mirror port that no worker takes. */
enum moat_gate_fail {
	MOAT_FAIL_KERNEL = 0, /* to the kernel: mirrors */
	MOAT_FAIL_OPEN = 1,   /* judged by the gate, sent out of the wire's other port */
	MOAT_FAIL_CLOSED = 2, /* dropped */
};

/* A worker's sign of life, one a queue: jiffies, written once a loop. What is older than MOAT_PULSE_MS is
 * from a worker that stands still. A cache line each, since each has another writer. */
#define MOAT_PULSE_MS 200

struct moat_gate_pulse {
	__u64 jiffies;
	__u32 frame_max; /* 0, or what its socket takes of frames of several buffers */
	__u32 reserved[13];
};

struct moat_gate_pulses {
	struct moat_gate_pulse queues[MOAT_GATE_QUEUES_MAX];
};

/* What the owner of the gate notes of a port, pinned with the maps for the next owner. Not read by the
 * gate. */
struct moat_gate_port_record {
	char name[16]; /* interface; empty: the index is free */
	__u32 ifindex;
	__u32 role; /* enum moat_port_role */
	__u32 native;
	__u32 reserved;
};

/* What a gate of one port counts on one CPU. in = sum of reasons, always. */
struct moat_gate_counters {
	struct moat_counter in;
	struct moat_counter reasons[MOAT_REASON_COUNT];
	__u64 samples;             /* sent to the ring */
	__u64 samples_lost;        /* ring full */
	__u64 helper_errors;       /* a helper or lookup that can't fail did */
	__u64 rules_expired;       /* matches skipped because the rule had expired */
	__u64 sample_countdown[2]; /* state, not a count: packets until the next pass and drop sample */
	__u64 random;              /* state of the jitter's xorshift64 */
	__u64 reserved[3];
};

/* Memory of each CPU in which the gate puts a packet's headers and all that its stages find. */
#define MOAT_GATE_SCRATCH 512

#define MOAT_SAMPLE_BYTES 128

/* A sampled packet: its headers, parsed and raw, and what became of it. */
struct moat_sample {
	__u64 time_ns;  /* CLOCK_MONOTONIC (gate, workers); capture time (pcap) */
	__u32 port;     /* index of the port, see struct moat_gate_port_options */
	__u32 rule_id;  /* the rule that decided, 0 if none */
	__u32 interval; /* the sampling interval then: this packet stands for so many */
	__u16 cap_len;  /* valid bytes of data */
	__u8 reason;    /* enum moat_reason */
	__u8 parse;     /* enum moat_parse */
	struct moat_headers headers;
	__u8 data[MOAT_SAMPLE_BYTES];
};
MOAT_STATIC_ASSERT(sizeof(struct moat_sample) == 216, "a record of the sample ring");

#define MOAT_SAMPLE_RING_BYTES (1u << 20)

#endif
