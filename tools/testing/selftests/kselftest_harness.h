/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A test harness with the macros of the kernel's header of this name, so that
 * the same test sources build with and without a kernel tree.
 *
 *	FIXTURE(pipe) { int fd[2]; };
 *	FIXTURE_SETUP(pipe) { ASSERT_EQ(0, pipe(self->fd)); }
 *	FIXTURE_TEARDOWN(pipe) { close(self->fd[0]); close(self->fd[1]); }
 *	TEST_F(pipe, carries_bytes) { EXPECT_EQ(1, write(self->fd[1], "x", 1)); }
 *	TEST_HARNESS_MAIN
 *
 * Each test runs in a process of its own that leads a process group, so a crash
 * is one failed test, and a test that hangs is killed with its children. Setup,
 * test and teardown share that process; with FIXTURE_TEARDOWN_PARENT the
 * teardown runs in the process above, which survives whatever the test does.
 * When setup fails or skips, neither test nor teardown runs.
 *
 * EXPECT_*() notes a failure and goes on, ASSERT_*() ends the step it stands in.
 * Both take the expected value first, evaluate each argument once, are a single
 * statement, and may be followed by a statement that runs on failure only.
 *
 * Tests without a fixture run first, then the fixtures in the order of the
 * source, variant by variant. One source file per program may include this.
 */
#ifndef KSELFTEST_HARNESS_H
#define KSELFTEST_HARNESS_H

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "kselftest.h"

#define HKT_UNUSED	__attribute__((unused))
#define HKT_FN		static inline HKT_UNUSED
#define HKT_TIMEOUT_SEC	30
#define HKT_NAME_LEN	256
#define HKT_REASON_LEN	512

struct __test_metadata;

/* setup, test or teardown; the macros put functions with the real types behind it */
#define HKT_STEP_ARGS	struct __test_metadata *_metadata, void *self, const void *variant

/**
 * struct hkt_variant - one set of parameters of a fixture
 * @name: as given to FIXTURE_VARIANT_ADD(), "" where a fixture has none
 * @data: what tests see as `variant`, NULL where a fixture has none
 * @order: place in the source
 * @next: next variant of the fixture
 */
struct hkt_variant {
	const char		*name;
	const void		*data;
	int			order;
	struct hkt_variant	*next;
};

/**
 * struct hkt_fixture - tests with setup and teardown in common
 * @name:     as given to FIXTURE(), "global" for TEST()
 * @variants: in source order, may be empty
 * @tests:    in source order
 * @next:     next fixture that has tests
 * @order:    place in the source
 */
struct hkt_fixture {
	const char		*name;
	struct hkt_variant	*variants;
	struct __test_metadata	*tests;
	struct hkt_fixture	*next;
	int			order;
};

/**
 * struct hkt_xfail - a test that is known to fail with one variant
 * @variant: the variant
 * @test:    the test
 * @next:    next of the program
 */
struct hkt_xfail {
	const struct hkt_variant	*variant;
	const struct __test_metadata	*test;
	struct hkt_xfail		*next;
};

/**
 * struct hkt_shared - what the processes of a test tell the one that started them
 * @set_up: setup was successful, so teardown is due
 * @reason: why the test was skipped, "" if it wasn't or gave no reason
 */
struct hkt_shared {
	bool	set_up;
	char	reason[HKT_REASON_LEN];
};

/**
 * struct __test_metadata - a test, as `_metadata` sees it
 * @name:            without fixture and variant
 * @exit_code:       KSFT_PASS, KSFT_FAIL or KSFT_SKIP so far, in this process
 * @timeout:         seconds until the test's process group is killed
 * @termsig:         signal that must end the test, 0: it must end by itself
 * @self_size:       size of the fixture's data
 * @teardown_parent: teardown runs outside the process of setup and test
 * @fixture:         what it belongs to
 * @setup:           NULL for TEST(), as is @teardown
 * @body:            the test itself
 * @teardown:        runs after @body, if @setup was successful
 * @shared:          in memory shared with the process that gives the verdict
 * @pid:             process of the step, to recognise an ASSERT in a fork of it
 * @end_of_step:     where a failed ASSERT goes
 * @order:           place in the source
 * @next:            next test of the fixture
 */
