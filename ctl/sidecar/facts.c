/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See facts.h. The files' shapes: OCI runtime-spec config.md; runc libcontainer/container.go (State); crun
 * src/libcrun/status.c; moby container/container.go; containers/storage containers.go. */
#include "ctl/sidecar/facts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/sidecar/text.h"
#include "dataplane/base/cleanup.h"

#define ID_MAX 128

bool moat_facts_id_is_valid(const char *id)
{
	size_t length = strlen(id);

	if (length < 1 || length > ID_MAX || id[0] == '.')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)id[i]) && !strchr("_+-.", id[i]))
			return false;
	}
	return true;
}

static json_t *text_of(const char *value)
{
	size_t length = strnlen(value, MOAT_FACTS_TEXT_MAX);
	moat_auto_free char *clean = moat_text_clean(value, length);

	return clean ? json_string(clean) : NULL;
}

void moat_facts_set(json_t *facts, const char *name, const char *value)
{
	if (value && value[0] && !json_object_get(facts, name))
		json_object_set_new(facts, name, text_of(value));
}

static const char *text_at(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void add_label(json_t *facts, const char *name, const char *value)
{
	json_t *labels = json_object_get(facts, "labels");
	moat_auto_free char *clean = moat_text_clean(name, strnlen(name, MOAT_FACTS_TEXT_MAX));

	if (!labels) {
		labels = json_object();
		if (json_object_set_new(facts, "labels", labels) < 0)
			return;
	}
	if (!clean || json_object_get(labels, clean))
		return;
	if (json_object_size(labels) >= MOAT_FACTS_LABELS_MAX)
		json_object_set_new(facts, "labels_cut", json_true());
	else
		json_object_set_new(labels, clean, text_of(value));
}

static void add_labels(json_t *facts, const json_t *labels)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)labels, name, value) {
		if (json_is_string(value))
			add_label(facts, name, json_string_value(value));
	}
}

/* ---- the forms ---------------------------------------------------------------------------------- */

/* Annotations of the CRI runtimes and of podman, by the fact that they tell. */
static const struct {
	const char *annotation, *fact;
} known[] = {
	{ "io.kubernetes.cri.container-name", "name" },
	{ "io.kubernetes.cri.image-name", "image" },
	{ "io.kubernetes.cri.sandbox-name", "pod" },
	{ "io.kubernetes.cri.sandbox-namespace", "namespace" },
	{ "io.kubernetes.cri.sandbox-uid", "pod_uuid" },
	{ "io.kubernetes.container.name", "name" },
	{ "io.kubernetes.pod.name", "pod" },
	{ "io.kubernetes.pod.namespace", "namespace" },
	{ "io.kubernetes.pod.uid", "pod_uuid" },
	{ "io.kubernetes.cri-o.ImageName", "image" },
	{ "io.kubernetes.cri-o.ImageRef", "image_id" },
	{ "io.kubernetes.cri-o.Name", "name" },
	{ "io.podman.annotations.name", "name" },
	{ "nerdctl/name", "name" },
	{ "nerdctl/namespace", "namespace" },
	{ "org.opencontainers.image.ref.name", "image" },
};

static void take_annotation(json_t *facts, const char *name, const char *value)
{
	json_t *labels;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(known); i++) {
		if (strcmp(name, known[i].annotation) != 0)
			continue;
		moat_facts_set(facts, known[i].fact, value);
		if (strncmp(name, "io.kubernetes.", 14) == 0)
			moat_facts_set(facts, "orchestrator", "Kubernetes");
		return;
	}
	if (strcmp(name, "io.kubernetes.cri-o.Labels") == 0) {
		labels = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
		add_labels(facts, labels);
		json_decref(labels);
		return;
	}
	add_label(facts, name, value);
}

