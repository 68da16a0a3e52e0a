#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The test of acts on a kernel whose list of security modules lacks bpf; runs inside the virtual machine.
set -euo pipefail
modules=$(cat /sys/kernel/security/lsm)
[[ ",$modules," != *,bpf,* ]] || {
    echo "bpf is among the security modules: $modules"
    exit 1
}
export MOAT_TEST_NO_LSM=1
exec "$(dirname "$0")/../netns/acts.py"
