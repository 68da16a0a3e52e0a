/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The probes of bpf/host, seen from user space: loaded, attached, proved, and read. Raw records come out in
 * the order of their ring; ctl/sidecar/merge.h puts them into order of time.
 */
#ifndef MOAT_CTL_SIDECAR_PROBES_H
#define MOAT_CTL_SIDECAR_PROBES_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/sidecar/families.h"
#include "ctl/sidecar/objects.h"
#include "ctl/sidecar/record.h"
#include "dataplane/base/error.h"
#include "moat/event.h"

struct moat_probes;

/* What is asked of the kernel. */
struct moat_probes_options {
	uint32_t ring_bytes; /* of each ring: a power of two, 64 KiB to 256 MiB; 0: 8 MiB */
	const struct moat_event_set *events; /* what is asked for; NULL: the default */
	/* records a second that a cgroup may send: starts, ends and acts of processes, and others; 0: no bound */
	uint32_t budget_process, budget_other;
	uint32_t cgroups; /* with a budget of their own; 0: MOAT_BUDGET_CGROUPS_DEFAULT */
};

/* One record, valid during the call only; `size` is at least that of the head and of what its type says. */
typedef void (*moat_probes_fn)(void *userdata, const struct moat_event *event, uint32_t size);

/* Loads the probes and attaches those of starts and ends; moat_probes_prove does the rest. Nothing stays
 * pinned: the probes go with the process. 0; -EPERM with the capability that is missing; -ENOTSUP with the
 * kernel's words. */
int moat_probes_new(const struct moat_probes_options *options, moat_probes_fn handler,
		    void *userdata, struct moat_probes **ret_probes, struct moat_error *error);
void moat_probes_free(struct moat_probes *probes);
void moat_probes_free_cleanup(struct moat_probes **probes);

/* Has the kernel tell of every process that is there, as MOAT_EVENT_EXISTING; once, after attaching. */
int moat_probes_list(struct moat_probes *probes, struct moat_error *error);

/* Finds the means of every observation that is asked for, and attaches it (prove.h). Its canaries' records come
 * like others. 0 or a negative errno with its reason. */
int moat_probes_prove(struct moat_probes *probes, struct moat_error *error);

/* The means by which the observation of that index goes (moat_observations); NULL: it is blind, or off. */
const struct moat_candidate *moat_probes_chosen(const struct moat_probes *probes, uint32_t index,
						bool *ret_is_on);

/* Whether the record tells of this process' own doing: a canary. */
bool moat_probes_is_own(const struct moat_probes *probes, const struct moat_event *event);

/* Readable when a ring fills faster than it is polled. */
int moat_probes_fd(const struct moat_probes *probes);

/* Hands every waiting record to the handler. Returns how many, or a negative errno. */
int moat_probes_poll(struct moat_probes *probes);

/* Takes the probes off; what they sent can still be polled, and the counters no longer change. */
void moat_probes_detach(struct moat_probes *probes);

/* CPUs that may have counters (possible ones), and those of one. */
uint32_t moat_probes_cpus(const struct moat_probes *probes);
void moat_probes_counters(const struct moat_probes *probes, uint32_t cpu,
			  struct moat_event_counters *ret_counters);

/* The descriptor of a map that all probes share ("rings"), owned by the probes; negative: no such map. For
 * programs that send by the same channel. */
int moat_probes_map(const struct moat_probes *probes, const char *name);

/* What the kernel refused of the probes, with its words. */
const struct moat_objects_refused *moat_probes_refused(const struct moat_probes *probes,
						       uint32_t *ret_count);

/* Records that contradicted themselves and weren't handed on: none, or there is a bug. */
uint64_t moat_probes_unsound(const struct moat_probes *probes);

/* One program, for listings. */
struct moat_probe_info {
	const char *name;  /* "process_exec" */
	const char *means; /* "tp_btf/sched_process_exec" */
	uint64_t runs;     /* 0 unless the kernel keeps statistics (kernel.bpf_stats_enabled) */
	uint64_t missed; /* runs that the kernel left out, the probe running already on that CPU */
};
uint32_t moat_probes_count(const struct moat_probes *probes);
int moat_probes_info(const struct moat_probes *probes, uint32_t index,
		     struct moat_probe_info *ret_info);

#endif
