/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One capture file, pcap or pcapng, packet by packet with one packet looked ahead: what
 * dataplane/port_pcap.c merges. */
#ifndef MOAT_DATAPLANE_CAPTURE_H
#define MOAT_DATAPLANE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/port.h"

/* Bytes of a frame that are kept at most, its Ethernet header included: the longest IP datagram. */
#define MOAT_CAPTURE_FRAME_MAX (65535 + 14 + 8)

struct moat_capture;

/* Opens a file and reads its first packet. Link types: Ethernet, raw IP, Linux cooked v1 and v2, BSD
 * loopback; the latter get an Ethernet header with made-up addresses. -ENOENT, -EACCES and the like:
 * can't be opened; -EINVAL: empty, not a capture, cut off in its header or first packet, of another link
 * type. The sentence in *error begins with the path. */
int moat_capture_open(const char *path, struct moat_capture **ret_capture, struct moat_error *error);
/* NULL is allowed. */
void moat_capture_close(struct moat_capture *capture);

/* The time of the next packet (ns since the epoch, >= 1); false at the end. */
bool moat_capture_peek(const struct moat_capture *capture, uint64_t *ret_time_ns);

/* Copies the next packet to packet->data, which has room for MOAT_CAPTURE_FRAME_MAX bytes, sets the other
 * fields and reads ahead. Only after a peek that was true. */
void moat_capture_take(struct moat_capture *capture, struct moat_packet *packet);

/* True if the file ended before its last packet did. */
bool moat_capture_broke(const struct moat_capture *capture);

/* Adds the bytes read so far and the size of the file. */
void moat_capture_position(const struct moat_capture *capture, uint64_t *read, uint64_t *size);

#endif
