/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Movement between our own hosts. Who administers whom is a graph that hardly changes: it is learned, and an
 * edge never seen before is worth a look. One new edge is everyday life; it is a finding if it carries remote
 * execution (a service, a task or an account made over SMB's administrative shares and pipes), or if one
 * source gets several in an hour.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "detect/engine.h"
#include "detect/ledger.h"
#include "detect/wire.h"

#define EDGES 65536
#define SOURCES 8192
#define HOLD_NS (1800 * MOAT_NS_PER_S)
#define SWEEP_NS (3600 * MOAT_NS_PER_S)
#define SWEEP_EDGES 4

struct edge {
	uint64_t first_ns, last_ns;
	bool is_old;   /* learned as normal */
	bool executed; /* remote execution was seen while it was learned */
};

struct source {
	uint64_t begin_ns;
	struct moat_distinct hosts;
};

struct lateral {
	struct moat_ledger *edges;   /* source, host, port */
	struct moat_ledger *sources; /* source, port: new edges of an hour */
	uint64_t begin_ns;
};

static void lateral_deinit(void *state)
{
	struct lateral *lateral = state;

	if (!lateral)
		return;
	moat_ledger_free(lateral->edges);
	moat_ledger_free(lateral->sources);
	free(lateral);
}

static int lateral_init(const struct moat_detect_config *config, void **ret_state)
{
	struct lateral *lateral = calloc(1, sizeof(*lateral));
	int r = lateral ? 0 : -ENOMEM;

	if (r == 0)
		r = moat_ledger_new(EDGES, sizeof(struct edge), config->seed, &lateral->edges);
	if (r == 0)
		r = moat_ledger_new(SOURCES, sizeof(struct source), config->seed, &lateral->sources);
	if (r < 0) {
		lateral_deinit(lateral);
		return r;
	}
	*ret_state = lateral;
	return 0;
}

/* Ports by which one host commands another. */
static bool is_command_port(uint16_t port)
{
	switch (port) {
	case 22:    /* SSH */
	case 135:   /* RPC endpoint mapper: DCOM, WMI */
	case 139:   /* SMB over NetBIOS */
	case 445:   /* SMB */
	case 3389:  /* RDP */
	case 5985:  /* WinRM */
	case 5986:  /* WinRM, TLS */
	case 2375:  /* Docker */
	case 2379:  /* etcd */
	case 6443:  /* Kubernetes API */
	case 10250: /* kubelet */
		return true;
	default:
		return false;
	}
}

static bool is_admin(const struct moat_detect_config *config, const struct moat_addr *addr)
{
	for (size_t i = 0; i < config->admin_count; i++)
		if (moat_prefix_contains(&config->admins[i], addr))
			return true;
	return false;
}

static bool is_inside(const struct moat_addr *client, const struct moat_addr *server)
{
	return moat_addr_is_local(client) && moat_addr_is_local(server) &&
	       !moat_addr_is_many(server);
}

static struct moat_suspicion suspicion_of(const struct moat_addr *client,
					  const struct moat_addr *server, uint16_t port,
					  double score)
{
	return (struct moat_suspicion){
		.kind = MOAT_FINDING_LATERAL,
		.subject = *client,
		.subject_is_source = true,
		.score = score,
		.share = 1,
		.usual_pps = -1,
		.peer = *server,
		.port = port,
		.proto = 6,
		.hold_ns = HOLD_NS,
	};
}

/* The edge; learned as normal while the graph is. */
static struct edge *edge_of(struct lateral *lateral, const struct moat_detect_config *config,
			    const struct moat_ledger_key *key, uint64_t now_ns, bool *ret_is_new)
{
	struct edge *edge = moat_ledger_take(lateral->edges, key, now_ns, ret_is_new);

	if (lateral->begin_ns == 0)
		lateral->begin_ns = now_ns;
	if (*ret_is_new) {
		edge->first_ns = now_ns;
		edge->is_old = now_ns - lateral->begin_ns < config->learn_edges_ns;
	}
	edge->last_ns = now_ns;
	return edge;
}

static void lateral_flow(void *state, const struct moat_detect_config *config,
			 const struct moat_flow_record *record, moat_suspect_fn suspect,
			 void *engine)
{
	struct lateral *lateral = state;
	struct moat_ledger_key key = { .a = record->client,
				       .b = record->server,
				       .c = record->server_port };
	struct moat_ledger_key by_source = { .a = record->client, .c = record->server_port };
	char client[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion;
	struct source *source;
	struct edge *edge;
	double hosts;
	bool is_new;

	if (record->proto != 6 || record->outcome != MOAT_OUTCOME_CONVERSED ||
	    !is_command_port(record->server_port) || !is_inside(&record->client, &record->server) ||
	    is_admin(config, &record->client))
		return;
	edge = edge_of(lateral, config, &key, record->first_ns, &is_new);
	if (!is_new || edge->is_old)
		return;
	source = moat_ledger_take(lateral->sources, &by_source, record->first_ns, &is_new);
	if (record->first_ns > source->begin_ns + SWEEP_NS)
		*source = (struct source){ .begin_ns = record->first_ns };
	moat_distinct_add(&source->hosts, moat_mix(moat_addr_hash(&record->server, config->seed)));
	hosts = moat_distinct_count(&source->hosts);
	if (hosts < SWEEP_EDGES - 0.5)
		return;
	suspicion = suspicion_of(&record->client, &record->server, record->server_port,
				 hosts / SWEEP_EDGES);
	suspicion.first_ns = source->begin_ns;
	moat_suspicion_drive(&suspicion, "new_edges", SWEEP_EDGES, hosts);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Lateral movement: %s went to %.0f hosts on port %u within an hour that it never went to",
		 moat_addr_format(&record->client, client), hosts, record->server_port);
	suspect(engine, &suspicion);
}

/* ---- remote execution ---------------------------------------------------------------------------- */

/* Finds text in UTF-16 (as SMB has names) or in ASCII, without regard to case. */
static bool has_text(const struct moat_content *content, const char *text)
{
	size_t size = strlen(text);

	if (moat_bytes_find(content->data, content->captured, text))
		return true;
	for (size_t at = 0; at + 2 * size <= content->captured; at++) {
		size_t i = 0;

		while (i < size && tolower(content->data[at + 2 * i]) == tolower(text[i]) &&
		       content->data[at + 2 * i + 1] == 0)
			i++;
		if (i == size)
			return true;
	}
	return false;
}

/* Shares and pipes of remote administration ([MS-SCMR], [MS-TSCH], [MS-SAMR], [MS-RRP], [MS-WKST]) and the
 * interfaces behind them as they stand in a DCE/RPC bind. */
static const char *execution_of(const struct moat_content *content)
{
	static const struct {
		const char *text, *what;
	} names[] = {
		{ "\\ADMIN$", "the share ADMIN$" },  { "\\C$", "the share C$" },
		{ "svcctl", "the service manager" }, { "atsvc", "the task scheduler" },
		{ "psexesvc", "PsExec's service" },  { "winreg", "the remote registry" },
		{ "samr", "the account manager" },
	};
	static const struct {
		uint8_t uuid[8]; /* its first half, as on the wire */
		const char *what;
	} interfaces[] = {
		{ { 0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35 }, "the service manager" },
		{ { 0x82, 0x06, 0xf7, 0x1f, 0x51, 0x0a, 0xe8, 0x30 }, "the task scheduler" },
		{ { 0x49, 0x59, 0xd3, 0x86, 0xc9, 0x83, 0x44, 0x40 }, "the task scheduler" },
		{ { 0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab }, "the account manager" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (has_text(content, names[i].text))
			return names[i].what;
	for (size_t i = 0; i < sizeof(interfaces) / sizeof(interfaces[0]); i++)
		for (size_t at = 0; at + 8 <= content->captured; at++)
			if (memcmp(content->data + at, interfaces[i].uuid, 8) == 0)
				return interfaces[i].what;
	return NULL;
}

static void lateral_content(void *state, const struct moat_detect_config *config,
			    const struct moat_content *content, moat_suspect_fn suspect,
			    void *engine)
{
	struct lateral *lateral = state;
	struct moat_ledger_key key = { .a = content->client,
				       .b = content->server,
				       .c = content->server_port };
	char client[MOAT_ADDR_TEXT_LEN], server[MOAT_ADDR_TEXT_LEN];
	struct moat_suspicion suspicion;
	const char *what;
	struct edge *edge;
	bool is_new;

	if (content->proto != 6 || content->direction != 0 ||
	    (content->server_port != 445 && content->server_port != 139) ||
	    !is_inside(&content->client, &content->server) || is_admin(config, &content->client))
		return;
	what = execution_of(content);
	if (!what)
		return;
	edge = edge_of(lateral, config, &key, content->time_ns, &is_new);
	if (content->time_ns - lateral->begin_ns < config->learn_edges_ns)
		edge->executed = true;
	/* an administrator's daily work was seen while it was learned */
	if (edge->executed)
		return;
	suspicion = suspicion_of(&content->client, &content->server, content->server_port, 2);
	moat_suspicion_drive(&suspicion, "remote_execution", 0, 1);
	snprintf(suspicion.sentence, sizeof(suspicion.sentence),
		 "Lateral movement: %s commands %s by %s, which it never did before",
		 moat_addr_format(&content->client, client),
		 moat_addr_format(&content->server, server), what);
	suspect(engine, &suspicion);
}

const struct moat_detector_ops moat_detector_lateral = {
	.name = "lateral",
	.title = "movement between hosts: new administrative edges, remote execution over SMB",
	.modes = MOAT_MODE_WIRE | MOAT_MODE_MIRROR | MOAT_MODE_FLOWS,
	.init = lateral_init,
	.deinit = lateral_deinit,
	.flow = lateral_flow,
	.content = lateral_content,
};
