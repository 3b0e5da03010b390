# SPDX-License-Identifier: MIT
"""The limits of conf/fleetbit.yaml: what is too slow, too many or too long has a clear end."""
import socket
import time

import pytest

from api import Api, problem
from h2client import H2
from harness import eventually, unique
from http1 import Connection, ConnectionLost


def closed_after(connection, most):
    """The seconds until the server closes a connection on which nothing happens."""
    began = time.monotonic()
    connection.socket.settimeout(most)
    try:
        while connection.socket.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except socket.timeout:
        raise AssertionError(f"the connection is still open after {most} s") from None
    return time.monotonic() - began


@pytest.fixture
def quick(make_server):
    return make_server(env={"FLEETBIT_LIMITS_REQUEST_TIMEOUT": "1s",
                            "FLEETBIT_LIMITS_IDLE_TIMEOUT": "4s",
                            "FLEETBIT_LIMITS_STALL_TIMEOUT": "2s"}).start()


def test_an_idle_connection_is_kept_as_long_as_promised(quick):
    with Api(quick.port) as api, H2(quick.port) as h2:
        assert api.get("/livez").status == 200 and h2.request("GET", "/livez").status == 200
        time.sleep(2.6)  # beyond the time for a request
        assert h2.request("GET", "/livez").status == 200
        assert api.get("/livez").status == 200
        assert 3 < closed_after(api, 9) < 8
        assert closed_after(h2, 9) < 8


@pytest.mark.parametrize("part", [
    b"GET /v1/mach", b"GET /v1/machines HTTP/1.1\r\nHost: a\r\n",
    b"POST /v1/machines HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Content-Length: 50\r\n\r\n{"], ids=["a line", "a head", "a body"])
def test_half_a_request_is_given_up(quick, part):
    with Connection(quick.port) as connection:
        connection.send_raw(part)
        assert closed_after(connection, 6) < 5


def test_a_request_that_trickles_is_given_up(quick):
    with Connection(quick.port) as connection:
        connection.send_raw(b"GET /v1/machines HTTP/1.1\r\nHost: a\r\n")
        began = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < began + 8:
                connection.socket.sendall(b"X-A: b\r\n")
                time.sleep(0.1)
        assert time.monotonic() - began < 6


def test_half_a_body_on_http_2_is_given_up_and_others_go_on(quick):
    with H2(quick.port) as h2:
        slow = h2.connection.get_next_available_stream_id()
        h2.streams[slow] = {"pairs": None, "body": b"", "ended": False, "reset": None}
        h2.connection.send_headers(slow, [(":method", "POST"), (":scheme", "http"),
                                          (":authority", "a"), (":path", "/v1/machines"),
                                          ("content-type", "application/json")])
        h2.connection.send_data(slow, b"{")
        h2._flush()
        h2.socket.settimeout(8)
        try:
            response = h2.finish(slow)
            assert response.status in (400, 408)
        except ConnectionLost:
            pass
        except Exception as error:
            assert "reset" in str(error), error


def test_a_client_that_takes_nothing_is_given_up(quick):
    with Api(quick.port) as api, socket.socket() as slow:
        for _ in range(30):
            api.new_machine(description="d" * 4000)
        size = len(api.get("/v1/machines?limit=1000").body)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", quick.port))
        slow.settimeout(10)
        slow.sendall(b"GET /v1/machines?limit=1000 HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        time.sleep(6)
        api.open()
        assert api.get("/livez").status == 200
        taken = 0
        try:
            while data := slow.recv(1 << 20):
                taken += len(data)
        except ConnectionResetError:
            pass
        assert taken < 200 * size, "it got all, as if it had not slept"


def test_a_client_that_takes_its_time_gets_everything(quick):
    """Slower than the sockets' buffers, but never without taking something."""
    with Api(quick.port) as api, socket.socket() as slow:
        for _ in range(30):
            api.new_machine(description="d" * 4000)
        body = api.get("/v1/machines?limit=1000").body
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        slow.connect(("127.0.0.1", quick.port))
        slow.settimeout(10)
        request = b"GET /v1/machines?limit=1000 HTTP/1.1\r\nHost: a\r\n\r\n"
        count, taken, began = 30, b"", time.monotonic()
        slow.sendall(request * (count - 1) + request.replace(b"Host", b"Connection: close\r\nHost"))
        while data := slow.recv(65536):
            taken += data
            if time.monotonic() < began + 4:
                time.sleep(0.1)
        assert taken.count(body) == count


def test_connections_beyond_the_limit_wait_for_a_place(make_server):
    server = make_server("--threads", "1", env={"FLEETBIT_LIMITS_CONNECTIONS": "10"}).start()
    kept = [Api(server.port) for _ in range(9)]
    for api in kept:
        assert api.get("/livez").status == 200
    waiting = [Api(server.port) for _ in range(5)]
    for api in waiting:
        api.send("GET", "/livez")
    time.sleep(0.5)
    for api in kept:
        api.close()
    for api in waiting:
        assert api.receive().status == 200
        api.close()
    eventually(server.is_ready)


def test_a_full_queue_of_writes_is_answered_at_once(make_server):
    """Writes beyond the bound of the queue get 503 with Retry-After; those within it land."""
    server = make_server(env={"FLEETBIT_WRITER_QUEUE": "2"}).start()
    connections = [Api(server.port) for _ in range(60)]
    try:
        names = [unique() for _ in connections]
        for name, api in zip(names, connections):
            api.send("POST", "/v1/machines", {"label": "a", "inventory_id": name, "type": "crane"})
        taken = set()
        for name, api in zip(names, connections):
            response = api.receive()
            if response.status == 201:
                taken.add(name)
            else:
                assert problem(response, 503)["type"].endswith("/queue-full")
        there = {m["inventory_id"] for m in connections[0].pages("/v1/machines?limit=1000")}
        assert taken == there and taken
    finally:
        for api in connections:
            api.close()


def test_a_list_has_at_most_a_thousand_machines_a_page(make_server):
    server = make_server("--demo").start()
    eventually(lambda: "demo: " in server.errors())
    with Api(server.port) as api:
        for _ in range(5):
            api.new_machine()
        page = api.read("/v1/machines?limit=1000")
        assert len(page["machines"]) == 1000 and page["next"]
        assert len(api.pages("/v1/machines?limit=1000")) == 1005
        problem(api.get("/v1/machines?limit=1001"), 422, "limit")


def test_a_body_limit_of_the_configuration_holds(make_server):
    server = make_server(env={"FLEETBIT_LIMITS_BODY_BYTES": "2k"}).start()
    with Api(server.port) as api:
        body = {"label": "a", "inventory_id": unique(), "type": "crane", "description": "d" * 1900}
        assert api.post("/v1/machines", body).status == 201
        problem(api.post("/v1/machines", {**body, "description": "d" * 2048}), 413)
