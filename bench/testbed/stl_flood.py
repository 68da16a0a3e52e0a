# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TRex (stateless): 64-byte frames, IMIX, or a SYN flood among service traffic, through a wire or a gateway.

  trex> start -f stl_flood.py -m 100% -p 0 -t kind=64b
  trex> start -f stl_flood.py -m 100% -p 0 -t kind=imix
  trex> start -f stl_flood.py -m 10mpps -p 0 -t kind=mixed
"""

import argparse

from trex_stl_lib.api import (IP, TCP, UDP, Ether, STLFlowLatencyStats, STLPktBuilder, STLScVmRaw, STLStream,
                              STLTXCont, STLVmFixIpv4, STLVmFlowVar, STLVmWrFlowVar)

SERVICE = "203.0.113.80"
IMIX = ((64, 7), (594, 4), (1518, 1))
FCS = 4


def sources(first, last, port=False):
    """Random sources of a range, and ports with it."""
    program = [STLVmFlowVar("src", min_value=first, max_value=last, size=4, op="random"),
               STLVmWrFlowVar("src", pkt_offset="IP.src")]
    if port:
        program += [STLVmFlowVar("port", min_value=1024, max_value=65535, size=2, op="random"),
                    STLVmWrFlowVar("port", pkt_offset="TCP.sport")]
    return STLScVmRaw(program + [STLVmFixIpv4(offset="IP")])


def stream(packet, length, vm, pps=1, stats=None):
    padding = max(0, length - FCS - len(packet))
    return STLStream(packet=STLPktBuilder(pkt=packet / (b"x" * padding), vm=vm), mode=STLTXCont(pps=pps), flow_stats=stats)


def udp(length, pps=1):
    return stream(Ether() / IP(src="198.18.0.1", dst=SERVICE) / UDP(sport=1025, dport=9), length,
                  sources("198.18.0.1", "198.18.255.254"), pps)


def tcp(flags, first, last, pps):
    return stream(Ether() / IP(src=first, dst=SERVICE) / TCP(sport=1025, dport=80, flags=flags), 64,
                  sources(first, last, port=True), pps)


class Flood:
    """What TRex asks for streams."""

    def get_streams(self, tunables, **_):
        parser = argparse.ArgumentParser()
        parser.add_argument("--kind", choices=("64b", "imix", "mixed"), default="64b")
        kind = parser.parse_args(tunables).kind
        if kind == "64b":
            return [udp(64)]
        if kind == "imix":
            return [udp(length, share) for length, share in IMIX]
        # nine SYNs of the flood to one packet of clients, whose latency is measured
        clients = stream(Ether() / IP(src="198.51.100.1", dst=SERVICE) / UDP(sport=1025, dport=53), 128,
                         sources("198.51.100.1", "198.51.100.254"), 1000, STLFlowLatencyStats(pg_id=7))
        return [tcp("S", "192.0.2.1", "192.0.2.254", 9e5), tcp("A", "198.51.100.1", "198.51.100.254", 1e5), clients]


def register():
    return Flood()
