#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reads the benches' JSON lines; passes them on (--json) or draws a table (--table).

A result line has the keys of FIELDS. A line without "metric" holds the machine's facts; the same
facts from the next bench are said once. Exits 1 if a result is not ok or a line is no JSON.
"""

import json
import sys

FIELDS = ('bench', 'case', 'metric', 'unit', 'value', 'min', 'max', 'runs', 'baseline', 'ratio',
          'goal', 'ok')
# A bench's name stands above its rows, so that they fit 100 columns.
COLUMNS = (('case', 21, '<'), ('metric', 14, '<'), ('value', 8, '>'), ('unit', 9, '<'),
           ('min', 8, '>'), ('max', 8, '>'), ('baseline', 8, '>'), ('ratio', 7, '>'),
           ('goal', 5, '>'), ('ok', 3, '<'))


def text(value):
    """A cell: numbers with four significant digits, nothing for what a result doesn't have."""
    if value is None:
        return '-'
    if isinstance(value, bool):
        return 'yes' if value else 'NO'
    if isinstance(value, (int, float)):
        return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'
    return str(value)


def said(entry):
    """A line of facts about the machine, short enough for a terminal."""
    machine = entry.get('machine', entry)
    return ', '.join(f'{name} {text(value)}' for name, value in machine.items())


def row(cells):
    return ' '.join(f'{cell:{align}{width}}'
                    for cell, (_, width, align) in zip(cells, COLUMNS)).rstrip()


def main():
    as_json = '--json' in sys.argv[1:]
    facts_seen, bad, bench = set(), 0, None
    for line in sys.stdin:
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError
        except ValueError:
            print(f'no JSON object: {line.rstrip()}', file=sys.stderr)
            bad += 1
            continue
        if 'metric' not in entry:
            facts = json.dumps(entry, sort_keys=True)
            if facts not in facts_seen:
                facts_seen.add(facts)
                print(line.rstrip() if as_json else said(entry), flush=True)
            continue
        missing = [field for field in FIELDS if field not in entry]
        if missing:
            print(f'result without {", ".join(missing)}: {line.rstrip()}', file=sys.stderr)
            bad += 1
        bad += entry.get('ok') is False
        if as_json:
            print(line.rstrip(), flush=True)
            continue
        if entry.get('bench') != bench:
            bench = entry.get('bench')
            print(f'\n{bench}')
            print(row([name for name, _, _ in COLUMNS]))
        print(row([text(entry.get(name)) for name, _, _ in COLUMNS]), flush=True)
    return 1 if bad else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
