#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The gate beside somebody else's program in libxdp's dispatcher: both run, whoever comes and goes; reloads and a
killed moatd leave the gate where it is. Where the kernel can't do that it says so and leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import moatd as lab
from live import heard, listener, speak
from moatd import CLIENT, GATEWAY, MOAT, MOATD, PINS, SERVER, expect, inside, run

NEIGHBOUR, STRANGER = (os.path.abspath(os.path.join(lab.BUILD, "tests/netns", name))
                       for name in ("netns-neighbour", "netns-gate"))
CONFIG = """run_dir: {dir}/run
state_dir: {dir}/state
pin_dir: {pins}
ports:
  - {{name: g0, attach: dispatcher}}
events: {{path: {dir}/events.json}}
{more}
"""
BOTH, NEITHER = [7202], [7200, 7201, 7202]


def config(directory, more=""):
    return CONFIG.format(dir=directory, pins=PINS, more=more)


class Neighbour:
    """Drops UDP to port 7200 on the gate's interface."""

    def __enter__(self):
        self.process = subprocess.Popen(("nsenter", f"--net=/run/netns/{GATEWAY}", NEIGHBOUR, "g0"), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        answer = json.loads(self.process.stdout.readline())
        expect(answer["result"] == 0, "the neighbour comes", answer)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        expect(self.process.wait(20) == 0, "the neighbour goes")


class Listeners:
    """Of the ports that the neighbour (7200), the gate (7201) and nobody (7202) drops: what arrives at the server."""

    def __enter__(self):
        self.socks = {number: listener(SERVER, "s0") for number in NEITHER}
        return self

    def __exit__(self, *_):
        for sock in self.socks.values():
            sock.close()

    def passing(self):
        for number in NEITHER:
            speak(lab.SERVER_IP, number, 3)
        return [number for number, sock in self.socks.items() if heard(sock, number)]


def port(moat):
    (found,) = moat.ask("status")["ports"]
    return found


def works(directory):
    """False, with the reason, where the kernel can't attach one program to another: then nothing is left."""
    moat = lab.Appliance(directory, config=config(directory))
    done = inside(GATEWAY, MOATD, "--check", moat.path)
    expect(done.stdout == "OK\n", "the configuration", done)
    try:
        with moat:
            moat.stop()
        inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
        return True
    except AssertionError:
        text = moat.log()
        expect("beside other programs: " in text and text.count("\n") == 1, "one error", text)
        expect("xdp" not in inside(GATEWAY, "ip", "link", "show", "g0").stdout, "no program is left")
        expect(not os.path.exists(PINS), "no pin is left")
        print("SKIP: libxdp's dispatcher: " + text.split("beside other programs: ")[1].strip())
        return False


def test_neighbours(directory):
    with Listeners() as there:
        with Neighbour():
            moat = lab.Appliance(directory, config=config(directory))
            with moat:
                moat.ask("rules", "add", "drop proto udp dport 7201")
                expect(port(moat)["attach"] == "dispatcher" and not port(moat)["adopted"], "attached", port(moat))
                expect(there.passing() == BOTH, "both drop")
                moat.stop(signal.SIGKILL)
                expect(there.passing() == BOTH, "both without moatd")
            with moat:
                expect(port(moat)["adopted"], "adopted", port(moat))
                before = port(moat)["reasons"].get("drop_rule", 0)
                expect(there.passing() == BOTH, "both for the next one")
                expect(port(moat)["reasons"]["drop_rule"] == before + 3, "counted", port(moat)["reasons"])
                # other programs for the port, one after the other, while it drops what comes
                flood = lab.Flood()
                moat.ask("rules", "add", "drop proto udp dport 9")
                before = port(moat)["reasons"]
                with flood:
                    for more in ("stages: {land: on}", "stages: {land: off}") * 2:
                        moat.write(config(directory, more))
                        moat.ask("reload")
                time.sleep(0.2)
                after = port(moat)["reasons"]
                expect(after["drop_rule"] - before.get("drop_rule", 0) == flood.sent, "no packet meets no program",
                       before, after, flood.sent)
                expect(there.passing() == BOTH, "both after reloads")
                moat.stop()
        expect(there.passing() == [7200, 7202], "the gate without its neighbour")
        with Neighbour():
            expect(there.passing() == BOTH, "and with one that comes later")
            inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
            expect(there.passing() == [7201, 7202], "the neighbour without the gate")
        expect(there.passing() == NEITHER and not os.path.exists(PINS), "nobody")
        link = inside(GATEWAY, "ip", "link", "show", "g0").stdout
        expect("xdp" not in link, "nothing is left attached", link, run("bpftool", "prog", "show").stdout[-400:])


def test_refused(directory):
    """A program that no dispatcher called has the interface alone."""
    inside(GATEWAY, STRANGER, "foreign", "g0")
    moat = lab.Appliance(directory, config=config(directory))
    done = inside(GATEWAY, MOATD, "--config", moat.path, check=False)
    expect(done.returncode == 1 and "stranger (id " in done.stderr, "refused by its name", done.stderr)
    expect("xdp" in inside(GATEWAY, "ip", "link", "show", "g0").stdout, "and left alone")
    inside(GATEWAY, "ip", "link", "set", "dev", "g0", "xdp", "off")
    moat.write(config(directory).replace("attach: dispatcher", "attach: dispatcher, replace: true"))
    done = inside(GATEWAY, MOATD, "--check", moat.path, check=False)
    expect("ports.0.attach" in done.stderr, "nothing is replaced in a dispatcher", done.stderr)


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    directory = tempfile.mkdtemp(prefix=lab.PREFIX)
    try:
        lab.set_up()
        inside(CLIENT, "ping", "-qc1", "-W5", lab.SERVER_IP)
        if not works(directory):
            return 77
        for test in (test_neighbours, test_refused):
            test(directory)
            print(test.__name__, flush=True)
    except (AssertionError, KeyError, OSError, ValueError) as error:
        print(f"FAIL {type(error).__name__}: {error}")
        log = os.path.join(directory, "log")
        if os.path.exists(log):
            with open(log, encoding="utf-8") as lines:
                print(lines.read())
        return 1
    finally:
        lab.tear_down(directory)
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
