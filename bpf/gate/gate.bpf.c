/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP fast path of one port: parse, judge, count, sample. Loaded once a port, so that what differs
 * between ports is a constant; the tables are shared (gate/maps.h).
 *
 *   gate   judges every packet; what passes goes to the kernel, or the port's way (gate/forward.h)
 *   steer  wire and mirror ports: hands every packet to the AF_XDP worker of its queue, which judges
 *          and counts it in cells of its own; does the worker's work where there is none (gate/steer.h)
 */
/* Headers of packets are what the wire says: nothing here may depend on how a kernel declares them. */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "gate/forward.h"
#include "gate/judge.h"
#include "gate/maps.h"
#include "gate/plain.h"
#include "gate/steer.h"
#include "lib/count.h"
#include "lib/parse.h"
#include "lib/sample.h"
#include "lib/tunnel.h"
#include "machine.h"

MOAT_INLINE enum moat_parse gate_parse(struct xdp_md *ctx, struct moat_headers *h, __u32 *ret_frame)
{
	struct moat_cursor cursor;
	enum moat_parse parse;
	__u32 tunnel;

	__builtin_memset(h, 0, sizeof(*h));
	moat_cursor_init(&cursor, ctx);
	parse = moat_parse_frame(&cursor, h);
	if (parse == MOAT_PARSE_TRUNCATED && moat_cursor_is_scattered(&cursor))
		parse = moat_parse_scattered(ctx, h);
	tunnel = moat_tunnel_find(h, tunnel_stages, vxlan_port, geneve_port);
	if (tunnel != MOAT_TUNNEL_NONE && parse == MOAT_PARSE_OK &&
	    moat_tunnel_enter(ctx, h, tunnel) < 0)
		moat_tunnel_enter_scattered(ctx, h, tunnel);
	/* what isn't IP says nothing of its length */
	if (parse != MOAT_PARSE_OK)
		moat_cursor_measure(&cursor);
	*ret_frame = cursor.frame;
	h->frame_len = cursor.frame > 0xffff ? 0xffff : cursor.frame;
	return parse;
}

/* moat_reason_verdict of the reasons that this program gives. */
MOAT_INLINE int gate_is_drop(__u32 reason)
{
	return reason - MOAT_REASON_DROP_DENIED <=
	       MOAT_REASON_DROP_NO_PEER - MOAT_REASON_DROP_DENIED;
}

/* Sends a sample of the frame. Rare: a global function, see gate_judge_rest. The return value is not used. */
__attribute__((noinline)) int gate_sample_send(struct xdp_md *ctx, const struct gate_packet *packet,
					       __u32 interval)
{
	struct moat_gate_counters *count = gate_counters(moat_machine_cpu());

	if (!packet)
		return 0; /* for the verifier */
	if (moat_sample_send(&samples, ctx, &packet->headers, packet->parse, packet->reason,
			     packet->rule_id, port_index, interval))
		count->samples++;
	else
		count->samples_lost++;
	return 0;
}

MOAT_INLINE void gate_sample(struct xdp_md *ctx, const struct gate_packet *packet,
			     struct moat_gate_counters *count, __u32 interval, int drop)
{
	/* a rule's sample is the packet's: it isn't counted down for twice */
	if (packet->sample_interval)
		interval = packet->sample_interval;
	else if (!moat_sample_due(count, drop, interval))
		interval = 0;
	if (interval)
		gate_sample_send(ctx, packet, interval);
}

/* Judges and counts a frame. What passes goes to the kernel or, of a wire, to the other port. */
MOAT_INLINE int gate_frame(struct xdp_md *ctx, int is_wire)
{
	__u32 cpu = moat_machine_cpu(), frame;
	struct moat_gate_counters *count = gate_counters(cpu);
	const volatile struct moat_gate_ctl *control = gate_ctl();
	struct gate_packet *packet = gate_packet_of(cpu);
	int drop;

	switch (gate_judge_plain(ctx, cpu, count, control, is_wire)) {
	case GATE_PLAIN_DROPPED:
		return XDP_DROP;
	case GATE_PLAIN_PASSED:
		return gate_forward(ctx);
	default:
		break;
	}
	/* the rest is set by the stage that uses it */
	packet->rule_id = 0;
	packet->sample_interval = 0;
	packet->expired = 0;
	packet->errors = 0;
	packet->challenge = MOAT_CHALLENGE_UNASKED;
	packet->cpu = cpu;
	packet->half = control->force.active;
	packet->now = moat_machine_ticks();

	packet->parse = gate_parse(ctx, &packet->headers, &frame);
	gate_challenge_read_ack(ctx, &packet->headers);
	gate_judge(packet, control);
	if (is_wire && !gate_is_drop(packet->reason) && packet->reason != MOAT_REASON_REDIRECT_RULE &&
	    packet->reason != MOAT_REASON_TX_CHALLENGE)
		packet->reason = steer_to_peer();
	drop = gate_is_drop(packet->reason);

	moat_count_packet(count, packet->reason, frame);
	gate_count_cells(&packet->headers, cpu, packet->now >> window_shift, control,
			 drop || packet->reason == MOAT_REASON_TX_CHALLENGE, &packet->errors);
	if (port_stages & MOAT_STAGE_SAMPLE)
		gate_sample(ctx, packet, count, drop ? control->sample_drop : control->sample_pass,
			    drop);
	if (packet->expired | packet->errors) {
		count->rules_expired += packet->expired;
		count->helper_errors += packet->errors;
	}
	if (drop)
		return XDP_DROP;
	if (packet->reason == MOAT_REASON_TX_CHALLENGE)
		return gate_challenge_answer(ctx, &packet->headers, packet->cookie) ? XDP_TX
										    : XDP_DROP;
	if (is_wire || packet->reason == MOAT_REASON_REDIRECT_RULE)
		return XDP_REDIRECT;
	return gate_forward(ctx);
}

SEC("moat_gate")
int gate(struct xdp_md *ctx)
{
	return gate_frame(ctx, 0);
}

SEC("moat_gate")
int steer(struct xdp_md *ctx)
{
	struct moat_gate_counters *count = gate_counters(moat_machine_cpu());
	__u32 frame = bpf_xdp_get_buff_len(ctx);

	if (steer_to_worker(ctx, frame) == XDP_REDIRECT) {
		moat_count_packet(count, MOAT_REASON_REDIRECT_XSK, frame);
		return XDP_REDIRECT;
	}
	if (wire_fail == MOAT_FAIL_OPEN && steer_can_redirect(ctx, frame))
		return gate_frame(ctx, 1);
	if (wire_fail == MOAT_FAIL_CLOSED) {
		moat_count_packet(count, MOAT_REASON_DROP_NO_XSK, frame);
		return XDP_DROP;
	}
	moat_count_packet(count, MOAT_REASON_PASS_NO_XSK, frame);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
