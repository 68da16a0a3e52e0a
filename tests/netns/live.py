#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The gate while traffic goes on: long lists replaced by others, reloads under a flood, rules that expire and limits
that refill with no moatd there, and packets sent out of another port. MOAT_TEST_PREFIXES: prefixes in a list."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import moatd
from moatd import CLIENT, GATEWAY, SERVER, Appliance, expect, inside, ping, run, wait_for
from wire import in_namespace

HELPER, GENERATOR = (os.path.abspath(os.path.join(moatd.BUILD, path))
                     for path in ("tests/netns/netns-gate", "tests/lab/lab-generator"))
PREFIXES = int(os.environ.get("MOAT_TEST_PREFIXES", "50000"))
FIRST = "16.0.0.0"  # of the lists' /28s
FLOOD_RATE = 50_000 if moatd.SLOW else 300_000
LISTS = "lists: {{files: [{dir}/list]}}\n"


def enter(namespace):
    return ("nsenter", f"--net=/run/netns/{namespace}")


def sender(seconds, count):
    return subprocess.Popen((*enter(CLIENT), HELPER, "send", "c0", str(seconds), FIRST, str(count)), text=True,
                            stdout=subprocess.PIPE)


def mac_of(namespace, name):
    return json.loads(inside(namespace, "ip", "-j", "link", "show", "dev", name).stdout)[0]["address"]


def port(moat, name="g0"):
    (found,) = [port for port in moat.ask("status")["ports"] if port["name"] == name]
    expect(found["balanced"] and found["received"] == sum(found["reasons"].values()), "in = sum of reasons", found)
    return found


def gained(before, after):
    return {reason: count - before["reasons"].get(reason, 0) for reason, count in after["reasons"].items()
            if count != before["reasons"].get(reason, 0)}


def write_list(path, word, count):
    """So many /28s; the file appears at once."""
    first = int.from_bytes(socket.inet_aton(FIRST), "big")
    with open(path + ".new", "w", encoding="ascii") as out:
        out.writelines(f"{word}{socket.inet_ntoa((first + 16 * i).to_bytes(4, 'big'))}/28\n" for i in range(count))
    os.replace(path + ".new", path)


