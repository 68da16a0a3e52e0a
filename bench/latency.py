#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""From a flood's first packet to the rule in the gate, over many floods of each kind, in the lab of tests/lab: real
moatd, real attack tools, legitimate clients beside. The first packet is timed by a program before the gate, the rule by
moatd once it is in force. A flood without a rule counts as one that took for ever.

Every fourth flood hits the web server that the clients use, the others addresses around it, so that the next one needn't
wait until the rule against the last one has gone."""
import argparse
import dataclasses
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time

SOURCE = os.environ.get("MOAT_SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(SOURCE, "tests/lab"))

import attacks  # noqa: E402  pylint: disable=wrong-import-position
import lab as laboratory  # noqa: E402  pylint: disable=wrong-import-position
import report  # noqa: E402  pylint: disable=wrong-import-position
import topology  # noqa: E402  pylint: disable=wrong-import-position
import traffic  # noqa: E402  pylint: disable=wrong-import-position
from appliance import Moat  # noqa: E402  pylint: disable=wrong-import-position
from measure import Meter, now  # noqa: E402  pylint: disable=wrong-import-position

SECOND = 1_000_000_000
KINDS = ("syn", "udp", "amp", "icmp", "live-syn")
PATIENCE = 3.0  # seconds that a flood lasts at most
AFTER = 0.25    # and how long it goes on once its rule stands, for what the rule costs the clients
LEARN = 20
LIMIT_SECONDS = 3600
OTHERS = [f"203.0.113.{host}" for host in range(100, 250)]


def parse(argv):
    parser = argparse.ArgumentParser(prog="./dev bench latency", description=__doc__)
    parser.add_argument("--json", action="store_true", help="always in force")
    parser.add_argument("--floods", type=int, default=int(os.environ.get("MOAT_BENCH_FLOODS", "100")), metavar="N",
                        help="of each kind (default 100, or MOAT_BENCH_FLOODS)")
    return parser.parse_args(argv)


def against(attack, victim):
    """The same attack on somebody else."""
    return dataclasses.replace(attack, victim=victim,
                               command=tuple(victim if word == attack.victim else word for word in attack.command))


class Floods:
    """What the floods came to."""

    def __init__(self, lab, meter, moat, clients):
        self.lab, self.meter, self.moat, self.clients = lab, meter, moat, clients
        self.times = {kind: [] for kind in KINDS}  # ms; inf: no rule
        self.rates = []                            # kpps
        self.clean, self.lost, self.wrong = 0, 0, []

    def _rule(self, victim, since):
        """When the first rule of a finding about the victim was in force, ns; 0: none is."""
        self.moat.refresh()
        ids = {finding["id"] for finding in self.moat.findings(since) if finding["subject"] == victim}
        rules = [event for event in self.moat.rules(("added",), since) if event.get("finding") in ids]
        return rules[0]["mono_ns"] if rules else 0

    def run(self, kind, victim):
        attack = against(attacks.BY_NAME[kind], victim)
        self.meter.base()
        begin, ring = now(), traffic.ring_drops(self.lab)
        running = attacks.Running(self.lab, attack, self.meter, PATIENCE)
        stood = 0
        while not stood and now() < begin + PATIENCE * SECOND and not running.ended():
            time.sleep(0.02)
            stood = self._rule(victim, begin)
        time.sleep(AFTER)
        account = running.stop()
        series, end = self.meter.read(), now()
        if account:
            series.add_live(account)
        if not series.first_ns:
            raise RuntimeError(f"{attack.title}: not one packet came: {self.lab.log_tail('attack')}")
        stood = stood or self._rule(victim, begin)
        self.times[kind].append((stood - series.first_ns) / 1e6 if stood else math.inf)
        self.rates.append(series.total(series.sent_marked) / ((end - series.first_ns) / 1e6))
        if stood:
            # packets between the two counters at the moment of reading are not lost, nor those the veth's ring lost
            settled, ring = end - 100_000_000, traffic.ring_drops(self.lab) - ring
            clean = series.total(series.sent_clean, stood, settled)
            passed = series.total(series.passed_clean, stood, settled)
            self.clean += clean
            self.lost += max(0, clean - passed - ring)
        self.wrong += [f"{event['kind']} {event['subject']}" for event in self.moat.findings(begin)
                       if event["subject"] != victim and event["mono_ns"] < end]


def quantile(values, share):
    """Nearest rank: with 100 floods p99 is the second slowest."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def say(case, metric, unit, values, value, goal=None):
    finite = [v for v in values if math.isfinite(v)]
    ok = None if goal is None else bool(value <= goal)
    print(json.dumps({"bench": "latency", "case": case, "metric": metric, "unit": unit,
                      "value": value if math.isfinite(value) else None, "min": min(finite, default=None),
                      "max": max(finite, default=None), "runs": len(values), "baseline": None, "ratio": None,
                      "goal": goal, "ok": ok}, separators=(",", ":")), flush=True)
    return ok is not False


