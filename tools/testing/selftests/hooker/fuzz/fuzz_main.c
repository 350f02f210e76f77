// SPDX-License-Identifier: GPL-2.0
/*
 * What libFuzzer calls, for the target that the Makefile names.
 */
#include "fuzz.h"

int		LLVMFuzzerTestOneInput(const __u8 *data, size_t size);
const char	*__asan_default_options(void);

int LLVMFuzzerTestOneInput(const __u8 *data, size_t size)
{
	return FUZZ_TARGET(data, size);
}

/* The default of 256 MB means a page fault for nearly each allocation */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=4:malloc_context_size=6";
}
