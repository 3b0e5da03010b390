# SPDX-License-Identifier: MIT
"""Several instances of fleetbit on one Redis, each behind a proxy of its own; all of it can be
killed, stopped for a while, cut apart, and Redis can forget what it acknowledged last."""
import contextlib
import os
import signal
import subprocess

import redis

import harness
from harness import ROOT, eventually, in_threads, scale
from api import Api
from http1 import ConnectionLost
from journal import Journal, cut_end
from proxy import Proxy

# Long enough for a machine that is busy.
SETTINGS = {"FLEETBIT_REDIS_TIMEOUT": "3s", "FLEETBIT_WRITER_DEADLINE": "10s"}


class Redis(harness.Redis):
    """A redis-server at a unix socket, with conf/redis.conf: after start() it has every write that
    was acknowledged, but for those that forget() took from it while it was down."""

    def __init__(self, folder):
        super().__init__(folder)
        self.path = self.folder / "redis.sock"
        self.paused = False
        self.forgotten = []  # entries
        self.forgotten_epochs = []

    def start(self):
        # A kill may leave half a write at the end, which nobody was told of.
        if self.file.exists():
            cut_end(self.file, 0)
        self.path.unlink(missing_ok=True)
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", str(ROOT / "conf/redis.conf"), "--port", "0", "--unixsocket",
                 str(self.path), "--dir", str(self.folder), "--databases", "8", "--requirepass",
                 self.password, "--auto-aof-rewrite-percentage", "0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=harness._die_with_parent)
        eventually(self.answers, 60)
        return self

    @property
    def file(self):
        """The append-only file: all that was ever written."""
        return self.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"

    def client(self, database=None):
        return redis.Redis(unix_socket_path=str(self.path), password=self.password,
                           db=self.database if database is None else database, socket_timeout=60)

    def url(self, port):
        return f"redis://:{self.password}@127.0.0.1:{port}/{self.database}"

    def answers(self):
        assert self.process.poll() is None, (self.folder / "redis.log").read_text()[-2000:]
        return super().answers()

    def head(self, fleet="default"):
        with contextlib.closing(self.client()) as client:
            found = client.hgetall(f"fb:{{{fleet}}}:head")
        return {name.decode(): value.decode() for name, value in found.items()}

    def token(self):
        """(epoch, revision) of the head, as responses show it."""
        head = self.head()
        return head.get("epoch"), int(head.get("revision", 0))

    def journal(self):
        return Journal(self.file)

    def kill(self):
        self.stop(signal.SIGKILL)
        self.paused = False

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def forget(self, count, bare=False):
        """Takes the last commits away, so many that at least `count` changes are gone. Only while
        it is down. Returns the entries that are lost."""
        assert self.process is None, "it runs"
        cut_end(self.file, 0)
        lost, epochs = cut_end(self.file, count, bare)
        self.forgotten += lost
        self.forgotten_epochs += epochs
        return lost


class Instance(harness.Server):
    """A server behind its proxy. `port` is None while there is none."""

    def __init__(self, folder, number, store, env, flags, seed):
        folder.mkdir()
        self.number, self.paused = number, False
        self.proxy = Proxy(store.path, seed)
        super().__init__(folder, "--threads", "2", *flags,
                         redis_url=store.url(self.proxy.port), env=env)

    def api(self, timeout=60):
        return Api(self.port, timeout)

    def token(self):
        """(epoch, revision) that it shows, or None where it does not answer."""
        try:
            with self.api() as api:
                response = api.get("/v1/machines?limit=1")
                return response.revision if response.status == 200 else None
        except (ConnectionLost, ConnectionRefusedError):
            return None

    def _ended(self):
        self.port = self.admin_port = None
        self.paused = False
        super()._ended()

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)
        self.paused = False

    def reloads(self):
        """How often it gave up following the log."""
        text = "loading the fleet anew: "
        return self.errors().count(text) - self.errors().count(text + "%s") + self.left_out(text)


class Cluster:
    def __init__(self, folder, count=3, env=None, flags=(), seed=0):
        self.redis = Redis(folder / "r")
        environment = {**SETTINGS, **(env or {})}
        self.instances = [Instance(folder / f"i{i}", i, self.redis, environment, flags,
                                   seed * count + i) for i in range(count)]

    def start(self):
        self.redis.start()
        for instance in self.instances:
            instance.launch()
        for instance in self.instances:
            instance.wait_ready(scale(30, 90))
        return self

    def heal(self):
        """All faults are over; what was killed stays so."""
        for instance in self.instances:
            instance.proxy.faults()
            instance.proxy.refuse(False)
            instance.proxy.hang()
            if instance.paused:
                instance.resume()
        if self.redis.paused:
            self.redis.resume()

    def settled(self):
        """The token that Redis and all instances show now, or None where they do not agree."""
        token = self.redis.token()
        agree = all(instance.token() == token for instance in self.instances)
        return token if agree and token == self.redis.token() else None

    def settle(self, seconds=scale(30, 90)):
        """Waits until all show the same; nobody may write meanwhile."""
        return eventually(self.settled, seconds)

    def check_all_see(self, token, seconds):
        """Waits until every instance shows that token, or a later one of its epoch."""
        def seen():
            tokens = [instance.token() for instance in self.instances]
            return all(t is not None and t[0] == token[0] and t >= token for t in tokens)

        eventually(seen, seconds)

    def stop(self):
        self.heal()
        try:
            in_threads([instance.stop for instance in self.instances])
        finally:
            for instance in self.instances:
                instance.kill()
                instance.proxy.close()
            self.redis.stop()
