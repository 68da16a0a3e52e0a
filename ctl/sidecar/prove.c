/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See prove.h. */
#include "ctl/sidecar/prove.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/sidecar/record.h"
#include "ctl/sidecar/syscalls.h"
#include "dataplane/base/cleanup.h"
#include "moat/syscall.h"

struct state {
	struct bpf_link *links[2];
	uint32_t candidate; /* the one that is attached, or was last */
	bool seen;          /* it told of its canary */
	bool over;          /* proved, or blind */
};

struct moat_prover {
	const struct moat_objects *objects;
	struct moat_event_settings settings;
	struct moat_event_set events;
	int settings_fd, entries_fd;
	struct bpf_link *syscall_exit; /* NULL: not needed until now */
	struct state *states;          /* one an observation */
	bool runs;
	uint32_t own_pid, own_pid_ns; /* as this process sees itself */
	uint32_t own_tgid;            /* as the kernel does, told by the canaries; 0: unknown */
};

/* ---- attaching ---------------------------------------------------------------------------------- */

static const struct moat_candidate *candidate_of(const struct moat_prover *prover, uint32_t index)
{
	return &moat_observations[index].candidates[prover->states[index].candidate];
}

static bool attach_program(struct moat_prover *prover, const char *name, struct bpf_link **ret_link)
{
	struct bpf_program *program = moat_objects_program(prover->objects, name);

	*ret_link = program ? bpf_program__attach(program) : NULL;
	return *ret_link != NULL;
}

/* Calls' returns are looked at as long as one observation goes by them. */
static bool attach_syscall(struct moat_prover *prover, uint16_t type)
{
	if (!prover->syscall_exit && !attach_program(prover, "syscall_exit", &prover->syscall_exit))
		return false;
	return moat_syscalls_set(prover->entries_fd, type, true) == 0;
}

static void detach(struct moat_prover *prover, uint32_t index)
{
	struct state *state = &prover->states[index];

	if (candidate_of(prover, index)->means == MOAT_MEANS_SYSCALL)
		moat_syscalls_set(prover->entries_fd, moat_observations[index].type, false);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(state->links); i++) {
		bpf_link__destroy(state->links[i]);
		state->links[i] = NULL;
	}
}

static bool attach(struct moat_prover *prover, uint32_t index)
{
	const struct moat_candidate *candidate = candidate_of(prover, index);
	struct state *state = &prover->states[index];

	if (candidate->means == MOAT_MEANS_SYSCALL)
		return moat_objects_program(prover->objects, candidate->program) &&
		       attach_syscall(prover, moat_observations[index].type);
	if (attach_program(prover, candidate->program, &state->links[0]) &&
	    (!candidate->more || attach_program(prover, candidate->more, &state->links[1])))
		return true;
	detach(prover, index);
	return false;
}

/* The next candidate that attaches; else the observation is over, and blind. */
static void attach_next(struct moat_prover *prover, uint32_t index)
{
	struct state *state = &prover->states[index];

	while (state->candidate < MOAT_CANDIDATES_MAX &&
	       candidate_of(prover, index)->means != MOAT_MEANS_NONE) {
		if (attach(prover, index))
			return;
		state->candidate++;
	}
	state->over = true;
}

/* ---- proving ------------------------------------------------------------------------------------ */

bool moat_prover_is_own(const struct moat_prover *prover, const struct moat_event *event)
{
	/* records of connections don't have all of an identity */
	if (prover->own_tgid && event->task.self.tgid == prover->own_tgid)
		return true;
	return event->task.pid_ns == prover->own_pid_ns && event->task.ns_tid == prover->own_pid;
}

void moat_prover_see(struct moat_prover *prover, const struct moat_event *event)
{
	const struct moat_call *call = moat_event_call(event);

	if (!prover->runs || !call || !moat_prover_is_own(prover, event))
		return;
	prover->own_tgid = event->task.self.tgid;
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		struct state *state = &prover->states[i];

		if (!state->over && moat_observations[i].type == event->type &&
		    candidate_of(prover, i)->means == call->means)
			state->seen = true;
	}
}

static void act(struct moat_prover *prover, const struct moat_canary *canary)
{
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		if (!prover->states[i].over)
			moat_observations[i].canary(canary);
	}
}

