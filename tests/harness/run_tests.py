#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the suites with meson and says what failed, what was skipped and why.

usage: run_tests.py ROOT [NAME...]

NAME is a test, a suite, or SUITE/TEST. The suites unit and fuzz come from the build with sanitizers,
all others from the plain one. Everything is built already. The last line is
"N passed, N failed, N skipped", counted from meson's own log: one per executable, and one skip for
each "SKIP: reason" a test that ran prints about one of its cases. A test that skips without a
reason has failed.
"""

import json
import os
import re
import subprocess
import sys
import time

MESON = '/usr/bin/meson'
SUITES = ('unit', 'progrun', 'netns', 'vm', 'fuzz', 'web', 'check')
SANITIZED = ('unit', 'fuzz')
SKIP_LINE = re.compile(r'^\W*SKIP: *(\S.*)$', re.MULTILINE)
# Of a failure's output: a sanitizer says the most important first, others last.
HEAD_LINES, TAIL_LINES = 30, 40


def build_dir(root, suite):
    return os.path.join(root, 'build/asan' if suite in SANITIZED else 'build')


def suites_meant(wanted):
    """The suites that can hold the wanted names: all, unless each name begins with its suite."""
    named = [want.split('/')[0] for want in wanted]
    return tuple(named) if named and all(name in SUITES for name in named) else SUITES


def registered(root, suites):
    """The tests of those suites as {suite: [name]}, in the order of the ladder. Only the builds that
    hold them are asked: linting needs none with sanitizers."""
    found = {suite: [] for suite in SUITES}
    for directory in {build_dir(root, suite) for suite in suites}:
        out = subprocess.run([MESON, 'introspect', '--tests', directory], check=True,
                             stdout=subprocess.PIPE).stdout
        for test in json.loads(out):
            # meson writes the suite as "project:suite".
            suite = test['suite'][0].split(':')[-1]
            if suite not in found:
                sys.exit(f'test {test["name"]}: unknown suite {suite}')
            if build_dir(root, suite) == directory:
                found[suite].append(test['name'])
    return found


def selected(found, wanted):
    """Narrows down to the wanted names; exits if one of them names nothing."""
    if not wanted:
        return found
    chosen = {suite: [] for suite in SUITES}
    for want in wanted:
        hit = False
        for suite, names in found.items():
            for name in names:
                if want in (name, suite, f'{suite}/{name}'):
                    hit = True
                    if name not in chosen[suite]:
                        chosen[suite].append(name)
        # An empty suite is nothing to run, not a wrong name.
        if not hit and want not in SUITES:
            sys.exit(f'no test or suite named {want}')
    return chosen


def run_suite(root, suite, names):
    """Runs one suite and returns {name: (result, output)}; a test meson lost is missing in it."""
    directory = build_dir(root, suite)
    log = os.path.join(directory, 'meson-logs', f'testlog-{suite}.json')
    if os.path.exists(log):
        os.unlink(log)
    command = [MESON, 'test', '-C', directory, '--no-rebuild', '--logbase', f'testlog-{suite}',
               # Other work shares the machine; a hang is still found.
               '--timeout-multiplier', '3', '--suite', suite, *names]
    if os.geteuid() != 0 and suite in ('progrun', 'netns', 'vm'):
        command = ['sudo', '--preserve-env=MOAT_SHARED,MOAT_TEST_PACKETS,MOAT_TEST_PREFIXES,MOAT_TEST_FLIPS,PATH', *command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace')
    results = {}
    if os.path.exists(log):
        with open(log, encoding='utf-8', errors='replace') as lines:
            for line in lines:
                entry = json.loads(line)
                # "project:suite / name" or just the name, by the number of suites.
                name = entry['name'].split(' / ')[-1]
                output = (entry.get('stdout') or '') + (entry.get('stderr') or '')
                results[name] = (entry['result'], output)
    if not results:
        print(done.stdout, end='')
    return results


def indent(text):
    lines = text.rstrip().splitlines()
    left_out = len(lines) - HEAD_LINES - TAIL_LINES
    if left_out > 0:
        lines = [*lines[:HEAD_LINES], f'... {left_out} lines ...', *lines[-TAIL_LINES:]]
    return ''.join(f'    {line}\n' for line in lines)


def judge(result, output):
    """One test's outcome: (passed, failed, reasons of what was skipped)."""
    reasons = SKIP_LINE.findall(output)
    if result in ('OK', 'EXPECTEDFAIL'):
        return 1, 0, reasons
    if result == 'SKIP' and reasons:
        return 0, 0, reasons[-1:]
    return 0, 1, []


def main():
    root, wanted = sys.argv[1], sys.argv[2:]
    passed = failed = 0
    skips = []
    for suite, names in selected(registered(root, suites_meant(wanted)), wanted).items():
        if not names:
            continue
        start = time.monotonic()
        results = run_suite(root, suite, names)
        bad = 0
        for name in names:
            result, output = results.get(name, ('never ran', ''))
            ok, wrong, reasons = judge(result, output)
            passed += ok
            bad += wrong
            skips += [f'{suite}/{name}: {reason}' for reason in reasons]
            if wrong:
                why = 'skipped without a reason' if result == 'SKIP' else result
                print(f'FAILED {suite}/{name} ({why})\n{indent(output)}', end='', flush=True)
        failed += bad
        print(f'{suite:<10} {"FAILED" if bad else "ok":<12} {time.monotonic() - start:8.1f} s',
              file=sys.stderr, flush=True)
    for skip in skips:
        print(f'skipped {skip}')
    print(f'{passed} passed, {failed} failed, {len(skips)} skipped')
    return 1 if failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
