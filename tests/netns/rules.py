#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Rules as an operator changes them: lists one prefix at a time, files that have to be confirmed, changes that would cut
off their author, counters that outlive rebuilds and restarts; and the tables against the kernel's routes."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time

import moatd
from moatd import MOAT, Appliance, expect, inside, run, wait_for

# what SSH would say of a session from the client
SSH = f"{moatd.CLIENT_IP} 40000 {moatd.SERVER_IP} 22"


def moat(appliance, *arguments, ssh=None, check=True, text=None):
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    if ssh:
        environment["SSH_CONNECTION"] = ssh
    done = run(MOAT, "--socket", appliance.socket, "--json", *arguments, check=check, env=environment, input=text)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def denied(appliance):
    return moat(appliance, "rules", "list")["deny"]["prefixes"]


def rules(appliance):
    return {rule["rule"]: rule for rule in moat(appliance, "rules", "list")["rules"]}


def pings(count=3):
    done = inside(moatd.CLIENT, "ping", "-c", str(count), "-i", "0.05", "-W", "0.3", moatd.SERVER_IP, check=False)
    return " 0 received" not in done.stdout


def check_lists(appliance):
    """One prefix is in force at once, and kept."""
    expect(pings(), "the client reaches the server")
    times = []
    for _ in range(5):
        times.append(moat(appliance, "rules", "deny", "add", moatd.CLIENT_IP)["in_force_us"])
        expect(not pings(1), "a denied client is cut off")
        moat(appliance, "rules", "deny", "del", moatd.CLIENT_IP)
        expect(pings(1), "and let in again")
    expect(min(times) <= 1000, "one prefix is in force within 1 ms", times)
    print(f"one prefix in force after {min(times):.0f}-{max(times):.0f} us")
    expect("doesn't stand" in moat(appliance, "rules", "deny", "del", "203.0.113.7", check=False), "what isn't there is said")


def check_guard(appliance):
    """Who changes rules isn't cut off by them unless he insists."""
    for words in (("rules", "deny", "add", "10.78.1.0/24"), ("rules", "add", "drop", "proto", "tcp", "dport", "22")):
        error = moat(appliance, *words, ssh=SSH, check=False)
        expect("cut off your own SSH session" in str(error), "the session is guarded", words, error)
    expect(denied(appliance) == [] and rules(appliance) == {}, "nothing has changed")
    moat(appliance, "rules", "add", "count-only drop proto tcp dport 22", ssh=SSH)
    moat(appliance, "--force", "rules", "add", "drop proto tcp dport 22", ssh=SSH)
    for rule in rules(appliance).values():
        moat(appliance, "rules", "del", str(rule["id"]))


def check_confirm(appliance):
    """What isn't confirmed goes, with the time, or with moatd."""
    moat(appliance, "--confirm", "1", "rules", "load", text="192.0.2.0/24\ndrop proto udp dport 9\n")
    expect(denied(appliance) == ["192.0.2.0/24"], "loaded rules are in force")
    expect("wait to be confirmed" in str(moat(appliance, "rules", "deny", "add", "192.0.2.1", check=False)),
           "no change upon a change")
    wait_for(lambda: denied(appliance) == [] and rules(appliance) == {}, "they are rolled back", 5)
    moat(appliance, "--confirm", "60", "rules", "load", text="192.0.2.0/24\n")
    moat(appliance, "rules", "confirm")
    expect("no rules wait" in str(moat(appliance, "rules", "confirm", check=False)), "confirmed once")
    moat(appliance, "--confirm", "60", "rules", "load", text="198.51.100.0/24\n")
    expect(len(denied(appliance)) == 2, "the second file is in force")
    appliance.process.send_signal(signal.SIGKILL)
    appliance.process.wait()
    appliance.start()
    expect(denied(appliance) == ["192.0.2.0/24"], "a moatd that starts undoes what nobody confirmed", denied(appliance))


def check_files(appliance):
    """All or nothing, with the numbers of lines."""
    error = moat(appliance, "rules", "load", check=False, text="203.0.113.0/24\n1.2.3.4/33\n\nfrobnicate\n")
    expect(":2:" in error and ":4:" in error, "bad lines are named", error)
    expect(denied(appliance) == ["192.0.2.0/24"], "a bad file changes nothing")
    report = moat(appliance, "rules", "load", text="203.0.113.0/24 # a\n; b\n203.0.113.0/24\n192.0.2.0/24\n")
    expect(report["denied"] == 1 and report["duplicate_lines"] == [3, 4], "duplicates are named", report)


def check_counts(appliance):
    """Hits go on over rebuilds and restarts, and say what was acted on."""
    moat(appliance, "rules", "add", "count-only drop proto icmp comment \"ping\"")
    expect(pings(4), "count-only stops nothing")
    text = 'count-only drop proto icmp comment "ping"'
    before = rules(appliance)[text]
    expect(before["hits"] >= 4 and before["acted"] == before["hits"], "what would have been dropped is counted", before)
    moat(appliance, "rules", "add", "drop src 192.0.2.77")
    appliance.process.send_signal(signal.SIGTERM)
    appliance.process.wait()
    expect(pings(2), "the gate goes on")
    appliance.start()
    after = rules(appliance)[text]
    expect(after["hits"] >= before["hits"] + 2 and after["id"] == before["id"], "hits go on", before, after)
    lines = run(MOAT, "--socket", appliance.socket, "rules", "list").stdout.splitlines()
    expect(any("ACTED" in line for line in lines), "the table shows them", lines)
    moat(appliance, "rules", "add", f"redirect to nowhere src {moatd.CLIENT_IP}")
    expect(pings(2), "a redirect to nowhere passes")


def main():
    directory = tempfile.mkdtemp(prefix="moat-rules-")
    appliance = Appliance(directory, mode="observe")
    try:
        moatd.set_up()
        appliance.start()
        for check in (check_lists, check_guard, check_confirm, check_files, check_counts):
            begin = time.monotonic()
            check(appliance)
            print(f"{check.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
    except AssertionError as error:
        print(f"failed: {error}\n{appliance.log() if appliance.process else ''}", file=sys.stderr)
        return 1
    finally:
        if appliance.process and appliance.process.poll() is None:
            appliance.process.kill()
            appliance.process.wait()
        moatd.tear_down(directory)
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    sys.exit(main())
