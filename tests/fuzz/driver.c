/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Drives one fuzzer: NAME CORPUS [FILE…]. With files it runs just these, which reproduces a crash.
 * MOAT_FUZZ_SECONDS bounds the mutations (default 3), MOAT_FUZZ_SEED repeats a run; both are printed.
 * An input that crashes is left in $MOAT_BUILD/fuzz-crash-NAME.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX 4096u
#define CORPUS_MAX 512u
#define MUTATIONS_MAX 8u

struct input {
	size_t size;
	uint8_t data[INPUT_MAX];
};

static struct input corpus[CORPUS_MAX];
static size_t corpus_count;

/* What runs right now, for the handler of a crash. */
static const struct input *running;
static char crash_path[512];

static uint64_t random_state;

/* xorshift64* (Vigna, 2016): repeatable, and good enough to pick bytes. */
static uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717ULL;
}

static size_t random_below(size_t bound)
{
	return bound ? random_next() % bound : 0;
}

/* Async-signal-safe. The signal's default action, restored by SA_RESETHAND, ends the program. */
static void on_crash(int sig)
{
	int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd >= 0 && running) {
		ssize_t n = write(fd, running->data, running->size);

		if (n == (ssize_t)running->size) {
			(void)!write(STDERR_FILENO, "input left in ", 14);
			(void)!write(STDERR_FILENO, crash_path, strlen(crash_path));
			(void)!write(STDERR_FILENO, "\n", 1);
		}
	}
	raise(sig);
}

/* The copy is as long as the input, so that the sanitizer sees a read behind it. */
static void run_one(const struct input *input)
{
	moat_auto_free uint8_t *copy = malloc(input->size ? input->size : 1);

	if (!copy)
		abort();
	memcpy(copy, input->data, input->size);
	running = input;
	LLVMFuzzerTestOneInput(copy, input->size);
	running = NULL;
}

static int load(const char *path)
{
	moat_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, corpus[corpus_count].data, INPUT_MAX);
	if (n < 0)
		return -errno;
	corpus[corpus_count++].size = (size_t)n;
	return 0;
}

static int load_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && corpus_count < CORPUS_MAX && (entry = readdir(dir))) {
		char file[1024];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		r = load(file);
	}
	closedir(dir);
	return r;
}

static void insert(struct input *input, size_t at, const uint8_t *bytes, size_t count)
{
	if (count > INPUT_MAX - input->size)
		count = INPUT_MAX - input->size;
	memmove(input->data + at + count, input->data + at, input->size - at);
	memcpy(input->data + at, bytes, count);
	input->size += count;
}

static void mutate_once(struct input *input)
{
	/* Values at which lengths, offsets and texts go wrong. */
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, ' ', '\n', '/', ':', '-', '0', '9' };
	const struct input *other = &corpus[random_below(corpus_count)];
	size_t at = random_below(input->size), count = 1 + random_below(8);
	uint8_t chunk[16];

	switch (input->size ? random_below(7) : 4) {
	case 0:
		input->data[at] ^= (uint8_t)(1u << random_below(8));
		break;
	case 1:
		input->data[at] = edges[random_below(sizeof(edges))];
		break;
	case 2:
		input->data[at] = (uint8_t)random_next();
		break;
	case 3: /* remove */
		if (count > input->size - at)
			count = input->size - at;
		memmove(input->data + at, input->data + at + count, input->size - at - count);
		input->size -= count;
		break;
	case 4: /* new bytes */
		for (size_t i = 0; i < count; i++)
			chunk[i] = (uint8_t)random_next();
		insert(input, at, chunk, count);
		break;
	case 5: /* double some */
		if (count > input->size - at)
			count = input->size - at;
		memcpy(chunk, input->data + at, count);
		insert(input, at, chunk, count);
		break;
	default: /* go on with another's end */
		at = at < other->size ? at : other->size;
		memcpy(input->data + at, other->data + at, other->size - at);
		input->size = other->size;
		break;
	}
}

/* Returns how many inputs it ran. */
static uint64_t run_mutations(uint64_t end_ns)
{
	static struct input input;
	uint64_t runs = 0;

	while (moat_clock_monotonic_ns() < end_ns) {
		input = corpus[random_below(corpus_count)];
		for (size_t n = 1 + random_below(MUTATIONS_MAX); n > 0; n--)
			mutate_once(&input);
		run_one(&input);
		runs++;
	}
	return runs;
}

static void run_truncations(void)
{
	static struct input input;

	for (size_t i = 0; i < corpus_count; i++) {
		input = corpus[i];
		for (size_t size = 0; size < corpus[i].size; size++) {
			input.size = size;
			run_one(&input);
		}
	}
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	struct sigaction crash = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER };
	const char *build = getenv("MOAT_BUILD");
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	uint64_t seconds = setting("MOAT_FUZZ_SECONDS", 3), seed = 0, runs;
	int r = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s CORPUS [FILE...]\n", name);
		return 2;
	}
	snprintf(crash_path, sizeof(crash_path), "%s/fuzz-crash-%s", build ? build : ".", name);
	sigaction(SIGABRT, &crash, NULL);
	for (int i = 2; i < argc && r == 0 && corpus_count < CORPUS_MAX; i++)
		r = load(argv[i]);
	if (argc == 2)
		r = load_dir(argv[1]);
	if (r < 0 || corpus_count == 0) {
		fprintf(stderr, "%s: %s\n", argv[1], r < 0 ? strerror(-r) : "no inputs");
		return 1;
	}
	for (size_t i = 0; i < corpus_count; i++)
		run_one(&corpus[i]);
	if (argc > 2)
		return 0;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return 1;
	seed = setting("MOAT_FUZZ_SEED", seed);
	random_state = seed | 1;
	printf("%s: %zu inputs, MOAT_FUZZ_SEED=%" PRIu64 " MOAT_FUZZ_SECONDS=%" PRIu64 "\n", name,
	       corpus_count, seed, seconds);
	fflush(stdout);
	run_truncations();
	runs = run_mutations(moat_clock_monotonic_ns() + seconds * MOAT_NS_PER_S);
	printf("%s: %" PRIu64 " mutations\n", name, runs);
	return runs ? 0 : 1;
}
