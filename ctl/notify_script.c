/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One run of the operator's script, watched through a pidfd so that neither it nor a pipe can hold us up. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/notify_priv.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

/* How soon a stop is seen. */
#define LOOK_MS 100

/* Nothing of moatd's own: environments have been known to hold secrets. */
static char *const environment[] = {
	(char[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin" },
	(char[]){ "LC_ALL=C.UTF-8" },
	NULL,
};

/* Starts the script with `input` as its standard input and in a process group of its own, so that what it
 * starts ends with it. A negative errno, else the pid. */
static pid_t start(const char *path, const struct moat_notify_report *report, int input)
{
	char *words[] = { (char *)(uintptr_t)path, (char *)(uintptr_t)report->words[0],
			  (char *)(uintptr_t)report->words[1], (char *)(uintptr_t)report->words[2],
			  NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, every;
	pid_t pid = -1;
	int r;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	sigemptyset(&none);
	sigfillset(&every);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &every);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY,
						     0);
	if (r == 0)
		r = posix_spawn(&pid, path, &actions, &attributes, words, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r == 0 ? pid : -r;
}

static void close_now(int *fd)
{
	close(moat_take_fd(fd));
}

/* Writes what the script takes; one that doesn't read its input is nobody's fault. Returns what was written,
 * SIZE_MAX when the other end is closed. */
static size_t feed(int fd, const char *data, size_t length)
{
	ssize_t n = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return (size_t)n;
	return errno == EAGAIN || errno == EINTR ? 0 : SIZE_MAX;
}

/* Feeds until the process ends or its time is up: true if it has ended. */
static bool attend(int process, int *input, const struct moat_notify_report *report,
		   uint64_t until_ns, const atomic_bool *stop)
{
	size_t done = 0;

	while (moat_clock_monotonic_ns() < until_ns && !atomic_load(stop)) {
		struct pollfd fds[] = { { .fd = process, .events = POLLIN },
					{ .fd = *input, .events = POLLOUT } };

		if (poll(fds, MOAT_ARRAY_SIZE(fds), LOOK_MS) < 0 && errno != EINTR)
			return false;
		if (fds[0].revents)
			return true;
		if (*input >= 0 && fds[1].revents) {
			size_t n = feed(*input, report->json + done, report->length - done);

			done += n == SIZE_MAX ? 0 : n;
			if (n == SIZE_MAX || done == report->length)
				close_now(input);
		}
	}
	return false;
}

static int result_of(const char *path, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		moat_log(MOAT_LOG_WARNING, "notify.script %s: ended with status %d", path,
			 WEXITSTATUS(status));
	else
		moat_log(MOAT_LOG_WARNING, "notify.script %s: ended by signal %d", path,
			 WTERMSIG(status));
	return -ECHILD;
}

int moat_notify_run(const char *path, const struct moat_notify_report *report, uint64_t timeout_ns,
		    const atomic_bool *stop)
{
	moat_auto_close int process = -1, ours = -1, theirs = -1;
	int pair[2], status = 0;
	bool ended;
	pid_t pid;

	/* a socket, not a pipe: writing to it raises no signal */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	pid = start(path, report, theirs);
	if (pid < 0) {
		moat_log(MOAT_LOG_WARNING, "notify.script %s: %s", path, strerror(-pid));
		return pid;
	}
	close_now(&theirs);
	process = pidfd_open(pid, 0);
	ended = process >= 0 &&
		attend(process, &ours, report, moat_clock_monotonic_ns() + timeout_ns, stop);
	if (!ended && atomic_load(stop))
		moat_log(MOAT_LOG_WARNING, "notify.script %s: killed, since moatd ends", path);
	else if (!ended)
		moat_log(MOAT_LOG_WARNING, "notify.script %s: not done in %g s, killed", path,
			 (double)timeout_ns / (double)MOAT_NS_PER_S);
	if (!ended)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return ended ? result_of(path, status) : -ETIME;
}

/* ---- whom to trust ------------------------------------------------------------------------------ */

static int check_one(const char *path, mode_t type, struct moat_error *error)
{
	struct stat facts;

	if (stat(path, &facts) < 0)
		return moat_error_set(error, -errno, "%s: %s", path, strerror(errno));
	if ((facts.st_mode & S_IFMT) != type)
		return moat_error_set(error, -EPERM, "%s: is no %s", path,
				      type == S_IFREG ? "regular file" : "directory");
	if (facts.st_uid != 0 && facts.st_uid != geteuid())
		return moat_error_set(error, -EPERM, "%s: belongs to user %u: root's only", path,
				      facts.st_uid);
	/* a sticky directory protects what it holds */
	if ((facts.st_mode & (S_IWGRP | S_IWOTH)) && !(facts.st_mode & S_ISVTX))
		return moat_error_set(error, -EPERM, "%s: others can write to it (chmod go-w)",
				      path);
	return 0;
}

int moat_notify_check_script(const char *path, struct moat_error *error)
{
	moat_auto_free char *directory = strdup(path);
	char *slash = directory ? strrchr(directory, '/') : NULL;
	int r;

	if (!slash)
		return moat_error_set(error, directory ? -EINVAL : -ENOMEM, "%s: %s", path,
				      directory ? "is no absolute path" : "out of memory");
	r = check_one(path, S_IFREG, error);
	if (r == 0 && access(path, X_OK) < 0)
		r = moat_error_set(error, -errno, "%s: can't be executed (chmod +x)", path);
	slash[slash == directory] = '\0';
	return r == 0 ? check_one(directory, S_IFDIR, error) : r;
}
