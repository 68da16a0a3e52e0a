/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See metadata.h. Each place is a directory of the host's administrator and a path of ours below it. */
#include "ctl/sidecar/metadata.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/sidecar/facts.h"
#include "ctl/sidecar/host_file.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define FILE_MAX (1u << 20)
#define LIST_MAX (4u << 20)
#define NAMESPACES_MAX 64
#define SEEN 4096 /* containers that were looked for; the later one takes the place */
#define WAIT_NS (1900 * MOAT_NS_PER_MS) /* done before the events are let go */
#define RETRY_NS (100 * MOAT_NS_PER_MS)
#define PATH_LEN 640

struct pending {
	char id[MOAT_CONTAINER_ID_LEN];
	uint64_t next_ns, until_ns;
};

struct moat_metadata {
	const char *root;
	moat_metadata_fn handler;
	void *userdata;
	char seen[SEEN][MOAT_CONTAINER_ID_LEN];
	struct pending pending[MOAT_METADATA_PENDING];
	size_t pending_count;
	struct moat_metadata_counters counters;
};

int moat_metadata_new(const char *root, moat_metadata_fn handler, void *userdata,
		      struct moat_metadata **ret_metadata)
{
	struct moat_metadata *metadata = calloc(1, sizeof(*metadata));

	if (!metadata)
		return -ENOMEM;
	metadata->root = root;
	metadata->handler = handler;
	metadata->userdata = userdata;
	*ret_metadata = metadata;
	return 0;
}

void moat_metadata_free(struct moat_metadata *metadata)
{
	free(metadata);
}

/* ---- places ------------------------------------------------------------------------------------- */

struct place {
	const char *directory, *before, *after; /* DIRECTORY, then BEFORE ID AFTER */
	enum moat_facts_form form;
	const char *source;
};

/* What tells most comes first: what is said once stays. */
static const struct place places[] = {
	{ "/var/lib/docker/containers", "", "/config.v2.json", MOAT_FACTS_DOCKER, "docker" },
	{ "/run/containers/storage", "overlay-containers/", "/userdata/config.json",
	  MOAT_FACTS_OCI_CONFIG, "storage" },
	{ "/var/lib/containers/storage", "overlay-containers/", "/userdata/config.json",
	  MOAT_FACTS_OCI_CONFIG, "storage" },
	{ "/run/runc", "", "/state.json", MOAT_FACTS_RUNC, "runc" },
	{ "/run/crun", "", "/status", MOAT_FACTS_CRUN, "crun" },
};

static bool take_file(struct moat_metadata *metadata, const char *directory, const char *path,
		      enum moat_facts_form form, const char *id, json_t *facts,
		      struct moat_facts_place *ret_place)
{
	size_t most = form == MOAT_FACTS_STORAGE ? LIST_MAX : FILE_MAX, length;
	moat_auto_free char *text = NULL;
	char rooted[PATH_LEN];
	int r;

	snprintf(rooted, sizeof(rooted), "%s%s", metadata->root, directory);
	r = moat_host_file_read(rooted, path, most, &text, &length);
	if (r == 0)
		r = moat_facts_parse(form, text, length, id, facts, ret_place);
	if (r < 0 && r != -ENOENT)
		metadata->counters.refused++;
	return r == 0;
}

static void take_place(struct moat_metadata *metadata, const struct place *place, const char *id,
		       json_t *facts)
{
	struct moat_facts_place more = { .cgroup_count = 0 };
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s%s%s", place->before, id, place->after);
	if (!take_file(metadata, place->directory, path, place->form, id, facts, &more))
		return;
	moat_facts_set(facts, "source", place->source);
	if (place->form == MOAT_FACTS_OCI_CONFIG) {
		/* the same writer's list of names and images */
		take_file(metadata, place->directory, "overlay-containers/containers.json",
			  MOAT_FACTS_STORAGE, id, facts, NULL);
		take_file(metadata, "/var/lib/containers/storage",
			  "overlay-containers/containers.json", MOAT_FACTS_STORAGE, id, facts, NULL);
	}
	if (more.bundle[0])
		take_file(metadata, more.bundle, "config.json", MOAT_FACTS_OCI_CONFIG, id, facts,
			  NULL);
}

