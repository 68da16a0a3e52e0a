/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Offload by rte_flow: each rule is validated, created and, once nobody wants it, destroyed. Where a rule
 * leaves the protocol open it is one of TCP and one of UDP: ICMP's errors are judged in software. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_flow.h>

#include "dataplane/offload.h"
#include "dataplane/port_dpdk.h"

#define PROTO_TCP 6
#define PROTO_UDP 17

/* One rule in the card. */
struct dpdk_flow {
	struct moat_match match;
	struct rte_flow *parts[2]; /* of TCP, of UDP */
	bool counts;
};

/* A pattern in the making: what its items point to lives here. */
struct pattern {
	struct rte_flow_item items[4];
	struct rte_flow_item_ipv4 v4, v4_mask;
	struct rte_flow_item_ipv6 v6, v6_mask;
	struct rte_flow_item_tcp tcp, tcp_mask;
	struct rte_flow_item_udp udp, udp_mask;
};

/* The first `len` of `size` bytes' bits. */
static void set_mask(uint8_t *mask, unsigned int len, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++) {
		unsigned int bits = len > 8 * i ? len - 8 * i : 0;

		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00 >> bits);
	}
}

static void set_addresses(struct pattern *p, const struct moat_match *match, bool v4)
{
	struct rte_flow_item *item = &p->items[1];

	if (v4) {
		p->v4.hdr.src_addr = match->src.addr.words[3];
		p->v4.hdr.dst_addr = match->dst.addr.words[3];
		if (match->src.family != MOAT_FAMILY_ANY)
			set_mask((uint8_t *)&p->v4_mask.hdr.src_addr, match->src.len, 4);
		if (match->dst.family != MOAT_FAMILY_ANY)
			set_mask((uint8_t *)&p->v4_mask.hdr.dst_addr, match->dst.len, 4);
		p->v4.hdr.src_addr &= p->v4_mask.hdr.src_addr;
		p->v4.hdr.dst_addr &= p->v4_mask.hdr.dst_addr;
		*item = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_IPV4,
						.spec = &p->v4,
						.mask = &p->v4_mask };
		return;
	}
	if (match->src.family != MOAT_FAMILY_ANY) {
		memcpy(p->v6.hdr.src_addr, match->src.addr.bytes, 16);
		set_mask(p->v6_mask.hdr.src_addr, match->src.len, 16);
	}
	if (match->dst.family != MOAT_FAMILY_ANY) {
		memcpy(p->v6.hdr.dst_addr, match->dst.addr.bytes, 16);
		set_mask(p->v6_mask.hdr.dst_addr, match->dst.len, 16);
	}
	*item = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_IPV6,
					.spec = &p->v6,
					.mask = &p->v6_mask };
}

static rte_be16_t port_mask(uint16_t min, uint16_t max)
{
	return min == max ? RTE_BE16(0xffff) : 0;
}

static void set_pattern(struct pattern *p, const struct moat_match *match, unsigned int proto)
{
	bool v4 = (match->src.family != MOAT_FAMILY_ANY ? match->src.family : match->dst.family) ==
		  MOAT_FAMILY_V4;
	rte_be16_t sport_mask = port_mask(match->sport_min, match->sport_max);
	rte_be16_t dport_mask = port_mask(match->dport_min, match->dport_max);
	rte_be16_t sport = rte_cpu_to_be_16(match->sport_min) & sport_mask;
	rte_be16_t dport = rte_cpu_to_be_16(match->dport_min) & dport_mask;

	memset(p, 0, sizeof(*p));
	p->items[0].type = RTE_FLOW_ITEM_TYPE_ETH;
	set_addresses(p, match, v4);
	if (proto == PROTO_TCP) {
		p->tcp.hdr.src_port = sport;
		p->tcp.hdr.dst_port = dport;
		p->tcp_mask.hdr.src_port = sport_mask;
		p->tcp_mask.hdr.dst_port = dport_mask;
		p->items[2] = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_TCP,
						      .spec = &p->tcp,
						      .mask = &p->tcp_mask };
	} else {
		p->udp.hdr.src_port = sport;
		p->udp.hdr.dst_port = dport;
		p->udp_mask.hdr.src_port = sport_mask;
		p->udp_mask.hdr.dst_port = dport_mask;
		p->items[2] = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_UDP,
						      .spec = &p->udp,
						      .mask = &p->udp_mask };
	}
	p->items[3].type = RTE_FLOW_ITEM_TYPE_END;
}