struct __test_metadata {
	const char		*name;
	int			exit_code;
	int			timeout;
	int			termsig;
	size_t			self_size;
	bool			teardown_parent;
	struct hkt_fixture	*fixture;
	void			(*setup)(HKT_STEP_ARGS);
	void			(*body)(HKT_STEP_ARGS);
	void			(*teardown)(HKT_STEP_ARGS);
	struct hkt_shared	*shared;
	pid_t			pid;
	jmp_buf			end_of_step;
	int			order;
	struct __test_metadata	*next;
};

static struct hkt_fixture hkt_fx_global HKT_UNUSED = { .name = "global", .order = -1 };
static struct hkt_fixture *hkt_fixtures HKT_UNUSED;
static struct hkt_xfail *hkt_xfails HKT_UNUSED;

/* Constructors may run in any order, so the lists are kept sorted by __COUNTER__ */
HKT_FN void hkt_add_fixture(struct hkt_fixture *fixture)
{
	struct hkt_fixture **at = &hkt_fixtures;

	while (*at && *at != fixture && (*at)->order < fixture->order)
		at = &(*at)->next;
	if (*at == fixture)
		return;
	fixture->next = *at;
	*at = fixture;
}

HKT_FN void hkt_add_test(struct __test_metadata *test)
{
	struct __test_metadata **at = &test->fixture->tests;

	hkt_add_fixture(test->fixture);
	while (*at && (*at)->order < test->order)
		at = &(*at)->next;
	test->next = *at;
	*at = test;
}

HKT_FN void hkt_add_variant(struct hkt_fixture *fixture, struct hkt_variant *variant)
{
	struct hkt_variant **at = &fixture->variants;

	while (*at && (*at)->order < variant->order)
		at = &(*at)->next;
	variant->next = *at;
	*at = variant;
}

HKT_FN void hkt_add_xfail(struct hkt_xfail *xfail)
{
	xfail->next = hkt_xfails;
	hkt_xfails = xfail;
}

/* Messages */

