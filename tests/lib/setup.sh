#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Set-up shared by tests/demo and tests/check: installs the packages they need (Debian 12), unpacks a guest kernel and builds the
# guest image. Sourced by both; `tests/lib/setup.sh demo|check` does the set-up alone.
#
# Guarantees: the guest kernel is downloaded as a package and unpacked into the cache folder, never installed (installing it
# would touch the host's boot loader); ksmtuned, which tests/bench/merge compares with, likewise (installing it would start it). With everything in place nothing is downloaded and apt is not called at all.
#
# SAMEPAGE_CACHE    folder for kernel and guest images (default /var/cache/samepage)
# SAMEPAGE_KERNEL   a guest kernel to use instead of the cached one
# SAMEPAGE_INITRAMFS  set by setup_guest for what runs after it

setup_tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${SAMEPAGE_CACHE:=/var/cache/samepage}"
export SAMEPAGE_CACHE

setup_packages_demo=(gcc meson ninja-build pkg-config libc6-dev linux-libc-dev libjson-c-dev libxxhash-dev
	libmicrohttpd-dev libsqlite3-dev libsystemd-dev libvirt-dev libxml2-dev qemu-system-x86 busybox-static cpio python3)
# libc6-dbg: valgrind refuses to start without the symbols of the dynamic linker. libclang-rt: sanitizers when CC=clang.
setup_packages_check=("${setup_packages_demo[@]}" libcunit1-dev git valgrind libc6-dbg clang clang-tidy clang-format
	libclang-rt-14-dev mandoc libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients prometheus systemd-container)

setup_say() { printf '%s\n' "$*" >&2; }

setup_os_is_debian_12()
{
	local id='' version=''
	[ -r /etc/os-release ] || return 1
	id=$(. /etc/os-release && printf '%s' "${ID:-}")
	version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
	[ "$id" = debian ] && [ "$version" = 12 ]
}

# The packages of the list given as arguments that are not installed, one per line.
setup_missing()
{
	local p
	for p in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s\n' "$p"
	done
}

setup_apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root "$@" </dev/null; }

# The package lists are fetched once per run, and only when something is to be downloaded.
setup_apt_update()
{
	[ -z "${setup_apt_updated:-}" ] || return 0
	setup_apt update >&2 || return
	setup_apt_updated=1
}

# Runs a command that installs packages, and keeps those from starting services (libvirtd, prometheus): tests start
# their own, in places of their own. A policy that is there already is the host's business.
setup_without_services()
{
	local policy=/usr/sbin/policy-rc.d rc
	if [ -e "$policy" ]; then
		"$@"
		return
	fi
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || return
	"$@"
	rc=$?
	rm -f "$policy"
	return "$rc"
}

# setup_install demo|check
setup_install()
{
	local packages missing log
	case $1 in
	demo) packages=("${setup_packages_demo[@]}") ;;
	check) packages=("${setup_packages_check[@]}") ;;
	*) setup_say "setup: unknown set-up '$1'"; return 1 ;;
	esac

	if ! setup_os_is_debian_12; then
		setup_say "Automatic set-up knows Debian 12 only. The Debian names of what is needed:"
		setup_say "  ${packages[*]}"
		setup_say "and, as guest kernel, the file boot/vmlinuz-* of linux-image-cloud-amd64 (unpacked, not installed)."
		return 1
	fi
	if [ "$(id -u)" -ne 0 ]; then
		setup_say "This needs root: it installs packages, pauses guests and reads their memory. Run it with sudo."
		return 1
	fi

	mapfile -t missing < <(setup_missing "${packages[@]}")
	[ "${#missing[@]}" -ne 0 ] || return 0
	setup_say "Installing: ${missing[*]}"
	setup_apt_update || { setup_say "setup: apt-get update failed."; return 1; }
	# dpkg writes hundreds of lines, which only matter when it fails.
	log=$(mktemp)
	setup_without_services setup_apt install --no-install-recommends -y "${missing[@]}" >"$log" 2>&1 || {
		cat "$log" >&2
		rm -f "$log"
		setup_say "setup: installing ${missing[*]} failed."
		return 1
	}
	rm -f "$log"
}

