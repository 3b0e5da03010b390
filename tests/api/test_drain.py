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
from harness import eventually, in_threads, is_alive, scale, unique
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


# --- the phase in which clients are asked to go ---

def lame_duck(text, **more):
    return {"FLEETBIT_LIMITS_LAME_DUCK": text, **more}


def test_while_it_leaves_everything_is_served_and_everybody_is_asked_to_go(make_server):
    server = make_server("--threads", "2", env=lame_duck("100s")).start()
    kept = [Api(server.port) for _ in range(8)]
    h2 = H2(server.port)
    waiting = h2.begin("GET", "/v1/machines")
    assert h2.finish(waiting).status == 200
    for api in kept:
        assert api.get("/v1/machines").headers["connection"] == "keep-alive"
    server.process.send_signal(signal.SIGTERM)
    with Api(server.port) as health:
        eventually(lambda: health.get("/readyz").status == 503)
        problem(health.get("/readyz"), 503)
    # Nobody is cut off, however long it takes: idle connections stay.
    time.sleep(1.5)
    for i, api in enumerate(kept):
        response = api.post("/v1/machines", new_body(unique())) if i % 2 else api.get("/livez")
        assert response.status in (200, 201) and response.headers["connection"] == "close"
        assert api.socket is None
    for _ in range(5):  # who comes now is served, in both protocols
        with Api(server.port) as api, H2(server.port) as fresh:
            response = api.get("/v1/machines")
            assert response.status == 200 and response.headers["connection"] == "close"
            assert fresh.request("POST", "/v1/machines", new_body(unique())).status == 201
            assert fresh.request("GET", "/v1/machines").status == 200
    assert says_goodbye(h2)
    assert server.process.poll() is None
    began = time.monotonic()
    server.stop()  # a second signal ends the phase
    assert time.monotonic() - began < 6
    assert re.search(r"SIGTERM: leaving(?s:.*)draining", server.errors())


def says_goodbye(h2):
    """Has it got a GOAWAY? It closes once nothing runs on it."""
    try:
        while True:
            h2.pump()
    except ConnectionLost:
        return h2.goaway is not None


def test_a_response_under_way_when_the_signal_comes_closes_its_connection(make_server):
    server = make_server(env=lame_duck("100s", FLEETBIT_REDIS_TIMEOUT="20s",
                                       FLEETBIT_WRITER_DEADLINE="20s")).start()
    redis_pid = server.redis_pid
    with Api(server.port) as writer, H2(server.port) as h2:
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            writer.send("POST", "/v1/machines", new_body(unique()))
            stream = h2.begin("POST", "/v1/machines", new_body(unique()))
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1.5)  # beyond the second GOAWAY
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        response = writer.receive("POST")
        assert response.status == 201 and response.headers["connection"] == "close"
        assert h2.finish(stream).status == 201
        assert says_goodbye(h2)
    server.stop()


def test_it_does_not_leave_before_it_was_there(make_server, make_redis):
    server = make_server(redis_url=make_redis().url, env=lame_duck("100s")).launch()
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 8


class Client:
    """As a proxy with a kept connection: opens one where there is none, sends a request, and must
    get an answer. Ends when it is refused."""

    def __init__(self, server, number, pause):
        self.server, self.number, self.pause = server, number, pause
        self.answered, self.landed, self.closed = 0, [], 0

    def run(self):
        api = None
        while True:
            if api is None or api.socket is None:
                try:
                    api = Api(self.server.port, timeout=20)
                except (ConnectionRefusedError, ConnectionResetError):
                    return
            name = f"{self.number}-{self.answered}"
            if self.answered % 2:
                response = api.get("/v1/machines?limit=5")
                assert response.status == 200, response
            else:
                response = api.post("/v1/machines", new_body(name))
                assert response.status == 201, response
                self.landed.append(name)
            self.answered += 1
            self.closed += response.headers["connection"] == "close"
            time.sleep(self.pause)


