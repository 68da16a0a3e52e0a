/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/config_tunnels.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char words[] = "none of gre, ip, vxlan, vxlan:PORT, geneve, geneve:PORT";

/* The UDP port that a text is, 0 if it is none. */
static uint16_t parse_port(const char *text)
{
	char *end;
	unsigned long port;

	if (!isdigit((unsigned char)*text))
		return 0;
	port = strtoul(text, &end, 10);
	return *end == '\0' && port <= UINT16_MAX ? (uint16_t)port : 0;
}

const char *moat_tunnels_add(struct moat_tunnels *tunnels, const char *word)
{
	static const struct {
		const char *name;
		uint32_t kind;
	} names[] = {
		{ "gre", MOAT_STAGE_GRE },
		{ "ip", MOAT_STAGE_IP_TUNNEL },
		{ "vxlan", MOAT_STAGE_VXLAN },
		{ "geneve", MOAT_STAGE_GENEVE },
	};
	size_t length = strcspn(word, ":");
	struct moat_tunnels added = *tunnels;
	uint32_t kind = 0;
	uint16_t port = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i].name) == length && strncmp(names[i].name, word, length) == 0)
			kind = names[i].kind;
	}
	if (kind == 0)
		return words;
	if (word[length] == ':') {
		if (kind != MOAT_STAGE_VXLAN && kind != MOAT_STAGE_GENEVE)
			return "a kind of tunnel that has no port";
		port = parse_port(word + length + 1);
		if (port == 0)
			return "without a port from 1 to 65535 behind the colon";
	}
	if (tunnels->kinds & kind)
		return "named twice";
	added.kinds |= kind;
	if (kind == MOAT_STAGE_VXLAN)
		added.vxlan_port = port ? port : MOAT_VXLAN_PORT;
	else if (kind == MOAT_STAGE_GENEVE)
		added.geneve_port = port ? port : MOAT_GENEVE_PORT;
	if ((added.kinds & MOAT_STAGE_VXLAN) && (added.kinds & MOAT_STAGE_GENEVE) &&
	    added.vxlan_port == added.geneve_port)
		return "on the port of another tunnel";
	*tunnels = added;
	return NULL;
}
