#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Ports by pattern under a real moatd: attached as interfaces appear, let go as they vanish, tried again where
they refused; another's XDP program left alone, or replaced where that is asked for."""

import json
import os
import shutil
import socket
import struct
import sys
import tempfile

import moatd as lab
from moatd import GATEWAY, MOAT, PINS, expect, inside, run, wait_for
from wire import in_namespace

BUILD = os.environ.get("MOAT_BUILD", "build")
STRANGER = os.path.abspath(os.path.join(BUILD, "tests/netns/netns-gate"))
CONFIG = """run_dir: {dir}/run
state_dir: {dir}/state
pin_dir: {pins}
ports:
{ports}
events:
  path: {dir}/events.json
"""


def config(directory, ports):
    return CONFIG.format(dir=directory, pins=PINS, ports="\n".join(f"  - {port}" for port in ports))


def add(name):
    """A veth pair, host side `name`."""
    inside(GATEWAY, "ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name}")


def delete(name):
    inside(GATEWAY, "ip", "link", "del", name)


def has_xdp(name):
    return "xdp" in inside(GATEWAY, "ip", "link", "show", name).stdout


def ports_of(moat):
    return {port["name"]: port for port in moat.ask("status")["ports"]}


def pinned():
    return sorted(os.listdir(os.path.join(PINS, "ports")))


def test_pattern(directory):
    add("tap1")
    add("tap.7")  # no name for a file of a bpffs
    with lab.Appliance(directory, config=config(directory, ['{name: "tap*"}', "{name: g0}"])) as moat:
        expect(set(ports_of(moat)) == {"tap1", "tap.7", "g0"}, "what is there at the start", ports_of(moat))
        add("tap2")
        wait_for(lambda: "tap2" in ports_of(moat), "tap2 is attached")
        expect(has_xdp("tap2") and not has_xdp("ptap2"), "and no other")
        index = ports_of(moat)["tap1"]["index"]
        delete("tap.7")
        delete("tap1")
        wait_for(lambda: "tap1" not in ports_of(moat), "tap1 is let go")
        expect(pinned() == ["g0", "tap2"], "with its pins", pinned())
        gone = [event for event in moat.events("moatd") if event["change"] == "port_gone"]
        expect({event["port"] for event in gone} == {"tap1", "tap.7"}, "told", gone)
        add("tap3")
        wait_for(lambda: "tap3" in ports_of(moat), "tap3 is attached")
        expect(ports_of(moat)["tap3"]["index"] == index, "with the number that was free again", ports_of(moat))
        inside(GATEWAY, "ip", "link", "set", "tap3", "name", "other3")
        wait_for(lambda: "tap3" not in ports_of(moat), "a name that matches no more")
        expect(not has_xdp("other3"), "is no port")
        inside(GATEWAY, "ip", "link", "set", "other3", "name", "tap3")
        wait_for(lambda: has_xdp("tap3"), "and one that matches again is")
        counts = moat.ask("status")["interfaces"]
        expect((counts["let_go"], counts["waiting"]) == (3, []), "counted", counts)
        moat.stop(9)
        add("tap4")
        delete("tap2")
    with moat:
        expect(set(ports_of(moat)) == {"tap3", "tap4", "g0"}, "what changed without moatd", ports_of(moat))
        expect(ports_of(moat)["tap3"]["adopted"], "the rest is adopted")
        for i in range(8):
            add(f"tap1{i:02}")
        wait_for(lambda: len(ports_of(moat)) == 11, "many at once", 60)
        for i in range(8):
            delete(f"tap1{i:02}")
        wait_for(lambda: len(ports_of(moat)) == 3, "and gone at once")
        moat.write(config(directory, ["{name: g0}"]))
        moat.ask("reload")
        expect(set(ports_of(moat)) == {"g0"} and not has_xdp("tap3"), "a pattern less", ports_of(moat))
        moat.write(config(directory, ["{name: g0}", '{name: "tap[34]", mode: generic}']))
        moat.ask("reload")
        expect({name: port["xdp"] for name, port in ports_of(moat).items()} ==
               {"g0": "native", "tap3": "generic", "tap4": "generic"}, "a pattern more", ports_of(moat))
        moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
    expect(not has_xdp("tap3") and not os.path.exists(PINS), "all of it comes off")
    delete("tap3")
    delete("tap4")


def test_refusing(directory):
    """One that refuses doesn't hold up the others, and is taken once it may be."""
    with lab.Appliance(directory, config=config(directory, ['{name: "tap*"}', "{name: g0}"])) as moat:
        add("eth9")
        inside(GATEWAY, STRANGER, "foreign", "eth9")
        inside(GATEWAY, "ip", "link", "set", "eth9", "name", "tap9")
        add("tap8")
        wait_for(lambda: "tap8" in ports_of(moat), "tap8 is attached")
        (waiting,) = moat.ask("status")["interfaces"]["waiting"]
        expect(waiting["name"] == "tap9" and "another XDP program" in waiting["why"], "tap9 waits", waiting)
        inside(GATEWAY, "ip", "link", "set", "dev", "tap9", "xdp", "off")
        add("tap7")  # any news will do; without, it is tried each 10 s
        wait_for(lambda: "tap9" in ports_of(moat), "tap9 is attached")
        expect(moat.ask("status")["interfaces"]["waiting"] == [], "and waits no more")
        moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
    for name in ("tap7", "tap8", "tap9"):
        delete(name)