@pytest.mark.parametrize("phase", ["1s", "0s"])
def test_no_client_that_keeps_its_connection_loses_a_request(make_server, phase):
    """Not one of those that send a request every now and then, POST or GET: each is answered, and
    afterwards its client is refused."""
    server = make_server("--threads", "2", env=lame_duck(phase)).start()
    clients = [Client(server, i, 0 if i < 6 else 0.01 * (i - 5)) for i in range(16)]
    stopper = threading.Timer(1.5, server.stop)
    stopper.start()
    in_threads([client.run for client in clients])
    stopper.join()
    assert all(client.answered > 5 for client in clients)
    assert sum(client.closed for client in clients) > (len(clients) if phase == "1s" else 4)
    server.start()
    with Api(server.port) as api:
        there = [m["inventory_id"] for m in api.pages("/v1/machines?limit=1000")]
    landed = [name for client in clients for name in client.landed]
    assert len(there) == len(set(there)) and set(there) == set(landed)


def test_who_has_connected_already_is_served(make_server):
    """Connections that nobody has accepted yet when the end begins, and requests that come a
    moment later."""
    server = make_server("--threads", "2", env=lame_duck("0s")).start()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        sent = [Api(server.port) for _ in range(150)]
        for i, api in enumerate(sent):
            if i % 2:
                api.send("POST", "/v1/machines", new_body(f"n-{i}"))
            else:
                api.send("GET", "/v1/machines")
        late = [Api(server.port) for _ in range(20)]
        streams = [H2(server.port) for _ in range(10)]
        for h2 in streams:
            h2.stream = h2.begin("GET", "/v1/machines")
        os.kill(server.pid, signal.SIGTERM)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    eventually(lambda: "draining" in server.errors())
    for api in late:
        api.send("GET", "/v1/machines")
    for i, api in enumerate(sent):
        assert api.receive().status == (201 if i % 2 else 200)
    for api in late:
        assert api.receive().status == 200
    for h2 in streams:
        assert h2.finish(h2.stream).status == 200
    server.stop()


@pytest.mark.parametrize("phase", ["0s", "100s"])
def test_a_body_that_comes_slowly_is_waited_for(make_server, phase):
    """Also where GOAWAY has been sent meanwhile, and the stream been promised an answer."""
    server = make_server("--threads", "2", env=lame_duck(phase)).start()
    body = encode("POST", "/", new_body(unique())).split(b"\r\n\r\n")[1]
    head = encode("POST", "/v1/machines", body)[:-len(body)]
    with Api(server.port) as api, H2(server.port) as h2:
        stream = h2.connection.get_next_available_stream_id()
        h2.streams[stream] = {"pairs": None, "body": b"", "ended": False, "reset": None}
        h2.connection.send_headers(stream, [(":method", "POST"), (":scheme", "http"),
                                            (":authority", "a"), (":path", "/v1/machines"),
                                            ("content-type", "application/json")])
        api.send_raw(head)
        for at in range(4):
            part = body[at * len(body) // 4:(at + 1) * len(body) // 4]
            api.send_raw(part)
            h2.connection.send_data(stream, part, end_stream=at == 3)
            h2._flush()
            if at == 0:
                time.sleep(0.2)
                server.process.send_signal(signal.SIGTERM)
            if at < 3:
                time.sleep(0.9)
        first = api.receive("POST")
        second = h2.finish(stream)
        assert sorted([first.status, second.status]) == [201, 409], (first, second)
        assert says_goodbye(h2)
    server.stop()


def test_idle_connections_are_closed_in_order(make_server):
    """With FIN, so that a client sees that it is over, and no error."""
    server = make_server().start()
    idle = [Api(server.port) for _ in range(30)]
    for api in idle[:15]:
        assert api.get("/v1/machines").status == 200
    server.stop()
    for api in idle:
        assert api.socket.recv(1) == b""


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
