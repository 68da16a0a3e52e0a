#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""moat-sidecar beside real programs with known actions, a steady stream of short-lived processes, crowds of
them, and hostile names: each is told once, in order, of the right parent, and every line is valid OCSF.
MOAT_TEST_LONG=1: 60 s of the stream and 50,000 processes."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ocsf  # noqa: E402
import sidecar as base  # noqa: E402

LONG = os.environ.get("MOAT_TEST_LONG") == "1"
SLOW = os.environ.get("MOAT_TEST_SLOW") == "1"
SECONDS = 60 if LONG else 6
RATE = 20 if SLOW else 100
CROWD = 50000 if LONG else 2000
AT_ONCE = 1000
MARK = f"moat-programs-{os.getpid()}"
expect = base.expect

IO_URING = """
import ctypes, sys, time
params = (ctypes.c_uint32 * 32)()
params[2] = 2  # IORING_SETUP_SQPOLL: a kernel's thread in this process
if ctypes.CDLL(None).syscall(425, 8, params) < 0:
    sys.exit(9)
time.sleep(0.1)
"""
CROWDED = """
import os, sys
left, at_once = int(sys.argv[1]), int(sys.argv[2])
while left > 0:
    count = min(left, at_once)
    read, write = os.pipe()
    for _ in range(count):
        if os.fork() == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(5)
    os.close(read)
    os.close(write)
    for _ in range(count):
        os.wait()
    left -= count
"""


def named(events, name, activity=1):
    return [e for e in events if e["activity_id"] == activity and base.code(e) in ("process.exec", "process.exit") and
            e["process"]["name"] == name[:15]]


def children(events, pid, name):
    return [e for e in named(events, name) if e["process"].get("parent_process", {}).get("pid") == pid]


def descends(events, event, pid):
    """Whether a process stands above that of the event, as the events tell it."""
    # as of then: pids come again
    parents = {e["process"]["pid"]: e["process"].get("parent_process", {}).get("pid")
               for e in events[:events.index(event) + 1] if base.code(e) in ("process.exec", "process.exit")}
    at = event["process"]["pid"]
    for _ in range(10):
        at = parents.get(at)
        if at == pid:
            return True
    return False


def run(*command, **options):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    process.wait(600)
    return process.pid


# ---- real programs ---------------------------------------------------------------------------------------------


