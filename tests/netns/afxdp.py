#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""AF_XDP ports on veth: a mirror sees exactly what was sent; a wire carries TCP and UDP both ways with
intact bytes and checksums, accounts for every packet, at overload too, behind the real gate too, survives a
link that goes down, and says so when its interface is gone."""

import ctypes
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

PROGRAM = os.path.join(os.environ.get("MOAT_BUILD", "build"), "tests/netns/netns-afxdp")
PREFIX = f"afxdp{os.getpid()}"
CLIENT, MIDDLE, SERVER = (f"{PREFIX}-{part}" for part in ("c", "m", "s"))
NAMESPACES = (CLIENT, MIDDLE, SERVER)
CLIENT_IP, SERVER_IP = "10.77.0.1", "10.77.0.2"
# Emulated machines (tests/vm) run the same steps with less traffic, and their speed says nothing.
SLOW = os.environ.get("MOAT_TEST_SLOW") == "1"
MASK64 = (1 << 64) - 1
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def run(*command, check=True, timeout=30):
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def inside(namespace, *command, **options):
    return run("ip", "netns", "exec", namespace, *command, **options)


def end(namespace, interface, peer_namespace, peer, address):
    """A veth from a host to the middle, with everything off that AF_XDP frames can't carry."""
    run("ip", "link", "add", interface, "netns", namespace, "type", "veth", "peer", "name", peer,
        "netns", peer_namespace)
    for where, name in ((namespace, interface), (peer_namespace, peer)):
        inside(where, "ethtool", "-K", name, "tx", "off", "rx", "off", "gso", "off", "tso", "off", "gro",
               "off", check=False)
        inside(where, "ip", "link", "set", name, "up")
    if address:
        inside(namespace, "ip", "address", "add", f"{address}/24", "dev", interface)


def set_up():
    for namespace in NAMESPACES:
        run("ip", "netns", "add", namespace)
        # no neighbour discovery: only the test's own packets are on the links
        inside(namespace, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
               "net.ipv6.conf.default.disable_ipv6=1")
        inside(namespace, "ip", "link", "set", "lo", "up")
    end(CLIENT, "c0", MIDDLE, "m0", CLIENT_IP)
    end(SERVER, "s0", MIDDLE, "m1", SERVER_IP)


def tear_down():
    for namespace in NAMESPACES:
        run("ip", "netns", "del", namespace, check=False)


class Workers:
    """The program in the middle namespace."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            # unlike "ip netns exec" this leaves the mounts alone: the gate is pinned below /sys/fs/bpf
            ("nsenter", f"--net=/run/netns/{MIDDLE}", PROGRAM, *arguments), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(self.process.communicate()[1])

    def stop(self):
        out, err = self.process.communicate(timeout=10)
        if self.process.returncode:
            raise AssertionError(err)
        return [json.loads(line) for line in out.splitlines()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def expect(condition, what, *facts):
    if not condition:
        raise AssertionError(f"{what}: {' '.join(map(str, facts))}")


def expect_accounted(counters):
    expect(counters["in"] == counters["reasons"] == counters["received"], "in = sum of outs", counters)


def enter(namespace):
    """Moves this thread there, for sockets made from now on."""
    with open(f"/run/netns/{namespace}", "rb") as handle:
        expect(LIBC.setns(handle.fileno(), CLONE_NEWNET) == 0, "setns", namespace)


def in_thread(namespace, function, *arguments):
    """Starts function(...) in a thread within the namespace; returns a function that waits for its result."""
    result = {}

    def body():
        try:
            enter(namespace)
            result["value"] = function(*arguments)
        except BaseException as error:  # pylint: disable=broad-except
            result["error"] = error

    thread = threading.Thread(target=body, daemon=True)
    thread.start()

    def wait():
        thread.join(60)
        expect(not thread.is_alive(), "timeout in", function.__name__)
        if "error" in result:
            raise result["error"]
        return result["value"]

    return wait


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK64
    return value


def send_raw(count):
    """Numbered frames of all lengths; returns the sum of their hashes over what a sample holds."""
    digest = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("c0", 0))
        for number in range(count):
            length = 60 + number * 7 % 1455
            frame = (b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00" + struct.pack("!I", number)).ljust(
                length, bytes([number & 255]))
            raw.send(frame)
            digest = digest + fnv1a(frame[:128]) & MASK64
            if number % 200 == 0:
                time.sleep(0.002)
    return digest


def test_mirror():
    count = 1000 if SLOW else 5000
    with Workers("1024", "-", "m0") as workers:
        digest = in_thread(CLIENT, send_raw, count)()
        time.sleep(0.3)
        (counters,) = workers.stop()
    expect_accounted(counters)
    expect(counters["received"] == count, "frames sent", count, counters)
    expect(counters["consumed"] == count and counters["sent"] == 0, "a mirror consumes", counters)
    expect(counters["samples"] == count and counters["digest"] == digest, "intact bytes", counters)


def send_burst(count):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("c0", 0))
        for _ in range(count):
            raw.send(b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00".ljust(100, b"\0"))


def test_overload():
    """A worker that stands still loses what its buffers can't hold, and the books still balance."""
    frames, count = 64, 3000
    with Workers(str(frames), "-", "m0") as workers:
        workers.process.send_signal(signal.SIGSTOP)
        in_thread(CLIENT, send_burst, count)()
        workers.process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        in_thread(CLIENT, send_burst, 10)()
        time.sleep(0.3)
        (counters,) = workers.stop()
    expect_accounted(counters)
    lost = counters["rx_no_buffer"] + counters["rx_ring_full"] + counters["rx_invalid"]
    expect(counters["received"] + lost == count + 10, "sent = received + lost", counters)
    expect(counters["received"] >= frames + 10 and lost > 0, "it goes on afterwards", counters)


