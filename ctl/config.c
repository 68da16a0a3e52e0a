/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From raw YAML values to a configuration: defaults, and what each value must be to make sense. */
#include "ctl/config.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/config_challenge.h"
#include "ctl/config_priv.h"
#include "ctl/config_tunnels.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

/* Passes that respond.allow becomes share the rule table with everything else. */
#define RESPOND_ALLOW_MAX 128

int moat_config_bad(const struct reader *reader, const char *where, const char *format, ...)
{
	struct moat_mark mark = moat_marks_value(reader->marks, where);
	char why[384];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return moat_error_set(reader->error, -EINVAL, "%s:%zu:%zu: %s%s%s", reader->path, mark.line,
			      mark.column, where, *where ? ": " : "", why);
}

static int no_memory(const struct reader *reader)
{
	return moat_error_set(reader->error, -ENOMEM, "%s: out of memory", reader->path);
}

int moat_config_take_uint(const struct reader *reader, const char *where, const uint32_t *raw,
			  uint32_t min, uint32_t max, uint32_t *ret_value)
{
	if (!raw)
		return 0;
	if (*raw < min || *raw > max)
		return bad(reader, where, "%u is not in %u to %u", *raw, min, max);
	*ret_value = *raw;
	return 0;
}

static int take_power(const struct reader *reader, const char *where, const uint32_t *raw,
		      uint32_t min, uint32_t max, uint32_t *ret_value)
{
	if (raw && (*raw & (*raw - 1)) != 0)
		return bad(reader, where, "%u is not a power of two", *raw);
	return moat_config_take_uint(reader, where, raw, min, max, ret_value);
}

int moat_config_take_number(const struct reader *reader, const char *where, const double *raw,
			    double min, double max, double *ret_value)
{
	if (!raw)
		return 0;
	if (!isfinite(*raw) || *raw < min || *raw > max)
		return bad(reader, where, "%g is not in %g to %g", *raw, min, max);
	*ret_value = *raw;
	return 0;
}

int moat_config_take_duration(const struct reader *reader, const char *where, const char *raw,
			      uint64_t min_ns, uint64_t max_ns, uint64_t *ret_ns)
{
	uint64_t ns;

	if (!raw)
		return 0;
	if (moat_clock_parse_duration(raw, &ns) < 0)
		return bad(reader, where, "\"%s\" is no duration (say 90s, 5m or 1.5h)", raw);
	if (ns < min_ns || ns > max_ns)
		return bad(reader, where, "\"%s\" is not in %g s to %g s", raw,
			   (double)min_ns / (double)MOAT_NS_PER_S,
			   (double)max_ns / (double)MOAT_NS_PER_S);
	*ret_ns = ns;
	return 0;
}

int moat_config_take_prefix(const struct reader *reader, const char *where, const char *raw,
			    struct moat_prefix *ret_prefix)
{
	struct moat_prefix prefix;
	int r = moat_prefix_parse(raw, &prefix);

	if (r == -EDOM)
		return bad(reader, where, "\"%s\" has bits set behind the prefix", raw);
	if (r < 0 || prefix.family == MOAT_FAMILY_ANY)
		return bad(reader, where, "\"%s\" is no prefix (say 192.0.2.0/24 or 2001:db8::/32)",
			   raw);
	*ret_prefix = prefix;
	return 0;
}

int moat_config_take_prefixes(const struct reader *reader, const char *where, char *const *raw,
			      unsigned int count, struct moat_config_prefixes *list)
{
	struct moat_prefix *grown;
	char item[WHERE_LEN];

	if (count == 0)
		return 0;
	grown = reallocarray(list->prefixes, list->count + count, sizeof(*grown));
	if (!grown)
		return no_memory(reader);
	list->prefixes = grown;
	for (unsigned int i = 0; i < count; i++) {
		int r;

		snprintf(item, sizeof(item), "%s.%u", where, i);
		r = moat_config_take_prefix(reader, item, raw[i], &grown[list->count]);
		if (r < 0)
			return r;
		list->count++;
	}
	return 0;
}

int moat_config_take_path(const struct reader *reader, const char *where, const char *raw,
			  char **path)
{
	char *copy;

	if (!raw)
		return 0;
	if (raw[0] != '/')
		return bad(reader, where, "\"%s\" is no absolute path", raw);
	copy = strdup(raw);
	if (!copy)
		return no_memory(reader);
	free(*path);
	*path = copy;
	return 0;
}

