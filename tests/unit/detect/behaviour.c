/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/unit/detect/behaviour.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "tests/harness/unit.h"

#define WINDOW_S 0.128

static void on_finding(void *userdata, const struct moat_finding *finding)
{
	struct behaviour *behaviour = userdata;

	behaviour->closed += finding->state == MOAT_FINDING_CLOSED;
	if (finding->state == MOAT_FINDING_OPEN && behaviour->count < BEHAVIOUR_FINDINGS_MAX)
		behaviour->found[behaviour->count++] = *finding;
}

struct moat_detect_config behaviour_config(void)
{
	struct moat_detect_config config = moat_detect_config_default();

	config.mode = MOAT_MODE_MIRROR;
	config.hosts = 1024;
	config.learn_ns = 1000000000ULL;
	config.learn_edges_ns = 0;
	return config;
}

void behaviour_begin_with(struct behaviour *behaviour, const struct moat_detect_config *config)
{
	memset(behaviour, 0, sizeof(*behaviour));
	behaviour->config = *config;
	behaviour->now_s = 1e6;
	if (moat_detect_new(config, on_finding, behaviour, &behaviour->detect) < 0)
		abort();
}

void behaviour_begin(struct behaviour *behaviour)
{
	struct moat_detect_config config = behaviour_config();

	behaviour_begin_with(behaviour, &config);
}

void behaviour_end(struct behaviour *behaviour)
{
	moat_detect_free(behaviour->detect);
	behaviour->detect = NULL;
}

void behaviour_wait(struct behaviour *behaviour, double seconds)
{
	double end_s = behaviour->now_s + seconds;

	/* of long silences only the last minute, as a replay does */
	if (seconds > 120)
		behaviour->now_s = end_s - 60;
	for (; behaviour->now_s < end_s; behaviour->now_s += WINDOW_S)
		moat_detect_tick(behaviour->detect, NULL, 0, (uint32_t)(behaviour->now_s / WINDOW_S),
				 (uint64_t)(behaviour->now_s * 1e9), (uint64_t)(WINDOW_S * 1e9));
}

void behaviour_flow(struct behaviour *behaviour, const struct behaviour_flow *flow)
{
	struct moat_flow_record record = {
		.first_ns = (uint64_t)(behaviour->now_s * 1e9),
		.last_ns = (uint64_t)((behaviour->now_s + flow->seconds) * 1e9),
		.payload = { flow->payload[0], flow->payload[1] },
		.bytes = { flow->payload[0] + 200, flow->payload[1] + 200 },
		.packets = { 5, flow->outcome == MOAT_OUTCOME_UNANSWERED ? 0 : 5 },
		.client_port = flow->client_port,
		.server_port = flow->server_port,
		.proto = flow->proto ? flow->proto : 6,
		.outcome = flow->outcome,
		.event = MOAT_RECORD_END,
		.is_whole = true,
	};

	CU_ASSERT_EQUAL(moat_addr_parse(flow->client, &record.client), 0);
	CU_ASSERT_EQUAL(moat_addr_parse(flow->server, &record.server), 0);
	behaviour_wait(behaviour, flow->seconds);
	moat_detect_flow(behaviour->detect, &record);
	behaviour_wait(behaviour, WINDOW_S);
}

void behaviour_say(struct behaviour *behaviour, const struct behaviour_flow *flow, int direction,
		   const void *data, size_t length)
{
	struct moat_content content = {
		.time_ns = (uint64_t)(behaviour->now_s * 1e9),
		.client_port = flow->client_port,
		.server_port = flow->server_port,
		.proto = flow->proto ? flow->proto : 6,
		.direction = (uint8_t)direction,
	};

	if (length == 0)
		length = strlen(data);
	CU_ASSERT_EQUAL(moat_addr_parse(flow->client, &content.client), 0);
	CU_ASSERT_EQUAL(moat_addr_parse(flow->server, &content.server), 0);
	content.length = (uint16_t)length;
	content.captured = (uint16_t)(length < MOAT_CONTENT_BYTES ? length : MOAT_CONTENT_BYTES);
	memcpy(content.data, data, content.captured);
	moat_detect_content(behaviour->detect, &content);
	behaviour_wait(behaviour, WINDOW_S);
}

int behaviour_found(const struct behaviour *behaviour, enum moat_finding_kind kind)
{
	int found = 0;

	for (int i = 0; i < behaviour->count; i++)
		found += behaviour->found[i].kind == kind;
	return found;
}
