#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The gate's life on a real interface: native on veth, generic where native is refused, another program
left alone, one owner at a time, adopted after SIGKILL and swapped under traffic with no packet outside the
rules, and removed without a trace."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

PROGRAM = os.path.join(os.environ.get("MOAT_BUILD", "build"), "tests/netns/netns-gate")
SPACE = f"moat-gate-{os.getpid()}"
PIN = f"/sys/fs/bpf/{SPACE}"
ENTER = ("nsenter", f"--net=/run/netns/{SPACE}")  # not "ip netns exec", which hides bpffs
SLOW = os.environ.get("MOAT_TEST_SLOW") == "1"
failures = []


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def expect(what, holds, detail=""):
    if not holds:
        failures.append(what)
        print(f"FAIL {what}: {detail}", flush=True)


class Owner:
    """A process that has the gate open."""

    def __init__(self, interface="gate0", *more):
        self.process = subprocess.Popen((*ENTER, PROGRAM, "own", PIN, interface, *more), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.opened = self.line()
        self.attached = self.line() if "result" in self.opened else {}
        self.info = self.line() if "result" in self.attached else {}

    def line(self):
        return json.loads(self.process.stdout.readline() or '{"error": 0, "text": "it died"}')

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.line()

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        self.process.stdin.close()
        self.process.stdout.close()


def sender(seconds):
    return subprocess.Popen((*ENTER, PROGRAM, "send", "peer0", str(seconds)), text=True,
                            stdout=subprocess.PIPE)


def sent_by(process):
    out, _ = process.communicate(timeout=60)
    return json.loads(out)["sent"]


def detach():
    return json.loads(run(PROGRAM, "detach", PIN, check=False).stdout or "{}")


def link_of(interface):
    return json.loads(run(*ENTER, "ip", "-j", "link", "show", "dev", interface).stdout)[0]


def set_up():
    run("ip", "netns", "add", SPACE)
    run(*ENTER, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
        "net.ipv6.conf.default.disable_ipv6=1")
    set_up_link()


def set_up_link():
    run(*ENTER, "ip", "link", "add", "gate0", "type", "veth", "peer", "name", "peer0")
    for name in ("gate0", "peer0"):
        run(*ENTER, "ip", "link", "set", name, "up")


def test_refusals():
    """No privilege, no bpffs: one sentence, and nothing is left."""
    done = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "own", PIN, "lo",
               check=False)
    answer = json.loads(done.stdout)
    expect("no privilege", answer.get("error") == 1 and "CAP_BPF" in answer["text"], answer)
    answer = json.loads(run(PROGRAM, "own", "/tmp/moat-no-bpffs", "lo", check=False).stdout)
    expect("no bpffs", answer.get("error") == 95 and "mount -t bpf" in answer["text"], answer)
    expect("nothing is left", not os.path.exists("/tmp/moat-no-bpffs") and not os.path.exists(PIN))


def test_attach():
    owner = Owner()
    expect("native on veth", owner.info.get("native") is True, (owner.opened, owner.attached))
    expect("no policy at first", owner.info.get("policy") is False, owner.info)
    expect("driver mode", link_of("gate0").get("xdp", {}).get("mode") == 1, link_of("gate0"))
    second = Owner()
    expect("one owner", second.opened.get("error") == 16, second.opened)
    second.close()
    expect("release", owner.ask("release") == {"result": 0})
    expect("released", "xdp" not in link_of("gate0"))
    expect("released twice", owner.ask("release").get("error") == 2)
    owner.close()


def test_fallback():
    owner = Owner("lo")
    expect("generic where native is refused", owner.info.get("native") is False, owner.attached)
    expect("with the reason", "not supported" in owner.info.get("fallback", ""), owner.info)
    owner.ask("release")
    owner.close()
    owner = Owner("gate0", "generic")
    expect("generic when asked for", owner.info.get("native") is False, owner.info)
    owner.ask("release")
    owner.close()
    owner = Owner("nosuch0")
    expect("no such interface", owner.attached.get("error") == 19, owner.attached)
    owner.close()


def test_foreign():
    run(*ENTER, PROGRAM, "foreign", "gate0")
    before = link_of("gate0")["xdp"]["prog"]["id"]
    owner = Owner()
    text = owner.attached.get("text", "")
    expect("foreign program refused", owner.attached.get("error") == 17, owner.attached)
    expect("by its name and id", f"stranger (id {before})" in text, text)
    owner.close()
    expect("and left alone", link_of("gate0")["xdp"]["prog"]["id"] == before)
    run(*ENTER, "ip", "link", "set", "dev", "gate0", "xdp", "off")