static int take_gate(const struct reader *reader, const struct moat_raw_gate *raw,
		     struct moat_config *config)
{
	int r;

	if (!raw)
		return 0;
	r = take_power(reader, "gate.cells", raw->cells, 1024, 1u << 20, &config->gate_cells);
	if (r == 0)
		r = moat_config_take_uint(reader, "gate.nodes", raw->nodes, 1024, 1u << 22,
					  &config->gate_nodes);
	if (r == 0)
		r = take_power(reader, "gate.buckets", raw->buckets, 1u << MOAT_ROW_BITS_MIN,
			       1u << MOAT_ROW_BITS_MAX, &config->gate_buckets);
	if (r == 0)
		r = moat_config_take_uint(reader, "gate.sample_pass", raw->sample_pass, 0, 1u << 24,
					  &config->sample_pass);
	if (r == 0)
		r = moat_config_take_uint(reader, "gate.sample_drop", raw->sample_drop, 0, 1u << 24,
					  &config->sample_drop);
	return r;
}

static int take_rates(const struct reader *reader, const char *where,
		      const struct moat_raw_rates *raw, double rates[MOAT_FLOOD_RATES])
{
	static const char *const kinds[] = { "syn", "udp", "icmp", "amplification", "ack" };
	const double *const values[] = { raw ? raw->syn : NULL, raw ? raw->udp : NULL,
					 raw ? raw->icmp : NULL, raw ? raw->amplification : NULL,
					 raw ? raw->ack : NULL };
	char item[WHERE_LEN];
	int r = 0;

	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(kinds); i++) {
		snprintf(item, sizeof(item), "%s.%s", where, kinds[i]);
		r = moat_config_take_number(reader, item, values[i], 0, 1e9, &rates[i]);
	}
	return r;
}

/* At most `max` prefixes into an array of that many. */
static int take_hosts(const struct reader *reader, const char *key, char *const *raw,
		      unsigned int count, unsigned int max, struct moat_prefix *prefixes,
		      size_t *ret_count)
{
	char where[WHERE_LEN];

	if (count > max)
		return bad(reader, key, "%u prefixes, but %u at most", count, max);
	for (unsigned int i = 0; i < count; i++) {
		int r;

		snprintf(where, sizeof(where), "%s.%u", key, i);
		r = moat_config_take_prefix(reader, where, raw[i], &prefixes[i]);
		if (r < 0)
			return r;
	}
	*ret_count = count;
	return 0;
}

static int take_behaviours(const struct reader *reader, const struct moat_raw_detect *raw,
			   struct moat_detect_config *detect)
{
	int r = take_hosts(reader, "detect.admins", raw->admins, raw->admin_count, MOAT_ADMINS_MAX,
			   detect->admins, &detect->admin_count);

	if (r == 0)
		r = moat_config_take_number(reader, "detect.scan_failures", raw->scan_failures, 0,
					    1000, &detect->scan_failures);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.brute_logins", raw->brute_logins, 0,
					    10000, &detect->brute_logins);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.beacon_times", raw->beacon_times, 0, 20,
					    &detect->beacon_times);
	if (r == 0)
		r = moat_config_take_duration(reader, "detect.learn_edges", raw->learn_edges, 0,
					      90ULL * 86400 * MOAT_NS_PER_S,
					      &detect->learn_edges_ns);
	return r;
}

static int take_detect(const struct reader *reader, const struct moat_raw_detect *raw,
		       struct moat_detect_config *detect)
{
	int r;