setup_cached_kernel()
{
	local k
	k=$(find "$SAMEPAGE_CACHE/kernel" -maxdepth 1 -name 'vmlinuz-*' -size +1000k 2>/dev/null | sort -V | tail -n 1)
	[ -n "$k" ] && printf '%s\n' "$k"
}

# Sets and exports SAMEPAGE_KERNEL.
setup_kernel()
{
	local package work image

	if [ -n "${SAMEPAGE_KERNEL:-}" ]; then
		[ -r "$SAMEPAGE_KERNEL" ] || { setup_say "setup: SAMEPAGE_KERNEL=$SAMEPAGE_KERNEL cannot be read."; return 1; }
		export SAMEPAGE_KERNEL
		return 0
	fi
	if SAMEPAGE_KERNEL=$(setup_cached_kernel); then
		export SAMEPAGE_KERNEL
		return 0
	fi

	setup_apt_update || { setup_say "setup: no guest kernel in $SAMEPAGE_CACHE and apt-get update failed."; return 1; }
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^ *Depends: *\(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1)
	[ -n "$package" ] || { setup_say "setup: apt knows no linux-image-cloud-amd64."; return 1; }

	setup_say "Downloading the guest kernel $package (unpacked into $SAMEPAGE_CACHE, not installed)"
	mkdir -p "$SAMEPAGE_CACHE/kernel" || return 1
	work=$(mktemp -d "$SAMEPAGE_CACHE/kernel/work.XXXXXX") || return 1
	if (cd "$work" && setup_apt download "$package" >&2 && dpkg-deb --fsys-tarfile ./*.deb |
		tar -x --wildcards './boot/vmlinuz-*'); then
		image=$(find "$work/boot" -name 'vmlinuz-*' | head -n 1)
		mv "$image" "$SAMEPAGE_CACHE/kernel/"
	fi
	rm -rf "$work"
	if ! SAMEPAGE_KERNEL=$(setup_cached_kernel); then
		setup_say "setup: the guest kernel could not be downloaded."
		return 1
	fi
	export SAMEPAGE_KERNEL
}

# The script of Debian's ksmtuned, for tests/bench/merge, which does without it where it cannot be had.
setup_ksmtuned()
{
	local work
	[ ! -s "$SAMEPAGE_CACHE/ksmtuned/ksmtuned" ] || return 0
	setup_apt_update || return
	setup_say "Downloading ksmtuned (unpacked into $SAMEPAGE_CACHE, not installed)"
	mkdir -p "$SAMEPAGE_CACHE/ksmtuned" || return
	work=$(mktemp -d "$SAMEPAGE_CACHE/ksmtuned/work.XXXXXX") || return
	(cd "$work" && setup_apt download ksmtuned >&2 && dpkg-deb -x ./*.deb . && mv usr/sbin/ksmtuned ..) ||
		setup_say "setup: ksmtuned could not be downloaded; tests/bench/merge leaves it out."
	rm -rf "$work"
}

# Sets and exports SAMEPAGE_KERNEL and SAMEPAGE_INITRAMFS.
setup_guest()
{
	setup_kernel || return 1
	SAMEPAGE_INITRAMFS=$("$setup_tests_dir/guest/build") || return 1
	export SAMEPAGE_INITRAMFS
}

setup_all()
{
	setup_install "$1" && setup_guest || return
	[ "$1" != check ] || setup_ksmtuned || true
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -u
	setup_all "${1:-check}" || exit 1
	printf 'kernel     %s\ninitramfs  %s\n' "$SAMEPAGE_KERNEL" "$SAMEPAGE_INITRAMFS"
fi
