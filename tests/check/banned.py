#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Functions that invite overruns, silent errors or a shell are not called anywhere."""

import re

import source

# name: what to take instead
BANNED = {
    'strcpy': 'snprintf or memcpy with a known length',
    'stpcpy': 'snprintf or memcpy with a known length',
    'strcat': 'snprintf',
    'strncpy': 'snprintf (strncpy may leave no terminator)',
    'strncat': 'snprintf',
    'sprintf': 'snprintf',
    'vsprintf': 'vsnprintf',
    'gets': 'getline',
    'scanf': 'strtoul and friends with their checks',
    'sscanf': 'strtoul and friends with their checks (an overflow is undefined)',
    'fscanf': 'getline and strtoul',
    'atoi': 'strtol with its checks',
    'atol': 'strtol with its checks',
    'atoll': 'strtoll with its checks',
    'atof': 'strtod with its checks',
    'strtok': 'strtok_r or strsep',
    'system': 'posix_spawn: no shell',
    'popen': 'posix_spawn: no shell',
    'tmpnam': 'mkstemp',
    'tempnam': 'mkstemp',
    'mktemp': 'mkstemp',
    'alloca': 'a bounded array or the heap',
    'rand': 'getrandom, or a generator with a printed seed',
    'srand': 'getrandom, or a generator with a printed seed',
    'signal': 'sigaction or signalfd',
    'gethostbyname': 'getaddrinfo',
    'inet_ntoa': 'inet_ntop',
    'inet_addr': 'inet_pton',
    'localtime': 'localtime_r',
    'gmtime': 'gmtime_r',
    'ctime': 'strftime',
    'asctime': 'strftime',
}
CALL = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')


def check_text(path, text):
    findings = []
    for number, line in enumerate(source.code_only(text).split('\n'), 1):
        for match in CALL.finditer(line):
            name = match.group(1)
            findings.append(f'{path}:{number}: {name}() is banned, use {BANNED[name]}')
    return findings


def check(root):
    findings = []
    for path in source.c_files(root):
        findings += check_text(path, source.read(root, path))
    return findings


if __name__ == '__main__':
    source.main(check)
