#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A wire of two AF_XDP ports when its workers are gone: stopped, killed and started again, and when an
interface of it goes and comes back. The gate does the workers' work meanwhile: what passes goes on within 300 ms,
counted, what a rule drops stays dropped, and no frame gets into the host's own stack."""

import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from moatd import (CLIENT, CLONE_NEWNET, GATEWAY, LIBC, MOAT, MOATD, PINS, PREFIX, SERVER, SLOW, Appliance, balanced,
                   expect, inside, link, main, ping, run, wait_for)  # noqa: E402

TARGET = "10.78.3.2"
GAP_MAX = 2.0 if SLOW else 0.3
STOPPED = 1.5 if SLOW else 5


def config(directory, fail="open"):
    return f"""run_dir: {directory}/run
state_dir: {directory}/state
pin_dir: {PINS}
ports:
  - {{name: w0, role: wire, peer: w1, fail: {fail}}}
  - {{name: w1, role: wire, peer: w0, fail: {fail}}}
events: {{path: {directory}/events.json}}
"""


def ready():
    """A veth hands on what is redirected to it only if its other end polls by NAPI: GRO on does that."""
    for namespace, name in ((CLIENT, "c1"), (SERVER, "s1")):
        inside(namespace, "ethtool", "-K", name, "gro", "on")


def in_namespace(namespace, function):
    """socket() belongs to the namespace of the thread that makes it."""
    result = []

    def body():
        with open(f"/run/netns/{namespace}", "rb") as handle:
            expect(LIBC.setns(handle.fileno(), CLONE_NEWNET) == 0, "setns")
        result.append(function())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return result[0]


class Probe:
    """Asks an echo server 500 times a second, and knows the longest time without an answer."""

    def __init__(self, port=7000):
        def bound(address):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind(address)
            udp.settimeout(0.1)
            return udp

        self.server = in_namespace(SERVER, lambda: bound((TARGET, port)))
        self.client = in_namespace(CLIENT, lambda: bound(("10.78.3.1", 0)))
        self.port, self.going, self.answers, self.sent, self.gap = port, True, 0, 0, 0.0
        self.last = None
        self.threads = [threading.Thread(target=body, daemon=True) for body in (self.echo, self.ask, self.listen)]

    def echo(self):
        while self.going:
            try:
                data, sender = self.server.recvfrom(64)
                self.server.sendto(data, sender)
            except OSError:
                pass

    def ask(self):
        while self.going:
            try:
                self.client.sendto(struct.pack("!I", self.sent), (TARGET, self.port))
            except OSError:
                pass
            self.sent += 1
            time.sleep(0.002)

    def listen(self):
        while self.going:
            try:
                self.client.recv(64)
            except OSError:
                continue
            now = time.monotonic()
            if self.last:
                self.gap = max(self.gap, now - self.last)
            self.last, self.answers = now, self.answers + 1

    def longest(self):
        """Since the last call, up to now."""
        gap = max(self.gap, time.monotonic() - self.last) if self.last else None
        self.gap = 0.0
        return gap

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: self.answers > 10, "answers")
        self.longest()
        return self

    def __exit__(self, *_):
        self.going = False
        for thread in self.threads:
            thread.join(5)
        self.server.close()
        self.client.close()


def bypassed(status):
    return sum(port["reasons"].get("redirect_bypass", 0) for port in status["ports"])


def stack_saw(status):
    return sum(port["reasons"].get(reason, 0) for port in status["ports"]
               for reason in ("pass_no_xsk", "pass_default", "pass_no_table"))


def calm(moat):
    """No packet went past the workers for a while."""
    before = bypassed(moat.ask("status"))
    time.sleep(0.3)
    return bypassed(moat.ask("status")) == before


def test_bypass(directory):
    """SIGSTOP, SIGKILL, restart: the longest silence each time, and the books afterwards."""
    ready()
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        moat.ask("rules", "add", "drop", "proto", "udp", "dport", "9999")
        with Probe() as probe:
            time.sleep(0.5)
            steady = probe.longest()
            before = bypassed(balanced(moat.ask("status")))
            moat.process.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED)
            stopped = probe.longest()
            blocked = Probe(9999)
            for thread in blocked.threads:
                thread.start()
            time.sleep(0.3)
            blocked.going = False
            expect(blocked.sent > 20 and blocked.answers == 0, "the rule holds without workers", blocked.answers)
            moat.process.send_signal(signal.SIGCONT)
            time.sleep(0.5)
            again = probe.longest()
            status = wait_for(lambda: balanced(moat.ask("status")), "status")
            during = bypassed(status) - before
            expect(during > STOPPED * 200, "bypassed packets are counted", during, status["ports"])
            moat.stop(signal.SIGKILL)
            time.sleep(0.5)
            killed = probe.longest()
            moat.start()
            time.sleep(0.5)
            restarted = probe.longest()
            # on a busy machine a worker may not get its CPU for long enough to be taken for dead
            wait_for(lambda: calm(moat), "workers work again")
            status = balanced(moat.ask("status"))
            expect(all(worker["received"] > 0 for worker in status["workers"]), "workers", status["workers"])
            expect(stack_saw(status) == 0, "no frame in the host's stack", status["ports"])
        gaps = {"steady": steady, "stopped": stopped, "continued": again, "killed": killed, "restarted": restarted}
        print("longest silence, ms:", ", ".join(f"{name} {gap * 1e3:.0f}" for name, gap in gaps.items()))
        expect(max(gaps.values()) <= GAP_MAX, "silence", gaps)


