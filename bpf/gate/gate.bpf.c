/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP fast path of one port: parse, judge, count, sample. Loaded once a port, so that what differs
 * between ports is a constant; the tables are shared (gate/maps.h).
 *
 *   gate   judges every packet; what passes goes to the kernel
 *   steer  wire and mirror ports: hands every packet to the AF_XDP worker of its queue, which judges
 *          and counts it in cells of its own
 */
/* Headers of packets are what the wire says: nothing here may depend on how a kernel declares them. */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "gate/judge.h"
#include "gate/maps.h"
#include "lib/count.h"
#include "lib/parse.h"
#include "lib/sample.h"
#include "lib/tunnel.h"

MOAT_INLINE void gate_parse(struct xdp_md *ctx, struct gate_packet *packet)
{
	struct moat_headers *h = &packet->headers;
	struct moat_cursor cursor;
	__u32 tunnel;

	moat_cursor_init(&cursor, ctx);
	packet->parse = moat_parse_frame(&cursor, h);
	if (packet->parse == MOAT_PARSE_TRUNCATED && moat_cursor_is_scattered(&cursor))
		packet->parse = moat_parse_scattered(ctx, h);
	tunnel = moat_tunnel_find(h, tunnel_stages, vxlan_port, geneve_port);
	if (tunnel != MOAT_TUNNEL_NONE && packet->parse == MOAT_PARSE_OK &&
	    moat_tunnel_enter(ctx, h, tunnel) < 0)
		moat_tunnel_enter_scattered(ctx, h, tunnel);
	packet->frame = cursor.frame;
	packet->headers.frame_len = cursor.frame > 0xffff ? 0xffff : cursor.frame;
}

/* Every IP packet, judged or not, in the cells of both its ends. */
MOAT_INLINE void gate_count_cells(struct gate_packet *packet, int drop)
{
	struct gate_cells *to = moat_map_element(cells_to, packet->cpu);
	struct gate_cells *from = moat_map_element(cells_from, packet->cpu);
	const struct moat_headers *h = &packet->headers;
	__u64 dst_hash;

	if (h->family == MOAT_FAMILY_ANY)
		return;
	if (!to || !from) {
		packet->errors++;
		return;
	}
	dst_hash = moat_addr_hash(&h->dst, packet->hash_seed);
	moat_count_cell(&to->head, to->cells, cell_mask, &h->dst, dst_hash, h, packet->window, drop,
			packet->src_hash >> 24);
	moat_count_cell(&from->head, from->cells, cell_mask, &h->src, packet->src_hash, h,
			packet->window, drop, moat_service_hash(dst_hash, h->dport));
}

/* moat_reason_verdict of the reasons that this program gives. */
MOAT_INLINE int gate_is_drop(__u32 reason)
{
	return reason - MOAT_REASON_DROP_DENIED <=
	       MOAT_REASON_DROP_NO_PEER - MOAT_REASON_DROP_DENIED;
}

MOAT_INLINE void gate_sample(struct gate_packet *packet, struct moat_gate_counters *count,
			     struct xdp_md *ctx, __u32 kind, __u32 interval)
{
	if (!moat_sample_due(count, kind, interval))
		return;
	if (moat_sample_send(&samples, ctx, &packet->headers, packet->parse, packet->reason,
			     packet->rule_id, port_index, interval))
		count->samples++;
	else
		count->samples_lost++;
}

SEC("xdp.frags")
int gate(struct xdp_md *ctx)
{
	struct gate_packet packet;
	__u32 cpu = bpf_get_smp_processor_id();
	struct moat_gate_counters *count = moat_map_element(port_counters, cpu);
	const volatile struct moat_gate_ctl *control = moat_map_element(ctl, 0);
	int drop;

	if (!control || !count)
		return XDP_PASS; /* both arrays have these elements */
	/* the rest is set by the stage that uses it */
	__builtin_memset(&packet.headers, 0, sizeof(packet.headers));
	packet.rule_id = 0;
	packet.expired = 0;
	packet.errors = 0;
	packet.cpu = cpu;
	packet.half = control->active;
	packet.hash_seed = control->hash_seed;
	packet.now = bpf_jiffies64();
	packet.window = packet.now >> window_shift;

	gate_parse(ctx, &packet);
	packet.src_hash = moat_addr_hash(&packet.headers.src, packet.hash_seed);
	gate_judge(&packet, control);
	drop = gate_is_drop(packet.reason);

	moat_count_packet(count, packet.reason, packet.frame);
	gate_count_cells(&packet, drop);
	gate_sample(&packet, count, ctx, drop, drop ? control->sample_drop : control->sample_pass);
	if (packet.expired | packet.errors) {
		count->rules_expired += packet.expired;
		count->helper_errors += packet.errors;
	}
	return drop ? XDP_DROP : XDP_PASS;
}

SEC("xdp.frags")
int steer(struct xdp_md *ctx)
{
	struct moat_gate_counters *count = moat_map_element(port_counters,
							    bpf_get_smp_processor_id());
	__u32 action;

	if (!count)
		return XDP_PASS;
	/* XDP_PASS is what it returns if the queue has no socket */
	action = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
	moat_count_packet(
		count, action == XDP_REDIRECT ? MOAT_REASON_REDIRECT_XSK : MOAT_REASON_PASS_NO_XSK,
		bpf_xdp_get_buff_len(ctx));
	return action;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
