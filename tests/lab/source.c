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
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

/* IP_BIND_ADDRESS_NO_PORT leaves the port to connect(), so that ports don't run out at 28,000 connections. */
static void bind_to_random_source(int fd)
{
	struct sockaddr_in source = { .sin_family = AF_INET };
	const char *range = getenv("MOAT_LAB_SOURCES");
	const char *plus = range ? strchr(range, '+') : NULL;
	char first[INET_ADDRSTRLEN] = "";
	unsigned int random = 0;
	unsigned long count;
	int on = 1;

	if (!plus || (size_t)(plus - range) >= sizeof(first))
		return;
	memcpy(first, range, (size_t)(plus - range));
	count = strtoul(plus + 1, NULL, 10);
	if (count == 0 || count > 65536)
		return;
	if (inet_pton(AF_INET, first, &source.sin_addr) != 1)
		return;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return;
	source.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) +
				       (unsigned int)(random % count));
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
