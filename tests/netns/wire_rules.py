#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Rules, stages and challenges on a wire of two AF_XDP ports: what workers do with them, what the gate does in their
place, and what a reload changes."""

import os
import signal
import socket
import sys
import time

import moatd
from live import heard, listener, speak
from moatd import CLIENT, SERVER, Appliance, balanced, expect, inside, ping, wait_for
from wire import TARGET, config, in_namespace, ready

HERE = "10.78.3.1"


def counted(moat, reason):
    status = balanced(moat.ask("status"))
    return sum(place["reasons"].get(reason, 0) for place in status["workers"]), \
        sum(place["reasons"].get(reason, 0) for place in status["ports"])


def reload(moat, directory, more="", fail="open"):
    moat.write(config(directory, fail) + more)
    moat.ask("reload")


class Stopped:
    """moatd stands still: the gate does its workers' work."""

    def __init__(self, moat):
        self.moat = moat

    def __enter__(self):
        self.moat.process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)

    def __exit__(self, *_):
        self.moat.process.send_signal(signal.SIGCONT)


def test_redirect(directory):
    """To the other side, back to where it came from, or nowhere; by workers and by the gate alike."""
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        there, here = listener(SERVER, "s1"), listener(CLIENT, "c1")
        for place, way in enumerate(((20, 0), (0, 20), (20, 0))):
            target = ("w1", "w0", "nowhere")[place]
            reason = "pass_no_target" if target == "nowhere" else "redirect_rule"
            rule = moat.ask("rules", "add", f"redirect to {target} src {HERE} proto udp dport 7100")
            before = counted(moat, reason)
            speak(TARGET, 7100)
            got = len(heard(there, 7100)), len(heard(here, 7100))
            expect(got == way, "by workers to", target, got)
            workers = counted(moat, reason)
            expect(workers[0] - before[0] == 20, "counted", reason, before, workers)
            with Stopped(moat):
                speak(TARGET, 7100)
                got = len(heard(there, 7100)), len(heard(here, 7100))
            expect(got == way, "by the gate to", target, got)
            moat.ask("rules", "del", str(rule["id"]))
        there.close()
        here.close()


def test_stages(directory):
    """A reload switches stages of workers and of the gate behind them, on and off."""
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        reload(moat, directory, f"martians: [{HERE}]\n")
        wait_for(lambda: not ping(1, TARGET), "the stage is on")
        expect(counted(moat, "drop_martian")[0] > 0, "workers count it")
        with Stopped(moat):
            expect(not ping(1, TARGET), "and so does the gate")
        expect(counted(moat, "drop_martian")[1] > 0, "with its reason")
        reload(moat, directory, f"martians: [{HERE}]\nstages: {{martians: off}}\n")
        expect(ping(3, TARGET), "the stage is off again")
        reload(moat, directory, f"protect: [{{prefix: {TARGET}, icmp: 1/s burst 5}}]\n")
        inside(CLIENT, "ping", "-q", "-c", "20", "-i", "0.02", "-W", "0.2", TARGET, check=False)
        expect(counted(moat, "drop_profile")[0] > 5, "a protected destination", counted(moat, "drop_profile"))
        reload(moat, directory)
        expect(ping(10, TARGET), "and no longer one")


def test_fail(directory):
    """A reload changes what becomes of a wire without workers."""
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        for fail, passes in (("closed", False), ("open", True)):
            reload(moat, directory, fail=fail)
            expect(ping(3, TARGET), "workers go on after the reload to", fail)
            with Stopped(moat):
                expect(ping(1, TARGET) == passes, "fail:", fail)
            wait_for(lambda: ping(1, TARGET), "workers work again")
        expect(counted(moat, "drop_no_xsk")[1] > 0, "drops are counted")


def test_grow(directory):
    """The gate gets larger tables while an interface of it is gone."""
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        inside(moatd.GATEWAY, "ip", "link", "del", "w0")
        wait_for(lambda: "lost" in moat.log(), "the loss is said")
        path = os.path.join(directory, "list")
        with open(path, "w", encoding="ascii") as out:
            out.writelines(f"{101 + i // 65536}.{i // 256 % 256}.{i % 256}.1\n" for i in range(40000))
            out.write(f"{HERE}\n")
        moat.ask("rules", "load", path)
        moatd.link(CLIENT, "c1", HERE, moatd.GATEWAY, "w0", None)
        ready()
        wait_for(lambda: "back" in moat.log(), "the return is said", 15)
        expect(not ping(1, TARGET), "the list is in force")
        moat.ask("rules", "deny", "del", HERE)
        wait_for(lambda: ping(1, TARGET), "pings through the new interface")
        balanced(moat.ask("status"))


def test_challenge(directory):
    """A worker's answer goes out of the packet socket, and the client connects at its first try."""
    server = in_namespace(SERVER, lambda: socket.create_server((TARGET, 80)))
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        moat.ask("rules", "add", f"challenge dst {TARGET} proto tcp dport 80")
        times = []
        for _ in range(2):
            begin = time.monotonic()
            in_namespace(CLIENT, lambda: socket.create_connection((TARGET, 80), 5).close())
            times.append((time.monotonic() - begin) * 1000)
        print(f"through a worker's challenge in {times[0]:.1f} ms, then {times[1]:.1f}")
        expect(times[0] < (2000 if moatd.SLOW else 200), "at the first try", times)
        for reason in ("tx_challenge", "drop_cookie"):
            expect(counted(moat, reason)[0] == 1, reason, counted(moat, reason))
        shown = moat.ask("challenge", "show")
        expect(shown["sent"] == 1, "one answer", shown)
        replies = [worker["replies"] for worker in moat.ask("status")["workers"]]
        expect(sum(reply["packets"] for reply in replies) == 1, "sent by a worker", replies)
    server.close()


if __name__ == "__main__":
    sys.exit(moatd.main(globals(), ready))
