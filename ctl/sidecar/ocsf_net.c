/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network Activity, class 4001, and DNS Activity, class 4003. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctl/sidecar/ocsf_parts.h"
#include "ctl/sidecar/text.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "moat/event_net.h"

enum {
	CLASS_NETWORK = 4001,
	CLASS_DNS = 4003,
	ACTIVITY_OPEN = 1,
	ACTIVITY_CLOSE = 2,
	ACTIVITY_FAIL = 4,
	ACTIVITY_LISTEN = 7,
	ACTIVITY_QUERY = 1,
	DIRECTION_UNKNOWN = 0,
	DIRECTION_INBOUND = 1,
	DIRECTION_OUTBOUND = 2,
	TCP_CLOSE = 7, /* include/net/tcp_states.h */
};

/* ---- questions (RFC 1035, 4.1.2) ------------------------------------------------------------------ */

/* The name of a question, labels joined by dots, and where it ends; NULL: it isn't whole. A question has no
 * compression. The caller frees it. */
static char *question_name(const char *question, size_t length, size_t *ret_end)
{
	char name[MOAT_NET_TEXT_LEN + 1];
	size_t at = 0, written = 0;

	while (at < length && question[at]) {
		size_t label = (unsigned char)question[at++];

		if (label > 63 || label > length - at)
			return NULL;
		if (written)
			name[written++] = '.';
		memcpy(name + written, question + at, label);
		written += label;
		at += label;
	}
	if (at == length)
		return NULL;
	*ret_end = at + 1;
	return moat_text_clean(written ? name : ".", written ? written : 1);
}

