/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Payloads that anybody can send: the parsers of DNS, TLS and HTTP, and every detector that reads them. */
#include <string.h>

#include "detect/engine.h"
#include "detect/wire.h"
#include "detect/x509.h"
#include "tests/fuzz/fuzz.h"

static void ignore(void *userdata, const struct moat_finding *finding)
{
	MOAT_FUZZ_ASSERT(memchr(finding->sentence, 0, sizeof(finding->sentence)));
}

/* The first two bytes choose port and direction, so that each detector gets its share. */
static void check_detectors(struct moat_detect *detect, const uint8_t *data, size_t size)
{
	static const uint16_t ports[] = { 53, 21, 25, 67, 80, 135, 139, 443, 445, 587, 3333, 9999 };
	static uint64_t now_ns = 1000000000000ULL;
	struct moat_content content = { .time_ns = now_ns };

	if (size < 2)
		return;
	moat_addr_from_v4(&content.client, 0x0100000a);
	moat_addr_from_v4(&content.server, 0x0200000a + ((uint32_t)data[0] << 24));
	content.server_port = ports[data[0] % (sizeof(ports) / sizeof(ports[0]))];
	content.client_port = 40000;
	content.proto = content.server_port == 53 || content.server_port == 67 ? 17 : 6;
	content.direction = data[1] & 1;
	content.captured = (uint16_t)(size - 2 < MOAT_CONTENT_BYTES ? size - 2 : MOAT_CONTENT_BYTES);
	content.length = content.captured;
	memcpy(content.data, data + 2, content.captured);
	moat_detect_content(detect, &content);
	now_ns += 100000000;
	moat_detect_tick(detect, NULL, 0, (uint32_t)(now_ns >> 27), now_ns, 100000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct moat_detect *detect;
	char name[MOAT_NAME_LEN], value[32];
	struct moat_certificate certificate;
	struct moat_dns dns;
	bool whole;

	if (!detect) {
		struct moat_detect_config config = moat_detect_config_default();

		config.mode = MOAT_MODE_MIRROR;
		config.hosts = 1024;
		MOAT_FUZZ_ASSERT(moat_detect_new(&config, ignore, NULL, &detect) == 0);
	}
	if (moat_dns_parse(data, size, &dns)) {
		const char *registered = moat_name_registered(dns.name);

		MOAT_FUZZ_ASSERT(strlen(dns.name) < sizeof(dns.name));
		MOAT_FUZZ_ASSERT(registered >= dns.name && registered <= dns.name + strlen(dns.name));
		MOAT_FUZZ_ASSERT(dns.addr_count <= MOAT_DNS_ADDRS_MAX);
		MOAT_FUZZ_ASSERT(moat_text_entropy(dns.name, strlen(dns.name)) <= 8);
	}
	if (moat_tls_hello(data, size, name, &whole))
		MOAT_FUZZ_ASSERT(strlen(name) < sizeof(name));
	if (moat_tls_certificate(data, size, &certificate))
		MOAT_FUZZ_ASSERT(certificate.issuer >= data &&
				 certificate.issuer + certificate.issuer_length <= data + size);
	if (moat_http_header(data, size, "Host", value, sizeof(value)))
		MOAT_FUZZ_ASSERT(strlen(value) < sizeof(value));
	check_detectors(detect, data, size);
	return 0;
}
