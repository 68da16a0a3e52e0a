/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lines that clients send: what is no request is refused with a reason that fits into an answer. */
#include "ctl/message.h"
#include "dataplane/base/cleanup.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moat_request request = { 0 };
	struct moat_error error = { .text = "" };
	moat_auto_free char *answer = NULL;
	json_t *back;

	if (moat_request_parse((const char *)data, size, &request, &error) < 0) {
		MOAT_FUZZ_ASSERT(!request.id && !request.params);
		MOAT_FUZZ_ASSERT(error.text[0] != '\0');
		answer = moat_message_error(NULL, -22, error.text);
	} else {
		MOAT_FUZZ_ASSERT(json_is_object(request.params));
		MOAT_FUZZ_ASSERT(memchr(request.method, '\0', sizeof(request.method)));
		answer = moat_message_result(request.id, request.params);
	}
	MOAT_FUZZ_ASSERT(answer);
	/* one line, which reads back */
	MOAT_FUZZ_ASSERT(strchr(answer, '\n') == answer + strlen(answer) - 1);
	back = json_loads(answer, 0, NULL);
	MOAT_FUZZ_ASSERT(json_is_object(back));
	json_decref(back);
	moat_request_deinit(&request);
	return 0;
}
