#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A wire of two AF_XDP ports under a real moatd and under load: frames of several buffers, real servers, overload,
and what goes wrong in between. Bytes are compared, every frame is in one counter."""

import hashlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from moatd import (CLIENT, GATEWAY, SERVER, SLOW, Appliance, balanced, expect, inside, main, ping, run,
                   wait_for)  # noqa: E402
from wire import (GAP_MAX, STOPPED, TARGET, Probe, bypassed, calm, config, in_namespace, ready,  # noqa: E402
                  stack_saw)

MACS = {"c1": "02:00:00:00:00:01", "s1": "02:00:00:00:00:02"}
KERNEL = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
HAS_CHAINS = KERNEL >= (6, 6)


def talk(length):
    """Sends `length` bytes there and as many back, and compares what arrived by their digests."""
    def data(who):
        return hashlib.shake_256(who).digest(length)

    def receive(connection):
        digest, left = hashlib.sha256(), length
        while left:
            part = connection.recv(min(left, 1 << 16))
            expect(part, "connection closed early")
            digest.update(part)
            left -= len(part)
        return digest.digest()

    def serve():
        connection, _ = listener.accept()
        connection.settimeout(30)
        with connection:
            seen.append(receive(connection))
            connection.sendall(data(b"server"))

    seen = []
    listener = in_namespace(SERVER, lambda: socket.create_server((TARGET, 7001)))
    listener.settimeout(30)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with in_namespace(CLIENT, lambda: socket.create_connection((TARGET, 7001), timeout=30)) as connection:
            connection.sendall(data(b"client"))
            expect(receive(connection) == hashlib.sha256(data(b"server")).digest(), "bytes to the client")
        thread.join(30)
        expect(seen == [hashlib.sha256(data(b"client")).digest()], "bytes to the server")
    finally:
        listener.close()


def no_bad_checksums():
    for namespace in (CLIENT, SERVER):
        stats = inside(namespace, "cat", "/proc/net/snmp").stdout.splitlines()
        for names, values in zip(stats[::2], stats[1::2]):
            for name, value in zip(names.split()[1:], values.split()[1:]):
                expect(name not in ("InCsumErrors", "InHdrErrors") or int(value) == 0, "bad checksums", namespace,
                       names, values)


def test_jumbo(directory):
    """MTU 9000: workers see such frames whole; before 6.6 the gate does their work, before 6.3 nobody: counted."""
    for namespace, name in ((CLIENT, "c1"), (SERVER, "s1"), (GATEWAY, "w0"), (GATEWAY, "w1")):
        inside(namespace, "ip", "link", "set", name, "mtu", "9000")
    ready()
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        wait_for(lambda: calm(moat), "workers work")
        before = balanced(moat.ask("status"))
        out = inside(CLIENT, "ping", "-c", "20", "-i", "0.02", "-W", "2", "-M", "do", "-s", "8972", TARGET,
                     check=False).stdout
        if KERNEL < (6, 3):
            status = balanced(moat.ask("status"))
            expect(stack_saw(status) >= 20, "what can't be redirected goes to the kernel, counted", status["ports"])
            expect(ping(3, TARGET), "shorter frames go through workers")
            print(f"jumbo frames: to the kernel, {stack_saw(status)} counted")
            return
        expect(" 0% packet loss" in out, "jumbo pings", out)
        talk((1 if SLOW else 16) << 20)
        no_bad_checksums()
        status = balanced(moat.ask("status"))
        past = bypassed(status) - bypassed(before)
        large = sum(worker["rx"]["bytes"] for worker in status["workers"])
        expect([worker["multi_buffer"] for worker in status["workers"]] == [HAS_CHAINS] * 2, "workers",
               status["workers"])
        if HAS_CHAINS:
            expect(past == 0, "no frame went past the workers", status["ports"])
            expect(large > 2 << 20, "workers saw all of it", large)
        else:
            expect(past >= 40, "the gate sent long frames on, counted", status["ports"])
        expect(stack_saw(status) == 0, "no frame in the host's stack", status["ports"])
        moat.ask("rules", "add", "drop", "proto", "icmp")
        expect(inside(CLIENT, "ping", "-c", "2", "-i", "0.1", "-W", "0.3", "-M", "do", "-s", "8972", TARGET,
                      check=False).returncode != 0, "a rule drops them")
        print(f"jumbo frames: {'through workers' if HAS_CHAINS else 'past workers'}, {past} bypassed")


def books(moat):
    """The status, once every frame of both sides is in one counter: what the gate handed over was received or lost by
    cause, what a worker received went out of the other side or was dropped by cause."""
    status = balanced(moat.ask("status"))
    ports = {port["name"]: port for port in status["ports"]}
    for name, other in (("w0", "w1"), ("w1", "w0")):
        mine = [worker for worker in status["workers"] if worker["name"] == name]
        theirs = [worker for worker in status["workers"] if worker["name"] == other]
        handed = ports[name]["reasons"].get("redirect_xsk", 0)
        seen = sum(worker["rx"]["packets"] + worker["rx_ring_full"] + worker["rx_no_buffer"] + worker["rx_invalid"]
                   for worker in mine)
        kept = sum(count for worker in mine for reason, count in worker["reasons"].items() if
                   reason.startswith("drop"))
        if handed != seen or sum(worker["received"] for worker in mine) != \
                sum(worker["tx"]["packets"] for worker in theirs) + kept:
            return None
    return status


def pair(namespace, name, address, wire):
    """A host and its end of the wire, of two queues."""
    run("ip", "link", "add", name, "netns", namespace, "numtxqueues", "2", "numrxqueues", "2", "type", "veth", "peer",
        "name", wire, "netns", GATEWAY, "numtxqueues", "2", "numrxqueues", "2")
    for where, end in ((namespace, name), (GATEWAY, wire)):
        inside(where, "ethtool", "-L", end, "rx", "2", "tx", "2", check=False)
        inside(where, "ethtool", "-K", end, "tx", "off", "rx", "off", "gso", "off", "tso", "off", "gro", "off",
               check=False)
        inside(where, "ip", "link", "set", end, "up")
    # neighbours that are known: a question that meets a gap is asked again only after a second
    other = {"c1": (TARGET, "s1"), "s1": ("10.78.3.1", "c1")}[name]
    inside(namespace, "ip", "link", "set", name, "address", MACS[name])
    inside(namespace, "ip", "address", "add", f"{address}/24", "dev", name)
    inside(namespace, "ip", "neighbour", "replace", other[0], "lladdr", MACS[other[1]], "dev", name)


def two_queues():
    for namespace, name, address, wire in ((CLIENT, "c1", "10.78.3.1", "w0"), (SERVER, "s1", TARGET, "w1")):
        inside(namespace, "ip", "link", "del", name)
        pair(namespace, name, address, wire)
    ready()


class Iperf:
    """A server and one client in the background."""

    def __init__(self, seconds, *arguments):
        self.server = subprocess.Popen(("nsenter", f"--net=/run/netns/{SERVER}", "iperf3", "-s", "-B", TARGET),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: f"{TARGET}:5201" in inside(SERVER, "ss", "-tln").stdout, "iperf3 listens")
        self.client = subprocess.Popen(
            ("nsenter", f"--net=/run/netns/{CLIENT}", "iperf3", "-c", TARGET, "-J", "-t", str(seconds), *arguments),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def result(self):
        return json.loads(self.client.communicate(timeout=60)[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.client, self.server):
            process.terminate()
            process.wait()


def test_books(directory):
    """Two queues a side: TCP, UDP and HTTP without a loss at moderate load, with what moat top says of it; then more
    than there are buffers for."""
    two_queues()
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        wait_for(lambda: calm(moat), "workers work")
        expect(len(moat.ask("status")["workers"]) == 4, "a worker a queue", moat.ask("status")["workers"])
        with Iperf(3, "-P", "4", "-b", "20M") as iperf:
            top = moat.ask("top", "--count", "1", "--interval", "1")
            sent = iperf.result()["end"]["sum_sent"]
        rates = [worker["rates"] for worker in top["workers"]]
        expect(sum(rate["pps"] for rate in rates) > 1000 and sum(rate["mbps"] for rate in rates) > 10, "rates", rates)
        expect(all(0 <= rate["busy"] <= 1 for rate in rates) and any(rate["busy"] > 0 for rate in rates), "busy share",
               rates)
        udp = Iperf(2, "-u", "-b", "10M", "-l", "1200")
        with udp:
            lost = udp.result()["end"]["sum"]["lost_packets"]
        talk((1 if SLOW else 8) << 20)
        status = wait_for(lambda: books(moat), "in = sum of outs")
        expect(lost == 0 and sent["bytes"] > 0, "nothing is lost at moderate load", lost, status["workers"])
        expect(sum(worker["received"] > 0 for worker in status["workers"]) >= 3, "several queues", status["workers"])
        no_bad_checksums()
        http(directory)
        wait_for(lambda: books(moat), "in = sum of outs after HTTP")
        no_bad_checksums()
        print(f"TCP {sent['bits_per_second'] / 1e6:.0f} Mbit/s, {len(status['workers'])} workers")


def http(directory):
    """nginx behind the wire, asked by wrk, and one large file compared."""
    if not shutil.which("nginx") or not shutil.which("wrk"):
        print("http: left out: no nginx or wrk")
        return
    root = os.path.join(directory, "www")
    os.makedirs(root, exist_ok=True)
    body = hashlib.shake_256(b"www").digest(4 << 20)
    with open(os.path.join(root, "large"), "wb") as out:
        out.write(body)
    with open(os.path.join(root, "small"), "wb") as out:
        out.write(body[:1000])
    for path in (directory, root):
        os.chmod(path, 0o755)
    conf = os.path.join(directory, "nginx.conf")
    with open(conf, "w", encoding="ascii") as out:
        out.write(f"daemon off; user root; pid {directory}/nginx.pid; error_log {directory}/nginx.log; "
                  f"events {{}} http {{ access_log off; server {{ listen {TARGET}:8080; root {root}; }} }}\n")
    nginx = subprocess.Popen(("nsenter", f"--net=/run/netns/{SERVER}", "nginx", "-c", conf),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: f"{TARGET}:8080" in inside(SERVER, "ss", "-tln").stdout, "nginx listens")
        out = inside(CLIENT, "wrk", "-t1", "-c8", "-d2", f"http://{TARGET}:8080/small").stdout
        expect("requests in" in out and "Non-2xx" not in out and "Socket errors" not in out, "wrk", out)
        fetched = os.path.join(directory, "fetched")
        inside(CLIENT, "curl", "-s", "-o", fetched, f"http://{TARGET}:8080/large")
        with open(fetched, "rb") as data:
            expect(data.read() == body, "bytes of the file")
        print("HTTP " + " ".join(line.strip() for line in out.splitlines() if "Requests/sec" in line))
    finally:
        nginx.terminate()
        nginx.wait()


def test_overload(directory):
    """Sixty-four buffers a socket: bursts find none, and every frame is in one counter of its queue all the same."""
    two_queues()
    with Appliance(directory, config=config(directory) + "afxdp: {frames: 64}\n") as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        with Iperf(2, "-u", "-b", "0", "-l", "64", "-P", "4") as iperf:
            iperf.result()
        status = wait_for(lambda: books(moat), "in = sum of outs")
        lost = sum(worker["rx_no_buffer"] + worker["rx_ring_full"] for worker in status["workers"])
        expect(lost > 0, "more than the buffers hold", status["workers"])
        expect(stack_saw(status) == 0, "no frame in the host's stack", status["ports"])
        print(f"overload: {lost} frames found no buffer")
        wait_for(lambda: ping(3, TARGET), "it goes on afterwards")


def queues(namespace, name, count):
    inside(namespace, "ethtool", "-L", name, "rx", str(count), "tx", str(count))


def test_faults(directory):
    """Under iperf3: a link goes down and up, queues come, workers are stopped and killed, an interface is made anew:
    the longest silence of each, the books afterwards, and no frame in the host's stack."""
    two_queues()
    for namespace, name in ((CLIENT, "c1"), (GATEWAY, "w0"), (SERVER, "s1"), (GATEWAY, "w1")):
        queues(namespace, name, 1)
    gaps = {}
    with Appliance(directory, config=config(directory)) as moat, Iperf(60, "-b", "20M"), Probe() as probe:
        wait_for(lambda: calm(moat), "workers work")
        time.sleep(0.5)
        gaps["steady"] = probe.longest()

        inside(GATEWAY, "ip", "link", "set", "w1", "down")
        time.sleep(0.2)
        inside(GATEWAY, "ip", "link", "set", "w1", "up")
        gaps["link up"] = since(probe, "answers after the link was down")

        before = bypassed(balanced(moat.ask("status")))
        for namespace, name in ((GATEWAY, "w0"), (CLIENT, "c1"), (GATEWAY, "w1"), (SERVER, "s1")):
            queues(namespace, name, 2)
        wait_for(lambda: "2 receive queues instead of 1" in moat.log(), "more queues are said")
        time.sleep(1)
        gaps["queues"] = probe.longest()
        done = inside(GATEWAY, "ethtool", "-L", "w0", "rx", "1", "tx", "1", check=False)
        print(f"fewer queues: {'taken' if done.returncode == 0 else done.stderr.strip().splitlines()[0]}")

        moat.process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        gaps["stopped"] = probe.longest()
        moat.process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        gaps["continued"] = probe.longest()
        status = wait_for(lambda: balanced(moat.ask("status")), "status")
        expect(bypassed(status) > before, "bypassed packets are counted", status["ports"])
        moat.stop(signal.SIGKILL)
        time.sleep(0.5)
        gaps["killed"] = probe.longest()
        moat.start()
        time.sleep(1)
        gaps["restarted"] = probe.longest()
        wait_for(lambda: calm(moat), "workers of all queues work")
        status = wait_for(lambda: balanced(moat.ask("status")), "status")
        expect(len(status["workers"]) == 4, "a worker a queue", status["workers"])
        expect(stack_saw(status) == 0, "no frame in the host's stack", status["ports"])

        inside(GATEWAY, "ip", "link", "del", "w0")
        wait_for(lambda: "lost" in moat.log(), "the loss is said")
        pair(CLIENT, "c1", "10.78.3.1", "w0")
        inside(CLIENT, "ethtool", "-K", "c1", "gro", "on")
        gaps["made anew"] = since(probe, "answers through the new interface")
        wait_for(lambda: calm(moat), "workers of all queues work")
        status = wait_for(lambda: balanced(moat.ask("status")), "status")
        expect(not any(worker["lost"] for worker in status["workers"]), "none is lost", status["workers"])
        expect(stack_saw(status) == 0, "no frame in the host's stack", status["ports"])
        print("longest silence, ms:", ", ".join(f"{name} {gap * 1e3:.0f}" for name, gap in gaps.items()))
        # the gate's program is loaded meanwhile: on a busy machine that takes a while
        expect(gaps.pop("made anew") <= 1 + GAP_MAX, "silence", gaps)
        expect(max(gaps.values()) <= GAP_MAX, "silence", gaps)


def since(probe, what):
    """How long answers take to come from now on."""
    begin, answers = time.monotonic(), probe.answers
    wait_for(lambda: probe.answers > answers, what)
    probe.longest()
    return time.monotonic() - begin


if __name__ == "__main__":
    sys.exit(main(globals()))
