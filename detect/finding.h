/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A finding: what a detector says, in fields and in a sentence. It opens, is updated while it lasts and
 * closes; its id stays. It proposes rules; ctl/respond decides.
 */
#ifndef MOAT_DETECT_FINDING_H
#define MOAT_DETECT_FINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "moat/gate.h"

enum moat_finding_kind {
	MOAT_FINDING_SYN_FLOOD = 0,
	MOAT_FINDING_UDP_FLOOD,
	MOAT_FINDING_ICMP_FLOOD,
	MOAT_FINDING_AMPLIFICATION,
	MOAT_FINDING_SCAN,         /* one source, many destinations or ports */
	MOAT_FINDING_ANOMALY,      /* far outside the baseline, and nothing more specific */
	MOAT_FINDING_ACK_FLOOD,    /* TCP segments that no conversation explains */
	MOAT_FINDING_OUTBOUND,     /* a flood from one of our hosts */
	MOAT_FINDING_WINDOW_KINDS, /* up to here: from the windows of one host */
	MOAT_FINDING_CARPET = MOAT_FINDING_WINDOW_KINDS, /* a flood spread thinly over a prefix; its subject is the first address */
	MOAT_FINDING_DHCP_FLOOD,  /* address requests in great number (starvation) */
	MOAT_FINDING_SLOW_HTTP,   /* many connections that are kept open and hardly say anything */
	MOAT_FINDING_BRUTE_FORCE, /* one source, many failing logins */
	MOAT_FINDING_BEACON,      /* one host reports to another in regular intervals */
	MOAT_FINDING_MINER,
	MOAT_FINDING_DNS_TUNNEL,
	MOAT_FINDING_DGA,          /* one host looks for many names that don't exist */
	MOAT_FINDING_ANONYMIZER,   /* a host enters a network that hides where it goes (Tor) */
	MOAT_FINDING_EXFILTRATION, /* data leaves on a way that isn't usual */
	MOAT_FINDING_LATERAL, /* remote execution or new administrative edges between our hosts */
	MOAT_FINDING_COMMAND, /* a host holds a channel to who commands it */
	MOAT_FINDING_KINDS,
};

enum moat_finding_state {
	MOAT_FINDING_OPEN = 0,
	MOAT_FINDING_UPDATE = 1, /* still going on; fields refreshed */
	MOAT_FINDING_CLOSED = 2, /* quiet for as long as the detector asks for */
};

/* While a finding is open it is given out at least so often. */
#define MOAT_FINDING_REPEAT_NS 30000000000ULL

#define MOAT_DRIVERS_MAX 6
#define MOAT_PROPOSALS_MAX 4
#define MOAT_EVIDENCE_MAX 8
#define MOAT_SENTENCE_LEN 256

/* A feature that made the finding: what was expected of this host and what was seen. */
struct moat_driver {
	const char *name; /* static: "syn/s" */
	double expected;  /* upper bound of normal, in the feature's unit */
	double seen;
	double deviation; /* robust z-score, >= 0 */
};

/* A rule that would stop it, by the sampled headers. */
struct moat_proposal {
	struct moat_match match;
	uint8_t action;    /* enum moat_action: drop or limit */
	uint8_t flags;     /* enum moat_rule_flag */
	uint32_t rate_pps; /* limit */
	double coverage;   /* share of the attack's samples that it matches, 0-1 */
	double collateral; /* share of the host's normal samples that it matches, 0-1; -1 if none known */
};

struct moat_finding {
	uint64_t id; /* from 1, unique in the life of an engine */
	enum moat_finding_kind kind;
	enum moat_finding_state state;
	bool subject_is_source;   /* a scan is about its source, a flood about its destination */
	struct moat_addr subject; /* the victim of a flood, the source of a scan */
	struct moat_addr peer; /* the other side where there is one (scan of one host), else all zero */
	uint16_t port;         /* of the service, 0: none */
	uint8_t proto;         /* of port */
	bool is_behaviour;     /* from flows and contents, not from a host's windows */
	uint8_t prefix_len;   /* carpet: of the subject, in bits of its family */
	uint64_t first_ns;    /* begin of the first abnormal window (engine's clock) */
	uint64_t detected_ns; /* when it opened */
	uint64_t last_ns;     /* end of the last abnormal window */
	double score;         /* >= 1: how many times beyond the threshold */
	double pps;           /* of the abnormal traffic, last window */
	double mbps;          /* Mbit/s of IP datagrams */
	double peak_pps;
	bool by_guard; /* found by the absolute-rate guard alone, e.g. while still learning */
	uint32_t driver_count;
	struct moat_driver drivers[MOAT_DRIVERS_MAX]; /* strongest first */
	uint32_t proposal_count;
	struct moat_proposal proposals[MOAT_PROPOSALS_MAX]; /* best first */
	uint32_t evidence_count;
	struct moat_sample evidence[MOAT_EVIDENCE_MAX];
	char sentence[MOAT_SENTENCE_LEN];
};

/* A flood against a host or prefix that packets are dropped for. */
bool moat_finding_is_flood(enum moat_finding_kind kind);

const char *moat_finding_kind_name(enum moat_finding_kind kind);  /* "syn_flood" */
const char *moat_finding_kind_title(enum moat_finding_kind kind); /* "SYN flood" */
const char *moat_finding_kind_attack(enum moat_finding_kind kind); /* ATT&CK technique, "T1498.001" */
const char *moat_finding_state_name(enum moat_finding_state state);

#endif
