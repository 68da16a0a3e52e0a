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
	[MOAT_FINDING_ACK_FLOOD] = { "ack_flood", "ACK flood", "T1499.001" },
	[MOAT_FINDING_CARPET] = { "carpet_bombing", "Carpet bombing", "T1498.001" },
	[MOAT_FINDING_DHCP_FLOOD] = { "dhcp_flood", "DHCP flood", "T1499.002" },
	[MOAT_FINDING_SLOW_HTTP] = { "slow_http", "Slow HTTP", "T1499.002" },
	[MOAT_FINDING_OUTBOUND] = { "outbound_flood", "Outbound flood", "T1498.001" },
	[MOAT_FINDING_BRUTE_FORCE] = { "brute_force", "Brute force", "T1110" },
	[MOAT_FINDING_BEACON] = { "beacon", "Beacon", "T1071" },
	[MOAT_FINDING_MINER] = { "miner", "Miner", "T1496" },
	[MOAT_FINDING_DNS_TUNNEL] = { "dns_tunnel", "DNS tunnel", "T1071.004" },
	[MOAT_FINDING_DGA] = { "dga", "Generated names", "T1568.002" },
	[MOAT_FINDING_ANONYMIZER] = { "anonymizer", "Anonymizer", "T1090.003" },
	[MOAT_FINDING_EXFILTRATION] = { "exfiltration", "Exfiltration", "T1048" },
	[MOAT_FINDING_LATERAL] = { "lateral", "Lateral movement", "T1021" },
	[MOAT_FINDING_COMMAND] = { "command_channel", "Command channel", "T1573" },
};

static const char *const states[] = {
	[MOAT_FINDING_OPEN] = "open",
	[MOAT_FINDING_UPDATE] = "update",
	[MOAT_FINDING_CLOSED] = "closed",
};

bool moat_finding_is_flood(enum moat_finding_kind kind)
{
	return kind <= MOAT_FINDING_AMPLIFICATION || kind == MOAT_FINDING_ACK_FLOOD ||
	       kind == MOAT_FINDING_CARPET;
}

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