static int take_config(const json_t *root, json_t *facts)
{
	json_t *value;
	const char *name;

	if (!json_object_get(root, "ociVersion"))
		return -EBADMSG;
	json_object_foreach(json_object_get(root, "annotations"), name, value) {
		if (json_is_string(value))
			take_annotation(facts, name, json_string_value(value));
	}
	return 0;
}

static void take_cgroup(struct moat_facts_place *place, const char *path)
{
	if (path && strlen(path) < sizeof(place->cgroups[0]) &&
	    place->cgroup_count < MOAT_ARRAY_SIZE(place->cgroups))
		snprintf(place->cgroups[place->cgroup_count++], sizeof(place->cgroups[0]), "%s",
			 path);
}

static void take_bundle(struct moat_facts_place *place, const char *path)
{
	if (path && path[0] == '/' && strlen(path) < sizeof(place->bundle))
		snprintf(place->bundle, sizeof(place->bundle), "%s", path);
}

/* Its labels are "bundle=DIRECTORY" and the annotations, likewise. */
static int take_runc(const json_t *root, const char *id, json_t *facts,
		     struct moat_facts_place *place)
{
	const json_t *labels = json_object_get(json_object_get(root, "config"), "labels");
	const char *said = text_at(root, "id"), *name;
	json_t *value;
	size_t i;

	if (!said)
		return -EBADMSG;
	if (strcmp(said, id) != 0)
		return -ENOENT;
	json_array_foreach(labels, i, value) {
		const char *label = json_is_string(value) ? json_string_value(value) : "";
		const char *equals = strchr(label, '=');
		moat_auto_free char *key = equals ? strndup(label, (size_t)(equals - label)) : NULL;

		if (key && strcmp(key, "bundle") == 0)
			take_bundle(place, equals + 1);
		else if (key)
			take_annotation(facts, key, equals + 1);
	}
	json_object_foreach(json_object_get(root, "cgroup_paths"), name, value)
		take_cgroup(place, json_string_value(value));
	moat_facts_set(facts, "runtime", "runc");
	return 0;
}

static int take_crun(const json_t *root, json_t *facts, struct moat_facts_place *place)
{
	if (!text_at(root, "bundle") || !text_at(root, "rootfs"))
		return -EBADMSG;
	take_bundle(place, text_at(root, "bundle"));
	take_cgroup(place, text_at(root, "cgroup-path"));
	moat_facts_set(facts, "runtime", "crun");
	return 0;
}

static int take_docker(const json_t *root, const char *id, json_t *facts)
{
	const json_t *config = json_object_get(root, "Config");
	const char *said = text_at(root, "ID"), *name = text_at(root, "Name");

	if (!said || !config)
		return -EBADMSG;
	if (strcmp(said, id) != 0)
		return -ENOENT;
	moat_facts_set(facts, "name", name && name[0] == '/' ? name + 1 : name);
	moat_facts_set(facts, "image", text_at(config, "Image"));
	moat_facts_set(facts, "image_id", text_at(root, "Image"));
	moat_facts_set(facts, "digest", text_at(json_object_get(root, "ImageManifest"), "digest"));
	moat_facts_set(facts, "runtime", "docker");
	add_labels(facts, json_object_get(config, "Labels"));
	return 0;
}

/* "metadata" is JSON in a text, written by podman and CRI-O. */
static int take_storage(const json_t *root, const char *id, json_t *facts)
{
	json_t *one, *metadata;
	size_t i;

	if (!json_is_array(root))
		return -EBADMSG;
	json_array_foreach(root, i, one) {
		const char *said = text_at(one, "id"), *inner = text_at(one, "metadata");

		if (!said || strcmp(said, id) != 0)
			continue;
		metadata = inner ? json_loads(inner, 0, NULL) : NULL;
		moat_facts_set(facts, "name", text_at(metadata, "name"));
		moat_facts_set(facts, "name",
			       json_string_value(json_array_get(json_object_get(one, "names"), 0)));
		moat_facts_set(facts, "image", text_at(metadata, "image-name"));
		moat_facts_set(facts, "image_id", text_at(one, "image"));
		json_decref(metadata);
		return 0;
	}
	return -ENOENT;
}

