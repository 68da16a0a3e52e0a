/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See canary.h: sockets of its own, that nobody else can reach: without a name, or on the loopback
 * interface. */
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/sidecar/canary.h"
#include "dataplane/base/cleanup.h"

#define DNS_PORT 53

void moat_canary_socket(const struct moat_canary *canary)
{
	/* refused, or never used */
	moat_auto_close int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

/* Bound to a name that the kernel chooses (unix(7), autobind). */
static int bound(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(sa_family_t)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void moat_canary_bind(const struct moat_canary *canary)
{
	moat_auto_close int fd = bound();
}

void moat_canary_listen(const struct moat_canary *canary)
{
	moat_auto_close int fd = bound();

	if (fd >= 0)
		listen(fd, 1);
}

/* Connects to a socket of this process, and takes the connection in. */
void moat_canary_connect(const struct moat_canary *canary)
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address);
	moat_auto_close int listener = bound();
	moat_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	moat_auto_close int accepted = -1;

	if (listener < 0 || fd < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&address, length) == 0)
		accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	(void)accepted; /* closed, that is all */
}

void moat_canary_state(const struct moat_canary *canary)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	socklen_t length = sizeof(address);
	moat_auto_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	moat_auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || fd < 0 ||
	    bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&address, length) < 0)
		return;
}

/* A question for the root's addresses, to this machine alone: it has no name in it. */
void moat_canary_dns(const struct moat_canary *canary)
{
	static const unsigned char query[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1 };
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons(DNS_PORT),
	};
	moat_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		sendto(fd, query, sizeof(query), MSG_DONTWAIT, (const struct sockaddr *)&address,
		       sizeof(address));
}
