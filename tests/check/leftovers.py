#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Nothing half done is left in the tree: reminders, conflict marks, paths of one's own machine,
blanks at a line's end."""

import re

import source

LEFTOVERS = (
    (re.compile(r'\b(TODO|FIXME|XXX|HACK)\b'), 'a reminder: do it or drop it'),
    (re.compile(r'^(<{7}|>{7}) '), 'a conflict mark'),
    (re.compile(r'(?<![\w.])/(home|work)/\w'), 'a path of one machine'),
    (re.compile(r'[ \t]+$'), 'blanks at the end of the line'),
)
SUFFIXES = ('.c', '.h', '.py', '.sh', '.bats', '.build', '.txt', '.md', '.js', '.css', '.html',
            '.yaml', '.yml')


def check_text(path, text):
    findings = []
    for number, line in enumerate(text.split('\n'), 1):
        findings += [f'{path}:{number}: {what}' for pattern, what in LEFTOVERS
                     if pattern.search(line)]
    if text and (not text.endswith('\n') or text.endswith('\n\n')):
        findings.append(f'{path}:{text.count(chr(10))}: a file ends with one newline')
    return findings


def check(root):
    paths = {p for p in source.walk(root) if p.endswith(SUFFIXES) and '/corpus/' not in p}
    paths.update(source.scripts(root, ('bash', 'sh', 'python3')))
    # It names what it looks for.
    paths.discard('tests/check/leftovers.py')
    findings = []
    for path in sorted(paths):
        findings += check_text(path, source.read(root, path))
    return findings


if __name__ == '__main__':
    source.main(check)
