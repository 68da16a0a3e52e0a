# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers and legitimate clients: real programs, and what they got done, by time."""
import json
import os
import re
import signal
import subprocess
import time

from prober import NAMES
from topology import BULK, DNS, OUTER, WEB, WEB6, run

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT_CPUS = f"1-{os.cpu_count() - 1}" if os.cpu_count() > 1 else None  # CPU 0 is the attackers'
PAGE = "<html><title>lab</title>" + "moat " * 180 + "</html>\n"

NGINX = """daemon off; master_process off; user root; pid {dir}/nginx.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000; keepalive_timeout 60s;
    client_body_temp_path {dir}/nginx; proxy_temp_path {dir}/nginx; fastcgi_temp_path {dir}/nginx;
    uwsgi_temp_path {dir}/nginx; scgi_temp_path {dir}/nginx;
    server {{ listen {web}:80 backlog=4096; listen [{web6}]:80 backlog=4096; root {dir}/www; try_files /page.html =404; }}
}}
"""


def start_servers(lab):
    """nginx, dnsmasq and iperf3 in the servers' namespace; returns once each has answered its own kind of client."""
    os.makedirs(lab.path("www"))
    os.makedirs(lab.path("nginx"))
    with open(lab.path("www/page.html"), "w", encoding="ascii") as page:
        page.write(PAGE)
    with open(lab.path("nginx.conf"), "w", encoding="ascii") as conf:
        conf.write(NGINX.format(dir=lab.dir, web=WEB, web6=WEB6))
    with open(lab.path("queries"), "w", encoding="ascii") as queries:
        queries.writelines(f"{name}.lab.test A\n" for name in NAMES)
    lab.spawn("srv", ["nginx", "-e", "stderr", "-c", lab.path("nginx.conf")], "nginx", cpu=CLIENT_CPUS)
    lab.spawn("srv", ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                      f"--pid-file={lab.path('dnsmasq.pid')}", f"--listen-address={DNS}", "--bind-interfaces",
                      "--log-facility=-", f"--address=/lab.test/{WEB}"], "dnsmasq", cpu=CLIENT_CPUS)
    lab.spawn("srv", ["iperf3", "-s", "-B", BULK], "iperf3", cpu=CLIENT_CPUS)
    _check(lab, "nginx", ["curl", "-sf", "-o", "/dev/null", "-m", "1", "--interface", "198.18.0.10", f"http://{WEB}/"])
    _check(lab, "nginx", ["curl", "-sf", "-o", "/dev/null", "-m", "1", f"http://[{WEB6}]/"])
    _check(lab, "dnsmasq", ["dig", "+time=1", "+tries=1", "-b", "198.18.0.10", f"@{DNS}", "www.lab.test"])
    _check(lab, "iperf3", ["iperf3", "-c", BULK, "-B", "198.18.0.10", "-n", "20000"])


def _check(lab, name, argv, seconds=8):
    deadline = time.monotonic() + seconds
    while True:
        done = subprocess.run(lab.enter("cli") + argv, capture_output=True, timeout=seconds, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} doesn't answer {argv[0]}: {lab.log_tail(name)}")
        time.sleep(0.1)


