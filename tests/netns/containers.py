#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""moat-sidecar beside containers: by the cgroups of version 1 and 2 that runtimes make, on overlayfs, by runc
with its state on disk and by an OCI hook; each event has the right container, and every line is valid OCSF."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ocsf  # noqa: E402
import sidecar as base  # noqa: E402

BUILD = os.environ.get("MOAT_BUILD", "build")
MOAT = os.path.abspath(os.path.join(BUILD, "ctl/moat"))
MARK = f"moat-containers-{os.getpid()}"
IDS = [f"{os.getpid():08x}" * 7 + f"{n:08x}" for n in range(8)]
failures = base.failures
expect = base.expect


def mounts(kind, option=""):
    with open("/proc/self/mounts", encoding="utf-8") as file:
        lines = [line.split() for line in file]
    return [f[1] for f in lines if f[2] == kind and (not option or option in f[3].split(","))]


def in_cgroup(path, *command):
    """Runs a program in a new cgroup, and removes that at once."""
    made = []
    for parent in (os.path.dirname(path), path):
        if not os.path.isdir(parent):
            os.mkdir(parent)
            made.append(parent)
    join = f"echo $$ > {path}/cgroup.procs; exec \"$@\""
    subprocess.run(["/bin/sh", "-c", join, "sh", *command], check=True, stdout=subprocess.DEVNULL)
    for directory in reversed(made):
        for _ in range(100):
            try:
                os.rmdir(directory)
                break
            except OSError:
                time.sleep(0.01)


def launched(events, text):
    found = [e for e in base.launches(events, text) if e["process"]["file"]["name"] in ("true", "busybox")]
    return found[0] if len(found) == 1 else {"process": {}, "unmapped": {}, "found": len(found)}


def cgroups():
    """The forms in which runtimes name cgroups; what ran, as (mark, id, runtime, hierarchy)."""
    places = []
    for root in mounts("cgroup2")[:1]:
        places.append((f"{root}/{MARK}.slice/docker-{IDS[0]}.scope", IDS[0], "docker", None))
    for root in mounts("cgroup", "pids")[:1]:
        places.append((f"{root}/{MARK}/{IDS[1]}", IDS[1], None, "pids"))
    for number, place in enumerate(places):
        in_cgroup(place[0], "/bin/true", f"{MARK}-cgroup-{number}")
    return places


def check_cgroups(events, places):
    for number, (_, container, runtime, hierarchy) in enumerate(places):
        event = launched(events, f"{MARK}-cgroup-{number}")
        told = event["process"].get("container", {})
        # its cgroup is gone by now, and on a hybrid host the pids hierarchy is looked at first
        expect(f"cgroup {number}: its container", told.get("uid") == container, event)
        expect(f"cgroup {number}: its runtime", told.get("runtime") == runtime, event)
        expect(f"cgroup {number}: its hierarchy", event["unmapped"].get("cgroup_hierarchy") == hierarchy, event)
        expect(f"cgroup {number}: those above", len(event["unmapped"].get("cgroups_above", [])) == 1, event)


class Overlay:
    """A root of two layers, in a mount namespace of our own: /bin/busybox below, /bin/new above."""

    def __init__(self, directory):
        self.parts = {name: os.path.join(directory, name) for name in ("lower", "upper", "work", "root")}
        for part in self.parts.values():
            os.makedirs(part)
        os.mkdir(f"{self.parts['lower']}/bin")
        shutil.copy("/bin/busybox", f"{self.parts['lower']}/bin/busybox")

    def run(self):
        p = self.parts
        script = (f"mount -t overlay overlay -o lowerdir={p['lower']},upperdir={p['upper']},workdir={p['work']} "
                  f"{p['root']} && cp {p['root']}/bin/busybox {p['root']}/bin/true && "
                  f"chroot {p['root']} /bin/busybox echo {MARK}-lower && chroot {p['root']} /bin/true {MARK}-upper")
        return subprocess.run(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script], check=False,
                              stdout=subprocess.DEVNULL).returncode == 0


