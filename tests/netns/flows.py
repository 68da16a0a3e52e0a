#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Flows of exporters (softflowd's NetFlow v5, v9 and IPFIX, and sFlow datagrams made here) into moatd, and moatd's own as
IPFIX into nfcapd."""

import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

import moatd
from moatd import CLIENT, GATEWAY, Appliance, balanced, expect, inside, run, wait_for
from wire import in_namespace

EXPORTER, COLLECTOR = "127.0.0.1", "127.0.0.1"
SCANNER = "198.51.100.66"

FLOWS = """flows:
  exporters: [{exporter}]
  listen:
    - {{address: {collector}, port: 2055}}
    - {{address: {collector}}}
"""

WIRE = """run_dir: {dir}/run
state_dir: {dir}/state
pin_dir: {pins}
ports:
  - {{name: w0, role: mirror, mode: generic}}
flows:
  export: {{address: 127.0.0.1, port: 4740, domain: 7}}
events:
  path: {dir}/events.json
"""


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_frame(src, dst, sport, dport, flags):
    tcp = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, flags, 1024, 0, 0)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, socket.inet_aton(src), socket.inet_aton(dst))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\x02" * 6 + b"\x04" * 6 + b"\x08\x00" + head + tcp


def write_capture(path, frames, start):
    """A capture of frames, a millisecond apart."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            at = start + number / 1000
            out.write(struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(frame), len(frame)) + frame)


def sweep(seed, hosts, scanner=SCANNER):
    """A scanner asks many hosts' port 445; every tenth answers with RST, nobody else at all."""
    dice = random.Random(seed)
    frames = []
    for host in range(hosts):
        dst, sport = f"10.78.2.{host % 250 + 2}", dice.randrange(20000, 60000)
        frames.append(tcp_frame(scanner, dst, sport, 445, 0x02))
        if host % 10 == 0:
            frames.append(tcp_frame(dst, scanner, 445, sport, 0x14))
    return frames


def listener(moat, number=0):
    return moat.ask("status")["flows"]["listen"][number]


def check_sums(one):
    expect(one["flows"] == one["taken"] + one["lost"], "each flow is in one counter", one)


def export(moat, directory, port, version):
    """softflowd tells of a sweep; moatd finds it."""
    capture, scanner = os.path.join(directory, "sweep.pcap"), f"198.51.100.{version}"
    write_capture(capture, sweep(7, 200, scanner), time.time() - 60)
    before = listener(moat, port == 4739)["taken"]
    inside(GATEWAY, "softflowd", "-r", capture, "-n", f"{COLLECTOR}:{port}", "-v", str(version), "-d")
    one = wait_for(lambda: (heard := listener(moat, port == 4739))["taken"] >= before + 220 and heard,
                   f"version {version} is heard", 10)
    check_sums(one)
    expect(one["lost"] == one["broken"] == one["foreign"] == one["missing_templates"] == 0, "all of it", one)
    wait_for(lambda: any(f["kind"] == "scan" and f["subject"] == scanner for f in moat.events("finding")),
             f"the scan is found by version {version}", 20)


def test_netflow(directory):
    with Appliance(directory, more=FLOWS.format(exporter=EXPORTER, collector=COLLECTOR), mode="observe") as moat:
        expect("flows" in moat.ask("status")["detect"]["modes"], "the mode", moat.ask("status")["detect"])
        for port, version in ((2055, 5), (2055, 9), (4739, 10)):
            export(moat, directory, port, version)
        pairs = moat.ask("status")["flows"]["pairs"]
        expect(pairs["whole"] >= 3 * 19 and pairs["alone"] >= 3 * 170, "directions are put together", pairs)


def sflow(sequence, frames, rate):
    """A version 5 datagram with one flow sample of each frame, raw headers."""
    samples = b""
    for number, frame in enumerate(frames):
        head = frame + b"\0" * (-len(frame) % 4)
        raw = struct.pack("!IIII", 1, len(frame) + 4, 4, len(frame)) + head
        record = struct.pack("!II", 1, len(raw)) + raw
        body = struct.pack("!IIIIIIII", sequence * 100 + number, 1, rate, rate * (sequence * 100 + number), 0, 1, 2, 1)
        samples += struct.pack("!II", 1, len(body) + len(record)) + body + record
    return struct.pack("!II4sIIII", 5, 1, socket.inet_aton("192.0.2.1"), 0, sequence, sequence * 1000, len(frames)) + samples


