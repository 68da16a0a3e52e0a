#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Whom findings go to: a script, a web hook, and routers (BIRD, by ExaBGP); and bans by hand."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import moatd
from moatd import MOAT, SERVER, SERVER_IP, Appliance, Flood, expect, inside, run, wait_for

GATEWAY_IP = "10.78.2.1"
VICTIM6 = "2001:db8::7"

SCRIPT = """#!/bin/sh
echo "$*" >>{dir}/words
cat >>{dir}/reports
"""

BIRD = """log "{dir}/bird.log" all;
router id 192.0.2.2;
protocol device {{ }}
flow4 table flow4tab;
protocol bgp moat {{
    local {server} as 65000;
    neighbor {gateway} as 65000;
    ipv4 {{ import all; export none; }};
    flow4 {{ table flow4tab; import all; export none; }};
}}
"""

EXABGP = """process moat {{
    run {moat} --socket {socket} upstream speak;
    encoder text;
}}
neighbor {server} {{
    router-id 192.0.2.1;
    local-address {gateway};
    local-as 65000;
    peer-as 65000;
    family {{ ipv4 unicast; ipv4 flow; }}
    api {{ processes [ moat ]; }}
}}
"""

UPSTREAM = """upstream:
  action: {action}
  uplink: 2Mbit/s
  share: 0.5
  hold: 3s
  prefixes: [10.78.2.0/24]
  next_hop: 192.0.2.66
"""


def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as text:
        return text.read().splitlines()


