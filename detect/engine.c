/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The engine: hands every host's window to the detectors, teaches what is normal, and passes what is
 * suspected to the arbiter and the findings.
 */
#include "detect/engine.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "detect/engine_impl.h"

/* A host's seconds are normal again so long after its last suspicion. */
#define CALM_NS (3 * MOAT_NS_PER_S)
#define REFIT_NS (60 * MOAT_NS_PER_S)
#define FIRST_FIT_RETRY_NS MOAT_NS_PER_S
#define CLUSTERS_DEFAULT 16

struct moat_detect_config moat_detect_config_default(void)
{
	return (struct moat_detect_config){
		.mode = MOAT_MODE_GATEWAY,
		.learn_ns = 120 * MOAT_NS_PER_S,
		.hosts = MOAT_HOSTS_DEFAULT,
		.clusters = CLUSTERS_DEFAULT,
		.floor_pps = { 1000, 5000, 500, 1000, 5000 },
		.guard_pps = { 20000, 20000, 5000, 5000, 50000 },
		.scan_targets = 100,
		.scan_failures = 8,
		.brute_logins = 12,
		.beacon_times = 10,
		.learn_edges_ns = 86400 * MOAT_NS_PER_S,
		.sensitivity = 1,
		.open_windows = 2,
		.close_ns = 10 * MOAT_NS_PER_S,
		.collateral_max = 0.001,
		.seed = 1,
	};
}

static void configure(struct moat_detect *detect, const struct moat_detect_config *config)
{
	uint32_t hosts = detect->config.hosts, clusters = detect->config.clusters;

	detect->config = *config;
	if (hosts) {
		detect->config.hosts = hosts;
		detect->config.clusters = clusters;
	}
	if (detect->config.sensitivity <= 0)
		detect->config.sensitivity = 1;
	if (detect->config.open_windows == 0)
		detect->config.open_windows = 1;
	detect->busy_pps = INFINITY;
	for (int kind = 0; kind < MOAT_FLOOD_RATES; kind++)
		detect->busy_pps = fmin(detect->busy_pps, detect->config.floor_pps[kind]);
}

void moat_detect_configure(struct moat_detect *detect, const struct moat_detect_config *config)
{
	configure(detect, config);
}

