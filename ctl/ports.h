/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Interfaces come and go; the configuration says which of them are ports, by name or by pattern. Here the
 * two meet: what is wanted and there is attached, what is gone is let go.
 */
#ifndef MOAT_CTL_PORTS_H
#define MOAT_CTL_PORTS_H

#include <jansson.h>
#include <systemd/sd-event.h>

#include "ctl/config.h"
#include "dataplane/links.h"

struct moat_appliance;

/* Interfaces that can't be attached and are tried again; what goes beyond is tried again and not listed. */
#define MOAT_PORTS_WAITING_MAX 32

/* One that a pattern names and that refused. */
struct moat_ports_waiting {
	int ifindex;
	char name[16];
	char why[256];
};

struct moat_ports {
	struct moat_links *links;
	sd_event_source *source;
	sd_event_source *look; /* at receive queues */
	sd_event_source *more; /* goes on with what there is to attach, when nothing else is to do */
	size_t next;           /* interface of the table */
	struct moat_ports_waiting waiting[MOAT_PORTS_WAITING_MAX];
	size_t waiting_count;
	uint32_t ticks;
	bool has_news;                       /* taken by attach, which lets nothing go */
	uint64_t attached, vanished, failed; /* since the start */
	/* of gateway ports, by the gate's index: the interface and its receive queues when it was looked at */
	struct {
		int ifindex;
		uint32_t queues;
	} seen[MOAT_PORTS_MAX];
};

/* How a port of the configuration is attached to an interface: the one place that says it. */
struct moat_gate_port_options moat_ports_options(const struct moat_config_port *port,
						 const char *interface);

/* Begins to watch interfaces. 0 or a negative errno. */
int moat_ports_open(struct moat_appliance *appliance, struct moat_error *error);
void moat_ports_close(struct moat_appliance *appliance);

/* Attaches what `config` wants of the interfaces that are there and what isn't attached alike. A port by name
 * that can't be attached is an error; one by pattern is logged, counted and tried again. */
int moat_ports_attach(struct moat_appliance *appliance, const struct moat_config *config,
		      struct moat_error *error);

/* Lets go what `wanted` doesn't name. */
void moat_ports_release(struct moat_appliance *appliance, const struct moat_config *wanted);

/* Once a second: what refused is tried again. */
void moat_ports_tick(struct moat_appliance *appliance);

/* For `moat status`. NULL without memory. */
json_t *moat_ports_status(const struct moat_appliance *appliance);

#endif
