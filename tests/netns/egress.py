#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a container sends, under a real moatd: counted as packets of a wire with its GSO kept, limited, cut off
altogether (by XDP) and from prefixes, also without moatd; other users of traffic control are left alone."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import moatd as lab
from moatd import GATEWAY, MOAT, PINS, PREFIX, SLOW, expect, inside, run, wait_for

NEIGHBOUR = os.path.abspath(os.path.join(os.environ.get("MOAT_BUILD", "build"), "tests/netns/netns-gate"))
BOX = f"{PREFIX}-box"
HOST_IP, BOX_IP, OTHER_IP = "10.79.1.1", "10.79.1.2", "10.79.1.3"
CONFIG = """run_dir: {dir}/run
state_dir: {dir}/state
pin_dir: {pins}
ports:
  - {{name: "ct*", role: container{more}}}
events:
  path: {dir}/events.json
"""
# Share of the throughput that counting may take, in a median of turns side by side.
LOSS_MAX = 0.05
TURNS = 2 if SLOW else 16


def config(directory, more=""):
    return CONFIG.format(dir=directory, pins=PINS, more=more)


def set_up():
    run("ip", "netns", "add", BOX)
    run("ip", "link", "add", "ct0", "netns", GATEWAY, "type", "veth", "peer", "name", "eth0", "netns", BOX)
    for where, name, addresses in ((GATEWAY, "ct0", (HOST_IP, OTHER_IP)), (BOX, "eth0", (BOX_IP,))):
        for address in addresses:
            inside(where, "ip", "address", "add", f"{address}/24", "dev", name)
        inside(where, "ip", "link", "set", name, "up")
        inside(where, "ip", "link", "set", "lo", "up")


def container(moat):
    (found,) = moat.ask("egress", "list")["containers"]
    expect(found["balanced"] and found["sent"]["packets"] ==
           sum(reason["packets"] for reason in found["reasons"].values()), "in = sum of outs", found)
    return found


def reason(moat, name):
    return container(moat)["reasons"][name]["packets"]


def reaches(address=HOST_IP):
    return inside(BOX, "ping", "-q", "-c", "2", "-i", "0.05", "-W", "1", address, check=False).returncode == 0


def has_xdp():
    return "xdp" in inside(GATEWAY, "ip", "link", "show", "ct0").stdout


def filters():
    """One line a filter of what comes in from the container."""
    return inside(GATEWAY, "tc", "filter", "show", "dev", "ct0", "ingress", check=False).stdout


def received():
    """Frames and bytes that the host's side has taken in, before the filter sees them."""
    stats = json.loads(inside(GATEWAY, "ip", "-j", "-s", "link", "show", "ct0").stdout)[0]["stats64"]["rx"]
    return stats["packets"], stats["bytes"]


class Server:
    def __enter__(self):
        inside(GATEWAY, "iperf3", "-s", "-D", "-B", HOST_IP, "-I", self.pid_file())
        wait_for(lambda: os.path.exists(self.pid_file()) and ":5201" in inside(GATEWAY, "ss", "-ltn").stdout,
                 "iperf3 listens")
        return self

    def __exit__(self, *_):
        with open(self.pid_file(), encoding="ascii") as pid:
            os.kill(int(pid.read().strip("\0\n ")), 15)

    @staticmethod
    def pid_file():
        return f"/tmp/{PREFIX}-iperf3.pid"


def send(*how, seconds=1):
    """Gigabits a second that arrived."""
    out = json.loads(inside(BOX, "iperf3", "-c", HOST_IP, "-J", "-t", str(seconds), "-l", "128K", *how).stdout)
    return out["end"]["sum_received"]["bits_per_second"] / 1e9


def rate(seconds):
    """Bytes a second that the container sends meanwhile."""
    begin, (_, before) = time.monotonic(), received()
    time.sleep(seconds)
    _, after = received()
    return (after - before) / (time.monotonic() - begin)


