#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A fork bomb in one cgroup costs another one nothing: what the other does is told whole, the bomb's events
up to its budget, and the rest is told as a number. Told and suppressed make up what was done."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.join(os.environ.get("MOAT_BUILD", "build"), "ctl/moat-sidecar")
BUDGET = 400  # events a second, more than what is known makes and less than any bomb
BOMB = 4000 if os.environ.get("MOAT_TEST_SLOW") == "1" else 20000  # processes
KNOWN = 100
MARK = f"moat-budget-test-{os.getpid()}"
failures = []


def expect(what, holds, detail=""):
    if not holds:
        failures.append(what)
        print(f"FAIL {what}: {detail}", flush=True)


def cgroup2():
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            if line.split()[2] == "cgroup2":
                return line.split()[1]
    return None


class Cgroup:
    def __init__(self, parent, name):
        self.path = os.path.join(parent, f"{MARK}-{name}")
        os.mkdir(self.path)
        self.id = f"/{MARK}-{name}"  # as events name it

    def run(self, *command):
        """Starts a program in it."""
        def enter():
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="utf-8") as file:
                file.write("0")
        return subprocess.Popen(command, preexec_fn=enter, stdout=subprocess.DEVNULL)

    def remove(self):
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)


def start(directory, *more):
    log = open(os.path.join(directory, "log"), "w+", encoding="utf-8")
    process = subprocess.Popen([PROGRAM, "--link", "none", "--hook", "none", "--output",
                                os.path.join(directory, "events"), *more], stderr=log)
    deadline = time.monotonic() + 60
    while True:
        log.seek(0)
        if "is ready" in log.read():
            return process
        if time.monotonic() > deadline or process.poll() is not None:
            log.seek(0)
            raise AssertionError(f"moat-sidecar doesn't start: {log.read()}")
        time.sleep(0.05)


def stop(directory, process):
    """Its events and its counters."""
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    with open(os.path.join(directory, "events"), encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    status = {}
    with open(os.path.join(directory, "log"), encoding="utf-8") as file:
        for line in file:
            text = line.rpartition("info: ")[2]
            if text.startswith("{"):
                status.update(json.loads(text))
    return events, status


# Forks as fast as it can; its children end at once.
BOMB_CODE = f"""
import os
for i in range({BOMB}):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
"""


def bomb_and_known(directory, noisy, calm):
    sidecar = start(directory, "--budget", str(BUDGET))
    bomb = noisy.run(sys.executable, "-S", "-c", BOMB_CODE)
    began = time.monotonic()
    for i in range(KNOWN):
        calm.run("/bin/true", f"{MARK}-{i}").wait(60)
        time.sleep(0.02)
    bomb.wait(120)
    took = time.monotonic() - began
    time.sleep(0.3)
    events, status = stop(directory, sidecar)
    held = {}
    for event in events:
        if event["metadata"]["event_code"] == "channel.suppressed":
            key = (event["unmapped"]["cgroup"], event["unmapped"]["suppressed"])
            held[key] = held.get(key, 0) + event["count"]
    for i in range(KNOWN):
        lines = [e for e in events if e.get("process", {}).get("cmd_line", "").endswith(f"{MARK}-{i}")]
        expect(f"known action {i} is told", len(lines) == 2, [e["activity_id"] for e in lines])
    exits = [e for e in events if e["metadata"]["event_code"] == "process.exit"
             and e["unmapped"].get("cgroup") == noisy.id]
    expect("the bomb is held back", held.get((noisy.id, "process.exit"), 0) > min(BOMB / 4, BOMB - BUDGET * took), (held, took))
    # the bomb's own end, too
    expect("told and suppressed make up all",
           len(exits) + held.get((noisy.id, "process.exit"), 0) == BOMB + 1,
           (len(exits), held, BOMB))
    expect("the bomb has its budget", len(exits) > BUDGET * took / 8, (len(exits), took))
    # the rest of the host may be noisy, too
    expect("the other isn't held back", all(key[0] != calm.id for key in held), held)
    expect("nothing is lost", status["channel"]["lost_ring"] + status["channel"]["lost_scratch"] == 0
           and status["channel"]["tried"] == status["channel"]["received"], status["channel"])
    expect("all that was suppressed is told",
           status["budgets"]["suppressed"] == status["budgets"]["told"] == sum(held.values()),
           (status["budgets"], sum(held.values())))


def more_cgroups_than_budgets(directory, noisy, calm):
    """Those without an entry share one, which is counted; nothing else happens to them."""
    sidecar = start(directory, "--cgroups", "1")
    for cgroup in (noisy, calm):
        cgroup.run("/bin/true", f"{MARK}-shared-{cgroup.id[1:]}").wait(60)
    time.sleep(0.3)
    events, status = stop(directory, sidecar)
    for cgroup in (noisy, calm):
        lines = [e for e in events
                 if e.get("process", {}).get("cmd_line", "").endswith(f"{MARK}-shared-{cgroup.id[1:]}")]
        expect("a cgroup without an entry is told of", len(lines) == 2, len(lines))
    expect("that there is no entry is counted", status["budgets"]["no_entry"] > 0, status["budgets"])


def main():
    mount = cgroup2()
    if os.geteuid() != 0 or not mount:
        print("SKIP: needs root and cgroup2")
        return 77
    noisy, calm = Cgroup(mount, "noisy"), Cgroup(mount, "calm")
    try:
        with tempfile.TemporaryDirectory() as directory:
            bomb_and_known(directory, noisy, calm)
        with tempfile.TemporaryDirectory() as directory:
            more_cgroups_than_budgets(directory, noisy, calm)
    finally:
        noisy.remove()
        calm.remove()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
