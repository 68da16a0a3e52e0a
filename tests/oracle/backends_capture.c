/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See backends.h: captures, apart because libpcap and the kernel name the same things. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/oracle/backends.h"

bool backends_capture_write(const struct recording *recording, const char *path)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *out = pcap_dump_open(pcap, path);

	for (size_t i = 0; out && i < recording->frame_count; i++) {
		const struct recorded *frame = &recording->frames[i];
		struct pcap_pkthdr header = {
			.ts = { .tv_sec = (time_t)(frame->ms / 1000),
				.tv_usec = (suseconds_t)(frame->ms % 1000 * 1000) },
			.caplen = frame->length,
			.len = frame->length,
		};

		pcap_dump((u_char *)out, &header, frame->data);
	}
	if (out)
		pcap_dump_close(out);
	pcap_close(pcap);
	return out;
}

size_t backends_capture_take(struct backend *backend, uint8_t *buffer, size_t size)
{
	struct pcap_pkthdr *header;
	const u_char *data;

	if (pcap_next_ex(backend->data, &header, &data) != 1 || header->caplen > size)
		return 0;
	memcpy(buffer, data, header->caplen);
	return header->caplen;
}

static int pcap_backend_open(struct backend *backend, const struct recording *recording,
			     struct moat_port **ret_port, struct moat_error *error)
{
	char path[] = "/tmp/moat-backends-XXXXXX";
	const char *paths[] = { path };
	const struct moat_port_pcap_options options = { .paths = paths, .path_count = 1 };
	int fd = mkstemp(path), r = -EIO;

	if (fd < 0 || !backends_capture_write(recording, path))
		moat_error_set(error, r, "%s: can't be written", path);
	else
		r = moat_port_pcap_open(&options, ret_port, error);
	unlink(path);
	if (fd >= 0)
		close(fd);
	return r;
}

struct backend backend_pcap = { .name = "pcap", .open = pcap_backend_open };
