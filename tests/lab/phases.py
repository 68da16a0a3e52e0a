# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The phases of a run: contrast without moat, learning, legitimate traffic alone, and each attack."""
import time

import attacks
import traffic
from appliance import dropped_by_gate
from measure import Result, fill, now, rate
from report import bar

SECOND = 1_000_000_000
LIFT_SECONDS = 15  # for a rule to go once its attack has ended


class Phases:
    """What all phases share: the lab, its meter, its progress line."""

    def __init__(self, lab, meter, progress, seconds):
        self.lab, self.meter, self.progress, self.seconds = lab, meter, progress, seconds
        self.most = 0.0  # requests a second, the live bar's full length

    def watch(self, title, clients, seconds, running=None, moat=None):
        """Waits, with a live line; ends early with the attack."""
        end = now() + int(seconds * SECOND)
        while (left := end - now()) > 0:
            clients.check()
            served = rate(clients, now() - SECOND, now())
            self.most = max(self.most, served)
            text = f"{title:40}  {bar(served / self.most if self.most else 0)} {served:4.0f} requests/s"
            if moat:
                moat.check()
                moat.refresh()
                text += f"  rules {len(moat.standing())}"
            self.progress.tick(f"{text}  {left / SECOND:.0f} s left")
            if running and running.ended():
                break
            time.sleep(min(0.25, left / SECOND))

    def _attack(self, attack, clients, title, before, after, moat=None):
        """Runs one attack; returns (result, series, (begin, first, last, end))."""
        self.meter.base()
        begin, ring = now(), traffic.ring_drops(self.lab)
        self.watch(f"{title}: before", clients, before, moat=moat)
        running = attacks.Running(self.lab, attack, self.meter, self.seconds)
        self.watch(f"{title}: attack", clients, self.seconds, running, moat)
        account = running.stop()
        last = account["end_ns"] if account else now()
        ring = traffic.ring_drops(self.lab) - ring
        self.watch(f"{title}: after", clients, after, moat=moat)
        if moat:
            self._wait_for_lift(title, clients, moat)
        series = self.meter.read()
        if account:
            series.add_live(account)
        if not series.first_ns:
            raise RuntimeError(f"{attack.title}: not one packet came: {self.lab.log_tail('attack')}")
        result = Result(attack, bool(moat))
        result.ring_lost = 0 if attack.live else ring
        return result, series, (begin, series.first_ns, last, last + int(after * SECOND))

    def _wait_for_lift(self, title, clients, moat):
        deadline = now() + LIFT_SECONDS * SECOND
        while moat.standing() and now() < deadline:
            self.watch(f"{title}: until its rules go", clients, 0.5, moat=moat)

    # ---- without moat ----------------------------------------------------------------------------------

    def contrast(self, attack):
        """The attack with moat off. A machine busy with other things makes gaps in a flood: then once more."""
        result = self._contrast(attack)
        return self._contrast(attack) if result.faults else result

    def _contrast(self, attack):
        """Fresh clients each time: those of the last attack still wait for lost packets."""
        clients = traffic.Clients(self.lab)
        try:
            self.watch(f"without moat, {attack.title}: clients come", clients, 1.2)
            result, series, window = self._attack(attack, clients, f"without moat, {attack.title}", 2, 1.5)
            fill(result, clients, series, window, min(window[1] + SECOND, window[2]))
        finally:
            clients.stop()
        share = result.served["during"] / result.served["before"] if result.served["before"] else 0
        if share > 0.5:
            result.faults.append(f"without moat clients still get {share:.0%} of their requests served")
        self.progress.step(f"without moat  {attack.title:28} {result.rate_kpps:5.0f} kpps   "
                           f"{result.served['before']:4.0f} → {result.served['during']:4.0f} requests/s ({share:.0%})")
        return result

    # ---- with moat -------------------------------------------------------------------------------------

    def learn(self, clients, moat, seconds):
        """Legitimate traffic until moatd says that it has learned."""
        began, deadline = now(), now() + (seconds + 15) * SECOND
        self.watch("learning", clients, seconds, moat=moat)
        while moat.learning():
            if now() > deadline:
                raise RuntimeError(f"moatd still learns after {seconds + 15} s")
            self.watch("learning", clients, 1, moat=moat)
        self.progress.step(f"learning      {(now() - began) / SECOND:.0f} s of legitimate traffic")

    def quiet(self, clients, moat, seconds):
        """Legitimate traffic alone, with steps that learning hasn't seen; returns what it came to."""
        self.meter.base()
        begin, ring = now(), traffic.ring_drops(self.lab)
        gap, faults = seconds / (len(traffic.STEPS) + 1), []
        for make in traffic.STEPS:
            self.watch("legitimate traffic alone", clients, max(1, gap - 6), moat=moat)
            step = make(self.lab)
            self.watch(f"legitimate step: {step.title}", clients, min(6, gap), moat=moat)
            verdict = step.finish()
            self.progress.step(f"legitimate    {step.title:28} {verdict['text']}")
            if not verdict["ok"]:
                faults.append(f"{step.title}: {verdict['text']}")
        self.watch("legitimate traffic alone", clients, max(1, begin / SECOND + seconds - now() / SECOND), moat=moat)
        moat.refresh()
        series, end = self.meter.read(), now()
        # Packets between the two counters at the moment of reading are not lost.
        settled = end - 100_000_000
        lost = series.total(series.sent_clean, end=settled) - series.total(series.passed_clean, end=settled)
        good, tried = clients.success(begin, end - 2 * SECOND)
        found = moat.findings(begin)
        outcome = {"findings": len(found), "rules": len(moat.rules(("added",), begin)), "ok_ratio": good / tried,
                   "lost": max(0, lost - (traffic.ring_drops(self.lab) - ring)), "packets": series.total(series.sent_clean),
                   "seconds": (end - begin) / SECOND, "faults": faults}
        faults += [f"a finding in legitimate traffic: {event.get('sentence') or event['kind']}" for event in found]
        if outcome["rules"]:
            faults.append(f"{outcome['rules']} rules against legitimate traffic")
        if outcome["lost"] > 2:
            faults.append(f"{outcome['lost']} of {outcome['packets']} legitimate packets lost between the counters")
        if outcome["ok_ratio"] < 0.99:
            faults.append(f"only {outcome['ok_ratio']:.1%} of legitimate requests succeeded without an attack")
        return outcome

    def attack(self, attack, clients, moat, off):
        dropped = dropped_by_gate(moat.ask("status"))
        result, series, window = self._attack(attack, clients, attack.title, 2.5, 3, moat)
        result.gate_dropped = dropped_by_gate(moat.ask("status")) - dropped
        begin, first, last, end = window
        moat.refresh()
        self._name(result, moat, first, last)
        stood = first + int(result.rule_ms * 1e6) if result.rule_ms is not None else first
        fill(result, clients, series, window, min(stood, last))
        self._judge(result, off)
        self.progress.step(
            f"with moat     {attack.title:28} {result.rate_kpps:5.0f} kpps   "
            f"{result.served['before']:4.0f} → {result.served['during']:4.0f} requests/s, "
            + ("no rule" if result.rule_ms is None else f"rule after {result.rule_ms:.0f} ms")
            + "".join(f"\n              {fault}" for fault in result.faults))
        return result

    @staticmethod
    def _name(result, moat, first, last):
        """Fills in what moat made of it. A finding is false if it names somebody else."""
        found = moat.findings(first - 3 * SECOND, last + 3 * SECOND)
        right = [event for event in found if event["subject"] in result.attack.subjects and event["mono_ns"] >= first]
        result.false_findings = len(found) - len(right)
        result.findings = [f"{event['kind']} {event['subject']}" for event in found]
        named = [event for event in right if event["kind"] in result.attack.kinds]
        if named:
            result.detected_ms = (min(event["mono_ns"] for event in named) - first) / 1e6
        ids = {event["id"] for event in right}
        rules = [event for event in moat.rules(("added",), first, last + SECOND) if event.get("finding") in ids]
        if rules:
            result.rule_ms = (rules[0]["mono_ns"] - first) / 1e6
            result.rule = rules[-1]["rule"]
        proposals = [proposal for event in moat.events if event.get("object") == "finding" and event["id"] in ids
                     for proposal in event.get("proposals", [])[:1]]
        if proposals and proposals[-1].get("collateral") is not None:
            result.collateral = f"{100 * proposals[-1]['collateral']:.1f} % of the host's normal packets"

    @staticmethod
    def _judge(result, off):
        faults = result.faults
        if result.detected_ms is None:
            faults.append(f"not detected as {' or '.join(result.attack.kinds)}; findings: {result.findings or 'none'}")
        if result.rule_ms is None:
            faults.append("no rule")
        elif result.rule_ms > 1000:
            faults.append(f"the rule took {result.rule_ms:.0f} ms, more than 1,000")
        if result.false_findings:
            faults.append(f"{result.false_findings} false findings: {result.findings}")
        ours = result.sent - result.passed - result.ring_lost + result.lost
        if abs(ours - result.gate_dropped) > 100 + 0.005 * result.sent:
            faults.append(f"the gate says that it dropped {result.gate_dropped:,}, the lab counted {ours:,}")
        if result.attack.live:
            if off and result.served["during"] < 2 * off.served["during"]:
                faults.append(f"goodput {result.served['during']:.0f}/s is less than twice the {off.served['during']:.0f}/s "
                              "without moat")
            return
        if (result.dropped_ratio or 0) < 0.99:
            faults.append(f"dropped {100 * (result.dropped_ratio or 0):.2f} %, less than 99")
        if (result.legit_ok_ratio or 0) < 0.99:
            faults.append(f"only {100 * (result.legit_ok_ratio or 0):.1f} % of legitimate requests succeeded")
