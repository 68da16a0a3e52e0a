/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Traffic control, of which others are users too: our filter has a handle of its own, is found by it and
 * never stands in another's way; the qdisc is only removed when nothing is left in it.
 */
#include "dataplane/gate_egress_tc.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <bpf/libbpf.h>

#define RECEIVE_BYTES 32768

/* True if our filter stands at a priority. */
static bool is_ours(struct bpf_tc_hook *hook, uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = MOAT_EGRESS_HANDLE, .priority = priority);

	return bpf_tc_query(hook, &opts) == 0;
}

/* 0 if we have none. */
static uint32_t priority_of(struct bpf_tc_hook *hook)
{
	for (uint32_t priority = 1; priority <= MOAT_EGRESS_PRIORITIES; priority++) {
		if (is_ours(hook, priority))
			return priority;
	}
	return 0;
}

int moat_egress_tc_attach(int ifindex, int prog_fd, uint32_t *ret_priority, bool *ret_made)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	int r = bpf_tc_hook_create(&hook);
	uint32_t before;
	bool made = r == 0;

	if (r < 0 && r != -EEXIST)
		return r;
	before = made ? 0 : priority_of(&hook);
	r = -EEXIST;
	for (uint32_t i = 1; r < 0 && i <= MOAT_EGRESS_PRIORITIES; i++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = MOAT_EGRESS_HANDLE,
			    .priority = before ? before : i, .prog_fd = prog_fd,
			    .flags = before ? BPF_TC_F_REPLACE : 0);

		r = bpf_tc_attach(&hook, &opts);
		if (r == 0)
			*ret_priority = opts.priority;
	}
	if (r == 0)
		*ret_made = made;
	else if (made)
		moat_egress_tc_detach(ifindex, true);
	return r;
}

/* ---- is anybody else there? -------------------------------------------------------------------- */

static int count_filter(const struct nlmsghdr *header, void *data)
{
	int *count = data;

	*count += header->nlmsg_type == RTM_NEWTFILTER;
	return MNL_CB_OK;
}

/* Filters of one side of the qdisc, or a negative errno. */
static int count_filters(struct mnl_socket *socket, int ifindex, uint32_t parent)
{
	char buffer[RECEIVE_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct tcmsg *filter;
	int count = 0, r = MNL_CB_OK;

	header->nlmsg_type = RTM_GETTFILTER;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	filter = mnl_nlmsg_put_extra_header(header, sizeof(*filter));
	filter->tcm_family = AF_UNSPEC;
	filter->tcm_ifindex = ifindex;
	filter->tcm_parent = parent;
	if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
		return -errno;
	while (r == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buffer, (size_t)n, 0, 0, count_filter, &count);
	}
	return r < 0 ? -errno : count;
}

/* What can't be asked for counts as used. */
static bool is_unused(int ifindex)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	bool unused;

	if (!socket)
		return false;
	unused = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
		 count_filters(socket, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)) == 0 &&
		 count_filters(socket, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)) == 0;
	mnl_socket_close(socket);
	return unused;
}

void moat_egress_tc_detach(int ifindex, bool qdisc)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	uint32_t priority;

	/* once, unless somebody copied it */
	while ((priority = priority_of(&hook)) != 0) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = MOAT_EGRESS_HANDLE, .priority = priority);

		if (bpf_tc_detach(&hook, &opts) < 0)
			break;
	}
	if (!qdisc || !is_unused(ifindex))
		return;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	bpf_tc_hook_destroy(&hook);
}
