#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The real moatd and moat: a flood found, stopped and let go; what survives a crash; reloads that apply all or
nothing; and one clear error for everything that can be wrong at the start."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.environ.get("MOAT_BUILD", "build")
MOATD, MOAT = (os.path.abspath(os.path.join(BUILD, "ctl", name)) for name in ("moatd", "moat"))
SOURCE = os.environ.get("MOAT_SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PREFIX = f"moatd{os.getpid()}"
CLIENT, GATEWAY, SERVER = (f"{PREFIX}-{part}" for part in ("c", "g", "s"))
CLIENT_IP, SERVER_IP = "10.78.1.2", "10.78.2.2"
PINS = f"/sys/fs/bpf/{PREFIX}"
# Emulated machines (tests/vm) send less.
SLOW = os.environ.get("MOAT_TEST_SLOW") == "1"
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

CONFIG = """run_dir: {dir}/run
state_dir: {dir}/state
pin_dir: {pins}
ports:
  - name: {port}
    role: gateway
gate: {{sample_pass: 8, sample_drop: 64}}
detect:
  protected: [10.78.2.0/24]
  learn: 3s
  close_after: 1s
  floor: {{syn: 100, udp: 100, icmp: 100, amplification: 100}}
  guard: {{syn: 500, udp: 500, icmp: 500, amplification: 500}}
respond:
  mode: {mode}
  hold: 20s
{more}
events:
  path: {dir}/events.json
"""


def run(*command, check=True, timeout=30, **options):
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def inside(namespace, *command, **options):
    return run("nsenter", f"--net=/run/netns/{namespace}", *command, **options)


def expect(condition, what, *facts):
    if not condition:
        raise AssertionError(f"{what}: {' '.join(map(str, facts))}")


def wait_for(function, what, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = function()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def link(left, left_name, left_ip, right, right_name, right_ip):
    run("ip", "link", "add", left_name, "netns", left, "type", "veth", "peer", "name", right_name, "netns", right)
    for where, name, address in ((left, left_name, left_ip), (right, right_name, right_ip)):
        inside(where, "ethtool", "-K", name, "tx", "off", "rx", "off", "gso", "off", "tso", "off", "gro", "off",
               check=False)
        if address:
            inside(where, "ip", "address", "add", f"{address}/24", "dev", name)
        inside(where, "ip", "link", "set", name, "up")


def set_up():
    for namespace in (CLIENT, GATEWAY, SERVER):
        run("ip", "netns", "add", namespace)
        inside(namespace, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
               "net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.ip_forward=1")
        inside(namespace, "ip", "link", "set", "lo", "up")
    link(CLIENT, "c0", CLIENT_IP, GATEWAY, "g0", "10.78.1.1")
    link(SERVER, "s0", SERVER_IP, GATEWAY, "g1", "10.78.2.1")
    # the two ends of a wire, which has no addresses
    link(CLIENT, "c1", "10.78.3.1", GATEWAY, "w0", None)
    link(SERVER, "s1", "10.78.3.2", GATEWAY, "w1", None)
    inside(CLIENT, "ip", "route", "add", "10.78.2.0/24", "via", "10.78.1.1")
    inside(SERVER, "ip", "route", "add", "10.78.1.0/24", "via", "10.78.2.1")


def tear_down(directory):
    run(MOAT, "gate", "detach", "--pin-dir", PINS, check=False)
    for namespace in (CLIENT, GATEWAY, SERVER):
        run("ip", "netns", "del", namespace, check=False)
    shutil.rmtree(directory, ignore_errors=True)


class Appliance:
    """moatd with a configuration of its own, and moat to ask it."""

    def __init__(self, directory, mode="enforce", more="", config=None):
        self.dir = directory
        self.path = os.path.join(directory, "moat.yaml")
        self.socket = os.path.join(directory, "run/control.sock")
        self.write(config or CONFIG.format(dir=directory, pins=PINS, port="g0", mode=mode, more=more))
        self.process = None
        self.prefix = ()

    def write(self, text):
        with open(self.path, "w", encoding="ascii") as out:
            out.write(text)

    def start(self):
        with open(os.path.join(self.dir, "log"), "w", encoding="utf-8") as log:
            # unlike "ip netns exec" this leaves the mounts alone: the gate is pinned below /sys/fs/bpf
            self.process = subprocess.Popen(
                (*self.prefix, "nsenter", f"--net=/run/netns/{GATEWAY}", MOATD, "--config", self.path), stdout=log,
                stderr=log)
        # a socket that a killed one left doesn't answer
        wait_for(lambda: self.process.poll() is not None or
                 run(MOAT, "--socket", self.socket, "status", check=False).returncode == 0, "moatd answers",
                 90 if SLOW else 20)
        expect(self.process.poll() is None, "moatd starts", self.log())

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8") as log:
            return log.read()

    def ask(self, *arguments):
        return json.loads(run(MOAT, "--socket", self.socket, "--json", *arguments).stdout)

    def refused(self, *arguments, status=1):
        done = run(MOAT, "--socket", self.socket, *arguments, check=False)
        expect(done.returncode == status, "status of", arguments, done.returncode, done.stderr)
        expect(done.stderr.count("\n") == 1 and done.stderr.startswith("moat: "), "one error", done.stderr)
        return done.stderr

    def events(self, kind):
        with open(os.path.join(self.dir, "events.json"), encoding="utf-8") as lines:
            return [event["moat"] for event in map(json.loads, lines) if event["moat"]["object"] == kind]

    def rules(self):
        return self.ask("rules", "list")["rules"]

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(10)
        return self.process.returncode

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)


def balanced(status):
    for port in status["ports"] + status["workers"]:
        expect(port["balanced"] and port["received"] == sum(port["reasons"].values()), "in = sum of outs", port)
    return status


class Flood:
    """UDP from the client to the server, from one port, until it is stopped."""

    def __init__(self, target=SERVER_IP):
        self.target, self.sent, self.going = target, 0, True
        self.thread = threading.Thread(target=self.body, daemon=True)

    def body(self):
        with open(f"/run/netns/{CLIENT}", "rb") as handle:
            expect(LIBC.setns(handle.fileno(), CLONE_NEWNET) == 0, "setns")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("", 4000))
            while self.going:
                for _ in range(50):
                    udp.sendto(b"x" * 200, (self.target, 9))
                    self.sent += 1
                time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        self.thread.join(5)


