#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Ports that send on by themselves under a real moatd: routed by the kernel's table with one hop less, what the
gate can't route left to the stack, each kind counted apart; two ports as one wire; a wire without its peer."""

import os
import shutil
import sys
import tempfile
import time

import moatd as lab
from moatd import CLIENT, GATEWAY, MOAT, PINS, SERVER, SERVER_IP, expect, inside, wait_for

CONFIG = """run_dir: {dir}/run
state_dir: {dir}/state
pin_dir: {pins}
ports:
{ports}
events:
  path: {dir}/events.json
"""
ROUTED = ("{name: g0, forward: fib}", "{name: g1, forward: fib}")
WIRED = ("{{name: w0, forward: wire, peer: w1, fail: {fail}}}", "{{name: w1, forward: wire, peer: w0, fail: {fail}}}")


def config(directory, ports):
    return CONFIG.format(dir=directory, pins=PINS, ports="\n".join(f"  - {port}" for port in ports))


def ping(*how, target=SERVER_IP, count=3):
    return inside(CLIENT, "ping", "-c", str(count), "-i", "0.05", "-W", "1", *how, target, check=False)


def port(moat, name):
    """Counters at rest: all that passed has gone one way."""
    def look():
        (found,) = [found for found in moat.ask("status")["ports"] if found["name"] == name]
        return found if found["forward_balanced"] and found["balanced"] else None
    return wait_for(look, f"counters of {name} agree", 3)


def grown(moat, name, reason, act):
    before = port(moat, name)["forwarded"].get(reason, 0)
    result = act()
    return port(moat, name)["forwarded"].get(reason, 0) - before, result


def test_fib(moat):
    """Both ways: g0 to the server, g1 back."""
    ping()  # the neighbours get known
    passed, done = grown(moat, "g0", "sent", lambda: ping(count=5))
    expect(done.returncode == 0 and passed == 5, "pings are sent by the gate", passed, done.stdout)
    expect("ttl=63" in done.stdout, "one hop less", done.stdout)
    passed, done = grown(moat, "g0", "ttl", lambda: ping("-t", "1"))
    expect(passed == 3 and "Time to live exceeded" in done.stdout, "the last hop is the stack's", passed, done.stdout)
    passed, done = grown(moat, "g0", "local", lambda: ping(target="10.78.1.1"))
    expect(passed == 3 and done.returncode == 0, "to this host", passed, done.stdout)
    passed, done = grown(moat, "g0", "options", lambda: ping("-R"))
    expect(passed == 3 and done.returncode == 0, "with options", passed, done.stdout)
    inside(GATEWAY, "ip", "route", "add", "blackhole", "10.78.9.0/24")
    inside(CLIENT, "ip", "route", "add", "10.78.9.0/24", "via", "10.78.1.1")
    passed, done = grown(moat, "g0", "refused", lambda: ping(target="10.78.9.1"))
    expect(passed == 3 and done.returncode != 0, "a black hole", passed, done.stdout)
    inside(GATEWAY, "ip", "neigh", "flush", "dev", "g1")
    passed, done = grown(moat, "g0", "neighbour", ping)
    expect(passed >= 1 and done.returncode == 0, "who isn't known is asked for", passed, done.stdout)
    expect(port(moat, "g0")["forwarded"].get("not_ip", 0) > 0 or
           port(moat, "g1")["forwarded"].get("not_ip", 0) > 0, "ARP is the stack's")


def test_fib_mtu(moat):
    inside(GATEWAY, "ip", "link", "set", "g1", "mtu", "1000")
    passed, done = grown(moat, "g0", "too_big", lambda: ping("-s", "1200", "-M", "dont"))
    expect(passed == 3, "cut up by the stack", passed)
    passed, done = grown(moat, "g0", "too_big", lambda: ping("-s", "1200", "-M", "do"))
    expect(passed >= 1 and ("Frag needed" in done.stdout or "too long" in done.stdout + done.stderr), "larger than the MTU",
           passed, done.stdout)
    inside(GATEWAY, "ip", "link", "set", "g1", "mtu", "1500")


