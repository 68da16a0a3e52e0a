/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is done with sockets: moat/event_net.h. */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/emit.h"
#include "lib/file.h"
#include "lib/syscall.h"
#include "lib/task.h"
#include "moat/event_net.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 15
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define EAGAIN 11
#define UNIX_PATH_LEN 108
#define DNS_PORT 53
#define DNS_HEAD 12
#define DNS_ANSWER 0x8000
#define MESSAGES_MAX 4 /* of one sendmmsg(2); resolvers send two */
#define SOCKETS_MAX 65536

/* Who connected or accepted: told with what the kernel does with the connection later. */
struct socket_owner {
	struct moat_process process;
	__u64 cgroup_id;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, __u64); /* cookie */
	__type(value, struct socket_owner);
} socket_owners SEC(".maps");

/* ---- sockets ------------------------------------------------------------------------------------ */

static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline void addr_v4(struct moat_addr *ret, __be32 address)
{
	ret->words[0] = ret->words[1] = 0;
	ret->words[2] = bpf_htonl(0xffff);
	ret->words[3] = address;
}

static __always_inline void net_begin(struct moat_event_net *event)
{
	__builtin_memset(&event->cookie, 0,
			 __builtin_offsetof(struct moat_event_net, text) -
				 __builtin_offsetof(struct moat_event_net, cookie));
}

