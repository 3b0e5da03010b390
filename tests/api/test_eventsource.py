# SPDX-License-Identifier: MIT
"""An EventSource of others, and curl, follow the stream through everything; a program holds what
they got against the log. `./dev test` installs it, from tests/npm, in build/npm."""
import json
import os
import shutil
import socket
import subprocess
import threading

import pytest

from api import Api
from harness import ROOT, eventually, skip_loudly
from sse import Block, Stream, expected, same
from test_stream import metric, write_some

MODULES = ROOT / "build/npm/node_modules"
TOPICS = "machine,maintenance,status,resync,conflated"


class Switch:
    """One address, behind which is now this instance and now that, as a load balancer has it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.target, self.open = self.listener.getsockname()[1], None, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except (OSError, TypeError):
                client.close()
                continue
            self.open += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def to(self, port):
        """From now on it is that one, also for who is connected."""
        self.target = port
        for side in self.open:
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open = []

    def close(self):
        self.listener.close()
        self.to(None)


class Program:
    """A program that prints lines, in a thread."""

    def __init__(self, command, env=None):
        self.lines = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.thread.join(20)
        self.process.stdout.close()

    @property
    def opened(self):
        return sum("open" in line for line in self.lines)

    @property
    def events(self):
        found = []
        for line in self.lines:
            assert "closed" not in line, line
            if "event" in line:
                found.append(Block(f"event: {line['event']}\ndata: {line['data']}\n"
                                   f"id: {line['id']}"))
        return found


@pytest.fixture
def switch():
    made = Switch()
    yield made
    made.close()


@pytest.fixture
def event_source(switch):
    if shutil.which("node") is None or not (MODULES / "eventsource").is_dir():
        skip_loudly(f"no node, or no eventsource in {MODULES}")
    made = []

    def make():
        made.append(Program(["node", str(ROOT / "tests/npm/follow.cjs"),
                             f"http://127.0.0.1:{switch.port}/v1/stream", TOPICS],
                            {"NODE_PATH": str(MODULES)}))
        return made[-1]

    yield make
    for program in made:
        program.stop()


def test_an_event_source_follows_through_everything(make_server, make_redis, switch, event_source):
    store = make_redis().start()
    servers = [make_server("--threads", "2", redis_url=store.url).start() for _ in range(2)]
    switch.to(servers[0].port)
    source = event_source()
    eventually(lambda: source.opened == 1)

    def write(server):
        with Api(server.port) as api:
            write_some(api)
        with store.client() as client:
            wanted = expected(client)
        eventually(lambda: len(source.events) >= len(wanted), 30)
        assert same(source.events, wanted)

    write(servers[0])
    switch.to(servers[1].port)  # to another instance
    write(servers[0])
    write(servers[1])
    servers[1].stop()  # and while it is away
    with Api(servers[0].port) as api:
        write_some(api)
    servers[1].start()
    switch.to(servers[1].port)
    write(servers[0])
    servers[1].kill()
    servers[1].start()
    switch.to(servers[1].port)
    write(servers[1])
    store.stop()  # Redis
    store.start()
    for server in servers:
        eventually(lambda server=server: metric(server, "fleetbit_redis_up") == 1)
    write(servers[1])
    switch.to(servers[0].port)
    write(servers[0])
    assert source.opened >= 5


def curl(port, last, seconds):
    """What curl gets in that time, as blocks."""
    command = ["curl", "-sN", "--max-time", str(seconds),
               f"http://127.0.0.1:{port}/v1/stream?last_event_id={last}"]
    texts = subprocess.run(command, capture_output=True).stdout.decode().split("\n\n")
    return [Block(text) for text in texts[:-1]]


def test_curl_goes_on_where_it_was_through_everything(make_server, make_redis):
    store = make_redis().start()
    servers = [make_server("--threads", "2", redis_url=store.url).start() for _ in range(2)]
    with Stream(servers[0].port) as stream:
        last = stream.begin().id
    got = []
    for step in range(4):
        with Api(servers[0].port) as api:
            write_some(api)
        if step == 1:
            servers[1].kill()
            servers[1].start()
        elif step == 2:
            store.stop()
            store.start()
            for server in servers:
                eventually(lambda server=server: metric(server, "fleetbit_redis_up") == 1)
        for block in curl(servers[step % 2].port, last, 1.5):
            last = block.id or last
            got += [block] if block.data is not None else []
    with store.client() as client:
        assert same(got, expected(client))
