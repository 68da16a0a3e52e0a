/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* neighbour IF: puts somebody else's program (neighbour.bpf.c) into libxdp's dispatcher on an interface until
 * standard input ends; prints one line of JSON once it is there, or why it can't be. For dispatcher.py. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "neighbour.skel.h"

#include "dataplane/dispatch.h"

int main(int argc, char **argv)
{
	struct moat_error error = { .text = "" };
	struct neighbour *skeleton = neighbour__open();
	int ifindex = argc == 2 ? (int)if_nametoindex(argv[1]) : 0;
	int r;

	if (!skeleton || !ifindex)
		return 2;
	r = moat_dispatch_attach(skeleton->obj, "neighbour", ifindex, false, &error);
	printf("{\"result\": %d, \"text\": \"%s\"}\n", r, error.text);
	fflush(stdout);
	while (r == 0 && getchar() != EOF)
		;
	if (r == 0)
		r = moat_dispatch_detach(bpf_program__fd(skeleton->progs.neighbour), ifindex);
	neighbour__destroy(skeleton);
	return r < 0;
}
