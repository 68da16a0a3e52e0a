#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The gate's counters are per CPU, and only limits share words, by atomics.

usage: atomics.py ROOT OBJECT OBJDUMP

Goes through OBJECT's listing, which needs line numbers. Atomics may come of limits alone: each of
them is made once a lot (moat/limit.h). A word that is read, changed and written back without one loses
counts if CPUs share it, so its source line has to name memory that is this CPU's, or the packet's.
"""

import os
import re
import subprocess
import sys

# Sources of atomics: the shared words of limits, each touched once a lot of packets.
ATOMIC_SOURCES = {'bpf/include/moat/limit.h'}
# What lines that add to memory may name: pointers into elements of one CPU, and the packet's own state.
OWN = re.compile(r'\b(cell|count|counters|credit|errors|hit|hop_limit|misses|own|packet|share|'
                 r'table->head|ttl)\b')

LINE = re.compile(r'^; (/.*|\S+\.[ch]):(\d+)')
ATOMIC = re.compile(r'\block\b|\batomic_|\b(cmp)?xchg')
LOAD = re.compile(r'\b([rw]\d+) = \*\(u\d+ \*\)\((r\d+) ([+-] 0x[0-9a-f]+)\)')
STORE = re.compile(r'\*\(u\d+ \*\)\((r\d+) ([+-] 0x[0-9a-f]+)\) = ([rw]\d+)')
SET = re.compile(r'^\s*[0-9a-f]+:\s+([rw]\d+) ')


class Listing:
    """Source places of atomics and of read-change-write, from objdump's lines."""

    def __init__(self, root, lines):
        self.root = root
        self.place, self.loaded = None, {}
        self.atomics, self.changes = set(), set()
        for line in lines:
            self.take(line)

    def take(self, line):
        where = LINE.match(line)
        if where:
            path = os.path.relpath(os.path.realpath(where.group(1)), os.path.realpath(self.root))
            self.place = (path, int(where.group(2)))
            return
        if line.endswith('>:'):
            self.loaded = {}
        if ATOMIC.search(line):
            self.atomics.add(self.place)
            return
        store, load, written = STORE.search(line), LOAD.search(line), SET.match(line)
        if store:
            base, offset, value = store.groups()
            # r10 is the stack
            if base != 'r10' and self.loaded.get(value[1:]) == (base, offset):
                self.changes.add(self.place)
        elif load:
            self.loaded[load.group(1)[1:]] = load.groups()[1:]
        elif written and '+=' not in line and '|=' not in line and '-=' not in line:
            self.loaded.pop(written.group(1)[1:], None)


def source_line(root, place):
    with open(os.path.join(root, place[0]), encoding='utf-8') as f:
        return f.read().split('\n')[place[1] - 1].strip()


def check(root, lines):
    listing = Listing(root, lines)
    findings = []
    if not listing.changes or not listing.atomics:
        findings.append('the listing shows no counter or no atomic: is it one of the gate, with '
                        'line numbers?')
    for place in sorted(listing.atomics):
        if place[0] not in ATOMIC_SOURCES:
            findings.append(f'{place[0]}:{place[1]}: an atomic outside of limits')
    for place in sorted(listing.changes):
        text = source_line(root, place)
        if re.search(r'(\+\+|--|[-+|&^]=)', text) and not OWN.search(text):
            findings.append(f'{place[0]}:{place[1]}: changes a word that may be shared: {text}')
    return findings


def main():
    root, target, objdump = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
    # the object's paths are relative to the directory it was built in
    build = os.path.dirname(os.path.dirname(os.path.abspath(target)))
    dump = subprocess.run([objdump, '-d', '-l', '--no-show-raw-insn', os.path.abspath(target)],
                          capture_output=True, text=True, check=True, cwd=build)
    os.chdir(build)
    findings = check(root, dump.stdout.split('\n'))
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)


if __name__ == '__main__':
    main()
