/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lets a real client program (wrk) speak from many addresses: an LD_PRELOAD library that binds each unbound
 * IPv4 socket to a random address of MOAT_LAB_SOURCES="FIRST+COUNT" before it connects.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

/* IP_BIND_ADDRESS_NO_PORT leaves the port to connect(), so that ports don't run out at 28,000 connections. */
static void bind_to_random_source(int fd)
{
	struct sockaddr_in source = { .sin_family = AF_INET };
	const char *range = getenv("MOAT_LAB_SOURCES");
	char first[INET_ADDRSTRLEN] = "";
	unsigned int count = 0, random = 0;
	int on = 1;

	if (!range || sscanf(range, "%15[0-9.]+%u", first, &count) != 2 || count == 0)
		return;
	if (inet_pton(AF_INET, first, &source.sin_addr) != 1)
		return;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return;
	source.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) + random % count);
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0)
		perror("lab-source");
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	static int (*real_connect)(int, const struct sockaddr *, socklen_t);
	int saved = errno;

	if (!real_connect)
		real_connect = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT,
										       "connect");
	if (!real_connect) {
		errno = ENOSYS;
		return -1;
	}
	if (address && address->sa_family == AF_INET)
		bind_to_random_source(fd);
	errno = saved;
	return real_connect(fd, address, length);
}
