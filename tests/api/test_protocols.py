# SPDX-License-Identifier: MIT
"""HTTP/1.1 with kept and pipelined connections, HTTP/2 by prior knowledge and by upgrade, many
streams, many connections."""
import random
import resource
import socket

import httpx
import pytest
import requests

from api import Api
from h2client import H2
from harness import eventually, scale, unique
from http1 import Connection, ConnectionLost, encode


def new_body():
    return {"label": "a", "inventory_id": unique(), "type": "truck"}


def test_a_connection_is_kept_over_reads_writes_and_errors(api):
    first = api.local_port
    for _ in range(50):
        machine = api.new_machine()
        assert api.get(f"/v1/machines/{machine['id']}").status == 200
        assert api.get("/nowhere").status == 404
        assert api.post("/v1/machines", b"{").status == 400
        assert api.delete(f"/v1/machines/{machine['id']}").status == 204
        assert api.request("HEAD", "/v1/machines").status == 200
        assert api.request("OPTIONS", "/v1/machines").status == 204
    assert api.local_port == first, "the server closed the connection"


def test_pipelined_requests_are_answered_in_their_order(api):
    made = [api.new_machine() for _ in range(20)]
    numbers = [made[i % 20]["id"] for i in range(200)]
    api.send_raw(b"".join(encode("GET", f"/v1/machines/{n}") for n in numbers))
    assert [api.receive().json()["id"] for _ in numbers] == numbers


def test_pipelined_writes_and_reads_keep_their_order(api):
    """Each read is answered after the write before it, and shows it."""
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    requests_sent = b""
    for i in range(30):
        requests_sent += encode("PATCH", target, {"label": f"step {i}"}) + encode("GET", target)
    api.send_raw(requests_sent)
    for i in range(30):
        assert api.receive("PATCH").json()["label"] == f"step {i}"
        assert api.receive().json()["label"] == f"step {i}"


def test_a_request_may_come_in_pieces(api):
    machine = api.new_machine()
    data = encode("PATCH", f"/v1/machines/{machine['id']}", {"label": "in pieces"})
    for i in range(0, len(data), 7):
        api.send_raw(data[i:i + 7])
    assert api.receive("PATCH").json()["label"] == "in pieces"


def test_a_body_may_be_chunked(api):
    api.send("POST", "/v1/machines", None, {"Transfer-Encoding": "chunked",
                                            "Content-Type": "application/json"})
    parts = [b'{"label": "a", "type"', b': "crane", "inventory_id": "', unique().encode(), b'"}']
    for part in parts:
        api.send_raw(b"%x\r\n%s\r\n" % (len(part), part))
    api.send_raw(b"0\r\n\r\n")
    assert api.receive("POST").status == 201


def test_a_client_that_waits_for_100_continue_gets_it(api):
    api.send("POST", "/v1/machines", None, {"Content-Length": "5", "Expect": "100-continue",
                                            "Content-Type": "application/json"})
    assert api._until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    api.send_raw(b"wrong")
    assert api.receive("POST").status == 400


def test_connection_close_closes(api):
    response = api.get("/v1/machines?limit=1", {"Connection": "close"})
    assert response.status == 200 and response.headers["connection"] == "close"


def test_http_1_0_is_answered_and_closed(api):
    api.send_raw(b"GET /v1/machines?limit=1 HTTP/1.0\r\nHost: a\r\n\r\n")
    response = api.receive()
    assert response.status == 200 and "transfer-encoding" not in response.headers


def test_a_target_in_absolute_form_is_that_of_its_path(api):
    """RFC 9112, section 3.2.2: a server must accept it."""
    machine = api.new_machine()
    for authority in ("localhost", f"127.0.0.1:{api.port}"):
        response = api.get(f"http://{authority}/v1/machines/{machine['id']}")
        assert response.status == 200 and response.json() == machine


