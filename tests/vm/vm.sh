#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs one command as root under another kernel: a throw-away virtual machine whose root is this
# host's own, read-only below a tmpfs, so that everything built here is there at the same path.
# The host's kernel is the newest that moat meets; Debian's stock kernels are what users have.
#
# The machine is emulated (TCG), which needs no /dev/kvm and is 10 to 19 times slower: build on the
# host. Kernels come from Debian's archive into a cache outside the source tree; nothing is
# installed. One process of ours (virtiofsd) serves the files, one (qemu) runs; both end with us.
set -euo pipefail
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"

usage() {
    cat <<'END'
usage: vm.sh [OPTION…] [--] COMMAND [ARGUMENT…]

  -k FAMILY    kernel, such as 6.1 or 6.12 (default 6.1): the newest release apt knows of
  -f FLAVOUR   cloud (default) or full: Debian's configurations of it
  -t SECONDS   bound on the whole run (default 300)
  -m MIB       memory (default 1024)
  -c CPUS      processors (default 1)
  -a WORDS     more of the kernel's command line, such as lsm=capability
  -v           show the kernel's messages, too, on stderr

Runs COMMAND in this directory, with this environment's MOAT_… variables, MOAT_TEST_SLOW=1 and no
standard input. Its output (both streams) goes to stdout.
Exit status: the command's; 77 after "SKIP: reason" if there is no such kernel or no QEMU;
124 when the time is up; 125 if the machine ended without a result.
The cache is $MOAT_VM_CACHE, otherwise ~/.cache/moat/kernels; remove a folder in it to fetch that
kernel anew.
END
}

die() {
    printf 'vm.sh: %s\n' "$*" >&2
    exit 125
}

# Not having a kernel to test under is no failure of what is tested.
skip() {
    printf 'SKIP: %s\n' "$*"
    exit 77
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
family=6.1 flavour=cloud seconds=300 memory=1024 cpus=1 words='' verbose=0
while getopts k:f:t:m:c:a:vh option; do
    case $option in
    k) family=$OPTARG ;;
    f) flavour=$OPTARG ;;
    t) seconds=$OPTARG ;;
    m) memory=$OPTARG ;;
    c) cpus=$OPTARG ;;
    a) words=$OPTARG ;;
    v) verbose=1 ;;
    h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 125
        ;;
    esac
done
shift $((OPTIND - 1))
(($#)) || die "no command, see vm.sh -h"
case $flavour in
cloud) suffix=-cloud ;;
full) suffix='' ;;
*) die "unknown flavour $flavour: cloud or full" ;;
esac

cache=${MOAT_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/moat/kernels}
tree=$cache/$family-$flavour # boot/vmlinuz-RELEASE and lib/modules/RELEASE
virtiofsd=/usr/lib/qemu/virtiofsd

work=$(mktemp -d /tmp/moat-vm.XXXXXX)
pids=()
# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# ---- the kernel -----------------------------------------------------------------------------

# The name of the family's newest package, nothing if apt knows of none.
newest_package() {
    apt-cache pkgnames "linux-image-$family." |
        grep -E "^linux-image-${family//./\\.}\.[0-9]+(-[0-9]+|\+deb[0-9]+)$suffix-amd64\$" |
        sort -V | tail -n 1
}