def test_replace(directory):
    """Every source is on the deny list of one set and on the allow list of the other: whatever a packet meets that is
    neither passes for want of a rule, and is counted so."""
    path = os.path.join(directory, "list")
    lists = {word: f"{path}-{word.strip()}" for word in ("deny ", "allow ", "some")}
    write_list(lists["deny "], "deny ", PREFIXES)
    write_list(lists["allow "], "allow ", PREFIXES)
    write_list(lists["some"], "allow ", PREFIXES // 5)  # a set holds no more than 1,250,000
    shutil.copy(lists["deny "], path)
    with Appliance(directory, mode="observe", more=LISTS.format(dir=directory)) as moat:
        before = port(moat)
        traffic = sender(600, PREFIXES)
        try:
            times, words = [], []
            # from one to the other, then both for some, of which allow wins, by a load that nobody confirms
            for word in ("allow ", "deny ") * 3:
                shutil.copy(lists[word], path + ".new")
                os.replace(path + ".new", path)
                seen = port(moat)
                begin = time.monotonic()
                moat.ask("reload")
                times.append(time.monotonic() - begin)
                time.sleep(0.2)
                words.append(gained(seen, port(moat)))
            begin = time.monotonic()
            run(moatd.MOAT, "--socket", moat.socket, "--confirm", "1", "rules", "load", lists["some"], timeout=120)
            loaded = time.monotonic() - begin
            wait_for(lambda: moat.ask("rules", "list")["allow"]["count"] == 0, "it is rolled back", 30)
        finally:
            traffic.send_signal(signal.SIGINT)
            sent = json.loads(traffic.communicate(timeout=20)[0])["sent"]
        wait_for(lambda: port(moat)["received"] - before["received"] >= sent, "all arrive", 5)
        got = gained(before, port(moat))
        print(f"{PREFIXES} prefixes replaced {len(times)} times, in {min(times):.2f}-{max(times):.2f} s from the file, "
              f"loaded in {loaded:.2f} s: of {sent} packets {got.get('drop_denied', 0)} denied, "
              f"{got.get('pass_allowed', 0)} allowed, {got.get('pass_default', 0)} neither")
        for seen in words:
            expect(seen.get("pass_allowed", 0) and seen.get("drop_denied", 0), "packets met both sets", seen)
        expect(got.get("pass_default", 0) == 0, "no packet is judged by neither set", got)
        expect(got["drop_denied"] + got["pass_allowed"] == sent, "each is judged by one of them", got, sent)


def taken():
    """Frames that the interface took of the generator's: what the other end then has to judge."""
    text = inside(CLIENT, "ethtool", "-S", "c0").stdout
    return sum(int(line.split(":")[1]) for line in text.splitlines() if "tx_queue_" in line and "_xdp_xmit:" in line)


def test_flood(directory):
    """What the interface takes of a flood is what the gate judges, and each packet by the rule of one set or by the
    list of the other, while both are reloaded over and over."""
    path = os.path.join(directory, "list")
    texts = ("drop proto udp\n", "0.0.0.0/1\n128.0.0.0/1\nallow 10.78.0.0/16\n")
    with open(path, "w", encoding="ascii") as out:
        out.write(texts[0])
    inside(CLIENT, "ip", "link", "add", "idle0", "type", "veth", "peer", "name", "idle1")
    inside(CLIENT, "ip", "link", "set", "idle0", "up")
    with Appliance(directory, mode="observe", more=LISTS.format(dir=directory)) as moat:
        before, frames = port(moat), taken()
        flood = subprocess.Popen((*enter(CLIENT), GENERATOR, "udp", "c0", moatd.SERVER_IP, "53", mac_of(CLIENT, "c0"),
                                  mac_of(GATEWAY, "g0"), "0", str(FLOOD_RATE), "20", str(time.monotonic_ns()), "idle0"),
                                 text=True, stdout=subprocess.PIPE)
        try:
            wait_for(lambda: port(moat)["received"] > before["received"] + 1000, "the flood")
            reloads, still, last = 0, 0.0, (time.monotonic(), port(moat)["received"])
            until = last[0] + 5
            while time.monotonic() < until:
                reloads += 1
                with open(path + ".new", "w", encoding="ascii") as out:
                    out.write(texts[reloads % 2])
                os.replace(path + ".new", path)
                moat.ask("reload")
                now, received = time.monotonic(), port(moat)["received"]
                if received == last[1]:
                    still = max(still, now - last[0])
                last = (now, received)
        finally:
            flood.terminate()
            flood.communicate(timeout=20)
        frames = taken() - frames
        wait_for(lambda: port(moat)["received"] - before["received"] >= frames, "all arrive", 5)
        got = gained(before, port(moat))
        print(f"{reloads} reloads under {frames} frames: {got.get('drop_rule', 0)} dropped by the rule, "
              f"{got.get('drop_denied', 0)} by the list, no longer still than {still * 1000:.0f} ms")
        expect(got.get("drop_rule", 0) > 0 and got.get("drop_denied", 0) > 0, "both sets were in force", got)
        expect(got["drop_rule"] + got["drop_denied"] == frames, "nothing is lost, nothing passes", got, frames)
        expect(still < 1, "it never stands still", still)


# ---- out of another port -------------------------------------------------------------------------


def listener(namespace, name):
    """Sees what arrives at an interface."""
    def opened():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        sock.bind((name, 0x0800))
        sock.settimeout(0.3)
        return sock

    return in_namespace(namespace, opened)


def heard(sock, number):
    """Times to live of the UDP datagrams to a port that have arrived."""
    ttls = []
    try:
        while True:
            frame, (_, _, kind, _, _) = sock.recvfrom(2048)
            if kind != socket.PACKET_OUTGOING and frame[23] == 17 and frame[36:38] == number.to_bytes(2, "big"):
                ttls.append(frame[22])
    except socket.timeout:
        return ttls


def speak(target, number, count=20):
    def body():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(count):
                udp.sendto(b"x" * 300, (target, number))
                time.sleep(0.001)

    in_namespace(CLIENT, body)


def test_redirect(directory):
    """A redirected packet leaves as it came, past the host's stack, by a port of the gate."""
    inside(SERVER, "ethtool", "-K", "s0", "gro", "on")  # else its veth hands nothing on that is redirected
    config = moatd.CONFIG.format(dir=directory, pins=moatd.PINS, port="g0", mode="observe", more="")
    with Appliance(directory, config=config.replace("ports:\n", "ports:\n  - name: g1\n")) as moat:
        expect(ping(), "pings pass")
        there = listener(SERVER, "s0")
        speak(moatd.SERVER_IP, 7100)
        expect(heard(there, 7100) == [63] * 20, "the stack forwards them")
        rule = moat.ask("rules", "add", f"redirect to g1 src {moatd.CLIENT_IP} proto udp dport 7100")
        speak(moatd.SERVER_IP, 7100)
        expect(heard(there, 7100) == [64] * 20, "the gate sends them on")
        expect(port(moat)["reasons"]["redirect_rule"] == 20, "counted", port(moat)["reasons"])
        (listed,) = moat.ask("rules", "list")["rules"]
        expect((listed["hits"], listed["acted"]) == (20, 20), "by the rule, too", listed)
        moat.ask("rules", "del", str(rule["id"]))
        moat.ask("rules", "add", f"redirect to nowhere src {moatd.CLIENT_IP} proto udp dport 7100")
        speak(moatd.SERVER_IP, 7100)
        expect(heard(there, 7100) == [63] * 20, "without such a port the stack forwards them")
        expect(port(moat)["reasons"]["pass_no_target"] == 20, "counted", port(moat)["reasons"])
        there.close()


# ---- without moatd ------------------------------------------------------------------------------


class Receiver:
    """Counts the datagrams that reach a port of the server."""

    def __init__(self, number):
        def bound():
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            udp.bind((moatd.SERVER_IP, number))
            udp.setblocking(False)
            return udp

        self.number = number
        self.server = in_namespace(SERVER, bound)
        self.client = in_namespace(CLIENT, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def arrived(self):
        count = 0
        while select.select([self.server], [], [], 0.05)[0]:
            self.server.recv(64)
            count += 1
        return count

    def send(self, seconds, a_second=4000):
        """So many a second; how many arrive, and how long it took."""
        begin = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < begin + seconds:
            while sent < (now - begin) * a_second:
                self.client.sendto(b"x", (moatd.SERVER_IP, self.number))
                sent += 1
            time.sleep(0.001)
        return self.arrived(), time.monotonic() - begin - 0.05

    def close(self):
        self.server.close()
        self.client.close()


def test_killed(directory):
    """With moatd killed a rule's time ends all the same, and buckets of a rule, a source and a destination pass their
    rate and fill again."""
    limits = {7001: "a rule", 7002: "its source", 7003: "its destination"}
    rate, burst = 200, 100
    more = {7001: "",
            7002: f"sources: [{{prefix: any, limit: {rate}/s burst {burst}}}]\n",
            7003: f"protect: [{{prefix: {moatd.SERVER_IP}, udp: {rate}/s burst {burst}}}]\n"}
    for number, what in limits.items():
        receiver = Receiver(number)
        with Appliance(directory, mode="observe", more=more[number]) as moat:
            if number == 7001:
                moat.ask("rules", "add", f"limit {rate}/s burst {burst} proto udp dport {number}")
            expect(ping(), "pings pass")
            moat.ask("rules", "add", "drop proto icmp for 6s")
            moat.stop(signal.SIGKILL)
            expect(not ping(1), "the rule drops pings without moatd")
            receiver.arrived()
            time.sleep(1)  # the bucket is full
            first, took = receiver.send(2)
            allowed = burst + rate * took
            expect(abs(first - allowed) <= 0.1 * allowed, "the limit of", what, first, allowed)
            time.sleep(1)  # full again
            again, took = receiver.send(0.5)
            allowed = burst + rate * took
            expect(abs(again - allowed) <= 0.15 * allowed, "the limit fills again, of", what, again, allowed)
            wait_for(lambda: ping(1), "the drop's time is over", 10)
            print(f"{what}: {first} passed in 2 s, {again} after a second's rest, at {rate}/s with a burst of {burst}")
        receiver.close()
        run(moatd.MOAT, "gate", "detach", "--pin-dir", moatd.PINS)
        shutil.rmtree(os.path.join(directory, "state"))


if __name__ == "__main__":
    sys.exit(moatd.main(globals()))
