/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TAP results of one test program, with the names the kernel's own header of
 * this name has. It lets the selftests build where there is no kernel tree;
 * scripts/install-into-tree.sh leaves it out, and the tree's header is used.
 *
 * A program prints a header, a plan, then one result line per test; the exit
 * status repeats the verdict for whoever doesn't read TAP. Not thread-safe.
 */
#ifndef KSELFTEST_H
#define KSELFTEST_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(arr) (sizeof(arr) / sizeof((arr)[0]))
#endif

/* A test program uses some of these functions, never all of them */
#define KSFT_FN		static inline __attribute__((unused))
#define KSFT_PRINTF(f)	__attribute__((format(printf, f, (f) + 1)))

/* Exit status of a program, and verdict of a single test */
#define KSFT_PASS	0
#define KSFT_FAIL	1
#define KSFT_XFAIL	2	/* failed, as was expected */
#define KSFT_XPASS	3	/* passed, although it was expected to fail */
#define KSFT_SKIP	4

/**
 * struct ksft_count - verdicts given so far
 * @plan:  number of results promised, 0 if no plan was printed
 * @by:    results by KSFT_* verdict
 * @error: results that are none of those
 */
struct ksft_count {
	unsigned int	plan;
	unsigned int	by[KSFT_SKIP + 1];
	unsigned int	error;
};

static struct ksft_count ksft_cnt __attribute__((unused));

KSFT_FN unsigned int ksft_test_num(void)
{
	unsigned int sum = ksft_cnt.error;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ksft_cnt.by); i++)
		sum += ksft_cnt.by[i];
	return sum;
}

KSFT_FN unsigned int ksft_get_fail_cnt(void)
{
	return ksft_cnt.by[KSFT_FAIL];
}

KSFT_FN unsigned int ksft_get_pass_cnt(void)
{
	return ksft_cnt.by[KSFT_PASS];
}

KSFT_FN void ksft_print_header(void)
{
	/* a test that crashes must not take buffered result lines with it */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!getenv("KSFT_TAP_LEVEL"))
		printf("TAP version 13\n");
}

KSFT_FN void ksft_set_plan(unsigned int plan)
{
	ksft_cnt.plan = plan;
	printf("1..%u\n", plan);
}

/* printf() may change errno, which callers like to print */
KSFT_FN void ksft_vline(const char *head, const char *fmt, va_list args)
{
	int saved_errno = errno;

	printf("%s", head);
	errno = saved_errno;
	vprintf(fmt, args);
	errno = saved_errno;
}

/* @fmt brings its own end of line, here and in the functions below */
KSFT_FN KSFT_PRINTF(1) void ksft_print_msg(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ksft_vline("# ", fmt, args);
	va_end(args);
}

KSFT_FN void ksft_perror(const char *what)
{
	ksft_print_msg("%s: %s (%d)\n", what, strerror(errno), errno);
}

KSFT_FN void ksft_vresult(int verdict, const char *directive, const char *fmt, va_list args)
{
	char head[64];

	if (verdict < KSFT_PASS || verdict > KSFT_SKIP)
		ksft_cnt.error++;
	else
		ksft_cnt.by[verdict]++;
	snprintf(head, sizeof(head), "%s %u %s", verdict == KSFT_FAIL ? "not ok" : "ok",
		 ksft_test_num(), directive);
	ksft_vline(head, fmt, args);
}

KSFT_FN KSFT_PRINTF(1) void ksft_test_result_pass(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ksft_vresult(KSFT_PASS, "", fmt, args);
	va_end(args);
}

KSFT_FN KSFT_PRINTF(1) void ksft_test_result_fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ksft_vresult(KSFT_FAIL, "", fmt, args);
	va_end(args);
}

KSFT_FN KSFT_PRINTF(1) void ksft_test_result_xfail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ksft_vresult(KSFT_XFAIL, "# XFAIL ", fmt, args);
	va_end(args);
}

