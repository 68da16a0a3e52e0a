/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/describe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"

static const char *const shares_of[MOAT_FINDING_KINDS] = {
	[MOAT_FINDING_SYN_FLOOD] = "SYN",
	[MOAT_FINDING_UDP_FLOOD] = "UDP",
	[MOAT_FINDING_ICMP_FLOOD] = "ICMP",
	[MOAT_FINDING_AMPLIFICATION] = "unasked answers",
	[MOAT_FINDING_ANOMALY] = "of what it gets",
	[MOAT_FINDING_ACK_FLOOD] = "ACK",
	[MOAT_FINDING_OUTBOUND] = "of what it sends",
};

const char *moat_count_format(double count, char ret_text[MOAT_COUNT_TEXT_LEN])
{
	char digits[MOAT_COUNT_TEXT_LEN];
	int length, out = 0;

	/* below ten a fraction matters, above it doesn't */
	if (count > 0 && count < 10) {
		snprintf(ret_text, MOAT_COUNT_TEXT_LEN, "%.3g", count);
		return ret_text;
	}
	length = snprintf(digits, sizeof(digits), "%.0f", fmin(fmax(count, 0), 1e18));
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			ret_text[out++] = ',';
		ret_text[out++] = digits[i];
	}
	ret_text[out] = '\0';
	return ret_text;
}

static void describe_scan(struct moat_finding *finding)
{
	char subject[MOAT_ADDR_TEXT_LEN], peer[MOAT_ADDR_TEXT_LEN], targets[MOAT_COUNT_TEXT_LEN];
	double seen = finding->driver_count ? finding->drivers[0].seen : finding->pps;
	bool one = (finding->peer.quads[0] | finding->peer.quads[1]) != 0;

	snprintf(finding->sentence, sizeof(finding->sentence),
		 "Scan by %s: %s targets/s %s%s, next to no conversations",
		 moat_addr_format(&finding->subject, subject), moat_count_format(seen, targets),
		 one ? "on " : "on several hosts",
		 one ? moat_addr_format(&finding->peer, peer) : "");
}

void moat_finding_describe(struct moat_finding *finding, double share, double usual_pps)
{
	char subject[MOAT_ADDR_TEXT_LEN], pps[MOAT_COUNT_TEXT_LEN], usual[MOAT_COUNT_TEXT_LEN];
	char normal[MOAT_COUNT_TEXT_LEN + 32] = "no history yet";

	if (finding->kind == MOAT_FINDING_SCAN) {
		describe_scan(finding);
		return;
	}
	if (usual_pps >= 0)
		snprintf(normal, sizeof(normal), "normal: up to %s/s",
			 moat_count_format(ceil(usual_pps), usual));
	snprintf(finding->sentence, sizeof(finding->sentence),
		 "%s %s %s: %s packets/s, %.0f Mbit/s, %.0f %% %s (%s)",
		 moat_finding_kind_title(finding->kind), finding->subject_is_source ? "by" : "on",
		 moat_addr_format(&finding->subject, subject), moat_count_format(finding->pps, pps),
		 finding->mbps, floor(share * 100), shares_of[finding->kind], normal);
}
