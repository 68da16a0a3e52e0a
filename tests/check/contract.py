#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the host's probes ask of a kernel, held against 5.15: helpers, map types and hooks of the programs that are
there on every kernel, and the fields that differ between kernels.

usage: contract.py OBJDUMP OBJECT…

A program for a hook that a kernel may lack (LSM, fentry, kprobe) is tried and left out where it is refused; of
those only the helpers count. Helpers that came after 5.15 are refused here, wherever they stand.
"""

import json
import re
import subprocess
import sys

# include/uapi/linux/bpf.h of 5.15: its last helper is bpf_task_pt_regs.
LAST_HELPER = 175
# of 5.15, by bpf_map_type
MAPS = {1: "hash", 2: "array", 3: "prog_array", 6: "percpu_array", 9: "lru_hash", 12: "array_of_maps", 27: "ringbuf"}
# Hooks of programs that are always there, and the kernel that first had each.
HOOKS = {
    "tp_btf/sys_exit": "5.5", "tp_btf/sched_process_fork": "5.5", "tp_btf/sched_process_exec": "5.5",
    "tp_btf/sched_process_exit": "5.5", "tp_btf/signal_generate": "5.5", "tp_btf/inet_sock_set_state": "5.5",
    "tp_btf/cgroup_mkdir": "5.5", "iter/task": "5.8",
}
TRIED = ("lsm/", "fentry/", "fexit/", "kprobe/")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sections(objdump, path):
    """The programs' sections with their instructions' text."""
    name, found = None, {}
    for line in run(objdump, "-d", path).splitlines():
        head = re.match(r"Disassembly of section (.*):$", line)
        if head:
            name = head.group(1)
            found[name] = []
        elif name:
            found[name].append(line)
    return found


def helpers(lines):
    """Numbers of the helpers that are called; a call of a function of the object has a register before it."""
    for line in lines:
        call = re.search(r"85 00 00 00 ([0-9a-f]{2}) ([0-9a-f]{2}) 00 00\s+call (0x)?[0-9a-f]+$", line)
        if call:
            yield int(call.group(2) + call.group(1), 16)


def map_types(path):
    types = {t["id"]: t for t in json.loads(run("bpftool", "-j", "btf", "dump", "file", path))["types"]}
    for one in types.values():
        if one["kind"] != "STRUCT":
            continue
        for member in one["members"]:
            pointer = types.get(member["type_id"], {})
            if member["name"] != "type" or pointer.get("kind") != "PTR":
                continue
            array = types.get(pointer.get("type_id"), {})
            if array.get("kind") == "ARRAY":
                yield array["nr_elems"]


def problems(objdump, path):
    for name, lines in sections(objdump, path).items():
        if name not in HOOKS and name != ".text" and not name.startswith(TRIED):
            yield f"{name}: no hook that 5.15 is known to have"
        for helper in helpers(lines):
            if helper > LAST_HELPER:
                yield f"{name}: helper {helper} came after 5.15"
    for kind in map_types(path):
        if kind not in MAPS:
            yield f"map type {kind} isn't on the list of 5.15's"


def main():
    objdump, objects = sys.argv[1], sys.argv[2:]
    found, programs = [], 0
    for path in objects:
        programs += len(sections(objdump, path))
        found += [f"{path}: {problem}" for problem in problems(objdump, path)]
    print("\n".join(found))
    if programs < 8:
        print("the objects have hardly a program: is the dump read right?")
        return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
