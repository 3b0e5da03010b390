# SPDX-License-Identifier: MIT
"""The head of an answer is the same, whichever way it leaves: composed ahead, as of most answers
out of the memo, or field by field, as where a connection is not kept."""
import socket
import time

import h2.settings
import pytest

from h2client import H2
from http1 import Connection, encode

PER_CONNECTION = {"date", "connection", "x-request-id"}


def fields(response):
    names = [name for name, _ in response.pairs]
    assert len(names) == len(set(names)), names
    return {name: value for name, value in response.pairs
            if name not in PER_CONNECTION and not name.startswith(":")}


def ask_once(port, method, target, headers):
    """Of a connection that is not kept: its head is made field by field."""
    with Connection(port) as connection:
        response = connection.request(method, target, None, {**headers, "Connection": "close"})
        assert response.headers["connection"] == "close"
        return response


@pytest.fixture
def target(api):
    return f"/v1/machines/{api.new_machine()['id']}"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_head_is_the_same_over_every_protocol(api, server, target, method, is_known):
    headers = {"If-None-Match": api.get(target).headers["etag"]} if is_known else {}
    composed = api.request(method, target, None, headers)
    by_field = ask_once(server.port, method, target, headers)
    assert composed.headers["connection"] == "keep-alive"
    with H2(server.port) as client:
        over_h2 = client.request(method, target, None, headers)
        again = client.request(method, target, None, headers)
    expected = {"server", "fleetbit-revision", "cache-control", "etag"}
    expected |= set() if is_known else {"content-type", "content-length"}
    for response in (composed, by_field, over_h2, again):
        assert response.status == (304 if is_known else 200)
        assert fields(response) == fields(composed)
        assert set(fields(response)) == expected
        assert response.body == composed.body
        assert set(dict(response.pairs)) >= {"date", "x-request-id"}


@pytest.mark.parametrize("length", [1, 15, 16, 126, 127, 128])
def test_a_request_id_of_any_length_comes_back(api, server, target, length):
    sent = {"X-Request-Id": "i" * length}
    with H2(server.port) as client:
        for response in (api.get(target, sent), client.request("GET", target, None, sent),
                         ask_once(server.port, "GET", target, sent)):
            assert dict(response.pairs)["x-request-id"] == "i" * length
            assert response.json()["id"] > 0


def test_a_head_follows_the_revision_and_the_clock(api, target):
    first = api.get(target)
    time.sleep(1.1)
    later = api.get(target)
    assert later.headers["date"] != first.headers["date"]
    assert fields(later) == fields(first)
    written = api.patch(target, {"label": "another"})
    after = api.get(target)
    assert after.headers["fleetbit-revision"] == written.headers["fleetbit-revision"]
    assert after.headers["etag"] == written.headers["etag"] != first.headers["etag"]


def test_the_table_of_a_connection_is_what_both_ends_think(api, server, target):
    """Blocks that leave the dynamic table alone between those that fill it."""
    made = [api.new_machine()["id"] for _ in range(5)]
    with H2(server.port) as client:
        for round_number in range(60):
            number = made[round_number % 5]
            assert client.request("GET", f"/v1/machines/{number}").json()["id"] == number
            missing = client.request("GET", f"/nowhere/{round_number}")
            assert missing.status == 404
            assert missing.json()["request_id"] == dict(missing.pairs)["x-request-id"]
            written = client.request("PATCH", target, {"label": f"round {round_number}"})
            assert written.json()["label"] == f"round {round_number}"


@pytest.mark.parametrize("size", [0, 1, 30, 31, 100, 158, 159, 4095, 4096, 65536])
def test_the_table_is_as_small_as_the_client_wants_it(api, server, target, size):
    """RFC 7541, section 4.2; the client's decoder insists on it."""
    with H2(server.port) as client:
        assert client.request("GET", "/nowhere").status == 404
        client.connection.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
        client._flush()
        for round_number in range(5):
            assert client.request("GET", target).status == 200
            assert client.request("GET", f"/nowhere/{round_number}").status == 404
            assert client.request("PATCH", target, {"label": f"{size}"}).status == 200


def test_pages_that_do_not_fit_the_socket_arrive_whole(api, server):
    """The client reads nothing until the server can write no more."""
    for _ in range(40):
        api.new_machine()
    target = "/v1/machines?limit=1000"
    whole = api.get(target)
    count = 4_000_000 // len(whole.body) + 1
    with Connection.__new__(Connection) as slow:
        slow.rest = b""
        slow.socket = socket.socket()
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.socket.settimeout(60)
        slow.socket.connect(("127.0.0.1", server.port))
        slow.socket.sendall(encode("GET", target) * count)
        time.sleep(0.5)
        for _ in range(count):
            response = slow.receive()
            assert fields(response) == fields(whole)
            assert response.body == whole.body
