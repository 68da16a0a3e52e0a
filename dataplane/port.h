/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A port: where a worker's packets come from and go to. Backends: afxdp, dpdk, pcap, dummy, each an ops
 * table; one moat_port is one queue of one port. Its receiving half belongs to one worker thread;
 * its sending half to the thread that calls tx, which on a wire is the peer's.
 */
#ifndef MOAT_DATAPLANE_PORT_H
#define MOAT_DATAPLANE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "moat/packet.h"

#define MOAT_BURST 64

/* A packet of a burst. `data` belongs to the port and stays valid until the burst is given back. */
struct moat_packet {
	uint8_t *data;
	uint32_t captured; /* bytes at data */
	uint32_t length;   /* bytes on the wire, >= captured */
	uint64_t time_ns;  /* capture time (pcap: of the capture, since the epoch), else 0: now */
	uint64_t cookie;   /* the backend's: buffer address or descriptor */
};

/* What happened at a port's queue, by its one writer; readers tolerate values that are a burst old.
 * received = consumed by the worker; the worker accounts for each of those under one reason. */
struct moat_port_counters {
	struct moat_counter received;
	struct moat_counter sent;
	uint64_t rx_ring_full; /* dropped by the kernel or device before we saw them */
	uint64_t rx_no_buffer;
	uint64_t rx_invalid;
	uint64_t tx_ring_full;  /* refused by the peer's ring: dropped, counted by the worker too */
	uint64_t tx_errors;     /* accepted, and then not sent by the device */
	uint64_t redistributed; /* received on this queue for another's worker, and handed to it */
	uint64_t wakeups;
	struct moat_counter replies; /* frames sent by reply, by the receiving thread; not in `sent` */
};

void moat_port_counters_add(struct moat_port_counters *sum, const struct moat_port_counters *part);

enum moat_port_result {
	MOAT_PORT_END = 1, /* the source is exhausted (pcap): no packet will come any more */
};

struct moat_port;

struct moat_port_ops {
	const char *name;

	/* Opens one queue as `options` of the backend say (passed by its own constructor). */
	void (*close)(struct moat_port *port); /* frees everything, also of a half-opened port */

	/* Fills up to `max` (<= MOAT_BURST) packets. The number, MOAT_PORT_END as -ENODATA, or a negative
	 * errno that means the port is lost. Never blocks. The burst is the caller's until `release`. */
	int (*rx)(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max);

	/* Gives a received burst back without sending it. */
	void (*release)(struct moat_port *port, const struct moat_packet *burst, unsigned int count);

	/* Sends packets received from `from` (the same port or its wire peer, which may share memory) and
	 * gives them back to it; those not accepted are dropped, counted in tx_ring_full, and given back
	 * too. Returns how many were accepted. Null: the port can't send. */
	unsigned int (*tx)(struct moat_port *port, struct moat_port *from,
			   const struct moat_packet *burst, unsigned int count);

	/* Sends a copy of a frame out of the port, by the thread that receives from it: the answer to
	 * what came in, few and short. False if it couldn't. Null: the port can't. */
	bool (*reply)(struct moat_port *port, const uint8_t *data, uint32_t length);

	/* Waits until a packet may be there or `timeout_ms` has passed; false on timeout. Null: never waits. */
	bool (*wait)(struct moat_port *port, int timeout_ms);

	/* Whether the link is up. Null: unknown, taken for up. Any thread. */
	bool (*link)(const struct moat_port *port);

	/* Adds what only the device knows (ring full, no buffer) to the counters. Null: nothing. */
	void (*refresh)(struct moat_port *port, struct moat_port_counters *counters);
};

/* The head of every backend's own struct. */
struct moat_port {
	const struct moat_port_ops *ops;
	char name[64]; /* "eth0/3", "file.pcap" */
	struct moat_port_counters counters;
};

/* Thin wrappers that count. */
int moat_port_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max);
unsigned int moat_port_tx(struct moat_port *port, struct moat_port *from,
			  const struct moat_packet *burst, unsigned int count);
void moat_port_release(struct moat_port *port, const struct moat_packet *burst, unsigned int count);
bool moat_port_reply(struct moat_port *port, const uint8_t *data, uint32_t length);
bool moat_port_link(const struct moat_port *port);
bool moat_port_wait(struct moat_port *port, int timeout_ms);
void moat_port_close(struct moat_port *port);
void moat_port_close_cleanup(struct moat_port **port);

/* Captures: pcap and pcapng, any link type with Ethernet frames or raw IP (which gets a made-up Ethernet
 * header). Several files are merged by time. `realtime`: paced by their timestamps, else as fast as
 * possible. Fails before the first packet: -EINVAL with file and reason (not a capture, truncated header,
 * zero length, link type). A file that ends in the middle of a packet ends there, counted in rx_invalid. */
struct moat_port_pcap_options {
	const char *const *paths;
	size_t path_count; /* 1 to 256 */
	bool realtime;
};
int moat_port_pcap_open(const struct moat_port_pcap_options *options, struct moat_port **ret_port,
			struct moat_error *error);

/* Time covered so far and how much of the input is read, for progress: 0 to 1. */
double moat_port_pcap_progress(const struct moat_port *port);

