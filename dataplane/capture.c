/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Captures through libpcap, which knows the formats; here are the errors an operator reads and the
 * Ethernet header of links that have none. */
#include "dataplane/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <pcap/pcap.h>
#include <string.h>
#include <sys/stat.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

struct moat_capture {
	pcap_t *pcap;
	int link; /* DLT_... */
	struct pcap_pkthdr *header;
	const uint8_t *bytes; /* the next packet's, libpcap's until the one after is read; NULL at the end */
	bool broke;
	uint64_t read; /* of the file, at the last packet */
	uint64_t size;
};

/* How to make an Ethernet frame of a link's frame: bytes to strip, and the type of what follows. */
struct link_header {
	size_t length;
	uint16_t ether_type;
};

/* Linux cooked headers: linux/sll.h; the libpcap link types of the same name. */
#define SLL_LEN 16
#define SLL_PROTOCOL 14
#define SLL2_LEN 20
#define SLL2_PROTOCOL 0
#define BSD_LOOPBACK_LEN 4

static uint16_t type_by_version(const uint8_t *ip, size_t length)
{
	if (length > 0 && ip[0] >> 4 == 4)
		return ETH_P_IP;
	if (length > 0 && ip[0] >> 4 == 6)
		return ETH_P_IPV6;
	return ETH_P_802_3; /* no EtherType at all: never taken for IP */
}

/* Address families of NULL and LOOP in either byte order: IPv4 is 2 everywhere, IPv6 differs by system
 * (24 NetBSD and OpenBSD, 28 FreeBSD, 30 Darwin, 10 Linux). */
static uint16_t type_by_family(const uint8_t *bytes)
{
	uint32_t family = bytes[0] ? bytes[0] : bytes[3];

	switch (family) {
	case 2:
		return ETH_P_IP;
	case 10:
	case 24:
	case 28:
	case 30:
		return ETH_P_IPV6;
	default:
		return ETH_P_802_3;
	}
}

/* False if the packet is too short for its link's header. */
static bool read_link_header(int link, const uint8_t *bytes, size_t length,
			     struct link_header *ret_header)
{
	struct link_header header = { 0 };

	switch (link) {
	case DLT_NULL:
	case DLT_LOOP:
		header.length = BSD_LOOPBACK_LEN;
		break;
	case DLT_LINUX_SLL:
		header.length = SLL_LEN;
		break;
	case DLT_LINUX_SLL2:
		header.length = SLL2_LEN;
		break;
	default:
		header.length = 0;
	}
	if (length < header.length)
		return false;
	switch (link) {
	case DLT_NULL:
	case DLT_LOOP:
		header.ether_type = type_by_family(bytes);
		break;
	case DLT_LINUX_SLL:
		header.ether_type = (uint16_t)(bytes[SLL_PROTOCOL] << 8 | bytes[SLL_PROTOCOL + 1]);
		break;
	case DLT_LINUX_SLL2:
		header.ether_type = (uint16_t)(bytes[SLL2_PROTOCOL] << 8 | bytes[SLL2_PROTOCOL + 1]);
		break;
	default:
		header.ether_type = type_by_version(bytes, length);
	}
	*ret_header = header;
	return true;
}

static bool is_known_link(int link)
{
	switch (link) {
	case DLT_EN10MB:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
	case DLT_NULL:
	case DLT_LOOP:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
		return true;
	default:
		return false;
	}
}

/* Reads ahead. What is there of a last, incomplete packet is left: its length isn't known for sure. */
static void read_next(struct moat_capture *capture)
{
	long position = ftell(pcap_file(capture->pcap));
	int r;

	if (position > 0)
		capture->read = (uint64_t)position;
	r = pcap_next_ex(capture->pcap, &capture->header, &capture->bytes);
	if (r == 1)
		return;
	capture->bytes = NULL;
	capture->broke = r == PCAP_ERROR;
	capture->read = capture->size;
}

/* libpcap wants a file that it can close itself, and its own messages lack the file's name and what is
 * known better from outside. */
static int open_file(const char *path, FILE **ret_file, uint64_t *ret_size, struct moat_error *error)
{
	moat_auto_fclose FILE *file = fopen(path, "rbe");
	struct stat status;

	if (!file || fstat(fileno(file), &status) < 0)
		return moat_error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return moat_error_set(error, -EINVAL, "%s: a directory, not a capture", path);
	if (S_ISREG(status.st_mode) && status.st_size == 0)
		return moat_error_set(error, -EINVAL, "%s: the file is empty", path);
	*ret_size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
	*ret_file = moat_take_ptr(file);
	return 0;
}

