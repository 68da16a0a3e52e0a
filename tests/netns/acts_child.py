# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The acts of acts.py, done by one process one after the other; prints what is to be told of each, a JSON line
an act: [event, what the event has to have].

usage: acts_child.py DIRECTORY
"""

import ctypes
import json
import mmap
import os
import platform
import signal
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
NUMBERS = {"setuid": 105, "capget": 125, "capset": 126, "ptrace": 101, "process_vm_readv": 310, "renameat2": 316,
           "fsopen": 430, "umount2": 166, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "keyctl": 250,
           "unshare": 272, "setns": 308, "finit_module": 313, "delete_module": 176, "perf_event_open": 298,
           "pivot_root": 155, "chroot": 161, "kexec_load": 246}
RENAME_EXCHANGE = 2
PTRACE_DETACH = 17
SIGURG = signal.SIGURG

told = []


def call(name, *arguments):
    return LIBC.syscall(ctypes.c_long(NUMBERS[name]),
                        *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])


def tell(event, **expected):
    told.append([event, expected])


def files(base):
    a, b, c, e = (os.path.join(base, name) for name in "abce")
    sub = os.path.join(base, "sub")
    os.mkdir(sub)
    tell("file.create", path=sub)
    fd = os.open(a, os.O_CREAT | os.O_WRONLY, 0o600)
    tell("file.open", path=a)
    os.chmod(a, 0o640)
    tell("file.chmod", path=a, mode=0o640)
    os.chown(a, 0, 0)
    tell("file.chown", path=a)
    os.link(a, b)
    tell("file.link", path=a, result_path=b)
    os.symlink("a", c)
    tell("file.symlink", path="a", result_path=c)
    os.rename(b, e)
    tell("file.rename", path=b, result_path=e)
    call("renameat2", -100, a.encode(), -100, sub.encode(), RENAME_EXCHANGE)
    tell("file.rename", path=a, result_path=sub, flags=RENAME_EXCHANGE)
    call("renameat2", -100, a.encode(), -100, sub.encode(), RENAME_EXCHANGE)
    tell("file.rename", path=a, result_path=sub, flags=RENAME_EXCHANGE)
    os.ftruncate(fd, 10)
    tell("file.truncate", path=a, length=10)
    os.close(fd)
    os.close(os.open(a, os.O_RDONLY))
    tell("file.open", path=a)
    # a directory's descriptor, and a name relative to it
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    os.unlink("c", dir_fd=fd)
    tell("file.unlink", path=c)
    os.chdir(base)
    os.rmdir("sub")
    tell("file.unlink", path=sub)
    odd = os.path.join(base.encode(), b"odd\n\xff \xc3\xbc")
    os.close(os.open(odd, os.O_CREAT | os.O_WRONLY))
    tell("file.open", path=base + "/odd\\x0a\\xff ü")
    os.close(fd)
    fd = os.memfd_create("moat-act")
    tell("file.memfd", path="moat-act")
    os.ftruncate(fd, 4096)
    tell("file.truncate", path="/memfd:moat-act", length=4096)
    mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    tell("file.map", path="/memfd:moat-act", protection=5)
    call("fsopen", b"moat-none", 0)
    tell("file.mount", path="moat-none")
    call("umount2", base.encode(), 0)
    tell("file.umount", path=base)


def deep(base):
    """Deeper than what is told of a path: cut, and said."""
    name = "d" * 200
    os.chdir(base)
    for _ in range(20):
        os.mkdir(name)
        tell("file.create", name=name)
        os.chdir(name)
    fd = os.open("deep", os.O_CREAT | os.O_WRONLY)
    os.close(fd)
    tell("file.open", name="deep", path_cut=True)


def sockets(base):
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        listener = socket.socket(family)
        listener.bind((address, 0))
        port = listener.getsockname()[1]
        tell("net.bind", dst={"ip": address, "port": port})
        listener.listen(4)
        tell("net.listen", dst={"ip": address, "port": port})
        client = socket.socket(family)
        client.connect((address, port))
        source = client.getsockname()[1]
        ends = {"src": {"ip": address, "port": source}, "dst": {"ip": address, "port": port}}
        tell("net.state", state=1, **ends)
        tell("net.connect", result=0, **ends)
        server, _ = listener.accept()
        tell("net.accept", **ends)
        client.sendall(b"x" * 100)
        server.recv(200)
        server.sendall(b"y" * 50)
        client.recv(200)
        client.close()
        server.close()
        tell("net.state", state=7, bytes_out=100, bytes_in=50, **ends)
        tell("net.state", state=7, bytes_out=50, bytes_in=100)
        listener.close()
    path = os.path.join(base, "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    tell("net.bind", unix_path=path)
    listener.listen(1)
    tell("net.listen", unix_path=path)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    tell("net.connect", unix_path=path, result=0)
    listener.accept()
    tell("net.accept", unix_path=path)
    client = socket.socket()
    try:
        client.connect(("127.0.0.1", 1))
    except ConnectionRefusedError:
        pass
    tell("net.state", state=7, bytes_out=0, bytes_in=0)
    tell("net.connect", dst={"ip": "127.0.0.1", "port": 1}, result=-111)
    query = struct.pack(">6H", 0x1234, 0x100, 1, 0, 0, 0) + b"\4moat\7example\0" + struct.pack(">2H", 28, 1)
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.sendto(query, ("127.0.0.1", 53))
    tell("net.dns", hostname="moat.example", query_type="AAAA")
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    tell("net.socket", family=17)


def processes(base):
    child = os.fork()
    if child == 0:
        signal.pause()
    os.kill(child, SIGURG)
    tell("process.signal", target=child, signal=int(SIGURG))
    os.kill(os.getpid(), SIGURG)  # to itself: nobody's business
    if X86:
        call("ptrace", PTRACE_DETACH, child, 0, 0)
        tell("process.ptrace", target=child, request=PTRACE_DETACH, result=-3)
        call("process_vm_readv", child, None, 0, None, 0, 0)
        tell("process.memory", target=child, result=0)
    os.kill(child, signal.SIGKILL)
    tell("process.signal", target=child, signal=9)
    os.waitpid(child, 0)
    os.setresuid(0, 0, 0)
    tell("process.setid", ids=[0, 0, 0], result=0)


def surface(base):
    call("unshare", 0)
    tell("kernel.unshare", result=0)
    call("setns", -1, 0)
    tell("kernel.setns", result=-9)
    call("bpf", 1, None, 0)  # of an element: not told
    call("bpf", 7, None, 0)
    tell("kernel.bpf", command=7)
    call("userfaultfd", -1)
    tell("kernel.userfaultfd")
    call("io_uring_setup", 7, None)
    tell("kernel.io_uring", entries=7)
    call("keyctl", 0, -2, 0)
    tell("kernel.key", operation=0)
    call("perf_event_open", ctypes.create_string_buffer(128), -1, -1, -1, 0)
    tell("kernel.perf")
    call("finit_module", -1, b"moat=1", 0)
    tell("kernel.module", parameters="moat=1")
    call("delete_module", b"moat_none", 0)
    tell("kernel.unload")
    call("kexec_load", 0, -1, None, -1)
    tell("kernel.kexec")
    call("pivot_root", b"/moat-none", b"")
    tell("kernel.pivot_root", kernel_path="/moat-none")
    call("chroot", b"/moat-none")
    tell("kernel.chroot", kernel_path="/moat-none")


def compat(base):
    """mkdir(2) as a 32-bit program calls it: number 39 of i386 by int $0x80. In a child: without the
    kernel's IA-32 emulation it is a fault."""
    path = os.path.join(base, "compat").encode() + b"\0"
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if status == 0:
            tell("child:file.create", path=path[:-1].decode(), abi="compat")
        return
    memory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40,  # MAP_32BIT
                       prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    memory[2048:2048 + len(path)] = path
    code = (b"\x53\xb8" + struct.pack("<I", 39) + b"\xbb" + struct.pack("<I", address + 2048) +
            b"\xb9" + struct.pack("<I", 0o700) + b"\xcd\x80\x5b\xc3")
    memory[0:len(code)] = code
    os._exit(0 if ctypes.CFUNCTYPE(ctypes.c_int)(address)() == 0 else 1)


def main():
    base = sys.argv[1]
    for act in [files, sockets, processes] + [surface, compat] * X86 + [deep]:
        act(base)
    for line in told:
        print(json.dumps(line))


main()
