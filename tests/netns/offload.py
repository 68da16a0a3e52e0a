#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Rules in cards: with net_tap, whose card is the kernel's flower classifier, they are made, drop, and go again with
their rule; a driver or kernel that refuses is quoted, and the rule holds in software; an allowed source never gets
into a card."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from moatd import CLIENT, GATEWAY, PINS, Appliance, expect, inside, main, run, wait_for  # noqa: E402
from wire import TARGET, config as wire_config, dpdk_config  # noqa: E402

TAP = "mtap0"
OWN, FAR = "10.99.0.1", "10.99.0.2"


def tap_config(directory):
    return f"""run_dir: {directory}/run
state_dir: {directory}/state
pin_dir: {PINS}
ports:
  - {{name: tap, role: mirror, dpdk: "net_tap0,iface={TAP}", offload: true}}
dpdk: {{idle_us: 100}}
events: {{path: {directory}/events.json}}
"""


def has_flower():
    """Whether this kernel can do what net_tap asks of it."""
    if not os.path.exists("/dev/net/tun"):
        run("modprobe", "tun", check=False)
    inside(GATEWAY, "ip", "link", "add", "mtest0", "numtxqueues", "2", "type", "veth", "peer", "name", "mtest1",
           "numtxqueues", "2")
    qdisc = inside(GATEWAY, "tc", "qdisc", "add", "dev", "mtest0", "clsact", check=False)
    made = inside(GATEWAY, "tc", "filter", "add", "dev", "mtest0", "egress", "protocol", "ip", "flower", "ip_proto", "udp",
                  "action", "drop", check=False)
    multiq = inside(GATEWAY, "tc", "qdisc", "add", "dev", "mtest1", "root", "multiq", check=False)
    inside(GATEWAY, "ip", "link", "del", "mtest0")
    return "" if qdisc.returncode == made.returncode == multiq.returncode == 0 else \
        (made.stderr or qdisc.stderr or multiq.stderr).strip()


def flows():
    return inside(GATEWAY, "tc", "filter", "show", "dev", TAP, "root", check=False).stdout.count("src_ip") + \
        inside(GATEWAY, "tc", "filter", "show", "dev", TAP, "parent", "1:", check=False).stdout.count("src_ip")


def received(moat):
    return moat.ask("status")["workers"][0]["received"]


def send(source, count):
    """Datagrams out of the tap, which is where its port receives."""
    program = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
               f"s.bind(('{source}', 0))\nfor _ in range({count}): s.sendto(b'x' * 20, ('{FAR}', 9))\n")
    inside(GATEWAY, sys.executable, "-c", program)
    time.sleep(0.5)


def test_tap(directory):
    why = has_flower()
    if why:
        print(f"SKIP: this kernel has no flower classifier or multiq: {why.splitlines()[0]}")
        return 77
    with Appliance(directory, config=tap_config(directory)) as moat:
        inside(GATEWAY, "ip", "address", "add", f"{OWN}/24", "dev", TAP)
        inside(GATEWAY, "ip", "address", "add", "10.99.0.3/24", "dev", TAP)
        inside(GATEWAY, "ip", "neighbour", "add", FAR, "lladdr", "02:00:00:00:00:02", "dev", TAP)
        send(OWN, 20)
        before = received(moat)
        expect(before >= 20, "datagrams arrive", before)
        rule = moat.ask("rules", "add", "drop", "src", OWN, "proto", "udp")
        (listed,) = moat.rules()
        expect(listed["where"] == ["software", "nic tap"], "the rule is in the card", listed, moat.ask("status")["offload"],
               moat.log())
        send(OWN, 20)
        expect(received(moat) <= before + 3, "the card drops", before, received(moat))
        send("10.99.0.3", 20)
        expect(received(moat) >= before + 20, "and nothing else", before, received(moat))
        # an allowed source: software passes it, so the card may not drop it
        moat.ask("rules", "allow", "add", f"{OWN}/32")
        expect(moat.rules()[0]["where"] == ["software"], "out of the card for an allowed source", moat.rules())
        before = received(moat)
        send(OWN, 20)
        expect(received(moat) >= before + 20, "they arrive", before, received(moat))
        moat.ask("rules", "allow", "del", f"{OWN}/32")
        expect("nic tap" in moat.rules()[0]["where"], "and in again", moat.rules())
        moat.ask("rules", "del", str(rule["id"]))
        before = received(moat)
        send(OWN, 20)
        expect(received(moat) >= before + 20, "gone with its rule", before, received(moat))
        moat.ask("rules", "deny", "add", f"{OWN}/32")
        (denied,) = moat.ask("rules", "list")["nic"]
        expect(denied["prefix"] == OWN and denied["port"] == "tap", "a denied prefix too", denied)
        before = received(moat)
        send(OWN, 20)
        expect(received(moat) <= before + 3, "the card drops", before, received(moat))
        print("offload by net_tap:", moat.ask("status")["offload"])
        expect(moat.stop() == 0, "a clean end", moat.log())
    return 0


def refuses(directory, text, port, kind):
    """What can't be in a card is in software, and the reason is told."""
    with Appliance(directory, config=text) as moat:
        moat.ask("rules", "add", "drop", "src", "10.78.3.1", "proto", "udp")
        (listed,) = moat.rules()
        expect(listed["where"] == ["software"], "in software", listed)
        (card,) = moat.ask("status")["offload"]
        expect(card["port"] == port and card["by"] == kind and card["taken"] == 0 and card["refused"] == 1 and card["why"],
               "refused with a reason", card)
        expect(f"port {port}: 0 of 1 rules are in the card: {card['why']}" in moat.log(), "which is logged", moat.log())
        print(f"{kind} refused: {card['why']}")
        shown = run("env", "COLUMNS=100", os.path.abspath(os.path.join(os.environ.get("MOAT_BUILD", "build"), "ctl/moat")),
                    "--socket", moat.socket, "rules", "list").stdout
        expect("software" in shown and max(map(len, shown.splitlines())) <= 100, "shown", shown)
        with subprocess.Popen(("nsenter", f"--net=/run/netns/{CLIENT}", "hping3", "-q", "--udp", "-p", "9", "-i", "u2000",
                               "-c", "50", TARGET), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            wait_for(lambda: moat.rules()[0]["hits"] >= 40, "software drops")


def test_refused_flow(directory):
    refuses(directory, dpdk_config(directory).replace('iface=w0"', 'iface=w0", offload: true'), "left", "rte_flow")


def test_refused_xdp(directory):
    refuses(directory, wire_config(directory).replace("peer: w1,", "peer: w1, offload: true,"), "w0", "xdp")


if __name__ == "__main__":
    sys.exit(main(globals()))
