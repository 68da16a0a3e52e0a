#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A wire of two DPDK ports under a real moatd: TCP and UDP through it with every byte as it was sent, no loss at
moderate load and full books at overload; each stage of the gate in its workers; and what can go wrong: links, huge
pages, devices, drivers without a hash."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from moatd import (CLIENT, GATEWAY, MOAT, MOATD, PINS, SERVER, Appliance, balanced, expect, inside, main, ping,
                   run, wait_for)  # noqa: E402
from wire import TARGET, dpdk_config, left_over  # noqa: E402

NGINX = """daemon off; master_process off; user root; pid {dir}/nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; keepalive_requests 1000000;
    server {{ listen {address}:80; root {dir}/www; }} }}
"""


class Server:
    """A program in the server's namespace, until the end of the block."""

    def __init__(self, *command):
        self.process = subprocess.Popen(("nsenter", f"--net=/run/netns/{SERVER}", *command),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def web(directory):
    os.makedirs(os.path.join(directory, "www"))
    with open(os.path.join(directory, "www/blob"), "wb") as out:
        out.write(os.urandom(4 << 20))
    with open(os.path.join(directory, "www/index.html"), "wb") as out:
        out.write(b"x" * 512)
    with open(os.path.join(directory, "nginx.conf"), "w", encoding="ascii") as out:
        out.write(NGINX.format(dir=directory, address=TARGET))
    return Server("nginx", "-e", "stderr", "-c", os.path.join(directory, "nginx.conf"))


def digest(data):
    return hashlib.sha256(data).hexdigest()


def iperf(*options):
    done = inside(CLIENT, "iperf3", "--json", "-c", TARGET, *options, check=False, timeout=60)
    result = json.loads(done.stdout)
    expect("error" not in result, "iperf3", result.get("error"))
    return result["end"]


def links_up():
    wait_for(lambda: ping(1, TARGET), "pings through the wire")


def counters(moat):
    """Of both workers together, and each of them balanced."""
    workers = balanced(moat.ask("status"))["workers"]
    names = ("received", "rx_ring_full", "rx_no_buffer", "rx_invalid", "tx_ring_full", "tx_errors", "redistributed")
    sums = {name: sum(worker[name] for worker in workers) for name in names}
    sums["reasons"] = {}
    for worker in workers:
        for reason, count in worker["reasons"].items():
            sums["reasons"][reason] = sums["reasons"].get(reason, 0) + count
    return sums


def traffic(directory, driver):
    """TCP and UDP with nothing lost or changed."""
    with Appliance(directory, config=dpdk_config(directory, driver)) as moat, web(directory), Server("iperf3", "-s"):
        links_up()
        with open(os.path.join(directory, "www/blob"), "rb") as blob:
            wanted = digest(blob.read())
        path = os.path.join(directory, "got")
        wait_for(lambda: inside(CLIENT, "curl", "-sf", "-m", "20", "-o", path, f"http://{TARGET}/blob",
                                check=False).returncode == 0, "a download")
        with open(path, "rb") as got:
            expect(digest(got.read()) == wanted, "4 MiB arrive as they were sent")
        wrk = inside(CLIENT, "wrk", "-t1", "-c16", "-d2s", f"http://{TARGET}/").stdout
        requests = int(re.search(r"(\d+) requests in", wrk).group(1))
        expect(requests > 200 and "Socket errors" not in wrk and "Non-2xx" not in wrk, "wrk", wrk)
        tcp = iperf("-t", "2")
        expect(tcp["sum_received"]["bytes"] > 1 << 20, "TCP there", tcp)
        back = iperf("-t", "2", "-R")
        expect(back["sum_received"]["bytes"] > 1 << 20, "TCP back", back)
        before = counters(moat)
        udp = iperf("-u", "-b", "20M", "-l", "1000", "-t", "2")["sum"]
        after = counters(moat)
        expect(udp["packets"] > 2000 and udp["lost_packets"] == 0, "UDP without loss", udp)
        expect(all(before[name] == after[name] for name in ("rx_ring_full", "rx_no_buffer", "tx_ring_full", "tx_errors")),
               "no drops", before, after)
        print(f"{driver}: wrk {requests / 2:.0f} requests/s, iperf3 {tcp['sum_received']['bits_per_second'] / 1e6:.0f} and "
              f"{back['sum_received']['bits_per_second'] / 1e6:.0f} Mbit/s, {tcp['sum_sent']['retransmits']} repeated, UDP "
              f"{udp['packets']} datagrams, {udp['lost_packets']} lost")
        expect(moat.stop() == 0, "a clean end", moat.log())


def packets(namespace, name, way):
    return json.loads(inside(namespace, "ip", "-j", "-s", "link", "show", name).stdout)[0]["stats64"][way]["packets"]


def overload(directory, driver):
    """More than fits: each packet that a worker took is in one of its reasons, each that it sent on arrived or is named
    as dropped."""
    with Appliance(directory, config=dpdk_config(directory, driver)) as moat:
        links_up()
        first, arrived, offered = (balanced(moat.ask("status"))["workers"], packets(SERVER, "s1", "rx"),
                                   packets(CLIENT, "c1", "tx"))
        flood = [subprocess.Popen(("nsenter", f"--net=/run/netns/{CLIENT}", "hping3", "-q", "--udp", "-p", "9", "-d", "18",
                                   "--flood", TARGET), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                 for _ in range(2)]
        time.sleep(1)
        moat.process.send_signal(signal.SIGSTOP)
        time.sleep(0.7)
        moat.process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        for process in flood:
            process.kill()
            process.wait()

        def settled():
            before = counters(moat)["received"]
            time.sleep(0.3)
            return counters(moat)["received"] == before

        wait_for(settled, "the last packet")
        last, arrived, offered = (balanced(moat.ask("status"))["workers"], packets(SERVER, "s1", "rx") - arrived,
                                  packets(CLIENT, "c1", "tx") - offered)
        # the left port's worker takes the flood in, the right port sends it
        took, took_before = last[0], first[0]
        received = took["received"] - took_before["received"]
        passed = sum(took["reasons"].get(reason, 0) - took_before["reasons"].get(reason, 0)
                     for reason in took["reasons"] if reason.startswith("pass"))
        full = took["reasons"].get("drop_no_peer", 0) - took_before["reasons"].get("drop_no_peer", 0)
        sent = last[1]["tx"]["packets"] - first[1]["tx"]["packets"]
        errors = last[1]["tx_errors"] - first[1]["tx_errors"]
        ring_full = last[1]["tx_ring_full"] - first[1]["tx_ring_full"]
        print(f"{driver}: {offered} offered; took {received}, sent {sent}, {ring_full} found the ring full, "
              f"{errors} failed, arrived {arrived}")
        expect(received > 10000 and offered - received > 1000, "an overload", received, offered)
        # what these drivers' sockets had no room for is told by nobody but the interface
        expect(passed == sent and full == ring_full and passed + full == received, "in = sum of outs", took, last[1])
        # the far side's own host asks for its neighbours now and then
        expect(abs(arrived + errors - sent) <= 20, "what was sent arrived", sent, errors, arrived)
        expect(ping(3, TARGET), "and it still works")


def test_traffic_af_packet(directory):
    traffic(directory, "net_af_packet")


def test_traffic_af_xdp(directory):
    traffic(directory, "net_af_xdp")


def test_overload_af_packet(directory):
    overload(directory, "net_af_packet")


def test_overload_af_xdp(directory):
    overload(directory, "net_af_xdp")


def test_stages(directory):
    """Lists, rules, limits, protections and the challenge in the workers, whose answers leave by the port itself."""
    config = dpdk_config(directory) + f"""protect:
  - {{prefix: {TARGET}/32, udp: 50}}
stages: {{flags: on}}
"""
    with Appliance(directory, config=config) as moat, web(directory):
        links_up()
        moat.ask("rules", "add", "limit", "2/s", "burst", "2", "proto", "icmp")
        ping(20, TARGET)
        expect(counters(moat)["reasons"].get("drop_limit", 0) > 5, "a limit", counters(moat)["reasons"])
        moat.ask("rules", "add", "challenge", "dst", TARGET, "proto", "tcp", "dport", "80")
        expect(inside(CLIENT, "curl", "-sf", "-m", "5", "-o", "/dev/null", f"http://{TARGET}/",
                      check=False).returncode == 0, "a challenged client connects")
        seen = counters(moat)["reasons"]
        expect(seen.get("tx_challenge", 0) >= 1 and seen.get("drop_cookie", 0) >= 1, "it was challenged", seen)
        inside(CLIENT, "hping3", "-q", "--udp", "-p", "9", "-i", "u1000", "-c", "400", TARGET, check=False)
        expect(counters(moat)["reasons"].get("drop_profile", 0) > 50, "a protection", counters(moat)["reasons"])
        inside(CLIENT, "hping3", "-q", "-SF", "-p", "80", "-i", "u1000", "-c", "20", TARGET, check=False)
        expect(counters(moat)["reasons"].get("drop_flags", 0) >= 15, "flags that nobody sends",
               counters(moat)["reasons"])
        moat.ask("rules", "deny", "add", "10.78.3.1/32")
        inside(CLIENT, "curl", "-sf", "-m", "1", f"http://{TARGET}/", check=False)
        expect(counters(moat)["reasons"].get("drop_denied", 0) > 0, "a list", counters(moat)["reasons"])


def test_links(directory):
    """A link goes down and comes back, on the far side and on the port's own."""
    with Appliance(directory, config=dpdk_config(directory)) as moat:
        links_up()
        for namespace, name in ((CLIENT, "c1"), (GATEWAY, "w0"), (GATEWAY, "w1")):
            inside(namespace, "ip", "link", "set", name, "down")
            time.sleep(0.3)
            expect(moat.process.poll() is None, "moatd lives without", name)
            inside(namespace, "ip", "link", "set", name, "up")
            wait_for(lambda: ping(1, TARGET), f"pings after {name} was down")
        balanced(moat.ask("status"))
        expect(moat.stop() == 0, "a clean end", moat.log())


def set_huge_pages(count):
    run("sysctl", "-qw", f"vm.nr_hugepages={count}")


def huge_pages():
    with open("/proc/sys/vm/nr_hugepages", encoding="ascii") as value:
        return int(value.read())


def test_huge_pages(directory):
    """With huge pages they are used and given back, whatever ends moatd; without, it runs on ordinary ones."""
    before, had = left_over(), huge_pages()
    try:
        set_huge_pages(had + 128)
        if huge_pages() < had + 64:
            print("SKIP: no memory in one piece for huge pages")
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            with Appliance(directory, config=dpdk_config(directory)) as moat:
                links_up()
                used = left_over()[1] - before[1]
                expect(used > 0, "huge pages are used", left_over())
                moat.stop(how)
            expect(left_over() == before, "nothing is left", before, left_over())
    finally:
        set_huge_pages(had)
    if had == 0:
        with Appliance(directory, config=dpdk_config(directory)) as moat:
            links_up()
            expect(left_over() == before, "none to use", left_over())
            moat.stop()


def refused(directory, text, *words):
    """moatd ends at once, with one error that says these."""
    path = os.path.join(directory, "refused.yaml")
    with open(path, "w", encoding="ascii") as out:
        out.write(text)
    done = inside(GATEWAY, MOATD, "--config", path, check=False)
    expect(done.returncode not in (0, None) and done.returncode > 0, "refused", done.returncode, done.stderr)
    for word in words:
        expect(word in done.stderr, f"says {word!r}", done.stderr)


def test_refused(directory):
    """What DPDK can't have is said in one clear error."""
    config = dpdk_config(directory)
    refused(directory, config.replace("net_af_packet0,iface=w0", "net_nothing0"), "net_nothing0", "no such device")
    refused(directory, config.replace("iface=w0", "iface=w7"), "iface=w7")
    refused(directory, config.replace("iface=w0", "iface=w0,speed=9"), "speed=9")
    refused(directory, dpdk_config(directory, "net_af_xdp").replace("iface=w0", "iface=w7"), "no interface w7")
    if huge_pages() == 0:
        refused(directory, config.replace("dpdk: {", "dpdk: {eal: [\"--in-memory\", \"-m\", \"256\"], "),
                "DPDK doesn't start", "huge pages: 0 free")
    run(MOAT, "gate", "detach", "--pin-dir", PINS, check=False)


def test_spread(directory):
    """A driver without a hash that is the same for both directions: packets are handed on, and counted."""
    config = re.sub(r"(iface=w\d)", r"\1,qpairs=2", dpdk_config(directory)).replace("role: wire,", "role: wire, queues: 2,")
    with Appliance(directory, config=config) as moat, web(directory):
        links_up()
        wrk = inside(CLIENT, "wrk", "-t1", "-c32", "-d1s", "-H", "Connection: close", f"http://{TARGET}/").stdout
        expect("requests in" in wrk and "Socket errors" not in wrk, "wrk", wrk)
        workers = balanced(moat.ask("status"))["workers"]
        expect(len(workers) == 4 and all(worker["received"] > 0 for worker in workers), "all queues work", workers)
        expect(sum(worker["redistributed"] for worker in workers) > 0, "handed on", workers)


def run_all():
    doctor = json.loads(run(MOAT, "doctor", "--json", check=False).stdout)
    if '"libdpdk","state":"good"' not in json.dumps(doctor, separators=(",", ":")):
        print("SKIP: built without DPDK")
        return 77
    return main(globals())


if __name__ == "__main__":
    sys.exit(run_all())
