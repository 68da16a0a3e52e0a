/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat oci-hook: hands a container's state from a runtime to moat-sidecar. Whatever goes wrong, the
 * container starts: it says so on standard error, waits for a second at most, and ends with 0. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "ctl/sidecar/hook.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define WAIT_NS (1 * MOAT_NS_PER_S)

/* Standard input up to its end: bytes, or a negative errno. */
static ssize_t read_state(char state[MOAT_HOOK_STATE_MAX])
{
	uint64_t until = moat_clock_monotonic_ns() + WAIT_NS, now;
	size_t length = 0;

	while ((now = moat_clock_monotonic_ns()) < until) {
		struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
		ssize_t n;

		if (poll(&input, 1, (int)((until - now) / MOAT_NS_PER_MS) + 1) <= 0)
			continue;
		n = read(STDIN_FILENO, state + length, MOAT_HOOK_STATE_MAX - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		length += (size_t)n;
		if (n == 0)
			return (ssize_t)length;
		if (length == MOAT_HOOK_STATE_MAX)
			return -EFBIG;
	}
	return -ETIMEDOUT;
}

static int hand_over(const char *path, const char *state, size_t length)
{
	const struct timeval limit = { .tv_usec = 999999 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	moat_auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char answer = 0;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(fd, state, length, MSG_NOSIGNAL) < 0)
		return -errno;
	/* the container goes on when the sidecar has read what it wants of it */
	if (recv(fd, &answer, sizeof(answer), 0) != sizeof(answer))
		return -ETIMEDOUT;
	return answer == 1 ? 0 : -EBADMSG;
}

int moat_cmd_oci_hook(const struct moat_cmd *cmd, struct moat_error *error)
{
	static char state[MOAT_HOOK_STATE_MAX];
	const char *path = cmd->arg_count > 0 ? cmd->args[0] : MOAT_HOOK_SOCKET_DEFAULT;
	ssize_t length = read_state(state);
	int r = length < 0 ? (int)length : hand_over(path, state, (size_t)length);

	if (r < 0)
		fprintf(stderr, "moat oci-hook: moat-sidecar isn't told (%s): %s\n", path,
			strerror(-r));
	return MOAT_EXIT_OK;
}
