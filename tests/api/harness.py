# SPDX-License-Identifier: MIT
"""Real servers and real Redises for the tests: started on free ports of the loopback interface,
ended by their process ids, and searched for what a sanitizer had to say."""
import ctypes
import itertools
import os
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redis

from http1 import Connection, ConnectionLost

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("FLEETBIT_BIN") or ROOT / "build" / "release" / "fleetbit").resolve()

# What a sanitizer, or an assertion of ours or of libh2o, leaves on stderr.
REPORTS = re.compile(r"Sanitizer|runtime error:|: [Aa]ssertion|SUMMARY: |terminated by signal")
READY_S, STOP_S = 30, 30

_content = BINARY.read_bytes() if BINARY.exists() else b""
SANITIZER = ("thread" if b"__tsan_init" in _content
             else "address" if b"__asan_init" in _content else None)
LONG = os.environ.get("FLEETBIT_LONG") == "1"
del _content

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def scale(release, sanitized):
    """How often, or how long: builds with a sanitizer are several times slower."""
    return sanitized if SANITIZER else release


def unique(prefix="I"):
    """An inventory id that nobody else has."""
    return f"{prefix}-{next(_numbers)}-{uuid.uuid4().hex[:8]}"


def today(zone="UTC", now=None):
    """The date in a time zone, as the server should see it."""
    return datetime.fromtimestamp(time.time() if now is None else now, ZoneInfo(zone)).date()


def day(offset, zone="UTC"):
    """A date so many days from today, as a text."""
    return (today(zone) + timedelta(days=offset)).isoformat()


def away_from_midnight(seconds=20, zone="UTC"):
    """Waits, where the day is about to change, until it has: most tests speak of one today."""
    while today(zone) != today(zone, time.time() + seconds):
        time.sleep(0.2)


