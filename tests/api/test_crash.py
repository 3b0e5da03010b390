# SPDX-License-Identifier: MIT
"""kill -9, of the server and of Redis, under writes from several threads: what was acknowledged is
there after the restart, once, and what was refused is not."""
import itertools
import os
import random
import signal
import threading
import time

import pytest

from api import Api
from harness import eventually, is_alive, scale
from http1 import ConnectionLost
from store import check_store

THREADS = 6
SOON = {"FLEETBIT_REDIS_TIMEOUT": "500ms", "FLEETBIT_WRITER_DEADLINE": "2s"}


class Writers:
    """Threads that create, change and retire machines, each its own, and remember what they were
    told: `labels` of a machine is what was acknowledged last, `doubtful` what nobody knows."""

    def __init__(self, server):
        self.server, self.ended = server, threading.Event()
        self.numbers = itertools.count()
        self.created, self.retired, self.labels = {}, set(), {}
        self.refused, self.doubtful, self.broken = set(), {}, []
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        draw = random.Random(number)
        while not self.ended.is_set():
            try:
                with Api(self.server.port) as api:
                    own = []
                    while not self.ended.is_set():
                        self._step(api, draw, number, own)
            except (ConnectionLost, ConnectionRefusedError, ConnectionResetError):
                time.sleep(0.02)
            except Exception as error:
                self.broken.append(error)
                return

    def _step(self, api, draw, number, own):
        kind = draw.choice(["create", "create", "change", "retire"]) if own else "create"
        if kind == "create":
            name = f"t{number}-{next(self.numbers)}"
            self.doubtful[name] = "create"
            response = api.post("/v1/machines", {"label": "0", "inventory_id": name,
                                                 "type": "truck"})
            if response.status == 201:
                self.created[name] = response.json()["id"]
                self.labels[name] = "0"
                own.append(name)
        else:
            name = draw.choice(own)
            target = f"/v1/machines/{self.created[name]}"
            if kind == "change":
                label = str(next(self.numbers))
                self.doubtful[name] = label
                response = api.patch(target, {"label": label})
                if response.status == 200:
                    self.labels[name] = label
            else:
                self.doubtful[name] = "retire"
                response = api.delete(target)
                if response.status == 204:
                    self.retired.add(name)
                own.remove(name)  # of a machine in doubt nothing more is asked
        self._settle(name, response, own)

    def _settle(self, name, response, own):
        if response.status == 503:
            if response.json()["type"].endswith("/outcome-unknown"):
                if name in own:
                    own.remove(name)
                return
            if self.doubtful[name] == "create":
                self.refused.add(name)
        elif response.status not in (200, 201, 204):
            self.broken.append(response)
        del self.doubtful[name]

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.broken, self.broken[:3]

    def check(self, api):
        machines = api.pages("/v1/machines?limit=1000")
        names = [m["inventory_id"] for m in machines]
        assert len(names) == len(set(names)), "a machine is there twice"
        there = {m["inventory_id"]: m for m in machines}
        for name, identity in self.created.items():
            doubt = self.doubtful.get(name)
            if name in self.retired:
                assert name not in there, f"{name} was retired and is back"
            elif doubt != "retire" or name in there:
                assert name in there, f"{name} was acknowledged and is lost"
                assert there[name]["id"] == identity
                assert there[name]["label"] in (self.labels[name], doubt), name
        assert not self.refused & set(there), "what was refused is there"
        unknown = set(there) - set(self.created) - set(self.doubtful)
        assert not unknown, f"nobody wrote {unknown}"


def wait_for_writes(writers):
    count, before = random.randrange(20, scale(400, 100)), len(writers.created)
    eventually(lambda: len(writers.created) >= before + count or writers.broken, 60)


def test_the_server_is_killed_under_writes(make_server):
    server = make_server(env=SOON).start()
    writers = Writers(server)
    try:
        for _ in range(scale(8, 2)):
            wait_for_writes(writers)
            redis_pid = server.redis_pid
            server.kill()
            server.start()
            assert not is_alive(redis_pid), "the Redis of the killed server lives on"
    finally:
        writers.stop()
    with Api(server.port) as api:
        writers.check(api)
        check_store(server.redis(), api)
    server.stop()
    server.start()
    with Api(server.port) as api:
        writers.check(api)
        check_store(server.redis(), api)


def test_redis_is_killed_under_writes(make_server):
    server = make_server(env=SOON).start()
    writers = Writers(server)
    try:
        for _ in range(scale(5, 3)):
            wait_for_writes(writers)
            os.kill(server.redis_pid, signal.SIGKILL)
            time.sleep(0.1)
        wait_for_writes(writers)
    finally:
        writers.stop()
    with Api(server.port) as api:
        eventually(lambda: api.post("/v1/machines", {}).status == 422)
        writers.check(api)
        check_store(server.redis(), api)
    server.stop()
    server.start()
    with Api(server.port) as api:
        writers.check(api)
        check_store(server.redis(), api)


def test_both_are_killed_at_once(make_server):
    server = make_server(env=SOON).start()
    writers = Writers(server)
    try:
        for _ in range(scale(4, 2)):
            wait_for_writes(writers)
            os.kill(server.redis_pid, signal.SIGKILL)
            server.kill()
            server.start()
    finally:
        writers.stop()
    with Api(server.port) as api:
        writers.check(api)
        check_store(server.redis(), api)


def test_an_external_redis_is_killed_under_writes(make_server, make_redis):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    writers = Writers(server)
    try:
        for _ in range(scale(4, 2)):
            wait_for_writes(writers)
            redis.stop(signal.SIGKILL)
            redis.start()
        wait_for_writes(writers)
    finally:
        writers.stop()
    with Api(server.port) as api:
        writers.check(api)
        check_store(redis.client(), api)
    server.stop()


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_end_of_the_append_only_file_is_what_nobody_was_told(make_server, cut):
    """A kill in the middle of a write leaves half a command at the end of the file: the start cuts
    it off, says so, and loses nothing that was acknowledged before it."""
    server = make_server(env=SOON).start()
    with Api(server.port) as api:
        made = [api.new_machine() for _ in range(5)]
    redis_pid = server.redis_pid
    server.kill()
    eventually(lambda: not is_alive(redis_pid))
    files = sorted((server.data / "appendonlydir").glob("*.incr.aof"))
    torn = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$9\r\n123456789\r\n"[:cut]
    with open(files[-1], "ab") as file:
        file.write(torn)
    server.start()
    with Api(server.port) as api:
        assert [api.machine(m["id"]) for m in made] == made
        api.new_machine()
        check_store(server.redis(), api)
    assert "unfinished write" in server.errors() or "truncat" in server.errors()


def test_the_private_redis_keeps_every_write_before_it_answers(make_server):
    """A kill of a process does not show what a power cut would: so its settings are looked at."""
    server = make_server().start()
    settings = server.redis().config_get("append*")
    assert settings["appendonly"] == "yes" and settings["appendfsync"] == "always"
    assert server.redis().config_get("aof-load-truncated")["aof-load-truncated"] == "no"
    assert server.redis().config_get("port")["port"] == "0", "it listens on the network"
    assert (server.data.stat().st_mode & 0o77) == 0, "others may enter its directory"
    sockets = (server.data / "redis.sock").stat()
    assert sockets.st_mode & 0o77 == 0, "others may use its socket"
