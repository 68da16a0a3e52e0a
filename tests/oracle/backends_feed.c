/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See backends.h: ports of memory and sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/base/cleanup.h"
#include "tests/oracle/backends.h"

#define WORKER_SIDE "moat-w"
#define FAR_SIDE "moat-c"
#define VLAN_LEN 4

/* ---- in memory -------------------------------------------------------------------------------- */

static int dummy_open(struct backend *backend, const struct recording *recording,
		      struct moat_port **ret_port, struct moat_error *error)
{
	struct moat_packet *packets = calloc(recording->frame_count, sizeof(*packets));
	struct moat_port_dummy_options options = { .frames = packets,
						   .frame_count = recording->frame_count,
						   .repeat = 1,
						   .keep = recording->frame_count };

	if (!packets)
		return moat_error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < recording->frame_count; i++)
		packets[i] = (struct moat_packet){ .data = recording->frames[i].data,
						   .captured = recording->frames[i].length,
						   .length = recording->frames[i].length };
	backend->data = packets;
	return moat_port_dummy_open(&options, ret_port, error);
}

static void dummy_close(struct backend *backend)
{
	free(backend->data);
}

struct backend backend_dummy = { .name = "dummy", .open = dummy_open, .close = dummy_close };

/* ---- a veth ----------------------------------------------------------------------------------- */

static bool ip_command(const char *const *words)
{
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, "ip", NULL, NULL, (char *const *)words, environ) != 0)
		return false;
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* In the test's own namespace, which goes with the process. No neighbour discovery: only the test's frames. */
bool backends_veth_up(void)
{
	static const char *const add[] = { "ip",   "link", "add",  WORKER_SIDE, "type",
					   "veth", "peer", "name", FAR_SIDE,    NULL };
	static const char *const quiet[][9] = {
		{ "ip", "link", "set", WORKER_SIDE, "addrgenmode", "none", "up", NULL },
		{ "ip", "link", "set", FAR_SIDE, "addrgenmode", "none", "up", NULL },
	};

	return ip_command(add) && ip_command(quiet[0]) && ip_command(quiet[1]);
}

/* A socket on the far side: it sends what the port is to receive, and sees what the port sends. */
int backends_veth_socket(void)
{
	const struct sockaddr_ll address = { .sll_family = AF_PACKET,
					     .sll_protocol = htons(ETH_P_ALL),
					     .sll_ifindex = (int)if_nametoindex(FAR_SIDE) };
	const int on = 1, room = 8 << 20;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));

	if (fd < 0 || bind(fd, (const void *)&address, sizeof(address)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		return -errno;
	return fd;
}

bool backends_veth_feed(struct backend *backend, const struct recorded *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (send(backend->fd, frames[i].data, frames[i].length, 0) !=
		    (ssize_t)frames[i].length) {
			fprintf(stderr, "%s: frame of %u bytes: %s\n", backend->name,
				frames[i].length, strerror(errno));
			return false;
		}
	}
	return true;
}

/* The kernel takes the outer VLAN tag out of a frame before sockets see it, and tells it apart. */
static size_t put_tag_back(struct msghdr *message, uint8_t *buffer, size_t length)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		const struct tpacket_auxdata *aux = (const void *)CMSG_DATA(c);
		uint16_t tag[2];

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
		    !(aux->tp_status & TP_STATUS_VLAN_VALID))
			continue;
		tag[0] = htons(aux->tp_vlan_tpid);
		tag[1] = htons(aux->tp_vlan_tci);
		memmove(buffer + 12 + VLAN_LEN, buffer + 12, length - 12);
		memcpy(buffer + 12, tag, VLAN_LEN);
		return length + VLAN_LEN;
	}
	return length;
}

size_t backends_veth_take(struct backend *backend, uint8_t *buffer, size_t size)
{
	_Alignas(struct cmsghdr) char control[128];
	struct iovec part = { buffer, size - VLAN_LEN };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t length = recvmsg(backend->fd, &message, 0);

	return length > 0 ? put_tag_back(&message, buffer, (size_t)length) : 0;
}

/* ---- AF_XDP ----------------------------------------------------------------------------------- */

/* return bpf_redirect_map(&xsks, 0, XDP_DROP): what the gate does of a wire's port whose worker lives. */
static int attach_redirect(int map_fd)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_LD | BPF_IMM | BPF_DW,
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map_fd },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_DROP },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	moat_auto_close int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "test_xsk", "GPL", instructions,
					       MOAT_ARRAY_SIZE(instructions), NULL);

	return fd < 0 ? fd
		      : bpf_xdp_attach((int)if_nametoindex(WORKER_SIDE), fd, XDP_FLAGS_DRV_MODE,
				       NULL);
}

static int afxdp_open(struct backend *backend, const struct recording *recording,
		      struct moat_port **ret_port, struct moat_error *error)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	moat_auto_close int map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "test_xsks", 4, 4, 4, NULL);
	const struct moat_port_afxdp_options options = { .interface = WORKER_SIDE,
							 .xsks_fd = map,
							 .alone = true };
	int r = map < 0 ? map : attach_redirect(map);

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (r < 0)
		return moat_error_set(error, r, "a program on " WORKER_SIDE ": %s", strerror(-r));
	backend->fd = backends_veth_socket();
	return backend->fd < 0 ? backend->fd : moat_port_afxdp_open(&options, ret_port, error);
}

static void afxdp_close(struct backend *backend)
{
	bpf_xdp_detach((int)if_nametoindex(WORKER_SIDE), XDP_FLAGS_DRV_MODE, NULL);
	close(backend->fd);
}

struct backend backend_afxdp = { .name = "afxdp",
				 .open = afxdp_open,
				 .feed = backends_veth_feed,
				 .take = backends_veth_take,
				 .close = afxdp_close };
