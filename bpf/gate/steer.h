/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wire and mirror ports: whose frames are a worker's, and what becomes of them without it.
 *
 * A worker that is there has a socket in the map and writes its pulse once a loop, at least every 20 ms.
 * Where either is missing, a frame of a wire is judged here, as a gateway port's is, and what passes goes
 * out of the wire's other port (fail: open); or all of it is dropped and counted (fail: closed). A mirror
 * has nowhere to send to: its frames go to the kernel.
 */
#ifndef MOAT_GATE_STEER_H
#define MOAT_GATE_STEER_H

#include "gate/maps.h"
#include "machine.h"

const volatile __u32 pulse_ticks = 0;      /* jiffies after which a pulse is too old */
const volatile __u32 socket_frame_max = 0; /* longer frames don't fit a socket's buffer */
const volatile __u32 redirects_pieces = 0; /* since 6.3 the kernel redirects frames in pieces */
const volatile __u32 wire_fail = MOAT_FAIL_KERNEL; /* enum moat_gate_fail */

MOAT_ARRAY(pulses, struct moat_gate_pulses, 1); /* of this port */

/* The other port of the wire: one element. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} wire_peer SEC(".maps");

/* What a socket takes: one buffer, or if it said so several. */
MOAT_INLINE int steer_fits(struct xdp_md *ctx, const volatile struct moat_gate_pulse *beat,
			   __u32 frame)
{
	__u32 longest = beat->frame_max;

	if (longest)
		return frame <= longest;
	/* before 6.6 a frame in pieces can't be redirected to a socket, however short it is */
	return frame <= socket_frame_max && ctx->data_end - ctx->data == frame;
}

/* XDP_REDIRECT if the frame is its worker's now. */
MOAT_INLINE int steer_to_worker(struct xdp_md *ctx, __u32 frame)
{
	const volatile struct moat_gate_pulses *beats = moat_map_element(pulses, 0);
	__u32 queue = ctx->rx_queue_index;

	if (!beats || queue >= MOAT_GATE_QUEUES_MAX ||
	    !steer_fits(ctx, &beats->queues[queue], frame))
		return XDP_PASS;
	/* the worker's clock may be a tick ahead */
	if ((__s64)(moat_machine_ticks() - beats->queues[queue].jiffies) > (__s64)pulse_ticks)
		return XDP_PASS;
	/* XDP_PASS is what it returns if the queue has no socket */
	return bpf_redirect_map(&xsks, queue, XDP_PASS);
}

/* Whether the kernel can send the frame out of another port. */
MOAT_INLINE int steer_can_redirect(struct xdp_md *ctx, __u32 frame)
{
	return redirects_pieces || ctx->data_end - ctx->data == frame;
}

/* What becomes of a passing frame that no worker takes. */
MOAT_INLINE enum moat_reason steer_to_peer(void)
{
	if (bpf_redirect_map(&wire_peer, 0, XDP_DROP) == XDP_REDIRECT)
		return MOAT_REASON_REDIRECT_BYPASS;
	return MOAT_REASON_DROP_NO_PEER;
}

#endif