def eventually(check, seconds=20, pause=0.02):
    """Calls `check` until what it returns is true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s: {check}"
        time.sleep(pause)


def skip_loudly(reason):
    """A skip that a quiet run shows too."""
    warnings.warn(reason, stacklevel=2)
    pytest.skip(reason)


def in_threads(functions):
    """Runs all, and raises what the first of them raised."""
    broken = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children(pid):
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no server outlives the tests


def environment(variables=None):
    """Ours without settings of fleetbit, but with `variables`, and what ./dev tells sanitizers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLEETBIT_")}
    kept.setdefault("LSAN_OPTIONS", f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0")
    kept.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")
    kept.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    return {**kept, **(variables or {})}


class Server:
    """`fleetbit serve` on free ports with a directory of its own. start() may be called again
    after stop() or kill(): the data stay."""

    alive = []

    def __init__(self, folder, *flags, redis_url=None, env=None):
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.flags, self.redis_url, self.env = flags, redis_url, env or {}
        self.process = self.port = self.admin_port = None
        self.error_path = self.folder / "stderr"
        self.starts = 0

    # --- starting ---

    def command(self):
        place = ["--redis", self.redis_url] if self.redis_url else ["--data", str(self.data)]
        return [str(BINARY), "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                *place, *map(str, self.flags)]

    def launch(self):
        """Starts the process and waits until it says where it listens, no more."""
        assert self.process is None, "it runs already"
        self.starts += 1
        out_path = self.folder / f"stdout-{self.starts}"
        with open(out_path, "wb") as out, open(self.error_path, "ab") as err:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=environment(self.env), preexec_fn=_die_with_parent)
        Server.alive.append(self)

        def announced():
            assert self.process.poll() is None, f"it ended at its start:\n{self.errors()}"
            text = out_path.read_text()
            return re.search(r"(?s)^listening on http://127\.0\.0\.1:(\d+)\n.*"
                             r"^admin on http://127\.0\.0\.1:(\d+)\n", text, re.M)

        match = eventually(announced, READY_S)
        self.port, self.admin_port = int(match.group(1)), int(match.group(2))
        return self

    def start(self):
        self.launch()
        self.wait_ready()
        return self

    def is_ready(self):
        assert self.process.poll() is None, f"it ended:\n{self.errors()}"
        try:
            with self.connect(timeout=10) as connection:
                return connection.get("/readyz").status == 200
        except (ConnectionLost, ConnectionRefusedError, socket.timeout):
            return False

    def wait_ready(self, seconds=READY_S):
        eventually(self.is_ready, seconds)

    # --- using ---

    def connect(self, timeout=60):
        return Connection(self.port, timeout)

    def admin(self):
        return Connection(self.admin_port)

    @property
    def pid(self):
        return self.process.pid

    @property
    def redis_pid(self):
        pids = [pid for pid in children(self.pid)
                if b"redis-server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(pids) == 1, f"its redis-servers: {pids}"
        return pids[0]

    def redis(self):
        """A client of the private Redis."""
        return redis.Redis(unix_socket_path=str(self.data / "redis.sock"), socket_timeout=20)

    def errors(self):
        return self.error_path.read_text(errors="replace") if self.error_path.exists() else ""

    def left_out(self, text):
        """How often the log has left out messages whose format has this text."""
        return sum(int(count) for count in re.findall(
            rf'left out (\d+) times: [^"]*{re.escape(text)}', self.errors()))

    def _epoll_of_sockets(self):
        """Inode of a socket -> the descriptor of the epoll instance that watches it."""
        inodes, found = {}, {}
        epolls = []
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except FileNotFoundError:
                continue  # closed since it was listed
            if target.startswith("socket:["):
                inodes[entry.name] = target[8:-1]
            elif target == "anon_inode:[eventpoll]":
                epolls.append(entry.name)
        for epoll in epolls:
            info = Path(f"/proc/{self.pid}/fdinfo/{epoll}").read_text()
            for fd in re.findall(r"^tfd:\s*(\d+) ", info, re.M):
                if fd in inodes:
                    found[inodes[fd]] = int(epoll)
        return found

    def loops_of(self, connections):
        """Which event loop serves each connection, as /proc tells: {connection: loop}."""
        epoll_of, loop_of_port = self._epoll_of_sockets(), {}
        for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{self.port:04X}") and fields[9] in epoll_of:
                loop_of_port[int(fields[2].split(":")[1], 16)] = epoll_of[fields[9]]
        return {connection: loop_of_port[connection.local_port] for connection in connections}

    def connect_to_all_loops(self, each=1):
        """Connections on every event loop, `each` of them: {loop: [connection, ...]}. They are
        opened while the process is stopped, so that the loops share them out when it goes on."""
        with self.admin() as admin:
            text = admin.get("/metrics").body.decode()
        count = int(float(re.search(r"^fleetbit_loops (\S+)$", text, re.M).group(1)))
        by_loop = {}

        def gather():
            os.kill(self.pid, signal.SIGSTOP)
            try:
                fresh = [self.connect() for _ in range(40 * count)]
            finally:
                os.kill(self.pid, signal.SIGCONT)
            for connection in fresh:
                assert connection.get("/livez").status == 200
            for connection, loop in self.loops_of(fresh).items():
                mine = by_loop.setdefault(loop, [])
                if len(mine) < each:
                    mine.append(connection)
                else:
                    connection.close()
            return len(by_loop) == count and all(len(c) == each for c in by_loop.values())

        eventually(gather)
        return by_loop

    # --- ending ---

    def _ended(self):
        Server.alive.remove(self)
        self.process = None
        report = REPORTS.search(self.errors())
        assert not report, f"on its stderr:\n{self.errors()}"

    def stop(self, number=signal.SIGTERM, seconds=STOP_S):
        """Ends it as an operator does: status 0, in time, and its redis-server gone too."""
        if self.process is None:
            return
        own = children(self.pid)
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._ended()
            raise AssertionError(f"it did not end in {seconds} s:\n{self.errors()}") from None
        self._ended()
        assert status == 0, f"it ended with status {status}:\n{self.errors()}"
        assert not [pid for pid in own if is_alive(pid)], "a process of it lives on"

    def kill(self):
        """kill -9."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self._ended()


class Redis:
    """A redis-server of somebody else: a port, a password, several databases, all fsynced."""

    password = "s3cret-pass_word"

    def __init__(self, folder, database=3, user=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.database, self.process = free_port(), database, None
        self.user = user

    @property
    def url(self):
        return f"redis://{self.user or ''}:{self.password}@127.0.0.1:{self.port}/{self.database}"

    def start(self):
        access = (["--user", self.user, "on", f">{self.password}", "~fb:*", "&fb:*", "+@all"]
                  if self.user else ["--requirepass", self.password])
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
                 str(self.folder), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                 "--databases", "8", *access],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent)
        eventually(self.answers)
        return self

    def client(self, database=None):
        return redis.Redis(host="127.0.0.1", port=self.port, password=self.password,
                           username=self.user,
                           db=self.database if database is None else database, socket_timeout=20)

    def answers(self):
        try:
            return self.client().ping()
        except redis.RedisError:
            return False

    def stop(self, number=signal.SIGTERM):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait(20)
        self.process = None