/* What told of its canary stays, the rest goes on to its next candidate. Returns how many are not over. */
static uint32_t judge(struct moat_prover *prover)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < moat_observation_count; i++) {
		struct state *state = &prover->states[i];

		if (state->over)
			continue;
		if (state->seen) {
			state->over = true;
			continue;
		}
		detach(prover, i);
		state->candidate++;
		attach_next(prover, i);
		left += !state->over;
	}
	return left;
}

static int set_settings(struct moat_prover *prover)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(prover->settings_fd, &zero, &prover->settings, BPF_ANY);
}

int moat_prover_run(struct moat_prover *prover, moat_prover_poll_fn poll, void *userdata,
		    struct moat_error *error)
{
	struct moat_canary canary;
	uint32_t left = 0;
	int r = set_settings(prover);

	if (r < 0)
		return moat_error_set(error, r, "settings of the probes: %s", strerror(-r));
	moat_canary_begin(&canary);
	prover->runs = true;
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		if (!prover->states[i].over)
			attach_next(prover, i);
		left += !prover->states[i].over;
	}
	while (left > 0) {
		act(prover, &canary);
		poll(userdata);
		left = judge(prover);
	}
	prover->runs = false;
	moat_canary_end(&canary);
	prover->settings.own_tgid = prover->own_tgid;
	r = set_settings(prover);
	return r < 0 ? moat_error_set(error, r, "settings of the probes: %s", strerror(-r)) : 0;
}

const struct moat_candidate *moat_prover_chosen(const struct moat_prover *prover, uint32_t index,
						bool *ret_is_on)
{
	*ret_is_on = moat_event_set_has(&prover->events, moat_observations[index].type);
	return prover->states[index].seen ? candidate_of(prover, index) : NULL;
}

/* ---- life --------------------------------------------------------------------------------------- */

static int set_handlers(const struct moat_objects *objects)
{
	int map = moat_objects_map(objects, "syscall_handlers"), r = 0;

	for (uint32_t i = 0; r == 0 && i < MOAT_HANDLER_COUNT; i++) {
		const char *name = moat_syscalls_program(i);
		struct bpf_program *program = name ? moat_objects_program(objects, name) : NULL;
		int fd = program ? bpf_program__fd(program) : -1;

		if (fd >= 0)
			r = bpf_map_update_elem(map, &i, &fd, BPF_ANY);
	}
	return r;
}

int moat_prover_new(const struct moat_objects *objects, const struct moat_event_set *events,
		    struct moat_prover **ret_prover)
{
	struct moat_prover *prover = calloc(1, sizeof(*prover));
	struct stat pid_ns;
	int r;

	if (!prover)
		return -ENOMEM;
	prover->states = calloc(moat_observation_count, sizeof(*prover->states));
	if (!prover->states || stat("/proc/self/ns/pid", &pid_ns) < 0) {
		r = prover->states ? -errno : -ENOMEM;
		moat_prover_free(prover);
		return r;
	}
	prover->objects = objects;
	prover->events = *events;
	memcpy(prover->settings.wanted, events->words, sizeof(prover->settings.wanted));
	prover->settings.everything = events->everything;
	prover->own_pid = (uint32_t)getpid();
	prover->own_pid_ns = (uint32_t)pid_ns.st_ino;
	prover->settings_fd = moat_objects_map(objects, "event_settings");
	prover->entries_fd = moat_objects_map(objects, "syscall_entries");
	for (uint32_t i = 0; i < moat_observation_count; i++)
		prover->states[i].over = !moat_event_set_has(events, moat_observations[i].type);
	r = set_handlers(objects);
	if (r < 0) {
		moat_prover_free(prover);
		return r;
	}
	*ret_prover = prover;
	return 0;
}

void moat_prover_detach(struct moat_prover *prover)
{
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		struct state *state = &prover->states[i];

		for (size_t link = 0; link < MOAT_ARRAY_SIZE(state->links); link++) {
			bpf_link__destroy(state->links[link]);
			state->links[link] = NULL;
		}
	}
	bpf_link__destroy(prover->syscall_exit);
	prover->syscall_exit = NULL;
}

void moat_prover_free(struct moat_prover *prover)
{
	if (!prover)
		return;
	if (prover->states)
		moat_prover_detach(prover);
	free(prover->states);
	free(prover);
}
