#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The lab's arithmetic and judgement: what it would say about runs that never were."""
import io
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
import attacks  # noqa: E402
import lab  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
from phases import Phases  # noqa: E402

MS = 1_000_000


def series(sent, passed):
    """A run from (marked, clean) pairs a bucket, starting at 1 s."""
    return measure.Series({"base_ns": 1000 * MS, "first_ns": 1000 * MS, "bucket_ns": 20 * MS,
                           "sent": sent, "passed": passed})


class FakeClients:
    """Ten requests a second between 0 and 10 s; those begun in [3 s, 4 s) fail."""

    @staticmethod
    def served(start, end):
        return {"http": sum(1 for i in range(100) if start <= i * 100 * MS < end and not 30 <= i < 40)}

    @staticmethod
    def success(start, end, _=None):
        tried = [i for i in range(100) if start <= i * 100 * MS < end]
        return sum(not 30 <= i < 40 for i in tried), len(tried)


class Counting(unittest.TestCase):
    def test_only_whole_buckets_count(self):
        run = series([[10, 0], [20, 0], [40, 0]], [[0, 0]] * 3)
        self.assertEqual(run.total(run.sent_marked), 70)
        self.assertEqual(run.total(run.sent_marked, 1001 * MS, 1060 * MS), 60)
        self.assertEqual(run.total(run.sent_marked, 1000 * MS, 1059 * MS), 30)
        self.assertEqual(run.total(run.sent_marked, 1001 * MS, 1039 * MS), 0)

    def test_live_frames_count_as_far_as_they_were_taken(self):
        run = series([[0, 5]], [[0, 5]])
        run.add_live({"first_ns": 1010 * MS, "frames": 300, "taken": 150, "buckets": [100, 200]})
        self.assertEqual((run.first_ns, run.sent_marked), (1010 * MS, [50, 100]))

    def test_ring_losses_are_no_drops_of_the_gate(self):
        result = measure.Result(attacks.BY_NAME["syn"], True)
        result.ring_lost = 50
        run = series([[0, 0]] * 100 + [[1, 0]] * 100, [[0, 0]] * 199 + [[1, 0]])
        measure.fill(result, FakeClients, run, (1000 * MS, 3000 * MS, 5000 * MS, 9000 * MS), 3000 * MS)
        self.assertAlmostEqual(result.dropped_ratio, 1 - 1 / 50)
        self.assertAlmostEqual(result.legit_ok_ratio, 0.5)
        self.assertAlmostEqual(result.served["before"], 10)
        self.assertAlmostEqual(result.served["during"], 5)


class FakeMoat(appliance.Moat):
    def __init__(self, events):
        self.events = events


def finding(ident, ms, kind, subject):
    return {"object": "finding", "state": "open", "id": ident, "mono_ns": ms * MS, "kind": kind, "subject": subject,
            "proposals": [{"collateral": 0.25}]}


def rule(ident, ms, of, change="added"):
    return {"object": "rule", "change": change, "id": ident, "mono_ns": ms * MS, "finding": of, "rule": "drop it"}


