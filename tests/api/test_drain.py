# SPDX-License-Identifier: MIT
"""SIGTERM: what was begun is finished, nothing new is taken, and all is gone in time."""
import os
import re
import signal
import socket
import threading
import time

import pytest

from api import Api, problem
from h2client import H2
from harness import eventually, is_alive, scale, unique
from http1 import Connection, ConnectionLost, encode


def new_body(name):
    return {"label": "a", "inventory_id": name, "type": "truck"}


def is_refused(server):
    try:
        Connection(server.port, timeout=2).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


@pytest.mark.parametrize("protocol", [Api, H2], ids=["HTTP/1.1", "HTTP/2"])
def test_a_write_that_waits_is_answered_and_new_connections_are_refused(make_server, protocol):
    server = make_server(env={"FLEETBIT_REDIS_TIMEOUT": "20s",
                              "FLEETBIT_WRITER_DEADLINE": "20s"}).start()
    redis_pid = server.redis_pid
    name = unique()
    health = Api(server.port)
    assert health.get("/readyz").status == 200
    with protocol(server.port) as writer:
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            if protocol is H2:
                stream = writer.begin("POST", "/v1/machines", new_body(name))
            else:
                writer.send("POST", "/v1/machines", new_body(name))
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: is_refused(server), 5)
            try:
                problem(health.get("/readyz"), 503)
            except ConnectionLost:
                pass  # an idle connection may have been closed already
            assert server.process.poll() is None
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        response = writer.finish(stream) if protocol is H2 else writer.receive("POST")
        assert response.status == 201, response
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5, "the answer was sent, but it lingers"
    assert not is_alive(redis_pid)
    server.start()
    with Api(server.port) as api:
        assert [m["inventory_id"] for m in api.read("/v1/machines")["machines"]] == [name]


def test_readyz_says_that_it_is_draining(make_server):
    """A load balancer that asks over a connection it has kept learns of the end before it comes:
    the answer to its first question after the signal is 503."""
    server = make_server(env={"FLEETBIT_REDIS_TIMEOUT": "20s",
                              "FLEETBIT_WRITER_DEADLINE": "20s"}).start()
    redis_pid = server.redis_pid
    with Api(server.port) as writer, Api(server.port) as half:
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            writer.send("POST", "/v1/machines", new_body(unique()))
            question = encode("GET", "/readyz")
            half.send_raw(question[:-2])  # a request in flight when the signal comes
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: is_refused(server), 5)
            half.send_raw(question[-2:])
            response = half.receive()
            problem(response, 503)
            assert response.headers["connection"] == "close"
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        assert writer.receive("POST").status == 201
    server.stop()


def test_a_write_that_cannot_be_finished_does_not_hold_it_up_for_ever(make_server):
    server = make_server(env={"FLEETBIT_REDIS_TIMEOUT": "500ms", "FLEETBIT_WRITER_DEADLINE": "1s",
                              "FLEETBIT_LIMITS_DRAIN_TIMEOUT": "3s"}).start()
    redis_pid = server.redis_pid
    with Api(server.port) as writer:
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            writer.send("POST", "/v1/machines", new_body(unique()))
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            problem(writer.receive("POST"), 503)
        finally:
            threading.Timer(scale(2, 4), os.kill, (redis_pid, signal.SIGCONT)).start()
    server.stop(seconds=25)
    assert not is_alive(redis_pid)


def test_idle_connections_do_not_hold_it_up(make_server):
    server = make_server().start()
    idle = [Api(server.port) for _ in range(50)]
    used = [Api(server.port) for _ in range(50)]
    streams = [H2(server.port) for _ in range(10)]
    for api in used:
        assert api.get("/livez").status == 200
    for h2 in streams:
        assert h2.request("GET", "/livez").status == 200
    began = time.monotonic()
    server.stop()
    took = time.monotonic() - began
    assert took < 5, f"the end took {took:.1f} s with nothing to do"
    for connection in [*idle, *used, *streams]:
        connection.close()


def test_a_connection_that_sends_half_a_request_does_not_hold_it_up(make_server):
    server = make_server(env={"FLEETBIT_LIMITS_DRAIN_TIMEOUT": "2s"}).start()
    with Api(server.port) as half, H2(server.port) as h2:
        half.send_raw(b"POST /v1/machines HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{")
        h2.connection.send_headers(1, [(":method", "POST"), (":scheme", "http"),
                                       (":authority", "a"), (":path", "/v1/machines")])
        h2._flush()
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 8


def test_no_request_is_lost_under_load(make_server):
    """Each write that got an answer before the end is there after it, each read got a whole
    answer, and a connection that was lost had no request in flight that was acknowledged."""
    server = make_server().start()
    acknowledged, broken, reads = [], [], []

    def write(number):
        api = Api(server.port)
        for i in range(100000):
            name = f"{number}-{i}"
            try:
                response = api.request("POST", "/v1/machines", new_body(name))
            except (ConnectionLost, ConnectionRefusedError):
                return
            if response.status == 201:
                acknowledged.append(name)
            elif response.status != 503:
                broken.append(response)

    def read():
        api = Api(server.port)
        try:
            while True:
                response = api.get("/v1/machines?limit=5")
                reads.append(response.status)
        except (ConnectionLost, ConnectionRefusedError):
            return

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    threads += [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    server.stop()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert not broken and set(reads) <= {200, 503} and len(acknowledged) > 20
    server.start()
    with Api(server.port) as api:
        there = [m["inventory_id"] for m in api.pages("/v1/machines?limit=1000")]
    assert len(there) == len(set(there)) and set(acknowledged) <= set(there)


def test_a_stopped_server_frees_its_ports(make_server):
    server = make_server().start()
    port = server.port
    server.stop()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_the_log_tells_the_end(make_server):
    server = make_server().start()
    server.stop()
    assert re.search(r"SIGTERM", server.errors())
