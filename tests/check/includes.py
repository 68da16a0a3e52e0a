#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who may include whom.

bpf/include <- everyone; dataplane/base <- all user space; dataplane and detect use those two and
never each other; ctl wires everything and only tests and bench include it. A library that must
stay replaceable is seen by one file.
"""

import fnmatch
import os
import re

import source

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)

# layer: the layers it may include beside itself
ALLOWED = {
    'bpf/include': set(),
    'bpf': {'bpf/include'},
    'dataplane/base': {'bpf/include'},
    'dataplane': {'bpf/include', 'dataplane/base'},
    'detect': {'bpf/include', 'dataplane/base'},
    'ctl': {'bpf/include', 'dataplane/base', 'dataplane', 'detect'},
    'bench': {'bpf/include', 'bpf', 'dataplane/base', 'dataplane', 'detect', 'ctl', 'tests'},
    'tests': {'bpf/include', 'bpf', 'dataplane/base', 'dataplane', 'detect', 'ctl', 'bench'},
}

# (header, the files outside tests/ and bench/ that may see it)
CONFINED = (
    ('gate.skel.h', ('dataplane/gate_port.c',)),
    ('egress.skel.h', ('dataplane/gate_egress.c',)),
    ('clock.skel.h', ('dataplane/gate_clock.c',)),
    ('*.skel.h', ('dataplane/gate_port.c', 'dataplane/gate_egress.c', 'dataplane/gate_clock.c', 'dataplane/gate_entry.c', 'ctl/sidecar/objects.c')),
    ('xdp/xsk.h', ('dataplane/port_afxdp.c', 'dataplane/port_afxdp_io.c', 'dataplane/port_afxdp_priv.h')),
    ('rte_*.h', ('dataplane/*dpdk*.[ch]',)),
    ('hs.h', ('detect/*hyperscan*.c', 'detect/*_hs.c')),
    ('hs/*.h', ()),
)

# Where quoted and angled includes of our own are looked for, by kind of source.
BPF_ROOTS = ('bpf/include', 'bpf/lib', 'bpf')
USER_ROOTS = ('', 'bpf/include')


def layer_of(path):
    """The longest layer the path lies in, or None (a system header)."""
    for layer in sorted(ALLOWED, key=len, reverse=True):
        if path.startswith(layer + '/'):
            return layer
    return None


def resolve(path, header, quoted, exists):
    """The file of ours that an include means, or None."""
    bpf = path.startswith('bpf/')
    roots = list(BPF_ROOTS if bpf else USER_ROOTS)
    if quoted and bpf:
        roots.insert(0, os.path.dirname(path))
    for root in roots:
        candidate = os.path.normpath(os.path.join(root, header))
        if exists(candidate):
            return candidate
    return None


def check_text(path, text, exists):
    findings = []
    layer = layer_of(path)
    if layer is None:
        return [f'{path}:1: no source belongs here']
    # Literals hold the header's name, so only comments go.
    text = re.sub(r'/\*.*?\*/', lambda m: '\n' * m.group().count('\n'), text, flags=re.DOTALL)
    for match in INCLUDE.finditer(text):
        where = f'{path}:{text.count(chr(10), 0, match.start()) + 1}'
        quoted, header = match.group(1) == '"', match.group(2)
        for pattern, files in CONFINED:
            if fnmatch.fnmatch(header, pattern):
                if layer not in ('tests', 'bench') and \
                        not any(fnmatch.fnmatch(path, f) for f in files):
                    findings.append(f'{where}: <{header}> may be seen by '
                                    f'{" and ".join(files) or "nobody"} alone')
                break
        target = resolve(path, header, quoted, exists)
        if target is None:
            if quoted and not header.endswith('.skel.h') and header != 'vmlinux.h':
                findings.append(f'{where}: "{header}" is no path from the repository\'s root')
            continue
        other = layer_of(target)
        if other is not None and other != layer and other not in ALLOWED[layer]:
            findings.append(f'{where}: {layer} may not include {other} ({target})')
    return findings


def check(root):
    paths = set(source.c_files(root))
    findings = []
    for path in sorted(paths):
        findings += check_text(path, source.read(root, path), paths.__contains__)
    return findings


if __name__ == '__main__':
    source.main(check)