def _wrk(lab, name, sources, connections, delay_ms, seconds, close):
    """wrk, paced, from a range of addresses; its answers by time go to NAME.wrk."""
    env = {"LD_PRELOAD": lab.tool("liblab-source.so"), "MOAT_LAB_SOURCES": sources,
           "LAB_DELAY": str(delay_ms), "LAB_FILE": lab.path(f"{name}.wrk")}
    if close:
        env["LAB_CLOSE"] = "1"
    argv = ["env", *(f"{key}={value}" for key, value in env.items()),
            "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "2s", "-s", f"{HERE}/wrk.lua", f"http://{WEB}/"]
    return lab.spawn("cli", argv, name, cpu=CLIENT_CPUS)


class Clients:
    """The everyday load: wrk on kept connections, and the prober's new connections, DNS questions and pings."""

    def __init__(self, lab, seconds=600):
        self.lab = lab
        self.name = f"clients-{time.monotonic_ns()}"
        self.wrk_lines, self.single_lines = Lines(lab.path(f"{self.name}.wrk")), Lines(lab.path(f"{self.name}.single"))
        self.wrk = _wrk(lab, self.name, "198.18.200.1+48", 48, 250, seconds, close=False)
        self.prober = lab.spawn("cli", ["/usr/bin/python3", f"{HERE}/prober.py", lab.path(f"{self.name}.single"), WEB, WEB6, DNS],
                                f"{self.name}-prober", cpu=CLIENT_CPUS)

    def check(self):
        for child, name in ((self.wrk, self.name), (self.prober, f"{self.name}-prober")):
            if child.poll() is not None:
                raise RuntimeError(f"the clients ended early: {self.lab.log_tail(name)}")

    def stop(self):
        self.lab.stop(self.wrk, signal.SIGINT)
        self.lab.stop(self.prober, signal.SIGTERM, grace=4)

    def served(self, start, end):
        """Requests answered in [start, end) (monotonic ns), by kind."""
        kinds = {"wrk": 0, "http": 0, "http6": 0, "dns": 0, "ping": 0, "new": 0}
        for when, count in _since(self.wrk_lines.read(), start):
            if start <= int(when) < end:
                kinds["wrk"] += int(count)
        for _, kind, good, when in _since(self.single_lines.read(), start):
            if good == "1" and start <= int(when) < end:
                kinds[kind] += 1
        return kinds

    def success(self, start, end, kind=None):
        """(succeeded, tried) of the single requests (of one kind) that began in [start, end)."""
        fates = [good == "1" for began, what, good, _ in _since(self.single_lines.read(), start)
                 if start <= int(began) < end and kind in (None, what)]
        return sum(fates), len(fates)


class Lines:
    """The words of each line of a file that another process appends to; what was read is kept."""

    def __init__(self, path):
        self.path, self.at, self.rows = path, 0, []

    def read(self):
        try:
            with open(self.path, encoding="ascii") as source:
                source.seek(self.at)
                text = source.read()
        except FileNotFoundError:
            return self.rows
        whole = text.rfind("\n") + 1  # the writer may be in the middle of the last line
        self.at += whole
        self.rows += [line.split() for line in text[:whole].splitlines()]
        return self.rows


def _since(rows, start):
    """The rows that can concern what happened since `start`: they are in order of completion, the last word or first."""
    first = len(rows)
    while first and max(int(rows[first - 1][0]), int(rows[first - 1][-1])) >= start - 3_000_000_000:
        first -= 1
    return rows[first:]


# ---- legitimate steps that no training has seen ------------------------------------------------------------


class Step:
    """One step: children, and a judgement of their output once they ended. bad() is "" if all went well."""

    def __init__(self, title, lab, children, judge, seconds):
        self.title, self.lab, self.children, self.judge = title, lab, children, judge
        self.deadline = time.monotonic() + seconds

    def finish(self):
        for child in self.children:
            try:
                child.wait(max(0.1, self.deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            self.lab.stop(child)
        return self.judge([self.lab.log_tail(child.lab_name, 100_000) for child in self.children])


def ten_times(lab):
    """Ten times the clients' sources and requests at once: new addresses by wrk, new connections by curl."""
    children = [_wrk(lab, "step-wrk", "198.19.0.1+640", 640, 500, 5, close=False)]
    children += [lab.spawn("cli", ["curl", "-s", "-o", "/dev/null", "-m", "5", "--interface", f"198.19.16.{n + 1}", "-Z",
                                   "--parallel-max", "10", "-w", "%{http_code}\n", f"http://{WEB}/[1-80]"],
                           f"step-curl{n}", cpu=CLIENT_CPUS) for n in range(4)]

    def judge(logs):
        answered = sum(log.count("200\n") + log.endswith("200") for log in logs[1:])
        requests = re.search(r"(\d+) requests in", logs[0])
        count = int(requests.group(1)) if requests else 0
        failed = re.search(r"Socket errors: (.*)", logs[0])
        return {"ok": answered >= 316 and count > 3000,
                "text": f"wrk {count} requests from 640 new addresses, curl {answered} of 320"
                        + (f"; {failed.group(1)}" if failed else "")}

    return Step("10x clients", lab, children, judge, 10)


def bulk_flow(lab):
    """A new long TCP flow upwards (a third of the bottleneck), and one downwards."""
    children = [lab.spawn("cli", ["iperf3", "-c", BULK, "-B", "198.19.32.7", "-t", "5", "-b", "3M", "-J"], "step-bulk",
                          cpu=CLIENT_CPUS)]

    def judge(logs):
        try:
            rate = json.loads(logs[0])["end"]["sum_received"]["bits_per_second"] / 1e6
        except (ValueError, KeyError):
            return {"ok": False, "text": f"iperf3: {logs[0][-200:]}"}
        return {"ok": rate > 2.6, "text": f"iperf3 {rate:.1f} of 3 Mbit/s"}

    return Step("new bulk flow", lab, children, judge, 10)


def dns_burst(lab):
    """1,600 questions a second, 25 times the everyday, for three seconds from eight resolvers' addresses."""
    children = [lab.spawn("cli", ["dnsperf", "-s", DNS, "-a", f"198.19.40.{n + 1}", "-d", lab.path("queries"), "-l", "3",
                                  "-c", "4", "-Q", "200", "-t", "1"], f"step-dns{n}", cpu=CLIENT_CPUS) for n in range(8)]

    def judge(logs):
        done = [int(match.group(1)) for log in logs if (match := re.search(r"Queries completed:\s+(\d+)", log))]
        sent = [int(match.group(1)) for log in logs if (match := re.search(r"Queries sent:\s+(\d+)", log))]
        return {"ok": len(done) == 8 and sum(done) >= 0.995 * sum(sent) > 0,
                "text": f"dnsperf {sum(done)} of {sum(sent)} questions answered"}

    return Step("DNS burst", lab, children, judge, 10)


STEPS = (ten_times, bulk_flow, dns_burst)


def ring_drops(lab):
    """Packets lost between the counter before the gate and the gate itself: the veth's ring was full."""
    link = json.loads(run("ip", "-n", lab.ns("inet"), "-s", "-j", "link", "show", OUTER))[0]
    return link["stats64"]["tx"]["dropped"]
