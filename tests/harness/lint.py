#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The checks that need no running code: layout, scripts, clang-tidy, manual pages, house rules.

usage: lint.py ROOT [--all]

The last line is "N passed, N failed, N skipped", one per step.
"""

import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'check'))
import source  # noqa: E402

# clang-tidy reads one file in a few seconds; what it doesn't reach in this time is said.
TIDY_SECONDS = 420


class Skip(Exception):
    """A step that has nothing to look at."""


def run(command, root):
    done = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace')
    return done.stdout if done.returncode else ''


def need(paths, what):
    if not paths:
        raise Skip(f'no {what} yet')
    return paths


def lint_format(root, _):
    return run(['clang-format-19', '--dry-run', '-Werror',
                *need(source.c_files(root), 'C source')], root)


def lint_shell(root, _):
    scripts = source.scripts(root, ('bash', 'sh'))
    return run(['shellcheck', '-x', *need(scripts, 'shell script')], root)


def lint_python(root, _):
    wrong = []
    for path in need(source.scripts(root, ('python3',)), 'Python'):
        try:
            compile(source.read(root, path), path, 'exec')
        except SyntaxError as error:
            wrong.append(f'{path}:{error.lineno}: {error.msg}')
    return '\n'.join(wrong)


def lint_man(root, _):
    pages = [p for p in source.walk(root) if p.startswith('ctl/man/') and p[-1] in '12345678']
    return run(['mandoc', '-T', 'lint', '-W', 'warning', *need(pages, 'manual page')], root)


def lint_completion(root, _):
    files = [p for p in source.walk(root) if p.startswith('ctl/completion/')
             and not p.endswith('meson.build')]
    wrong = ''.join(run(['bash', '-n', p], root) for p in need(files, 'completion'))
    return wrong + run(['shellcheck', '-s', 'bash', *files], root)


def lint_rules(root, _):
    return run([sys.executable, os.path.join(root, 'tests/harness/run_tests.py'), root, 'check'],
               root)


# ---- clang-tidy ---------------------------------------------------------------------------------

def header_deps(build):
    """{object: [files it was compiled from]}, from ninja."""
    out = subprocess.run(['ninja', '-C', build, '-t', 'deps'], stdout=subprocess.PIPE,
                         text=True, check=True).stdout
    deps, current = {}, None
    for line in out.splitlines():
        if line.startswith('    '):
            deps[current].append(os.path.normpath(os.path.join(build, line.strip())))
        elif ': #deps' in line:
            current = line.split(':')[0]
            deps[current] = []
    return deps


def tidy_key(root, files):
    """Changes when the file, a header of ours that it reads, or the rules change."""
    digest = hashlib.sha256()
    for rules in ('.clang-tidy', 'tests/.clang-tidy'):
        digest.update(source.read(root, rules).encode())
    for path in sorted(set(files)):
        if path.startswith(root + os.sep) and os.path.exists(path):
            with open(path, 'rb') as f:
                digest.update(f.read())
    return digest.hexdigest()


def tidy_command(entry):
    """clang-tidy with gcc's command line less what only gcc knows."""
    flags, words = [], shlex.split(entry['command'])[1:]
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ('-o', '-MQ', '-MF', '-c'):
            skip = True
        elif word != '-MD' and not word.startswith(('-W', '-march')) and word != entry['file']:
            flags.append(word)
    return ['clang-tidy-19', '--quiet', entry['file'], '--', *flags,
            '-Wno-unknown-warning-option']


def lint_tidy(root, everything):
    build = os.path.join(root, 'build')
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
        entries = {os.path.normpath(os.path.join(build, e['file'])): e for e in json.load(f)
                   if e['file'].endswith('.c')}
    deps = header_deps(build)
    cache = os.path.join(build, '.tidy')
    os.makedirs(cache, exist_ok=True)
    todo = []
    for path, entry in sorted(need(entries, 'C source').items()):
        key = tidy_key(root, [path, *deps.get(entry.get('output', ''), [])])
        stamp = os.path.join(cache, os.path.relpath(path, root).replace(os.sep, '-'))
        if not everything and os.path.exists(stamp) and source.read('', stamp) == key:
            continue
        todo.append((path, entry, key, stamp))

    end = time.monotonic() + TIDY_SECONDS
    wrong, late = [], []

    def one(job):
        path, entry, key, stamp = job
        left = end - time.monotonic()
        if left <= 0:
            return late.append(path)
        try:
            done = subprocess.run(tidy_command(entry), cwd=build, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  errors='replace', timeout=left)
        except subprocess.TimeoutExpired:
            return late.append(path)
        if done.returncode:
            return wrong.append(done.stdout + done.stderr)
        with open(stamp, 'w', encoding='utf-8') as f:
            f.write(key)
        return None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, todo))
    if late and not wrong:
        print(f'clang-tidy: {len(late)} files not reached in {TIDY_SECONDS} s; run again',
              file=sys.stderr)
    return ''.join(wrong)


STEPS = (
    ('format', lint_format),
    ('shell', lint_shell),
    ('python', lint_python),
    ('man', lint_man),
    ('completion', lint_completion),
    ('rules', lint_rules),
    ('tidy', lint_tidy),
)


def main():
    root, everything = os.path.abspath(sys.argv[1]), '--all' in sys.argv[2:]
    passed = failed = skipped = 0
    for name, step in STEPS:
        start = time.monotonic()
        try:
            output = step(root, everything)
        except Skip as reason:
            skipped += 1
            print(f'skipped {name}: {reason}', flush=True)
            continue
        if output:
            failed += 1
            print(output.rstrip(), flush=True)
        else:
            passed += 1
        print(f'{name:<10} {"FAILED" if output else "ok":<12} {time.monotonic() - start:8.1f} s',
              file=sys.stderr, flush=True)
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
