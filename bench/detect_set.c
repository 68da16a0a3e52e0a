/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench/detect_set.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "detect/finding.h"

#define KIND(kind) (1u << MOAT_FINDING_##kind)

static const struct {
	const char *name;
	uint32_t kinds;
} classes[BENCH_CLASSES] = {
	[BENCH_BENIGN] = { "benign", 0 },
	[BENCH_FLOOD] = { "flood", KIND(SYN_FLOOD) | KIND(UDP_FLOOD) | KIND(ICMP_FLOOD) |
					   KIND(AMPLIFICATION) | KIND(ACK_FLOOD) | KIND(CARPET) |
					   KIND(DHCP_FLOOD) | KIND(SLOW_HTTP) },
	[BENCH_SCAN] = { "scan", KIND(SCAN) },
	[BENCH_BRUTE] = { "brute", KIND(BRUTE_FORCE) },
	[BENCH_MINING] = { "mining", KIND(MINER) },
	[BENCH_C2] = { "c2", KIND(BEACON) | KIND(DNS_TUNNEL) | KIND(DGA) | KIND(EXFILTRATION) |
				     KIND(ANONYMIZER) | KIND(COMMAND) },
	[BENCH_LATERAL] = { "lateral", KIND(LATERAL) },
	[BENCH_INTERNET] = { "internet", KIND(SCAN) | KIND(BRUTE_FORCE) },
};

/* By folder; the labels in the list are sentences. */
static const struct {
	const char *folder;
	enum bench_class class;
	const char *family; /* of the whole folder; NULL: by the file's name */
} folders[] = {
	{ "benign-misc/", BENCH_BENIGN, NULL },
	{ "benign-ndpi/", BENCH_BENIGN, NULL },
	{ "benign-nfstream/", BENCH_BENIGN, NULL },
	{ "brute/", BENCH_BRUTE, NULL },
	{ "c2/", BENCH_C2, NULL },
	{ "c2-flows/", BENCH_C2, NULL },
	{ "ddos-cicddos2019/", BENCH_FLOOD, NULL },
	{ "ddos-suricata/", BENCH_FLOOD, NULL },
	{ "inet-host-72h/", BENCH_INTERNET, "inet-host" },
	{ "lateral/", BENCH_LATERAL, "401trg" },
	{ "mining/", BENCH_MINING, NULL },
	{ "mining-ifip119/", BENCH_MINING, "ifip119" },
	{ "scan/", BENCH_SCAN, NULL },
	{ "westermo-split/", BENCH_BENIGN, "westermo" },
};

/* Names that don't begin with their origin. */
static const struct {
	const char *begin, *family;
} origins[] = {
	{ "test", "slips" },
	{ "slips", "slips" },
	{ "simplescan", "simplescan" },
	{ "rita", "rita" },
	{ "agenttesla", "agenttesla" },
	{ "asyncrat", "asyncrat" },
	{ "bitcoin-mining", "bitcoin-mining" },
};

const char *bench_class_name(enum bench_class class)
{
	return classes[class].name;
}

static void family_of(const char *file, char ret_family[64])
{
	size_t length = 0;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(origins); i++) {
		if (strncmp(file, origins[i].begin, strlen(origins[i].begin)) == 0) {
			snprintf(ret_family, 64, "%s", origins[i].family);
			return;
		}
	}
	/* the application's name, without version, variant and number: "quic_q46_b" is "quic"; nDPI's
	 * attacks have their own names behind the prefix */
	if (strncmp(file, "ndpi_", 5) == 0)
		file += 5;
	while (isalpha((unsigned char)file[length]))
		length++;
	if (length == 0)
		length = strcspn(file, ".");
	snprintf(ret_family, 64, "%.*s", (int)(length < 63 ? length : 63), file);
}

/* Half of the families, by nothing but their names (FNV-1a); all of a family's captures go together. */
static bool is_test_family(const char *family)
{
	uint32_t hash = 2166136261u;

	for (; *family; family++)
		hash = (hash ^ (uint8_t)tolower((unsigned char)*family)) * 16777619u;
	return (hash ^ hash >> 16) & 1;
}

static bool is_readable_format(const char *name)
{
	static const char *const ends[] = { ".pcap", ".pcapng", ".log", ".binetflow", ".csv" };
	size_t length = strlen(name);

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(ends); i++) {
		size_t end = strlen(ends[i]);

		if (length > end && strcmp(name + length - end, ends[i]) == 0)
			return true;
	}
	return false;
}

/* A file that is "malicious", and nobody says how, is found by whatever its host does. */
static int add_capture(const char *data, const char *name, bool any_malice, struct bench_set *set)
{
	struct bench_capture *grown, *capture;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(folders); i++) {
		size_t length = strlen(folders[i].folder);

		if (strncmp(name, folders[i].folder, length) != 0)
			continue;
		if (!is_readable_format(name))
			break;
		grown = reallocarray(set->captures, set->count + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		set->captures = grown;
		capture = &grown[set->count++];
		memset(capture, 0, sizeof(*capture));
		snprintf(capture->path, sizeof(capture->path), "%s/%s", data, name);
		snprintf(capture->name, sizeof(capture->name), "%s", name);
		capture->class = folders[i].class;
		capture->kinds = classes[capture->class].kinds;
		if (any_malice)
			capture->kinds |= KIND(SCAN) | KIND(BRUTE_FORCE) | KIND(MINER);
		if (folders[i].family)
			snprintf(capture->family, sizeof(capture->family), "%s", folders[i].family);
		else
			family_of(name + length, capture->family);
		capture->is_test = is_test_family(capture->family);
		return 0;
	}
	fprintf(stderr, "detect: %s is left out: no reader for its format\n", name);
	set->skipped++;
	return 0;
}

int bench_set_load(const char *data, struct bench_set *ret_set)
{
	char path[4096], line[8192];
	moat_auto_fclose FILE *list = NULL;
	struct bench_set set = { 0 };
	int r = 0;

	snprintf(path, sizeof(path), "%s/MANIFEST.tsv", data);
	list = fopen(path, "re");
	if (!list)
		return -ENOENT;
	/* the first line names the columns */
	if (!fgets(line, sizeof(line), list))
		return -ENOENT;
	while (r == 0 && fgets(line, sizeof(line), list)) {
		bool any_malice = strstr(line, "\tmalicious") || strstr(line, "C2/malicious");

		line[strcspn(line, "\t\n")] = '\0';
		r = add_capture(data, line, any_malice, &set);
	}
	if (r < 0) {
		bench_set_deinit(&set);
		return r;
	}
	*ret_set = set;
	return 0;
}

void bench_set_deinit(struct bench_set *set)
{
	free(set->captures);
	*set = (struct bench_set){ 0 };
}