def check_overlay(events):
    for name, upper in (("lower", False), ("upper", True)):
        event = launched(events, f"{MARK}-{name}")
        expect(f"overlay: a file of the {name} layer", event["unmapped"].get("upper_layer") is upper, event)


def bundle(directory, name, hook=None):
    """A root of busybox, and a configuration that runs it."""
    path = os.path.join(directory, name)
    os.makedirs(f"{path}/rootfs/bin")
    shutil.copy("/bin/busybox", f"{path}/rootfs/bin/busybox")
    subprocess.run(["runc", "spec"], cwd=path, check=True)
    with open(f"{path}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    seconds = "0" if hook else "0.2"
    config["process"].update(terminal=False, args=[
        "/bin/busybox", "sh", "-c", f"/bin/busybox echo {MARK}-{name}; /bin/busybox sleep {seconds}"])
    config["annotations"] = {"io.kubernetes.cri.container-name": f"name-{name}", "org.example/k": "v\x1b"}
    if hook:
        config["hooks"] = {"createRuntime": [{"path": MOAT, "args": ["moat", "oci-hook", hook]}]}
    with open(f"{path}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    return path


def run_runc(directory, name, hook=None):
    path = bundle(directory, name, hook)
    done = subprocess.run(["runc", "run", f"{MARK}-{name}"], cwd=path, check=False, capture_output=True, timeout=60)
    expect(f"runc {name}: runs", done.returncode == 0, done.stderr)
    return done.returncode == 0


def check_runc(events, name, source):
    event = launched(events, f"{MARK}-{name}")
    if "found" in event:  # the shell has the mark in its line as well
        found = [e for e in base.launches(events, f"echo {MARK}-{name}") if " -c " not in e["process"]["cmd_line"]]
        event = found[0] if len(found) == 1 else event
    told = event["process"].get("container", {})
    more = event["unmapped"].get("container", {})
    expect(f"{name}: its id", told.get("uid") == f"{MARK}-{name}", event)
    expect(f"{name}: its name", told.get("name") == f"name-{name}", event)
    expect(f"{name}: its labels", more.get("labels", {}).get("org.example/k") == "v\\x1b", event)
    expect(f"{name}: who told", more.get("source") == source, more)
    expect(f"{name}: both pids", event["process"].get("namespace_pid", 0) in range(1, 20), event)


def check_hook_alone(directory):
    """Without a sidecar, or with nonsense, the hook says so and lets the container start."""
    for state in (b"{}", b"", b"x" * 100000):
        begin = time.monotonic()
        done = subprocess.run([MOAT, "oci-hook", os.path.join(directory, "none.sock")], input=state, check=False,
                              capture_output=True, timeout=10)
        expect("hook: never fails", done.returncode == 0 and time.monotonic() - begin < 3, done)
        expect("hook: says why", b"isn't told" in done.stderr, done)


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    directory = tempfile.mkdtemp(prefix="moat-containers-")
    hook = os.path.join(directory, "oci.sock")
    runner, has_runc = None, shutil.which("runc") is not None
    if not has_runc:
        print("SKIP: runc is missing: containers are told of by their cgroups alone")
    try:
        check_hook_alone(directory)
        runner = base.Sidecar(directory, "--hook", hook)
        places = cgroups()
        # a mount namespace can't stand on an overlay of an overlay on every file system
        overlaid = Overlay(os.path.join(directory, "overlay")).run()
        runs = [name for name, path in (("state", None), ("hooked", hook))
                if has_runc and run_runc(directory, name, path)]
        time.sleep(0.5)
        events, status = runner.stop()
        check_cgroups(events, places)
        if overlaid:
            check_overlay(events)
        else:
            print("SKIP: no overlayfs here: layers are not looked at")
        for name in runs:
            check_runc(events, name, "hook" if name == "hooked" else "runc")
        if "hooked" in runs:
            expect("hook: taken", status["containers"]["hooks"] == 1, status["containers"])
        wrong = [(problem, event) for event in events for problem in ocsf.problems(event)]
        expect("every line is valid OCSF", not wrong, wrong[:3])
        base.check_counters(events, status)
    finally:
        if runner and runner.process.poll() is None:
            runner.process.kill()
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
