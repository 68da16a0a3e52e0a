#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Seeded faults against the differential test: how many does it catch?

usage: run.py --check ROOT           does every edit still apply? (in the normal tests)
       run.py ROOT [NAME...]         all of them, or those named

Each fault is applied to a copy of the sources, the differential test is built from it and run, up to
its first disagreement. A fault that doesn't build or whose gate the kernel refuses says nothing about the
test: it counts as not caught, until the list is mended. At least 95 % have to be caught, of at
least 50.
"""

import glob
import os
import shutil
import subprocess
import sys
import time

TARGET = 'tests/oracle/oracle-differential'
SHARDS = ('0', '1', '2')
PACKETS = '60000'
LEAST = 50
SHARE = 0.95


class Fault:
    def __init__(self, name, path, place):
        self.name, self.path, self.place = name, path, place
        self.old, self.new = [], []

    def applied_to(self, text):
        """The text with the fault in it; ValueError if it isn't there exactly once."""
        old, new = '\n'.join(self.old), '\n'.join(self.new)
        if not old.strip() or old == new:
            raise ValueError(f'{self.place}: {self.name} changes nothing')
        found = text.count(old)
        if found != 1:
            raise ValueError(f'{self.place}: {self.name} no longer applies: its text stands '
                             f'{found} times in {self.path}')
        return text.replace(old, new)


def read_faults(root):
    faults = []
    for path in sorted(glob.glob(os.path.join(root, 'tests/oracle/mutations/*.txt'))):
        with open(path, encoding='utf-8') as lines:
            for number, line in enumerate(lines, 1):
                mark, text = line.rstrip('\n')[:1], line[2:].rstrip('\n')
                if mark == '=':
                    name, file = text.split()
                    faults.append(Fault(name, file, f'{os.path.relpath(path, root)}:{number}'))
                elif mark == '-':
                    faults[-1].old.append(text)
                elif mark == '+':
                    faults[-1].new.append(text)
                elif line.strip() and not line.startswith('#'):
                    sys.exit(f'{path}:{number}: neither =, -, + nor a comment')
    return faults


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as file:
        return file.read()


def check(root, faults):
    wrong = []
    for fault in faults:
        try:
            fault.applied_to(read(root, fault.path))
        except (ValueError, OSError) as error:
            wrong.append(str(error))
    if len({fault.name for fault in faults}) != len(faults):
        wrong.append('two faults have the same name')
    if len(faults) < LEAST:
        wrong.append(f'{len(faults)} faults, but at least {LEAST} are wanted')
    print(*wrong, sep='\n', end='\n' if wrong else '')
    print(f'{len(faults)} faults, {len(wrong)} findings')
    return 1 if wrong else 0


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace', check=False,
                          **options)


def copy_sources(root):
    """A copy of the sources with a build of its own, kept between runs."""
    copy = os.path.join(root, 'build/mutations')
    files = subprocess.run(['git', '-C', root, 'ls-files', '-z', '--cached', '--others',
                            '--exclude-standard'], check=True,
                           stdout=subprocess.PIPE).stdout.decode().split('\0')
    for path in filter(None, files):
        source, target = os.path.join(root, path), os.path.join(copy, path)
        if not os.path.isfile(source):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target) or read_bytes(target) != read_bytes(source):
            shutil.copy(source, target)
    if not os.path.exists(os.path.join(copy, 'build/build.ninja')):
        done = run(['/usr/bin/meson', 'setup', os.path.join(copy, 'build'), copy])
        if done.returncode != 0:
            sys.exit(done.stdout)
    return copy


def read_bytes(path):
    with open(path, 'rb') as file:
        return file.read()


def build(copy):
    return run(['ninja', '-C', os.path.join(copy, 'build'), TARGET])


def judge(copy):
    """'caught', 'missed', or why the faulty gate couldn't be asked."""
    environment = dict(os.environ, MOAT_TEST_PACKETS=PACKETS)
    for shard in SHARDS:
        try:
            done = run([os.path.join(copy, 'build', TARGET), shard], env=environment, timeout=120)
        except subprocess.TimeoutExpired:
            return 'caught'
        if done.returncode == 77:
            sys.exit(done.stdout)
        if 'CU_ASSERT' in done.stdout or done.returncode < 0:
            return 'caught'
        if done.returncode != 0:
            return 'refused: ' + done.stdout.replace('\n', ' ')[-300:]
    return 'missed'


def try_fault(copy, fault):
    path = os.path.join(copy, fault.path)
    text = read(copy, fault.path)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(fault.applied_to(text))
    try:
        done = build(copy)
        if done.returncode != 0:
            errors = [line for line in done.stdout.splitlines() if 'error' in line]
            return 'does not build: ' + (errors or ['?'])[0][:200]
        return judge(copy)
    finally:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)


def run_all(root, faults):
    copy = copy_sources(root)
    done = build(copy)
    if done.returncode != 0:
        sys.exit(done.stdout)
    if judge(copy) != 'missed':
        sys.exit('the differential test fails without any fault')
    caught, start = 0, time.monotonic()
    for fault in faults:
        result = try_fault(copy, fault)
        caught += result == 'caught'
        print(f'{fault.name:<32} {result}', flush=True)
    print(f'{caught} of {len(faults)} faults caught ({100 * caught / len(faults):.1f} %) in '
          f'{time.monotonic() - start:.0f} s')
    return 0 if caught >= SHARE * len(faults) else 1


def main():
    arguments = [a for a in sys.argv[1:] if a != '--check']
    root, names = arguments[0], arguments[1:]
    faults = read_faults(root)
    unknown = set(names) - {fault.name for fault in faults}
    if unknown:
        sys.exit(f'no fault named {", ".join(sorted(unknown))}')
    if '--check' in sys.argv:
        return check(root, faults)
    return run_all(root, [fault for fault in faults if not names or fault.name in names])


if __name__ == '__main__':
    sys.exit(main())
