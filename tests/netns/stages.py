#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Stages under a real moatd: a protected destination gets its rate and no more, moat protect tells of it, a reload
switches stages without the port being let go, and management prefixes stay in, whatever list they are on."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import moatd as lab
from moatd import CLIENT_IP, GATEWAY, PREFIX, SERVER_IP, expect, inside, wait_for

BURST = 5
PROTECT = f"protect: [{{prefix: {SERVER_IP}, icmp: 1/s burst {BURST}}}]\n"


def pings(count=40):
    """How many of as many pings, 20 ms apart, are answered."""
    out = inside(lab.CLIENT, "ping", "-q", "-c", str(count), "-i", "0.02", "-W", "1", SERVER_IP, check=False).stdout
    return int(re.search(r"(\d+) received", out).group(1))


def reload(moat, directory, more):
    moat.write(lab.CONFIG.format(dir=directory, pins=lab.PINS, port="g0", mode="observe", more=more))
    moat.ask("reload")


def test_protect(moat, directory):
    answered = pings()
    # 0.8 s and more on a slow machine: a token a second comes in
    expect(BURST <= answered <= BURST + 20, "the rate", answered)
    (row,) = moat.ask("protect")["protections"]
    expect(row["prefix"] == SERVER_IP and row["icmp"] == {"per_s": 1, "burst": BURST}, "what it says", row)
    expect(row["matched"] == 40 and row["dropped"] == 40 - answered, "what it counted", row, answered)
    (port,) = moat.ask("status")["ports"]
    expect(port["reasons"]["drop_profile"] == row["dropped"] and port["balanced"], "the reason", port)
    expect("protect" in port["stages"] and "flags" not in port["stages"], "its stages", port["stages"])
    text = lab.run(lab.MOAT, "--socket", moat.socket, "protect").stdout
    expect(SERVER_IP in text and all(len(line) <= 100 for line in text.splitlines()), "as text", text)
    pinging = subprocess.Popen(("nsenter", f"--net=/run/netns/{lab.CLIENT}", "ping", "-q", "-c", "1000", "-i", "0.02",
                                SERVER_IP), stdout=subprocess.DEVNULL)
    try:
        host = wait_for(lambda: [host for host in moat.ask("protect")["destinations"] if host["dropped_pps"] > 10],
                        "the destination's rates")[0]
    finally:
        pinging.kill()
        pinging.wait()
    expect((host["addr"], host["prefix"]) == (SERVER_IP, SERVER_IP) and host["icmp_pps"] >= host["dropped_pps"],
           "the destination", host)


def test_switch(moat, directory):
    link = inside(GATEWAY, "ip", "link", "show", "g0").stdout
    reload(moat, directory, PROTECT + "stages: {protect: off, land: on}\n")
    expect(pings() == 40, "no rate while its stage is off")
    (port,) = moat.ask("status")["ports"]
    expect("protect" not in port["stages"] and "land" in port["stages"], "its stages", port["stages"])
    expect("xdp" in link and "xdp" in inside(GATEWAY, "ip", "link", "show", "g0").stdout, "still attached")
    reload(moat, directory, PROTECT)
    expect(pings() < 40, "and on again")
    for bad, text in (("stages: {land: 2}\n", 'stages.land: "2" is none of on, off'),
                      ("protect: [{prefix: 10.0.0.0/8, icmp: x}]\n", 'protect.0.icmp: "x" is no rate')):
        moat.write(lab.CONFIG.format(dir=directory, pins=lab.PINS, port="g0", mode="observe", more=bad))
        expect(text in moat.refused("reload"), "refused", text, moat.refused("reload"))


def test_management(moat, directory):
    denied = "lists: {deny: [10.78.1.0/24]}\n"
    reload(moat, directory, denied)
    expect(pings(5) == 0, "denied")
    reload(moat, directory, denied + f"management: [{CLIENT_IP}]\n")
    expect(pings(5) == 5, "managed from there")
    (port,) = moat.ask("status")["ports"]
    expect(port["reasons"]["pass_management"] >= 5, "the reason", port["reasons"])


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    directory = tempfile.mkdtemp(prefix=PREFIX)
    try:
        lab.set_up()
        with lab.Appliance(directory, mode="observe", more=PROTECT) as moat:
            wait_for(lambda: moat.ask("status")["ports"], "the port")
            for test in (test_protect, test_switch, test_management):
                test(moat, directory)
                print(test.__name__, flush=True)
    except AssertionError as error:
        print(f"FAIL {error}")
        log = os.path.join(directory, "log")
        if os.path.exists(log):
            with open(log, encoding="utf-8") as lines:
                print(lines.read())
        return 1
    finally:
        lab.tear_down(directory)
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
