/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One rtnetlink socket for the events and for asking; libmnl takes the messages apart. */
#include "dataplane/links.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/cleanup.h"

/* A dump's messages come in pieces as large as the reader takes, up to this (netlink_dump). */
#define RECEIVE_BYTES 32768
/* The answer to a question is in the kernel already. */
#define ANSWER_MS 2000

struct moat_links {
	struct mnl_socket *socket;
	struct moat_link *rows;
	size_t count, capacity;
	uint32_t asking; /* numbers the questions; also their sequence number */
	bool changed;
	struct moat_links_counters counters;
	char buffer[RECEIVE_BYTES];
};

/* ---- the table --------------------------------------------------------------------------------- */

static struct moat_link *row_of(struct moat_links *links, int ifindex)
{
	for (size_t i = 0; i < links->count; i++) {
		if (links->rows[i].ifindex == ifindex)
			return &links->rows[i];
	}
	return NULL;
}

static int put(struct moat_links *links, const struct moat_link *link)
{
	struct moat_link *row = row_of(links, link->ifindex);

	if (!row) {
		if (links->count == links->capacity) {
			size_t capacity = links->capacity ? 2 * links->capacity : 16;
			struct moat_link *rows = reallocarray(links->rows, capacity, sizeof(*rows));

			if (!rows)
				return -ENOMEM;
			links->rows = rows;
			links->capacity = capacity;
		}
		row = &links->rows[links->count++];
		links->counters.appeared++;
		links->changed = true;
	} else if (strcmp(row->name, link->name) != 0 || row->mtu != link->mtu ||
		   row->flags != link->flags || memcmp(row->mac, link->mac, sizeof(row->mac)) != 0) {
		links->changed = true;
	}
	*row = *link;
	return 0;
}

static void take_out(struct moat_links *links, int ifindex)
{
	struct moat_link *row = row_of(links, ifindex);

	if (!row)
		return;
	*row = links->rows[--links->count];
	links->counters.vanished++;
	links->changed = true;
}

/* What a whole answer didn't name has gone without an event. */
static void take_out_unseen(struct moat_links *links)
{
	for (size_t i = links->count; i-- > 0;) {
		if (links->rows[i].seen != links->asking)
			take_out(links, links->rows[i].ifindex);
	}
}

/* ---- messages ---------------------------------------------------------------------------------- */

static int on_attribute(const struct nlattr *attribute, void *data)
{
	struct moat_link *link = data;

	switch (mnl_attr_get_type(attribute)) {
	case IFLA_IFNAME:
		if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) < 0)
			return MNL_CB_ERROR;
		snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(attribute));
		break;
	case IFLA_MTU:
		if (mnl_attr_validate(attribute, MNL_TYPE_U32) < 0)
			return MNL_CB_ERROR;
		link->mtu = mnl_attr_get_u32(attribute);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attribute) == sizeof(link->mac))
			memcpy(link->mac, mnl_attr_get_payload(attribute), sizeof(link->mac));
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int on_message(const struct nlmsghdr *header, void *data)
{
	struct moat_links *links = data;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	struct moat_link link = { .seen = links->asking };

	if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK)
		return MNL_CB_OK;
	/* a bridge tells of its ports under its own family: leaving a bridge is no end */
	if (mnl_nlmsg_get_payload_len(header) < sizeof(*info) || info->ifi_family != AF_UNSPEC)
		return MNL_CB_OK;
	if (header->nlmsg_type == RTM_DELLINK) {
		take_out(links, info->ifi_index);
		return MNL_CB_OK;
	}
	link.ifindex = info->ifi_index;
	link.flags = info->ifi_flags;
	if (mnl_attr_parse(header, sizeof(*info), on_attribute, &link) < 0 || !link.name[0])
		return MNL_CB_OK;
	if (put(links, &link) < 0) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

/* One piece: MNL_CB_STOP at an answer's end, MNL_CB_OK, or a negative errno. An event has the sequence
 * number 0, an answer that of its question: both are welcome at any time. */
static int receive(struct moat_links *links)
{
	ssize_t n = mnl_socket_recvfrom(links->socket, links->buffer, sizeof(links->buffer));
	int r;

	if (n < 0)
		return -errno;
	r = mnl_cb_run(links->buffer, (size_t)n, 0, 0, on_message, links);
	return r < 0 ? -errno : r;
}

static int wait_readable(const struct moat_links *links)
{
	struct pollfd fd = { .fd = mnl_socket_get_fd(links->socket), .events = POLLIN };
	int r;

	do {
		r = poll(&fd, 1, ANSWER_MS);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

static int ask(struct moat_links *links)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(links->buffer);
	struct ifinfomsg *info;

	header->nlmsg_type = RTM_GETLINK;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nlmsg_seq = ++links->asking;
	info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	return mnl_socket_sendto(links->socket, header, header->nlmsg_len) < 0 ? -errno : 0;
}

/* Takes an answer to its end, with the events that come between; *overrun if some of these were lost. */
static int take_answer(struct moat_links *links, bool *overrun)
{
	int r;

	do {
		r = wait_readable(links);
		if (r == 0)
			r = receive(links);
		if (r == -ENOBUFS) {
			links->counters.overruns++;
			*overrun = true;
		}
	} while (r == MNL_CB_OK || r == -ENOBUFS || r == -EAGAIN || r == -EINTR);
	return r < 0 ? r : 0;
}

/* Asks for everything; again, where events were lost meanwhile: what they said is in the next answer. */
static int ask_anew(struct moat_links *links)
{
	bool overrun = true;
	int r = 0;

	while (r == 0 && overrun) {
		overrun = false;
		r = ask(links);
		if (r == 0)
			r = take_answer(links, &overrun);
	}
	if (r == 0)
		take_out_unseen(links);
	return r;
}

/* ---- the interface ----------------------------------------------------------------------------- */

int moat_links_new(struct moat_links **ret_links, struct moat_error *error)
{
	struct moat_links *links = calloc(1, sizeof(*links));
	int r = 0;

	if (!links)
		return moat_error_set(error, -ENOMEM, "out of memory");
	links->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!links->socket || mnl_socket_bind(links->socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0)
		r = -errno;
	if (r == 0)
		r = ask_anew(links);
	if (r < 0) {
		moat_links_free(links);
		return moat_error_set(error, r, "watching the interfaces (rtnetlink): %s",
				      strerror(-r));
	}
	links->counters = (struct moat_links_counters){ 0 };
	*ret_links = links;
	return 0;
}

void moat_links_free(struct moat_links *links)
{
	if (!links)
		return;
	if (links->socket)
		mnl_socket_close(links->socket);
	free(links->rows);
	free(links);
}

int moat_links_fd(const struct moat_links *links)
{
	return mnl_socket_get_fd(links->socket);
}

int moat_links_update(struct moat_links *links)
{
	int r = 0;

	links->changed = false;
	while (r >= 0)
		r = receive(links);
	if (r == -ENOBUFS) {
		links->counters.overruns++;
		r = ask_anew(links);
	}
	if (r < 0 && r != -EAGAIN && r != -EINTR)
		return r;
	return links->changed;
}

const struct moat_link *moat_links_all(const struct moat_links *links, size_t *ret_count)
{
	*ret_count = links->count;
	return links->rows;
}

const struct moat_link *moat_links_find(const struct moat_links *links, const char *name)
{
	for (size_t i = 0; i < links->count; i++) {
		if (strcmp(links->rows[i].name, name) == 0)
			return &links->rows[i];
	}
	return NULL;
}

void moat_links_counters(const struct moat_links *links, struct moat_links_counters *ret_counters)
{
	*ret_counters = links->counters;
}