/* One part, with a count of its own if asked for. NULL, with the driver's words. */
static struct rte_flow *make_part(uint16_t id, const struct moat_match *match, unsigned int proto,
				  bool counts, struct rte_flow_error *error)
{
	static const struct rte_flow_attr ingress = { .ingress = 1 };
	static const struct rte_flow_action_count count;
	const struct rte_flow_action counting[] = {
		{ .type = RTE_FLOW_ACTION_TYPE_COUNT, .conf = &count },
		{ .type = RTE_FLOW_ACTION_TYPE_DROP },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	const struct rte_flow_action *actions = counts ? counting : counting + 1;
	struct pattern pattern;

	set_pattern(&pattern, match, proto);
	*error = (struct rte_flow_error){ .message = NULL };
	if (rte_flow_validate(id, &ingress, pattern.items, actions, error) != 0)
		return NULL;
	return rte_flow_create(id, &ingress, pattern.items, actions, error);
}

static void destroy(uint16_t id, struct dpdk_flow *flow)
{
	struct rte_flow_error error;

	for (size_t i = 0; i < 2; i++) {
		if (flow->parts[i])
			rte_flow_destroy(id, flow->parts[i], &error);
	}
}

/* All parts of a rule or none. */
static bool create(uint16_t id, const struct moat_match *match, bool counts,
		   struct dpdk_flow *ret_flow, struct rte_flow_error *error)
{
	static const unsigned int protos[] = { PROTO_TCP, PROTO_UDP };
	struct dpdk_flow flow = { .match = *match, .counts = counts };

	for (size_t i = 0; i < 2; i++) {
		if (match->proto && match->proto != protos[i])
			continue;
		flow.parts[i] = make_part(id, match, protos[i], counts, error);
		if (!flow.parts[i]) {
			destroy(id, &flow);
			return false;
		}
	}
	*ret_flow = flow;
	return true;
}

static struct dpdk_flow *find(struct dpdk_device *device, const struct moat_match *match)
{
	for (size_t i = 0; i < device->flow_count; i++) {
		if (memcmp(&device->flows[i].match, match, sizeof(*match)) == 0)
			return &device->flows[i];
	}
	return NULL;
}

static bool is_wanted(const struct dpdk_flow *flow, const struct moat_offload_rule *rules,
		      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (memcmp(&flow->match, &rules[i].match, sizeof(flow->match)) == 0)
			return true;
	}
	return false;
}

static void destroy_unwanted(struct dpdk_device *device, const struct moat_offload_rule *rules,
			     size_t count)
{
	for (size_t i = device->flow_count; i-- > 0;) {
		if (is_wanted(&device->flows[i], rules, count))
			continue;
		destroy(device->id, &device->flows[i]);
		device->flows[i] = device->flows[--device->flow_count];
	}
}

size_t moat_offload_flow_apply(const char *devargs, struct moat_offload_rule *rules, size_t count,
			       struct moat_error *error)
{
	struct dpdk_device *device = moat_dpdk_device_find(devargs);
	struct rte_flow_error refusal = { .message = NULL };
	size_t taken = 0;
	bool refused = false;

	error->text[0] = '\0';
	if (!device || device->lost)
		return 0;
	if (!device->flows)
		device->flows = calloc(MOAT_OFFLOAD_MAX, sizeof(*device->flows));
	if (!device->flows)
		return 0;
	destroy_unwanted(device, rules, count);
	for (size_t i = 0; i < count; i++) {
		struct dpdk_flow *flow = find(device, &rules[i].match);

		if (!flow && device->flow_count < MOAT_OFFLOAD_MAX) {
			flow = &device->flows[device->flow_count];
			if (create(device->id, &rules[i].match, true, flow, &refusal) ||
			    create(device->id, &rules[i].match, false, flow, &refusal))
				device->flow_count++;
			else
				flow = NULL;
		}
		rules[i].taken = flow;
		rules[i].counts = flow && flow->counts;
		taken += rules[i].taken;
		if (flow || refused)
			continue;
		refused = true;
		moat_error_set(error, -rte_errno, "%s",
			       refusal.message ? refusal.message : rte_strerror(rte_errno));
	}
	moat_offload_flow_hits(devargs, rules, count);
	return taken;
}

void moat_offload_flow_hits(const char *devargs, struct moat_offload_rule *rules, size_t count)
{
	static const struct rte_flow_action_count asked;
	const struct rte_flow_action action[] = {
		{ .type = RTE_FLOW_ACTION_TYPE_COUNT, .conf = &asked },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	struct dpdk_device *device = moat_dpdk_device_find(devargs);

	for (size_t i = 0; device && i < count; i++) {
		struct dpdk_flow *flow = rules[i].counts ? find(device, &rules[i].match) : NULL;
		struct moat_counter hits = { 0 };

		for (size_t part = 0; flow && part < 2; part++) {
			struct rte_flow_query_count answer = { .reset = 0 };
			struct rte_flow_error error;

			if (!flow->parts[part] || rte_flow_query(device->id, flow->parts[part],
								 action, &answer, &error) != 0)
				continue;
			hits.packets += answer.hits_set ? answer.hits : 0;
			hits.bytes += answer.bytes_set ? answer.bytes : 0;
		}
		if (flow)
			rules[i].hits = hits;
	}
}

void moat_dpdk_flow_deinit(struct dpdk_device *device)
{
	for (size_t i = 0; i < device->flow_count; i++)
		destroy(device->id, &device->flows[i]);
	free(device->flows);
	device->flows = NULL;
	device->flow_count = 0;
}