class Hook(threading.Thread):
    """A web server in the gateway's namespace that keeps what is posted; its first answer is 503."""

    def __init__(self):
        super().__init__(daemon=True)
        self.bodies, self.tokens, self.refusals, self.port = [], [], 1, 0
        self.ready = threading.Event()
        self.server = None

    def run(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = 503 if hook.refusals else 204
                hook.refusals = 0
                if status == 204:
                    hook.bodies.append(json.loads(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        with open(f"/run/netns/{moatd.GATEWAY}", "rb") as handle:
            expect(moatd.LIBC.setns(handle.fileno(), moatd.CLONE_NEWNET) == 0, "setns")
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.ready.set()
        self.server.serve_forever()

    def __enter__(self):
        self.start()
        expect(self.ready.wait(5), "the web server starts")
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_notify(directory):
    script = os.path.join(directory, "tell")
    with open(script, "w", encoding="ascii") as out:
        out.write(SCRIPT.format(dir=directory))
    os.chmod(script, 0o755)
    with Hook() as hook:
        more = f"notify: {{script: {script}, webhook: 'http://127.0.0.1:{hook.port}/x?key=secret'}}\n"
        with Appliance(directory, more=more) as moat:
            with Flood():
                wait_for(lambda: lines_of(f"{directory}/reports") and hook.bodies, "both are told", 20)
            wait_for(lambda: len(lines_of(f"{directory}/reports")) == 2 and len(hook.bodies) == 2, "of the end", 30)
            words = lines_of(f"{directory}/words")
            expect(words == [f"open udp_flood {SERVER_IP}", f"closed udp_flood {SERVER_IP}"], "words", words)
            reports = [json.loads(line) for line in lines_of(f"{directory}/reports")]
            expect(reports == hook.bodies, "both get the same", reports, hook.bodies)
            expect(reports[0]["rules"] and reports[0]["evidence"] and reports[0]["sentence"], "the whole story",
                   reports[0])
            told = moat.ask("status")["notify"]
            expect(told == {"lost": 0, "script_sent": 2, "script_failed": 0, "webhook_sent": 2, "webhook_failed": 0},
                   "counted", told)
            expect("secret" not in moat.log(), "no secret in the log", moat.log())


def test_notify_failures(directory):
    """A script that never ends is killed with all it started; one that others may change is refused."""
    script = os.path.join(directory, "hang")
    with open(script, "w", encoding="ascii") as out:
        out.write(f"#!/bin/sh\nsleep 1234 & echo $! >{directory}/child\nwait\n")
    os.chmod(script, 0o755)
    with Appliance(directory, more=f"notify: {{script: {script}, timeout: 1s}}\n") as moat:
        with Flood():
            wait_for(lambda: moat.ask("status")["notify"]["script_failed"], "the script's time is up", 20)
        child = int(lines_of(f"{directory}/child")[0])
        wait_for(lambda: not os.path.exists(f"/proc/{child}") or
                 " Z " in lines_of(f"/proc/{child}/stat")[0], "what it started ends", 5)
        os.chmod(script, 0o777)
        expect("others can write" in moat.refused("reload"), "others' scripts are refused")
        os.chmod(script, 0o755)
        expect(moat.stop() == 0, "a clean end", moat.log())


def birdc(directory, *words):
    return inside(SERVER, "birdc", "-s", f"{directory}/bird.ctl", *words, check=False).stdout


@contextlib.contextmanager
def routers(directory, moat):
    """BIRD in the server's namespace, ExaBGP in the gateway's."""
    processes = []
    for name, text in (("bird", BIRD), ("exabgp", EXABGP)):
        with open(f"{directory}/{name}.conf", "w", encoding="ascii") as out:
            out.write(text.format(dir=directory, moat=MOAT, socket=moat.socket, server=SERVER_IP, gateway=GATEWAY_IP))
    environment = dict(os.environ, **{"exabgp.daemon.user": "root", "exabgp.api.ack": "false", "exabgp.api.cli": "false",
                                      "exabgp.daemon.drop": "false", "exabgp.tcp.bind": ""})
    try:
        processes.append(subprocess.Popen(  # pylint: disable=consider-using-with
            ("nsenter", f"--net=/run/netns/{SERVER}", "bird", "-f", "-c", f"{directory}/bird.conf",
             "-s", f"{directory}/bird.ctl"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        with open(f"{directory}/exabgp.log", "w", encoding="ascii") as log:
            processes.append(subprocess.Popen(  # pylint: disable=consider-using-with
                ("nsenter", f"--net=/run/netns/{moatd.GATEWAY}", "exabgp", f"{directory}/exabgp.conf"),
                stdout=log, stderr=log, env=environment, start_new_session=True))
        wait_for(lambda: "Established" in birdc(directory, "show", "protocols", "moat"), "the session stands", 15)
        yield
    except AssertionError:
        print(birdc(directory, "show", "protocols", "all"), "\n".join(lines_of(f"{directory}/exabgp.log")[-40:]),
              "\n".join(lines_of(f"{directory}/bird.log")))
        raise
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def announced(directory, action):
    table = "master4" if action == "blackhole" else "flow4tab"
    return birdc(directory, "show", "route", "table", table, "all")


def check_upstream(directory, action, expected):
    moat = Appliance(directory, more=UPSTREAM.format(action=action))
    with moat, routers(directory, moat):
        expect(SERVER_IP not in announced(directory, action), "nothing at first", announced(directory, action))
        with Flood():
            route = wait_for(lambda: SERVER_IP in announced(directory, action) and announced(directory, action),
                             f"the router has it: {lines_of(f'{directory}/exabgp.log')[-20:]}", 30)
            for text in expected:
                expect(text in route, text, route)
            listed = moat.ask("upstream")
            expect(listed["action"] == action and len(listed["routes"]) >= 1, "listed", listed)
            # moatd's end changes nothing at the routers; the next one finds the flood anew
            moat.stop(signal.SIGKILL)
            time.sleep(1)
            expect(SERVER_IP in announced(directory, action), "it stands without moatd")
            moat.start()
            wait_for(lambda: moat.ask("upstream")["routes"], "announced anew", 20)
        wait_for(lambda: SERVER_IP not in announced(directory, action), "the router lets it go", 40)
        wait_for(lambda: not moat.ask("upstream")["routes"], "and so does the list", 10)


def have_routers():
    missing = [name for name in ("bird", "exabgp") if not shutil.which(name)]
    if missing:
        print(f"SKIP: {', '.join(missing)} missing")
    return not missing


def test_upstream_blackhole(directory):
    if have_routers():
        check_upstream(directory, "blackhole", (f"{SERVER_IP}/32", "192.0.2.66", "(65535,666)"))


def test_upstream_flowspec(directory):
    if have_routers():
        check_upstream(directory, "flowspec", (f"dst {SERVER_IP}/32", "proto 17"))


def test_upstream_withdraw(directory):
    with Appliance(directory, more=UPSTREAM.format(action="flowspec")) as moat:
        expect("no route stands" in moat.refused("upstream", "withdraw", "4711"), "nothing to withdraw")
        with Flood():
            routes = wait_for(lambda: moat.ask("upstream")["routes"], "a route", 20)
            done = moat.ask("upstream", "withdraw", str(routes[0]["finding"]))
            expect(done["withdrawn"] == len(routes), "withdrawn", done)
            time.sleep(2)
            expect(not moat.ask("upstream")["routes"], "it stays so while the flood lasts")


def test_bans(directory):
    with Appliance(directory) as moat:
        expect(moatd.ping(), "pings pass")
        expect(moat.ask("bans") == [], "nobody is banned")
        moat.ask("ban", moatd.CLIENT_IP, "for", "1h", "tries", "passwords")
        expect(not moatd.ping(1), "the ban stands")
        (ban,) = moat.ask("bans")
        expect(ban["comment"] == "tries passwords" and 3590 < ban["expires_s"] <= 3600, "listed", ban)
        expect(moatd.CLIENT_IP in run(MOAT, "--socket", moat.socket, "bans").stdout, "as text")
        moat.stop(signal.SIGKILL)
        moat.start()
        expect(len(moat.ask("bans")) == 1 and not moatd.ping(1), "it outlives moatd")
        moat.ask("unban", f"{moatd.CLIENT_IP}/32")
        expect(moatd.ping() and moat.ask("bans") == [], "the ban is over")
        moat.ask("ban", moatd.CLIENT_IP, "for", "1s")
        wait_for(lambda: moat.ask("bans") == [], "a ban ends by itself", 10)
        expect(moatd.ping(), "pings pass again")
        for arguments, text in ((("ban",), "takes an address"), (("ban", "nobody"), "no address"),
                                (("ban", "10.0.0.1/8"), "bits set"), (("ban", "192.0.2.1", "for", "long"), "no duration")):
            expect(text in moat.refused(*arguments, status=2), "refused", arguments)
        expect("is not banned" in moat.refused("unban", "192.0.2.1"), "nobody to let go")


if __name__ == "__main__":
    sys.exit(moatd.main(globals()))