def test_fib_not_ours(moat):
    """A frame to another station isn't routed, wherever its IP packet goes."""
    inside(CLIENT, "ip", "neigh", "replace", "10.78.1.1", "lladdr", "02:00:00:00:00:99", "dev", "c0", "nud", "permanent")
    passed, done = grown(moat, "g0", "not_ours", ping)
    expect(passed >= 3 and done.returncode != 0, "to another station", passed)
    inside(CLIENT, "ip", "neigh", "del", "10.78.1.1", "dev", "c0")
    inside(GATEWAY, "ip", "link", "set", "g0", "address", "02:00:00:00:00:77")
    inside(CLIENT, "ip", "neigh", "flush", "dev", "c0")
    inside(SERVER, "ip", "neigh", "flush", "dev", "s0")
    wait_for(lambda: grown(moat, "g0", "sent", ping)[0] == 3, "a new address is learned")


def test_fib_rules(moat):
    """The judgement comes first."""
    rule = moat.ask("rules", "add", "drop", "proto", "icmp")
    passed, done = grown(moat, "g0", "sent", ping)
    expect(passed == 0 and done.returncode != 0, "what is dropped isn't sent on", passed)
    moat.ask("rules", "del", str(rule["id"]))
    moat.stop(9)
    expect(ping().returncode == 0, "it goes on without moatd")
    moat.start()


def test_no_target(directory):
    """The other side is no such port: the stack forwards."""
    with lab.Appliance(directory, config=config(directory, ("{name: g0, forward: fib}",))) as moat:
        passed, done = grown(moat, "g0", "no_target", ping)
        expect(passed >= 1 and done.returncode == 0, "by the stack", passed, done.stdout)
        moat.write(config(directory, ("{name: g0}",)))
        moat.ask("reload")
        (found,) = moat.ask("status")["ports"]
        expect(found["forward"] == "kernel" and "forwarded" not in found, "left to the kernel by reload", found)
        expect(ping().returncode == 0, "which does it")
        moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)


def test_wire(directory, fail):
    ports = [end.format(fail=fail) for end in WIRED]
    with lab.Appliance(directory, config=config(directory, ports)) as moat:
        inside(CLIENT, "ip", "neigh", "flush", "dev", "c1")
        done = ping(target="10.78.3.2")
        expect(done.returncode == 0 and "ttl=64" in done.stdout, "through the wire, ARP and all", done.stdout)
        expect(port(moat, "w0")["forwarded"]["sent"] >= 3, "sent", port(moat, "w0"))
        inside(GATEWAY, "ip", "link", "set", "w1", "name", "w9")
        wait_for(lambda: "w1" not in {found["name"] for found in moat.ask("status")["ports"]}, "the peer is gone")
        passed, done = grown(moat, "w0", "no_target", lambda: ping(target="10.78.3.2"))
        expect(passed >= 1 and done.returncode != 0, "no way out", passed)
        inside(GATEWAY, "ip", "link", "set", "w9", "name", "w1")
        wait_for(lambda: ping(target="10.78.3.2").returncode == 0, "the peer is back")
        moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)


def main():
    if os.geteuid() != 0 or not os.path.ismount("/sys/fs/bpf"):
        print("SKIP: needs root and a bpffs at /sys/fs/bpf")
        return 77
    if not shutil.which("nsenter"):
        print("SKIP: needs nsenter")
        return 77
    directory = tempfile.mkdtemp(prefix=lab.PREFIX)
    try:
        lab.set_up()
        # a veth takes redirected frames if its peer receives by GRO
        for where, name in ((CLIENT, "c0"), (SERVER, "s0"), (CLIENT, "c1"), (SERVER, "s1")):
            inside(where, "ethtool", "-K", name, "gro", "on")
        with lab.Appliance(directory, config=config(directory, ROUTED)) as moat:
            for test in (test_fib, test_fib_mtu, test_fib_not_ours, test_fib_rules):
                begin = time.monotonic()
                test(moat)
                print(f"{test.__name__} {time.monotonic() - begin:.1f} s", flush=True)
            moat.stop()
        inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
        test_no_target(directory)
        test_wire(directory, "open")
        test_wire(directory, "closed")
    except AssertionError as error:
        print(f"FAIL {error}")
        log = os.path.join(directory, "log")
        if os.path.exists(log):
            with open(log, encoding="utf-8") as lines:
                print(lines.read())
        return 1
    finally:
        inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS, check=False)
        lab.tear_down(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
