/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Nearest centroids at 16 dimensions, one thread: the kernel for this CPU and its portable twin, against
 * scikit-learn (float32, with whatever BLAS it finds: libopenblas0-pthread is the fast one) in the same run,
 * in turn. Results must be equal, and the inertia scikit-learn's within 1 %.
 */
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "detect/kmeans.h"

#define ROWS 100000
#define DIMS MOAT_KMEANS_DIMS
#define ALIKE 0.01 /* difference of inertia */

typedef void (*kernel_fn)(const struct moat_kmeans *kmeans, const float *rows, size_t count,
			  uint32_t *ret_clusters);

static float rows[ROWS * DIMS];
static uint32_t clusters[2][ROWS];
static int runs, missed;

/* Around forty centres, as feature vectors are; the same in each run (xorshift64*, Vigna 2016). */
static void fill(void)
{
	uint64_t state = 88172645463325252ULL;

	for (size_t i = 0; i < (size_t)ROWS * DIMS; i++) {
		size_t centre = i / DIMS % 40;

		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		rows[i] = (float)((centre * 7 + i % DIMS * 3) % 11) +
			  (float)(state * 2685821657736338717ULL >> 40) / (1 << 24);
	}
}

static double inertia_of(const struct moat_kmeans *kmeans, const uint32_t *assigned)
{
	double inertia = 0;

	for (size_t i = 0; i < ROWS; i++)
		for (size_t d = 0; d < DIMS; d++) {
			double x = (double)rows[i * DIMS + d] -
				   (double)kmeans->centroids[assigned[i] * DIMS + d];

			inertia += x * x;
		}
	return inertia;
}

static double measure(kernel_fn kernel, const struct moat_kmeans *kmeans, uint32_t *ret_clusters)
{
	uint64_t begin = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);

	kernel(kmeans, rows, ROWS, ret_clusters);
	return (double)(moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / ROWS;
}

/* Starts the comparison; what it prints comes from *ret_fd. */
static bool start_sklearn(const char *path, uint32_t k, pid_t *ret_pid, int *ret_fd)
{
	const char *source = getenv("MOAT_SOURCE");
	char script[4200], rows_text[16], k_text[16], runs_text[] = "3",
						      python[] = "/usr/bin/python3";
	char *args[] = { python, script, (char *)path, rows_text, k_text, runs_text, NULL };
	posix_spawn_file_actions_t actions;
	int pipes[2], r;

	snprintf(script, sizeof(script), "%.4000s/bench/kmeans_sklearn.py", source ? source : ".");
	snprintf(rows_text, sizeof(rows_text), "%d", ROWS);
	snprintf(k_text, sizeof(k_text), "%u", k);
	if (pipe(pipes) < 0)
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, pipes[0]);
	r = posix_spawn(ret_pid, python, &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	*ret_fd = pipes[0];
	return r == 0;
}

/* One run of scikit-learn on the same rows and centroids. False: it isn't there. */
static bool ask_sklearn(const struct moat_kmeans *kmeans, double *ret_inertia,
			struct moat_bench_series *series)
{
	char path[] = "/tmp/moat-kmeans-XXXXXX", *at, *end;
	moat_auto_close int fd = mkstemp(path), answer_fd = -1;
	size_t size = kmeans->k * DIMS * sizeof(float), room = 0;
	moat_auto_free char *line = NULL;
	bool there = false;
	FILE *answer;
	pid_t pid;

	if (fd < 0 || write(fd, kmeans->centroids, size) != (ssize_t)size ||
	    write(fd, rows, sizeof(rows)) != (ssize_t)sizeof(rows) ||
	    !start_sklearn(path, kmeans->k, &pid, &answer_fd))
		return false;
	answer = fdopen(dup(answer_fd), "r");
	if (answer && getline(&line, &room, answer) > 0) {
		*ret_inertia = strtod(line, &end);
		there = end != line;
		for (at = end;; at = end) {
			double value = strtod(at, &end);

			if (end == at)
				break;
			moat_bench_series_add(series, value);
		}
	}
	if (answer)
		fclose(answer);
	waitpid(pid, NULL, 0);
	unlink(path);
	return there;
}

static void report(uint32_t k, const char *kernel, const struct moat_bench_series *series,
		   const struct moat_bench_series *baseline, double factor)
{
	double median = moat_bench_series_median(baseline);
	char case_name[64];
	struct moat_bench_result result = {
		.bench = "kmeans",
		.case_name = case_name,
		.metric = "cpu_time",
		.unit = "ns/row",
		.baseline = baseline->count ? baseline : NULL,
		.goal_kind = baseline->count && factor > 0 ? MOAT_BENCH_AT_MOST : MOAT_BENCH_NO_GOAL,
		.goal = factor > 0 ? median / factor : 0,
	};

	snprintf(case_name, sizeof(case_name), "k%u_%s", k, kernel);
	missed |= moat_bench_report(&result, series) != 0;
}

static void bench_k(uint32_t k, double factor)
{
	static struct moat_bench_series fast, portable, sklearn;
	struct moat_kmeans kmeans;
	double inertia, theirs = 0;
	bool there = true;

	fast.count = portable.count = sklearn.count = 0;
	if (moat_kmeans_init(&kmeans) < 0 || moat_kmeans_seed(&kmeans, rows, ROWS, k, 1) < 0)
		abort();
	for (int i = 0; i < runs; i++) {
		moat_bench_series_add(&fast, measure(moat_kmeans_nearest, &kmeans, clusters[0]));
		moat_bench_series_add(&portable,
				      measure(moat_kmeans_nearest_portable, &kmeans, clusters[1]));
		/* it takes seconds to start: a few times between are enough */
		if (there && i % 3 == 0)
			there = ask_sklearn(&kmeans, &theirs, &sklearn);
		moat_bench_progress("kmeans", k == 16 ? "k16" : "k64", i + 1, runs);
	}
	if (memcmp(clusters[0], clusters[1], sizeof(clusters[0])) != 0) {
		fprintf(stderr, "kmeans: the kernels differ at k=%u\n", k);
		missed = 1;
	}
	inertia = inertia_of(&kmeans, clusters[0]);
	if (!there)
		fputs("kmeans: nothing to compare with: python3-sklearn isn't installed\n", stderr);
	else if (fabs(inertia - theirs) > ALIKE * theirs) {
		fprintf(stderr, "kmeans: inertia %g, scikit-learn's %g\n", inertia, theirs);
		missed = 1;
	}
	report(k, "cpu", &fast, &sklearn, factor);
	report(k, "portable", &portable, &sklearn, 0);
	moat_kmeans_deinit(&kmeans);
}

int main(int argc, char **argv)
{
	runs = moat_bench_begin("kmeans", argc, argv, 9);
	if (runs < 0)
		return 2;
	fill();
	bench_k(16, 1.5);
	bench_k(64, 2);
	return missed;
}