def measure(lab, options, progress):
    lab.up()
    meter = Meter(lab)
    meter.gate_stand_in(True)
    traffic.start_servers(lab)
    meter.gate_stand_in(False)
    moat = Moat(lab, LEARN)
    clients = traffic.Clients(lab, LIMIT_SECONDS)
    try:
        deadline = now() + (LEARN + 15) * SECOND
        time.sleep(LEARN)
        while moat.learning():
            if now() > deadline:
                raise RuntimeError(f"moatd still learns after {LEARN + 15} s")
            time.sleep(0.5)
        floods = Floods(lab, meter, moat, clients)
        for round_ in range(options.floods):
            for number, kind in enumerate(KINDS):
                turn = round_ * len(KINDS) + number
                victim = topology.WEB if turn % 4 == 0 else OTHERS[turn % len(OTHERS)]
                if victim == topology.WEB:  # its last rule has to go first
                    end = now() + 10 * SECOND
                    while any(topology.WEB in rule["rule"] for rule in moat.ask("rules", "list")["rules"]) \
                            and now() < end:
                        time.sleep(0.1)
                clients.check()
                moat.check()
                floods.run(kind, victim)
                times = floods.times[kind]
                progress.tick(f"latency: flood {turn + 1} of {options.floods * len(KINDS)}, {kind} on {victim}: "
                              f"{times[-1]:.0f} ms")
        return floods
    finally:
        clients.stop()
        moat.stop()


def judge(floods):
    good = True
    for kind, times in floods.times.items():
        name = f"{kind.replace('-', '_')}_flood"
        good &= say(name, "rule_median", "ms", times, statistics.median(times), 250)
        good &= say(name, "rule_p99", "ms", times, quantile(times, 0.99), 1000)
    share = 100 * floods.lost / floods.clean if floods.clean else math.inf
    good &= say("all", "collateral", "%", [share], share, 0.1)
    say("all", "clean_packets", "packets", [floods.clean], floods.clean)
    say("all", "false_findings", "findings", [len(floods.wrong)], len(floods.wrong))
    say("all", "rate", "kpps", floods.rates, statistics.median(floods.rates))
    for wrong in floods.wrong[:10]:
        print(f"latency: a finding about somebody else: {wrong}", file=sys.stderr)
    return good


def stop_on(number, _):
    raise SystemExit(128 + number)


def main(argv):
    options = parse(argv)
    if os.geteuid() != 0:
        print("latency: needs root, for network namespaces and BPF", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop_on)
    turn = laboratory.take_turn()
    signal.alarm(LIMIT_SECONDS)
    topology.sweep()
    lab = laboratory.Lab(False)
    progress = report.Progress()
    try:
        floods = measure(lab, options, progress)
        progress.tick("")
        return 0 if judge(floods) else 1
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"latency: {error}", file=sys.stderr)
        return 2
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        lab.down()
        os.close(turn)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
