/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rule files: a file that loads can be saved and restored as the same set; one that doesn't changes
 * nothing and says which line is to blame. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/ruleset.h"
#include "tests/fuzz/fuzz.h"

#define NOW (1000 * MOAT_NS_PER_S)

static size_t count_entries(const struct moat_ruleset *set)
{
	size_t rules, allowed, denied;

	moat_ruleset_rules(set, &rules);
	moat_ruleset_prefixes(set, MOAT_LIST_ALLOW, &allowed);
	moat_ruleset_prefixes(set, MOAT_LIST_DENY, &denied);
	return rules + allowed + denied;
}

/* Loads a file's text in memory and returns moat_ruleset_load's result. */
static int load(struct moat_ruleset *set, const uint8_t *data, size_t size,
		struct moat_ruleset_load_report *ret_report, struct moat_error *error)
{
	moat_auto_close int fd = memfd_create("rules", MFD_CLOEXEC);
	char path[64];

	MOAT_FUZZ_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return moat_ruleset_load(set, path, "fuzz", NOW, ret_report, error);
}

/* What was let in can be written and read back. */
static void check_save(const struct moat_ruleset *set)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *back = NULL;
	struct moat_error error = { .text = "" };
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/dev/shm/moat-fuzz-ruleset-%d", (int)getpid());
	MOAT_FUZZ_ASSERT(moat_ruleset_save(set, path, &error) == 0);
	MOAT_FUZZ_ASSERT(moat_ruleset_new(&back) == 0);
	r = moat_ruleset_restore(back, path, &error);
	unlink(path);
	if (r < 0)
		fprintf(stderr, "%s\n", error.text);
	MOAT_FUZZ_ASSERT(r == 0);
	/* rules may have expired since */
	MOAT_FUZZ_ASSERT(count_entries(back) <= count_entries(set));
}

/* A saved set is read from disk, where anything may have happened to it. */
static void check_restore(const uint8_t *data, size_t size)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	moat_auto_close int fd = memfd_create("saved", MFD_CLOEXEC);
	struct moat_error error = { .text = "" };
	char path[64];

	MOAT_FUZZ_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MOAT_FUZZ_ASSERT(moat_ruleset_new(&set) == 0);
	if (moat_ruleset_restore(set, path, &error) != 0) {
		MOAT_FUZZ_ASSERT(error.text[0] != '\0');
		MOAT_FUZZ_ASSERT(count_entries(set) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	struct moat_ruleset_load_report report = { .lines = 0 };
	struct moat_error error = { .text = "" };
	int r;

	MOAT_FUZZ_ASSERT(moat_ruleset_new(&set) == 0);
	r = load(set, data, size, &report, &error);
	if (r == 0) {
		MOAT_FUZZ_ASSERT(report.errors == 0);
		MOAT_FUZZ_ASSERT(report.rules + report.allowed + report.denied == count_entries(set));
		check_save(set);
	} else {
		MOAT_FUZZ_ASSERT(count_entries(set) == 0);
		MOAT_FUZZ_ASSERT(r > 0 || error.text[0] != '\0');
	}
	check_restore(data, size);
	return 0;
}
