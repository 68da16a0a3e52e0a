#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Each check finds what it is for, and leaves its look-alikes alone."""

import os
import sys
import tempfile
import unittest

import atomics
import banned
import includes
import layout
import leftovers
import lengths
import licence
import source

# Files that exist in the imagined tree of the include tests.
TREE = {
    'bpf/include/moat/gate.h', 'bpf/lib/parse.h', 'bpf/gate/stage.h', 'dataplane/base/log.h',
    'dataplane/gate.h', 'detect/finding.h', 'ctl/config.h', 'tests/harness/pkt.h',
}


def include_findings(path, line):
    return includes.check_text(path, line + '\n', TREE.__contains__)


class Includes(unittest.TestCase):
    def test_allowed(self):
        for path, line in (
                ('bpf/gate/gate.bpf.c', '#include "vmlinux.h"'),
                ('bpf/gate/gate.bpf.c', '#include <moat/gate.h>'),
                ('bpf/gate/gate.bpf.c', '#include "stage.h"'),
                ('bpf/gate/gate.bpf.c', '#include "parse.h"'),
                ('dataplane/gate_port.c', '#include "gate.skel.h"'),
                ('dataplane/gate.c', '#include "dataplane/base/log.h"'),
                ('detect/scan.c', '#include "dataplane/base/log.h"'),
                ('ctl/moatd.c', '#include "detect/finding.h"'),
                ('tests/unit/config.c', '#include "ctl/config.h"'),
                ('bench/gate.c', '#include "tests/harness/pkt.h"'),
                ('tests/progrun/gate.c', '#include "gate.skel.h"'),
                ('dataplane/port_afxdp.c', '#include <xdp/xsk.h>'),
                ('detect/scan.c', '/* #include "dataplane/gate.h" */')):
            self.assertEqual(include_findings(path, line), [], (path, line))

    def test_forbidden(self):
        for path, line in (
                ('detect/scan.c', '#include "dataplane/gate.h"'),
                ('dataplane/worker.c', '#include "detect/finding.h"'),
                ('dataplane/base/log.c', '#include "dataplane/gate.h"'),
                ('dataplane/worker.c', '#include "ctl/config.h"'),
                ('ctl/moatd.c', '#include "tests/harness/pkt.h"'),
                ('bpf/gate/gate.bpf.c', '#include "../../dataplane/base/log.h"'),
                ('bpf/include/moat/gate.h', '#include "parse.h"'),
                ('dataplane/worker.c', '#include "bpf/lib/parse.h"'),
                ('dataplane/worker.c', '#include "gate.skel.h"'),
                ('dataplane/worker.c', '#include <xdp/xsk.h>'),
                ('ctl/moatd.c', '  #  include <rte_eal.h>'),
                ('detect/sig.c', '#include <hs.h>'),
                ('dataplane/gate.c', '#include "gate.h"'),
                ('src/new.c', '')):
            self.assertEqual(len(include_findings(path, line)), 1, (path, line))


class Banned(unittest.TestCase):
    def test_found(self):
        for line in ('strcpy(a, b);', 'x = atoi (s);', 'if (system("ls"))', '\tsprintf(b, "x");'):
            self.assertEqual(len(banned.check_text('x.c', line)), 1, line)

    def test_line_number(self):
        text = '/* a\n * comment */\nchar *s = "strcpy(";\ngets(s);\n'
        self.assertTrue(banned.check_text('x.c', text)[0].startswith('x.c:4: gets()'))

    def test_left_alone(self):
        for line in ('/* strcpy(a, b) */', '// atoi(s)', 'puts("system(x)");', 'my_strcpy(a);',
                     'ops->system(x);', 'o.rand(1);', 'snprintf(b, n, "x");', 'filesystem(x);'):
            self.assertEqual(banned.check_text('x.c', line), [], line)


class Lengths(unittest.TestCase):
    def test_file(self):
        self.assertEqual(lengths.check_file('x.c', 650), [])
        self.assertEqual(len(lengths.check_file('x.c', 651)), 1)

    def test_function(self):
        self.assertEqual(lengths.check_function('x.c', 'f', 11, 110), [])
        self.assertEqual(len(lengths.check_function('x.c', 'f', 11, 111)), 1)

    def test_functions_are_seen(self):
        body = '\tx();\n' * 97
        for head in ('int f(void)\n{\n', 'SEC("xdp")\nint f(struct xdp_md *ctx)\n{\n',
                     'MOAT_INLINE int f(void)\n{\n', 'static inline struct a *f(void)\n{\n'):
            with tempfile.TemporaryDirectory() as root:
                with open(os.path.join(root, 'x.c'), 'w', encoding='utf-8') as f:
                    f.write(f'{head}{body}}}\n')
                self.assertEqual(lengths.check(root), [], head)
                with open(os.path.join(root, 'x.c'), 'w', encoding='utf-8') as f:
                    f.write(f'{head}{body}\tx();\n}}\n')
                self.assertEqual(len(lengths.check(root)), 1, head)


