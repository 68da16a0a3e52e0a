/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the look-alike generator shares between its XDP program and its user side. */
#pragma once

#define GENERATOR_VARIANTS 16
#define GENERATOR_HEAD 64 /* bytes of payload that differ from variant to variant */

enum generator_kind {
	GENERATOR_SYN = 0,  /* a Linux client's SYN */
	GENERATOR_UDP = 1,  /* the service's own queries */
	GENERATOR_ICMP = 2, /* ping's echo requests */
	GENERATOR_AMP = 3,  /* large answers from port 53 of many resolvers */
};

/* One form of the payload behind the layer-4 header; the frame's template holds what follows the head. */
struct generator_variant {
	unsigned short length; /* of the payload, in bytes */
	unsigned short pad;
	unsigned int sum;                   /* ones' complement sum of the payload, unfolded */
	unsigned char head[GENERATOR_HEAD]; /* zero behind the payload's end */
};

struct generator_config {
	unsigned char kind;
	unsigned char dscp;
	unsigned char source_mac[6];
	unsigned char target_mac[6];
	unsigned short target_port; /* host order */
	unsigned int target;        /* network order */
	unsigned int ifindex;
	unsigned int variants;
	unsigned int interval_ns; /* between frames */
	struct generator_variant variant[GENERATOR_VARIANTS];
};
