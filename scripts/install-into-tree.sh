#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Puts hooker into a kernel tree: real directories with a symbolic link for
# each file, so that edits are seen at once and objects stay in the tree.
# Links to directories would not do: make would find this repository around
# the sources instead of the tree, and build standalone without a word.

set -eu

usage()
{
	cat <<-END
	usage: $0 [--copy] [--register] KDIR
	  --copy      copy the files, to make a patch of them
	  --register  also add hooker to the tree's tools/Makefile and
	              tools/testing/selftests/Makefile
	END
}

die()
{
	echo "$0: $*" >&2
	exit 1
}

# $1: directory relative to both trees. Nothing that git ignores, nothing generated.
files_of()
{
	if git -C "$repo" rev-parse --git-dir >/dev/null 2>&1; then
		git -C "$repo" ls-files --cached --others --exclude-standard -- "$1"
	else
		(cd "$repo" && find "$1" -type f ! -name '*.skel.h' ! -name vmlinux.h \
			\( -name '*.[ch1-8]' -o -name '*.sh' -o -name '*.py' \
			-o -name '*.rst' -o -name '*.plot' -o -name Makefile \
			-o -name config -o -name settings -o -name .gitignore \
			-o -path '*/fuzz/corpus/*' \))
	fi
}

# Stand-ins exist in every kernel tree as the real thing, so they are not listed
directories="tools/hooker tools/testing/selftests/hooker Documentation/tools/hooker"

check_tree()
{
	for file in lib.mk kselftest.h kselftest_harness.h; do
		[ -f "$kdir/tools/testing/selftests/$file" ] ||
			die "$kdir: no tools/testing/selftests/$file, so this is no kernel tree"
	done
	[ -f "$kdir/tools/lib/bpf/Makefile" ] ||
		die "$kdir: no tools/lib/bpf, so hooker would build with the system's libbpf"
	[ "$kdir" != "$repo" ] || die "$kdir is this repository itself"
	for dir in $directories; do
		[ ! -L "$kdir/$dir" ] ||
			die "$kdir/$dir is a symbolic link; remove it, files are linked one by one"
	done
}

install_file()
{
	target=$kdir/$1
	mkdir -p "$(dirname "$target")"
	if [ "$mode" = copy ]; then
		rm -f "$target"
		cp "$repo/$1" "$target"
	elif [ -e "$target" ] && [ ! -L "$target" ]; then
		die "$target exists and is no link; use --copy, or remove it"
	else
		ln -sfn "$repo/$1" "$target"
	fi
}

# A file that is gone here must not stay there as a dangling link
remove_dangling()
{
	for dir in $directories; do
		[ ! -d "$kdir/$dir" ] || find "$kdir/$dir" -xtype l -delete
	done
}

# $1: file, $2: line that shows it is done, rest: sed script
edit_once()
{
	file=$kdir/$1
	line=$2
	shift 2
	[ -f "$file" ] || die "--register: $file is missing"
	! grep -qxF "$line" "$file" || return 0
	sed -i "$@" "$file"
	grep -qxF "$line" "$file" ||
		die "--register: $file looks unlike a kernel's; edit it by hand"
	echo "registered in $file"
}

# $1: suffix of the target, $2: what to make there. Prints a sed replacement.
# shellcheck disable=SC2016	# $(call) and $@ are make's
tools_rule()
{
	if [ -z "$1" ]; then
		printf '%s' 'hooker: FORCE\n\t$(call descend,$@)\n\n&'
	else
		printf '%s' "hooker$1:\\n\\t" '$(call descend,$(@:' "$1=),$2)\\n\\n&"
	fi
}

register()
{
	purpose="TCP connections over other transports"
	edit_once tools/testing/selftests/Makefile "TARGETS += hooker" \
		-e '0,/^TARGETS += i/s/^TARGETS += i/TARGETS += hooker\n&/'
	edit_once tools/Makefile "hooker: FORCE" \
		-e "/^help:/,/^\$/s/^\(.*\)  iio  .*/\1  hooker                 - $purpose'\n&/" \
		-e "0,/^acpi: FORCE/s/^acpi: FORCE/$(tools_rule "" "")/" \
		-e "0,/^acpi_install:/s/^acpi_install:/$(tools_rule _install install)/" \
		-e "0,/^acpi_clean:/s/^acpi_clean:/$(tools_rule _clean clean)/"
}

mode="link"
register=
while [ $# -gt 0 ]; do
	case $1 in
	--copy)		mode="copy" ;;
	--register)	register=y ;;
	-h | --help)	usage; exit ;;
	-*)		usage >&2; exit 2 ;;
	*)		break ;;
	esac
	shift
done
[ $# -eq 1 ] || { usage >&2; exit 2; }

repo=$(cd "$(dirname "$0")/.." && pwd -P)
[ -d "$1" ] || die "$1: no such directory"
kdir=$(cd "$1" && pwd -P)

check_tree
remove_dangling
number=0
for dir in $directories; do
	[ -d "$repo/$dir" ] || continue
	for file in $(files_of "$dir"); do
		[ -f "$repo/$file" ] || continue
		install_file "$file"
		number=$((number + 1))
	done
done
[ $number -gt 0 ] || die "$repo: no files to install"
[ -z "$register" ] || register
echo "$number files in $kdir ($mode)"