def test_closed(directory):
    """Fail closed: nothing passes without workers, all of it is counted."""
    ready()
    with Appliance(directory, config=config(directory, "closed")) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        moat.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        expect(not ping(1, TARGET), "nothing passes")
        moat.process.send_signal(signal.SIGCONT)
        wait_for(lambda: ping(1, TARGET), "pings pass again")
        status = balanced(moat.ask("status"))
        expect(sum(port["reasons"].get("drop_no_xsk", 0) for port in status["ports"]) > 0, "drops are counted",
               status["ports"])
        expect(bypassed(status) == 0, "no bypass", status["ports"])


def test_lists(directory):
    """A prefix that is put on a list at once holds in the gate as well, and while the gate gets larger tables the
    workers go on."""
    ready()
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        moat.ask("rules", "deny", "add", "10.78.3.1/32")
        wait_for(lambda: not ping(1, TARGET), "denied by the workers")
        moat.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        expect(not ping(1, TARGET), "denied by the gate")
        moat.process.send_signal(signal.SIGCONT)
        moat.ask("rules", "deny", "del", "10.78.3.1/32")
        wait_for(lambda: ping(1, TARGET), "pings again")
        path = os.path.join(directory, "list")
        with open(path, "w", encoding="ascii") as out:
            out.writelines(f"{101 + i // 65536}.{i // 256 % 256}.{i % 256}.1\n" for i in range(40000))
        run(MOAT, "--socket", moat.socket, "rules", "load", path)
        time.sleep(0.5)
        expect(moat.process.poll() is None, "moatd lives on larger tables", moat.process.returncode)
        wait_for(lambda: ping(1, TARGET), "pings on larger tables")
        wait_for(lambda: calm(moat), "workers work on larger tables")
        expect(stack_saw(balanced(moat.ask("status"))) == 0, "no frame in the host's stack")


def test_interface(directory):
    """An interface is deleted and comes back: said, counted, working again; link down and up is nothing special."""
    ready()
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        inside(GATEWAY, "ip", "link", "set", "w0", "down")
        time.sleep(0.3)
        inside(GATEWAY, "ip", "link", "set", "w0", "up")
        wait_for(lambda: ping(1, TARGET), "pings after the link was down")
        inside(GATEWAY, "ip", "link", "del", "w0")
        wait_for(lambda: "lost" in moat.log(), "the loss is said")
        link(CLIENT, "c1", "10.78.3.1", GATEWAY, "w0", None)
        ready()
        wait_for(lambda: ping(1, TARGET), "pings through the new interface", 15)
        wait_for(lambda: "back" in moat.log(), "the return is said")
        received = sum(worker["received"] for worker in balanced(moat.ask("status"))["workers"])
        expect(ping(5, TARGET), "more of them")
        status = balanced(moat.ask("status"))
        expect(sum(worker["received"] for worker in status["workers"]) >= received + 10, "by the workers",
               status["workers"])
        expect(moat.stop() == 0, "a clean end", moat.log())


def dpdk_config(directory, driver="net_af_packet"):
    return f"""run_dir: {directory}/run
state_dir: {directory}/state
pin_dir: {PINS}
ports:
  - {{name: left, role: wire, peer: right, dpdk: "{driver}0,iface=w0"}}
  - {{name: right, role: wire, peer: left, dpdk: "{driver}1,iface=w1"}}
dpdk: {{idle_us: 100}}
events: {{path: {directory}/events.json}}
"""


def left_over():
    """Files of DPDK and huge pages in use."""
    files = [os.path.join(where, name) for where, _, names in os.walk("/run/dpdk") for name in names]
    files += [os.path.join("/dev/hugepages", name) for name in os.listdir("/dev/hugepages")] \
        if os.path.isdir("/dev/hugepages") else []
    with open("/proc/meminfo", encoding="ascii") as lines:
        pages = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("HugePages_")}
    return files, pages["HugePages_Total"] - pages["HugePages_Free"]


def dpdk_works(directory, driver):
    """A wire of two DPDK ports: traffic, rules, a kill, and nothing left of it."""
    before = left_over()
    with Appliance(directory, config=dpdk_config(directory, driver)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        rule = moat.ask("rules", "add", "drop", "proto", "icmp")
        expect(not ping(1, TARGET), "the rule drops them")
        moat.ask("rules", "del", str(rule["id"]))
        with Probe() as probe:
            time.sleep(1)
            expect(probe.answers > 100, "answers", probe.answers)
        status = balanced(moat.ask("status"))
        expect([worker["kind"] for worker in status["workers"]] == ["dpdk", "dpdk"], "workers", status["workers"])
        expect(status["ports"] == [], "no gate on them", status["ports"])
        moat.stop(signal.SIGKILL)
        expect(left_over() == before, "nothing is left", before, left_over())
        moat.start()
        wait_for(lambda: ping(1, TARGET), "pings after a restart")
        expect(moat.stop() == 0, "a clean end", moat.log())
        expect(left_over() == before, "nothing is left", before, left_over())


def test_dpdk_af_packet(directory):
    dpdk_works(directory, "net_af_packet")


def test_dpdk_refused(directory):
    """net_af_xdp would put its own program in the gate's place: not where there is one."""
    with Appliance(directory, config=config(directory)):
        other = tempfile.mkdtemp(prefix=f"{PREFIX}-")
        try:
            path = os.path.join(other, "moat.yaml")
            with open(path, "w", encoding="ascii") as out:
                out.write(dpdk_config(other, "net_af_xdp").replace(PINS, PINS + "-2"))
            done = inside(GATEWAY, MOATD, "--config", path, check=False)
            expect(done.returncode != 0 and "has an XDP program" in done.stderr, "refused", done.stderr)
        finally:
            run(MOAT, "gate", "detach", "--pin-dir", PINS + "-2", check=False)
            shutil.rmtree(other, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(globals()))