/* containerd keeps tasks by its own namespaces, which only their directory tells. */
static void take_containerd(struct moat_metadata *metadata, const char *id, json_t *facts)
{
	static const char tasks[] = "/run/containerd/io.containerd.runtime.v2.task";
	char path[PATH_LEN];
	struct dirent *entry;
	DIR *directory;
	int left = NAMESPACES_MAX;

	snprintf(path, sizeof(path), "%s%s", metadata->root, tasks);
	directory = opendir(path);
	if (!directory)
		return;
	while (left-- > 0 && (entry = readdir(directory))) {
		if (!moat_facts_id_is_valid(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s/config.json", entry->d_name, id);
		if (!take_file(metadata, tasks, path, MOAT_FACTS_OCI_CONFIG, id, facts, NULL))
			continue;
		moat_facts_set(facts, "source", "containerd");
		moat_facts_set(facts, "runtime", "containerd");
		moat_facts_set(facts, "namespace", entry->d_name);
	}
	closedir(directory);
}

/* All that is known of it now, the caller's; NULL: nothing. */
static json_t *look(struct moat_metadata *metadata, const char *id)
{
	json_t *facts = json_object();

	take_place(metadata, &places[0], id, facts);
	take_containerd(metadata, id, facts);
	for (size_t i = 1; i < MOAT_ARRAY_SIZE(places); i++)
		take_place(metadata, &places[i], id, facts);
	if (json_object_get(facts, "source"))
		return facts;
	json_decref(facts);
	return NULL;
}

/* ---- looking again ------------------------------------------------------------------------------ */

static char *seen_of(struct moat_metadata *metadata, const char *id)
{
	uint32_t hash = 5381;

	for (; *id; id++)
		hash = hash * 33 + (unsigned char)*id;
	return metadata->seen[hash % SEEN];
}

static void tell(struct moat_metadata *metadata, const char *id, json_t *facts)
{
	if (facts)
		metadata->counters.found++;
	else
		metadata->counters.unknown++;
	metadata->handler(metadata->userdata, id, facts);
	json_decref(facts);
}

void moat_metadata_see(struct moat_metadata *metadata, const struct moat_container *container,
		       uint64_t now_ns)
{
	char *seen = seen_of(metadata, container->id);
	json_t *facts;

	if (!container->id[0] || strcmp(seen, container->id) == 0 ||
	    !moat_facts_id_is_valid(container->id))
		return;
	snprintf(seen, MOAT_CONTAINER_ID_LEN, "%s", container->id);
	facts = look(metadata, container->id);
	if (!facts && metadata->pending_count < MOAT_METADATA_PENDING) {
		struct pending *pending = &metadata->pending[metadata->pending_count++];

		snprintf(pending->id, sizeof(pending->id), "%s", container->id);
		pending->next_ns = now_ns + RETRY_NS;
		pending->until_ns = now_ns + WAIT_NS;
		return;
	}
	if (!facts)
		metadata->counters.crowded++;
	tell(metadata, container->id, facts);
}

void moat_metadata_advance(struct moat_metadata *metadata, uint64_t now_ns)
{
	for (size_t i = metadata->pending_count; i-- > 0;) {
		struct pending *pending = &metadata->pending[i], done = *pending;
		json_t *facts;

		if (now_ns < pending->next_ns)
			continue;
		pending->next_ns = now_ns + RETRY_NS;
		facts = look(metadata, pending->id);
		if (!facts && now_ns < pending->until_ns)
			continue;
		*pending = metadata->pending[--metadata->pending_count];
		if (facts)
			metadata->counters.late++;
		tell(metadata, done.id, facts);
	}
}

int moat_metadata_hook(struct moat_metadata *metadata, const char *state, size_t length,
		       char ret_id[MOAT_CONTAINER_ID_LEN], uint32_t *ret_pid)
{
	json_t *root = json_loadb(state, length, 0, NULL), *facts;
	const char *id = json_string_value(json_object_get(root, "id"));
	const char *bundle = json_string_value(json_object_get(root, "bundle"));
	json_int_t pid = json_integer_value(json_object_get(root, "pid"));

	if (!id || !moat_facts_id_is_valid(id) || !bundle || bundle[0] != '/' ||
	    strlen(bundle) >= PATH_LEN - 1) {
		json_decref(root);
		return -EBADMSG;
	}
	facts = look(metadata, id);
	if (!facts)
		facts = json_object();
	moat_facts_set(facts, "uid", id);
	moat_facts_set(facts, "source", "hook");
	take_file(metadata, bundle, "config.json", MOAT_FACTS_OCI_CONFIG, id, facts, NULL);
	snprintf(ret_id, MOAT_CONTAINER_ID_LEN, "%s", id);
	*ret_pid = pid > 0 && pid <= INT32_MAX ? (uint32_t)pid : 0;
	snprintf(seen_of(metadata, id), MOAT_CONTAINER_ID_LEN, "%s", id);
	for (size_t i = metadata->pending_count; i-- > 0;) {
		if (strcmp(metadata->pending[i].id, id) == 0)
			metadata->pending[i] = metadata->pending[--metadata->pending_count];
	}
	tell(metadata, ret_id, facts);
	json_decref(root);
	return 0;
}

/* ---- cgroups without a long id ------------------------------------------------------------------ */

static bool names(const struct moat_facts_place *place, const char *path)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < place->cgroup_count; i++) {
		size_t whole = strlen(place->cgroups[i]);

		if (whole >= length && strcmp(place->cgroups[i] + whole - length, path) == 0)
			return true;
	}
	return false;
}