def test_interface_gone():
    """An interface that goes away and comes back under its name, while nobody has the gate open, is a new
    port; what is pinned for the old one doesn't stand in the way."""
    owner = Owner()
    expect("attached", "native" in owner.info, owner.attached)
    owner.kill()
    run(*ENTER, "ip", "link", "del", "gate0")
    set_up_link()
    owner = Owner()
    expect("opened without it", owner.opened == {"result": 0}, owner.opened)
    expect("attached anew", (owner.info.get("adopted"), owner.info.get("native"), owner.info.get("ports")) ==
           (False, True, 0), (owner.attached, owner.info))
    expect("in driver mode", link_of("gate0").get("xdp", {}).get("mode") == 1, link_of("gate0"))
    owner.ask("release")
    owner.close()


def test_adoption():
    """Killed and started again under traffic: every packet sent is counted, and dropped by the rule."""
    owner = Owner()
    expect("rule", owner.ask("rule drop proto udp dport 9") == {"result": 0})
    expect("commit", owner.ask("commit") == {"result": 0})
    start = owner.ask("counters")
    traffic = sender(4 if SLOW else 2)
    for _ in range(2 if SLOW else 4):
        time.sleep(0.2)
        owner.kill()
        time.sleep(0.1)
        owner = Owner()
        expect("adopted", owner.info.get("adopted") is True, (owner.opened, owner.attached))
        expect("with its policy and port", (owner.info.get("policy"), owner.info.get("ports")) ==
               (True, 1), owner.info)
        expect("native as before", owner.info.get("native") is True, owner.info)
    sent = sent_by(traffic)
    end = owner.ask("counters")
    expect("traffic", sent > 1000, sent)
    expect("every packet was counted", end["in"] - start["in"] == sent, (start, end, sent))
    expect("and dropped by the rule", end["drop_rule"] - start["drop_rule"] == sent, (end, sent))
    return owner


def test_swap(owner):
    """Two sets that drop by a rule and by a list in turns: no packet sees neither."""
    start = owner.ask("counters")
    traffic = sender(4 if SLOW else 2)
    time.sleep(0.2)
    flips, until = 0, time.monotonic() + 1.5
    while time.monotonic() < until:
        answer = owner.ask("flip 4")
        expect("flip", answer == {"result": 0}, answer)
        flips += 4
    sent = sent_by(traffic)
    end = owner.ask("counters")
    by_rule = end["drop_rule"] - start["drop_rule"]
    by_list = end["drop_denied"] - start["drop_denied"]
    print(f"{flips} flips, {sent} packets: {by_rule} dropped by the rule, {by_list} by the list")
    expect("every packet was dropped", by_rule + by_list == sent, (start, end, sent))
    expect("both sets were in force", by_rule > 0 and by_list > 0)
    return owner


def test_move(owner):
    """Another version's gate is moved under traffic, once by a process that is killed half-way: every packet meets
    the old rules or the new."""
    start = owner.ask("counters")
    traffic = sender(4 if SLOW else 2)
    time.sleep(0.2)
    owner.kill()
    run(PROGRAM, "age", PIN)
    half = run(*ENTER, PROGRAM, "move", PIN, "gate0", "half").stdout.splitlines()
    expect("half moved", json.loads(half[-1]) == {"result": 0} and os.path.isdir(f"{PIN}/maps-new"), half)
    first, *rest = [json.loads(line) for line in run(*ENTER, PROGRAM, "move", PIN, "gate0").stdout.splitlines()]
    expect("goes on with the move", first == {"moving": True, "ports": 1}, first)
    expect("moved", rest[0] == {"result": 0}, rest)
    expect("one set of tables", sorted(os.listdir(PIN)) == ["maps", "ports"], os.listdir(PIN))
    sent = sent_by(traffic)
    owner = Owner()
    expect("adopted as any other", owner.info.get("adopted") is True and owner.info.get("policy") is True, owner.info)
    end = owner.ask("counters")
    print(f"moved under {sent} packets")
    expect("counts go on", end["in"] - start["in"] == sent, (start, end, sent))
    expect("every packet was dropped", sum(end[name] - start[name] for name in ("drop_rule", "drop_denied")) == sent,
           (start, end, sent))
    # a whole gate of another version goes without one that could read it
    owner.close()
    run(PROGRAM, "age", PIN)


def test_detach():
    expect("pinned while nobody has it open", os.path.isdir(PIN) and "xdp" in link_of("gate0"))
    expect("detach", detach() == {"result": 0})
    expect("no pins left", not os.path.exists(PIN))
    expect("no program left", "xdp" not in link_of("gate0"))
    expect("no lock left", not [f for f in os.listdir("/run") if SPACE in f])


def main():
    if os.geteuid() != 0 or not os.path.ismount("/sys/fs/bpf"):
        print("SKIP: needs root and a bpffs at /sys/fs/bpf")
        return 77
    if not shutil.which("nsenter"):
        print("SKIP: needs nsenter")
        return 77
    try:
        set_up()
        test_refusals()
        test_attach()
        test_fallback()
        test_foreign()
        test_interface_gone()
        test_move(test_swap(test_adoption()))
        test_detach()
    finally:
        if os.path.exists(PIN):
            detach()
        run("ip", "netns", "del", SPACE, check=False)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
