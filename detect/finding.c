/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names of findings as events, metrics and people use them.
 */
#include "detect/finding.h"

static const struct {
	const char *name, *title, *attack;
} kinds[MOAT_FINDING_KINDS] = {
	/* technique numbers: MITRE ATT&CK, enterprise matrix */
	[MOAT_FINDING_SYN_FLOOD] = { "syn_flood", "SYN flood", "T1499.001" },
	[MOAT_FINDING_UDP_FLOOD] = { "udp_flood", "UDP flood", "T1498.001" },
	[MOAT_FINDING_ICMP_FLOOD] = { "icmp_flood", "ICMP flood", "T1498.001" },
	[MOAT_FINDING_AMPLIFICATION] = { "amplification", "Amplification flood", "T1498.002" },
	[MOAT_FINDING_SCAN] = { "scan", "Scan", "T1046" },
	[MOAT_FINDING_ANOMALY] = { "anomaly", "Anomaly", "T1498" },
};

static const char *const states[] = {
	[MOAT_FINDING_OPEN] = "open",
	[MOAT_FINDING_UPDATE] = "update",
	[MOAT_FINDING_CLOSED] = "closed",
};

const char *moat_finding_kind_name(enum moat_finding_kind kind)
{
	return (unsigned int)kind < MOAT_FINDING_KINDS ? kinds[kind].name : "unknown";
}

const char *moat_finding_kind_title(enum moat_finding_kind kind)
{
	return (unsigned int)kind < MOAT_FINDING_KINDS ? kinds[kind].title : "Unknown";
}

const char *moat_finding_kind_attack(enum moat_finding_kind kind)
{
	return (unsigned int)kind < MOAT_FINDING_KINDS ? kinds[kind].attack : "";
}

const char *moat_finding_state_name(enum moat_finding_state state)
{
	return (unsigned int)state < sizeof(states) / sizeof(states[0]) ? states[state] : "unknown";
}
