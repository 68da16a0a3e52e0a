/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What detection has learned, over restarts and by an operator's word: the methods baseline.*. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/appliance_priv.h"
#include "ctl/learned.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

/* Saved so often; after a new finding sooner, so that its number isn't given again. */
#define SAVE_NS (600 * MOAT_NS_PER_S)
#define SAVE_FINDING_NS (10 * MOAT_NS_PER_S)

static void path_of(const struct moat_appliance *appliance, char ret_path[4096])
{
	snprintf(ret_path, 4096, "%.4000s/baseline", appliance->config->state_dir);
}

static int save(struct moat_appliance *appliance, struct moat_error *error)
{
	moat_auto_free void *bytes = NULL;
	struct moat_detection_counters counters;
	char path[4096];
	size_t size;
	int r = moat_detection_save(appliance->detection, &bytes, &size);

	if (r < 0)
		return moat_error_set(error, r, "out of memory");
	path_of(appliance, path);
	moat_detection_counters(appliance->detection, &counters);
	appliance->saved_ns = moat_clock_monotonic_ns();
	appliance->saved_finding = counters.engine.last_finding;
	return moat_learned_save(path, bytes, size, error);
}

void moat_appliance_load_baseline(struct moat_appliance *appliance)
{
	moat_auto_free void *bytes = NULL;
	struct moat_error error = { .text = "" };
	char path[4096];
	size_t size;
	int r;

	path_of(appliance, path);
	appliance->saved_ns = moat_clock_monotonic_ns();
	r = moat_learned_load(path, &bytes, &size, &error);
	if (r == -ENOENT)
		return;
	if (r < 0) {
		moat_log(MOAT_LOG_WARNING, "baseline: %s; learning begins anew", error.text);
		return;
	}
	r = moat_detection_restore(appliance->detection, bytes, size);
	if (r < 0)
		moat_log(MOAT_LOG_WARNING, "baseline: %s %s; learning begins anew", path,
			 moat_learned_refusal(r));
	else
		moat_log(MOAT_LOG_INFO, "baseline: restored from %s", path);
}

void moat_appliance_save_baseline(struct moat_appliance *appliance, bool now)
{
	uint64_t since_ns = moat_clock_monotonic_ns() - appliance->saved_ns;
	struct moat_detection_counters counters;
	struct moat_error error = { .text = "" };

	if (!now && since_ns < SAVE_FINDING_NS)
		return;
	moat_detection_counters(appliance->detection, &counters);
	if (!now && since_ns < SAVE_NS && counters.engine.last_finding == appliance->saved_finding)
		return;
	if (save(appliance, &error) < 0)
		moat_log(MOAT_LOG_WARNING, "baseline: %s", error.text);
}

static json_t *show(const struct moat_appliance *appliance)
{
	struct moat_detection_counters counters;
	char path[4096];

	path_of(appliance, path);
	moat_detection_counters(appliance->detection, &counters);
	return json_pack("{s:s,s:b,s:f,s:I,s:I,s:I,s:f}", "path", path, "learning",
			 counters.engine.learning, "learned", counters.engine.learned, "rows",
			 (json_int_t)counters.engine.baseline_rows, "clusters",
			 (json_int_t)counters.engine.baseline_clusters, "last_finding",
			 (json_int_t)counters.engine.last_finding, "saved_s",
			 (double)(moat_clock_monotonic_ns() - appliance->saved_ns) /
				 (double)MOAT_NS_PER_S);
}

/* A regular file that the client opened itself, for reading or for writing. */
static bool is_file(int fd, bool to_write)
{
	struct stat facts;
	int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1, mode = flags & O_ACCMODE;

	return flags >= 0 && !(flags & O_PATH) && mode == (to_write ? O_WRONLY : O_RDONLY) &&
	       fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

static int export_to(struct moat_appliance *appliance, int fd, struct moat_error *error)
{
	moat_auto_free uint8_t *bytes = NULL;
	size_t size, done = 0;
	int r = moat_detection_save(appliance->detection, (void **)&bytes, &size);

	if (r < 0)
		return moat_error_set(error, r, "out of memory");
	while (done < size) {
		ssize_t written = pwrite(fd, bytes + done, size - done, (off_t)done);

		if (written < 0 && errno != EINTR)
			return moat_error_set(error, -errno, "writing: %s", strerror(errno));
		done += written > 0 ? (size_t)written : 0;
	}
	return 0;
}

static int import_from(struct moat_appliance *appliance, int fd, struct moat_error *error)
{
	moat_auto_free void *bytes = NULL;
	char path[64];
	size_t size;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = moat_learned_load(path, &bytes, &size, error);
	if (r < 0)
		return r;
	r = moat_detection_restore(appliance->detection, bytes, size);
	if (r < 0)
		return moat_error_set(error, r, "the file %s", moat_learned_refusal(r));
	return save(appliance, error);
}

int moat_appliance_baseline(struct moat_appliance *appliance, struct moat_control_call *call,
			    json_t **ret_result, struct moat_error *error)
{
	int r = 0;

	if (strcmp(call->method, "baseline.export") == 0 ||
	    strcmp(call->method, "baseline.import") == 0) {
		bool to_write = strcmp(call->method, "baseline.export") == 0;

		if (!is_file(call->fd, to_write))
			return moat_error_set(error, -EINVAL,
					      "a regular file, opened for %s, has to come with it",
					      to_write ? "writing" : "reading");
		r = to_write ? export_to(appliance, call->fd, error)
			     : import_from(appliance, call->fd, error);
	} else if (strcmp(call->method, "baseline.reset") == 0) {
		moat_detection_forget(appliance->detection);
		r = save(appliance, error);
	}
	if (r < 0)
		return r;
	*ret_result = show(appliance);
	return *ret_result ? 0 : -ENOMEM;
}
