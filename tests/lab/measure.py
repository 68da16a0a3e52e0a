# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Counters before and behind the gate, and what one attack's run comes to."""
import json
import random
import select
import subprocess
import time
from dataclasses import dataclass, field

from topology import INNER, OUTER, SERVERS, SERVERS6, UPLINK

CODEPOINTS = [code for code in range(1, 63) if code % 8 and code not in (10, 12, 14, 18, 20, 22, 26, 28, 30, 34, 36, 38, 44, 46)]


class Meter:
    """lab-meter, the holder of the lab's BPF programs, over its pipes."""

    def __init__(self, lab):
        def place(role, dev):
            return f"/run/netns/{lab.ns(role)}:{dev}"

        self.dscp = random.SystemRandom().choice(CODEPOINTS)  # known to this run alone
        self.lab = lab
        self.child = lab.spawn(
            None, [lab.tool("lab-meter"), str(self.dscp), SERVERS.split("/")[0], "255.255.255.0", SERVERS6.split("/")[0],
                   place("atk", "eth0"), place("cli", "eth0"), place("inet", OUTER), place("gw", INNER), place("gw", UPLINK)],
            "meter", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.base_ns = self._answer()["base_ns"]

    def _answer(self):
        ready, _, _ = select.select([self.child.stdout], [], [], 10)
        line = self.child.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"meter: {self.lab.log_tail('meter') or 'no answer'}")
        answer = json.loads(line)
        if answer.get("error"):
            raise RuntimeError(f"meter: error {answer['error']}")
        return answer

    def _ask(self, command):
        self.child.stdin.write(f"{command}\n".encode())
        self.child.stdin.flush()
        return self._answer()

    def base(self):
        self.base_ns = self._ask("base")["base_ns"]

    def read(self):
        return Series(self._ask("read"))

    def gate_stand_in(self, on):
        self._ask("pass on" if on else "pass off")

    def receive_answers(self):
        """What the gate sends back out of the uplink arrives at its other end."""
        self._ask("receive on")


class Series:
    """Packets towards the servers by 20 ms bucket: marked and clean, before the gate and behind it."""

    def __init__(self, raw):
        self.base, self.step, self.first_ns = raw["base_ns"], raw["bucket_ns"], raw["first_ns"]
        self.sent_marked, self.sent_clean = [b[0] for b in raw["sent"]], [b[1] for b in raw["sent"]]
        self.passed_marked, self.passed_clean = [b[0] for b in raw["passed"]], [b[1] for b in raw["passed"]]

    def add_live(self, account):
        """The generator's frames don't pass the meter's first point: they come with their own account."""
        self.first_ns = account["first_ns"]
        share = account["taken"] / account["frames"] if account["frames"] else 0
        for slot, frames in enumerate(account["buckets"]):
            while slot >= len(self.sent_marked):
                self.sent_marked.append(0)
            self.sent_marked[slot] += frames * share

    def total(self, counts, start=None, end=None):
        """Sum over the buckets that lie wholly in [start, end) ns."""
        first = 0 if start is None else -(-(start - self.base) // self.step)
        last = len(counts) if end is None else (end - self.base) // self.step
        return sum(counts[max(0, first):max(0, last)])


@dataclass
class Result:
    """One attack's figures. Times in ms since the first attack packet; rates in requests a second."""

    attack: object
    moat: bool
    detected_ms: float = None
    rule_ms: float = None
    rule: str = ""
    collateral: str = ""
    sent: int = 0
    passed: int = 0
    ring_lost: int = 0
    lost: int = 0  # legitimate packets, whole run
    rate_kpps: float = 0.0
    dropped_ratio: float = None  # of the packets sent once the rule stood
    legit_ok_ratio: float = None  # of the requests begun once the rule stood
    new_ok_ratio: float = None  # of those from addresses never seen before
    legit_lost_ratio: float = None  # of the legitimate packets once the rule stood: the measured collateral
    gate_dropped: int = None  # by the gate's own account
    served: dict = field(default_factory=dict)  # before, during, after
    kinds: dict = field(default_factory=dict)  # served during, by kind and second
    false_findings: int = 0
    findings: list = field(default_factory=list)
    timeline: list = field(default_factory=list)  # (second, req/s) over the run
    faults: list = field(default_factory=list)


def rate(clients, start, end):
    """Legitimate requests answered a second in [start, end)."""
    return sum(clients.served(start, end).values()) / ((end - start) / 1e9) if end > start else 0.0


def fill(result, clients, series, window, stood):
    """Puts counts into a result. window: (begin, first packet, attack's end, end) ns; stood: since when it is judged."""
    begin, first, last, end = window
    result.sent = int(series.total(series.sent_marked))
    result.passed = series.total(series.passed_marked)
    result.rate_kpps = series.total(series.sent_marked, first, last) / ((last - first) / 1e6) if last > first else 0
    result.served = {"before": rate(clients, begin, first), "during": rate(clients, stood, last),
                     "after": rate(clients, last + 1_000_000_000, end)}
    result.kinds = {kind: count / ((last - stood) / 1e9) for kind, count in clients.served(stood, last).items()} \
        if last > stood else {}
    good, tried = clients.success(stood, last)
    result.legit_ok_ratio = good / tried if tried else None
    good, tried = clients.success(stood, last, "new")
    result.new_ok_ratio = good / tried if tried else None
    clean = series.total(series.sent_clean, stood, last)
    result.legit_lost_ratio = max(0.0, 1 - series.total(series.passed_clean, stood, last) / clean) if clean else None
    result.lost = max(0, series.total(series.sent_clean) - series.total(series.passed_clean))
    # A packet lost in the veth's ring never met the gate: its loss is no merit of the gate's.
    met = 1 - result.ring_lost / result.sent if result.sent else 0
    sent = series.total(series.sent_marked, stood, last) * met
    passed = series.total(series.passed_marked, stood, last)
    result.dropped_ratio = max(0.0, 1 - passed / sent) if sent else None
    result.timeline = [(i / 2, rate(clients, begin + i * 500_000_000, begin + (i + 1) * 500_000_000))
                       for i in range((end - begin) // 500_000_000)]


def now():
    return time.monotonic_ns()
