/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the runtimes' files say, found where they stand, joined with events in time or late. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/sidecar/facts.h"
#include "ctl/sidecar/host_file.h"
#include "ctl/sidecar/joiner.h"
#include "ctl/sidecar/metadata.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "8fc1a2d4-7d1e-4f0b-9a3c-5b6d7e8f9012"
#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char root[64];

/* Writes a file below the root, with the directories on its way. */
static void put(const char *path, const char *text)
{
	char whole[512];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(whole, 0700);
		*at = '/';
	}
	file = fopen(whole, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
	fclose(file);
}

static void open_root(void)
{
	snprintf(root, sizeof(root), "/tmp/moat-metadata-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	return remove(path);
}

static void close_root(void)
{
	CU_ASSERT_EQUAL(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static const char
	docker[] = "{\"ID\":\"" ID
		   "\",\"Name\":\"/web\",\"Image\":\"sha256:abc\",\"Config\":{\"Image\":\"nginx@" DIGEST
		   "\",\"Labels\":{\"team\":\"a\",\"tier\":\"front\\u001b\"}}}";
static const char cri[] =
	"{\"ociVersion\":\"1.0.2\",\"annotations\":{\"io.kubernetes.cri.container-name\":\"api\","
	"\"io.kubernetes.cri.image-name\":\"registry/api:1\",\"io.kubernetes.cri.sandbox-name\":\"api-5d\","
	"\"io.kubernetes.cri.sandbox-namespace\":\"shop\",\"io.kubernetes.cri.sandbox-uid\":\"" POD
	"\"}}";
static const char podman[] = "{\"ociVersion\":\"1.0.2\",\"annotations\":{\"a.b\":\"c\"}}";
static const char storage[] =
	"[{\"id\":\"" ID "\",\"names\":[\"db\"],\"image\":\"abc\","
	"\"metadata\":\"{\\\"image-name\\\":\\\"postgres:15\\\",\\\"name\\\":\\\"db\\\"}\"}]";

struct got {
	int count;
	json_t *facts;
};

static void on_facts(void *userdata, const char *id, json_t *facts)
{
	struct got *got = userdata;

	got->count++;
	json_decref(got->facts);
	got->facts = json_incref(facts);
}

static const char *said(const struct got *got, const char *name)
{
	const char *text = json_string_value(json_object_get(got->facts, name));

	return text ? text : "";
}

static void find(struct got *got)
{
	static const struct moat_container container = { .id = ID };
	struct moat_metadata *metadata = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_metadata_new(root, on_facts, got, &metadata), 0);
	moat_metadata_see(metadata, &container, 1000);
	moat_metadata_see(metadata, &container, 2000);
	moat_metadata_free(metadata);
}

static void test_runtimes(void)
{
	struct got got = { 0 };

	open_root();
	put("/var/lib/docker/containers/" ID "/config.v2.json", docker);
	find(&got);
	CU_ASSERT_EQUAL(got.count, 1);
	CU_ASSERT_STRING_EQUAL(said(&got, "name"), "web");
	CU_ASSERT_STRING_EQUAL(said(&got, "digest"), DIGEST);
	CU_ASSERT_STRING_EQUAL(said(&got, "runtime"), "docker");
	CU_ASSERT_STRING_EQUAL(
		json_string_value(json_object_get(json_object_get(got.facts, "labels"), "tier")),
		"front\\x1b");
	close_root();
	open_root();
	put("/run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json", cri);
	find(&got);
	CU_ASSERT_STRING_EQUAL(said(&got, "name"), "api");
	CU_ASSERT_STRING_EQUAL(said(&got, "pod"), "api-5d");
	CU_ASSERT_STRING_EQUAL(said(&got, "pod_uuid"), POD);
	CU_ASSERT_STRING_EQUAL(said(&got, "namespace"), "shop");
	CU_ASSERT_STRING_EQUAL(said(&got, "source"), "containerd");
	close_root();
	open_root();
	put("/run/containers/storage/overlay-containers/" ID "/userdata/config.json", podman);
	put("/var/lib/containers/storage/overlay-containers/containers.json", storage);
	find(&got);
	CU_ASSERT_STRING_EQUAL(said(&got, "name"), "db");
	CU_ASSERT_STRING_EQUAL(said(&got, "image"), "postgres:15");
	json_decref(got.facts);
	close_root();
}

/* runc's state leads to the bundle, and names the cgroup of an id that is no long number. */
static void test_state(void)
{
	struct moat_metadata *metadata = NULL;
	struct moat_container container = { .id = "" };
	struct got got = { 0 };

	open_root();
	put("/run/runc/web/state.json",
	    "{\"id\":\"web\",\"cgroup_paths\":{\"pids\":\"/sys/fs/cgroup/pids/a/web\"},"
	    "\"config\":{\"labels\":[\"bundle=/b\",\"k=v=w\"]}}");
	put("/b/config.json", cri);
	put("/run/crun/job/status",
	    "{\"bundle\":\"/b\",\"rootfs\":\"/b/rootfs\",\"cgroup-path\":\"/sys/fs/cgroup/x/job\"}");
	CU_ASSERT_EQUAL_FATAL(moat_metadata_new(root, on_facts, &got, &metadata), 0);
	CU_ASSERT_FALSE(moat_metadata_identify(metadata, "/b/web", &container));
	CU_ASSERT_TRUE(moat_metadata_identify(metadata, "/a/web/inside", &container));
	CU_ASSERT_STRING_EQUAL(container.id, "web");
	CU_ASSERT_STRING_EQUAL(container.runtime, "runc");
	moat_metadata_see(metadata, &container, 1000);
	CU_ASSERT_STRING_EQUAL(said(&got, "name"), "api");
	CU_ASSERT_STRING_EQUAL(said(&got, "source"), "runc");
	CU_ASSERT_TRUE(moat_metadata_identify(metadata, "/x/job", &container));
	CU_ASSERT_STRING_EQUAL(container.runtime, "crun");
	json_decref(got.facts);
	moat_metadata_free(metadata);
	close_root();
}

static void test_late(void)
{
	static const struct moat_container container = { .id = ID }, other = { .id = "other" };
	struct moat_metadata_counters counters;
	struct moat_metadata *metadata = NULL;
	struct got got = { 0 };

	open_root();
	CU_ASSERT_EQUAL_FATAL(moat_metadata_new(root, on_facts, &got, &metadata), 0);
	moat_metadata_see(metadata, &container, 0);
	moat_metadata_see(metadata, &other, 0);
	moat_metadata_advance(metadata, MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(got.count, 0);
	put("/var/lib/docker/containers/" ID "/config.v2.json", docker);
	moat_metadata_advance(metadata, MOAT_NS_PER_S + 200 * MOAT_NS_PER_MS);
	CU_ASSERT_EQUAL(got.count, 1);
	CU_ASSERT_STRING_EQUAL(said(&got, "name"), "web");
	moat_metadata_advance(metadata, 2 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(got.count, 2); /* the other one: nothing */
	CU_ASSERT_PTR_NULL(got.facts);
	moat_metadata_counters(metadata, &counters);
	CU_ASSERT_EQUAL(counters.late, 1);
	CU_ASSERT_EQUAL(counters.unknown, 1);
	moat_metadata_free(metadata);
	close_root();
}

/* A hook tells of a container that nobody keeps a file of. */
static void test_hook(void)
{
	static const char
		state[] = "{\"ociVersion\":\"1.0.2\",\"id\":\"x1\",\"pid\":42,\"bundle\":\"/b\"}";
	static const char *const bad[] = { "", "{}", "{\"id\":\"../x\",\"bundle\":\"/b\"}",
					   "{\"id\":\"x\",\"bundle\":\"b\"}", "{\"id\":7}" };
	struct moat_metadata *metadata = NULL;
	char id[MOAT_CONTAINER_ID_LEN];
	struct got got = { 0 };
	uint32_t pid = 0;

	open_root();
	put("/b/config.json", cri);
	CU_ASSERT_EQUAL_FATAL(moat_metadata_new(root, on_facts, &got, &metadata), 0);
	CU_ASSERT_EQUAL(moat_metadata_hook(metadata, state, strlen(state), id, &pid), 0);
	CU_ASSERT_STRING_EQUAL(id, "x1");
	CU_ASSERT_EQUAL(pid, 42);
	CU_ASSERT_STRING_EQUAL(said(&got, "pod"), "api-5d");
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(bad); i++)
		CU_ASSERT_EQUAL(moat_metadata_hook(metadata, bad[i], strlen(bad[i]), id, &pid),
				-EBADMSG);
	CU_ASSERT_EQUAL(got.count, 1);
	json_decref(got.facts);
	moat_metadata_free(metadata);
	close_root();
}

/* No link, no pipe, no way out, nothing too long. */
static void test_file(void)
{
	char path[128], *text = NULL;
	size_t length;

	open_root();
	put("/d/file", "1234567890");
	snprintf(path, sizeof(path), "%s/d", root);
	CU_ASSERT_EQUAL(moat_host_file_read(path, "file", 10, &text, &length), 0);
	CU_ASSERT_EQUAL(length, 10);
	CU_ASSERT_STRING_EQUAL(text, "1234567890");
	free(text);
	CU_ASSERT_EQUAL(moat_host_file_read(path, "file", 9, &text, &length), -EFBIG);
	CU_ASSERT_EQUAL(moat_host_file_read(path, "none", 10, &text, &length), -ENOENT);
	CU_ASSERT_EQUAL(moat_host_file_read(path, "../d/file", 10, &text, &length), -EXDEV);
	snprintf(path, sizeof(path), "%s/d/link", root);
	CU_ASSERT_EQUAL_FATAL(symlink("file", path), 0);
	snprintf(path, sizeof(path), "%s/d/pipe", root);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/d", root);
	CU_ASSERT_EQUAL(moat_host_file_read(path, "link", 10, &text, &length), -ELOOP);
	CU_ASSERT_EQUAL(moat_host_file_read(path, "pipe", 10, &text, &length), -EINVAL);
	CU_ASSERT_EQUAL(moat_host_file_read(path, ".", 10, &text, &length), -EINVAL);
	close_root();
}

/* ---- joining ------------------------------------------------------------------------------------ */

static json_t *last;
static size_t passed;

static void on_event(void *userdata, json_t *event)
{
	passed++;
	json_decref(last);
	last = event;
}

static json_t *event_of(const char *id)
{
	return json_pack("{s:{s:{s:s}}, s:{}}", "process", "container", "uid", id, "unmapped");
}

static bool is_late(void)
{
	return json_is_true(json_object_get(json_object_get(last, "unmapped"), "late"));
}

static void test_join(void)
{
	json_t *facts = json_pack("{s:s, s:s, s:s, s:{s:s}}", "uid", ID, "name", "web", "image",
				  "nginx", "labels", "k", "v");
	struct moat_joiner_counters counters;
	struct moat_joiner *joiner = NULL;
	json_t *container;

	CU_ASSERT_EQUAL_FATAL(moat_joiner_new(on_event, NULL, &joiner), 0);
	moat_joiner_event(joiner, event_of(""), "", 0);
	CU_ASSERT_EQUAL(passed, 1);
	moat_joiner_event(joiner, event_of(ID), ID, 0);
	moat_joiner_event(joiner, event_of("other"), "other", 1);
	CU_ASSERT_EQUAL(passed, 1);
	moat_joiner_facts(joiner, ID, facts);
	CU_ASSERT_EQUAL(passed, 2);
	CU_ASSERT_TRUE(is_late());
	container = json_object_get(json_object_get(last, "process"), "container");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(container, "name")), "web");
	moat_joiner_event(joiner, event_of(ID), ID, 2);
	CU_ASSERT_EQUAL(passed, 3);
	CU_ASSERT_FALSE(is_late());
	/* two seconds, and then nothing waits any more */
	moat_joiner_advance(joiner, MOAT_JOINER_WAIT_NS);
	CU_ASSERT_EQUAL(passed, 3);
	moat_joiner_advance(joiner, MOAT_JOINER_WAIT_NS + 1);
	CU_ASSERT_EQUAL(passed, 4);
	moat_joiner_event(joiner, event_of("other"), "other", MOAT_JOINER_WAIT_NS + 2);
	CU_ASSERT_EQUAL(passed, 5);
	/* bounds */
	for (int i = 0; i < MOAT_JOINER_EVENTS + 10; i++)
		moat_joiner_event(joiner, event_of("third"), "third", 5);
	moat_joiner_counters(joiner, &counters);
	CU_ASSERT_EQUAL(counters.pushed, 10);
	CU_ASSERT_EQUAL(counters.waiting, MOAT_JOINER_EVENTS);
	moat_joiner_free(joiner);
	CU_ASSERT_EQUAL(passed, 5 + MOAT_JOINER_EVENTS + 10);
	json_decref(facts);
	json_decref(last);
	last = NULL;
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "runtimes", test_runtimes },
		{ "state", test_state },
		{ "late", test_late },
		{ "hook", test_hook },
		{ "file", test_file },
		{ "join", test_join },
		{ NULL, NULL },
	};

	return moat_test_main("sidecar metadata", tests);
}
