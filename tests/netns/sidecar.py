#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""moat-sidecar beside real programs: each start and end is told once, in order, with the right parent and
arguments, whatever the names are made of; a storm of processes loses nothing, and the counters say so."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.join(os.environ.get("MOAT_BUILD", "build"), "ctl/moat-sidecar")
STORM = 400 if os.environ.get("MOAT_TEST_SLOW") == "1" else 2000
MARK = f"moat-sidecar-test-{os.getpid()}"
failures = []

THREADS = """
import os, sys, threading, time
def go():
    os.execv("/bin/echo", ["echo", "{mark}-thread"])
threading.Thread(target=go).start()
time.sleep(30)
"""
LEADER_FIRST = """
import ctypes, os, threading, time
def last():
    time.sleep(0.3)
    os._exit(7)
threading.Thread(target=last).start()
ctypes.CDLL(None).syscall(60, 0)  # exit(2) of the leader alone (x86-64)
"""


def expect(what, holds, detail=""):
    if not holds:
        failures.append(what)
        print(f"FAIL {what}: {detail}", flush=True)


class Sidecar:
    def __init__(self, directory, *options):
        self.path = os.path.join(directory, "host.json")
        self.log = open(os.path.join(directory, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([PROGRAM, "--link", "none", "--hook", "none", "--output", self.path, *options],
                                        stderr=self.log)
        deadline = time.monotonic() + 30
        while "is ready" not in self.text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"moat-sidecar doesn't start: {self.text()}")
            time.sleep(0.05)

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        """Ends it; its events and its last counters."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        with open(self.path, encoding="utf-8") as file:
            events = [json.loads(line) for line in file]
        status = {}
        for line in self.text().splitlines():
            if " info: {" in line:
                status.update(json.loads(line[line.index("{"):]))
        return events, status


def code(event):
    return event["metadata"]["event_code"]


def launches(events, text):
    return [e for e in events if code(e) == "process.exec" and text in e["process"].get("cmd_line", "")]


def ends(events, uid):
    return [e for e in events if code(e) == "process.exit" and e["process"]["uid"] == uid]


def run(*command, **options):
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    done.wait(60)
    return done


def act():
    """What is to be told. The pids of the programs that ran."""
    pids = {}
    pids["plain"] = run("/bin/sh", "-c", f": {MARK}-plain; exit 3").pid
    pids["bytes"] = run("/bin/echo", f"{MARK}-bytes".encode() + b"\n\xff\x1b[1m \xc3\xbc").pid
    pids["long"] = run("/bin/echo", f"{MARK}-long", "x" * 4000).pid
    pids["thread"] = run("/usr/bin/python3", "-c", THREADS.replace("{mark}", MARK)).pid
    if os.uname().machine == "x86_64":
        pids["leader"] = run("/usr/bin/python3", "-c", LEADER_FIRST + f"# {MARK}-leader").pid
    victim = subprocess.Popen(["/usr/bin/python3", "-c",
                               f"import time; time.sleep(60) # {MARK}-killed"])
    time.sleep(0.3)
    victim.kill()
    victim.wait()
    pids["killed"] = victim.pid
    run("/usr/bin/unshare", "--pid", "--fork", "/bin/sh", "-c", f": {MARK}-ns; /bin/true {MARK}-ns-child; :")
    for number in range(STORM):
        pid = os.posix_spawn("/bin/true", ["true", f"{MARK}-storm-{number}"], {})
        os.waitpid(pid, 0)
    return pids


def check_programs(events, pids):
    me = os.getpid()
    for name in ("plain", "bytes", "long", "killed"):
        found = launches(events, f"{MARK}-{name}")
        expect(f"{name}: told once", len(found) == 1, f"{len(found)} times")
        if len(found) != 1:
            continue
        process = found[0]["process"]
        expect(f"{name}: its pid", process["pid"] == pids[name], process)
        expect(f"{name}: its parent", process.get("parent_process", {}).get("pid") == me, process)
        end = ends(events, process["uid"])
        expect(f"{name}: its end, once", len(end) == 1, end)
        if end:
            code = {"plain": 3, "killed": 128 + signal.SIGKILL}.get(name, 0)
            expect(f"{name}: exit code", end[0]["exit_code"] == code, end[0]["exit_code"])
            expect(f"{name}: in order", events.index(end[0]) > events.index(found[0]))
    text = launches(events, f"{MARK}-bytes")
    expect("bytes: readable", text and text[0]["process"]["cmd_line"] ==
           f"/bin/echo {MARK}-bytes\\x0a\\xff\\x1b[1m ü", text)
    text = launches(events, f"{MARK}-long")
    expect("long: cut and said", text and text[0]["unmapped"].get("cmd_line_cut") is True, text)


def check_threads(events, pids):
    found = [e for e in launches(events, f"{MARK}-thread") if e["process"]["file"]["name"] == "echo"]
    expect("an exec by a thread keeps the process", len(found) == 1 and
           found[0]["process"]["pid"] == pids["thread"], found)
    if "leader" in pids:
        found = launches(events, f"{MARK}-leader")
        end = ends(events, found[0]["process"]["uid"]) if found else []
        expect("a leader that ends first: one end, with the last thread's code",
               len(end) == 1 and end[0]["exit_code"] == 7, end)


def check_namespace(events):
    found = launches(events, f"{MARK}-ns-child")
    found = [e for e in found if e["process"]["file"]["name"] == "true"]
    expect("in a pid namespace: once, with both pids", len(found) == 1 and
           0 < found[0]["process"].get("namespace_pid", 0) < 10, found)


def check_storm(events):
    uids = {}
    for event in events:
        if event["class_uid"] != 1007 or event["activity_id"] > 2:
            continue
        line = event["process"].get("cmd_line", "")
        if f"{MARK}-storm-" in line:
            uids.setdefault(event["activity_id"], []).append((line, event["process"]["uid"]))
    for activity, what in ((1, "starts"), (2, "ends")):
        seen = uids.get(activity, [])
        expect(f"storm: {what}, each once", len(seen) == STORM and len(set(seen)) == STORM,
               f"{len(seen)} told, {len(set(seen))} distinct, of {STORM}")
    order = [line for line, _ in uids.get(1, [])]
    expect("storm: in order", order == [f"true {MARK}-storm-{n}" for n in range(STORM)])


def check_counters(events, status):
    channel, lines = status["channel"], status["lines"]
    expect("tried = received + lost", channel["tried"] == channel["received"] +
           channel["lost_ring"] + channel["lost_scratch"] and
           channel["received"] == channel["handed"], channel)
    expect("nothing lost", channel["lost_ring"] + channel["lost_scratch"] == 0 and
           channel["missing"] == 0 and lines["lost"] + lines["failed"] == 0, status)
    expect("no probe was left out", status["probes"]["missed"] == 0, status)
    expect("no record contradicts itself", status["probes"]["unsound"] == 0, status["probes"])
    expect("every line is there", len(events) >= lines["made"], f"{len(events)}, {lines}")
    uids = [e["process"]["uid"] for e in events if code(e) == "process.exit"]
    expect("no process ends twice", len(uids) == len(set(uids)))


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    directory = tempfile.mkdtemp(prefix="moat-sidecar-")
    sidecar = None
    try:
        sidecar = Sidecar(directory)
        pids = act()
        time.sleep(0.3)
        events, status = sidecar.stop()
        check_programs(events, pids)
        check_threads(events, pids)
        check_namespace(events)
        check_storm(events)
        check_counters(events, status)
    finally:
        if sidecar and sidecar.process.poll() is None:
            sidecar.process.kill()
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