class Layout(unittest.TestCase):
    """A struct of an imagined object: __u32 a; __u64 b; union { __u16 c; }; char d[4]; void *p."""

    BTF = layout.Btf([
        {'id': 1, 'kind': 'INT', 'name': 'int', 'size': 4},
        {'id': 2, 'kind': 'INT', 'name': 'long', 'size': 8},
        {'id': 3, 'kind': 'INT', 'name': 'short', 'size': 2},
        {'id': 4, 'kind': 'UNION', 'name': '(anon)', 'size': 2,
         'members': [{'name': 'c', 'type_id': 3, 'bits_offset': 0}]},
        {'id': 5, 'kind': 'INT', 'name': 'char', 'size': 1},
        {'id': 6, 'kind': 'ARRAY', 'name': '(anon)', 'type_id': 5, 'nr_elems': 4},
        {'id': 7, 'kind': 'TYPEDEF', 'name': '__u32', 'type_id': 1},
        {'id': 8, 'kind': 'STRUCT', 'name': 'moat_x', 'size': 24, 'members': [
            {'name': 'a', 'type_id': 7, 'bits_offset': 0},
            {'name': 'b', 'type_id': 2, 'bits_offset': 64},
            {'name': '(anon)', 'type_id': 4, 'bits_offset': 128},
            {'name': 'd', 'type_id': 6, 'bits_offset': 160}]},
        {'id': 9, 'kind': 'PTR', 'name': '(anon)', 'type_id': 0},
        {'id': 10, 'kind': 'STRUCT', 'name': 'moat_y', 'size': 8, 'members': [
            {'name': 'p', 'type_id': 9, 'bits_offset': 0}]},
    ])
    SAME = ('struct moat_x||0|24\nstruct moat_x|a|0|4\nstruct moat_x|b|8|8\n'
            'struct moat_x|c|16|2\nstruct moat_x|d|20|4\nstruct moat_y||0|8\n')

    def findings(self, printed, declared=('struct moat_x',)):
        return [f for f in layout.compare(self.BTF, printed, declared) if 'moat_y' not in f]

    def test_same(self):
        self.assertEqual(self.findings(self.SAME), [])

    def test_differences(self):
        for there, here in (('||0|24', '||0|20'), ('|b|8|8', '|b|4|8'), ('|c|16|2', '|c|16|4'),
                            ('|d|20|4', '|d|18|4'), ('|a|0|4\n', '|z|0|4\n')):
            self.assertEqual(len(self.findings(self.SAME.replace(there, here))), 1, here)

    def test_missing_struct(self):
        self.assertEqual(len(self.findings(self.SAME, ('struct moat_x', 'struct moat_z'))), 1)

    def test_pointer(self):
        self.assertEqual(layout.compare(self.BTF, self.SAME, ()),
                         ['struct moat_y.p: no PTR in an ABI'])


class Licence(unittest.TestCase):
    def test_header(self):
        good = f'/* {licence.EXPRESSION} */\n'
        self.assertEqual(licence.check_text('x.c', good), [])
        self.assertEqual(licence.check_text('x.py', f'#!/usr/bin/python3\n# {good}'), [])
        self.assertEqual(len(licence.check_text('x.c', 'int x;\n')), 1)
        self.assertEqual(len(licence.check_text('x.bpf.c', good)), 1)


class Leftovers(unittest.TestCase):
    def test_found(self):
        # Put together here, so that this file has none itself.
        for line in ('/* TO' + 'DO: later */', '# FIX' + 'ME', '<<<<' + '<<< HEAD', 'x = 1; \t',
                     "p = '/ho" + "me/me/moat'", '"/wo' + 'rk/moat"'):
            self.assertEqual(len(leftovers.check_text('x.c', line + '\n')), 1, line)

    def test_left_alone(self):
        for line in ('mastodon', '/* a network (RFC 1918) */', '=======', '/proc/self/fd'):
            self.assertEqual(leftovers.check_text('x.c', line + '\n'), [], line)

    def test_last_line(self):
        self.assertEqual(len(leftovers.check_text('x.c', 'int x;')), 1)
        self.assertEqual(len(leftovers.check_text('x.c', 'int x;\n\n')), 1)


class Atomics(unittest.TestCase):
    """Made of the listing's own words, with lines of this file as the source."""

    @staticmethod
    def findings(path, number, *instructions):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        place = f'; {root}/{path}:{number}'
        limit = f'; {root}/bpf/include/moat/limit.h:1'
        lines = [limit, '1:  lock *(u64 *)(r1 + 0x0) += r2', place]
        return atomics.check(root, lines + [f'{i}:  {text}' for i, text in enumerate(instructions)])

    def line_of(self, text):
        with open(__file__, encoding='utf-8') as f:
            return [line.strip() for line in f].index(text) + 1

    def test_changes(self):
        change = ('r3 = *(u64 *)(r1 + 0x8)', 'r3 += 0x1', '*(u64 *)(r1 + 0x8) = r3')
        own, shared = (self.line_of(text) for text in ("'cell->kinds++'", "'table->shared++'"))
        path = 'tests/check/selftest.py'
        self.assertEqual(self.findings(path, own, *change), [])
        self.assertEqual(len(self.findings(path, shared, *change)), 1)
        # what is written isn't what was read there
        self.assertEqual(len(self.findings(path, shared, change[0], 'r3 = 0x5', change[2])), 1)

    def test_atomics(self):
        self.assertEqual(len([f for f in self.findings('tests/check/selftest.py', 1,
                                                       'lock *(u64 *)(r1 + 0x0) += r2')
                              if 'atomic outside' in f]), 1)


SOURCE_LINES = (
    'cell->kinds++'
    'table->shared++'
)


class Source(unittest.TestCase):
    def test_code_only_keeps_lines(self):
        text = 'a /* 1\n2 */ b\n"x\\"y" c // d\n\'"\' e\n'
        self.assertEqual(source.code_only(text).count('\n'), text.count('\n'))
        self.assertNotIn('y', source.code_only(text))
        self.assertIn('e', source.code_only(text))


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
