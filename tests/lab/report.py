# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Progress while the lab runs, and at the end the table, or JSON lines in the benches' shape."""
import json
import os
import platform
import re
import shutil
import sys

BAR = 10
EIGHTHS = " ▏▎▍▌▋▊▉█"
SPARKS = "▁▂▃▄▅▆▇█"


class Progress:
    """One line kept up to date on a terminal; elsewhere a plain line for each step. All on stderr."""

    def __init__(self):
        self.live = sys.stderr.isatty()
        self.width = min(100, shutil.get_terminal_size((100, 24)).columns)

    def tick(self, text):
        if self.live:
            sys.stderr.write(f"\r\033[K{text[:self.width - 1]}")
            sys.stderr.flush()

    def step(self, text):
        sys.stderr.write(f"\r\033[K{text}\n" if self.live else f"{text}\n")
        sys.stderr.flush()


class Paint:
    """Colours on a terminal, nothing else."""

    def __init__(self, stream):
        self.on = stream.isatty() and os.environ.get("NO_COLOR") is None

    def __call__(self, text, colour):
        codes = {"good": "32", "bad": "31", "dim": "2", "bold": "1"}
        return f"\033[{codes[colour]}m{text}\033[0m" if self.on else text


def bar(share, width=BAR):
    """share of 1 as a bar of eighths."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[part] if part else "")).ljust(width, "·")


def spark(values, top):
    """A curve in one line of text."""
    return "".join(SPARKS[min(7, int(7.5 * value / top))] if top else SPARKS[0] for value in values)


def count(number):
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}" if number < 10 * limit else f"{number / limit:.0f} {unit}"
    return f"{number:.0f}"


def milliseconds(value):
    return "never" if value is None else f"{value:,.0f}"


def percent(value, digits=1):
    """Rounded down: 99.99 % is not 100 %."""
    if value is None:
        return "–"
    scale = 10 ** digits
    return f"{int(value * 100 * scale) / scale:.{digits}f}"


def share(result):
    """Served during the attack, as a share of before."""
    return result.served["during"] / result.served["before"] if result and result.served.get("before") else None


def table(results, contrast, facts, out=sys.stdout):
    """The picture of a run, at most 100 columns wide."""
    paint = Paint(out)
    lines = ["", paint(f"moat lab: {facts}", "bold"), "",
             paint(f"{'':27}{'':6}{'finding':>9}{'rule':>8}{'packets':>9}{'dropped':>9}  clients by half-second",
                   "dim"),
             paint(f"{'attack':27}{'kpps':>6}{'ms':>9}{'ms':>8}{'sent':>9}{'%':>9}  before, during and after", "dim")]
    for result in results:
        colour = "bad" if result.faults else "good"
        lines.append(f"{result.attack.title:27}{result.rate_kpps:>6.0f}{milliseconds(result.detected_ms):>9}"
                     f"{milliseconds(result.rule_ms):>8}{count(result.sent):>9}"
                     + paint(f"{percent(result.dropped_ratio, 2):>9}", colour) + f"  {curve(result)}")
    lines += ["", paint(f"{'clients: requests/s':27}{'before':>7}{'during':>8}{'after':>7}{'ok %':>7}{'new %':>7}"
                        f"   {'without moat':18}{'with moat'}", "dim")]
    for result in results:
        off, on = share(contrast.get(result.attack.name)), share(result)
        served = result.served or {"before": 0, "during": 0, "after": 0}
        colour = "bad" if result.faults else "good"
        lines.append(f"{result.attack.title:27}{served['before']:>7.0f}{served['during']:>8.0f}{served['after']:>7.0f}"
                     f"{percent(result.legit_ok_ratio):>7}{percent(result.new_ok_ratio):>7}   "
                     + (f"{paint(bar(off), 'bad')}{percent(off, 0):>4} %" if off is not None else f"{'–':>14}  ") + "  "
                     + (f"{paint(bar(on), colour)}{percent(on, 0):>4} %" if on is not None else ""))
    out.write("\n".join(lines) + "\n")


def curve(result, cells=27):
    """Requests served over the run; a full cell is what clients got before the attack."""
    return spark([value for _, value in result.timeline][:cells], result.served.get("before"))


def rules(results, out=sys.stdout):
    """The rules in full, with what they were expected to cost legitimate traffic and what they did cost."""
    out.write("\n")
    for result in results:
        if result.rule:
            rule = re.sub(r" (priority|for|comment) .*", "", result.rule)
            out.write(f"{result.attack.name:10} {rule}\n")
            if result.collateral and (result.attack.live or result.legit_lost_ratio):
                out.write(f"{'':10} collateral: expected {result.collateral}, measured {percent(result.legit_lost_ratio)} %\n")


def facts_line(bottleneck):
    return (f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, "
            f"server link {bottleneck.split()[1]}, attackers on one core")


# ---- JSON ------------------------------------------------------------------------------------------------------


def _line(case, metric, unit, value, goal=None, ok=None, baseline=None):
    ratio = value / baseline if baseline and value is not None else None
    return {"bench": "lab", "case": case, "metric": metric, "unit": unit, "value": value, "min": value, "max": value,
            "runs": 1, "baseline": baseline, "ratio": ratio, "goal": goal, "ok": ok}


def _rounded(value, digits=4):
    return None if value is None else round(value, digits)


def json_lines(results, contrast, quiet, out=sys.stdout):
    cpu = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), cpu)
    lines = [{"machine": {"cpu": cpu, "cores": os.cpu_count(), "arch": platform.machine(), "kernel": platform.release()}}]
    for result in results:
        name, live = result.attack.name, bool(result.attack.live)
        off = contrast.get(name)
        if not result.moat:
            continue
        during, off_during = result.served.get("during", 0.0), off.served["during"] if off else None
        lines += [
            _line(name, "detected_ms", "ms", _rounded(result.detected_ms, 1), 1000,
                  result.detected_ms is not None and result.detected_ms <= 1000),
            _line(name, "rule_ms", "ms", _rounded(result.rule_ms, 1), 1000,
                  result.rule_ms is not None and result.rule_ms <= 1000),
            _line(name, "dropped_ratio", "share", _rounded(result.dropped_ratio, 6), None if live else 0.99,
                  None if live else (result.dropped_ratio or 0) >= 0.99),
            _line(name, "legit_ok_ratio", "share", _rounded(result.legit_ok_ratio), None if live else 0.99,
                  None if live else (result.legit_ok_ratio or 0) >= 0.99,
                  _rounded(off.legit_ok_ratio) if off else None),
            _line(name, "false_findings", "findings", result.false_findings, 0, result.false_findings == 0),
            _line(name, "goodput", "requests/s", _rounded(during, 1), _rounded(2 * off_during, 1) if live and off else None,
                  during >= 2 * off_during if live and off else None, _rounded(off_during, 1)),
            _line(name, "newcomers_ok_ratio", "share", _rounded(result.new_ok_ratio)),
            _line(name, "legit_lost_ratio", "share", _rounded(result.legit_lost_ratio, 6)),
            _line(name, "sent", "packets", result.sent), _line(name, "rate", "kpps", _rounded(result.rate_kpps, 1)),
        ]
    for name, off in contrast.items():
        lines.append(_line(name, "goodput_without_moat", "share of before", _rounded(share(off)), 0.5,
                           share(off) is not None and share(off) <= 0.5))
    if quiet:
        lines += [_line("legitimate", "false_findings", "findings", quiet["findings"], 0, quiet["findings"] == 0),
                  _line("legitimate", "lost_packets", "packets", quiet["lost"], 0, quiet["lost"] == 0),
                  _line("legitimate", "legit_ok_ratio", "share", _rounded(quiet["ok_ratio"]), 0.99,
                        quiet["ok_ratio"] is not None and quiet["ok_ratio"] >= 0.99)]
    for line in lines:
        out.write(json.dumps(line) + "\n")