static int open_pcap(struct moat_capture *capture, const char *path, struct moat_error *error)
{
	char reason[PCAP_ERRBUF_SIZE] = "";
	moat_auto_fclose FILE *file = NULL;
	const char *name;
	int r;

	r = open_file(path, &file, &capture->size, error);
	if (r < 0)
		return r;
	capture->pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO,
								 reason);
	if (!capture->pcap)
		return moat_error_set(error, -EINVAL, "%s: not a capture: %s", path, reason);
	(void)moat_take_ptr(file); /* pcap_close closes it */
	capture->link = pcap_datalink(capture->pcap);
	if (!is_known_link(capture->link)) {
		name = pcap_datalink_val_to_name(capture->link);
		return moat_error_set(error, -EINVAL,
				      "%s: link type %s (%d) is neither Ethernet nor IP", path,
				      name ? name : "unknown", capture->link);
	}
	read_next(capture);
	if (capture->broke)
		return moat_error_set(error, -EINVAL, "%s: no whole packet in it: %s", path,
				      pcap_geterr(capture->pcap));
	return 0;
}

int moat_capture_open(const char *path, struct moat_capture **ret_capture, struct moat_error *error)
{
	struct moat_capture *capture = calloc(1, sizeof(*capture));
	int r;

	if (!capture)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	r = open_pcap(capture, path, error);
	if (r < 0) {
		moat_capture_close(capture);
		return r;
	}
	*ret_capture = capture;
	return 0;
}

void moat_capture_close(struct moat_capture *capture)
{
	if (!capture)
		return;
	if (capture->pcap)
		pcap_close(capture->pcap);
	free(capture);
}

bool moat_capture_peek(const struct moat_capture *capture, uint64_t *ret_time_ns)
{
	const struct pcap_pkthdr *header = capture->header;
	uint64_t time_ns;

	if (!capture->bytes)
		return false;
	/* with nanosecond precision libpcap puts nanoseconds into tv_usec; 0 would mean "now" */
	time_ns = header->ts.tv_sec < 0 ? 0
					: (uint64_t)header->ts.tv_sec * MOAT_NS_PER_S +
						  (uint64_t)header->ts.tv_usec;
	*ret_time_ns = time_ns ? time_ns : 1;
	return true;
}

/* A frame of a link without Ethernet header, with one that is made up (locally administered addresses). */
static void take_converted(const struct moat_capture *capture, size_t captured, size_t length,
			   struct moat_packet *packet)
{
	static const struct ethhdr made_up = { .h_dest = { 2, 0, 0, 0, 0, 2 },
					       .h_source = { 2, 0, 0, 0, 0, 1 } };
	struct ethhdr eth = made_up;
	struct link_header header;

	if (!read_link_header(capture->link, capture->bytes, captured, &header))
		header = (struct link_header){ .length = captured, .ether_type = ETH_P_802_3 };
	eth.h_proto = htons(header.ether_type);
	captured -= header.length;
	if (captured > MOAT_CAPTURE_FRAME_MAX - sizeof(eth))
		captured = MOAT_CAPTURE_FRAME_MAX - sizeof(eth);
	memcpy(packet->data, &eth, sizeof(eth));
	memcpy(packet->data + sizeof(eth), capture->bytes + header.length, captured);
	packet->captured = (uint32_t)(captured + sizeof(eth));
	packet->length = (uint32_t)(length - header.length + sizeof(eth));
}

void moat_capture_take(struct moat_capture *capture, struct moat_packet *packet)
{
	size_t captured = capture->header->caplen;
	/* a length below what was captured is a writer's fault; the bytes are there */
	size_t length = capture->header->len > captured ? capture->header->len : captured;

	moat_capture_peek(capture, &packet->time_ns);
	packet->cookie = 0;
	if (capture->link == DLT_EN10MB) {
		packet->captured = (uint32_t)(captured < MOAT_CAPTURE_FRAME_MAX
						      ? captured
						      : MOAT_CAPTURE_FRAME_MAX);
		packet->length = (uint32_t)length;
		memcpy(packet->data, capture->bytes, packet->captured);
	} else {
		take_converted(capture, captured, length, packet);
	}
	read_next(capture);
}

bool moat_capture_broke(const struct moat_capture *capture)
{
	return capture->broke;
}

void moat_capture_position(const struct moat_capture *capture, uint64_t *read, uint64_t *size)
{
	*read += capture->read;
	*size += capture->size;
}