def test_replace(directory):
    """A stranger's program, attached without a link: replaced where it was, adopted, and taken off."""
    moat = lab.Appliance(directory, config=config(directory, ["{name: tap1, replace: true}"]))
    add("tap1")
    inside(GATEWAY, STRANGER, "foreign", "tap1")
    with moat:
        expect(ports_of(moat)["tap1"]["replaced"].startswith("stranger (id "), "replaced", ports_of(moat))
        expect("replaced stranger" in moat.log(), "and said", moat.log())
        moat.stop(9)
        expect(has_xdp("tap1"), "it stays without moatd")
    with moat:
        expect(ports_of(moat)["tap1"]["adopted"] and not ports_of(moat)["tap1"]["replaced"], "adopted",
               ports_of(moat))
        moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
    expect(not has_xdp("tap1") and not os.path.exists(PINS), "and taken off")
    delete("tap1")


def send_frames(name, count):
    """UDP of as many flows out of an interface of the gateway's namespace."""
    def body():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((name, 0))
            for port in range(count):
                head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)))
                out.send(b"\2" * 12 + b"\x08\x00" + head + struct.pack("!HHHH", 1024 + port, 9, 8, 0))

    in_namespace(GATEWAY, body)


def test_queues(directory):
    """Receive queues that come later are the gate's, too."""
    inside(GATEWAY, "ip", "link", "add", "tap1", "numtxqueues", "2", "numrxqueues", "2", "type", "veth", "peer", "name",
           "ptap1", "numtxqueues", "2", "numrxqueues", "2")
    inside(GATEWAY, "ethtool", "-L", "tap1", "rx", "1", "tx", "1")
    inside(GATEWAY, "ethtool", "-L", "ptap1", "rx", "1", "tx", "1")
    for name in ("tap1", "ptap1"):
        inside(GATEWAY, "ip", "link", "set", name, "up")
    with lab.Appliance(directory, config=config(directory, ["{name: tap1}"])) as moat:
        inside(GATEWAY, "ethtool", "-L", "tap1", "rx", "2", "tx", "1")
        inside(GATEWAY, "ethtool", "-L", "ptap1", "rx", "1", "tx", "2")
        wait_for(lambda: "2 receive queues instead of 1" in moat.log(), "it is seen")
        before = ports_of(moat)["tap1"]["received"]
        send_frames("ptap1", 200)
        wait_for(lambda: ports_of(moat)["tap1"]["received"] == before + 200, "every frame meets the gate")
    delete("tap1")


def test_other_version(directory):
    """A gate of another layout is moved on: the saved rules are in force all the time, a port that the
    configuration has no more comes off."""
    add("tap1")
    moat = lab.Appliance(directory, config=config(directory, ["{name: g0}", "{name: tap1}"]))
    with moat:
        rule = moat.ask("rules", "add", "drop", "src", lab.CLIENT_IP, "proto", "icmp")
        moat.stop(9)
    run(STRANGER, "age", PINS)
    moat.write(config(directory, ["{name: g0}"]))
    with moat:
        expect(ports_of(moat)["g0"]["adopted"] and set(ports_of(moat)) == {"g0"}, "moved", ports_of(moat))
        expect(not has_xdp("tap1"), "the other port is bare")
        expect([kept["id"] for kept in moat.ask("rules", "list")["rules"]] == [rule["id"]], "the rule stands")
        expect(not lab.ping(1), "and drops")
        expect(not [name for name in os.listdir(PINS) if name.startswith("maps-")], "no old tables", os.listdir(PINS))
        moat.ask("rules", "del", str(rule["id"]))
        expect(lab.ping(1), "until it goes")
        moat.stop()
        expect("another version" in moat.log(), "and it is said", moat.log())
    run(STRANGER, "age", PINS)
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
    expect(not has_xdp("g0") and not os.path.exists(PINS), "a gate of another version comes off too")
    delete("tap1")


def test_doctor(directory):
    """What stands in XDP's way is said by doctor and at attachment."""
    add("tap1")
    inside(GATEWAY, "ethtool", "-K", "tap1", "rxvlan", "on")
    inside(GATEWAY, STRANGER, "foreign", "tap1")

    def doctor():
        seen = json.loads(inside(GATEWAY, MOAT, "doctor", "--json", check=False).stdout)
        return {interface["name"]: interface for interface in seen["interfaces"]}

    found = doctor()["tap1"]
    expect("driver veth" in found["found"] and "MTU 1500" in found["found"], "driver and MTU", found)
    expect("stranger (id" in found["found"], "who is on it", found)
    expect("rxvlan off" in found["use"], "hidden tags", found)
    inside(GATEWAY, "ip", "link", "set", "dev", "tap1", "xdp", "off")
    with lab.Appliance(directory, config=config(directory, ["{name: tap1}"])) as moat:
        expect("rxvlan off" in moat.log(), "also at attachment", moat.log())
        moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
    inside(GATEWAY, "ethtool", "-K", "tap1", "rxvlan", "off")
    expect("rxvlan off" not in doctor()["tap1"]["use"], "not when they are seen", doctor())
    delete("tap1")


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
        for test in (test_pattern, test_refusing, test_replace, test_queues, test_other_version, test_doctor):
            test(directory)
    except AssertionError as error:
        print(f"FAIL {error}")
        log = os.path.join(directory, "log")
        if os.path.exists(log):
            with open(log, encoding="utf-8") as lines:
                print(lines.read())
        return 1
    finally:
        lab.tear_down(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
