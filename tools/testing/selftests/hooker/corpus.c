// SPDX-License-Identifier: GPL-2.0
/*
 * The inputs of the fuzzers, fed to their targets without a fuzzer: what was once worth
 * keeping, or was once a bug, is tried with every build. `make -C fuzz` looks for more.
 *
 * usage: corpus [options of the harness]; the inputs are beside the program in corpora/.
 */
#include <dirent.h>
#include <limits.h>
#include <libgen.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

#include "../kselftest_harness.h"

#define LEAST_INPUTS	10	/* fewer: something went wrong with the directory */

/* Exactly as many bytes as there are, so that a memory checker sees what lies beyond */
static bool replay(const char *path, int (*target)(const __u8 *data, size_t size))
{
	FILE *file = fopen(path, "r");
	bool good = false;
	__u8 *data;
	long size;

	if (!file)
		return false;
	if (!fseek(file, 0, SEEK_END)) {
		size = ftell(file);
		rewind(file);
		data = malloc(size);
		good = data && fread(data, 1, size, file) == (size_t)size && !target(data, size);
		free(data);
	}
	fclose(file);
	return good;
}

static void replay_all(struct __test_metadata *_metadata, const char *name,
		       int (*target)(const __u8 *data, size_t size))
{
	char self[PATH_MAX] = "", path[2 * PATH_MAX];
	struct dirent *entry;
	int nr = 0;
	DIR *dir;

	ASSERT_LT(0, readlink("/proc/self/exe", self, sizeof(self) - 1));
	snprintf(path, sizeof(path), "%s/corpora/%s", dirname(self), name);
	dir = opendir(path);
	ASSERT_NE(NULL, dir) {
		TH_LOG("%s: %s", path, strerror(errno));
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/corpora/%s/%s", self, name, entry->d_name);
		EXPECT_TRUE(replay(path, target)) {
			TH_LOG("%s", path);
		}
		nr++;
	}
	closedir(dir);
	printf("# %s: %d inputs\n", name, nr);
	EXPECT_LE(LEAST_INPUTS, nr);
}

TEST(datagram)
{
	replay_all(_metadata, "datagram", fuzz_datagram);
}

TEST(assoc)
{
	replay_all(_metadata, "assoc", fuzz_assoc);
}

TEST(freeze)
{
	replay_all(_metadata, "freeze", fuzz_freeze);
	/* else they are older than the format: make -C fuzz corpus-freeze */
	EXPECT_LT(0, fuzz_nr_thawed);
}

TEST(segment)
{
	replay_all(_metadata, "segment", fuzz_segment);
}

TEST(control)
{
	replay_all(_metadata, "control", fuzz_control);
}

TEST_HARNESS_MAIN