	if (!raw)
		return 0;
	r = take_hosts(reader, "detect.protected", raw->protected_prefixes, raw->protected_count,
		       MOAT_PROTECTED_MAX, detect->protected_prefixes, &detect->protected_count);
	if (r == 0)
		r = moat_config_take_duration(reader, "detect.learn", raw->learn, 2 * MOAT_NS_PER_S,
					      7 * 86400 * MOAT_NS_PER_S, &detect->learn_ns);
	if (r == 0)
		r = take_rates(reader, "detect.floor", raw->floor, detect->floor_pps);
	if (r == 0)
		r = take_rates(reader, "detect.guard", raw->guard, detect->guard_pps);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.scan_targets", raw->scan_targets, 1,
					    1e6, &detect->scan_targets);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.sensitivity", raw->sensitivity, 0.01,
					    100, &detect->sensitivity);
	if (r == 0)
		r = moat_config_take_duration(reader, "detect.close_after", raw->close_after,
					      MOAT_NS_PER_S, 3600 * MOAT_NS_PER_S,
					      &detect->close_ns);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.collateral_max", raw->collateral_max, 0,
					    1, &detect->collateral_max);
	if (r == 0)
		r = moat_config_take_uint(reader, "detect.hosts", raw->hosts, 1024, 1u << 22,
					  &detect->hosts);
	if (r == 0)
		r = moat_config_take_uint(reader, "detect.clusters", raw->clusters, 1, 64,
					  &detect->clusters);
	if (r == 0)
		r = take_behaviours(reader, raw, detect);
	if (r == 0 && raw->seed)
		detect->seed = *raw->seed;
	return r;
}

/* An answer goes out where the SYN came in. */
static int check_answers(const struct reader *reader, const struct moat_config *config)
{
	for (size_t i = 0; i < config->port_count; i++) {
		if (config->ports[i].role != MOAT_ROLE_MIRROR)
			return 0;
	}
	return config->port_count ? bad(reader, "respond.challenge", "a mirror port can't answer")
				  : 0;
}

static int take_respond(const struct reader *reader, const struct moat_raw_respond *raw,
			struct moat_config *config)
{
	int r;

	if (!raw)
		return 0;
	config->respond.mode = (enum moat_respond_mode)raw->mode;
	r = moat_config_take_uint(reader, "respond.max_rules", raw->max_rules, 1,
				  MOAT_RESPOND_RULES_MAX, &config->respond.max_rules);
	if (r == 0)
		r = moat_config_take_duration(reader, "respond.hold", raw->hold, MOAT_NS_PER_S,
					      86400 * MOAT_NS_PER_S, &config->respond.hold_ns);
	if (r == 0 && raw->allow_count > RESPOND_ALLOW_MAX)
		r = bad(reader, "respond.allow",
			"%u prefixes, but %d at most (lists.allow takes more)", raw->allow_count,
			RESPOND_ALLOW_MAX);
	if (r == 0)
		r = moat_config_take_prefixes(reader, "respond.allow", raw->allow, raw->allow_count,
					      &config->respond_allow);
	config->respond.challenge = raw->challenge && *raw->challenge;
	if (r == 0 && config->respond.challenge)
		r = check_answers(reader, config);
	return r;
}

static int take_challenge(const struct reader *reader, const struct moat_raw_challenge *raw,
			  struct moat_challenge_options *options)
{
	char why[64];
	const char *where = raw ? moat_challenge_take(raw, options, why) : NULL;

	return where ? bad(reader, where, "%s", why) : 0;
}

static int take_files(const struct reader *reader, const struct moat_raw_lists *raw,
		      struct moat_config *config)
{
	char where[WHERE_LEN];

