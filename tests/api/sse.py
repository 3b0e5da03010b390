# SPDX-License-Identifier: MIT
"""Clients of event streams: one that reads block by block, and one that follows as an EventSource
does (HTML, section 9.2): it comes back with the last id that it has seen."""
import contextlib
import json
import select
import socket
import threading
import time

import redis

from http1 import Connection, ConnectionLost

TOPICS = {"machine": "machine", "window": "maintenance", "status": "status"}


class Block:
    """What ends with a blank line: an event, or only an id, or only a comment."""

    def __init__(self, text):
        self.event = self.id = self.data = self.retry = None
        self.comment = False
        for line in text.split("\n"):
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comment = True
            elif name in ("event", "id", "data", "retry"):
                assert getattr(self, name) is None, text
                setattr(self, name, value)
            else:
                raise AssertionError(f"a line that is none: {line!r}")

    @property
    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"<{self.event} {self.id} {self.data}>"


class Gone(Exception):
    """The stream has ended. `cleanly`: with its last chunk."""

    def __init__(self, cleanly):
        super().__init__(f"the stream ended, cleanly: {cleanly}")
        self.cleanly = cleanly


class Stream(Connection):
    """A stream over HTTP/1.1. `buffer`: the size of the socket's receive buffer."""

    def __init__(self, port, target="/v1/stream", last=None, buffer=None, expect=200):
        self.buffer, self.text, self.last = buffer, b"", last
        super().__init__(port)
        headers = {"Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = last
        self.send("GET", target, None, headers)
        self.status, self.pairs = self._head()
        self.headers = dict(self.pairs)
        assert self.status == expect, (self.status, self.pairs)

    def open(self):
        self.close()
        self.socket = socket.socket()
        if self.buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        self.socket.connect(("127.0.0.1", self.port))
        self.socket.settimeout(self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def _chunk(self):
        try:
            size = int(self._until(b"\r\n"), 16)
            chunk = self._exactly(size)
            assert self._until(b"\r\n") == b""
        except (ConnectionLost, ValueError):
            raise Gone(False) from None
        if size == 0:
            raise Gone(True)
        self.text += chunk

    def block(self, seconds=20):
        """The next block, whatever it is."""
        self.socket.settimeout(seconds)
        while b"\n\n" not in self.text:
            self._chunk()
        text, self.text = self.text.split(b"\n\n", 1)
        found = Block(text.decode())
        if found.id is not None:
            self.last = found.id
        return found

    def event(self, seconds=20):
        """The next block with data."""
        while True:
            found = self.block(seconds)
            if found.data is not None:
                return found

    def events(self, count, seconds=20):
        return [self.event(seconds) for _ in range(count)]

    def begin(self):
        """Reads the first block."""
        first = self.block()
        assert first.data is None and 2000 <= int(first.retry) < 4000, first
        return first

    def is_silent(self, seconds=0.3):
        """Does nothing come but heartbeats?"""
        until = time.monotonic() + seconds
        while b"\n\n" in self.text or self.rest or select.select(
                [self.socket], [], [], max(0, until - time.monotonic()))[0]:
            if self.block().data is not None:
                return False
        return True


class Follower:
    """Follows a stream through everything, in a thread: `ports` are tried in turn."""

    def __init__(self, ports, target="/v1/stream"):
        self.ports, self.target = ports, target
        self.events, self.opened, self.last = [], 0, None
        self.stopped, self.stream = False, None
        self.broken = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 20
        while self.last is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _follow(self, port):
        self.stream = Stream(port, self.target, self.last)
        self.opened += 1
        while not self.stopped:
            found = self.stream.block(30)
            if found.data is not None:
                self.events.append(found)
            if found.id is not None:
                self.last = found.id

    def _run(self):
        turn = 0
        while not self.stopped:
            ports = self.ports()
            port = ports[turn % len(ports)] if ports else None
            try:
                if port:
                    self._follow(port)
            except (Gone, OSError, ConnectionLost):
                pass
            except BaseException as error:
                self.broken = error
                return
            turn += 1
            time.sleep(0.05)

    def cut(self):
        """As if the network did it."""
        with contextlib.suppress(OSError):
            self.stream.socket.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.stopped = True
        self.cut()
        self.thread.join(40)
        assert self.broken is None, self.broken


def expected(client, topics=None, after=0, fleet="default"):
    """The events that the log in Redis has: (id without its epoch, topic, id of the row, the fields
    of the log or None)."""
    found = []
    for entry, fields in client.xrange(f"fb:{{{fleet}}}:log"):
        revision = int(entry.split(b"-")[0])
        rows = [o for o in json.loads(fields[b"change"]) if o[0] in ("put", "delete")]
        for place, operation in enumerate(rows, 1):
            name = f"{revision}" if place == len(rows) else f"{revision}.{place}"
            topic = TOPICS[operation[1]]
            if revision > after and (topics is None or topic in topics):
                found.append((name, topic, operation[2],
                              operation[3] if operation[0] == "put" else None))
    return found


def seen(events):
    """The same of events that came."""
    found = []
    for block in events:
        row = block.json
        number = row.get("machine_id") if block.event == "status" else row.get("id")
        found.append((block.id.split(".", 1)[1], block.event, number, row.get("deleted")))
    return found


def same(events, wanted):
    """Are they just those of the log, in its order?"""
    got = seen(events)
    names = [w[:3] for w in wanted]
    assert [g[:3] for g in got] == names, (got[-20:], names[-20:])
    for (_, _, _, deleted), (_, _, _, fields) in zip(got, wanted):
        assert bool(deleted) == (fields is None)
    return True


def log_of(server):
    if server.redis_url:
        return redis.Redis.from_url(server.redis_url)
    return server.redis()
