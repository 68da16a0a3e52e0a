/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Capture files: read to their end or refused with a sentence, whatever is in them. */
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/capture.h"
#include "tests/fuzz/fuzz.h"

/* More packets than an input can hold. */
#define PACKETS_MAX 4096

static void read_all(struct moat_capture *capture)
{
	static uint8_t frame[MOAT_CAPTURE_FRAME_MAX];
	uint64_t time_ns, at = 0, size = 0;
	size_t packets = 0;

	while (moat_capture_peek(capture, &time_ns)) {
		struct moat_packet packet = { .data = frame };

		MOAT_FUZZ_ASSERT(time_ns >= 1);
		moat_capture_take(capture, &packet);
		MOAT_FUZZ_ASSERT(packet.captured <= sizeof(frame));
		MOAT_FUZZ_ASSERT(packet.captured <= packet.length);
		MOAT_FUZZ_ASSERT(++packets < PACKETS_MAX);
	}
	(void)moat_capture_broke(capture);
	moat_capture_position(capture, &at, &size);
	MOAT_FUZZ_ASSERT(at <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	moat_auto_close int fd = memfd_create("capture", MFD_CLOEXEC);
	struct moat_capture *capture = NULL;
	struct moat_error error = { .text = "" };
	char path[64];

	MOAT_FUZZ_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (moat_capture_open(path, &capture, &error) < 0) {
		MOAT_FUZZ_ASSERT(!capture);
		MOAT_FUZZ_ASSERT(strncmp(error.text, path, strlen(path)) == 0);
		return 0;
	}
	read_all(capture);
	moat_capture_close(capture);
	return 0;
}