	if (raw->files_count == 0)
		return 0;
	config->list_files = calloc(raw->files_count, sizeof(*config->list_files));
	if (!config->list_files)
		return no_memory(reader);
	config->list_file_count = raw->files_count;
	for (unsigned int i = 0; i < raw->files_count; i++) {
		int r;

		snprintf(where, sizeof(where), "lists.files.%u", i);
		r = moat_config_take_path(reader, where, raw->files[i], &config->list_files[i]);
		if (r == 0 && access(raw->files[i], R_OK) < 0)
			r = bad(reader, where, "%s: %s", raw->files[i], strerror(errno));
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_lists(const struct reader *reader, const struct moat_raw_lists *raw,
		      struct moat_config *config)
{
	int r;

	if (!raw)
		return 0;
	r = moat_config_take_prefixes(reader, "lists.allow", raw->allow, raw->allow_count,
				      &config->list_allow);
	if (r == 0)
		r = moat_config_take_prefixes(reader, "lists.deny", raw->deny, raw->deny_count,
					      &config->list_deny);
	if (r == 0)
		r = take_files(reader, raw, config);
	return r;
}

static int take_events(const struct reader *reader, const struct moat_raw_events *raw,
		       struct moat_config *config)
{
	int r;

	if (!raw)
		return 0;
	if (raw->path && strcmp(raw->path, "none") == 0) {
		free(config->events_path);
		config->events_path = NULL;
		r = 0;
	} else {
		r = moat_config_take_path(reader, "events.path", raw->path, &config->events_path);
	}
	if (r == 0)
		config->events_host = raw->host ? *raw->host : config->events_host;
	if (r == 0)
		r = moat_config_take_uint(reader, "events.queue", raw->queue, 64, 1u << 20,
					  &config->events_queue);
	return r;
}

static int take_dpdk(const struct reader *reader, const struct moat_raw_dpdk *raw,
		     struct moat_config *config)
{
	if (raw->eal_count) {
		config->dpdk_eal = calloc(raw->eal_count, sizeof(*config->dpdk_eal));
		if (!config->dpdk_eal)
			return -ENOMEM;
	}
	for (unsigned int i = 0; i < raw->eal_count; i++) {
		config->dpdk_eal[i] = strdup(raw->eal[i]);
		if (!config->dpdk_eal[i])
			return -ENOMEM;
		config->dpdk_eal_count++;
	}
	return moat_config_take_uint(reader, "dpdk.idle_us", raw->idle_us, 0, 100000,
				     &config->dpdk_idle_us);
}

static int take_afxdp(const struct reader *reader, const struct moat_raw_afxdp *raw,
		      struct moat_afxdp_settings *settings)
{
	char why[64];
	const char *where = raw ? moat_afxdp_take(raw, settings, why) : NULL;

	return where ? bad(reader, where, "%s", why) : 0;
}

static int take_tunnels(const struct reader *reader, const struct moat_raw_config *raw,
			struct moat_config *config)
{
	for (unsigned int i = 0; i < raw->tunnels_count; i++) {
		const char *why = moat_tunnels_add(&config->tunnels, raw->tunnels[i]);
		char where[WHERE_LEN];

		snprintf(where, sizeof(where), "tunnels.%u", i);
		if (why)
			return bad(reader, where, "\"%.63s\" is %s", raw->tunnels[i], why);
	}
	return 0;
}

static int take_all(const struct reader *reader, const struct moat_raw_config *raw,
		    struct moat_config *config)
{
	int r = moat_config_take_path(reader, "run_dir", raw->run_dir, &config->run_dir);

	if (r == 0)
		r = moat_config_take_path(reader, "state_dir", raw->state_dir, &config->state_dir);
	if (r == 0)
		r = moat_config_take_path(reader, "pin_dir", raw->pin_dir, &config->pin_dir);
	if (r == 0 && raw->log_level)
		config->log_level = (enum moat_log_level)raw->log_level;
	if (r == 0)
		r = moat_config_take_ports(reader, raw, config);
	if (r == 0)
		r = take_gate(reader, raw->gate, config);
	if (r == 0)
		r = take_tunnels(reader, raw, config);
	if (r == 0)
		r = moat_config_take_stages(reader, raw, config);
	if (r == 0 && raw->dpdk)
		r = take_dpdk(reader, raw->dpdk, config);
	if (r == 0)
		r = take_afxdp(reader, raw->afxdp, &config->afxdp);
	if (r == 0)
		r = take_challenge(reader, raw->challenge, &config->challenge);
	if (r == 0)
		r = take_detect(reader, raw->detect, &config->detect);
	if (r == 0)
		r = take_respond(reader, raw->respond, config);
	if (r == 0)
		r = take_lists(reader, raw->lists, config);
	if (r == 0)
		r = take_events(reader, raw->events, config);
	if (r == 0)
		r = moat_config_take_outlets(reader, raw, config);
	return r;
}

/* The responder may name none of either list. */
static int join_allowed(struct moat_config *config)
{
	struct moat_config_prefixes *joined = &config->allow_sources;
	size_t count = config->respond_allow.count + config->list_allow.count;

	if (count == 0)
		return 0;
	joined->prefixes = calloc(count, sizeof(*joined->prefixes));
	if (!joined->prefixes)
		return -ENOMEM;
	for (size_t i = 0; i < config->respond_allow.count; i++)
		joined->prefixes[joined->count++] = config->respond_allow.prefixes[i];
	for (size_t i = 0; i < config->list_allow.count; i++)
		joined->prefixes[joined->count++] = config->list_allow.prefixes[i];
	config->respond.allow = joined->prefixes;
	config->respond.allow_count = joined->count;
	return 0;
}

int moat_config_default(struct moat_config **ret_config)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = calloc(1,
										   sizeof(*config));

	if (!config)
		return -ENOMEM;
	config->run_dir = strdup(MOAT_RUN_DIR_DEFAULT);
	config->state_dir = strdup(MOAT_STATE_DIR_DEFAULT);
	config->pin_dir = strdup(MOAT_GATE_PIN_DEFAULT);
	config->events_path = strdup(MOAT_EVENTS_DEFAULT);
	if (moat_stage_set_new(&config->stages) < 0)
		return -ENOMEM;
	if (!config->run_dir || !config->state_dir || !config->pin_dir || !config->events_path)
		return -ENOMEM;
	config->log_level = MOAT_LOG_INFO;
	config->sample_pass = 64;
	config->sample_drop = 1024;
	config->detect = moat_detect_config_default();
	config->detect.seed = 0;
	config->challenge = moat_challenge_default();
	config->afxdp = moat_afxdp_default();
	config->respond.mode = MOAT_RESPOND_OBSERVE;
	config->respond.max_rules = 64;
	config->respond.hold_ns = 60 * MOAT_NS_PER_S;
	config->events_queue = 8192;
	config->events_host = true;
	moat_config_default_outlets(config);
	*ret_config = moat_take_ptr(config);
	return 0;
}

int moat_config_parse(const char *path, const char *text, size_t length, unsigned int flags,
		      struct moat_config **ret_config, struct moat_error *error)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	moat_cleanup(moat_marks_free_cleanup) struct moat_marks *marks = NULL;
	moat_cleanup(moat_raw_config_free_cleanup) struct moat_raw_config *raw = NULL;
	static const struct moat_raw_config empty;
	struct reader reader = { .path = path, .error = error, .flags = flags };
	int r;