/* In memory: rx hands out the given frames in order, `repeat` times; tx keeps the last `keep` frames for
 * tests. The frames stay the caller's and outlive the port. Or, for benches, frames of one length lie at
 * equal distances in a pool: none to begin with, until moat_port_dummy_rewind says how many. */
struct moat_port_dummy_options {
	const struct moat_packet *frames;
	size_t frame_count;
	uint64_t repeat;
	size_t keep;
	uint8_t *pool; /* in place of `frames`; NULL: none */
	size_t stride;
	uint32_t length;
};
int moat_port_dummy_open(const struct moat_port_dummy_options *options, struct moat_port **ret_port,
			 struct moat_error *error);
/* The next packets are the first `count` of the pool. After them rx returns 0: nothing for now. */
void moat_port_dummy_rewind(struct moat_port *port, size_t count);
/* The index-th frame sent (0: oldest kept). -ENOENT. */
int moat_port_dummy_sent(const struct moat_port *port, size_t index, const uint8_t **ret_data,
			 size_t *ret_length);

/* One queue of an interface through AF_XDP; the gate's program redirects to it through xsks_fd (which is
 * duplicated, not taken). Zero-copy if the driver has it, else copy. A wire is two ports that share one
 * UMEM, so that descriptors move and bytes don't: open the second with the first as its `peer`.
 * A port sends only what was received by itself or by the port it shares with; it is lost
 * (rx: -ENODEV) when its interface goes away, and waits while the interface is down.
 * -ENODEV: no such interface; -EINVAL: no such queue, frames, peer; -EBUSY: the queue has a socket already;
 * -EOPNOTSUPP: the peer is zero-copy, and this one can't be: open both with `copy`;
 * -EPERM, -ENOBUFS: privilege or locked memory; -ENOTSUP where built without libxdp. */
#define MOAT_AFXDP_FRAMES 4096u
#define MOAT_AFXDP_FRAMES_MIN 64u
#define MOAT_AFXDP_FRAMES_MAX 65536u

struct moat_port_afxdp_options {
	const char *interface;
	uint32_t queue;
	int xsks_fd;
	uint32_t frames;        /* buffers of 4,096 bytes, a power of two, 64 to 65,536; 0: 4,096 */
	bool alone;             /* no port will come as a peer of this: half the memory */
	struct moat_port *peer; /* an open port with as many frames, not alone; NULL: none */
	/* What the port with the memory asks for is its peer's, too. */
	bool multi_buffer; /* frames of several buffers, if the kernel has them (6.6); some drivers then copy */
	bool copy;                 /* never zero-copy: the peer's driver has none */
	uint32_t busy_poll_us;     /* of a call; 0: the device's interrupts */
	uint32_t busy_poll_budget; /* packets a call, 0: 64 */
};
int moat_port_afxdp_open(const struct moat_port_afxdp_options *options, struct moat_port **ret_port,
			 struct moat_error *error);

/* What the kernel agreed to. */
struct moat_port_afxdp_info {
	bool zerocopy, multi_buffer, need_wakeup, busy_poll;
	uint32_t frames;
	uint32_t frame_max; /* longer frames don't go through it */
};
void moat_port_afxdp_info(const struct moat_port *port, struct moat_port_afxdp_info *ret_info);

/* DPDK, once a process, before its first port. `arguments` are EAL options ("-l", "2", "--file-prefix=x");
 * what they leave open is decided here: nothing is left in the file system (--in-memory), and without free
 * huge pages it runs on 512 MiB of ordinary ones, slower. -ENOTSUP where built without DPDK; DPDK's own
 * errno; a failure is for good. */
struct moat_dpdk_options {
	const char *const *arguments;
	size_t argument_count;
	const char *const *devices; /* devargs of the ports to come: no other PCI device is touched */
	size_t device_count;
};
int moat_dpdk_init(const struct moat_dpdk_options *options, struct moat_error *error);
/* After the last port. */
void moat_dpdk_deinit(void);

/* One queue of a DPDK device, named by its devargs ("0000:03:00.0", "net_af_packet0,iface=eth1"). All queues
 * of a device name as many `queues`; the first that is opened starts the device with all of them, the last
 * that is closed removes it. Both directions of a flow meet on one queue: by the device's hash where it is
 * symmetric, else by handing packets on (counted). A port sends what any DPDK port received. It is lost
 * (rx: -ENODEV) when its device is removed.
 * -ENODEV: no such device; -EINVAL: no such queue, frames; -EBUSY: the queue has a port, or net_af_xdp is to
 * take an interface that has an XDP program; -ENOMEM; -ENOTSUP where built without DPDK. */
struct moat_port_dpdk_options {
	const char *device;
	uint32_t queue, queues;
	uint32_t frames;  /* of a queue, of 2,176 bytes, 512 to 2^20; 0: 8,192 */
	uint32_t idle_us; /* an idle worker sleeps so long between two looks; 0: it never sleeps */
};
int moat_port_dpdk_open(const struct moat_port_dpdk_options *options, struct moat_port **ret_port,
			struct moat_error *error);
/* Whether packets are handed on between queues. */
bool moat_port_dpdk_spreads(const struct moat_port *port);

#endif
