#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How many cores a link takes, computed from what the benches measured here: 10, 25, 40 and 100 Gbit/s of 64-byte
frames and of IMIX, and the share of a 16-core gateway that dropping and sampling 14.88 Mpps takes. The time of a network
card's driver isn't in it: a link's real need is a test bed's to find (bench/testbed).

usage: sizing.py [--json] [FILE…]   JSON lines of the gate's and the pipeline's bench; without, they are run"""

import json
import os
import subprocess
import sys

BENCHES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../build/release/bench")
LINKS = (10, 25, 40, 100)
OVERHEAD = 20  # preamble, delimiter and gap of a frame, bytes
# Simple IMIX: frames of each length in twelve.
IMIX = {64: 7, 594: 4, 1518: 1}
GATEWAY_CORES, GATEWAY_MPPS, GATEWAY_GOAL = 16, 14.88, 8
# (bench, case, metric): what stands for a path
PATHS = {
    "gate_drop": ("gate", "drop_listed_v4_typical", "time"),
    "gate_drop_hot": ("gate", "drop_listed_v4_hot", "time"),
    "worker_100k": ("pipeline", "dummy_100k", "rate"),
    "worker_1M": ("pipeline", "dummy_1M", "rate"),
    "worker_mixed": ("pipeline", "dummy_mixed", "rate"),
}


def packets_per_second(gbit, frames):
    """Frames a second of a full link of a mix."""
    count = sum(frames.values())
    mean = sum(length * share for length, share in frames.items()) / count
    return gbit * 1e9 / 8 / (mean + OVERHEAD)


def nanoseconds(result):
    """A packet's time on one core."""
    return 1e3 / result["value"] if result["unit"] == "Mpps" else result["value"]


def line(case, metric, unit, value, goal=None, ok=None):
    return {"bench": "sizing", "case": case, "metric": metric, "unit": unit, "value": round(value, 3), "min": None,
            "max": None, "runs": 1, "baseline": None, "ratio": None, "goal": goal, "ok": ok}


def table(results):
    """The lines for what was measured."""
    for path, key in PATHS.items():
        if key not in results:
            continue
        ns = nanoseconds(results[key])
        yield line(path, "time", "ns/packet", ns)
        for gbit in LINKS:
            for mix, frames in (("64B", {64: 1}), ("imix", IMIX)):
                yield line(path, f"{gbit}G_{mix}", "cores", packets_per_second(gbit, frames) * ns / 1e9)
        if path.startswith("gate_drop"):
            share = GATEWAY_MPPS * 1e6 * ns / 1e9 / GATEWAY_CORES * 100
            yield line(path, "of_16_cores", "%", share, GATEWAY_GOAL, share <= GATEWAY_GOAL)


def measured(lines):
    results = {}
    for text in lines:
        entry = json.loads(text)
        if "metric" in entry:
            results[entry["bench"], entry["case"], entry["metric"]] = entry
    return results


def run_benches():
    lines = []
    for name in ("gate", "pipeline"):
        # a missed goal is no reason not to size by what was measured
        done = subprocess.run((os.path.join(BENCHES, f"bench-{name}"), "--json"), check=False, stdout=subprocess.PIPE,
                              text=True)
        lines += done.stdout.splitlines()
    return lines


def main():
    files = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    lines = []
    for path in files:
        with open(path, encoding="utf-8") as text:
            lines += text.read().splitlines()
    results = list(table(measured(lines if files else run_benches())))
    for result in results:
        print(json.dumps(result), flush=True)
    if not results:
        print("no result to size by", file=sys.stderr)
        return 2
    return 1 if any(result["ok"] is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