def ping(count=3, target=SERVER_IP):
    done = inside(CLIENT, "ping", "-q", "-c", str(count), "-i", "0.05", "-W", "2", target, check=False)
    return done.returncode == 0


def started_rule(moat):
    rules = [rule for rule in moat.rules() if rule["owner"] == "respond"]
    return rules[0] if rules else None


def test_flood(directory):
    with Appliance(directory) as moat:
        expect(ping(), "pings pass")
        with Flood() as flood:
            rule = wait_for(lambda: started_rule(moat), "a rule", 10)
            expect(rule["action"] in ("drop", "limit"), "the rule stops it", rule)
            before = moat.ask("rules", "list")["rules"][0]["hits"]
            time.sleep(1)
            expect(moat.rules()[0]["hits"] > before, "the rule has hits")
            expect(ping(), "pings pass beside the flood")
            (finding,) = moat.ask("status")["findings"]
            expect(finding["subject"] == SERVER_IP and finding["kind"] == "udp_flood", "the finding", finding)
            explained = moat.ask("explain", str(finding["id"]))
            expect(explained["rules"][0]["id"] == rule["id"] and explained["finding"]["evidence"], "explained")
        opened = [event for event in moat.events("finding") if event["state"] == "open"]
        added = [event for event in moat.events("rule") if event["change"] == "added"]
        expect(len(opened) == 1 and len(added) == 1, "one finding, one rule", opened, added)
        expect(added[0]["finding"] == opened[0]["id"] and added[0]["mono_ns"] >= opened[0]["detected_ns"], "order")
        expect(0 < added[0]["rule_ms"] < (5000 if SLOW else 1000), "the rule stands within a second", added)
        wait_for(lambda: not moat.rules(), "the rule is lifted", 10)
        expect(moat.events("finding")[-1]["state"] == "closed", "the finding closes")
        status = balanced(moat.ask("status"))
        dropped = sum(count for reason, count in status["ports"][0]["reasons"].items() if reason.startswith("drop"))
        expect(0 < dropped <= flood.sent, "dropped", dropped, flood.sent)
        expect(status["events"]["lost"] == status["detect"]["findings_lost"] == 0, "nothing lost", status["events"])
        expect(moat.stop() == 0, "a clean end", moat.log())
    expect(not os.path.exists(moat.socket), "the socket is gone")