KSFT_FN KSFT_PRINTF(1) void ksft_test_result_skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ksft_vresult(KSFT_SKIP, "# SKIP ", fmt, args);
	va_end(args);
}

#define ksft_test_result(condition, fmt, ...) \
	((condition) ? ksft_test_result_pass(fmt, ##__VA_ARGS__) \
		     : ksft_test_result_fail(fmt, ##__VA_ARGS__))

/**
 * ksft_test_result_code() - result line of a named test
 * @verdict: KSFT_*; anything else is an error and reads "not ok"
 * @name:    name of the test
 * @fmt:     reason, without end of line, or NULL
 */
KSFT_FN void ksft_test_result_code(int verdict, const char *name, const char *fmt, ...)
{
	static const char * const directive[] = { "", "", "XFAIL ", "XPASS ", "SKIP " };
	bool known = verdict >= KSFT_PASS && verdict <= KSFT_SKIP;
	va_list args;

	if (known)
		ksft_cnt.by[verdict]++;
	else
		ksft_cnt.error++;
	printf("%s %u %s", known && verdict != KSFT_FAIL ? "ok" : "not ok", ksft_test_num(), name);
	if (fmt || (known && directive[verdict][0]))
		printf(" # %s", known ? directive[verdict] : "");
	if (fmt) {
		va_start(args, fmt);
		vprintf(fmt, args);
		va_end(args);
	}
	printf("\n");
}

KSFT_FN void ksft_print_cnts(void)
{
	if (ksft_cnt.plan && ksft_cnt.plan != ksft_test_num())
		ksft_print_msg("Planned tests != run tests (%u != %u)\n", ksft_cnt.plan,
			       ksft_test_num());
	ksft_print_msg("Totals: pass:%u fail:%u xfail:%u xpass:%u skip:%u error:%u\n",
		       ksft_cnt.by[KSFT_PASS], ksft_cnt.by[KSFT_FAIL], ksft_cnt.by[KSFT_XFAIL],
		       ksft_cnt.by[KSFT_XPASS], ksft_cnt.by[KSFT_SKIP], ksft_cnt.error);
}

KSFT_FN __attribute__((noreturn)) void ksft_exit(int status)
{
	ksft_print_cnts();
	exit(status);
}

KSFT_FN __attribute__((noreturn)) void ksft_exit_pass(void)
{
	ksft_exit(KSFT_PASS);
}

KSFT_FN __attribute__((noreturn)) void ksft_exit_fail(void)
{
	ksft_exit(KSFT_FAIL);
}

/* Exits 0 only when every planned test gave a result that is no failure */
KSFT_FN __attribute__((noreturn)) void ksft_finished(void)
{
	unsigned int good = ksft_cnt.by[KSFT_PASS] + ksft_cnt.by[KSFT_XFAIL] +
			    ksft_cnt.by[KSFT_SKIP];

	ksft_exit(good == ksft_cnt.plan ? KSFT_PASS : KSFT_FAIL);
}

KSFT_FN KSFT_PRINTF(1) __attribute__((noreturn)) void ksft_exit_fail_msg(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ksft_vline("Bail out! ", fmt, args);
	va_end(args);
	ksft_exit(KSFT_FAIL);
}

KSFT_FN __attribute__((noreturn)) void ksft_exit_fail_perror(const char *what)
{
	ksft_exit_fail_msg("%s: %s (%d)\n", what, strerror(errno), errno);
}

/* Without results so far the whole program is skipped, else this one test is */
KSFT_FN KSFT_PRINTF(1) __attribute__((noreturn)) void ksft_exit_skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (ksft_cnt.plan || ksft_test_num())
		ksft_vresult(KSFT_SKIP, "# SKIP ", fmt, args);
	else
		ksft_vline("1..0 # SKIP ", fmt, args);
	va_end(args);
	if (ksft_cnt.plan || ksft_test_num())
		ksft_print_cnts();
	exit(KSFT_SKIP);
}

#endif /* KSELFTEST_H */
