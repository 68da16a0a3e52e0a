#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""No source above 650 lines, no function above 100 (universal-ctags knows where they end)."""

import json
import subprocess

import source

FILE_LINES = 650
FUNCTION_LINES = 100


def check_file(path, lines):
    if lines > FILE_LINES:
        return [f'{path}:1: {lines} lines, at most {FILE_LINES}: split it']
    return []


def check_function(path, name, first, last):
    lines = last - first + 1
    if lines > FUNCTION_LINES:
        return [f'{path}:{first}: {name}() has {lines} lines, at most {FUNCTION_LINES}']
    return []


def functions(root, paths):
    """(path, name, first line, last line) of every function."""
    out = subprocess.run(
        ['ctags', '-G', '--output-format=json', '--fields=+ne', '--languages=C,Python',
         '--langmap=C:.c.h', '--kinds-C=f', '--kinds-Python=fm', '-f', '-', '-L', '-'],
        cwd=root, input='\n'.join(paths), stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in out.splitlines():
        tag = json.loads(line)
        if 'end' in tag:
            yield tag['path'], tag['name'], tag['line'], tag['end']


def check(root):
    paths = sorted(set(source.c_files(root) + source.scripts(root, ('python3', 'bash', 'sh'))))
    findings = []
    for path in paths:
        findings += check_file(path, source.read(root, path).count('\n'))
    for path, name, first, last in functions(root, paths):
        findings += check_function(path, name, first, last)
    return findings


if __name__ == '__main__':
    source.main(check)
