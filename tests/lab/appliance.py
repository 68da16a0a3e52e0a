# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The real moatd in the gateway's namespace, driven as an operator would: a file, a socket, an event file."""
import json
import os
import signal
import subprocess
import time

from topology import SERVERS, SERVERS6, UPLINK

# Rules go soon after an attack, so that every attack of the lab meets a gate without rules.
CONFIG = """run_dir: {dir}/moat
state_dir: {dir}/state
pin_dir: {pins}
ports:
  - name: {uplink}
    role: gateway
detect:
  protected: [{servers}, "{servers6}"]
  learn: {learn}s
  close_after: 2s
respond:
  mode: enforce
  hold: 2s
  challenge: {challenge}
events:
  path: {dir}/events.json
"""


class Moat:
    """One moatd, from start to stop, and what its event file has said so far."""

    def __init__(self, lab, learn, challenge=False):
        self.lab, self.events, self._at = lab, [], 0
        config = lab.path("moat.yaml")
        with open(config, "w", encoding="ascii") as out:
            out.write(CONFIG.format(dir=lab.dir, pins=lab.pins, uplink=UPLINK, servers=SERVERS, servers6=SERVERS6,
                                    learn=learn, challenge=str(challenge).lower()))
        self.child = lab.spawn("gw", [lab.program("moatd"), "--config", config], "moatd")
        self.started_ns = time.monotonic_ns()
        self.socket = lab.path("moat/control.sock")
        self._ready(20)

    def _ready(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            if os.path.exists(self.socket):
                try:
                    self.ask("status")
                    return
                except RuntimeError:
                    pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"moatd isn't ready after {seconds} s: {self.lab.log_tail('moatd')}")
            time.sleep(0.1)

    def check(self):
        if self.child.poll() is not None:
            raise RuntimeError(f"moatd ended with {self.child.returncode}: {self.lab.log_tail('moatd')}")

    def learning(self):
        """Whether the baseline is still being learned."""
        return self.ask("status").get("detect", {}).get("state") == "learning"

    def ask(self, *argv):
        """`moat ARGV --json`, parsed: one document, or a list where it prints one object a line."""
        done = subprocess.run([self.lab.program("moat"), "--socket", self.socket, *argv, "--json"],
                              capture_output=True, text=True, timeout=10, check=False)
        if done.returncode:
            raise RuntimeError(f"moat {' '.join(argv)}: {done.stderr.strip()}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def refresh(self):
        """Takes in what the event file has got since; a line half written waits."""
        try:
            with open(self.lab.path("events.json"), "rb") as source:
                source.seek(self._at)
                data = source.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1
        self._at += whole
        for line in data[:whole].splitlines():
            event = json.loads(line).get("moat")
            if isinstance(event, dict):
                self.events.append(event)

    def findings(self, since, until=None):
        """The first event of each finding opened in [since, until), ns."""
        first = {}
        for event in self.events:
            if event.get("object") == "finding" and event.get("state") == "open" and event["mono_ns"] >= since \
                    and (until is None or event["mono_ns"] < until):
                first.setdefault(event["id"], event)
        return list(first.values())

    def rules(self, change, since, until=None):
        return [event for event in self.events if event.get("object") == "rule" and event.get("change") in change
                and event["mono_ns"] >= since and (until is None or event["mono_ns"] < until)]

    def standing(self):
        """Ids of rules that findings put up and nothing has taken down yet."""
        up = set()
        for event in self.events:
            if event.get("object") == "rule":
                if event["change"] in ("added", "renewed"):
                    up.add(event["id"])
                elif event["change"] in ("removed", "expired"):
                    up.discard(event["id"])
        return up

    def stop(self):
        self.lab.stop(self.child, signal.SIGTERM, grace=5)


def dropped_by_gate(status):
    """Packets that the gate has let go no further on all ports, by its own account."""
    return sum(count for port in status.get("ports", []) for reason, count in port.get("reasons", {}).items()
               if reason.startswith(("drop_", "tx_")))


def balance(status):
    """Every counter set of `moat status` in which what came in isn't what went out, as text; [] if all agree."""
    wrong = []

    def walk(node, path):
        if isinstance(node, dict):
            total = node.get("received")
            outs = node.get("reasons", node.get("outs"))
            if isinstance(total, int) and isinstance(outs, dict):
                out = sum(value for value in outs.values() if isinstance(value, int))
                if out != total:
                    wrong.append(f"{path or 'status'}: in {total}, outs {out}")
                walk.sets += 1
            for key, value in node.items():
                walk(value, f"{path}.{key}" if path else key)
        elif isinstance(node, list):
            for index, value in enumerate(node):
                walk(value, f"{path}[{index}]")

    walk.sets = 0
    walk(status, "")
    if not walk.sets:
        wrong.append("moat status has no counter set to check")
    return wrong