# Fetches and unpacks into $tree. A complete tree appears at once, or not at all.
fetch_kernel() {
    local package new=$work/tree attempt
    mkdir -p "$work/deb" "$new"
    for attempt in 1 2; do
        package=$(newest_package || true)
        [[ -n $package ]] && (cd "$work/deb" &&
            apt-get -q -o APT::Sandbox::User=root download "$package") >"$work/apt.log" 2>&1 && break
        # What apt knows may be older than what the archive still has, or nothing.
        ((attempt == 1 && EUID == 0)) && apt-get -q update >"$work/apt.log" 2>&1 && continue
        skip "cannot download a $flavour kernel $family: ${package:-apt knows no such package}"
    done
    dpkg-deb --fsys-tarfile "$work"/deb/*.deb | tar -x -C "$new" ./boot ./lib/modules
    local release
    release=$(ls "$new/lib/modules")
    depmod -b "$new" "$release"
    mkdir -p "$cache"
    cp -a "$new" "$tree.new.$$"
    # Another run may have been quicker.
    mv -T "$tree.new.$$" "$tree" 2>/dev/null || rm -rf "$tree.new.$$"
    rm -rf "$work/deb" "$new"
}

# ---- the initramfs --------------------------------------------------------------------------

# The modules that reaching the root takes, in the order of their dependencies.
root_modules() {
    local module
    for module in virtio_pci virtiofs overlay; do
        modprobe -d "$tree" -S "$release" -D "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++'
}

build_initramfs() {
    local root=$work/root number=10 module name
    mkdir -p "$root"/{bin,job,lower,modules,new,proc,upper}
    cp /bin/busybox "$root/bin/"
    ln -s busybox "$root/bin/sh"
    install -m 755 "$here/init" "$root/init"
    while read -r module; do
        name=$root/modules/$number-$(basename "${module%.xz}")
        case $module in
        *.xz) busybox xzcat "$module" >"$name" ;;
        *) cp "$module" "$name" ;;
        esac
        number=$((number + 1))
    done < <(root_modules)
    {
        printf 'export %s=%q\n' MOAT_TEST_SLOW 1
        for name in "${!MOAT_@}"; do
            printf 'export %s=%q\n' "$name" "${!name}"
        done
        printf 'cd %q\n' "$PWD"
        printf '%q ' "$@"
        echo
    } >"$root/job/command"
    printf 'release=%s\ntree=%s\n' "$release" "$tree" >"$root/job/kernel"
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
}

# ---- the machine ----------------------------------------------------------------------------

# Serves the host's root. It is bound read-only in a mount namespace of its own: whatever happens
# in the machine, the host's files can't change. Other file systems are left out but for those
# that hold what is run.
start_virtiofsd() {
    local root=$work/export waited=0
    mkdir "$root"
    # shellcheck disable=SC2016
    unshare --mount bash -c '
        set -e
        root=$1 socket=$2 server=$3
        shift 3
        mount --bind / "$root"
        mount -o remount,bind,ro "$root"
        for directory; do
            [[ $(stat -c %d "$directory") == "$(stat -c %d /)" ]] && continue
            mount --bind "$directory" "$root$directory"
            mount -o remount,bind,ro "$root$directory"
        done
        exec "$server" --socket-path="$socket" \
            -o source="$root",cache=always,sandbox=chroot,xattr,no_posix_lock --thread-pool-size=0
    ' bash "$root" "$work/socket" "$virtiofsd" "$tree" "$(readlink -f "$here/../..")" "$PWD" \
        >"$work/virtiofsd.log" 2>&1 &
    pids+=($!)
    until [[ -S $work/socket ]]; do
        kill -0 "${pids[-1]}" 2>/dev/null ||
            skip "cannot serve this host's files: $(tail -n 1 "$work/virtiofsd.log")"
        ((++waited < 500)) || die "virtiofsd doesn't answer"
        sleep 0.02
    done
}

# Boots and waits for the end. Console: ttyS0, the command's output: ttyS1.
run_machine() {
    local status=0
    local command=(
        qemu-system-x86_64 -M q35 -accel "tcg,thread=multi" -cpu max -smp "$cpus" -m "$memory"
        -nodefaults -no-user-config -display none -no-reboot
        -object "memory-backend-memfd,id=memory,size=${memory}M,share=on" -numa "node,memdev=memory"
        -chardev "socket,id=root,path=$work/socket"
        -device "vhost-user-fs-pci,chardev=root,tag=root"
        -chardev "file,id=console,path=$work/console" -device "isa-serial,chardev=console,index=0"
        -chardev "stdio,id=output,signal=off" -device "isa-serial,chardev=output,index=1"
        -kernel "$tree/boot/vmlinuz-$release" -initrd "$work/initramfs"
        # Mitigations only cost time under an emulator; a panic ends the run.
        -append "console=ttyS0 loglevel=5 panic=-1 mitigations=off random.trust_cpu=on $words"
    )
    # In the foreground group, so that what ends us ends the machine.
    timeout --foreground -k 5 "$seconds" "${command[@]}" </dev/null &
    pids+=($!)
    wait "${pids[-1]}" || status=$?
    if ((verbose)); then
        tr -d '\r' <"$work/console" >&2
    fi
    local result
    result=$(tr -d '\r' <"$work/console" | sed -n 's/^moat-vm: exit \([0-9]\{1,3\}\)$/\1/p' | tail -n 1)
    [[ -n $result ]] && exit "$result"
    printf 'vm.sh: no result (qemu: %s); the last of the console:\n' "$status" >&2
    tr -d '\r' <"$work/console" | tail -n 30 >&2
    ((status == 124)) && exit 124
    exit 125
}

[[ $(uname -m) == x86_64 ]] || skip "kernels in a virtual machine: only on x86_64 as yet"
((EUID == 0)) || skip "serving the root to a virtual machine needs root"
for tool in qemu-system-x86_64 "$virtiofsd" /bin/busybox cpio modprobe depmod apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || skip "no $tool (packages qemu-system-x86 busybox-static cpio kmod)"
done
[[ -d $tree ]] || fetch_kernel
release=$(ls "$tree/lib/modules")
build_initramfs "$@"
start_virtiofsd
run_machine