/* Whether a runtime has a container of this id in this cgroup. */
static bool is_container(struct moat_metadata *metadata, const char *id, const char *cgroup,
			 struct moat_container *container)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(places); i++) {
		struct moat_facts_place place = { .cgroup_count = 0 };
		char path[PATH_LEN];
		json_t *facts;
		bool is;

		if (places[i].form != MOAT_FACTS_RUNC && places[i].form != MOAT_FACTS_CRUN)
			continue;
		facts = json_object();
		snprintf(path, sizeof(path), "%s%s", id, places[i].after);
		is = take_file(metadata, places[i].directory, path, places[i].form, id, facts,
			       &place) &&
		     names(&place, cgroup);
		json_decref(facts);
		if (!is)
			continue;
		snprintf(container->id, sizeof(container->id), "%s", id);
		snprintf(container->runtime, sizeof(container->runtime), "%s", places[i].source);
		return true;
	}
	return false;
}

bool moat_metadata_identify(struct moat_metadata *metadata, const char *path,
			    struct moat_container *container)
{
	static const char *const prefixes[] = { "runc-", "crun-", "libpod-", "" };
	char whole[MOAT_CONTAINER_PATH_LEN];

	/* from the outermost on: what is below a container is its own doing */
	for (const char *at = path; *at; at += strcspn(at, "/")) {
		size_t length;
		char component[MOAT_CONTAINER_PATH_LEN];

		at += *at == '/';
		length = strcspn(at, "/");
		snprintf(component, sizeof(component), "%.*s", (int)length, at);
		snprintf(whole, sizeof(whole), "%.*s", (int)(at + length - path), path);
		if (length > 6 && strcmp(component + length - 6, ".scope") == 0)
			component[length - 6] = '\0';
		for (size_t i = 0; i < MOAT_ARRAY_SIZE(prefixes); i++) {
			size_t prefix = strlen(prefixes[i]);

			if (strncmp(component, prefixes[i], prefix) == 0 &&
			    moat_facts_id_is_valid(component + prefix) &&
			    is_container(metadata, component + prefix, whole, container))
				return true;
		}
	}
	return false;
}

void moat_metadata_counters(const struct moat_metadata *metadata,
			    struct moat_metadata_counters *ret_counters)
{
	*ret_counters = metadata->counters;
}