static int detectors_init(struct moat_detect *detect)
{
	for (size_t i = 0; moat_detectors[i]; i++) {
		int r = moat_detectors[i]->init
				? moat_detectors[i]->init(&detect->config, &detect->states[i])
				: 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static void detect_free_cleanup(struct moat_detect **detect)
{
	moat_detect_free(*detect);
}

int moat_detect_new(const struct moat_detect_config *config, moat_finding_fn emit, void *userdata,
		    struct moat_detect **ret_detect)
{
	moat_cleanup(detect_free_cleanup) struct moat_detect *detect = NULL;
	struct moat_baseline_options options = { .seed = config->seed, .k = config->clusters };
	int r;

	detect = calloc(1, sizeof(*detect));
	if (!detect)
		return -ENOMEM;
	configure(detect, config);
	if (detect->config.hosts == 0)
		detect->config.hosts = MOAT_HOSTS_DEFAULT;
	detect->emit = emit;
	detect->userdata = userdata;
	detect->learning = true;
	detect->next_id = config->last_finding;
	r = moat_hosts_new(detect->config.hosts, config->seed, &detect->hosts);
	if (r < 0)
		return r;
	r = moat_baseline_new(&options, &detect->baseline);
	if (r < 0)
		return r;
	r = moat_evidence_new(config->seed, &detect->evidence);
	if (r < 0)
		return r;
	r = moat_known_sources_new(config->seed, &detect->known);
	if (r < 0)
		return r;
	detect->tracks = calloc(detect->config.hosts, sizeof(*detect->tracks));
	if (!detect->tracks)
		return -ENOMEM;
	r = detectors_init(detect);
	if (r < 0)
		return r;
	*ret_detect = moat_take_ptr(detect);
	return 0;
}

void moat_detect_free(struct moat_detect *detect)
{
	if (!detect)
		return;
	for (size_t i = 0; moat_detectors[i]; i++)
		if (moat_detectors[i]->deinit)
			moat_detectors[i]->deinit(detect->states[i]);
	moat_hosts_free(detect->hosts);
	moat_baseline_free(detect->baseline);
	moat_evidence_free(detect->evidence);
	moat_known_sources_free(detect->known);
	free(detect->tracks);
	free(detect);
}

void moat_detect_sample(struct moat_detect *detect, const struct moat_sample *sample)
{
	detect->counters.samples++;
	moat_evidence_add(detect->evidence, sample);
}

void moat_detect_known(const struct moat_detect *detect, moat_known_fn handler, void *userdata)
{
	moat_known_sources_each(detect->known, handler, userdata);
}

/* ---- flows and contents ------------------------------------------------------------------------ */

static void suspect_behaviour(void *engine, const struct moat_suspicion *suspicion)
{
	moat_findings_behaviour(engine, suspicion);
}

static bool is_active(const struct moat_detect *detect, size_t i)
{
	return (moat_detectors[i]->modes & detect->config.mode) != 0;
}

void moat_detect_flow(struct moat_detect *detect, const struct moat_flow_record *record)
{
	detect->counters.flows++;
	detect->event_ns = record->last_ns;
	for (size_t i = 0; moat_detectors[i]; i++)
		if (moat_detectors[i]->flow && is_active(detect, i))
			moat_detectors[i]->flow(detect->states[i], &detect->config, record,
						suspect_behaviour, detect);
}

void moat_detect_content(struct moat_detect *detect, const struct moat_content *content)
{
	detect->counters.contents++;
	detect->event_ns = content->time_ns;
	for (size_t i = 0; moat_detectors[i]; i++)
		if (moat_detectors[i]->content && is_active(detect, i))
			moat_detectors[i]->content(detect->states[i], &detect->config, content,
						   suspect_behaviour, detect);
}

static void close_second(struct moat_detect *detect)
{
	if (detect->now_ns - detect->second_ns < MOAT_NS_PER_S)
		return;
	detect->second_ns = detect->now_ns;
	detect->event_ns = detect->now_ns;
	for (size_t i = 0; moat_detectors[i]; i++)
		if (moat_detectors[i]->second && is_active(detect, i))
			moat_detectors[i]->second(detect->states[i], &detect->config,
						  detect->now_ns, suspect_behaviour, detect);
}

/* ---- a host's window --------------------------------------------------------------------------- */

static void suspect(void *engine, const struct moat_suspicion *suspicion)
{
	struct moat_detect *detect = engine;
	const struct moat_host_window *window = detect->current_window;
	const struct moat_host_window *second = detect->current_second;
	bool from = suspicion->subject_is_source;
	const struct moat_traffic *side = from ? &window->from : &window->to;
	struct moat_accusation *accusation;

	/* as with findings: sources that are suspected leave room for victims */
	if (detect->accusation_count == (from ? MOAT_SUSPICIONS_MAX / 4 * 3 : MOAT_SUSPICIONS_MAX)) {
		detect->counters.findings_refused++;
		return;
	}
	accusation = &detect->accusations[detect->accusation_count++];
	*accusation = (struct moat_accusation){
		.suspicion = *suspicion,
		.host = detect->current,
		.syn_pps = moat_window_rate(window, (double)side->tcp_syn),
		.syn_second = moat_window_rate(second, (double)(from ? second->from.tcp_syn
								     : second->to.tcp_syn)),
		.is_udp = 2 * side->udp > side->packets,
	};
}

static bool is_protected(const struct moat_detect_config *config, const struct moat_addr *addr)
{
	for (size_t i = 0; i < config->protected_count; i++)
		if (moat_prefix_contains(&config->protected_prefixes[i], addr))
			return true;
	return config->protected_count == 0;
}

static void judge_window(struct moat_detect *detect, struct moat_track *track,
			 const struct moat_host_window *window,
			 const struct moat_host_window *second)
{
	struct moat_baseline_score score;
	struct moat_host_view view = {
		.window = window,
		.second = second,
		.usual = &track->usual,
		.learning = detect->learning,
		.open = track->open,
	};

	/* Below the lowest floor no flood is possible: the costly answers are left out. */
	if (track->open || moat_window_rate(window, (double)window->to.packets) >= detect->busy_pps ||
	    moat_window_rate(window, (double)window->from.packets) >= detect->busy_pps) {
		float vector[MOAT_FEATURE_COUNT];

		view.is_protected = is_protected(&detect->config, &window->addr);
		view.is_ours = view.is_protected && detect->config.protected_count > 0;
		moat_features_of(second, vector);
		if (!detect->learning && moat_baseline_score(detect->baseline, vector, &score) == 0)
			view.baseline = &score;
	}
	for (size_t i = 0; moat_detectors[i]; i++)
		if (moat_detectors[i]->window && is_active(detect, i))
			moat_detectors[i]->window(detect->states[i], &detect->config, &view,
						  suspect, detect);
}

/*
 * A conversation has two sides. Where most are seen with both of them, one that isn't answered makes nobody
 * known: its source may be forged (RSTs are no answer: they are what forged ACKs get). Whether they are is
 * learned with everything else, and then stays: else forged ones in great number could teach it away.
 */
static bool is_answered(struct moat_detect *detect, const struct moat_host_window *second)
{
	bool answered = second->to.tcp_ack + second->to.udp > 0;

	if (detect->learning)
		detect->conversations[answered]++;
	return answered || detect->conversations[1] <= detect->conversations[0];
}

/* Once a second for each host: what it did was normal, unless anything about it was suspicious lately. */
static void learn_second(struct moat_detect *detect, struct moat_track *track,
			 const struct moat_host_window *second)
{
	float vector[MOAT_FEATURE_COUNT];

	if (track->open || (track->suspect_ns && detect->now_ns - track->suspect_ns < CALM_NS))
		return;
	if (second->to.packets + second->from.packets == 0)
		return;
	moat_usual_take(&track->usual, second);
	moat_features_of(second, vector);
	moat_baseline_learn(detect->baseline, &second->addr, vector);
	/* nobody becomes known during an attack: its sources would be the first */
	if (detect->alarm_ns && detect->now_ns - detect->alarm_ns < CALM_NS)
		return;
	if (moat_track_converse(track, second) && is_answered(detect, second))
		moat_known_sources_add(detect->known, &second->addr);
}

static void host_window(void *userdata, uint32_t host, bool is_new,
			const struct moat_host_window *window, const struct moat_host_window *second)
{
	struct moat_detect *detect = userdata;
	struct moat_track *track = &detect->tracks[host];
	uint32_t before = detect->accusation_count;

	if (is_new)
		memset(track, 0, sizeof(*track));
	detect->current = host;
	detect->current_window = window;
	detect->current_second = second;
	judge_window(detect, track, window, second);
	if (detect->accusation_count > before)
		track->suspect_ns = detect->now_ns;
	/* hosts take turns, so that every window has its share of the work */
	if ((detect->tick + host) % MOAT_SECOND_WINDOWS == 0)
		learn_second(detect, track, second);
}

/* ---- a window ---------------------------------------------------------------------------------- */

static void fit_baseline(struct moat_detect *detect)
{
	if (detect->learning)
		detect->learning = detect->now_ns - detect->begin_ns < detect->config.learn_ns;
	if (detect->learning || detect->now_ns < detect->fit_ns)
		return;
	detect->fit_ns = detect->now_ns +
			 (moat_baseline_fit(detect->baseline) ? REFIT_NS : FIRST_FIT_RETRY_NS);
}

void moat_detect_tick(struct moat_detect *detect, const struct moat_cell_source *sources,
		      size_t count, uint32_t window, uint64_t start_ns, uint64_t length_ns)
{
	if (detect->begin_ns == 0)
		detect->begin_ns = start_ns;
	detect->tick++;
	detect->window_start_ns = start_ns;
	detect->now_ns = start_ns + length_ns;
	detect->accusation_count = 0;
	detect->counters.windows++;

	/* without memory for a new source the others are still judged */
	(void)moat_hosts_read(detect->hosts, sources, count, window, start_ns, length_ns,
			      host_window, detect);
	if (detect->accusation_count) {
		detect->alarm_ns = detect->now_ns;
		moat_arbiter_decide(detect);
	}
	close_second(detect);
	moat_findings_tick(detect);
	fit_baseline(detect);
}

void moat_detect_counters(const struct moat_detect *detect,
			  struct moat_detect_counters *ret_counters)
{
	struct moat_detect_counters counters = detect->counters;
	uint64_t spent = detect->now_ns - detect->begin_ns;

	moat_hosts_counters(detect->hosts, &counters.hosts);
	counters.last_finding = detect->next_id;
	counters.baseline_rows = moat_baseline_rows(detect->baseline);
	counters.baseline_clusters = moat_baseline_clusters(detect->baseline);
	counters.learning = detect->learning;
	counters.learned = detect->learning && detect->config.learn_ns > 0
				   ? fmin((double)spent / (double)detect->config.learn_ns, 1)
				   : 1;
	*ret_counters = counters;
}

/* ---- keeping ----------------------------------------------------------------------------------- */

int moat_detect_save(const struct moat_detect *detect, void **ret_bytes, size_t *ret_size)
{
	moat_cleanup(moat_baseline_image_deinit) struct moat_baseline_image image = {
		.last_finding = detect->next_id,
		.conversations = { detect->conversations[0], detect->conversations[1] },
	};
	void *bytes;
	int r = moat_baseline_export(detect->baseline, &image);

	if (r < 0)
		return r;
	bytes = malloc(moat_baseline_image_size(image.count));
	if (!bytes)
		return -ENOMEM;
	moat_baseline_image_write(&image, bytes);
	*ret_size = moat_baseline_image_size(image.count);
	*ret_bytes = bytes;
	return 0;
}

int moat_detect_restore(struct moat_detect *detect, const void *bytes, size_t size)
{
	moat_cleanup(moat_baseline_image_deinit) struct moat_baseline_image image = { 0 };
	int r = moat_baseline_image_read(bytes, size, &image);

	if (r < 0)
		return r;
	if (image.last_finding > detect->next_id)
		detect->next_id = image.last_finding;
	if (moat_baseline_import(detect->baseline, &image)) {
		detect->learning = false;
		detect->fit_ns = detect->now_ns + REFIT_NS;
		detect->conversations[0] = image.conversations[0];
		detect->conversations[1] = image.conversations[1];
	}
	return 0;
}

void moat_detect_forget(struct moat_detect *detect)
{
	moat_baseline_reset(detect->baseline);
	detect->learning = true;
	detect->begin_ns = detect->now_ns;
	detect->fit_ns = 0;
	memset(detect->conversations, 0, sizeof(detect->conversations));
}
