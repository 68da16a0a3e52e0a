/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The web hook: libcurl, one connection kept open between reports. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ctl/notify_priv.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#define RETRY_NS MOAT_NS_PER_S
#define LOOK_NS 100000000ULL

struct moat_notify_web {
	CURL *curl;
	struct curl_slist *headers;
	const atomic_bool *stop; /* of the post under way */
	char host[256];          /* for messages: the rest of a URL may be secret */
};

/* The server's words are of no use. */
static size_t on_body(char *data, size_t size, size_t count, void *userdata)
{
	return size * count;
}

static int on_progress(void *userdata, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	const struct moat_notify_web *web = userdata;

	return atomic_load(web->stop);
}

/* The first line of the token file, as a header. The file must not be readable by everybody. */
static int read_token(const char *path, char *ret_header, size_t size, struct moat_error *error)
{
	moat_auto_fclose FILE *file = fopen(path, "re");
	char line[MOAT_NOTIFY_TOKEN_MAX];
	struct stat facts;

	if (!file || fstat(fileno(file), &facts) < 0)
		return moat_error_set(error, -errno, "notify.token_file %s: %s", path,
				      strerror(errno));
	if (!S_ISREG(facts.st_mode) || (facts.st_mode & S_IROTH))
		return moat_error_set(error, -EPERM,
				      "notify.token_file %s: everybody can read it (chmod o-r)",
				      path);
	if (!fgets(line, sizeof(line), file))
		return moat_error_set(error, -EINVAL, "notify.token_file %s: is empty", path);
	line[strcspn(line, "\r\n")] = '\0';
	snprintf(ret_header, size, "Authorization: Bearer %s", line);
	explicit_bzero(line, sizeof(line));
	return 0;
}

static int add_header(struct moat_notify_web *web, const char *header)
{
	struct curl_slist *grown = curl_slist_append(web->headers, header);

	if (!grown)
		return -ENOMEM;
	web->headers = grown;
	return 0;
}

static int add_headers(struct moat_notify_web *web, const struct moat_notify_options *options,
		       struct moat_error *error)
{
	char token[MOAT_NOTIFY_TOKEN_MAX + 32];
	int r = add_header(web, "Content-Type: application/json");

	if (r == 0)
		r = add_header(web, "Expect:"); /* no extra round trip */
	if (r == 0 && options->token_file) {
		r = read_token(options->token_file, token, sizeof(token), error);
		if (r == 0)
			r = add_header(web, token);
		explicit_bzero(token, sizeof(token));
	}
	return r;
}

static void take_host(struct moat_notify_web *web, const char *url)
{
	CURLU *parts = curl_url();
	char *host = NULL;

	if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		snprintf(web->host, sizeof(web->host), "%s", host);
	curl_free(host);
	curl_url_cleanup(parts);
}

int moat_notify_web_new(const struct moat_notify_options *options, struct moat_notify_web **ret_web,
			struct moat_error *error)
{
	struct moat_notify_web *web = calloc(1, sizeof(*web));
	long timeout_ms = (long)(options->timeout_ns / 1000000);
	int r;

	if (!web)
		return -ENOMEM;
	web->curl = curl_easy_init();
	r = web->curl ? add_headers(web, options, error) : -ENOMEM;
	if (r < 0) {
		moat_notify_web_free(web);
		return r;
	}
	take_host(web, options->webhook);
	curl_easy_setopt(web->curl, CURLOPT_URL, options->webhook);
	/* no redirects: a token is for the server that was named */
	curl_easy_setopt(web->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(web->curl, CURLOPT_HTTPHEADER, web->headers);
	curl_easy_setopt(web->curl, CURLOPT_USERAGENT, "moat");
	curl_easy_setopt(web->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(web->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(web->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(web->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(web->curl, CURLOPT_XFERINFODATA, web);
	curl_easy_setopt(web->curl, CURLOPT_NOPROGRESS, 0L);
	*ret_web = web;
	return 0;
}

void moat_notify_web_free(struct moat_notify_web *web)
{
	if (!web)
		return;
	for (struct curl_slist *header = web->headers; header; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(web->headers);
	curl_easy_cleanup(web->curl);
	free(web);
}

/* One try. 0; -EPROTO: a status that asking again won't change; -EAGAIN: perhaps later. */
static int post_once(struct moat_notify_web *web, bool is_last)
{
	CURLcode code = curl_easy_perform(web->curl);
	long status = 0;

	curl_easy_getinfo(web->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && status >= 200 && status < 300)
		return 0;
	if (code != CURLE_OK && is_last)
		moat_log(MOAT_LOG_WARNING, "notify.webhook at %s: %s", web->host,
			 curl_easy_strerror(code));
	if (code != CURLE_OK)
		return -EAGAIN;
	/* too early, too many requests, and the server's own troubles pass */
	if (status != 408 && status != 425 && status != 429 && status < 500)
		is_last = true;
	if (is_last)
		moat_log(MOAT_LOG_WARNING, "notify.webhook at %s: status %ld", web->host, status);
	return is_last ? -EPROTO : -EAGAIN;
}

static void wait_for(uint64_t ns, const atomic_bool *stop)
{
	const struct timespec look = { 0, LOOK_NS };

	for (uint64_t waited = 0; waited < ns && !atomic_load(stop); waited += LOOK_NS)
		nanosleep(&look, NULL);
}

int moat_notify_web_post(struct moat_notify_web *web, const char *json, const atomic_bool *stop)
{
	int r = -ECANCELED;

	web->stop = stop;
	curl_easy_setopt(web->curl, CURLOPT_POSTFIELDS, json);
	for (unsigned int i = 1; i <= MOAT_NOTIFY_TRIES && !atomic_load(stop); i++) {
		r = post_once(web, i == MOAT_NOTIFY_TRIES);
		if (r != -EAGAIN)
			return r;
		if (i < MOAT_NOTIFY_TRIES)
			wait_for(i * RETRY_NS, stop);
	}
	return r;
}
