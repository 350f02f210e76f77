#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# usage: install-deps.sh [-n] build|test|bench|tree|all...
#
# Installs the Debian packages that building, testing, the benchmark, or the check
# in a kernel tree need, if something is missing; -n only names them. Daemons among them
# are not started. Elsewhere it names what is missing, by Debian's names.

set -eu

# package and what shows that it is there: a command, or a file with a /
build_packages="
	gcc:gcc
	libc6-dev:/usr/include/stdio.h
	make:make
	pkg-config:pkg-config
	clang:clang|clang-19|clang-18|clang-17|clang-16|clang-15|clang-14
	bpftool:bpftool
	libbpf-dev:/usr/include/bpf/libbpf.h
	libelf-dev:/usr/include/libelf.h
	zlib1g-dev:/usr/include/zlib.h
	libmnl-dev:/usr/include/libmnl/libmnl.h
"
test_packages="
	curl:curl
	ethtool:ethtool
	git:git
	gnuplot-nox:gnuplot
	iperf3:iperf3
	iproute2:tc
	nftables:nft
	nginx-light:nginx
	nodejs:node
	openssh-client:ssh
	openssh-server:sshd
	perl:perl
	procps:ps
	python3:python3
	python3-docutils:rst2man|rst2man.py
	tcpdump:tcpdump
	util-linux:nsenter
	wrk:wrk
"
bench_packages="
	kcptun:kcptun-client
"
tree_packages="
	linux-source-6.12:/usr/src/linux-source-6.12.tar.xz
	perl:perl
	python3:python3
	xz-utils:xz
"

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# $1: alternatives, separated by |
is_there()
{
	for probe in $(echo "$1" | tr '|' ' '); do
		case $probe in
		*/*)	[ ! -e "$probe" ] || return 0 ;;
		*)	! command -v "$probe" >/dev/null || return 0 ;;
		esac
	done
	return 1
}

missing_packages()
{
	for entry in $1; do
		is_there "${entry#*:}" || echo "${entry%%:*}"
	done | sort -u
}

# Maintainer scripts ask policy-rc.d before they start a service; 101 is "no"
forbid_services()
{
	policy=/usr/sbin/policy-rc.d
	[ ! -e $policy ] || return 0
	trap 'rm -f $policy' EXIT
	trap 'exit 130' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
}

install_packages()
{
	DEBIAN_FRONTEND=noninteractive
	export DEBIAN_FRONTEND
	forbid_services
	apt-get -q update
	# shellcheck disable=SC2086	# a list
	apt-get -q install -y --no-install-recommends $1
}

names_only=
if [ "${1:-}" = -n ]; then
	names_only=y
	shift
fi
[ $# -gt 0 ] || set -- none
wanted=
for set in "$@"; do
	case $set in
	build)	wanted="$wanted $build_packages" ;;
	test)	wanted="$wanted $test_packages" ;;
	bench)	wanted="$wanted $bench_packages" ;;
	tree)	wanted="$wanted $tree_packages" ;;
	all)	wanted="$wanted $build_packages $test_packages $bench_packages $tree_packages" ;;
	*)	sed -n '4,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done

missing=$(missing_packages "$wanted" | tr '\n' ' ')
if [ -z "$missing" ]; then
	exit 0
elif [ -n "$names_only" ]; then
	echo "$missing"
elif [ ! -e /etc/debian_version ]; then
	echo "$0: no Debian; please install what is called there: $missing" >&2
	exit 1
elif [ "$(id -u)" -ne 0 ]; then
	echo "$0: only root can install: $missing" >&2
	exit 1
else
	echo "installing: $missing"
	install_packages "$missing"
	still=$(missing_packages "$wanted" | tr '\n' ' ')
	[ -z "$still" ] || { echo "$0: still missing after the installation: $still" >&2; exit 1; }
fi
