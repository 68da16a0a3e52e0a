#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tables against the kernel: a namespace whose routes are the same prefixes finds the same longest match (ip route get
fibmatch) for 100,000 addresses."""

import ipaddress
import os
import random
import subprocess
import sys
import tempfile

BUILD = os.environ.get("MOAT_BUILD", "build")
HELPER = os.path.join(BUILD, "tests/netns/netns-routes")
NAMESPACE = f"routes{os.getpid()}"
ADDRESSES = int(os.environ.get("MOAT_TEST_ADDRESSES", "100000"))
SEED = int(os.environ.get("MOAT_TEST_SEED", "1"))
# of each family: as many as there may be rules, which the classes are
PREFIXES = 2000
FAMILIES = {4: (ipaddress.IPv4Network("10.0.0.0/8"), 32), 6: (ipaddress.IPv6Network("2001:db8::/32"), 128)}


def address(rng, network, near):
    """A random one, mostly next to a prefix that was drawn: at its ends, or within."""
    if near and rng.random() < 0.9:
        prefix = rng.choice(near)
        kind = rng.randrange(4)
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
        number = (first, last, first + rng.randrange(last - first + 1), min(last + 1, int(network.broadcast_address)))[kind]
    else:
        number = int(network.network_address) + rng.randrange(network.num_addresses)
    return number


def prefixes_of(rng, family):
    network, bits = FAMILIES[family]
    drawn = {}
    while len(drawn) < PREFIXES:
        length = rng.randint(network.prefixlen + 1, bits)
        number = address(rng, network, list(drawn.values())[-50:]) >> (bits - length) << (bits - length)
        prefix = type(network)((number, length))
        drawn[str(prefix)] = prefix
    return list(drawn.values())


def ip(family, commands):
    done = subprocess.run(("ip", "-n", NAMESPACE, f"-{family}", "-batch", "-"), input="\n".join(commands) + "\n",
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"ip: {done.stderr[:300]}")
    return done.stdout.splitlines()


def kernel_matches(family, prefixes, addresses):
    ip(family, [f"route add {prefix} dev lo" for prefix in prefixes])
    lines = ip(family, [f"route get fibmatch {one}" for one in addresses])
    found = [line.split()[0] for line in lines if line and not line.startswith((" ", "\t"))]
    bits = FAMILIES[family][1]
    everything = "0.0.0.0/0" if family == 4 else "::/0"
    return [everything if one == "default" else one if "/" in one else f"{one}/{bits}" for one in found]


def compare(family, rng, count, directory):
    network, bits = FAMILIES[family]
    everything = type(network)("0.0.0.0/0" if family == 4 else "::/0")
    prefixes = prefixes_of(rng, family) + [everything]
    kind = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    addresses = [kind(address(rng, network, prefixes[:-1])) for _ in range(count)]
    path = os.path.join(directory, f"prefixes{family}")
    with open(path, "w", encoding="ascii") as out:
        out.write("".join(f"{prefix}\n" for prefix in prefixes))
    done = subprocess.run((HELPER, path), input="".join(f"{one}\n" for one in addresses), capture_output=True, text=True,
                          check=True)
    ours = [one if "/" in one else f"{one}/{bits}" for one in done.stdout.splitlines()]
    theirs = kernel_matches(family, prefixes, addresses)
    if not len(ours) == len(theirs) == count:
        raise AssertionError(f"{count} addresses, {len(ours)} answers of ours, {len(theirs)} of the kernel")
    for one, our, their in zip(addresses, ours, theirs):
        if our not in (their, "any/32", "any/128") or (our.startswith("any") and their != str(everything)):
            raise AssertionError(f"{one}: {our}, the kernel says {their}")
    print(f"IPv{family}: {count} addresses in {len(prefixes)} prefixes, {len(set(theirs))} of them found: all equal")


def main():
    rng = random.Random(SEED)
    subprocess.run(("ip", "netns", "add", NAMESPACE), check=True)
    try:
        subprocess.run(("ip", "-n", NAMESPACE, "link", "set", "lo", "up"), check=True)
        with tempfile.TemporaryDirectory() as directory:
            compare(4, rng, ADDRESSES * 7 // 10, directory)
            compare(6, rng, ADDRESSES - ADDRESSES * 7 // 10, directory)
    except AssertionError as error:
        print(f"failed (MOAT_TEST_SEED={SEED}): {error}", file=sys.stderr)
        return 1
    finally:
        subprocess.run(("ip", "netns", "del", NAMESPACE), check=False)
    return 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    sys.exit(main())
