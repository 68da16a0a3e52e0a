/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of a container beside its id, as one JSON object of texts, each left out where it isn't
 * known: uid (the id), name, image, digest, image_id, runtime, pod, pod_uuid, namespace, orchestrator, source
 * (which reader told it), and labels, an object of texts. It is read from what the runtimes keep.
 */
#ifndef MOAT_CTL_SIDECAR_FACTS_H
#define MOAT_CTL_SIDECAR_FACTS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* Bounds: of a text in bytes (cut there), of labels in number, of all of it as compact JSON. What is beyond
 * is left out, and labels_cut says so. */
#define MOAT_FACTS_TEXT_MAX 512
#define MOAT_FACTS_LABELS_MAX 64
#define MOAT_FACTS_SIZE_MAX 16384

enum moat_facts_form {
	MOAT_FACTS_OCI_CONFIG, /* config.json of a bundle: annotations */
	MOAT_FACTS_RUNC,       /* state.json of runc */
	MOAT_FACTS_CRUN,       /* status of crun */
	MOAT_FACTS_DOCKER,     /* config.v2.json of dockerd */
	MOAT_FACTS_STORAGE, /* containers.json of containers/storage (podman, CRI-O): all of them */
	MOAT_FACTS_FORM_COUNT,
};

/* What a file says beside facts. */
struct moat_facts_place {
	char bundle[512];      /* directory of config.json; empty: not said */
	char cgroups[16][512]; /* of the container, absolute; what doesn't fit is left out */
	size_t cgroup_count;
};

/* Adds to `facts` what the text says of container `id` and the object doesn't hold yet. `ret_place` may be
 * NULL. 0; -EBADMSG: not JSON, or not of this form; -ENOENT: of other containers; -ENOMEM. */
int moat_facts_parse(enum moat_facts_form form, const char *text, size_t length, const char *id,
		     json_t *facts, struct moat_facts_place *ret_place);

/* Sets a text, cleaned and cut, unless there is one or the value is none or empty. */
void moat_facts_set(json_t *facts, const char *name, const char *value);

/* A container's id as the runtimes allow it: letters, digits, "_", "+", "-", "."; 1 to 128 of them, and no
 * dot first: it can name no other directory. */
bool moat_facts_id_is_valid(const char *id);

/* Writes name, image, runtime and pod into each "container" object of an OCSF event that is this one
 * (process.container, actor.process.container), and the rest into "unmapped". Facts without a uid change
 * nothing. `late`: they came after the event. */
void moat_facts_join(json_t *event, const json_t *facts, bool late);

#endif