NOT_HTTP = {
    "binary": b"\x00\x01\x02\x03\r\n\r\n",
    "no target": b"GET\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "no length": b"POST /v1/machines HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"POST /v1/machines HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "2,000 headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000 + b"\r\n",
    "an endless target": b"GET /" + b"a" * 200000,
    "half of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_not_http_harms_nobody(api, server, data):
    with Connection(server.port, timeout=2) as other:
        other.send_raw(data)
        try:
            response = other.receive()
            assert 400 <= response.status < 600
        except (ConnectionLost, AssertionError, socket.timeout):
            pass
    assert api.get("/v1/machines?limit=1").status == 200


# --- HTTP/2 ---

def test_http_2_by_prior_knowledge(server):
    with H2(server.port) as h2:
        response = h2.request("POST", "/v1/machines", new_body())
        assert response.status == 201
        target = response.headers["location"]
        assert h2.request("GET", target).body == response.body
        assert h2.request("PATCH", target, {"label": "b"}).json()["label"] == "b"
        etag = h2.request("GET", target).headers["etag"]
        assert h2.request("GET", target, None, {"if-none-match": etag}).status == 304
        head = h2.request("HEAD", target)
        assert head.status == 200 and head.body == b"" and head.headers["etag"] == etag
        assert h2.request("DELETE", target).status == 204
        assert h2.request("GET", target).status == 404


def test_http_2_by_upgrade(api, server):
    machine = api.new_machine()
    with H2(server.port, upgrade=f"/v1/machines/{machine['id']}") as h2:
        assert h2.finish(1).json() == machine
        assert h2.request("GET", f"/v1/machines/{machine['id']}").json() == machine
        assert h2.request("POST", "/v1/machines", new_body()).status == 201


def test_many_streams_at_once_are_all_answered(api, server):
    made = [api.new_machine(description="d" * 3000)["id"] for _ in range(20)]
    numbers = random.Random(5)
    with H2(server.port) as h2:
        for _ in range(scale(20, 5)):
            open_streams = {}
            for _ in range(100):
                number = numbers.choice(made)
                open_streams[h2.begin("GET", f"/v1/machines/{number}")] = number
            for stream in numbers.sample(sorted(open_streams), 100):
                assert h2.finish(stream).json()["id"] == open_streams[stream]


def test_writes_and_reads_share_a_connection(server):
    with H2(server.port) as h2:
        writes = [h2.begin("POST", "/v1/machines", new_body()) for _ in range(50)]
        reads = [h2.begin("GET", f"/v1/machines?limit={i + 1}") for i in range(40)]
        assert {h2.finish(stream).status for stream in reads} == {200}
        made = [h2.finish(stream).json()["id"] for stream in writes]
        assert len(set(made)) == 50
        for number in made:
            assert h2.request("GET", f"/v1/machines/{number}").status == 200


def test_large_answers_to_a_small_window_arrive_whole(api, server):
    for _ in range(40):
        api.new_machine(type="roller", description="\u00fc" * 2000)
    expected = api.get("/v1/machines?type=roller&limit=1000").body
    assert len(expected) > 150000
    with H2(server.port) as h2:
        streams = [h2.begin("GET", "/v1/machines?type=roller&limit=1000") for _ in range(10)]
        for stream in streams:
            assert h2.finish(stream).body == expected


def test_streams_that_are_reset_harm_nobody(api, server):
    machine = api.new_machine()
    with H2(server.port) as h2:
        for i in range(30):
            gone = h2.begin("PATCH", f"/v1/machines/{machine['id']}", {"label": f"gone {i}"})
            h2.connection.reset_stream(gone)
            h2._flush()
            assert h2.request("GET", f"/v1/machines/{machine['id']}").status == 200
    assert api.machine(machine["id"])["id"] == machine["id"]


def test_clients_that_leave_in_the_middle_of_a_write_harm_nobody(api, server):
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    for i in range(60):
        with Connection(server.port) as other:
            other.send("PATCH", target, {"label": f"left {i}"})
    eventually(lambda: api.machine(machine["id"])["label"].startswith("left"))
    assert api.patch(target, {"label": "here"}).json()["label"] == "here"


# --- many connections ---

def raise_file_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"this shell may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))


def test_a_thousand_connections_at_once(api, server):
    raise_file_limit()
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    connections = [Connection(server.port) for _ in range(1000)]
    try:
        for i in range(scale(5, 2)):
            api.patch(target, {"label": f"round {i}"})
            for connection in connections:
                connection.send("GET", target)
            for connection in connections:
                response = connection.receive()
                assert response.status == 200 and response.json()["label"] == f"round {i}"
        for connection in connections[::10]:
            connection.send("POST", "/v1/machines", new_body())
        made = [connection.receive("POST").json()["id"] for connection in connections[::10]]
        assert len(set(made)) == 100
    finally:
        for connection in connections:
            connection.close()


def test_a_thousand_idle_connections_do_not_hinder_another(server):
    raise_file_limit()
    idle = [Connection(server.port) for _ in range(1000)]
    try:
        with Api(server.port) as api:
            for _ in range(50):
                assert api.new_machine()["id"]
    finally:
        for connection in idle:
            connection.close()


# --- the clients that people use ---

@pytest.mark.parametrize("client", [requests.Session, httpx.Client])
def test_popular_clients_are_understood(server, client):
    base = f"http://127.0.0.1:{server.port}"
    with client() as session:
        made = session.post(base + "/v1/machines", json=new_body())
        assert made.status_code == 201
        url = base + made.headers["Location"]
        assert session.patch(url, json={"label": "\u00fc"}).json()["label"] == "\u00fc"
        got = session.get(url)
        assert got.json()["label"] == "\u00fc"
        known = session.get(url, headers={"If-None-Match": got.headers["ETag"]})
        assert known.status_code == 304
        assert session.get(base + "/v1/machines", params={"type": "truck"}).status_code == 200
        assert session.delete(url).status_code == 204
        assert session.get(url).headers["Content-Type"] == "application/problem+json"