def serve(listener, length):
    """Takes `length` bytes and their digest, and answers with as many others and theirs."""
    connection, _ = listener.accept()
    connection.settimeout(30)
    with connection:
        seen = receive(connection, length)
        connection.sendall(seen + reply(length))
    return seen


def reply(length):
    return hashlib.shake_256(b"server").digest(length)


def receive(connection, length):
    digest = hashlib.sha256()
    while length:
        data = connection.recv(min(length, 1 << 16))
        expect(data, "connection closed early")
        digest.update(data)
        length -= len(data)
    return digest.digest()


def listen():
    listener = socket.create_server((SERVER_IP, 7000))
    listener.settimeout(30)
    return listener


def talk(length):
    data = hashlib.shake_256(b"client").digest(length)
    with socket.create_connection((SERVER_IP, 7000), timeout=30) as connection:
        connection.sendall(data)
        echoed = b""
        while len(echoed) < 32:
            part = connection.recv(32 - len(echoed))
            expect(part, "connection closed early")
            echoed += part
        expect(echoed == hashlib.sha256(data).digest(), "bytes to the server")
        expect(receive(connection, length) == hashlib.sha256(reply(length)).digest(), "bytes to the client")


def transfer(length):
    listener = in_thread(SERVER, listen)()
    with listener:
        done = in_thread(SERVER, serve, listener, length)
        in_thread(CLIENT, talk, length)()
        done()


def snmp(namespace, *wanted):
    """The sum of the kernel's counters of those names, over all protocols."""
    stats = inside(namespace, "cat", "/proc/net/snmp").stdout.splitlines()
    total = 0
    for names, values in zip(stats[::2], stats[1::2]):
        total += sum(int(value) for name, value in zip(names.split(), values.split()) if name in wanted)
    return total


def device_drops(namespace):
    links = json.loads(inside(namespace, "ip", "-s", "-j", "link").stdout)
    return sum(link["stats64"][way]["dropped"] for link in links for way in ("rx", "tx"))


def iperf(*arguments):
    """One run's figures. A server on a busy machine may still be at the end of the run before."""
    for _ in range(10):
        out = inside(CLIENT, "iperf3", "-c", SERVER_IP, "-J", "-t", "1" if SLOW else "2", *arguments,
                     timeout=20, check=False).stdout
        answer = json.loads(out)
        if "error" not in answer:
            return answer["end"]
        time.sleep(0.3)
    raise AssertionError(f"iperf3 {' '.join(arguments)}: {answer['error']}")


def udp_run():
    return iperf("-u", "-b", "30M", "-l", "1200")["sum"]