static __always_inline void net_addresses(struct moat_event_net *event, struct sock *sk)
{
	if (event->family == AF_INET) {
		addr_v4(&event->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		addr_v4(&event->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else if (event->family == AF_INET6) {
		BPF_CORE_READ_INTO(&event->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&event->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		return;
	}
	event->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (!event->local_port) /* given back, of a connection that ends */
		event->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	event->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

static __always_inline void net_fill(struct moat_event_net *event, struct sock *sk,
				     struct file *file)
{
	event->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	event->type = BPF_CORE_READ(sk, sk_type);
	event->protocol = BPF_CORE_READ(sk, sk_protocol);
	event->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (file)
		event->inode = BPF_CORE_READ(file, f_inode, i_ino);
	net_addresses(event, sk);
}

/* A Unix socket's name: `length` bytes that may be no text. */
static __always_inline void take_name(struct moat_event_net *event, __u32 length)
{
	event->text_len = length;
	if (length > 0 && event->text[0] == '\0')
		event->flags |= MOAT_NET_ABSTRACT;
}

static __always_inline void unix_name(struct moat_event_net *event, struct sock *sk)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	__u64 length = address ? (__u32)BPF_CORE_READ(address, len) : 0;

	if (length <= 2)
		return;
	length -= 2; /* the family */
	asm volatile("" : "+r"(length));
	if (length > UNIX_PATH_LEN)
		length = UNIX_PATH_LEN;
	if (bpf_probe_read_kernel(event->text, length, &address->name[0].sun_path) == 0)
		take_name(event, length);
}

/* An address as a call was given it, at either end of the connection. */
static __always_inline void take_address(struct moat_event_net *event, struct moat_addr *addr,
					 __u16 *port, const struct sockaddr_in6 *given)
{
	event->family = given->sin6_family;
	if (given->sin6_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)given;

		addr_v4(addr, v4->sin_addr.s_addr);
		*port = bpf_ntohs(v4->sin_port);
	} else if (given->sin6_family == AF_INET6) {
		__builtin_memcpy(addr, &given->sin6_addr, sizeof(*addr));
		*port = bpf_ntohs(given->sin6_port);
	}
}

static __always_inline void given_address(struct moat_event_net *event, struct moat_addr *addr,
					  __u16 *port, __u64 where, __u64 length)
{
	struct sockaddr_in6 given = {};

	if (length < 2 ||
	    bpf_probe_read_user(&given, length < sizeof(given) ? length & 31 : sizeof(given),
				(void *)where) < 0)
		return;
	if (given.sin6_family != AF_UNIX) {
		take_address(event, addr, port, &given);
		return;
	}
	event->family = AF_UNIX;
	length -= 2;
	asm volatile("" : "+r"(length));
	if (length > UNIX_PATH_LEN)
		length = UNIX_PATH_LEN;
	if (length > 0 && bpf_probe_read_user(event->text, length, (void *)(where + 2)) == 0)
		take_name(event, length);
}

static __always_inline void own_socket(struct moat_event_net *event)
{
	struct socket_owner owner = {
		.process = event->head.task.self,
		.cgroup_id = event->head.task.cgroup_id,
	};

	if (event->cookie && bpf_map_update_elem(&socket_owners, &event->cookie, &owner, BPF_ANY) < 0)
		event->reserved = 0; /* LRU: there is always room */
}

static __always_inline void net_end(struct moat_emit *emit, struct moat_event_net *event, __u32 type)
{
	moat_emit_end(emit, type, MOAT_LANE_OTHER,
		      __builtin_offsetof(struct moat_event_net, text) + event->text_len);
}

/* ---- system calls ------------------------------------------------------------------------------- */

static __always_inline int wants_everything(void)
{
	__u32 zero = 0;
	struct moat_event_settings *settings = bpf_map_lookup_elem(&event_settings, &zero);

	return settings && settings->everything;
}

/* A new socket tells something if it isn't of the kinds that everybody has. */
static __always_inline int socket_is_telling(struct moat_event_net *event)
{
	__u32 type = event->type & SOCK_TYPE_MASK;

	if (event->family == AF_NETLINK)
		return 0;
	return (event->family != AF_UNIX && event->family != AF_INET && event->family != AF_INET6) ||
	       (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(net_socket_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct moat_syscall_entry *entry;
	struct moat_event_net *event;
	struct moat_emit emit;
	struct file *file;
	struct sock *sk;

	if (result == -EAGAIN && !wants_everything())
		return 0;
	if (!moat_syscall_begin(&emit, regs, result, &entry))
		return 0;
	event = (struct moat_event_net *)emit.record;
	net_begin(event);
	/* of what is made, the descriptor is the result */
	file = moat_file_of(task, entry->target == MOAT_SYSCALL_NONE
					  ? (__u64)result
					  : emit.arguments[entry->target & 7]);
	sk = sock_of(file);
	if (sk)
		net_fill(event, sk, file);
	switch (entry->type) {
	case MOAT_EVENT_NET_SOCKET:
		event->family = event->call.values[0];
		event->type = event->call.values[1] & SOCK_TYPE_MASK;
		event->protocol = event->call.values[2];
		if (!wants_everything() && !socket_is_telling(event))
			goto leave;
		break;
	case MOAT_EVENT_NET_CONNECT:
		event->flags |= MOAT_NET_REMOTE_GIVEN;
		given_address(event, &event->remote, &event->remote_port,
			      emit.arguments[entry->path[0] & 7], event->call.values[0]);
		own_socket(event);
		break;
	case MOAT_EVENT_NET_BIND:
		if (!sk || result < 0)
			given_address(event, &event->local, &event->local_port,
				      emit.arguments[entry->path[0] & 7], event->call.values[0]);
		else if (event->family == AF_UNIX)
			unix_name(event, sk);
		break;
	case MOAT_EVENT_NET_ACCEPT:
		own_socket(event);
		if (sk && event->family == AF_UNIX)
			unix_name(event, sk);
		break;
	default:
		if (sk && event->family == AF_UNIX)
			unix_name(event, sk);
		break;
	}
	if (event->family == AF_NETLINK && !wants_everything())
		goto leave; /* every look at the routes binds one */
	net_end(&emit, event, entry->type);
	return 0;
leave:
	moat_emit_leave(&emit);
	return 0;
}

/* ---- DNS ---------------------------------------------------------------------------------------- */

/* One message of a call: where its payload is, and where it goes. */
struct message {
	__u64 payload, length;
	__u64 address, address_length;
};

static __always_inline __u64 user_message(struct message *ret, __u64 where)
{
	struct user_msghdr head = {};
	struct iovec part = {};

	if (bpf_probe_read_user(&head, sizeof(head), (void *)where) < 0 ||
	    bpf_probe_read_user(&part, sizeof(part), (void *)head.msg_iov) < 0)
		return 0;
	ret->payload = (__u64)part.iov_base;
	ret->length = part.iov_len;
	ret->address = (__u64)head.msg_name;
	ret->address_length = head.msg_namelen;
	return 1;
}

/* The port that a message goes to. */
static __always_inline __u16 port_of(struct sock *sk, const struct message *message)
{
	struct sockaddr_in given = {}; /* an IPv6 one has its port there, too */

	if (message->address && message->address_length >= 4 &&
	    bpf_probe_read_user(&given, 4, (void *)message->address) == 0)
		return bpf_ntohs(given.sin_port);
	return bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

static __noinline int dns_query(struct pt_regs *regs, long result, struct file *file,
				struct message *message)
{
	struct sock *sk = sock_of(file);
	struct moat_syscall_entry *entry;
	struct moat_event_net *event;
	struct moat_emit emit;
	__u16 head[DNS_HEAD / 2] = {};
	__u64 length = message->length - DNS_HEAD;

	if (!sk || port_of(sk, message) != DNS_PORT || message->length <= DNS_HEAD ||
	    bpf_probe_read_user(head, sizeof(head), (void *)message->payload) < 0 ||
	    bpf_ntohs(head[1]) & DNS_ANSWER || head[2] == 0)
		return 0;
	if (!moat_syscall_begin(&emit, regs, result, &entry))
		return 0;
	event = (struct moat_event_net *)emit.record;
	net_begin(event);
	net_fill(event, sk, file);
	if (message->address)
		given_address(event, &event->remote, &event->remote_port, message->address,
			      message->address_length);
	event->call.values[0] = bpf_ntohs(head[0]);
	event->call.values[1] = bpf_ntohs(head[1]);
	asm volatile("" : "+r"(length));
	if (length > MOAT_NET_TEXT_LEN)
		length = MOAT_NET_TEXT_LEN;
	if (length > 0 &&
	    bpf_probe_read_user(event->text, length, (void *)(message->payload + DNS_HEAD)) == 0)
		event->text_len = length;
	net_end(&emit, event, MOAT_EVENT_NET_DNS);
	return 0;
}

/* Queries of whoever sends them over UDP: sendto(2), sendmsg(2), sendmmsg(2) by number of their values. */
SEC("tp_btf/sys_exit")
int BPF_PROG(net_dns_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 number = moat_syscall_number(regs);
	__u8 abi = moat_syscall_abi(task, number);
	struct moat_syscall_entry *entry = moat_syscall_entry(number, abi);
	struct file *file = moat_file_of(task, PT_REGS_PARM1_CORE_SYSCALL(regs));
	__u64 where = PT_REGS_PARM2_CORE_SYSCALL(regs);
	struct sock *sk = sock_of(file);
	__u32 cpu = bpf_get_smp_processor_id();
	struct moat_event_counters *counters;
	struct message message = {};

	/* messages of 32-bit tasks have another layout */
	if (!entry || !sk || result < 0 || abi != MOAT_ABI_NATIVE ||
	    BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM ||
	    BPF_CORE_READ(sk, sk_protocol) != 17 /* IPPROTO_UDP */)
		return 0;
	if (entry->constant == 0) {
		message.payload = where;
		message.length = PT_REGS_PARM3_CORE_SYSCALL(regs);
		message.address = PT_REGS_PARM5_CORE_SYSCALL(regs);
		message.address_length = MOAT_PARM6(regs);
		return dns_query(regs, result, file, &message);
	}
	if (entry->constant != 1 && result > MESSAGES_MAX) {
		counters = bpf_map_lookup_elem(&event_counters, &cpu);
		if (counters)
			__sync_fetch_and_add(&counters->cut, 1);
	}
	for (int i = 0; i < MESSAGES_MAX; i++) {
		if (i > 0 && (entry->constant == 1 || i >= result))
			break;
		if (user_message(&message, where + i * sizeof(struct mmsghdr)))
			dns_query(regs, result, file, &message);
	}
	return 0;
}

/* ---- the kernel's own --------------------------------------------------------------------------- */

static __always_inline struct moat_event_net *net_event(struct moat_emit *emit, __u32 type,
							enum moat_means means)
{
	struct moat_event_net *event;

	if (!moat_emit_begin(emit))
		return NULL;
	event = (struct moat_event_net *)emit->record;
	__builtin_memset(&event->call, 0, sizeof(event->call));
	event->call.number = ~0U;
	event->call.means = means;
	net_begin(event);
	return event;
}

/* As connect(2) and io_uring's come to their result, with the address as the kernel has it. */
SEC("fexit/__sys_connect_file")
int net_connect_fexit(__u64 *ctx)
{
	struct file *file = (struct file *)ctx[0];
	struct sock *sk = sock_of(file);
	struct sockaddr_in6 address = {};
	struct moat_event_net *event;
	struct moat_emit emit;

	if (!sk || !moat_emit_wants(MOAT_EVENT_NET_CONNECT))
		return 0;
	event = net_event(&emit, MOAT_EVENT_NET_CONNECT, MOAT_MEANS_FENTRY);
	if (!event)
		return 0;
	moat_task_fill(&event->head.task, bpf_get_current_task_btf());
	event->call.result = (int)ctx[4];
	net_fill(event, sk, file);
	event->flags |= MOAT_NET_REMOTE_GIVEN;
	bpf_probe_read_kernel(&address, sizeof(address), (void *)ctx[1]);
	take_address(event, &event->remote, &event->remote_port, &address);
	if (event->family == AF_UNIX) {
		__u64 length = (__u32)ctx[2] - 2;

		asm volatile("" : "+r"(length));
		if (length > UNIX_PATH_LEN)
			length = UNIX_PATH_LEN;
		if (length > 0 &&
		    bpf_probe_read_kernel(event->text, length, (void *)(ctx[1] + 2)) == 0)
			take_name(event, length);
	}
	own_socket(event);
	net_end(&emit, event, MOAT_EVENT_NET_CONNECT);
	return 0;
}

static __always_inline int state_is_telling(int before, int now)
{
	if (now == TCP_ESTABLISHED)
		return 1;
	return now == TCP_CLOSE && before != TCP_LISTEN;
}

/* Payload: what was sent again isn't counted, nor is the other side's FIN, which the kernel takes for a byte. */
static __always_inline void net_bytes(struct moat_event_net *event, struct tcp_sock *tcp)
{
	struct sock *sk = (struct sock *)tcp;

	event->sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	event->received = BPF_CORE_READ(tcp, bytes_received);
	if (event->received && BPF_CORE_READ(sk, __sk_common.skc_flags) & 1UL << SOCK_DONE)
		event->received--;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(net_state, struct sock *sk, int before, int now)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct task_struct *task = bpf_get_current_task_btf();
	struct moat_event_net *event;
	struct socket_owner *owner, self = {};
	struct moat_emit emit;

	if (sk->sk_protocol != 6 /* IPPROTO_TCP */)
		return 0;
	if (now == TCP_SYN_SENT) {
		moat_process_fill(&self.process, task);
		self.cgroup_id = moat_cgroup_of(task);
		bpf_map_update_elem(&socket_owners, &cookie, &self, BPF_ANY);
	}
	if ((!state_is_telling(before, now) && !wants_everything()) ||
	    !moat_emit_wants_of(MOAT_EVENT_NET_STATE))
		return 0;
	event = net_event(&emit, MOAT_EVENT_NET_STATE, MOAT_MEANS_TRACEPOINT);
	if (!event)
		return 0;
	__builtin_memset(&event->head.task, 0, sizeof(event->head.task));
	owner = bpf_map_lookup_elem(&socket_owners, &cookie);
	if (owner) {
		event->head.task.self = owner->process;
		event->head.task.cgroup_id = owner->cgroup_id;
	} else {
		event->flags |= MOAT_NET_ACTOR_UNKNOWN;
	}
	event->call.values[0] = before;
	event->call.values[1] = now;
	net_fill(event, sk, NULL);
	event->cookie = cookie;
	net_bytes(event, (struct tcp_sock *)sk);
	if (now == TCP_CLOSE) {
		event->flags |= MOAT_NET_ENDED;
		bpf_map_delete_elem(&socket_owners, &cookie);
	}
	net_end(&emit, event, MOAT_EVENT_NET_STATE);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
