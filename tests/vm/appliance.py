#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""moatd on another kernel: attached in driver mode in the lab's network, counting live frames, dropping by a
rule, dropping on after SIGKILL, adopted by the next moatd, and gone when detached.

Runs inside a virtual machine (tests/vm/guest.sh): nothing here depends on speed.
"""
import json
import os
import signal
import subprocess
import sys
import time

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path.insert(0, os.path.join(SOURCE, "tests/lab"))

import appliance  # noqa: E402
import topology  # noqa: E402

# A few thousand frames at a pace that an emulated machine keeps up with.
RATE, SECONDS = 2000, 1.5
RULE = f"drop dst {topology.WEB} proto tcp dport 80 flags S"


class Lab(topology.Lab):
    build = os.environ.get("MOAT_BUILD") or os.path.join(SOURCE, "build")

    def tool(self, name):
        return os.path.join(self.build, "tests/lab", name)

    def program(self, name):
        return os.path.join(self.build, "ctl", name)


def expect(condition, what, *facts):
    if not condition:
        raise AssertionError(f"{what}: {' '.join(map(str, facts))}")


def flood(lab):
    """Look-alike SYNs onto the uplink; returns how many were handed to it."""
    child = lab.spawn("inet", [
        lab.tool("lab-generator"), "syn", topology.OUTER, topology.WEB, "80", lab.mac("inet", "br0"),
        lab.mac("gw", topology.UPLINK), "1", str(RATE), str(SECONDS), str(time.monotonic_ns()), topology.IDLE],
        "generator", stdout=subprocess.PIPE)
    out, _ = child.communicate(timeout=60)
    lab.stop(child)
    expect(child.returncode == 0 and out, "the generator runs", lab.log_tail("generator"))
    frames = json.loads(out)["frames"]
    expect(frames > 100, "frames sent", frames)
    return frames


def port(moat):
    state = moat.ask("status")["ports"][0]
    expect(state["received"] == sum(state["reasons"].values()), "in = sum of outs", state)
    return state


def reason(state, name):
    return state["reasons"].get(name, 0)


def test_driver_mode(lab, moat):
    state = port(moat)
    expect(state["xdp"] == "native", "driver mode on veth", state["fallback"])
    frames = flood(lab)
    time.sleep(0.3)
    after = port(moat)
    expect(after["received"] - state["received"] >= frames, "every frame counted", frames, state, after)
    expect(after["helper_errors"] == 0, "no helper failed", after)


def test_rule(lab, moat):
    moat.ask("rules", "add", RULE)
    before = port(moat)
    frames = flood(lab)
    time.sleep(0.3)
    after = port(moat)
    expect(reason(after, "drop_rule") - reason(before, "drop_rule") == frames, "dropped by the rule", frames,
           before, after)


def test_adoption(lab, moat):
    """Returns the moatd that took over."""
    before = port(moat)
    moat.child.send_signal(signal.SIGKILL)
    moat.child.wait(10)
    frames = flood(lab)
    lab.children.remove(moat.child)
    successor = appliance.Moat(lab, 5)
    after = port(successor)
    expect(after["adopted"] and after["xdp"] == "native", "the pinned link is adopted", after)
    expect(reason(after, "drop_rule") - reason(before, "drop_rule") == frames, "dropped without moatd", frames,
           before, after)
    frames = flood(lab)
    time.sleep(0.3)
    again = port(successor)
    expect(reason(again, "drop_rule") - reason(after, "drop_rule") == frames, "dropped by the successor", frames,
           after, again)
    return successor


def test_detach(lab, moat):
    moat.stop()
    expect(moat.child.returncode == 0, "moatd ends well", lab.log_tail("moatd"))
    link = topology.run("ip", "-n", lab.ns("gw"), "link", "show", topology.UPLINK)
    expect("prog/xdp" in link, "the gate outlives moatd", link)
    topology.run(*lab.enter("gw"), lab.program("moat"), "--pin-dir", lab.pins, "gate", "detach")
    link = topology.run("ip", "-n", lab.ns("gw"), "link", "show", topology.UPLINK)
    expect("xdp" not in link, "nothing is attached", link)


def step(function, *arguments):
    start = time.monotonic()
    result = function(*arguments)
    print(f"{function.__name__}: ok ({time.monotonic() - start:.1f} s)", flush=True)
    return result


def main():
    lab = Lab()
    try:
        doctor = subprocess.run([lab.program("moat"), "doctor"], capture_output=True, text=True, timeout=60, check=False)
        expect(doctor.returncode == 0, "doctor finds this kernel fit", doctor.stdout, doctor.stderr)
        step(lab.up)
        moat = appliance.Moat(lab, 5)
        step(test_driver_mode, lab, moat)
        step(test_rule, lab, moat)
        moat = step(test_adoption, lab, moat)
        step(test_detach, lab, moat)
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        print(lab.log_tail("moatd"), file=sys.stderr)
        return 1
    finally:
        lab.down()
    return 0


sys.exit(main())
