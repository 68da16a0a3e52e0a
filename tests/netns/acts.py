#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""moat-sidecar beside a program whose acts are known (acts_child.py): each is told once, in order, of the right
process and with what it did, whatever means this kernel has; what isn't asked for isn't told; every line is
OCSF."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import ocsf
import sidecar as base

HERE = os.path.dirname(os.path.abspath(__file__))
SEEN = {
    "path": lambda e: e["file"]["path"],
    "name": lambda e: e["file"]["name"],
    "result_path": lambda e: e["file_result"]["path"],
    "target": lambda e: e["process"]["pid"],
    "kernel_path": lambda e: e["kernel"]["path"],
    "hostname": lambda e: e["query"]["hostname"],
    "query_type": lambda e: e["query"]["type"],
    "src": lambda e: e["src_endpoint"],
    "dst": lambda e: e["dst_endpoint"],
    "bytes_in": lambda e: e["traffic"]["bytes_in"],
    "bytes_out": lambda e: e["traffic"]["bytes_out"],
}


def matches(event, expected):
    """What is wrong with an event, or nothing."""
    for name, value in expected.items():
        if name == "result" and "result" not in event["unmapped"]:
            continue  # told before the kernel acted
        if name == "abi" and "syscall" not in event["unmapped"]:
            continue  # told by the kernel's check, whoever called
        try:
            seen = SEEN[name](event) if name in SEEN else event["unmapped"][name]
        except KeyError:
            seen = None
        if seen != value:
            return f"{name} is {seen!r}, not {value!r}"
    return None


def act(directory):
    child = subprocess.Popen([sys.executable, "-I", "-S", "-B", os.path.join(HERE, "acts_child.py"), directory],
                             stdout=subprocess.PIPE, text=True)
    out, _ = child.communicate(timeout=60)
    base.expect("the program does its acts", child.returncode == 0, child.returncode)
    return child.pid, [json.loads(line) for line in out.splitlines()]


def check_acts(events, pid, told):
    own = [e for e in events if e["actor"]["process"].get("pid") == pid and
           base.code(e) not in ("process.exec", "process.exit")]
    mine = [(code, expected) for code, expected in told if not code.startswith("child:")]
    for number, (code, expected) in enumerate(mine):
        event = own[number] if number < len(own) else None
        if not event or base.code(event) != code:
            base.expect(f"act {number}, {code} {expected}: told in its order", False,
                        [base.code(e) for e in own[number:number + 4]])
            return
        wrong = matches(event, expected)
        base.expect(f"act {number}, {code}: as it was", not wrong, f"{wrong}: {event}")
        process = event["actor"]["process"]
        base.expect(f"act {number}, {code}: its actor", "acts_child.py" in process.get("cmd_line", ""), process)
    base.expect("nothing but that is told", len(own) == len(mine), [base.code(e) for e in own[len(mine):]])
    for code, expected in told:
        if code.startswith("child:"):
            found = [e for e in events if base.code(e) == code[6:] and not matches(e, expected)]
            base.expect(f"{code}: told once", len(found) == 1, found)


def observe(directory, *options, most=1):
    """The events of one run, its acts and the means that were found."""
    runner = base.Sidecar(directory, *options)
    place = tempfile.mkdtemp(prefix="moat-acts-", dir="/var/tmp")
    try:
        pid, told = act(place)
        time.sleep(0.3)
    finally:
        events, status = runner.stop()
        shutil.rmtree(place, ignore_errors=True)
    base.check_counters(events, status)
    for event in events:
        for problem in ocsf.problems(event):
            base.expect("every line is OCSF", False, f"{problem}: {event}")
            return pid, told, events, status
    return pid, told, events, status


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    directory = tempfile.mkdtemp(prefix="moat-acts-out-")
    try:
        pid, told, events, status = observe(directory)
        print(json.dumps(status["observations"]))
        base.expect("no observation is blind", "blind" not in status["observations"], status["observations"])
        wanted = os.environ.get("MOAT_TEST_NO_LSM")
        base.expect("LSM programs that don't fire aren't used", not wanted or "lsm" not in status["observations"],
                    status["observations"])
        base.expect("means that the kernel refuses are told, with its words", "lsm" in status["observations"] or
                    "fentry" in status["observations"] or all(status["probes"]["refused"].values()) and
                    status["probes"]["refused"], status["probes"])
        base.expect("what is lost is told of each event", status["lost"].get("process.signal"), status["lost"])
        check_acts(events, pid, told)
        os.unlink(os.path.join(directory, "host.json"))
        pid, told, events, status = observe(directory, "--events", "kernel,-kernel.bpf")
        seen = {base.code(e) for e in events if e["actor"]["process"].get("pid") == pid}
        expected = {code for code, _ in told if code.startswith("kernel.")} - {"kernel.bpf"}
        base.expect("what is asked for, and nothing else", seen - {"process.exec", "process.exit"} == expected,
                    (seen, expected))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if base.failures else 0


if __name__ == "__main__":
    sys.exit(main())
