#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Legitimate clients one request at a time: each a new connection, from one of many addresses, with its fate noted.

Runs in the clients' namespace. Open loop: a slow server doesn't slow the clients down. Appends one line a
request to FILE, in order of completion: START_NS KIND OK END_NS (CLOCK_MONOTONIC, OK 1 or 0).

    prober.py FILE WEB WEB6 DNS

KIND is http, http6, dns or ping from addresses that come again and again, or `new`: HTTP or DNS from an address
never seen before, which is what a defence that prefers the sources it knows is paid with.
"""
import asyncio
import random
import signal
import socket
import struct
import sys
import time

SOURCES = [f"198.18.{i}.{10 + i}" for i in range(64)]
SOURCES6 = [f"2001:db8:c::{i + 1:x}" for i in range(16)]
NAMES = ("www", "api", "mail", "static", "login", "img-cache", "a", "edge-7")
RATES = {"http": 100, "dns": 60, "ping": 10, "new": 10}  # requests a second
HTTP_TIMEOUT, DNS_TIMEOUT, PING_TIMEOUT = 2.0, 1.0, 1.0


async def http(server, source):
    reader, writer = await asyncio.open_connection(server, 80, local_addr=(source, 0))
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: lab.test\r\nConnection: close\r\n\r\n")
        answer = await reader.read(-1)
        return answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"</html>\n")
    finally:
        writer.transport.abort()


def query(name, number):
    """An A question with EDNS, as a stub resolver sends it."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in (name, "lab", "test"))
    return (struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 1) + labels + b"\0\0\1\0\1"
            + b"\0\0\x29\x04\xd0\0\0\0\0\0\0")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


class Pinger:
    """Echo requests from a few addresses over raw sockets; answers are matched by id and sequence."""

    def __init__(self, server):
        self.server, self.waiting, self.sockets = server, {}, []
        for source in SOURCES[:8]:
            sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            sock.setblocking(False)
            sock.bind((source, 0))
            asyncio.get_running_loop().add_reader(sock, self._readable, sock)
            self.sockets.append(sock)
        self.sequence = 0

    def _readable(self, sock):
        try:
            data = sock.recv(2048)
        except BlockingIOError:
            return
        kind, _, _, number, sequence = struct.unpack_from("!BBHHH", data, (data[0] & 15) * 4)
        waiter = self.waiting.pop((number, sequence), None) if kind == 0 else None
        if waiter and not waiter.done():
            waiter.set_result(True)

    async def ping(self):
        index = random.randrange(len(self.sockets))
        self.sequence = (self.sequence + 1) & 0xffff
        key = (0x4c00 + index, self.sequence)
        body = struct.pack("!d", time.time()) + bytes(range(48))
        head = struct.pack("!BBHHH", 8, 0, 0, *key)
        packet = head[:2] + struct.pack("!H", checksum(head + body)) + head[4:] + body
        waiter = self.waiting[key] = asyncio.get_running_loop().create_future()
        try:
            self.sockets[index].sendto(packet, (self.server, 0))
            return await waiter
        finally:
            self.waiting.pop(key, None)


class Question(asyncio.DatagramProtocol):
    """One DNS question on a socket of its own."""

    def __init__(self, number, done):
        self.number, self.done = number, done

    def datagram_received(self, data, _):
        good = len(data) > 12 and data[:2] == struct.pack("!H", self.number) and data[3] & 15 == 0 and data[7] > 0
        if not self.done.done():
            self.done.set_result(good)

    def error_received(self, _):
        if not self.done.done():
            self.done.set_result(False)


async def dns(server, source):
    loop = asyncio.get_running_loop()
    number, done = random.getrandbits(16), loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: Question(number, done),
                                                       local_addr=(source, 0), remote_addr=(server, 53))
    try:
        transport.sendto(query(random.choice(NAMES), number))
        return await done
    finally:
        transport.abort()


async def attempt(log, kind, coroutine, timeout):
    start = time.monotonic_ns()
    try:
        good = await asyncio.wait_for(coroutine, timeout)
    except (OSError, asyncio.TimeoutError):
        good = False
    log.write(f"{start} {kind} {int(bool(good))} {time.monotonic_ns()}\n")


async def repeat(rate, make, tasks):
    """Calls make() at random times, `rate` a second on average, whatever becomes of earlier requests."""
    due = time.monotonic()
    while True:
        due += random.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.ensure_future(make())
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def main(path, web, web6, resolver):
    stop, tasks = asyncio.Event(), set()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pinger = Pinger(web)
    with open(path, "a", encoding="ascii") as log:
        def one_http():
            if random.random() < 0.2:
                return attempt(log, "http6", http(web6, random.choice(SOURCES6)), HTTP_TIMEOUT)
            return attempt(log, "http", http(web, random.choice(SOURCES)), HTTP_TIMEOUT)

        def newcomer():
            source = f"198.19.{random.randrange(128, 256)}.{random.randrange(1, 255)}"
            if random.random() < 0.5:
                return attempt(log, "new", http(web, source), HTTP_TIMEOUT)
            return attempt(log, "new", dns(resolver, source), DNS_TIMEOUT)

        makers = {"http": one_http, "new": newcomer,
                  "dns": lambda: attempt(log, "dns", dns(resolver, random.choice(SOURCES)), DNS_TIMEOUT),
                  "ping": lambda: attempt(log, "ping", pinger.ping(), PING_TIMEOUT)}
        loops = [asyncio.ensure_future(repeat(rate, makers[kind], tasks)) for kind, rate in RATES.items()]
        while not stop.is_set():
            log.flush()
            try:
                await asyncio.wait_for(stop.wait(), 0.1)
            except asyncio.TimeoutError:
                pass
        for loop in loops:
            loop.cancel()
        # Requests under way still count: with what became of them.
        if tasks:
            await asyncio.wait(tasks, timeout=HTTP_TIMEOUT + 0.2)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
