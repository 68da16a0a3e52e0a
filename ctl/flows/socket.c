/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/flows/socket.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/base/cleanup.h"

int moat_flow_socket(const char *what, const char *address, uint16_t port, bool is_sender,
		     struct moat_error *error)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
					.ai_socktype = SOCK_DGRAM };
	struct addrinfo *found = NULL;
	moat_auto_close int fd = -1;
	char service[8];
	int r;

	snprintf(service, sizeof(service), "%u", port);
	r = getaddrinfo(address, service, &hints, &found);
	if (r != 0)
		return moat_error_set(error, -EINVAL, "%s: %s: %s", what, address, gai_strerror(r));
	fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || (is_sender ? connect : bind)(fd, found->ai_addr, found->ai_addrlen) < 0)
		r = -errno;
	freeaddrinfo(found);
	if (r < 0)
		return moat_error_set(error, r, "%s: %s port %s: %s", what, address, service,
				      strerror(-r));
	return moat_take_fd(&fd);
}