static unsigned int word_at(const char *at)
{
	return (unsigned int)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

/* Names of the types that queries are for, as OCSF wants a text (IANA, DNS parameters). */
static const char *type_name(unsigned int type, char ret_text[16])
{
	static const struct {
		unsigned int type;
		const char *name;
	} names[] = {
		{ 1, "A" },     { 2, "NS" },     { 5, "CNAME" },  { 6, "SOA" },
		{ 12, "PTR" },  { 15, "MX" },    { 16, "TXT" },   { 28, "AAAA" },
		{ 33, "SRV" },  { 35, "NAPTR" }, { 43, "DS" },    { 48, "DNSKEY" },
		{ 64, "SVCB" }, { 65, "HTTPS" }, { 252, "AXFR" }, { 255, "ANY" },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(names); i++) {
		if (names[i].type == type)
			return names[i].name;
	}
	snprintf(ret_text, 16, "TYPE%u", type); /* RFC 3597, 5 */
	return ret_text;
}

static json_t *query_of(const struct moat_event_net *event)
{
	size_t end = 0;
	moat_auto_free char *name = question_name(event->text, event->text_len, &end);
	char type[16], class[16];
	json_t *query;

	if (!name || end + 4 > event->text_len)
		return json_pack("{s:s}", "hostname", "");
	query = json_pack("{s:s, s:s, s:i}", "hostname", name, "type",
			  type_name(word_at(event->text + end), type), "packet_uid",
			  (int)event->call.values[0]);
	if (word_at(event->text + end + 2) == 1)
		moat_ocsf_add(query, "class", json_string("IN"));
	else if (snprintf(class, sizeof(class), "CLASS%u", word_at(event->text + end + 2)) > 0)
		moat_ocsf_add(query, "class", json_string(class));
	return query;
}

/* ---- sockets ------------------------------------------------------------------------------------ */

static json_t *endpoint(const struct moat_event_net *event, const struct moat_addr *addr,
			uint16_t port)
{
	char text[MOAT_ADDR_TEXT_LEN];

	if (event->family != AF_INET && event->family != AF_INET6)
		return json_object();
	return json_pack("{s:s, s:i}", "ip", moat_addr_format(addr, text), "port", (int)port);
}

static const char *protocol_name(const struct moat_event_net *event)
{
	if (event->family == AF_UNIX)
		return "unix";
	switch (event->protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	default:
		return NULL;
	}
}

static bool is_inbound(const struct moat_event_net *event)
{
	return event->head.type == MOAT_EVENT_NET_ACCEPT ||
	       event->head.type == MOAT_EVENT_NET_LISTEN || event->head.type == MOAT_EVENT_NET_BIND;
}

static json_t *connection(const struct moat_event_net *event)
{
	bool states = event->head.type == MOAT_EVENT_NET_STATE ||
		      event->head.type == MOAT_EVENT_NET_SOCKET;
	int direction = states              ? DIRECTION_UNKNOWN
			: is_inbound(event) ? DIRECTION_INBOUND
					    : DIRECTION_OUTBOUND;
	json_t *object = json_pack("{s:i}", "direction_id", direction);
	const char *protocol = protocol_name(event);
	char uid[24];

	if (protocol)
		moat_ocsf_add(object, "protocol_name", json_string(protocol));
	if (event->family == AF_INET || event->family == AF_INET6)
		moat_ocsf_add(object, "protocol_num", json_integer(event->protocol));
	if (event->cookie) {
		snprintf(uid, sizeof(uid), "%llx", (unsigned long long)event->cookie);
		moat_ocsf_add(object, "uid", json_string(uid));
	}
	return object;
}

static int activity_of(const struct moat_event_net *event, const char **ret_name)
{
	bool failed = event->call.result < 0 && event->call.result != -EINPROGRESS &&
		      event->call.result != MOAT_RESULT_UNKNOWN;

	switch (event->head.type) {
	case MOAT_EVENT_NET_CONNECT:
	case MOAT_EVENT_NET_ACCEPT:
		return failed ? ACTIVITY_FAIL : ACTIVITY_OPEN;
	case MOAT_EVENT_NET_LISTEN:
		return failed ? ACTIVITY_FAIL : ACTIVITY_LISTEN;
	case MOAT_EVENT_NET_STATE:
		if (event->call.values[1] == TCP_CLOSE)
			return ACTIVITY_CLOSE;
		*ret_name = "State";
		return MOAT_OCSF_ACTIVITY_OTHER;
	default:
		*ret_name = event->head.type == MOAT_EVENT_NET_BIND ? "Bind" : "Socket";
		return MOAT_OCSF_ACTIVITY_OTHER;
	}
}

/* A Unix socket's name: a path, or '@' and what follows the 0, as tools write it. */
static void note_name(json_t *object, const struct moat_event_net *event)
{
	bool abstract = event->flags & MOAT_NET_ABSTRACT;
	size_t length = abstract ? event->text_len - 1U : strnlen(event->text, event->text_len);
	moat_auto_free char *clean = moat_text_clean(event->text + abstract, length);
	moat_auto_free char *name = NULL;

	if (!clean || asprintf(&name, "%s%s", abstract ? "@" : "", clean) < 0)
		return;
	moat_ocsf_note(object, "unix_path", json_string(name));
}

static void note_more(json_t *object, const struct moat_event_net *event)
{
	moat_ocsf_note(object, "family", json_integer(event->family));
	moat_ocsf_note(object, "type", json_integer(event->type));
	if (event->inode)
		moat_ocsf_note(object, "inode", json_integer((json_int_t)event->inode));
	if (event->family == AF_UNIX && event->text_len && event->head.type != MOAT_EVENT_NET_DNS)
		note_name(object, event);
	if (event->head.type == MOAT_EVENT_NET_STATE) {
		moat_ocsf_note(object, "state_before",
			       json_integer((json_int_t)event->call.values[0]));
		moat_ocsf_note(object, "state", json_integer((json_int_t)event->call.values[1]));
	}
	if (event->flags & MOAT_NET_ACTOR_UNKNOWN)
		moat_ocsf_note(object, "actor_unknown", json_true());
}

json_t *moat_ocsf_net_event(const struct moat_ocsf_context *context,
			    const struct moat_ocsf_event *told)
{
	const struct moat_event_net *event = (const struct moat_event_net *)told->event;
	bool is_dns = event->head.type == MOAT_EVENT_NET_DNS, inbound = is_inbound(event);
	const char *name = NULL;
	int activity = is_dns ? ACTIVITY_QUERY : activity_of(event, &name);
	json_t *object = moat_ocsf_base(context, told, is_dns ? CLASS_DNS : CLASS_NETWORK, activity);
	json_t *local = endpoint(event, &event->local, event->local_port);
	json_t *remote = endpoint(event, &event->remote, event->remote_port);

	if (name)
		moat_ocsf_add(object, "activity_name", json_string(name));
	moat_ocsf_add(object, "src_endpoint", inbound ? remote : local);
	moat_ocsf_add(object, "dst_endpoint", inbound ? local : remote);
	moat_ocsf_add(object, "connection_info", connection(event));
	if (is_dns)
		moat_ocsf_add(object, "query", query_of(event));
	if (event->flags & MOAT_NET_ENDED)
		moat_ocsf_add(object, "traffic",
			      json_pack("{s:I, s:I, s:I}", "bytes_out", (json_int_t)event->sent,
					"bytes_in", (json_int_t)event->received, "bytes",
					(json_int_t)(event->sent + event->received)));
	note_more(object, event);
	return object;
}
