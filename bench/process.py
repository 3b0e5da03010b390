# SPDX-License-Identifier: MIT
"""The processes that are measured: started on given cores, asked over HTTP, read from /proc."""
import contextlib
import ctypes
import dataclasses
import os
import re
import selectors
import signal
import socket
import subprocess
import time

MONITOR_SECONDS = 0.3
START_SECONDS = 120  # until a process listens, and until a fleet is loaded
STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1

LIBC = ctypes.CDLL(None)


class BenchError(Exception):
    """Something does not run; the text says what."""


class Missing(BenchError):
    """A program is not installed; the text says which, and its package."""


@dataclasses.dataclass
class Answer:
    status: int
    reason: str
    headers: list  # of (name, value), in their order
    body: bytes
    seconds: float  # from sending to the last byte

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)


class Client:
    """One kept HTTP/1.1 connection, with little of its own between the sending and the answer."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), START_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def ask(self, method, target, headers=None, body=b""):
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        request = "\r\n".join([*lines, "", ""]).encode() + body
        begun = time.perf_counter()
        self.socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive(target)
        first, *rest = received[:end].decode("latin-1").split("\r\n")
        _, status, reason = first.split(" ", 2)
        answer = Answer(int(status), reason, [tuple(re.split(": ?", r, 1)) for r in rest], b"", 0)
        length = int(answer.header("content-length") or 0)
        answer.body = received[end + 4:]
        while len(answer.body) < length:
            answer.body += self._receive(target)
        answer.seconds = time.perf_counter() - begun
        return answer

    def _receive(self, target):
        received = self.socket.recv(1 << 20)
        if not received:
            raise BenchError(f"the connection closed within the answer to {target}")
        return received

    def get(self, target, headers=None, status=200):
        answer = self.ask("GET", target, headers)
        if answer.status != status:
            raise BenchError(f"GET {target}: {answer.status}, not {status}: {answer.body[:300]}")
        return answer


def prepare_child(cores):
    """Before exec: on these cores (None: on any), and never alive without us."""

    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


class Process:
    """A server that says "listening on http://HOST:PORT" on stdout; one that does not say so is
    told its `port`, and whoever works for it (`family`) counts as it. Ended by stop(), and ready
    as soon as `ready`, where it has one, answers 200."""

    generator = None  # what measures it; None: what the workload says
    requests_min = None  # of each connection, in a sample; None: what load.py says

    def __init__(self, command, folder, cores=None, ready=None, port=None, family=False):
        self.name = os.path.basename(command[0])
        self.log = os.path.join(folder, f"{self.name}.log")
        self.begun = time.perf_counter()
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log,
                                          stdout=log if port else subprocess.PIPE,
                                          preexec_fn=prepare_child(cores))
        self.pid, self.family = self.child.pid, family
        self.port = port
        try:
            if port:
                self._wait_for_port()
            else:
                self.port = int(self._first_line().rsplit(":", 1)[1])
            if ready:
                self._wait_for(ready)
        except BaseException:
            self.stop()
            raise
        self.ready_seconds = time.perf_counter() - self.begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _failed(self, what):
        with open(self.log, "rb") as log:
            said = log.read()[-600:].decode(errors="replace").strip()
        return BenchError(f"{self.name} {what}; {self.log} ends with: {said or '(nothing)'}")

    def _first_line(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.stdout, selectors.EVENT_READ)
            if not selector.select(START_SECONDS):
                raise self._failed(f"does not listen after {START_SECONDS} s")
        line = self.child.stdout.readline().decode()
        if not re.fullmatch(r"listening on http://\S+:\d+\n", line):
            raise self._failed("did not begin to listen")
        return line.strip()

    def _wait_for_port(self):
        while time.perf_counter() < self.begun + START_SECONDS:
            if self.child.poll() is not None:
                raise self._failed(f"ended with {self.child.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise self._failed(f"does not listen after {START_SECONDS} s")

    def _wait_for(self, target):
        while time.perf_counter() < self.begun + START_SECONDS:
            if self.child.poll() is not None:
                raise self._failed(f"ended with {self.child.returncode}")
            client = Client(self.port)
            answer = client.ask("GET", target)
            client.close()
            if answer.status == 200:
                return
            time.sleep(0.005)
        raise self._failed(f"does not answer {target} with 200 after {START_SECONDS} s")

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        if self.child.stdout:
            self.child.stdout.close()

    def pids(self):
        return descendants(self.pid) if self.family else [self.pid]

    def cpu_seconds(self):
        return sum(map(cpu_seconds, self.pids()))

    def resident_bytes(self):
        return sum(map(resident_bytes, self.pids()))


def free_ports(count):
    """At which nobody listens, for servers that cannot choose by themselves."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def descendants(pid):
    """The process and all that it has started, and these, and so on."""
    found = [pid]
    for parent in found:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as children:
                found += map(int, children.read().split())
    return found


def cpu_seconds(pid):
    """utime + stime of all threads of a process, those that have ended too, as /proc/PID/stat
    shows them; but from its CPU clock, in nanoseconds (clock_getcpuclockid in the C library)."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status.read(), re.M).group(1)) * 1024


def ask_redis(path, *words):
    """One command to the redis-server behind a unix socket; its reply as text."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(START_SECONDS)
        connection.connect(path)
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in map(str.encode, words))
        connection.sendall(b"*%d\r\n%b" % (len(words), parts))
        with connection.makefile("rb") as stream:
            first = stream.readline().decode().strip()
            if not first or first[0] == "-":
                raise BenchError(f"redis: {' '.join(words)}: {first or 'no answer'}")
            return stream.read(int(first[1:])).decode() if first[0] == "$" else first[1:]


def monitored(path, act):
    """What MONITOR shows of Redis from just before `act` until Redis is silent for a moment; not
    for long, since writers ask it something each second."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.settimeout(MONITOR_SECONDS)
        connection.sendall(b"MONITOR\r\n")
        said = connection.recv(1 << 16)
        act()
        with contextlib.suppress(TimeoutError):
            while True:
                said += connection.recv(1 << 20)
    return said.decode()


def redis_pid(path):
    return int(re.search(r"process_id:(\d+)", ask_redis(path, "INFO", "server")).group(1))