/* stderr, unlike stdout, never holds a line back when the test is killed */
#define TH_LOG(fmt, ...) \
	fprintf(stderr, "# %s:%d:%s:" fmt "\n", __FILE__, __LINE__, _metadata->name, ##__VA_ARGS__)

#define SKIP(statement, fmt, ...) \
	do { \
		snprintf(_metadata->shared->reason, HKT_REASON_LEN, fmt, ##__VA_ARGS__); \
		hkt_mark_skipped(_metadata); \
		statement; \
	} while (0)

/* What failed before stays failed: a skip must not hide it */
HKT_FN void hkt_mark_skipped(struct __test_metadata *t)
{
	if (t->exit_code == KSFT_PASS)
		t->exit_code = KSFT_SKIP;
}

/* Checks */

/**
 * struct hkt_check - the source text of a check
 * @file:     where it stands
 * @line:     and the line there
 * @expected: first argument
 * @op:       operator
 * @seen:     second argument
 */
struct hkt_check {
	const char	*file;
	int		line;
	const char	*expected, *op, *seen;
};

/**
 * struct hkt_value - a value of any integer or pointer type, for printing
 * @is_signed: its type is
 * @bits:      the value, sign-extended if it is signed
 */
struct hkt_value {
	bool		is_signed;
	uint64_t	bits;
};

/* Takes the bytes: a cast of both pointers and 64-bit integers isn't portable */
HKT_FN struct hkt_value hkt_value(const void *at, size_t size, bool is_signed)
{
	struct hkt_value v = { .is_signed = is_signed };
	union { int8_t s8; int16_t s16; int32_t s32; int64_t s64; uint8_t u8; uint16_t u16;
		uint32_t u32; uint64_t u64; } u = { 0 };

	memcpy(&u, at, size < sizeof(u) ? size : sizeof(u));
	switch (size) {
	case 1:
		v.bits = is_signed ? (uint64_t)u.s8 : u.u8;
		break;
	case 2:
		v.bits = is_signed ? (uint64_t)u.s16 : u.u16;
		break;
	case 4:
		v.bits = is_signed ? (uint64_t)u.s32 : u.u32;
		break;
	default:
		v.bits = u.u64;
	}
	return v;
}

HKT_FN const char *hkt_print_value(char *buf, size_t size, struct hkt_value v)
{
	snprintf(buf, size, v.is_signed ? "%lld" : "%llu", (unsigned long long)v.bits);
	return buf;
}

/* Ends the check's failure statement; never returns for an ASSERT */
HKT_FN bool hkt_end_check(struct __test_metadata *t, bool is_assert)
{
	if (!is_assert)
		return false;
	/* a process the test forked has no step to end, and no teardown to run */
	if (getpid() != t->pid) {
		fflush(NULL);
		_exit(KSFT_FAIL);
	}
	longjmp(t->end_of_step, 1);
}

HKT_FN void hkt_check_failed(struct __test_metadata *t, const struct hkt_check *check,
			     const char *expected, const char *seen)
{
	fprintf(stderr, "# %s:%d:%s:Expected %s (%s) %s %s (%s)\n", check->file, check->line,
		t->name, check->expected, expected, check->op, check->seen, seen);
	t->exit_code = KSFT_FAIL;
}

HKT_FN void hkt_values_differ(struct __test_metadata *t, const struct hkt_check *check,
			      struct hkt_value expected, struct hkt_value seen)
{
	char expected_buf[32], seen_buf[32];

	hkt_check_failed(t, check, hkt_print_value(expected_buf, sizeof(expected_buf), expected),
			 hkt_print_value(seen_buf, sizeof(seen_buf), seen));
}

HKT_FN bool hkt_strings_equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

#define HKT_VALUE(v) \
	hkt_value(&(v), sizeof(v), (__typeof__(v))-1 < (__typeof__(v))1)

#define HKT_CHECK_TEXT(expected, op, seen) \
	static const struct hkt_check hkt_check = { __FILE__, __LINE__, expected, #op, seen }

/* A loop of at most one pass: the statement after the macro is its body */
#define HKT_UNLESS(is_assert, holds) \
	for (bool hkt_bad = !(holds); hkt_bad; hkt_bad = hkt_end_check(_metadata, is_assert))

#define HKT_COMPARE(is_assert, exp, exp_text, op, seen, seen_text) \
	HKT_UNLESS(is_assert, __extension__ ({ \
		HKT_CHECK_TEXT(exp_text, op, seen_text); \
		__typeof__(exp) hkt_exp = (exp); \
		__typeof__(seen) hkt_seen = (seen); \
		bool hkt_holds = hkt_exp op hkt_seen; \
		if (!hkt_holds) \
			hkt_values_differ(_metadata, &hkt_check, HKT_VALUE(hkt_exp), \
					  HKT_VALUE(hkt_seen)); \
		hkt_holds; }))

#define HKT_COMPARE_STR(is_assert, exp, exp_text, op, seen, seen_text) \
	HKT_UNLESS(is_assert, __extension__ ({ \
		HKT_CHECK_TEXT(exp_text, op, seen_text); \
		const char *hkt_exp = (exp); \
		const char *hkt_seen = (seen); \
		bool hkt_holds = hkt_strings_equal(hkt_exp, hkt_seen) op true; \
		if (!hkt_holds) \
			hkt_check_failed(_metadata, &hkt_check, hkt_exp ? hkt_exp : "NULL", \
					 hkt_seen ? hkt_seen : "NULL"); \
		hkt_holds; }))

#define EXPECT_EQ(exp, seen)	HKT_COMPARE(false, exp, #exp, ==, seen, #seen)
#define EXPECT_NE(exp, seen)	HKT_COMPARE(false, exp, #exp, !=, seen, #seen)
#define EXPECT_LT(exp, seen)	HKT_COMPARE(false, exp, #exp, <, seen, #seen)
#define EXPECT_LE(exp, seen)	HKT_COMPARE(false, exp, #exp, <=, seen, #seen)
#define EXPECT_GT(exp, seen)	HKT_COMPARE(false, exp, #exp, >, seen, #seen)
#define EXPECT_GE(exp, seen)	HKT_COMPARE(false, exp, #exp, >=, seen, #seen)
#define EXPECT_NULL(seen)	HKT_COMPARE(false, NULL, "NULL", ==, seen, #seen)
#define EXPECT_TRUE(seen)	HKT_COMPARE(false, 0, "0", !=, seen, #seen)
#define EXPECT_FALSE(seen)	HKT_COMPARE(false, 0, "0", ==, seen, #seen)
#define EXPECT_STREQ(exp, seen)	HKT_COMPARE_STR(false, exp, #exp, ==, seen, #seen)
#define EXPECT_STRNE(exp, seen)	HKT_COMPARE_STR(false, exp, #exp, !=, seen, #seen)

#define ASSERT_EQ(exp, seen)	HKT_COMPARE(true, exp, #exp, ==, seen, #seen)
#define ASSERT_NE(exp, seen)	HKT_COMPARE(true, exp, #exp, !=, seen, #seen)
#define ASSERT_LT(exp, seen)	HKT_COMPARE(true, exp, #exp, <, seen, #seen)
#define ASSERT_LE(exp, seen)	HKT_COMPARE(true, exp, #exp, <=, seen, #seen)
#define ASSERT_GT(exp, seen)	HKT_COMPARE(true, exp, #exp, >, seen, #seen)
#define ASSERT_GE(exp, seen)	HKT_COMPARE(true, exp, #exp, >=, seen, #seen)
#define ASSERT_NULL(seen)	HKT_COMPARE(true, NULL, "NULL", ==, seen, #seen)
#define ASSERT_TRUE(seen)	HKT_COMPARE(true, 0, "0", !=, seen, #seen)
#define ASSERT_FALSE(seen)	HKT_COMPARE(true, 0, "0", ==, seen, #seen)
#define ASSERT_STREQ(exp, seen)	HKT_COMPARE_STR(true, exp, #exp, ==, seen, #seen)
#define ASSERT_STRNE(exp, seen)	HKT_COMPARE_STR(true, exp, #exp, !=, seen, #seen)

/* Definitions */

#define FIXTURE_DATA(fx)	struct _test_data_##fx
#define FIXTURE_VARIANT(fx)	struct _fixture_variant_##fx

#define FIXTURE(fx) \
	FIXTURE_VARIANT(fx); \
	static struct hkt_fixture hkt_fx_##fx = { .name = #fx, .order = __COUNTER__ }; \
	FIXTURE_DATA(fx)

/* A typed function `fx_step`, whose body follows, and the untyped one that calls it */
#define HKT_STEP(fx, step) \
	static void fx##_##step(struct __test_metadata *_metadata, FIXTURE_DATA(fx) *self, \
				const FIXTURE_VARIANT(fx) *variant); \
	static void hkt_##fx##_##step(HKT_STEP_ARGS) \
	{ \
		fx##_##step(_metadata, self, variant); \
	} \
	static void fx##_##step(struct __test_metadata *_metadata HKT_UNUSED, \
				FIXTURE_DATA(fx) *self HKT_UNUSED, \
				const FIXTURE_VARIANT(fx) *variant HKT_UNUSED)

#define FIXTURE_SETUP(fx)	HKT_STEP(fx, setup)

#define FIXTURE_TEARDOWN(fx) \
	enum { hkt_##fx##_teardown_parent = false }; \
	HKT_STEP(fx, teardown)

#define FIXTURE_TEARDOWN_PARENT(fx) \
	enum { hkt_##fx##_teardown_parent = true }; \
	HKT_STEP(fx, teardown)

#define HKT_CONSTRUCTOR(name)	static __attribute__((constructor)) void name(void)

#define FIXTURE_VARIANT_ADD(fx, var) \
	static const FIXTURE_VARIANT(fx) _##fx##_##var##_variant; \
	static struct hkt_variant hkt_var_##fx##_##var = { \
		.name = #var, .data = &_##fx##_##var##_variant, .order = __COUNTER__, \
	}; \
	HKT_CONSTRUCTOR(hkt_add_var_##fx##_##var) \
	{ \
		hkt_add_variant(&hkt_fx_##fx, &hkt_var_##fx##_##var); \
	} \
	static const FIXTURE_VARIANT(fx) _##fx##_##var##_variant =

#define HKT_TEST_F(fx, test, signal, seconds) \
	static struct __test_metadata hkt_test_##fx##_##test; \
	HKT_CONSTRUCTOR(hkt_add_test_##fx##_##test) \
	{ \
		hkt_add_test(&hkt_test_##fx##_##test); \
	} \
	static void hkt_##fx##_##test(HKT_STEP_ARGS); \
	static struct __test_metadata hkt_test_##fx##_##test = { \
		.name = #test, .fixture = &hkt_fx_##fx, .order = __COUNTER__, \
		.timeout = seconds, .termsig = signal, .self_size = sizeof(FIXTURE_DATA(fx)), \
		.teardown_parent = hkt_##fx##_teardown_parent, .setup = hkt_##fx##_setup, \
		.body = hkt_##fx##_##test, .teardown = hkt_##fx##_teardown, \
	}; \
	HKT_STEP(fx, test)

#define TEST_F(fx, test)			HKT_TEST_F(fx, test, 0, HKT_TIMEOUT_SEC)
#define TEST_F_SIGNAL(fx, test, signal)		HKT_TEST_F(fx, test, signal, HKT_TIMEOUT_SEC)
#define TEST_F_TIMEOUT(fx, test, seconds)	HKT_TEST_F(fx, test, 0, seconds)

#define TEST_SIGNAL(test, signal) \
	static void test(struct __test_metadata *_metadata); \
	static void hkt_global_##test(HKT_STEP_ARGS) \
	{ \
		(void)self; \
		(void)variant; \
		test(_metadata); \
	} \
	static struct __test_metadata hkt_test_global_##test = { \
		.name = #test, .fixture = &hkt_fx_global, .order = __COUNTER__, \
		.timeout = HKT_TIMEOUT_SEC, .termsig = signal, .body = hkt_global_##test, \
	}; \
	HKT_CONSTRUCTOR(hkt_add_test_global_##test) \
	{ \
		hkt_add_test(&hkt_test_global_##test); \
	} \
	static void test(struct __test_metadata *_metadata HKT_UNUSED)

#define TEST(test)	TEST_SIGNAL(test, 0)

/* This test is known to fail with this variant; stands after both */
#define XFAIL_ADD(fx, var, tst) \
	static struct hkt_xfail hkt_xfail_##fx##_##var##_##tst = { \
		.variant = &hkt_var_##fx##_##var, .test = &hkt_test_##fx##_##tst, \
	}; \
	HKT_CONSTRUCTOR(hkt_add_xfail_##fx##_##var##_##tst) \
	{ \
		hkt_add_xfail(&hkt_xfail_##fx##_##var##_##tst); \
	}

/* Inside the test's processes */

/* The frame setjmp() needs: it lives until the step has returned or jumped here */
HKT_FN void hkt_run_step(struct __test_metadata *t, void (*step)(HKT_STEP_ARGS), void *self,
			 const void *variant)
{
	t->pid = getpid();
	if (!setjmp(t->end_of_step))
		step(t, self, variant);
}

HKT_FN void hkt_setup_and_test(struct __test_metadata *t, void *self, const void *variant)
{
	if (t->setup)
		hkt_run_step(t, t->setup, self, variant);
	if (t->exit_code != KSFT_PASS)
		return;
	t->shared->set_up = true;
	hkt_run_step(t, t->body, self, variant);
}

HKT_FN __attribute__((noreturn)) void hkt_exit(struct __test_metadata *t)
{
	fflush(NULL);
	_exit(t->exit_code);
}

/* A test must not outlive the program, which `timeout` of the runner may kill */
HKT_FN pid_t hkt_fork(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

HKT_FN void *hkt_alloc_self(const struct __test_metadata *t)
{
	/* one more byte: a fixture may be empty */
	size_t size = t->self_size + 1;
	void *self;

	if (!t->teardown_parent)
		return calloc(1, size);
	self = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return self == MAP_FAILED ? NULL : self;
}

/* Returns the wait status of the process that ran setup and test */
HKT_FN int hkt_fork_setup_and_test(struct __test_metadata *t, void *self, const void *variant)
{
	int status = 0;
	pid_t pid;

	pid = hkt_fork();
	if (!pid) {
		hkt_setup_and_test(t, self, variant);
		hkt_exit(t);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		t->exit_code = KSFT_FAIL;
	else if (WIFEXITED(status))
		t->exit_code = WEXITSTATUS(status);
	return status;
}

HKT_FN __attribute__((noreturn)) void hkt_test_process(struct __test_metadata *t,
						       const void *variant)
{
	void *self = hkt_alloc_self(t);
	int status = 0;

	if (!self)
		t->exit_code = KSFT_FAIL;
	else if (t->teardown_parent)
		status = hkt_fork_setup_and_test(t, self, variant);
	else
		hkt_setup_and_test(t, self, variant);

	if (t->shared->set_up && t->teardown)
		hkt_run_step(t, t->teardown, self, variant);
	if (WIFSIGNALED(status)) {
		fflush(NULL);
		kill(getpid(), WTERMSIG(status));
	}
	hkt_exit(t);
}

/* The program's process */

HKT_FN int hkt_ms_until(const struct timespec *end)
{
	struct timespec now;
	long long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (end->tv_sec - now.tv_sec) * 1000LL + (end->tv_nsec - now.tv_nsec) / 1000000;
	return ms > 0 ? ms : 0;
}

/* Returns whether the process ended in time; it is not reaped */
HKT_FN bool hkt_wait(pid_t pid, int timeout_sec)
{
	struct pollfd pollfd = { .events = POLLIN };
	struct timespec end;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_sec;
	pollfd.fd = syscall(SYS_pidfd_open, pid, 0);
	if (pollfd.fd < 0) {
		ksft_perror("pidfd_open");
		return false;
	}
	do
		rc = poll(&pollfd, 1, hkt_ms_until(&end));
	while (rc < 0 && errno == EINTR);
	close(pollfd.fd);
	return rc == 1;
}

HKT_FN int hkt_verdict_of_signal(const struct __test_metadata *t, int sig)
{
	if (sig == t->termsig)
		return KSFT_PASS;
	ksft_print_msg("%s: terminated by signal %d (%s)\n", t->name, sig, strsignal(sig));
	return KSFT_FAIL;
}

HKT_FN int hkt_verdict_of_exit(const struct __test_metadata *t, int code)
{
	if (t->termsig && code != KSFT_SKIP) {
		ksft_print_msg("%s: exited, signal %d was expected\n", t->name, t->termsig);
		return KSFT_FAIL;
	}
	if (code == KSFT_PASS || code == KSFT_FAIL || code == KSFT_XFAIL || code == KSFT_SKIP)
		return code;
	ksft_print_msg("%s: unexpected exit code %d\n", t->name, code);
	return KSFT_FAIL;
}

HKT_FN int hkt_verdict(const struct __test_metadata *t, pid_t pid)
{
	bool in_time = hkt_wait(pid, t->timeout);
	int status;

	if (!in_time)
		kill(-pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid) {
		ksft_perror("waitpid");
		return KSFT_FAIL;
	}
	if (!in_time) {
		ksft_print_msg("%s: killed after %d seconds\n", t->name, t->timeout);
		return KSFT_FAIL;
	}
	if (WIFSIGNALED(status))
		return hkt_verdict_of_signal(t, WTERMSIG(status));
	return hkt_verdict_of_exit(t, WEXITSTATUS(status));
}

HKT_FN int hkt_run_test(struct __test_metadata *t, const void *variant)
{
	pid_t pid;

	memset(t->shared, 0, sizeof(*t->shared));
	t->exit_code = KSFT_PASS;
	pid = hkt_fork();
	if (pid < 0) {
		ksft_perror("fork");
		return KSFT_FAIL;
	}
	if (!pid) {
		setpgid(0, 0);
		hkt_test_process(t, variant);
	}
	/* both sides set it, so that neither goes on before it is done */
	setpgid(pid, pid);
	return hkt_verdict(t, pid);
}

HKT_FN int hkt_apply_xfail(const struct __test_metadata *t, const struct hkt_variant *variant,
			   int verdict)
{
	const struct hkt_xfail *x;

	for (x = hkt_xfails; x; x = x->next)
		if (x->test == t && x->variant == variant)
			break;
	if (!x || verdict == KSFT_SKIP)
		return verdict;
	return verdict == KSFT_FAIL ? KSFT_XFAIL : KSFT_XPASS;
}

HKT_FN const char *hkt_reason(const struct __test_metadata *t, int verdict)
{
	if (verdict == KSFT_PASS || verdict == KSFT_FAIL)
		return NULL;
	if (t->shared->reason[0])
		return t->shared->reason;
	return verdict == KSFT_SKIP ? "no reason given" : "see XFAIL_ADD() in the source";
}

HKT_FN void hkt_full_name(char *buf, const struct __test_metadata *t,
			  const struct hkt_variant *variant)
{
	snprintf(buf, HKT_NAME_LEN, "%s%s%s.%s", t->fixture->name, variant->name[0] ? "." : "",
		 variant->name, t->name);
}

/* Options */

/**
 * struct hkt_args - command line
 * @argc:    as main() got it
 * @argv:    borrowed
 * @list:    only print the names
 */
struct hkt_args {
	int	argc;
	char	**argv;
	bool	list;
};

#define HKT_OPTIONS	"hlf:F:v:V:t:T:r:"

HKT_FN void hkt_usage(const char *program)
{
	fprintf(stderr,
		"usage: %s [-l] [-f|-F FIXTURE] [-v|-V VARIANT] [-t|-T TEST] [-r NAME]\n"
		"  -l        list the tests\n"
		"  -f/-F     include/exclude a fixture (\"global\": tests without one)\n"
		"  -v/-V     include/exclude a variant\n"
		"  -t/-T     include/exclude a test\n"
		"  -r NAME   include the test with this full name, as in its result line\n"
		"The first option that matches a test decides. Without a match it runs,\n"
		"unless there are options that include.\n", program);
}

/* Returns whether the program shall go on */
HKT_FN bool hkt_parse(struct hkt_args *args)
{
	int opt;

	while ((opt = getopt(args->argc, args->argv, HKT_OPTIONS)) != -1) {
		if (opt == 'l') {
			args->list = true;
		} else if (opt == 'h' || opt == '?') {
			hkt_usage(args->argv[0]);
			return false;
		}
	}
	return true;
}

HKT_FN bool hkt_matches(int opt, const char *arg, const struct __test_metadata *t,
			const struct hkt_variant *variant)
{
	char full_name[HKT_NAME_LEN];

	switch (opt) {
	case 'f':
	case 'F':
		return !strcmp(arg, t->fixture->name);
	case 'v':
	case 'V':
		return !strcmp(arg, variant->name);
	case 't':
	case 'T':
		return !strcmp(arg, t->name);
	case 'r':
		hkt_full_name(full_name, t, variant);
		return !strcmp(arg, full_name);
	}
	return false;
}

HKT_FN bool hkt_is_selected(const struct hkt_args *args, const struct __test_metadata *t,
			    const struct hkt_variant *variant)
{
	bool any_include = false;
	int opt;

	optind = 1;
	while ((opt = getopt(args->argc, args->argv, HKT_OPTIONS)) != -1) {
		bool includes = strchr("fvtr", opt);

		if (optarg && hkt_matches(opt, optarg, t, variant))
			return includes;
		any_include |= includes;
	}
	return !any_include;
}

/* Calls @visit for each selected test, in order; returns how many there were */
HKT_FN unsigned int hkt_for_each(const struct hkt_args *args,
				 void (*visit)(struct __test_metadata *,
					       const struct hkt_variant *))
{
	static const struct hkt_variant no_variant = { .name = "" };
	const struct hkt_variant *variant;
	const struct hkt_fixture *fixture;
	struct __test_metadata *t;
	unsigned int nr = 0;

	for (fixture = hkt_fixtures; fixture; fixture = fixture->next) {
		variant = fixture->variants ? fixture->variants : &no_variant;
		for (; variant; variant = variant->next) {
			for (t = fixture->tests; t; t = t->next) {
				if (!hkt_is_selected(args, t, variant))
					continue;
				nr++;
				if (visit)
					visit(t, variant);
			}
		}
	}
	return nr;
}

HKT_FN void hkt_list_one(struct __test_metadata *t, const struct hkt_variant *variant)
{
	char full_name[HKT_NAME_LEN];

	hkt_full_name(full_name, t, variant);
	printf("# %s\n", full_name);
}

HKT_FN void hkt_run_one(struct __test_metadata *t, const struct hkt_variant *variant)
{
	char full_name[HKT_NAME_LEN];
	const char *reason;
	int verdict;

	hkt_full_name(full_name, t, variant);
	ksft_print_msg(" RUN   %s\n", full_name);
	verdict = hkt_apply_xfail(t, variant, hkt_run_test(t, variant->data));
	reason = hkt_reason(t, verdict);
	ksft_test_result_code(verdict, full_name, reason ? "%s" : NULL, reason);
}

HKT_FN void hkt_share(void)
{
	struct hkt_shared *shared;
	struct hkt_fixture *fixture;
	struct __test_metadata *t;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		ksft_exit_fail_perror("mmap");
	for (fixture = hkt_fixtures; fixture; fixture = fixture->next)
		for (t = fixture->tests; t; t = t->next)
			t->shared = shared;
}

HKT_FN int test_harness_run(int argc, char **argv)
{
	struct hkt_args args = { .argc = argc, .argv = argv };

	if (!hkt_parse(&args))
		return KSFT_SKIP;
	if (args.list) {
		hkt_for_each(&args, hkt_list_one);
		return KSFT_SKIP;
	}
	ksft_print_header();
	ksft_set_plan(hkt_for_each(&args, NULL));
	hkt_share();
	hkt_for_each(&args, hkt_run_one);
	ksft_print_cnts();
	return ksft_get_fail_cnt() || ksft_cnt.by[KSFT_XPASS] ? KSFT_FAIL : KSFT_PASS;
}

#define TEST_HARNESS_MAIN \
	int main(int argc, char **argv) \
	{ \
		return test_harness_run(argc, argv); \
	}

#endif /* KSELFTEST_HARNESS_H */
