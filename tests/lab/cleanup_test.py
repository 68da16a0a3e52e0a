#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The lab leaves nothing behind: not at its end, not when interrupted, not (after the next run) when killed."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import topology  # noqa: E402

LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab.py")
NEEDED = ("nginx", "wrk", "curl", "iperf3", "dnsmasq", "dig", "ethtool")


def start():
    return subprocess.Popen([sys.executable, LAB, "--contrast-only", "--attacks", "live-amp", "--seconds", "2"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def traces(pid):
    """What a run with this pid has in the system: names are the pid in hex."""
    run = f"{pid:x}"
    found = [name for name in (os.listdir("/run/netns") if os.path.isdir("/run/netns") else ()) if name.startswith(f"{topology.PREFIX}{run}-")]
    pins = f"{topology.BPFFS}/{topology.PREFIX}{run}"
    found += [path for path in (f"{topology.RUN_ROOT}/{run}", pins, topology.gate_lock(pins)) if os.path.exists(path)]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                if f"{topology.RUN_ROOT}/{run}/".encode() in cmdline.read():
                    found.append(f"pid {entry}")
        except OSError:
            pass
    return found


def wait_until_up(child, seconds=20):
    deadline = time.monotonic() + seconds
    while len(traces(child.pid)) < 8:
        assert child.poll() is None, child.stdout.read()
        assert time.monotonic() < deadline, f"not up after {seconds} s: {traces(child.pid)}"
        time.sleep(0.1)


def end(child, number):
    wait_until_up(child)
    child.send_signal(number)
    out = child.communicate(timeout=30)[0]
    return out


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root, for network namespaces")
        return 77
    missing = [name for name in NEEDED if not any(os.access(os.path.join(where, name), os.X_OK)
                                                   for where in (*os.get_exec_path(), "/usr/sbin"))]
    if missing:
        print(f"SKIP: not installed: {', '.join(missing)}")
        return 77
    for number in (signal.SIGINT, signal.SIGTERM):
        child = start()
        out = end(child, number)
        assert child.returncode == 128 + number, (child.returncode, out)
        assert not traces(child.pid), traces(child.pid)
    killed = start()
    end(killed, signal.SIGKILL)
    assert traces(killed.pid), "a killed run can't have cleaned up"
    last = start()
    out = last.communicate(timeout=60)[0]
    assert "removed what 1 earlier" in out, out
    assert "look-alike amplification" in out, out
    for child in (killed, last):
        assert not traces(child.pid), (traces(child.pid), out)
    print("nothing left of four runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
