/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The port in memory, for tests and benches: what comes in is given, what goes out is kept. Received
 * frames aren't copied, so that a bench measures the worker alone. */
#include "dataplane/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

struct kept_frame {
	uint8_t *data;
	size_t length;
};

struct port_dummy {
	struct moat_port port;
	const struct moat_packet *frames;
	size_t frame_count;
	size_t next;
	uint64_t repeats_left;
	struct kept_frame *kept; /* a ring of `keep`, the oldest at sent % keep once it is full */
	size_t keep;
	uint64_t sent;
	uint8_t *pool;
	size_t stride;
	uint32_t length;
};

static void dummy_close(struct moat_port *port)
{
	struct port_dummy *dummy = (struct port_dummy *)port;

	for (size_t i = 0; dummy->kept && i < dummy->keep; i++)
		free(dummy->kept[i].data);
	free(dummy->kept);
	free(dummy);
}

static int pool_rx(struct port_dummy *dummy, struct moat_packet *ret_burst, unsigned int max)
{
	size_t left = dummy->frame_count - dummy->next;
	size_t count = left < max ? left : max;
	uint8_t *data = dummy->pool + dummy->next * dummy->stride;

	for (size_t i = 0; i < count; i++, data += dummy->stride)
		ret_burst[i] = (struct moat_packet){ .data = data,
						     .captured = dummy->length,
						     .length = dummy->length };
	dummy->next += count;
	return (int)count;
}

void moat_port_dummy_rewind(struct moat_port *port, size_t count)
{
	struct port_dummy *dummy = (struct port_dummy *)port;

	dummy->frame_count = count;
	dummy->next = 0;
}

static int dummy_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max)
{
	struct port_dummy *dummy = (struct port_dummy *)port;
	size_t left = dummy->frame_count - dummy->next;
	size_t count = left < max ? left : max;

	if (dummy->pool)
		return pool_rx(dummy, ret_burst, max);
	if (dummy->repeats_left == 0)
		return -ENODATA;
	memcpy(ret_burst, dummy->frames + dummy->next, count * sizeof(*ret_burst));
	dummy->next += count;
	if (dummy->next == dummy->frame_count) {
		dummy->next = 0;
		dummy->repeats_left--;
	}
	return (int)count;
}

/* Keeps a copy; without memory for it the frame isn't accepted. */
static bool dummy_keep(struct port_dummy *dummy, const struct moat_packet *packet)
{
	struct kept_frame *slot;
	uint8_t *data;

	if (dummy->keep == 0)
		return true;
	slot = &dummy->kept[dummy->sent % dummy->keep];
	data = realloc(slot->data, packet->captured ? packet->captured : 1);
	if (!data)
		return false;
	memcpy(data, packet->data, packet->captured);
	*slot = (struct kept_frame){ data, packet->captured };
	return true;
}

static unsigned int dummy_tx(struct moat_port *port, struct moat_port *from,
			     const struct moat_packet *burst, unsigned int count)
{
	struct port_dummy *dummy = (struct port_dummy *)port;
	unsigned int sent;

	for (sent = 0; sent < count && dummy_keep(dummy, &burst[sent]); sent++)
		dummy->sent++;
	moat_port_release(from, burst, count);
	return sent;
}

static bool dummy_reply(struct moat_port *port, const uint8_t *data, uint32_t length)
{
	struct port_dummy *dummy = (struct port_dummy *)port;
	const struct moat_packet packet = { .data = (uint8_t *)data, .captured = length };

	if (!dummy_keep(dummy, &packet))
		return false;
	dummy->sent++;
	return true;
}

static const struct moat_port_ops dummy_ops = {
	.name = "dummy",
	.close = dummy_close,
	.rx = dummy_rx,
	.tx = dummy_tx,
	.reply = dummy_reply,
};

int moat_port_dummy_open(const struct moat_port_dummy_options *options, struct moat_port **ret_port,
			 struct moat_error *error)
{
	struct port_dummy *dummy = calloc(1, sizeof(*dummy));

	if (!dummy)
		return moat_error_set(error, -ENOMEM, "dummy port: out of memory");
	dummy->port.ops = &dummy_ops;
	snprintf(dummy->port.name, sizeof(dummy->port.name), "dummy");
	dummy->frames = options->frames;
	dummy->frame_count = options->frame_count;
	dummy->repeats_left = options->frame_count ? options->repeat : 0;
	dummy->keep = options->keep;
	dummy->pool = options->pool;
	dummy->stride = options->stride;
	dummy->length = options->length;
	if (options->keep) {
		dummy->kept = calloc(options->keep, sizeof(*dummy->kept));
		if (!dummy->kept) {
			dummy_close(&dummy->port);
			return moat_error_set(error, -ENOMEM, "dummy port: out of memory");
		}
	}
	*ret_port = &dummy->port;
	return 0;
}

int moat_port_dummy_sent(const struct moat_port *port, size_t index, const uint8_t **ret_data,
			 size_t *ret_length)
{
	const struct port_dummy *dummy = (const struct port_dummy *)port;
	uint64_t first = dummy->sent > dummy->keep ? dummy->sent - dummy->keep : 0;
	const struct kept_frame *slot;

	if (dummy->keep == 0 || index >= dummy->sent - first)
		return -ENOENT;
	slot = &dummy->kept[(first + index) % dummy->keep];
	*ret_data = slot->data;
	*ret_length = slot->length;
	return 0;
}