def act_programs(directory):
    pids = {}
    source = os.path.join(directory, "t.c")
    with open(source, "w", encoding="ascii") as file:
        file.write("int main(void) { return 0; }\n")
    pids["sh"] = run("/bin/sh", "-c", f"/bin/echo {MARK}-pipe | /bin/cat | /usr/bin/wc; exit 4")
    pids["python3"] = run("/usr/bin/python3", "-c", f"import subprocess; subprocess.run(['/bin/echo', '{MARK}-py'])")
    if shutil.which("gcc"):
        pids["gcc"] = run("gcc", "-o", os.path.join(directory, "t"), source)
    pids["tar"] = run("tar", "-C", directory, "-czf", os.path.join(directory, "t.tar.gz"), "t.c")
    if shutil.which("ssh"):
        pids["ssh"] = run("ssh", "-F", "none", "-o", f"ProxyCommand=/bin/echo {MARK}-ssh", "nowhere.invalid")
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx:
        config = os.path.join(directory, "nginx.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"daemon off; worker_processes 2; pid {directory}/nginx.pid; error_log {directory}/error;\n"
                       "events { worker_connections 16; }\n")
        server = subprocess.Popen([nginx, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        server.terminate()
        server.wait(10)
        pids["nginx"] = server.pid
    ring = subprocess.run(["/usr/bin/python3", "-c", IO_URING + f"# {MARK}-ring"], check=False)
    if ring.returncode == 9:
        print("io_uring isn't permitted here: its threads are not looked at")
    else:
        pids["ring"] = True
    return pids


def check_programs(events, pids):
    for name, pid in pids.items():
        if name == "ring":
            continue
        found = [e for e in named(events, name) if e["process"]["pid"] == pid]
        expect(f"{name}: told once", len(found) == 1, found)
        end = base.ends(events, found[0]["process"]["uid"]) if found else []
        expect(f"{name}: ends once, later", len(end) == 1 and events.index(end[0]) > events.index(found[0]), end)
    for parent, child in (("sh", "echo"), ("sh", "cat"), ("sh", "wc"), ("python3", "echo"), ("gcc", "cc1"),
                          ("gcc", "collect2")):
        if parent in pids:
            found = children(events, pids[parent], child)
            expect(f"{parent} starts {child}", len(found) == 1, found)
    for parent, child in (("gcc", "ld"), ("tar", "gzip"), ("ssh", "echo")):
        if parent in pids:
            found = [e for e in named(events, child) if descends(events, e, pids[parent])]
            expect(f"{parent} has {child} below it", len(found) == 1, found)
    end = [e for e in named(events, "sh", 2) if e["process"]["pid"] == pids["sh"]]
    expect("sh: its code", end and end[0]["exit_code"] == 4, end)
    if "nginx" in pids:
        workers = [e for e in named(events, "nginx", 2)
                   if e["process"].get("parent_process", {}).get("pid") == pids["nginx"]]
        expect("nginx: both workers end, which ran nothing of their own", len(workers) == 2, workers)
    if "ring" in pids:
        found = base.launches(events, f"{MARK}-ring")
        expect("io_uring: one process", len(found) == 1 and not named(events, f"iou-sqp-{found[0]['process']['pid']}", 2)
               and len(base.ends(events, found[0]["process"]["uid"])) == 1, found)


# ---- many --------------------------------------------------------------------------------------------------------


def stream():
    """So many processes a second, on time."""
    begin = time.monotonic()
    for number in range(SECONDS * RATE):
        wait = begin + number / RATE - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        os.waitpid(os.posix_spawn("/bin/true", ["true", f"{MARK}-stream-{number}"], {}), 0)


def check_stream(events):
    told = {1: [], 2: []}
    for event in events:
        line = event["process"].get("cmd_line", "") if base.code(event) in ("process.exec", "process.exit") else ""
        if f"true {MARK}-stream-" in line:
            told[event["activity_id"]].append(int(line.rsplit("-", 1)[1]))
    for activity, what in ((1, "starts"), (2, "ends")):
        expect(f"stream: all {what}, once and in order", told[activity] == list(range(SECONDS * RATE)),
               f"{len(told[activity])} of {SECONDS * RATE}")


def check_crowd(events, pid):
    uids = [e["process"]["uid"] for e in events if base.code(e) == "process.exit" and e["exit_code"] == 5 and
            e["process"].get("parent_process", {}).get("pid") == pid]
    expect("crowd: each ends once, of its parent", len(uids) == CROWD and len(set(uids)) == CROWD,
           f"{len(uids)} told, {len(set(uids))} distinct, of {CROWD}")


# ---- names -------------------------------------------------------------------------------------------------------


def deep_copy(directory):
    """/bin/true at a path of 4,095 bytes, made and run from within."""
    os.chdir(directory)
    path = directory.encode()
    part = b"d" * 250
    while len(path) + 1 + len(part) + 2 < 4095 - 60:
        os.mkdir(part)
        os.chdir(part)
        path += b"/" + part
    name = b"t" * (4095 - len(path) - 1)
    while len(name) > 255:
        os.mkdir(b"e" * 200)
        os.chdir(b"e" * 200)
        path += b"/" + b"e" * 200
        name = b"t" * (4095 - len(path) - 1)
    shutil.copy("/bin/true", name)
    os.chdir("/")
    return path + b"/" + name


def act_names(directory):
    path = deep_copy(os.path.join(directory, "deep"))
    expect("a path of 4,095 bytes", len(path) == 4095, len(path))
    pids = {"deep": run("true", f"{MARK}-deep", executable=path)}
    for name, text in (("newline", b"a\nb\"\\"), ("bytes", b"\xff\xfe\xc3("), ("escape", b"\x1b[31m\xe2\x80\xae")):
        where = os.path.join(directory.encode(), text)
        shutil.copy("/bin/true", where)
        pids[name] = run(where, b"%s-%s \n\xff\xed\xa0\x80" % (MARK.encode(), name.encode()))
    return pids


def check_names(events, pids):
    endings = {"newline": 'a\\x0ab"\\', "bytes": "\\xff\\xfe\\xc3("}
    for name, pid in pids.items():
        found = [e for e in base.launches(events, f"{MARK}-{name}") if e["process"]["pid"] == pid]
        expect(f"{name}: told once", len(found) == 1, found)
        if len(found) != 1:
            continue
        file = found[0]["process"]["file"]
        expect(f"{name}: its path", file["path"].endswith(endings.get(name, "")), file)
        controls = [c for c in file["path"] + found[0]["process"]["cmd_line"] if ord(c) < 32]
        expect(f"{name}: no control characters", not controls, found)
        expect(f"{name}: what is cut says so", found[0]["unmapped"].get("path_cut", False) is (name == "deep"), found)
        expect(f"{name}: ends once", len(base.ends(events, found[0]["process"]["uid"])) == 1)


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    directory = tempfile.mkdtemp(prefix="moat-programs-")
    os.mkdir(os.path.join(directory, "deep"))
    runner = None
    try:
        runner = base.Sidecar(directory)
        pids = act_programs(directory)
        names = act_names(directory)
        stream()
        crowd = run("/usr/bin/python3", "-c", CROWDED, str(CROWD), str(AT_ONCE))
        time.sleep(0.5)
        events, status = runner.stop()
        check_programs(events, pids)
        check_names(events, names)
        check_stream(events)
        check_crowd(events, crowd)
        wrong = [(problem, event) for event in events for problem in ocsf.problems(event)]
        expect("every line is valid OCSF", not wrong, wrong[:3])
        base.check_counters(events, status)
        if LONG:
            print(f"{len(events)} events: {SECONDS * RATE} processes in {SECONDS} s, {CROWD} in a crowd")
    finally:
        if runner and runner.process.poll() is None:
            runner.process.kill()
        # rm, since the path is too long for a name
        subprocess.run(["/bin/rm", "-rf", directory], check=False)
    return 1 if base.failures else 0


if __name__ == "__main__":
    sys.exit(main())
