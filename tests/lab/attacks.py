# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The attacks: what runs, whom it hits, and by which rule it is judged."""
import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass

from topology import DNS, IDLE, OUTER, SCANNER, UPLINK, WEB, run

ATTACK_CPU = 0
# Attackers are other machines: what else this one has to do must not make gaps in a flood.
ATTACK_NICE = -19
LIVE_RATE = 400_000  # frames a second asked of the generator; what it reached is in the report


@dataclass(frozen=True)
class Attack:
    """`live` attacks are our generator's look-alikes, the others real attack tools' own packets."""

    name: str
    title: str
    victim: str
    kinds: tuple  # of findings that name this attack rightly
    command: tuple = ()
    live: str = ""
    port: int = 0
    contrast: bool = True  # does it take goodput, so that it shows without moat?

    @property
    def subjects(self):
        """Addresses that a right finding may name."""
        return (self.victim, SCANNER) if self.name == "scan" else (self.victim,)


def _hping(*argv):
    return ("hping3", "-q", "-n", "--rand-source", "--flood", *argv)


_AMP = ("udp_flood", "amplification")
ATTACKS = (
    Attack("syn", "SYN flood (hping3)", WEB, ("syn_flood",), _hping("-S", "-p", "80", WEB)),
    Attack("udp", "UDP flood (hping3)", WEB, ("udp_flood",), _hping("--udp", "-p", "9999", "-d", "400", WEB)),
    Attack("amp", "DNS amplification (hping3)", WEB, _AMP,
           _hping("--udp", "-s", "53", "-k", "-p", "33000", "-d", "1200", WEB)),
    Attack("icmp", "ICMP flood (hping3)", WEB, ("icmp_flood",), _hping("--icmp", "-d", "200", WEB)),
    Attack("scan", "SYN scan (nmap)", WEB, ("scan",),
           ("nmap", "-sS", "-n", "-Pn", "-T5", "--min-rate", "3000", "--max-rate", "4000", "--max-retries", "0", "-S", SCANNER, "-e", "eth0",
            "-p", "1-60000", WEB), contrast=False),
    Attack("live-syn", "look-alike SYN flood", WEB, ("syn_flood",), live="syn", port=80),
    Attack("live-udp", "look-alike DNS query flood", DNS, ("udp_flood",), live="udp", port=53),
    Attack("live-icmp", "look-alike ping flood", WEB, ("icmp_flood",), live="icmp"),
    Attack("live-amp", "look-alike amplification", WEB, _AMP, live="amp"),
)
BY_NAME = {attack.name: attack for attack in ATTACKS}


def _taken(lab):
    """Live frames that the gateway's uplink has accepted so far, by the interface's own counters."""
    text = run(*lab.enter("inet"), "ethtool", "-S", OUTER)
    return sum(int(count) for count in re.findall(r"tx_queue_\d+_xdp_xmit: (\d+)", text))


class Running:
    """An attack under way, bounded in time by itself (generator) or by stop()."""

    def __init__(self, lab, attack, meter, seconds):
        self.lab, self.attack = lab, attack
        cpu = ATTACK_CPU if os.cpu_count() > 1 else None
        if attack.live:
            self.before = _taken(lab)
            self.child = lab.spawn("inet", [
                lab.tool("lab-generator"), attack.live, OUTER, attack.victim, str(attack.port), lab.mac("inet", "br0"),
                lab.mac("gw", UPLINK), str(meter.dscp), str(LIVE_RATE), str(seconds), str(meter.base_ns), IDLE],
                "generator", cpu=cpu, nice=ATTACK_NICE, stdout=subprocess.PIPE)
        else:
            self.child = lab.spawn("atk", list(attack.command), "attack", cpu=cpu, nice=ATTACK_NICE, stdout=subprocess.DEVNULL)

    def ended(self):
        return self.child.poll() is not None

    def stop(self):
        """Ends it; a look-alike's own account is {frames, first_ns, buckets, taken}, any other's {}."""
        if not self.attack.live:
            self.lab.stop(self.child, signal.SIGINT, grace=1)
            return {}
        if not self.ended():
            self.child.send_signal(signal.SIGTERM)
        out, _ = self.child.communicate(timeout=10)
        self.lab.stop(self.child)
        if self.child.returncode or not out:
            raise RuntimeError(f"generator: {self.lab.log_tail('generator')}")
        account = json.loads(out)
        account["taken"] = _taken(self.lab) - self.before
        return account
