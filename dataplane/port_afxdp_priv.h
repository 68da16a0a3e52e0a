/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The inside of AF_XDP ports, shared by port_afxdp.c (their life) and port_afxdp_io.c (packets), by nobody
 * else. */
#ifndef MOAT_DATAPLANE_PORT_AFXDP_PRIV_H
#define MOAT_DATAPLANE_PORT_AFXDP_PRIV_H

#include <linux/if_xdp.h>
#include <xdp/xsk.h>

#include "dataplane/port_afxdp_chain.h"

/* Debian's headers are older than what the kernel may have. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* Memory that one or two ports share; the last to close frees it. */
struct afxdp_umem {
	struct xsk_umem *xsk;
	uint8_t *area;
	size_t size;
	unsigned int users;
	bool multi_buffer; /* of all sockets on it */
};

struct port_afxdp {
	struct moat_port port;
	struct afxdp_umem *umem;
	struct xsk_socket *socket;
	int fd;
	int xsks_fd;
	uint32_t queue;
	uint32_t frames;
	uint32_t ring;        /* size of the RX and TX rings */
	uint32_t first_frame; /* of ours in the UMEM */
	bool is_in_map;
	bool zerocopy;
	uint32_t busy_poll_us; /* 0: interrupts */
	uint32_t busy_poll_budget;

	/* the receiving worker's */
	_Alignas(64) struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
	struct port_afxdp *sends_on; /* the port that holds frames of ours in its TX ring */
	int lost;                    /* errno */
	int reply_fd;
	bool skips;                        /* the rest of a frame of too many buffers */
	uint8_t (*heads)[MOAT_AFXDP_HEAD]; /* one for each packet of a burst */

	/* the sending worker's */
	_Alignas(64) struct xsk_ring_prod tx;
	struct xsk_ring_cons completion;
	uint32_t outstanding; /* submitted and not yet completed */
};

extern const struct moat_port_ops moat_afxdp_ops;

/* Closes, also a half-opened port. */
void moat_afxdp_close(struct port_afxdp *port);
/* Gives all frames of the port to the kernel for reception. */
void moat_afxdp_fill_all(struct port_afxdp *port);

#endif
