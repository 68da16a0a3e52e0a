#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The files for a test bed: profiles compile, what is expected is JSON and names them; sizes follow from measured
times."""

import json
import os
import sys


def main():
    root = sys.argv[1]
    bed = os.path.join(root, "bench/testbed")
    with open(os.path.join(bed, "stl_flood.py"), encoding="utf-8") as source:
        compile(source.read(), "stl_flood.py", "exec")
    with open(os.path.join(bed, "expected.json"), encoding="utf-8") as text:
        runs = json.load(text)["runs"]
    for run in runs:
        assert "stl_flood.py" in run["trex"] and run["seconds"] > 0, run
    sys.path.insert(0, os.path.join(root, "bench"))
    sys.dont_write_bytecode = True
    import sizing  # pylint: disable=import-outside-toplevel
    assert round(sizing.packets_per_second(10, {64: 1})) == 14880952
    measured = sizing.measured(['{"machine": {}}', json.dumps(
        {"bench": "gate", "case": "drop_listed_v4_typical", "metric": "time", "unit": "ns/packet", "value": 67.2})])
    lines = {line["metric"]: line for line in sizing.table(measured)}
    assert round(lines["10G_64B"]["value"], 2) == 1.0 and round(lines["100G_64B"]["value"], 1) == 10.0, lines
    assert lines["10G_imix"]["value"] < 0.3 and round(lines["of_16_cores"]["value"], 2) == 6.25, lines
    assert lines["of_16_cores"]["ok"] is True
    print(f"{len(runs)} runs, {len(lines)} sizes")


if __name__ == "__main__":
    main()