/* "name@sha256:…" carries the manifest's digest. */
static void take_digest(json_t *facts)
{
	const char *image = text_at(facts, "image"), *at = image ? strstr(image, "@sha256:") : NULL;

	if (at)
		moat_facts_set(facts, "digest", at + 1);
}

/* All of it within the bound: labels are what grows. */
static void bound(json_t *facts)
{
	if (json_dumpb(facts, NULL, 0, JSON_COMPACT) < MOAT_FACTS_SIZE_MAX)
		return;
	json_object_del(facts, "labels");
	json_object_set_new(facts, "labels_cut", json_true());
}

int moat_facts_parse(enum moat_facts_form form, const char *text, size_t length, const char *id,
		     json_t *facts, struct moat_facts_place *ret_place)
{
	struct moat_facts_place place = { .cgroup_count = 0 };
	json_t *root = json_loadb(text, length, 0, NULL);
	int r = -EBADMSG;

	if (!root)
		return r;
	if (form == MOAT_FACTS_OCI_CONFIG)
		r = take_config(root, facts);
	else if (form == MOAT_FACTS_RUNC)
		r = take_runc(root, id, facts, &place);
	else if (form == MOAT_FACTS_CRUN)
		r = take_crun(root, facts, &place);
	else if (form == MOAT_FACTS_DOCKER)
		r = take_docker(root, id, facts);
	else if (form == MOAT_FACTS_STORAGE)
		r = take_storage(root, id, facts);
	json_decref(root);
	if (r < 0)
		return r;
	moat_facts_set(facts, "uid", id);
	take_digest(facts);
	bound(facts);
	if (ret_place)
		*ret_place = place;
	return 0;
}

/* ---- joining ------------------------------------------------------------------------------------ */

static void copy(json_t *to, const json_t *facts, const char *from_name, const char *to_name)
{
	json_t *value = json_object_get(facts, from_name);

	if (value)
		json_object_set(to, to_name, value);
}

/* True if it is this container. */
static bool fill(json_t *container, const json_t *facts)
{
	const char *uid = text_at(container, "uid"), *ours = text_at(facts, "uid");
	const char *image;
	json_t *object;

	if (!uid || !ours || strcmp(uid, ours) != 0)
		return false;
	copy(container, facts, "name", "name");
	if (!text_at(container, "runtime")) /* a path says "podman" where the state says "crun" */
		copy(container, facts, "runtime", "runtime");
	copy(container, facts, "pod_uuid", "pod_uuid");
	copy(container, facts, "orchestrator", "orchestrator");
	image = text_at(facts, "image");
	if (!image)
		image = text_at(facts, "image_id");
	if (!image)
		return true;
	object = json_pack("{s:s}", "name", image);
	/* the schema wants a uid: the manifest's digest, else the image's id, else what it was named by */
	json_object_set_new(object, "uid", json_string(image));
	copy(object, facts, "image_id", "uid");
	copy(object, facts, "digest", "uid");
	json_object_set_new(container, "image", object);
	return true;
}

void moat_facts_join(json_t *event, const json_t *facts, bool late)
{
	static const char *const unmapped_names[] = { "pod",    "namespace",  "digest", "image_id",
						      "labels", "labels_cut", "source" };
	json_t *actor = json_object_get(json_object_get(event, "actor"), "process");
	bool theirs = fill(json_object_get(json_object_get(event, "process"), "container"), facts);
	json_t *unmapped = json_object_get(event, "unmapped"), *more;

	theirs |= fill(json_object_get(actor, "container"), facts);
	if (!theirs || !unmapped)
		return;
	more = json_object();
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(unmapped_names); i++)
		copy(more, facts, unmapped_names[i], unmapped_names[i]);
	if (late)
		json_object_set_new(more, "late", json_true());
	json_object_set_new(unmapped, "container", more);
}
