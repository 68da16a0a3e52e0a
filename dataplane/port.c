/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all ports share: calls go through here, so that every backend counts alike. */
#include "dataplane/port.h"

static void count_burst(struct moat_counter *counter, const struct moat_packet *burst,
			unsigned int count)
{
	counter->packets += count;
	for (unsigned int i = 0; i < count; i++)
		counter->bytes += burst[i].length;
}

void moat_port_counters_add(struct moat_port_counters *sum, const struct moat_port_counters *part)
{
	sum->received.packets += part->received.packets;
	sum->received.bytes += part->received.bytes;
	sum->sent.packets += part->sent.packets;
	sum->sent.bytes += part->sent.bytes;
	sum->rx_ring_full += part->rx_ring_full;
	sum->rx_no_buffer += part->rx_no_buffer;
	sum->rx_invalid += part->rx_invalid;
	sum->tx_ring_full += part->tx_ring_full;
	sum->tx_errors += part->tx_errors;
	sum->redistributed += part->redistributed;
	sum->wakeups += part->wakeups;
	sum->replies.packets += part->replies.packets;
	sum->replies.bytes += part->replies.bytes;
}

int moat_port_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max)
{
	int count = port->ops->rx(port, ret_burst, max);

	if (count > 0)
		count_burst(&port->counters.received, ret_burst, (unsigned int)count);
	return count;
}

unsigned int moat_port_tx(struct moat_port *port, struct moat_port *from,
			  const struct moat_packet *burst, unsigned int count)
{
	unsigned int sent = 0;

	if (port->ops->tx)
		sent = port->ops->tx(port, from, burst, count);
	else
		moat_port_release(from, burst, count);
	count_burst(&port->counters.sent, burst, sent);
	port->counters.tx_ring_full += count - sent;
	return sent;
}

void moat_port_release(struct moat_port *port, const struct moat_packet *burst, unsigned int count)
{
	if (port->ops->release)
		port->ops->release(port, burst, count);
}

bool moat_port_reply(struct moat_port *port, const uint8_t *data, uint32_t length)
{
	if (!port->ops->reply || !port->ops->reply(port, data, length))
		return false;
	port->counters.replies.packets++;
	port->counters.replies.bytes += length;
	return true;
}

bool moat_port_link(const struct moat_port *port)
{
	return port->ops->link ? port->ops->link(port) : true;
}

bool moat_port_wait(struct moat_port *port, int timeout_ms)
{
	return port->ops->wait ? port->ops->wait(port, timeout_ms) : true;
}

void moat_port_close(struct moat_port *port)
{
	if (port)
		port->ops->close(port);
}

void moat_port_close_cleanup(struct moat_port **port)
{
	moat_port_close(*port);
}
