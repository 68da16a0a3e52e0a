/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is done with sockets. */
#ifndef MOAT_EVENT_NET_H
#define MOAT_EVENT_NET_H

#include "moat/event.h"

/* struct moat_event_net each; what call.values hold, and the text, stand behind */
enum moat_event_net_type {
	MOAT_EVENT_NET_SOCKET = 64,  /* socket(2), socketpair(2) */
	MOAT_EVENT_NET_BIND = 65,    /* text: a Unix socket's path */
	MOAT_EVENT_NET_LISTEN = 66,  /* backlog; text likewise */
	MOAT_EVENT_NET_CONNECT = 67, /* text likewise */
	MOAT_EVENT_NET_ACCEPT = 68,  /* text likewise, of the listening one */
	MOAT_EVENT_NET_STATE = 69, /* TCP: the state before and the state now; the actor may be another */
	MOAT_EVENT_NET_DNS = 70, /* a query: type and class; text: the name as in the packet (RFC 1035) */
	MOAT_EVENT_NET_END,
};

#define MOAT_NET_TEXT_LEN 264 /* a question (RFC 1035, 4.1.2) and a Unix socket's path fit */

enum moat_net_flag {
	MOAT_NET_REMOTE_GIVEN = 1, /* `remote` is what the call was given, not what the socket has */
	MOAT_NET_ACTOR_UNKNOWN = 2, /* the kernel acted on its own, for a socket nobody has taken yet */
	MOAT_NET_ENDED = 4,         /* the counts are those of the connection's whole life */
	MOAT_NET_ABSTRACT = 8,      /* a Unix socket's name that is no file */
};

struct moat_event_net {
	struct moat_event head;
	struct moat_call call;
	__u64 cookie;         /* of the socket (SO_COOKIE); 0: it has none yet */
	__u64 inode;          /* as of /proc/net; 0: none */
	__u64 sent, received; /* TCP: bytes of payload */
	struct moat_addr local, remote;
	__u16 local_port, remote_port; /* host's byte order */
	__u16 family;                  /* AF_… */
	__u16 type;                    /* SOCK_… */
	__u16 protocol;                /* IPPROTO_… */
	__u16 flags;                   /* enum moat_net_flag */
	__u16 text_len;
	__u16 reserved;
	char text[MOAT_NET_TEXT_LEN];
};

#endif