def test_wire():
    with Workers("4096", "-", "m0", "m1") as workers:
        out = inside(CLIENT, "ping", "-c", "20", "-i", "0.02", "-W", "1", "-s", "1400", SERVER_IP).stdout
        expect(" 0% packet loss" in out, "ping", out)
        transfer((1 if SLOW else 32) << 18)
        server = subprocess.Popen(("ip", "netns", "exec", SERVER, "iperf3", "-s"),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.3)
            rates = [iperf()["sum_received"]["bits_per_second"] / 1e6,
                     iperf("-R")["sum_received"]["bits_per_second"] / 1e6]
            udp = [udp_run()]
            # Another's burst of work may starve one run of its CPU, not three in a row.
            while udp[-1]["lost_percent"] >= 1 and len(udp) < 3:
                udp.append(udp_run())
        finally:
            server.terminate()
            server.wait()
        sides = workers.stop()
    print(f"wire: TCP {rates[0]:.0f} and {rates[1]:.0f} Mbit/s, UDP {udp[-1]['lost_percent']:.2f} % lost")
    counted = sum(side[name] for side in sides for name in ("rx_ring_full", "rx_no_buffer", "no_peer"))
    counted += snmp(SERVER, "RcvbufErrors") + sum(map(device_drops, NAMESPACES))
    expect(sum(one["lost_packets"] for one in udp) <= counted, "UDP lost uncounted", udp, counted, sides)
    if not SLOW:
        expect(min(rates) > 50, "TCP rates", rates)
        expect(udp[-1]["lost_percent"] < 1, "UDP loss", udp)
    for namespace in (CLIENT, SERVER):
        expect(snmp(namespace, "InCsumErrors", "InHdrErrors") == 0, "checksum errors in", namespace)
    for side, other in (sides, sides[::-1]):
        expect_accounted(side)
        expect(side["consumed"] == 0, "a wire consumes nothing", side)
        expect(side["in"] == other["sent"] + side["no_peer"] + side["dropped"], "sent on or refused", side, other)
        expect(side["no_peer"] == other["tx_ring_full"], "refused alike", side, other)


def send_udp(port, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"x" * 30, (SERVER_IP, port))


def test_gate():
    """The gate hands everything to the worker, which judges; the books of both join."""
    if not os.path.ismount("/sys/fs/bpf"):
        print("test_gate: left out: no bpffs at /sys/fs/bpf")
        return
    with Workers("1024", f"/sys/fs/bpf/{PREFIX}", "m0", "m1") as workers:
        out = inside(CLIENT, "ping", "-c", "10", "-i", "0.02", "-W", "1", SERVER_IP).stdout
        expect(" 0% packet loss" in out, "ping", out)
        transfer(1 << 20)
        in_thread(CLIENT, send_udp, 9999, 50)()
        time.sleep(0.2)
        sides = workers.stop()
    for side in sides:
        expect_accounted(side)
        expect(side["gate_in"] == side["gate_reasons"], "in = sum of outs of the gate", side)
        expect(side["gate_redirected"] == side["received"] + side["rx_no_buffer"] + side["rx_ring_full"],
               "handed over = received + lost", side)
    expect(sides[0]["dropped"] == 50 and sides[1]["dropped"] == 0, "the rule", sides)
    expect(not os.path.exists(f"/sys/fs/bpf/{PREFIX}/maps"), "nothing stays pinned")


def ping_once():
    return inside(CLIENT, "ping", "-c", "1", "-W", "1", SERVER_IP, check=False).returncode == 0


def test_faults():
    with Workers("4096", "-", "m0", "m1") as workers:
        expect(ping_once(), "ping before")
        inside(MIDDLE, "ip", "link", "set", "m1", "down")
        expect(not ping_once(), "a link that is down carries nothing")
        inside(MIDDLE, "ip", "link", "set", "m1", "up")
        start = time.monotonic()
        while not ping_once():
            expect(time.monotonic() - start < 5, "the wire comes back with the link")
        inside(SERVER, "ip", "link", "del", "s0")
        time.sleep(0.5)
        sides = workers.stop()
    for side in sides:
        expect_accounted(side)
    expect(sides[1]["error"] == -19, "a port says that its interface is gone", sides[1])
    expect(sides[0]["error"] == 0, "the other goes on", sides[0])


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root for network namespaces and XDP")
        return 77
    try:
        for test in (test_mirror, test_overload, test_wire, test_gate, test_faults):
            set_up()
            try:
                test()
                print(f"{test.__name__}: ok")
            finally:
                tear_down()
    except AssertionError as error:
        print(f"{test.__name__}: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