class Judging(unittest.TestCase):
    def judged(self, events, attack="syn", dropped=0.999, ok=0.999, during=300.0, off=None, gate_dropped=0):
        result = measure.Result(attacks.BY_NAME[attack], True)
        Phases._name(result, FakeMoat(events), 10_000 * MS, 18_000 * MS)
        result.dropped_ratio, result.legit_ok_ratio = dropped, ok
        result.gate_dropped = gate_dropped
        result.served = {"before": 350.0, "during": during, "after": 350.0}
        Phases._judge(result, off)
        return result

    def test_a_right_finding_with_its_rule(self):
        result = self.judged([finding(1, 10_200, "syn_flood", attacks.WEB), rule(4, 10_250, 1)])
        self.assertEqual((result.detected_ms, result.rule_ms, result.faults), (200, 250, []))
        self.assertIn("25.0 %", result.collateral)

    def test_a_wrong_name_is_no_detection(self):
        result = self.judged([finding(1, 10_200, "icmp_flood", attacks.WEB), rule(4, 10_250, 1)])
        self.assertIsNone(result.detected_ms)
        self.assertTrue(result.faults)

    def test_a_finding_about_another_host_is_false(self):
        result = self.judged([finding(1, 10_200, "syn_flood", attacks.WEB), rule(4, 10_250, 1),
                              finding(2, 10_300, "syn_flood", "203.0.113.20")])
        self.assertEqual(result.false_findings, 1)

    def test_another_finding_s_rule_does_not_count(self):
        result = self.judged([finding(1, 10_200, "syn_flood", attacks.WEB), rule(4, 10_250, 9)])
        self.assertIsNone(result.rule_ms)

    def test_goals(self):
        good = [finding(1, 10_200, "syn_flood", attacks.WEB), rule(4, 10_250, 1)]
        self.assertTrue(self.judged(good, dropped=0.9899).faults)
        self.assertTrue(self.judged(good, ok=0.9899).faults)
        self.assertTrue(self.judged(good, gate_dropped=5000).faults)
        self.assertTrue(self.judged([good[0], rule(4, 11_001, 1)]).faults)
        off = measure.Result(attacks.BY_NAME["live-syn"], False)
        off.served = {"before": 350.0, "during": 100.0, "after": 0.0}
        self.assertFalse(self.judged(good, "live-syn", dropped=0.5, ok=0.5, during=200.0, off=off).faults)
        self.assertTrue(self.judged(good, "live-syn", during=199.0, off=off).faults)

    def test_rules_that_stand(self):
        moat = FakeMoat([rule(1, 1, 1), rule(2, 2, 1), rule(1, 3, 1, "removed"), rule(2, 4, 1, "renewed")])
        self.assertEqual(moat.standing(), {2})

    def test_balance(self):
        port = {"received": 7, "reasons": {"passed": 5, "rule": 2}}
        self.assertEqual(appliance.balance({"gate": {"ports": [port]}}), [])
        self.assertTrue(appliance.balance({"gate": {"ports": [port, {"received": 8, "reasons": {"passed": 7}}]}}))
        self.assertTrue(appliance.balance({"gate": {}}))


class Showing(unittest.TestCase):
    def test_nothing_is_rounded_up_to_a_goal(self):
        self.assertEqual(report.percent(0.98999), "98.9")
        self.assertEqual(report.percent(0.99999, 2), "99.99")

    def test_bars(self):
        self.assertEqual([len(report.bar(share)) for share in (-1, 0, 0.001, 0.5, 0.999, 1, 7)], [report.BAR] * 7)
        self.assertEqual(report.bar(0.5), "█████·····")

    def test_the_picture_is_at_most_100_columns_wide_and_plain(self):
        results, contrast = [], {}
        for attack in attacks.ATTACKS:
            result = measure.Result(attack, True, 999.0, 1000.0, "drop it", "", 99_999_999)
            result.dropped_ratio, result.rate_kpps = 0.99999, 4000
            result.served = {"before": 99999.0, "during": 99999.0, "after": 99999.0}
            result.rule = ("limit 99999/s prefer-known dst 203.0.113.80 proto udp sport 53 dport 33000 len 1092-1444 "
                           'priority 2000 for 2s comment "finding 2: a flood"')
            result.collateral, result.legit_lost_ratio = "100.0 % of the host's normal packets", 1.0
            result.timeline = [(i / 2, 1.0) for i in range(200)]
            results.append(result)
            contrast[attack.name] = result
        out = io.StringIO()
        report.table(results, contrast, report.facts_line("rate 6mbit"), out)
        report.rules(results, out)
        self.assertLessEqual(max(map(len, out.getvalue().splitlines())), 100)
        self.assertNotIn("\033", out.getvalue())

    def test_wrong_calls(self):
        for argv in (["--attacks", "nonsense"], ["--seconds", "1"], ["--learn", "500"]):
            with self.assertRaises(SystemExit), open(os.devnull, "w", encoding="ascii") as null:
                saved, sys.stderr = sys.stderr, null
                try:
                    lab.parse(argv)
                finally:
                    sys.stderr = saved


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