def test_sflow(directory):
    """A SYN flood of 20,000 packets a second, of which one in 1,000 is told."""
    victim, dice = "10.78.2.9", random.Random(3)

    def send():
        sent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            end, sequence = time.monotonic() + 6, 0
            while time.monotonic() < end:
                frames = [tcp_frame(f"203.0.113.{dice.randrange(1, 250)}", victim, dice.randrange(1024, 60000), 80, 2)
                          for _ in range(4)]
                out.sendto(sflow(sequence, frames, 1000), (COLLECTOR, 2055))
                sequence, sent = sequence + 1, sent + 4
                time.sleep(0.2)
        return sent

    with Appliance(directory, more=FLOWS.format(exporter=EXPORTER, collector=COLLECTOR), mode="observe") as moat:
        sent = in_namespace(GATEWAY, send)
        wait_for(lambda: listener(moat)["taken"] == sent, f"all {sent} samples are heard", 5)
        one = listener(moat)
        check_sums(one)
        found = [f for f in moat.events("finding") if f["subject"] == victim]
        expect(found and found[0]["kind"] == "syn_flood", "the flood is found", found, one)
        # datagrams that waited for a busy machine are counted together: twice the rate, for a moment
        expect(10000 < found[-1]["peak_pps"] < 80000, "its rate is that of the wire", found[-1]["peak_pps"])


def test_foreign(directory):
    """Who isn't listed isn't heard, and what is no flow hurts nobody."""
    capture, dice = os.path.join(directory, "sweep.pcap"), random.Random(1)
    write_capture(capture, sweep(7, 50), time.time() - 60)

    def send_samples():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(sflow(1, sweep(1, 3), 1000), (COLLECTOR, 2055))
        return True

    def send_rubbish():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for number in range(600):
                head = struct.pack("!I" if number % 4 == 0 else "!H", (5, 5, 9, 10)[number % 4])
                out.sendto(head + dice.randbytes(dice.randrange(1200)), (COLLECTOR, 2055))
                time.sleep(0.001)
        return True

    with Appliance(directory, more=FLOWS.format(exporter="192.0.2.1", collector=COLLECTOR), mode="observe") as moat:
        for version in (5, 9, 10):
            inside(GATEWAY, "softflowd", "-r", capture, "-n", f"{COLLECTOR}:2055", "-v", str(version), "-d")
        in_namespace(GATEWAY, send_samples)
        time.sleep(0.3)
        one = listener(moat)
        expect(one["foreign"] == one["datagrams"] > 3 and one["flows"] == 0, "strangers aren't heard", one)
        expect(moat.stop() == 0, "a clean end", moat.log())
    with Appliance(directory, more=FLOWS.format(exporter=EXPORTER, collector=COLLECTOR), mode="observe") as moat:
        in_namespace(GATEWAY, send_rubbish)
        one = wait_for(lambda: (heard := listener(moat))["datagrams"] == 600 and heard, "rubbish is heard", 5)
        expect(one["broken"] > 400, "and counted", one)
        in_namespace(GATEWAY, send_samples)
        wait_for(lambda: listener(moat)["taken"] >= 3, "and what comes then is heard", 5)
        expect(moat.stop() == 0, "a clean end", moat.log())


def test_export(directory):
    """nfcapd, which knows nothing of us, counts what a mirror port saw."""
    store = os.path.join(directory, "nfcapd")
    os.mkdir(store)
    config = WIRE.format(dir=directory, pins=moatd.PINS)
    collector = subprocess.Popen(  # pylint: disable=consider-using-with
        ("nsenter", f"--net=/run/netns/{GATEWAY}", "nfcapd", "-w", store, "-b", "127.0.0.1", "-p", "4740", "-t", "3600"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Appliance(directory, config=config) as moat:
            def send():
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
                    out.bind(("c1", 0))
                    out.send(tcp_frame("10.78.3.1", "10.78.3.2", 5555, 80, 0x02))
                    out.send(tcp_frame("10.78.3.2", "10.78.3.1", 80, 5555, 0x14))
                return True

            in_namespace(CLIENT, send)
            wait_for(lambda: moat.ask("status")["flows"]["export"]["sent"] == 1, "the flow is told", 30)
            balanced(moat.ask("status"))
            expect(moat.stop() == 0, "a clean end", moat.log())
        time.sleep(1)
    finally:
        collector.terminate()
        collector.wait(10)
    text = run("nfdump", "-R", store, "-o", "fmt:%sa %sp %da %dp %pr %pkt %byt", "-q").stdout
    rows = [line.split() for line in text.splitlines()]
    for row in (["10.78.3.1", "5555", "10.78.3.2", "80", "TCP", "1", "40"],
                ["10.78.3.2", "80", "10.78.3.1", "5555", "TCP", "1", "40"]):
        expect(row in rows, "nfdump's view", row, text)


def main():
    missing = [name for name in ("softflowd", "nfcapd", "nfdump") if not shutil.which(name)]
    if missing:
        print(f"SKIP: {', '.join(missing)} missing")
        return 77
    return moatd.main(globals())


if __name__ == "__main__":
    sys.exit(main())
