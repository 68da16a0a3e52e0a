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
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from moatd import (CLIENT, GATEWAY, PREFIX, SERVER, SLOW, Appliance, balanced, expect, inside, link, ping, run, set_up,
                   tear_down, wait_for)  # noqa: E402
from wire import TARGET, bypassed, calm, config, in_namespace, ready, stack_saw  # noqa: E402

HAS_CHAINS = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (6, 6)


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
    """MTU 9000: workers see such frames whole, or on kernels without them the gate does their work, counted."""
    for namespace, name in ((CLIENT, "c1"), (SERVER, "s1"), (GATEWAY, "w0"), (GATEWAY, "w1")):
        inside(namespace, "ip", "link", "set", name, "mtu", "9000")
    ready()
    with Appliance(directory, config=config(directory)) as moat:
        wait_for(lambda: ping(1, TARGET), "pings through the wire")
        wait_for(lambda: calm(moat), "workers work")
        before = balanced(moat.ask("status"))
        out = inside(CLIENT, "ping", "-c", "20", "-i", "0.02", "-W", "2", "-M", "do", "-s", "8972", TARGET).stdout
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


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    for name, test in sorted(globals().items()):
        if not name.startswith("test_") or (len(sys.argv) > 1 and name not in sys.argv[1:]):
            continue
        directory = tempfile.mkdtemp(prefix=f"{PREFIX}-")
        try:
            set_up()
            begin = time.monotonic()
            test(directory)
            print(f"{name} {time.monotonic() - begin:.1f} s", flush=True)
        except (AssertionError, OSError, KeyError, IndexError, ValueError) as error:
            print(f"{name}: {type(error).__name__}: {error}")
            log = os.path.join(directory, "log")
            if os.path.exists(log):
                with open(log, encoding="utf-8") as lines:
                    print(lines.read())
            return 1
        finally:
            tear_down(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
