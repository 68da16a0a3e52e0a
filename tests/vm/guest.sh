#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs inside the virtual machine: each of the given test programs, one after the other, one line
# a test. A BPF object (NAME.bpf.o) is loaded, which is its test.
# usage: guest.sh FAMILY PROGRAM|OBJECT…
#
# What a program skips is printed as "SKIP: NAME: reason", so that the runner outside counts it.
set -uo pipefail

family=$1
shift
release=$(uname -r)
failed=0

# What the tests take for granted of the machine; without it their skips would hide everything.
[[ $release == "$family".* ]] || {
    echo "kernel $release is no $family"
    exit 1
}
for mount in bpf:/sys/fs/bpf tracefs:/sys/kernel/tracing cgroup2:/sys/fs/cgroup \
    securityfs:/sys/kernel/security; do
    [[ $(findmnt -n -o FSTYPE "${mount#*:}" | tail -n 1) == "${mount%%:*}" ]] || {
        echo "no ${mount%%:*} on ${mount#*:}"
        failed=1
    }
done
[[ -s /boot/config-$release && -s /sys/kernel/btf/vmlinux ]] || {
    echo "the kernel's configuration or BTF is missing"
    failed=1
}

load_object() {
    local pin
    pin=$(mktemp -d /sys/fs/bpf/loadXXXXXX) && bpftool prog loadall "$1" "$pin"
}

log=$(mktemp)
for program; do
    name=$(basename "$program") start=$EPOCHREALTIME status=0 result=ok
    if [[ $program == *.bpf.o ]]; then
        load_object "$program" >"$log" 2>&1 || status=$?
    else
        # A hang in one test leaves the others their turn.
        timeout -k 5 "${MOAT_VM_TEST_SECONDS:-240}" "$program" >"$log" 2>&1 </dev/null || status=$?
    fi
    case $status in
    0) ;;
    77) result=skipped ;;
    124 | 137) result="FAILED (no end in ${MOAT_VM_TEST_SECONDS:-240} s)" ;;
    *) result="FAILED (status $status)" ;;
    esac
    ms=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
    printf '%-28s %-10s %3d.%d s\n' "$name" "$result" $((ms / 1000)) $((ms / 100 % 10))
    sed -n -E "s/^[^[:alnum:]]*SKIP: *(.*)/SKIP: $name: \1/p" "$log"
    case $result in
    FAILED*)
        failed=1
        tail -n 40 "$log" | sed 's/^/    /'
        ;;
    skipped) grep -q 'SKIP: ' "$log" || {
        echo "$name skipped without a reason"
        failed=1
    } ;;
    esac
done
exit $failed