def test_throughput(moat):
    """One connection, whose container is counted and not counted by turns of a fraction of a second, in the order
    ABBA: what a shared machine does besides meets both."""
    expect(filters().count("name egress") == 1, "the filter", filters())
    texts = {True: config(moat.dir), False: config(moat.dir).replace("ct*", "no*")}
    ratios = []
    client = subprocess.Popen(("nsenter", f"--net=/run/netns/{BOX}", "iperf3", "-c", HOST_IP, "-t", "120", "-l", "128K"),
                              stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        # on a busy machine turns scatter: more of them, not a wider bound
        while len(ratios) < TURNS or (len(ratios) < 5 * TURNS and statistics.median(ratios) < 1 - LOSS_MAX):
            rates = {}
            for counted in ((True, False) if len(ratios) % 2 else (False, True)):
                moat.write(texts[counted])
                moat.ask("reload")
                rates[counted] = rate(0.25)
            ratios.append(rates[True] / rates[False])
    finally:
        client.kill()
        client.wait()
    moat.write(texts[True])
    moat.ask("reload")
    ratio = statistics.median(ratios)
    print(f"iperf3 from a container: {ratio:.3f} of the throughput without counting "
          f"(quartiles {', '.join(f'{q:.3f}' for q in statistics.quantiles(ratios))}; {len(ratios)} turns)")
    expect(SLOW or ratio >= 1 - LOSS_MAX, "counting is nearly free", ratios)


def test_counts(moat):
    """Without GSO a frame is a packet; with it, the packets are those that a wire would see."""
    before, (frames, octets) = container(moat), received()
    send(seconds=1)
    after, (frames_after, octets_after) = container(moat), received()
    sent = after["sent"]["packets"] - before["sent"]["packets"]
    expect(after["frames"] - before["frames"] == frames_after - frames, "every frame is counted", after)
    payload = octets_after - octets - 66 * (frames_after - frames)
    expect(sent > 5 * (frames_after - frames), "GSO frames count as many", sent, frames_after - frames)
    expect(abs(sent - payload / 1448) < 0.02 * sent + 100, "as the packets of a wire", sent, payload / 1448)
    octets = after["sent"]["bytes"] - before["sent"]["bytes"]
    expect(abs(octets - (payload + 66 * sent)) < 0.02 * octets, "with their headers", octets)
    inside(BOX, "ethtool", "-K", "eth0", "tso", "off", "gso", "off")
    before, (frames, octets) = container(moat), received()
    send(seconds=1)
    after, (frames_after, octets_after) = container(moat), received()
    inside(BOX, "ethtool", "-K", "eth0", "tso", "on", "gso", "on")
    expect(after["sent"]["packets"] - before["sent"]["packets"] == frames_after - frames and
           after["sent"]["bytes"] - before["sent"]["bytes"] == octets_after - octets,
           "without GSO packet by packet", before, after)
    expect(after["syn"] > before["syn"], "SYNs")
    before = container(moat)
    expect(reaches(), "a ping passes")
    expect(container(moat)["icmp"] - before["icmp"] == 2, "and is counted")


def test_limit(moat):
    """Twice a rate that the container easily sends: what passes is the limit, within a tenth."""
    for kind, rate in (("packets", 4000), ("bytes", 2000000)):
        moat.ask("egress", "limit", "ct0", kind, str(rate))
        send("-u", "-b", "60M", "-l", "500", seconds=1)
        before, start = container(moat)["reasons"]["pass"][kind], time.monotonic()
        send("-u", "-b", "60M", "-l", "500", seconds=3)
        seconds = time.monotonic() - start
        passed = container(moat)["reasons"]["pass"][kind] - before
        # the flood lasts three of the seconds, control connections take their part
        expect(0.85 * rate * 3 < passed < 1.1 * rate * seconds + rate, f"the limit on {kind}", passed, rate, seconds)
        expect(reason(moat, f"drop_{kind}") > 0, "and drops are counted")
        moat.ask("egress", "limit", "ct0", kind, "off")
    moat.ask("egress", "limit", "ct0", "packets", "1M")
    moat.write(config(moat.dir, ", egress: {packets: 7}"))
    moat.ask("reload")
    expect(container(moat)["limit"]["packets"] == 1000000, "an operator's limit goes before the file's")
    moat.write(config(moat.dir))
    moat.ask("reload")
    moat.ask("egress", "limit", "ct0", "packets", "off")


def test_cut(moat):
    cut = moat.ask("egress", "cut", "ct0")
    expect(cut["cut"] == {"from": "all", "xdp": True, "to": []}, "cut off", cut)
    expect(has_xdp() and not reaches(), "by XDP")
    expect(reason(moat, "drop_cut") > 0, "and counted")
    moat.stop(9)
    expect(has_xdp() and not reaches(), "without moatd too")
    moat.start()
    expect(container(moat)["cut"]["from"] == "all" and not reaches(), "and with the next one", container(moat))
    moat.ask("egress", "release", "ct0")
    expect(not has_xdp() and reaches(), "XDP goes with the cut")
    moat.ask("egress", "cut", "ct0", f"{OTHER_IP}/32", "2001:db8::/32")
    expect(reaches() and not reaches(OTHER_IP) and not has_xdp(), "cut off from a prefix")
    expect(sorted(container(moat)["cut"]["to"]) == sorted([OTHER_IP, "2001:db8::/32"]), "listed", container(moat))
    expect(reason(moat, "drop_destination") > 0, "and counted")
    table = run(MOAT, "--socket", moat.socket, "egress", "list").stdout
    expect("2 prefixes" in table and all(len(line) <= 100 for line in table.splitlines()), "as text", table)
    moat.ask("egress", "release", "ct0")
    expect(reaches(OTHER_IP), "released")
    for arguments, text in ((("cut", "ct9"), "no container's port"), (("release", "ct0"), "is not cut off"),
                            (("cut", "ct0", "nowhere"), "is no prefix")):
        expect(text in moat.refused("egress", *arguments), "refused", arguments)
    moat.refused("egress", "limit", "ct0", "packets", "many", status=2)


def test_others(moat):
    """Another's filter stays, and the qdisc with it; ours goes without a trace."""
    inside(GATEWAY, NEIGHBOUR, "filter", "ct0")
    moat.stop(9)
    moat.start()
    expect(filters().count("name egress") == filters().count("name neighbour") == 1, "one filter of ours", filters())
    before = container(moat)["sent"]["packets"]
    expect(reaches() and container(moat)["sent"]["packets"] > before, "which counts beside the other")
    moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
    expect("name egress" not in filters() and filters().count("name neighbour") == 1, "only ours is gone", filters())
    expect(not os.path.exists(PINS), "and no pins")


def test_gone(directory):
    """A container that goes frees its slot, also without moatd."""
    inside(GATEWAY, "ip", "link", "add", "ct1", "type", "veth", "peer", "name", "pct1")
    with lab.Appliance(directory, config=config(directory, ", egress: {packets: 10, bytes: 1000000}")) as moat:
        names = {found["name"]: found["limit"]["packets"] for found in moat.ask("egress", "list")["containers"]}
        expect(names == {"ct0": 10, "ct1": 10}, "both", names)
        moat.ask("egress", "cut", "ct1")
        inside(GATEWAY, "ip", "link", "del", "ct1")
        wait_for(lambda: len(moat.ask("egress", "list")["containers"]) == 1, "it is let go")
        expect(os.listdir(os.path.join(PINS, "egress")).count("cut-ct1") == 0, "with its cut")
        expect(moat.ask("status")["egress"]["containers"] == 1, "status")
        moat.stop()
    inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS)
    expect("clsact" not in inside(GATEWAY, "tc", "qdisc", "show", "dev", "ct0").stdout, "our qdisc goes with us")


