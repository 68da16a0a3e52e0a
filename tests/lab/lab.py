#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A lab of network namespaces in which real attacks meet the real moatd while real clients are being served.

Contrast first: each attack without moat. Then moatd starts and learns; legitimate traffic alone; then each attack
again. Everything in the closing table is counted, before the gate and behind it, by a mark on the attackers'
packets that the gate doesn't look at. Exit status: 0 if every goal was met, 1 if not, 2 for a wrong call.
"""
import argparse
import fcntl
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import report  # noqa: E402
import topology  # noqa: E402
import traffic  # noqa: E402
from appliance import Moat, balance  # noqa: E402
from attacks import ATTACKS, BY_NAME  # noqa: E402
from measure import Meter  # noqa: E402
from phases import Phases  # noqa: E402

LIMIT_SECONDS = 900  # whatever hangs, the lab ends and cleans up


class Lab(topology.Lab):
    """The topology plus where the build put its programs."""

    build = os.environ.get("MOAT_BUILD") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build")

    def tool(self, name):
        return os.path.join(os.path.abspath(self.build), "tests/lab", name)

    def program(self, name):
        return os.path.join(os.path.abspath(self.build), "ctl", name)


def parse(argv):
    parser = argparse.ArgumentParser(prog="./dev run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--attacks", metavar="A,B", help=f"only these: {', '.join(BY_NAME)}")
    parser.add_argument("--seconds", type=float, default=8, metavar="N", help="length of each attack (default 8)")
    parser.add_argument("--learn", type=int, default=20, metavar="N", help="seconds of learning (default 20)")
    parser.add_argument("--quiet-seconds", type=float, default=60, metavar="N",
                        help="legitimate traffic alone before the attacks (default 60, 0: none)")
    parser.add_argument("--quick", action="store_true", help="two attacks and short phases: a minute in all")
    parser.add_argument("--contrast-only", action="store_true", help="only the attacks without moat")
    parser.add_argument("--no-contrast", action="store_true", help="only the attacks with moat")
    parser.add_argument("--challenge", action="store_true", help="look-alike SYN floods are challenged, not limited")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    parser.add_argument("--keep", action="store_true", help="leave namespaces and programs up at the end")
    parser.add_argument("--down", metavar="RUN", help="tear down what --keep left up ('all': every such run)")
    options = parser.parse_args(argv)
    if options.quick:
        options.seconds, options.quiet_seconds, options.learn = 5, 24, 15
        options.attacks = options.attacks or "syn,live-syn"
    names = options.attacks.split(",") if options.attacks else list(BY_NAME)
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        parser.error(f"no attack named {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    if not 2 <= options.seconds <= 30 or not 5 <= options.learn <= 120 or not 0 <= options.quiet_seconds <= 70:
        parser.error("--seconds takes 2 to 30, --learn 5 to 120, --quiet-seconds 0 to 70")
    options.chosen = [attack for attack in ATTACKS if attack.name in names]
    return options


def down(name):
    """--down: ends runs that were left up."""
    wanted = [(run, state) for run, state in topology.runs() if name in ("all", run) and (state["keep"] or name == run)]
    for run, state in wanted:
        topology.tear_down(run, state)
        print(f"run {run} is down")
    if not wanted:
        print(f"no run {name} is up", file=sys.stderr)
    return 0 if wanted else 2


def tell_how_to_enter(lab, moat):
    socket = f" --socket {moat.socket}" if moat else ""
    print("\nleft up:", *(f"  nsenter --net=/run/netns/{lab.ns(role)} bash" for role in topology.ROLES), sep="\n",
          file=sys.stderr)
    if moat:
        print(f"  {lab.program('moat')}{socket} status", file=sys.stderr)
    print(f"tear it down: {sys.executable} {os.path.abspath(__file__)} --down {lab.id}", file=sys.stderr)


def run_with_moat(phases, options, contrast):
    """Learning, legitimate traffic, attacks; returns (moat, quiet outcome or None, results, faults)."""
    lab, progress = phases.lab, phases.progress
    phases.meter.gate_stand_in(False)
    if options.challenge:
        phases.meter.receive_answers()
    moat = Moat(lab, options.learn, options.challenge)
    clients = traffic.Clients(lab)
    phases.learn(clients, moat, options.learn)
    quiet = phases.quiet(clients, moat, options.quiet_seconds) if options.quiet_seconds else None
    results = [phases.attack(attack, clients, moat, contrast.get(attack.name)) for attack in options.chosen]
    faults = list(quiet["faults"]) if quiet else []
    if not options.keep:
        clients.stop()
    faults += balance(moat.ask("status"))
    progress.tick("")
    return moat, quiet, results, faults


def say_verdict(quiet, results, contrast, faults, out):
    if quiet:
        out.write(f"\nlegitimate traffic alone, {quiet['seconds']:.0f} s with 10x clients, a bulk flow and a DNS burst: "
                  f"{quiet['findings']} findings,\n{quiet['lost']} of {quiet['packets']:,} packets lost, "
                  f"{report.percent(quiet['ok_ratio'])} % of requests served\n")
    faults = faults + [f"{result.attack.title}: {fault}" for result in [*contrast.values(), *results]
                       for fault in result.faults]
    for fault in faults:
        out.write(f"FAULT  {fault}\n")
    out.write(f"\n{len(faults)} faults\n" if faults else "\nevery goal met\n")
    return 1 if faults else 0


def run(options, lab):
    progress = report.Progress()
    progress.tick("setting up")
    lab.up()
    meter = Meter(lab)
    meter.gate_stand_in(True)
    traffic.start_servers(lab)
    progress.step(f"set up        run {lab.id}: {', '.join(topology.ROLES)}; servers answer")
    phases = Phases(lab, meter, progress, options.seconds)
    contrast, moat, quiet, results, faults = {}, None, None, [], []
    if not options.no_contrast:
        phases.seconds = min(4, options.seconds)
        contrast = {attack.name: phases.contrast(attack) for attack in options.chosen if attack.contrast}
        phases.seconds = options.seconds
    if not options.contrast_only:
        moat, quiet, results, faults = run_with_moat(phases, options, contrast)
    out = sys.stdout
    if options.json:
        report.json_lines(results or list(contrast.values()), contrast, quiet)
        out = sys.stderr
    elif results:
        report.table(results, contrast, report.facts_line(topology.BOTTLENECK))
        report.rules(results)
    status = say_verdict(quiet, results, contrast, faults, out)
    if options.keep:
        tell_how_to_enter(lab, moat)
    elif moat:
        moat.stop()
    return status


def take_turn():
    """Waits until no other lab measures on this machine; the kernel gives the turn back however a run ends."""
    os.makedirs(topology.RUN_ROOT, exist_ok=True)
    turn = os.open(f"{topology.RUN_ROOT}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another lab is running here: waiting for its end", file=sys.stderr)
        fcntl.flock(turn, fcntl.LOCK_EX)
    return turn


def stop_on(number, _):
    raise SystemExit(128 + number)


def main(argv):
    options = parse(argv)
    if os.geteuid() != 0:
        print("lab: needs root, for network namespaces and BPF", file=sys.stderr)
        return 1
    if options.down:
        return down(options.down)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop_on)
    turn = None if options.contrast_only else take_turn()
    signal.alarm(LIMIT_SECONDS)
    swept = topology.sweep()
    if swept:
        print(f"removed what {swept} earlier run(s) left", file=sys.stderr)
    lab = Lab(options.keep)
    left_up = False
    try:
        status = run(options, lab)
        left_up = options.keep
        return status
    except (RuntimeError, OSError) as error:
        print(f"\nlab: {error}", file=sys.stderr)
        return 1
    finally:
        if not left_up:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
            lab.down()
        if turn is not None:
            os.close(turn)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