	r = moat_marks_new(path, text, length, &marks, error);
	if (r == 0)
		r = moat_raw_config_load(path, text, length, marks, &raw, error);
	if (r < 0)
		return r;
	reader.marks = marks;
	if (moat_config_default(&config) < 0)
		return no_memory(&reader);
	r = take_all(&reader, raw ? raw : &empty, config);
	if (r < 0)
		return r;
	config->path = strdup(path);
	if (!config->path || join_allowed(config) < 0)
		return no_memory(&reader);
	*ret_config = moat_take_ptr(config);
	return 0;
}

int moat_config_load(const char *path, unsigned int flags, struct moat_config **ret_config,
		     struct moat_error *error)
{
	moat_auto_fclose FILE *file = fopen(path, "re");
	moat_auto_free char *text = malloc(MOAT_CONFIG_BYTES_MAX + 1);
	struct stat facts;
	size_t length;

	if (!file)
		return moat_error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (!text)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	if (fstat(fileno(file), &facts) == 0 && S_ISDIR(facts.st_mode))
		return moat_error_set(error, -EISDIR, "%s: is a directory", path);
	length = fread(text, 1, MOAT_CONFIG_BYTES_MAX + 1, file);
	if (ferror(file))
		return moat_error_set(error, -EIO, "%s: can't be read", path);
	if (length > MOAT_CONFIG_BYTES_MAX)
		return moat_error_set(error, -EFBIG,
				      "%s: larger than %u bytes (long lists go to lists.files)",
				      path, MOAT_CONFIG_BYTES_MAX);
	return moat_config_parse(path, text, length, flags, ret_config, error);
}

void moat_config_free(struct moat_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->list_file_count; i++)
		free(config->list_files[i]);
	free(config->list_files);
	moat_stage_set_unref(config->stages);
	for (size_t i = 0; i < config->dpdk_eal_count; i++)
		free(config->dpdk_eal[i]);
	free(config->dpdk_eal);
	free(config->allow_sources.prefixes);
	free(config->respond_allow.prefixes);
	free(config->list_allow.prefixes);
	free(config->list_deny.prefixes);
	moat_config_free_outlets(config);
	free(config->events_path);
	free(config->pin_dir);
	free(config->state_dir);
	free(config->run_dir);
	free(config->path);
	free(config);
}

void moat_config_free_cleanup(struct moat_config **config)
{
	moat_config_free(*config);
}
