-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- pktgen-dpdk: 64-byte UDP at line rate from many sources.
--   pktgen -l 0-4 -n 4 -- -P -m "[1-2:3-4].0" -f pktgen_64b.lua
package.path = package.path .. ";?.lua;test/?.lua;app/?.lua;"
require "Pktgen"

pktgen.set("0", "size", 64)
pktgen.set("0", "rate", 100)
pktgen.set_proto("0", "udp")
pktgen.range.src_ip("0", "start", "198.18.0.1")
pktgen.range.src_ip("0", "inc", "0.0.0.1")
pktgen.range.src_ip("0", "min", "198.18.0.1")
pktgen.range.src_ip("0", "max", "198.18.255.254")
pktgen.range.dst_ip("0", "start", "203.0.113.80")
pktgen.range.dst_ip("0", "inc", "0.0.0.0")
pktgen.range.dst_port("0", "start", 9)
pktgen.range.dst_port("0", "inc", 0)
pktgen.range.pkt_size("0", "start", 64)
pktgen.range.pkt_size("0", "inc", 0)
pktgen.set_range("0", "on")
pktgen.start("0")