def test_observe(directory):
    with Appliance(directory, mode="observe") as moat:
        with Flood():
            rule = wait_for(lambda: started_rule(moat), "a rule", 10)
            expect(rule["action"] == "count", "the rule counts", rule)
            wait_for(lambda: moat.rules()[0]["hits"] > 0, "hits")
        reasons = balanced(moat.ask("status"))["ports"][0]["reasons"]
        expect(not any(reason.startswith("drop") for reason in reasons), "nothing is dropped", reasons)


def test_crash(directory):
    """The gate goes on enforcing without moatd, and the next one finds everything as it was."""
    moat = Appliance(directory)
    with moat:
        expect(ping(), "pings pass")
        added = moat.ask("rules", "add", "drop", "src", CLIENT_IP, "proto", "icmp", "comment", "no ping")
        expect(not ping(1), "the rule drops pings")
        moat.stop(signal.SIGKILL)
        expect(not ping(1), "it does without moatd")
    with moat:
        status = moat.ask("status")
        expect(status["ports"][0]["adopted"], "the gate is adopted", status["ports"])
        expect([rule["id"] for rule in moat.rules()] == [added["id"]], "the rule is kept", moat.rules())
        expect(moat.rules()[0]["comment"] == "no ping", "its comment too", moat.rules())
        expect(not ping(1), "the rule still drops")
        moat.ask("rules", "del", str(added["id"]))
        expect(ping(), "pings pass again")
        balanced(moat.ask("status"))
        moat.stop()
        expect("the gate stays" in moat.log(), "the end says what goes on", moat.log())
    run(MOAT, "gate", "detach", "--pin-dir", PINS)
    expect(not os.path.exists(PINS), "nothing is left pinned")
    expect("xdp" not in inside(GATEWAY, "ip", "link", "show", "g0").stdout, "nothing is left attached")
    again = run(MOAT, "gate", "detach", "--pin-dir", PINS, check=False)
    expect(again.returncode == 1 and "there is no gate" in again.stderr, "no gate is not called detached", again)


def test_rules(directory):
    with Appliance(directory, more="lists: {deny: [203.0.113.0/24]}\n") as moat:
        path = os.path.join(directory, "list")
        with open(path, "w", encoding="ascii") as out:
            out.write("# a list\n198.51.100.0/24\nallow 192.0.2.1\ndrop proto udp dport 19\n")
        report = moat.ask("rules", "load", path)
        expect((report["rules"], report["allowed"], report["denied"]) == (1, 1, 1), "loaded", report)
        listed = moat.ask("rules", "list")
        expect(listed["deny"]["count"] == 2 and listed["allow"]["prefixes"] == ["192.0.2.1"], "listed", listed)
        report = json.loads(run(MOAT, "--socket", moat.socket, "--json", "rules", "load",
                                input="deny 198.18.0.0/15\n").stdout)
        expect(report["denied"] == 1, "from standard input", report)
        with open(path, "w", encoding="ascii") as out:
            out.write("drop proto udp dport 20\nnonsense\n")
        expect(f"{path}:2" in moat.refused("rules", "load", path), "the line of an error")
        with open(path, "w", encoding="ascii") as out:
            out.write("nonsense\nmore of it\n")
        expect(f"; {path}:2" in moat.refused("rules", "load", path), "the second line of an error")
        expect(len(moat.rules()) == 1, "nothing of a bad file", moat.rules())
        moat.ask("rules", "add", "deny", "192.0.2.128/25")
        moat.ask("rules", "del", "deny", "192.0.2.128/25")
        for arguments, text in (
                (("add", "drop", "src", "nobody"), "nobody"),
                (("add", "drop"), "drop"),
                (("add", "deny", "0.0.0.0/0"), "would deny everything"),
                (("add", "drop", "proto", "udp", "dport", "19"), "matches the same already"),
                (("del", "4711"), "there is no rule 4711"),
                (("del", "0"), "a rule has a number from 1"),
                (("del", "deny", "203.0.113.0/24"), "stands in the configuration"),
                (("del", "deny", "203.0.112.0/24"), "doesn't stand"),
                (("load", "/nonexistent"), "No such file")):
            expect(text in moat.refused("rules", *arguments), "refused", arguments, moat.refused("rules", *arguments))
        moat.refused("explain", "4711")
        moat.refused("rules", "nonsense", status=2)
        seen = moat.ask("events", "-n", "1")
        expect(seen["moat"]["change"] == "list_removed", "the latest event", seen)


def test_descriptors(directory):
    """A descriptor shows that its sender may read the file, or moatd doesn't read it."""
    path = os.path.join(directory, "secret")
    with open(path, "w", encoding="ascii") as out:
        out.write("root:secret\n")
    with Appliance(directory) as moat:
        for how in (os.O_PATH, os.O_WRONLY):
            handle = os.open(path, how)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(moat.socket)
                socket.send_fds(client, [b'{"id":1,"method":"rules.load"}\n'], [handle])
                answer = client.recv(4096).decode()
            os.close(handle)
            expect("open for reading" in answer and "secret" not in answer, "refused", answer)


def test_ports(directory):
    """After each start the gate is on the ports of the configuration; a failed one leaves what was there."""
    one = CONFIG.format(dir=directory, pins=PINS, port="g0", mode="enforce", more="")
    two = one.replace("ports:\n", "ports:\n  - name: g1\n")
    obstacle = os.path.join(directory, "run/control.sock")

    def guarded():
        return [name for name in ("g0", "g1") if "xdp" in inside(GATEWAY, "ip", "link", "show", name).stdout]

    def fails(config):
        moat.write(config)
        os.makedirs(obstacle)
        done = inside(GATEWAY, MOATD, "--config", moat.path, check=False)
        expect(done.returncode == 1 and "control socket" in done.stderr, "the start fails", done.stderr)
        os.rmdir(obstacle)

    moat = Appliance(directory, config=two)
    fails(two)
    expect(guarded() == [] and not os.path.exists(PINS), "a first start that fails leaves nothing", guarded())
    with moat:
        expect(guarded() == ["g0", "g1"], "both ports", guarded())
        moat.stop()
    moat.write(one)
    with moat:
        expect(guarded() == ["g0"], "the port that the configuration has no more is bare", guarded())
        moat.stop()
    fails(two)
    expect(guarded() == ["g0"], "a later start that fails leaves what was there", guarded())


def test_reload(directory):
    moat = Appliance(directory, mode="observe")
    with moat:
        good = CONFIG.format(dir=directory, pins=PINS, port="g0", mode="enforce",
                             more="lists: {deny: [203.0.113.0/24]}\n")
        for bad, text in ((good.replace("hold: 20s", "hold: soon"), "moat.yaml:16:9: respond.hold: "),
                          (good.replace("name: g0", "name: g7"), "moat.yaml:5:11: ports.0.name: "),
                          (good + "nonsense: 1\n", "moat.yaml:21:1: unknown key \"nonsense\""),
                          (good.replace("/run\n", "/run2\n"), "run_dir can't change"),
                          (good.replace("deny: [203.0.113.0/24]", f"files: [{directory}/log]"), f"{directory}/log:1")):
            moat.write(bad)
            expect(text in moat.refused("reload"), "refused", text, moat.refused("reload"))
            expect(moat.ask("status")["respond"]["mode"] == "observe", "nothing changed")
        moat.write(good.replace("ports:\n", "ports:\n  - name: g1\n"))
        moat.process.send_signal(signal.SIGHUP)
        wait_for(lambda: moat.ask("status")["respond"]["mode"] == "enforce", "SIGHUP")
        status = moat.ask("status")
        expect({port["name"] for port in status["ports"]} == {"g0", "g1"}, "the new port", status["ports"])
        expect(status["rules"]["deny"] == 1, "the list", status["rules"])
        moat.write(good)
        moat.ask("reload")
        expect([port["name"] for port in moat.ask("status")["ports"]] == ["g0"], "the port has gone")
        expect("xdp" not in inside(GATEWAY, "ip", "link", "show", "g1").stdout, "and is bare")
        expect(ping(), "pings pass")


def test_follow(directory):
    with Appliance(directory) as moat:
        follower = subprocess.Popen((MOAT, "--socket", moat.socket, "events", "-f", "-n", "0", "--json"),
                                    stdout=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: moat.ask("status")["control"]["clients"] == 2, "the follower")
            moat.ask("rules", "add", "count", "proto", "icmp")
            event = json.loads(follower.stdout.readline())
            expect(event["moat"]["change"] == "added", "the event", event)
            os.rename(f"{directory}/events.json", f"{directory}/events.json.1")
            moat.process.send_signal(signal.SIGUSR1)
            wait_for(lambda: os.path.exists(f"{directory}/events.json"), "the file anew")
            looks = run(MOAT, "--socket", moat.socket, "top", "-n", "2", "-i", "0.3", "--json").stdout.splitlines()
            expect(len(looks) == 2 and json.loads(looks[1])["interval_s"] > 0, "top", looks)
        finally:
            follower.kill()
            follower.communicate()


def test_start_errors(directory):
    config = CONFIG.format(dir=directory, pins=PINS, port="g0", mode="observe", more="")

    def refused(text, *command):
        done = inside(GATEWAY, *command, check=False)
        expect(done.returncode == 1, "status of", command, done.returncode)
        expect(done.stderr.count("\n") == 1 and text in done.stderr, "one error with", text, done.stderr)
        expect(not os.path.exists(PINS), "nothing is pinned")

    moat = Appliance(directory)
    for bad, text in (("nonsense\n", "moat.yaml:1:1: "), (config.replace("learn", "lern"), "unknown key \"lern\""),
                      (config.replace("10.78.2.0/24", "10.78.2.1/24"), "bits set behind the prefix"),
                      (config.replace("g0", "g7"), "there is no interface \"g7\""), ("", "at least one port")):
        moat.write(bad)
        refused(text, MOATD, "--check", moat.path)
        refused(text, MOATD, "--config", moat.path)
    refused("No such file", MOATD, "--check", "/nonexistent")
    moat.write(config)
    expect(inside(GATEWAY, MOATD, "--check", moat.path).stdout == "OK\n", "a good file")
    refused("missing privilege: CAP_BPF (", "setpriv", "--bounding-set=-bpf", MOATD, "--config", moat.path)
    refused("missing privilege: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON", "setpriv", "--bounding-set=-all", MOATD,
            "--config", moat.path)
    expect("moatd is not running (no socket at" in moat.refused("status"), "without moatd")
    with moat:
        done = inside(GATEWAY, MOATD, "--config", moat.path, check=False)
        pid = moat.ask("status")["pid"]
        expect(done.returncode == 1 and f"running already with pid {pid} " in done.stderr, "a second one", done.stderr)
        expect(moat.ask("status")["pid"] == pid, "the first one goes on")


def test_unit(directory):
    """What the systemd unit leaves writable below /run is enough: ProtectSystem=strict makes the rest read-only."""
    with open(os.path.join(SOURCE, "ctl/units/moatd.service"), encoding="ascii") as unit:
        settings = dict(line.strip().split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
    protect = "mount --rbind /run /run; mount -o remount,bind,ro /run; "
    if settings["ProtectSystem"] != "strict" or "/run" in settings["ReadWritePaths"].split():
        protect = ""
    moat = Appliance(directory)
    moat.prefix = ("unshare", "-m", "sh", "-ec", protect + 'exec "$@"', "sh")
    with moat:
        expect(moat.stop() == 0, "it starts and ends", moat.log())


def test_wire(directory):
    config = f"""run_dir: {directory}/run
state_dir: {directory}/state
pin_dir: {PINS}
ports:
  - {{name: w0, role: wire, peer: w1}}
  - {{name: w1, role: wire, peer: w0}}
events: {{path: {directory}/events.json}}
"""
    with Appliance(directory, config=config) as moat:
        wait_for(lambda: ping(1, "10.78.3.2"), "pings through the wire")
        expect(ping(10, "10.78.3.2"), "more of them")
        rule = moat.ask("rules", "add", "drop", "proto", "icmp")
        expect(not ping(1, "10.78.3.2"), "the rule drops them")
        moat.ask("rules", "del", str(rule["id"]))
        expect(ping(3, "10.78.3.2"), "they pass again")
        moat.write(config + "gate: {sample_pass: 7}\n")
        expect("can't change while moatd runs" in moat.refused("reload"), "what workers don't follow is refused")
        status = balanced(moat.ask("status"))
        expect(len(status["workers"]) >= 2 and status["detect"]["modes"] == ["wire"], "workers", status["workers"])
        expect(moat.stop() == 0, "a clean end", moat.log())


def test_host(directory):
    """moat-sidecar's events on moatd's timeline, and those that a filter lets through."""
    mark = f"{PREFIX}-host-{os.getpid()}"
    with Appliance(directory) as moat:
        sidecar = subprocess.Popen((MOAT + "-sidecar", "--link", f"{directory}/run/sidecar.sock", "--hook", "none"),
                                   stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: moat.ask("status")["host"]["connected"], "the sidecar connects", 30)
            command = (MOAT, "--socket", moat.socket, "--json", "events", "--filter")
            follower = subprocess.Popen((*command, f'.ocsf.process.cmd_line? // "" | test("{mark}-[ab]$")', "-f"),
                                        stdout=subprocess.PIPE, text=True)
            time.sleep(0.3)
            for letter in "abc":
                run("/bin/true", f"{mark}-{letter}")
            lines = [json.loads(follower.stdout.readline()) for _ in range(4)]
            follower.terminate()
            follower.wait(10)
            follower.stdout.close()
            expect([line["ocsf"]["process"]["cmd_line"][-1] for line in lines] == list("aabb") and
                   [line["ocsf"]["activity_id"] for line in lines] == [1, 2, 1, 2], "followed and filtered", lines)
            program = f'.ocsf.activity_id == 1 and (.ocsf.process.cmd_line | contains("{mark}"))'
            done = run(*command, program, "-n", "2")
            expect([json.loads(line)["ocsf"]["process"]["cmd_line"][-1] for line in done.stdout.splitlines()] ==
                   ["b", "c"] and not done.stderr, "the latest two that match", done)
            text = run(MOAT, "--socket", moat.socket, "events", "--filter", "true").stdout
            expect("runs: /bin/true" in text and max(map(len, text.splitlines())) <= 100, "as text", text)
            error = moat.refused("events", "--filter", ".a ==", status=2)
            expect("line 1" in error, "the place of what is wrong", error)
        finally:
            sidecar.kill()
            sidecar.wait(10)


def main(tests, prepare=None):
    """Runs each test_… among them, or those named, in a network and a directory of its own; prepare(), if given, goes on
    with the network."""
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return 77
    for name, test in sorted(tests.items()):
        if not name.startswith("test_") or (len(sys.argv) > 1 and name not in sys.argv[1:]):
            continue
        directory = tempfile.mkdtemp(prefix=f"{PREFIX}-")
        try:
            set_up()
            if prepare:
                prepare()
            begin = time.monotonic()
            # a skipped test is no pass where it is all that was asked for
            if test(directory) == 77 and len(sys.argv) > 1:
                return 77
            print(f"{name} {time.monotonic() - begin:.1f} s", flush=True)
        except (AssertionError, OSError, KeyError, IndexError, ValueError, subprocess.TimeoutExpired) as error:
            print(f"{name}: {type(error).__name__}: {error}")
            log = os.path.join(directory, "log")
            if os.path.exists(log):
                with open(log, encoding="utf-8") as lines:
                    print(lines.read())
            return 1
        finally:
            tear_down(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(globals()))
