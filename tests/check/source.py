# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the checks share: which files are sources, and C without its comments and strings."""

import os
import re
import sys

SKIPPED_DIRS = {'.git', 'build', '__pycache__', '.cache'}

_COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as f:
        return f.read()


def walk(root):
    """All files below root, relative to it, sorted; build directories and git's are left out."""
    found = []
    for directory, names, files in os.walk(root):
        names[:] = [n for n in names if n not in SKIPPED_DIRS and not n.startswith('build-')]
        found += [os.path.relpath(os.path.join(directory, f), root) for f in files]
    return sorted(found)


def c_files(root):
    return [p for p in walk(root) if p.endswith(('.c', '.h'))]


def scripts(root, interpreters):
    """Files that name one of the interpreters in their first line, and .py files for python3."""
    found = []
    for path in walk(root):
        with open(os.path.join(root, path), 'rb') as f:
            first = f.readline(100).decode('utf-8', 'replace').strip()
        words = first[2:].replace('/usr/bin/env', '').split() if first.startswith('#!') else []
        if words and os.path.basename(words[0]) in interpreters:
            found.append(path)
        elif path.endswith('.py') and 'python3' in interpreters:
            found.append(path)
    return found


def code_only(text):
    """C text with comments and literals blanked; every line keeps its number."""
    def blank(match):
        word = match.group()
        return ('""' if word[0] in '"\'' else ' ') + '\n' * word.count('\n')
    return _COMMENT_OR_STRING.sub(blank, text)


def main(check):
    """Body of each check script: SCRIPT ROOT prints the findings, exits 1 if there are any."""
    findings = check(sys.argv[1])
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)