def main():
    if os.geteuid() != 0 or not os.path.ismount("/sys/fs/bpf"):
        print("SKIP: needs root and a bpffs at /sys/fs/bpf")
        return 77
    for program in ("nsenter", "iperf3", "tc"):
        if not shutil.which(program):
            print(f"SKIP: needs {program}")
            return 77
    directory = tempfile.mkdtemp(prefix=lab.PREFIX)
    try:
        lab.set_up()
        set_up()
        with lab.Appliance(directory, config=config(directory)) as moat, Server():
            for test in (test_counts, test_limit, test_cut, test_throughput, test_others):
                begin = time.monotonic()
                test(moat)
                print(f"{test.__name__} {time.monotonic() - begin:.1f} s", flush=True)
        inside(GATEWAY, "tc", "qdisc", "del", "dev", "ct0", "clsact", check=False)
        test_gone(directory)
    except AssertionError as error:
        print(f"FAIL {error}")
        log = os.path.join(directory, "log")
        if os.path.exists(log):
            with open(log, encoding="utf-8") as lines:
                print(lines.read())
        return 1
    finally:
        inside(GATEWAY, MOAT, "gate", "detach", "--pin-dir", PINS, check=False)
        lab.tear_down(directory)
        run("ip", "netns", "del", BOX, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
