#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a program in the root file system of an image as a strict container does: as the image's
user, without a capability, nothing writable but what is named, the image's environment.

usage: enter.py [--volume OUTSIDE:INSIDE] [--new-net | --net-of PID] [--new-pid] [--api]
                ROOT ENVIRONMENT USER PROGRAM [ARGUMENT...]

ENVIRONMENT is JSON, USER is UID:GID. --new-pid makes the program process 1 of its own, a child of
this one, which hands SIGTERM on; without it, it takes the place of this one. With --api it stands
in for a binary of the tests of the interface: FLEETBIT_* variables pass, and the folder that holds
--data or --conf is there under its own name."""
import argparse
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys

NEWNS, NEWPID, NEWNET = 0x00020000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
SET_PDEATHSIG, CAPBSET_READ, CAPBSET_DROP, SET_NO_NEW_PRIVS = 1, 23, 24, 38
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def mount(source, target, kind=None, flags=0, data=None):
    check(libc.mount(*(None if text is None else text.encode() for text in (source, target, kind)),
                     ctypes.c_ulong(flags), None if data is None else data.encode()))


def enter_network(options):
    if options.net_of:
        with open(f"/proc/{options.net_of}/ns/net", "rb") as space:
            check(libc.setns(space.fileno(), NEWNET))
    elif options.new_net:
        check(libc.unshare(NEWNET))
        with socket.socket() as any_socket:
            request = struct.pack("16sh14x", b"lo", 0)
            flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def become_process_1():
    """Returns in the child; this process waits for it and ends as it did."""
    check(libc.unshare(NEWPID))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def mount_all(root, volumes):
    """The root read-only, a few devices, /proc, and the volumes; for this process and its own."""
    check(libc.unshare(NEWNS))
    mount(None, "/", flags=REC | PRIVATE)
    mount(root, root, flags=BIND)
    mount("proc", root + "/proc", "proc", NOSUID | NODEV)
    mount("dev", root + "/dev", "tmpfs", NOSUID, "size=64k,mode=755")
    for name in ("null", "zero", "random", "urandom"):
        with open(f"{root}/dev/{name}", "wb"):
            pass
        mount(f"/dev/{name}", f"{root}/dev/{name}", flags=BIND)
    mount(None, root + "/dev", flags=REMOUNT | RDONLY | NOSUID)
    places = [(outside, root + inside) for outside, inside in volumes]
    if any(not os.path.isdir(place) for _, place in places):
        mount("tmp", root + "/tmp", "tmpfs", NOSUID | NODEV, "size=64k,mode=755")
    for outside, place in places:
        os.makedirs(place, exist_ok=True)
        mount(outside, place, flags=BIND)
    if os.path.ismount(root + "/tmp"):
        mount(None, root + "/tmp", flags=REMOUNT | RDONLY | NOSUID | NODEV)
    mount(None, root, flags=REMOUNT | BIND | RDONLY)


def become(user):
    uid, gid = (int(part) for part in user.split(":"))
    capability = 0
    while libc.prctl(CAPBSET_READ, capability, 0, 0, 0) >= 0:
        check(libc.prctl(CAPBSET_DROP, capability, 0, 0, 0))
        capability += 1
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    check(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def folders_of(arguments, user):
    """The folders that a test of the interface hands over, made those of the image's user."""
    found = set()
    for flag, value in zip(arguments, arguments[1:]):
        if flag in ("--data", "--conf"):
            found.add(os.path.dirname(os.path.abspath(value)))
    for folder in found:
        above = folder
        while above != "/":
            os.chmod(above, os.stat(above).st_mode | 0o111)
            above = os.path.dirname(above)
        for path, _, files in os.walk(folder):
            for name in [path, *(os.path.join(path, file) for file in files)]:
                os.chown(name, *(int(part) for part in user.split(":")), follow_symlinks=False)
    return [(folder, folder) for folder in sorted(found)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--volume", action="append", default=[], type=lambda v: v.split(":"))
    parser.add_argument("--new-net", action="store_true")
    parser.add_argument("--net-of")
    parser.add_argument("--new-pid", action="store_true")
    parser.add_argument("--api", action="store_true")
    parser.add_argument("root")
    parser.add_argument("environment", type=json.loads)
    parser.add_argument("user")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    environment = options.environment
    if options.api:
        options.volume += folders_of(options.command, options.user)
        environment |= {k: v for k, v in os.environ.items()
                        if k.startswith("FLEETBIT_") and k != "FLEETBIT_BIN"}
    enter_network(options)
    if options.new_pid:
        become_process_1()
    mount_all(os.path.realpath(options.root), options.volume)
    os.chroot(options.root)
    os.chdir("/")
    become(options.user)
    os.execvpe(options.command[0], options.command, environment)


if __name__ == "__main__":
    sys.exit(main())
