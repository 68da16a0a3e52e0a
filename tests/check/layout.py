#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""BPF and user space see every shared struct alike.

usage: layout.py ROOT OBJECT CC

OBJECT instantiates every struct of bpf/include. Its BTF says where clang's BPF target puts each
member; a C program made from that list says where CC puts it. They must agree, every struct of the
headers must be in the object, and none may hold what differs between machines.
"""

import json
import os
import subprocess
import sys
import tempfile

import source

POINTER = 8
WRAPPERS = ('TYPEDEF', 'CONST', 'VOLATILE')


class Btf:
    """The types of an object, by bpftool's JSON."""

    def __init__(self, types):
        self.types = {t['id']: t for t in types}

    def resolve(self, type_id):
        while self.types[type_id]['kind'] in WRAPPERS:
            type_id = self.types[type_id]['type_id']
        return self.types[type_id]

    def size(self, type_id):
        found = self.resolve(type_id)
        if found['kind'] == 'PTR':
            return POINTER
        if found['kind'] == 'ARRAY':
            return found['nr_elems'] * self.size(found['type_id'])
        return found['size']

    def structs(self):
        """Our structs and unions as {"struct name": type}."""
        return {f'{t["kind"].lower()} {t["name"]}': t for t in self.types.values()
                if t['kind'] in ('STRUCT', 'UNION') and t['name'].startswith('moat_')}

    def members(self, struct, base=0):
        """(name, offset, size, kind) of each member, in bytes; those of an anonymous one count as
        the struct's own."""
        for member in struct['members']:
            offset = base + member['bits_offset'] // 8
            kind = self.resolve(member['type_id'])
            if member['name'] in ('', '(anon)'):
                yield from self.members(kind, offset)
                continue
            is_bits = member.get('bitfield_size', 0) or member['bits_offset'] % 8
            yield (member['name'], offset, self.size(member['type_id']),
                   'bit field' if is_bits else kind['kind'])


def program(btf, headers):
    """C that prints "struct|member|offset|size", a member "" being the struct itself."""
    lines = ['#include <stddef.h>', '#include <stdio.h>']
    lines += [f'#include "{h}"' for h in headers]
    lines += ['int main(void)', '{']
    for name, struct in btf.structs().items():
        lines.append(f'printf("{name}||0|%zu\\n", sizeof({name}));')
        for member, _, _, kind in btf.members(struct):
            if kind != 'bit field':
                lines.append(f'printf("{name}|{member}|%zu|%zu\\n", offsetof({name}, {member}), '
                             f'sizeof((({name} *)0)->{member}));')
    return '\n'.join([*lines, 'return 0;', '}', ''])


def compare(btf, printed, declared):
    """The findings; `printed` is the C program's output, `declared` the structs of the headers."""
    native = {}
    for line in printed.splitlines():
        struct, member, offset, size = line.split('|')
        native[struct, member] = (int(offset), int(size))
    findings = []
    structs = btf.structs()
    for name in sorted(set(declared) - set(structs)):
        findings.append(f'{name} is not in bpf/check/layout.bpf.c')
    for name, struct in structs.items():
        if native.get((name, '')) != (0, struct['size']):
            findings.append(f'{name}: {struct["size"]} bytes in BPF, {native.get((name, ""))} in C')
        for member, offset, size, kind in btf.members(struct):
            if kind in ('bit field', 'PTR'):
                findings.append(f'{name}.{member}: no {kind} in an ABI')
            elif native.get((name, member)) != (offset, size):
                findings.append(f'{name}.{member}: offset, size {(offset, size)} in BPF, '
                                f'{native.get((name, member))} in C')
    return findings


def declared_structs(root, headers):
    """The named structs and unions of the headers, nested ones too."""
    out = subprocess.run(['ctags', '--output-format=json', '--languages=C', '--langmap=C:.h',
                          '--kinds-C=su', '-f', '-', *[f'bpf/include/{h}' for h in headers]],
                         cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
    tags = [json.loads(line) for line in out.splitlines()]
    return [f'{t["kind"]} {t["name"]}' for t in tags if not t['name'].startswith('__anon')]


def main():
    root, obj, compiler = sys.argv[1:4]
    headers = [p[len('bpf/include/'):] for p in source.c_files(root)
               if p.startswith('bpf/include/')]
    dump = subprocess.run(['bpftool', '-j', 'btf', 'dump', 'file', obj], stdout=subprocess.PIPE,
                          check=True).stdout
    btf = Btf(json.loads(dump)['types'])
    with tempfile.TemporaryDirectory() as scratch:
        c, exe = os.path.join(scratch, 'layout.c'), os.path.join(scratch, 'layout')
        with open(c, 'w', encoding='utf-8') as f:
            f.write(program(btf, headers))
        subprocess.run([compiler, '-std=gnu17', '-I', os.path.join(root, 'bpf/include'), c,
                        '-o', exe], check=True)
        printed = subprocess.run([exe], stdout=subprocess.PIPE, text=True, check=True).stdout
    declared = declared_structs(root, headers)
    findings = compare(btf, printed, declared)
    print('\n'.join(findings) or f'{len(declared)} structs, {len(printed.splitlines())} places')
    # Nothing compared would be no proof.
    sys.exit(1 if findings or not declared else 0)


if __name__ == '__main__':
    main()
