#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What ./dev relies on: the counting of test results, and the benches' report."""

import json
import os
import subprocess
import sys
import unittest

ROOT = sys.argv[1]
sys.path.insert(0, os.path.join(ROOT, 'tests/harness'))
import run_tests  # noqa: E402

RESULT = {'bench': 'gate', 'case': 'ref_bare', 'metric': 'time', 'unit': 'ns', 'value': 31.2,
          'min': 30.9, 'max': 33, 'runs': 7, 'baseline': None, 'ratio': None, 'goal': None,
          'ok': True}
FACTS = {'machine': {'cpu': 'x', 'cores': 2}}


def report(form, *lines):
    done = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'bench/report.py'), form], text=True,
        input=''.join(line if isinstance(line, str) else json.dumps(line) + '\n'
                      for line in lines),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr


class Judge(unittest.TestCase):
    """(passed, failed, reasons of skips) of one test."""

    def test_pass(self):
        self.assertEqual(run_tests.judge('OK', 'fine\n'), (1, 0, []))

    def test_pass_with_skipped_case(self):
        self.assertEqual(run_tests.judge('OK', 'a\nSKIP: no hugepages\nb\nSKIP: no BTF\n'),
                         (1, 0, ['no hugepages', 'no BTF']))

    def test_skip(self):
        self.assertEqual(run_tests.judge('SKIP', 'SKIP: no fentry\n'), (0, 0, ['no fentry']))

    def test_skip_without_reason_fails(self):
        for output in ('', 'SKIP:\n', 'SKIP: \n', 'skipped\n'):
            self.assertEqual(run_tests.judge('SKIP', output), (0, 1, []), output)

    def test_failures(self):
        for result in ('FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT', 'UNEXPECTEDPASS', 'never ran'):
            self.assertEqual(run_tests.judge(result, 'SKIP: x\n'), (0, 1, []), result)


class Select(unittest.TestCase):
    FOUND = {'unit': ['gate', 'flow'], 'progrun': ['gate'], 'netns': [], 'fuzz': [], 'check': []}

    def chosen(self, *wanted):
        return {s: n for s, n in run_tests.selected(self.FOUND, wanted).items() if n}

    def test_names(self):
        self.assertEqual(self.chosen('gate'), {'unit': ['gate'], 'progrun': ['gate']})
        self.assertEqual(self.chosen('unit'), {'unit': ['gate', 'flow']})
        self.assertEqual(self.chosen('progrun/gate'), {'progrun': ['gate']})
        self.assertEqual(self.chosen('unit', 'flow'), {'unit': ['gate', 'flow']})

    def test_unknown(self):
        with self.assertRaises(SystemExit):
            self.chosen('gat')

    def test_suites_meant(self):
        self.assertEqual(run_tests.suites_meant(['check']), ('check',))
        self.assertEqual(run_tests.suites_meant(['check/lengths', 'netns']), ('check', 'netns'))
        self.assertEqual(run_tests.suites_meant(['check', 'gate']), run_tests.SUITES)
        self.assertEqual(run_tests.suites_meant([]), run_tests.SUITES)


class Report(unittest.TestCase):
    def test_json_passes_on_and_says_facts_once(self):
        status, out, _ = report('--json', FACTS, RESULT, FACTS, RESULT)
        self.assertEqual(status, 0)
        self.assertEqual([json.loads(line) for line in out.splitlines()], [FACTS, RESULT, RESULT])

    def test_table(self):
        status, out, _ = report('--table', FACTS, RESULT)
        self.assertEqual(status, 0)
        self.assertIn('ref_bare', out)
        self.assertIn('31.2', out)

    def test_goal_missed(self):
        self.assertEqual(report('--table', {**RESULT, 'ok': False})[0], 1)

    def test_no_goal(self):
        self.assertEqual(report('--json', {**RESULT, 'ok': None})[0], 0)

    def test_bad_lines(self):
        self.assertEqual(report('--json', 'progress 1 of 7\n')[0], 1)
        self.assertEqual(report('--json', '[1]\n')[0], 1)
        incomplete = {k: v for k, v in RESULT.items() if k != 'runs'}
        self.assertEqual(report('--json', incomplete)[0], 1)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
