/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See probe_host.h. */
#include "ctl/probe_host.h"

#include "ctl/sidecar/families.h"
#include "ctl/sidecar/probes.h"
#include "ctl/sidecar/record.h"
#include "dataplane/base/cleanup.h"

static void ignore(void *userdata, const struct moat_event *event, uint32_t size)
{
}

json_t *moat_probe_host(struct moat_error *error)
{
	moat_cleanup(moat_probes_free_cleanup) struct moat_probes *probes = NULL;
	struct moat_event_set all = { 0 };
	struct moat_probes_options options = { .events = &all };
	json_t *list;

	for (uint32_t i = 0; i < moat_observation_count; i++)
		moat_event_set_add(&all, moat_observations[i].type);
	if (moat_probes_new(&options, ignore, NULL, &probes, error) < 0 ||
	    moat_probes_prove(probes, error) < 0)
		return NULL;
	list = json_array();
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		bool is_on;
		const struct moat_candidate *chosen = moat_probes_chosen(probes, i, &is_on);

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s}", "event",
					moat_event_name(moat_observations[i].type), "means",
					moat_means_name(chosen ? chosen->means : MOAT_MEANS_NONE),
					"lost", chosen ? chosen->lost : "everything"));
	}
	return list;
}
