# SPDX-License-Identifier: GPL-2.0
# What a directory of selftests includes last, for use without a kernel tree.
# It offers the variables and targets of the kernel's lib.mk, so that one
# Makefile serves both. The including Makefile may set:
#
# TEST_GEN_PROGS		built from X.c, run, installed
# TEST_GEN_PROGS_EXTENDED,
# TEST_GEN_FILES		built from X.c or by a rule of the Makefile, installed
# TEST_PROGS			scripts: run, installed
# TEST_CUSTOM_PROGS		as TEST_PROGS, but built by a rule of the Makefile
# TEST_PROGS_EXTENDED, TEST_FILES	installed
# TEST_INCLUDES			installed at their place below selftests/
# LOCAL_HDRS			headers that the programs depend on
# EXTRA_CLEAN			what else `clean` removes
# OVERRIDE_TARGETS		set: the Makefile has its own rule to build programs

selfdir := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
top_srcdir := $(abspath $(selfdir)/../../..)

ifeq ($(OUTPUT),)
OUTPUT := $(CURDIR)
endif

ifeq ($(V),1)
Q :=
msg =
else
Q := @
msg = @printf '  %-8s %s%s\n' '$(strip $(1))' '$(notdir $(3))' '$(if $(4), $(4))';
MAKEFLAGS += --no-print-directory
endif

# LLVM=1, LLVM=-19 or LLVM=/some/bin/ choose the compiler as they do for a kernel
ifneq ($(LLVM),)
ifneq ($(filter %/,$(LLVM)),)
LLVM_PREFIX := $(LLVM)
else ifneq ($(filter -%,$(LLVM)),)
LLVM_SUFFIX := $(LLVM)
endif
CLANG := $(LLVM_PREFIX)clang$(LLVM_SUFFIX)
CC := $(CLANG)
else
CC := $(CROSS_COMPILE)gcc
endif

# make -rR leaves it out
ifeq ($(LINK.c),)
LINK.c = $(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS)
endif

CFLAGS += -D_GNU_SOURCE= $(USERCFLAGS)
LDFLAGS += $(USERLDFLAGS)

TEST_GEN_PROGS := $(addprefix $(OUTPUT)/,$(TEST_GEN_PROGS))
TEST_GEN_PROGS_EXTENDED := $(addprefix $(OUTPUT)/,$(TEST_GEN_PROGS_EXTENDED))
TEST_GEN_FILES := $(addprefix $(OUTPUT)/,$(TEST_GEN_FILES))

ALL_GEN := $(TEST_GEN_PROGS) $(TEST_GEN_PROGS_EXTENDED) $(TEST_GEN_FILES)
ALL_RUN := $(TEST_GEN_PROGS) $(TEST_CUSTOM_PROGS) $(TEST_PROGS)
ALL_INSTALLED := $(ALL_GEN) $(TEST_CUSTOM_PROGS) $(TEST_PROGS) $(TEST_PROGS_EXTENDED) \
		 $(TEST_FILES) $(wildcard settings config)

all: $(ALL_GEN) $(TEST_CUSTOM_PROGS)

# The runner never fails: verdicts are in the TAP lines, as in a kernel tree
run_tests: all
	@BASE_DIR="$(selfdir)"; export BASE_DIR; \
	. "$(selfdir)/kselftest/runner.sh"; \
	run_many $(ALL_RUN)

# Names as in kselftest-list.txt, a test a line
emit_tests:
	@for test in $(notdir $(ALL_RUN)); do echo "$(COLLECTION):$$test"; done

install: all
ifeq ($(INSTALL_PATH),)
	$(error install: say where to with INSTALL_PATH=)
endif
	@mkdir -p "$(INSTALL_PATH)"
	$(call msg,INSTALL,,$(INSTALL_PATH))
	$(Q)cp -RL $(ALL_INSTALLED) "$(INSTALL_PATH)/"
	$(Q)for file in $(TEST_INCLUDES); do \
		below=$$(realpath --relative-to="$(selfdir)" "$$file"); \
		mkdir -p "$(INSTALL_PATH)/../$$(dirname "$$below")"; \
		cp -L "$$file" "$(INSTALL_PATH)/../$$below"; \
	done

define CLEAN
	$(Q)rm -rf $(ALL_GEN) $(EXTRA_CLEAN)
endef

clean:
	$(CLEAN)

ifeq ($(OVERRIDE_TARGETS),)
$(OUTPUT)/%: %.c $(LOCAL_HDRS)
	$(call msg,CC,,$@)
	$(Q)$(LINK.c) $(filter-out $(LOCAL_HDRS),$^) $(LDLIBS) -o $@
endif

.PHONY: all run_tests emit_tests install clean
.DELETE_ON_ERROR:
