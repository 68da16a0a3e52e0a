# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The lab's network: five namespaces, real kernel forwarding, one bottleneck.

    cli ──┐                                              ┌── web  203.0.113.80
          ├─ br0 (inet) ── uplink ─► gw ── in0 ─tbf─► srv ┼── dns  203.0.113.53
    atk ──┘                 XDP gate                      └── bulk 203.0.113.20

Every name carries the run's id. What a run made is written to RUN_ROOT before it is made, so that a later
run (or `lab.py --down`) can remove what a killed one left, and only that.
"""
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import time

RUN_ROOT = "/run/moat-lab"
BPFFS = "/sys/fs/bpf"
PREFIX = "moat-lab-"
ROLES = ("inet", "cli", "atk", "gw", "srv")

WEB, DNS, BULK = "203.0.113.80", "203.0.113.53", "203.0.113.20"
WEB6 = "2001:db8:5::80"
SERVERS, SERVERS6 = "203.0.113.0/24", "2001:db8:5::/64"
CLIENTS, CLIENTS6 = "198.18.0.0/15", "2001:db8:c::/48"
SCANNER = "198.51.100.66"
UPLINK, OUTER, INNER = "up0", "gw-outer", "in0"
IDLE = "idle0"  # carries nothing; the generator parks its program there

# The server's link. `mpu 64 overhead 24` charges a frame what Ethernet charges it, so that a flood of
# minimum-size packets fills the link as it would fill a real one. The queue behind it counts packets, so that
# small ones have no better chance than large ones, and is short: it makes loss, not latency.
BOTTLENECK = "rate 6mbit burst 16kb limit 48kb mpu 64 overhead 24"
QUEUE_PACKETS = 128

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """For preexec_fn: a killed lab takes its children along (PR_SET_PDEATHSIG)."""
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)


def start_time(pid):
    """The kernel's start tick of a pid: with it a recorded pid can't be confused with a later process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def run(*argv, text=None, timeout=20, check=True):
    """Runs one command to its end; its own error message is the error's text."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Lab:
    """Namespaces, addresses, the run directory and every process started in it."""

    def __init__(self, keep=False):
        self.id = f"{os.getpid():x}"
        self.dir = f"{RUN_ROOT}/{self.id}"
        self.pins = f"{BPFFS}/{PREFIX}{self.id}"
        self.keep = keep
        self.children = []
        os.makedirs(self.dir, mode=0o755)
        self._record()

    # ---- names -----------------------------------------------------------------------------------------

    def ns(self, role):
        return f"{PREFIX}{self.id}-{role}"

    def enter(self, role):
        """argv prefix. nsenter and not `ip netns exec`: that one remounts /sys and hides bpffs."""
        return ["nsenter", f"--net=/run/netns/{self.ns(role)}"]

    def path(self, name):
        return f"{self.dir}/{name}"

    def ip(self, role, *lines):
        run("ip", "-n", self.ns(role), "-batch", "-", text="\n".join(lines) + "\n")

    def sysctl(self, role, **values):
        run(*self.enter(role), "sysctl", "-q", "-w",
            *(f"{key.replace('__', '.')}={value}" for key, value in values.items()))

    def mac(self, role, dev):
        return json.loads(run("ip", "-n", self.ns(role), "-j", "link", "show", dev))[0]["address"]

    # ---- processes -------------------------------------------------------------------------------------

    def spawn(self, role, argv, name, cpu=None, nice=0, stdin=subprocess.DEVNULL, stdout=None):
        """Starts argv in a namespace (None: the host's), output to a log in the run directory.

        Each child is a session of its own: Ctrl-C reaches only the lab, and `nice` can be given to the session
        (with sched_autogroup a process's own priority counts only within its session).
        """
        full = (self.enter(role) if role else []) + (["taskset", "-c", str(cpu)] if cpu is not None else []) + argv
        log = open(self.path(f"{name}.log"), "ab")
        child = subprocess.Popen(full, stdin=stdin, stdout=log if stdout is None else stdout, stderr=log,
                                 preexec_fn=None if self.keep else die_with_parent, start_new_session=True)
        log.close()
        if nice:
            os.setpriority(os.PRIO_PROCESS, child.pid, nice)
            if os.path.exists(f"/proc/{child.pid}/autogroup"):
                with open(f"/proc/{child.pid}/autogroup", "w", encoding="ascii") as group:
                    group.write(str(nice))
        child.lab_name = name
        self.children.append(child)
        self._record()
        return child

    def stop(self, child, sig=signal.SIGTERM, grace=3):
        """Ends one child, politely first. An ended child is no error."""
        if child.poll() is None:
            child.send_signal(sig)
            try:
                child.wait(grace)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(grace)
        if child in self.children:
            self.children.remove(child)
            self._record()
        return child.returncode

    def log_tail(self, name, lines=8):
        try:
            with open(self.path(f"{name}.log"), encoding="utf-8", errors="replace") as log:
                return "".join(log.readlines()[-lines:]).strip()
        except OSError:
            return ""

    def _record(self):
        state = {"pid": os.getpid(), "start": start_time(os.getpid()), "keep": self.keep, "pins": self.pins,
                 "netns": [self.ns(role) for role in ROLES],
                 "children": [[child.pid, start_time(child.pid)] for child in self.children]}
        with open(f"{self.dir}/state.json.new", "w", encoding="ascii") as out:
            json.dump(state, out)
        os.rename(f"{self.dir}/state.json.new", f"{self.dir}/state.json")

    # ---- the network -----------------------------------------------------------------------------------

    def up(self):
        for role in ROLES:
            run("ip", "netns", "add", self.ns(role))
            self.sysctl(role, net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0,
                        net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__all__accept_dad=0)
            self.ip(role, "link set lo up")
        self._links()
        self._addresses()
        self._neighbours()
        qdisc = ("tc", "-n", self.ns("gw"), "qdisc", "add", "dev", INNER)
        run(*qdisc, "root", "handle", "1:", "tbf", *BOTTLENECK.split())
        run(*qdisc, "parent", "1:1", "pfifo", "limit", str(QUEUE_PACKETS))

    def _links(self):
        self.ip("inet", "link add br0 type bridge stp_state 0 mcast_snooping 0",
                f"link add to-cli type veth peer name eth0 netns {self.ns('cli')}",
                f"link add to-atk type veth peer name eth0 netns {self.ns('atk')}",
                f"link add {OUTER} type veth peer name {UPLINK} netns {self.ns('gw')}",
                *(f"link set {dev} master br0 up" for dev in ("to-cli", "to-atk", OUTER)), "link set br0 up",
                f"link add {IDLE} type veth peer name {IDLE}p", f"link set {IDLE} up")
        self.ip("gw", f"link add {INNER} type veth peer name eth0 netns {self.ns('srv')}",
                f"link set {INNER} up", f"link set {UPLINK} up")
        for role in ("cli", "atk", "srv"):
            self.ip(role, "link set eth0 up")
        # Whole frames with real checksums at the gate, as from a wire.
        for role, dev in (("cli", "eth0"), ("atk", "eth0")):
            run(*self.enter(role), "ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off")
        run(*self.enter("inet"), "ethtool", "-K", OUTER, "gso", "off", "tso", "off")

    def _addresses(self):
        self.ip("inet", "addr add 192.0.2.1/24 dev br0", "addr add 2001:db8::1/64 dev br0 nodad")
        # AnyIP: every address of the clients' prefixes is local to the clients' namespace.
        self.ip("cli", "addr add 192.0.2.10/24 dev eth0", "addr add 2001:db8::10/64 dev eth0 nodad",
                f"route add local {CLIENTS} dev lo", "route add default via 192.0.2.2")
        self.ip("atk", "addr add 192.0.2.20/24 dev eth0", f"addr add {SCANNER}/32 dev lo",
                "addr add 2001:db8::20/64 dev eth0 nodad", f"route add default via 192.0.2.2 src {SCANNER}")
        self.ip("gw", f"addr add 192.0.2.2/24 dev {UPLINK}", f"addr add 2001:db8::2/64 dev {UPLINK} nodad",
                f"addr add 203.0.113.1/24 dev {INNER}", f"addr add 2001:db8:5::1/64 dev {INNER} nodad",
                f"route add {CLIENTS} via 192.0.2.10", "route add 198.51.100.0/24 via 192.0.2.20",
                "route add default via 192.0.2.1")
        self.ip("srv", *(f"addr add {ip}/24 dev eth0" for ip in (WEB, DNS, BULK)),
                f"addr add {WEB6}/64 dev eth0 nodad", "route add default via 203.0.113.1")
        for role, lines in (("cli", (f"route add local {CLIENTS6} dev lo", "route add default via 2001:db8::2")),
                            ("atk", ("route add default via 2001:db8::2",)),
                            ("gw", (f"route add {CLIENTS6} via 2001:db8::10", "route add default via 2001:db8::1")),
                            ("srv", ("route add default via 2001:db8:5::1",))):
            run("ip", "-6", "-n", self.ns(role), "-batch", "-", text="\n".join(lines) + "\n")
        self.sysctl("gw", net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        # IPv6 binds to an AnyIP address only with this.
        self.sysctl("cli", net__ipv6__ip_nonlocal_bind=1)
        # Answers to forged sources end here, as on the internet: inet doesn't forward.
        self.sysctl("inet", net__ipv4__ip_forward=0)
        self.sysctl("srv", net__core__somaxconn=4096, net__ipv4__tcp_max_syn_backlog=4096)

    def _neighbours(self):
        """Permanent entries: a lost ARP answer under load is not what the lab measures."""
        macs = {"inet": self.mac("inet", "br0"), "cli": self.mac("cli", "eth0"), "atk": self.mac("atk", "eth0"),
                "gw": self.mac("gw", UPLINK), "in": self.mac("gw", INNER), "srv": self.mac("srv", "eth0")}

        def entries(dev, *pairs):
            return [f"neigh replace {ip} lladdr {macs[who]} nud permanent dev {dev}" for ip, who in pairs]

        gateway = (("192.0.2.2", "gw"), ("2001:db8::2", "gw"))
        self.ip("cli", *entries("eth0", *gateway))
        self.ip("atk", *entries("eth0", *gateway))
        self.ip("srv", *entries("eth0", ("203.0.113.1", "in"), ("2001:db8:5::1", "in")))
        self.ip("gw", *entries(INNER, (WEB, "srv"), (DNS, "srv"), (BULK, "srv"), (WEB6, "srv")),
                *entries(UPLINK, ("192.0.2.1", "inet"), ("192.0.2.10", "cli"), ("192.0.2.20", "atk"),
                         ("2001:db8::1", "inet"), ("2001:db8::10", "cli"), ("2001:db8::20", "atk")))

    def down(self):
        """Ends what this run started, in any state of set-up; never raises half-way."""
        for child in list(reversed(self.children)):
            try:
                self.stop(child)
            except (OSError, subprocess.SubprocessError):
                pass
        _remove(self.dir, [self.ns(role) for role in ROLES], self.pins)


# ---- what dead runs left -----------------------------------------------------------------------------------


def gate_lock(pins):
    """The lock file that the gate keeps for its pins (dataplane/gate.c)."""
    return f"/run/moat-gate{pins.replace('/', '-')}.lock"


def _remove(directory, namespaces, pins):
    for name in namespaces:
        if os.path.exists(f"/run/netns/{name}"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20, check=False)
    if os.path.basename(pins).startswith(PREFIX):
        shutil.rmtree(pins, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(gate_lock(pins))
    shutil.rmtree(directory, ignore_errors=True)


def runs():
    """(id, state) of every recorded run."""
    found = []
    for name in sorted(os.listdir(RUN_ROOT)) if os.path.isdir(RUN_ROOT) else ():
        try:
            with open(f"{RUN_ROOT}/{name}/state.json", encoding="ascii") as source:
                found.append((name, json.load(source)))
        except (OSError, ValueError):
            # A run that died before its first record has made nothing else; a fresh one is still writing.
            if os.path.isdir(f"{RUN_ROOT}/{name}") and time.time() - os.stat(f"{RUN_ROOT}/{name}").st_mtime > 60:
                shutil.rmtree(f"{RUN_ROOT}/{name}", ignore_errors=True)
    return found


def tear_down(name, state):
    """Ends a recorded run: its own pids (checked by start time), namespaces, pins and directory."""
    for pid, started in [[state["pid"], state["start"]]] + list(reversed(state["children"])):
        if started is None or start_time(pid) != started or pid == os.getpid():
            continue
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 3
        while start_time(pid) == started and time.monotonic() < deadline:
            time.sleep(0.05)
        if start_time(pid) == started:
            os.kill(pid, signal.SIGKILL)
    _remove(f"{RUN_ROOT}/{name}", state["netns"], state["pins"])


def sweep():
    """Removes runs whose lab is dead, except those left up on purpose; returns how many."""
    count = 0
    for name, state in runs():
        alive = state["start"] is not None and start_time(state["pid"]) == state["start"]
        if not alive and not state["keep"]:
            tear_down(name, state)
            count += 1
    return count
