// SPDX-License-Identifier: GPL-2.0
/*
 * Provoked cases for kselftest_harness.h: each test's name says what its result
 * line must be, pass_*, fail_*, skip_*, xfail_* or xpass_*. check.sh compares.
 * Builds with the kernel's harness too, which makes the two comparable.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"

static int evaluations;

static int next(void)
{
	return ++evaluations;
}

TEST(pass_all_comparisons)
{
	const char *text = "abc";
	unsigned char byte = 200;
	long long big = -5000000000LL;
	void *null = NULL;

	EXPECT_EQ(200, byte);
	EXPECT_NE(1, 2);
	EXPECT_LT(1, 2);
	EXPECT_LE(2, 2);
	EXPECT_GT(2, 1);
	EXPECT_GE(2, 2);
	EXPECT_NULL(null);
	EXPECT_TRUE(text[0]);
	EXPECT_FALSE(text[3]);
	EXPECT_STREQ("abc", text);
	EXPECT_STRNE("abd", text);
	ASSERT_EQ(-5000000000LL, big);
	ASSERT_STREQ("abc", text);
}

TEST(pass_each_argument_is_evaluated_once)
{
	evaluations = 0;
	EXPECT_EQ(1, next());
	EXPECT_GT(3, next());
	ASSERT_EQ(2, evaluations);
}

TEST(fail_expect_goes_on)
{
	EXPECT_EQ(1, 2);
	TH_LOG("reached after EXPECT");
}

TEST(fail_assert_ends_the_test)
{
	ASSERT_EQ(1, 2) {
		TH_LOG("handler ran");
	}
	TH_LOG("NOT to be reached after ASSERT");
}

TEST(fail_values_are_printed)
{
	signed char small = -3;

	EXPECT_EQ(7, small);
	EXPECT_STREQ("left 100%", "right");
}

TEST(skip_with_reason)
{
	SKIP(return, "no %s here", "teapot");
}

TEST(skip_by_exit_code)
{
	exit(KSFT_SKIP);
}

TEST(fail_by_exit_code)
{
	exit(9);
}

TEST(fail_crash)
{
	abort();
}

/* not SIGABRT: the kernel's harness takes that for a failed ASSERT */
TEST_SIGNAL(pass_expected_signal, SIGUSR2)
{
	kill(getpid(), SIGUSR2);
}

TEST_SIGNAL(fail_expected_signal_missing, SIGABRT)
{
}

TEST(fail_in_forked_process)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		EXPECT_EQ(1, 2);
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

FIXTURE(plain)
{
	int filled;
	int zeroed;
};

FIXTURE_SETUP(plain)
{
	EXPECT_EQ(0, self->filled);
	self->filled = 17;
	self->zeroed++;
}

FIXTURE_TEARDOWN(plain)
{
	TH_LOG("plain teardown");
	EXPECT_EQ(17, self->filled);
}

TEST_F(plain, pass_has_data)
{
	EXPECT_EQ(17, self->filled);
}

TEST_F(plain, pass_data_is_new)
{
	EXPECT_EQ(1, self->zeroed);
}

TEST_F(plain, fail_teardown_after_assert)
{
	ASSERT_TRUE(false);
}

TEST_F_SIGNAL(plain, pass_signal, SIGUSR1)
{
	kill(getpid(), SIGUSR1);
}

TEST_F_TIMEOUT(plain, fail_timeout, 1)
{
	/* a child in the group must go too, or the pipe of check.sh stays open */
	if (fork() >= 0)
		sleep(60);
}

FIXTURE(teardown_fails)
{
};

FIXTURE_SETUP(teardown_fails)
{
}

FIXTURE_TEARDOWN(teardown_fails)
{
	ASSERT_EQ(0, 1);
	TH_LOG("NOT to be reached in teardown");
}

TEST_F(teardown_fails, fail_in_teardown)
{
}

FIXTURE(bad_setup)
{
	int unused;
};

FIXTURE_VARIANT(bad_setup)
{
	bool skip;
};

FIXTURE_VARIANT_ADD(bad_setup, asserts)
{
	.skip = false,
};

FIXTURE_VARIANT_ADD(bad_setup, skips)
{
	.skip = true,
};

FIXTURE_SETUP(bad_setup)
{
	if (variant->skip)
		SKIP(return, "setup says no");
	ASSERT_EQ(0, 1);
}

FIXTURE_TEARDOWN(bad_setup)
{
	TH_LOG("NOT to be reached without setup");
}

TEST_F(bad_setup, depends_on_variant)
{
	TH_LOG("NOT to be reached without setup");
}

FIXTURE(parent)
{
	pid_t pid;
};

FIXTURE_SETUP(parent)
{
	self->pid = getpid();
}

FIXTURE_TEARDOWN_PARENT(parent)
{
	EXPECT_NE(0, self->pid);
	EXPECT_NE(self->pid, getpid());
	TH_LOG("parent teardown");
}

TEST_F(parent, pass_teardown_elsewhere)
{
	EXPECT_EQ(self->pid, getpid());
}

TEST_F(parent, fail_crash_with_teardown)
{
	abort();
}

FIXTURE(family)
{
	int seen;
};

FIXTURE_VARIANT(family)
{
	int number;
};

FIXTURE_SETUP(family)
{
	self->seen = variant->number;
}

FIXTURE_TEARDOWN(family)
{
}

FIXTURE_VARIANT_ADD(family, four)
{
	.number = 4,
};

FIXTURE_VARIANT_ADD(family, six)
{
	.number = 6,
};

TEST_F(family, pass_variant)
{
	EXPECT_EQ(variant->number, self->seen);
	EXPECT_EQ(0, self->seen % 2);
}

TEST_F(family, expected_to_fail_on_six)
{
	EXPECT_EQ(4, variant->number);
}

XFAIL_ADD(family, six, expected_to_fail_on_six);

TEST_HARNESS_MAIN
