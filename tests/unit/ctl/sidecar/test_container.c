/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Container ids in the paths that the runtimes make. */
#include <string.h>

#include "ctl/sidecar/container.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "8fc1a2d4-7d1e-4f0b-9a3c-5b6d7e8f9012"
#define POD_SYSTEMD "8fc1a2d4_7d1e_4f0b_9a3c_5b6d7e8f9012"

static void test_parse(void)
{
	static const struct {
		const char *path, *id, *runtime, *pod;
	} cases[] = {
		{ "/", "", "", "" },
		{ "", "", "", "" },
		{ "/system.slice/nginx.service", "", "", "" },
		{ "/system.slice/docker-" ID ".scope", ID, "docker", "" },
		{ "/docker/" ID, ID, "", "" },
		{ "/docker/" ID "/init/deeper", ID, "", "" },
		{ "/machine.slice/libpod-" ID ".scope/container", ID, "podman", "" },
		{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD_SYSTEMD
		  ".slice/cri-containerd-" ID ".scope",
		  ID, "containerd", POD },
		{ "/kubepods/burstable/pod" POD "/" ID, ID, "", POD },
		{ "/kubepods.slice/kubepods-pod" POD_SYSTEMD ".slice/crio-" ID ".scope", ID, "crio",
		  POD },
		/* a pod without a container is its pause */
		{ "/kubepods/burstable/pod" POD, "", "", "" },
		/* 63 digits, 65, another ending, no digits */
		{ "/docker/123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "", "",
		  "" },
		{ "/docker/" ID "0", "", "", "" },
		{ "/docker-" ID ".slice", "", "", "" },
		{ "/docker-" ID ".scope2", "", "", "" },
		{ "/docker/g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "",
		  "", "" },
		/* the outermost is the host's word, what is below is the container's own */
		{ "/docker/" ID
		  "/docker/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		  ID, "", "" },
		{ "/docker/" ID "/pod" POD, ID, "", "" },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		struct moat_container found;

		memset(&found, 0xa5, sizeof(found));
		CU_ASSERT_EQUAL(moat_container_parse(cases[i].path, &found), cases[i].id[0] != '\0');
		CU_ASSERT_STRING_EQUAL(found.id, cases[i].id);
		CU_ASSERT_STRING_EQUAL(found.runtime, cases[i].runtime);
		CU_ASSERT_STRING_EQUAL(found.pod, cases[i].pod);
	}
}

/* A number that is no cgroup's has no path, and asking again is harmless. */
static void test_unknown(void)
{
	struct moat_containers *containers = NULL;
	const struct moat_container *found;

	moat_containers_new(&containers);
	CU_ASSERT_PTR_NOT_NULL_FATAL(containers);
	for (int i = 0; i < 3; i++) {
		found = moat_containers_find(containers, UINT64_MAX);
		CU_ASSERT_EQUAL(found->cgroup_id, UINT64_MAX);
		CU_ASSERT_STRING_EQUAL(found->path, "");
		CU_ASSERT_STRING_EQUAL(found->id, "");
	}
	moat_containers_free(containers);
	moat_containers_free(NULL);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "parse", test_parse },
		{ "unknown", test_unknown },
		{ NULL, NULL },
	};

	return moat_test_main("sidecar container", tests);
}
