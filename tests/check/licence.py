#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Every source names the licence in its first lines, BPF objects name it to the kernel."""

import re

import source

EXPRESSION = 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause'
SUFFIXES = ('.c', '.h', '.py', '.sh', '.bats', 'meson.build', 'meson_options.txt', '.js', '.css')
BPF_LICENCE = re.compile(r'SEC\("license"\)\s*=\s*"Dual BSD/GPL"')


def check_text(path, text):
    findings = []
    # A script's first line is its interpreter's.
    if not any(EXPRESSION in line for line in text.split('\n')[:2]):
        findings.append(f'{path}:1: no "{EXPRESSION}" in the first two lines')
    if path.endswith('.bpf.c') and not BPF_LICENCE.search(text):
        findings.append(f'{path}:1: no SEC("license") = "Dual BSD/GPL"')
    return findings


def check(root):
    paths = {p for p in source.walk(root) if p.endswith(SUFFIXES)}
    paths.update(source.scripts(root, ('bash', 'sh', 'python3')))
    findings = []
    for path in sorted(paths):
        findings += check_text(path, source.read(root, path))
    return findings


if __name__ == '__main__':
    source.main(check)
