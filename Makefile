# SPDX-License-Identifier: GPL-2.0
# The repository's own entry points. A kernel tree has no use for this file:
# there, tools/hooker and tools/testing/selftests/hooker stand for themselves.

SELFTESTS := tools/testing/selftests
OUT := $(if $(O),$(abspath $(O))/)
HOOKER_OUT := $(or $(OUT),$(CURDIR)/tools/hooker/)
TESTS_OUT := $(if $(O),$(OUT)kselftest/hooker,$(CURDIR)/$(SELFTESTS)/hooker)
O_ARG := $(if $(O),O=$(abspath $(O)))
# The names in ONLY are of hooker's tests
TARGETS ?= $(if $(ONLY),,harness )hooker

MAKEFLAGS += --no-print-directory

all:
	@mkdir -p $(HOOKER_OUT)
	@$(MAKE) -C tools/hooker OUTPUT=$(HOOKER_OUT) O= all

DESTPREFIX = $(DESTDIR)$(or $(prefix),/usr/local)

install: all
	@$(MAKE) -C tools/hooker OUTPUT=$(HOOKER_OUT) O= install
	@install -D -m 644 scripts/bash-completion/hooker \
		$(DESTPREFIX)/share/bash-completion/completions/hooker
ifneq ($(wildcard Documentation/tools/hooker/hooker.rst),)
	@if command -v rst2man >/dev/null; then \
		mkdir -p $(DESTPREFIX)/share/man/man8 && \
		rst2man --strip-comments Documentation/tools/hooker/hooker.rst \
			$(DESTPREFIX)/share/man/man8/hooker.8; \
	else \
		echo 'no rst2man (python3-docutils), so no man page'; \
	fi
endif

# OUTPUT is where the tests look for the command, as in the kernel's runner
demo:
	@scripts/install-deps.sh build test
	@$(MAKE) -C $(SELFTESTS) TARGETS=hooker $(O_ARG) all
	@cd $(SELFTESTS)/hooker && OUTPUT=$(TESTS_OUT) ./demo.sh

bench-link:
	@scripts/install-deps.sh build test bench
	@$(MAKE) -C $(SELFTESTS) TARGETS=hooker $(O_ARG) all
	@cd $(SELFTESTS)/hooker && OUTPUT=$(TESTS_OUT) ./bench_link.sh

bench-deploy:
	@scripts/install-deps.sh build
	@$(MAKE) -C $(SELFTESTS) TARGETS=hooker $(O_ARG) all
	@$(TESTS_OUT)/bench_deploy

bench-xsk:
	@scripts/install-deps.sh build test
	@$(MAKE) -C $(SELFTESTS) TARGETS=hooker $(O_ARG) all
	@cd $(SELFTESTS)/hooker && OUTPUT=$(TESTS_OUT) ./bench_xsk.sh

check:
	@scripts/install-deps.sh build test
	@scripts/check.sh TARGETS="$(TARGETS)" $(if $(ONLY),ONLY="$(ONLY)") $(O_ARG)

# The tests that take minutes, by the same runner; longest: matrix_long.sh
check-long:
	@scripts/install-deps.sh build test
	@kselftest_override_timeout=900 scripts/check.sh TARGETS=hooker LONG=1 $(O_ARG)

check-tree:
	@scripts/install-deps.sh build test tree
	@scripts/check-tree.sh $(if $(O),$(OUT)tree,$(CURDIR)/.tree)

coverage:
	@scripts/install-deps.sh build
	@scripts/coverage.sh $(if $(O),$(OUT)coverage,$(CURDIR)/.coverage)

# Not part of check: it ends when the time is over, not when all was tried
fuzz:
	@$(MAKE) -C $(SELFTESTS)/hooker/fuzz $(if $(O),O=$(OUT)fuzz) \
		$(if $(FUZZ_SECONDS),FUZZ_SECONDS=$(FUZZ_SECONDS)) run

clean:
	@$(MAKE) -C tools/hooker OUTPUT=$(HOOKER_OUT) O= clean
	@$(MAKE) -C $(SELFTESTS) TARGETS="$(TARGETS)" $(O_ARG) clean
	@$(MAKE) -C $(SELFTESTS)/hooker/fuzz $(if $(O),O=$(OUT)fuzz) clean
	@rm -rf $(if $(O),$(OUT)tree $(OUT)coverage,.tree .coverage)

help:
	@echo 'Targets (O=DIR builds there, V=1 shows commands):'
	@echo '  all         - tools/hooker/hooker, the command (default)'
	@echo '  install     - command, completion and man page below $$DESTDIR$$prefix,'
	@echo '                which is /usr/local'
	@echo '  demo        - downloads over TCP, and over UDP and UDP-Lite with hooker; root'
	@echo '  bench-link  - the same over a lossy link, beside TCP CUBIC, TCP BBR and kcptun;'
	@echo '                25 minutes, QUICK=1: three; root'
	@echo '  bench-deploy - how long BPF programs take to be deployed, and each packet then; root'
	@echo '  bench-xsk   - packet rate and CPU time of AF_XDP beside the UDP-Lite socket; root'
	@echo '  check       - the selftests, with an exit status; ONLY="transfer.sh xdp": these; root'
	@echo '  check-long  - tests that take minutes: thousands of connections; root'
	@echo '  check-tree  - the same sources inside a kernel tree, and its style checks; root'
	@echo '  coverage    - lines and branches of the transport core that its tests execute;'
	@echo '                less than 90 % of the lines is an error'
	@echo '  fuzz        - transport core, TCP segments and control socket with arbitrary input;'
	@echo '                each fuzzer for ten minutes, or FUZZ_SECONDS=; clang with its runtime'
	@echo '  clean       - remove what was built'
	@echo ''
	@echo 'demo, bench-link, check and check-tree install the Debian packages that are missing;'
	@echo 'scripts/install-deps.sh -n all only names them.'

.PHONY: all install demo bench-link bench-deploy bench-xsk check check-long check-tree coverage fuzz \
	clean help
