# SPDX-License-Identifier: MIT
"""Fleetbit-Min-Revision: who has seen a revision sees none before it, at whichever instance."""
import os
import re
import select
import signal
import threading
import time

import pytest

from api import Api, problem
from h2client import H2
from harness import eventually, scale, unique

FIELD = "Fleetbit-Min-Revision"
SOON = {"FLEETBIT_REDIS_TIMEOUT": "300ms", "FLEETBIT_WRITER_DEADLINE": "1s"}
PARKED_MAX = 10000  # of a loop


def wait_of(text):
    return {"FLEETBIT_LIMITS_MIN_REVISION_WAIT": text}


def body_of(name=None):
    return {"label": "a", "inventory_id": name or unique(), "type": "truck"}


def wanted(revision, ahead=0):
    """The field for a revision (epoch, number), or one so many later."""
    return {FIELD: f"{revision[0]}.{revision[1] + ahead}"}


def seconds_of(function):
    began = time.monotonic()
    result = function()
    return result, time.monotonic() - began


def other_epoch(revision):
    return ("00000000" if revision[0] != "00000000" else "00000001", revision[1])


@pytest.fixture(params=[Api, H2], ids=["HTTP/1.1", "HTTP/2"])
def protocol(request):
    return request.param


def test_what_is_shown_already_does_not_wait(make_server, protocol):
    server = make_server(env=wait_of("20s")).start()
    with Api(server.port) as api, protocol(server.port) as client:
        machine = api.new_machine()
        revision = api.get("/v1/machines").revision
        for ahead in (0, -1):
            for method, target, status in (("GET", "/v1/machines", 200),
                                           ("HEAD", "/v1/machines", 200), ("GET", "/nowhere", 404),
                                           ("OPTIONS", "/v1/machines", 204)):
                response, took = seconds_of(lambda: client.request(
                    method, target, None, wanted(revision, ahead)))
                assert response.status == status and response.revision == revision
                assert took < 5
        target = f"/v1/machines/{machine['id']}"
        first = {FIELD: f"{revision[0]}.0"}
        assert client.request("PATCH", target, {"label": "b"}, first).status == 200
        assert client.request("POST", "/v1/machines", body_of(), first).status == 201
        response = client.request("GET", target, None, {FIELD.lower(): f"{revision[0]}.1"})
        assert response.json()["label"] == "b"
    server.stop()


def test_a_later_revision_is_waited_for_and_then_refused(make_server, protocol):
    server = make_server(env=wait_of("1s")).start()
    with Api(server.port) as api, protocol(server.port) as client:
        machine = api.new_machine()
        revision = api.get("/v1/machines").revision
        for method, target, body in (("GET", "/v1/machines", None),
                                     ("POST", "/v1/machines", body_of()),
                                     ("DELETE", f"/v1/machines/{machine['id']}", None)):
            response, took = seconds_of(lambda: client.request(
                method, target, body, wanted(revision, 5)))
            document = problem(response, 503)
            assert document["type"].endswith("/behind") and response.revision == revision
            assert f"{revision[0]}.{revision[1]}" in document["detail"], document
            assert 0.9 < took < scale(3, 10), took
        assert api.get("/v1/machines").revision == revision, "what was refused has landed"
        assert api.machine(machine["id"]) == machine
    server.stop()


def test_no_wait_means_no_wait(make_server):
    server = make_server(env=wait_of("0s")).start()
    with Api(server.port) as api:
        api.new_machine()
        revision = api.get("/v1/machines").revision
        response, took = seconds_of(lambda: api.get("/v1/machines", wanted(revision, 1)))
        assert problem(response, 503)["type"].endswith("/behind") and took < 0.8
        assert api.get("/v1/machines", wanted(revision)).status == 200
    server.stop()


def test_it_goes_on_when_the_revision_comes(make_server, protocol):
    """A read and a write that wait are answered as if they had just come."""
    server = make_server("--threads", "2", env=wait_of("20s")).start()
    with Api(server.port) as api:
        machine = api.new_machine()
        target = f"/v1/machines/{machine['id']}"
        etag = api.get(target).headers["etag"]
        revision = api.get(target).revision
        readers = [protocol(server.port) for _ in range(8)]
        writer = protocol(server.port)
        for client in readers:
            begin(client, "GET", target, None, wanted(revision, 1))
        begin(writer, "PATCH", target, {"description": "second"},
              {**wanted(revision, 1), "If-Match": etag})
        time.sleep(0.3)
        assert api.patch(target, {"label": "first"}).status == 200
        for client in readers:
            response = finish(client, "GET")
            assert response.status == 200 and response.revision >= (revision[0], revision[1] + 1)
            assert response.json()["label"] == "first"
        problem(finish(writer, "PATCH"), 412)  # judged upon what it waited for
        for client in [*readers, writer]:
            client.close()
    server.stop()


def begin(client, method, target, body=None, headers=None):
    if isinstance(client, H2):
        client.stream = client.begin(method, target, body, headers)
    else:
        client.send(method, target, body, headers)


def finish(client, method):
    return client.finish(client.stream) if isinstance(client, H2) else client.receive(method)


@pytest.mark.parametrize("value", [
    "", "x", "7", "a.b", "01234567", "01234567.", "01234567.x", "01234567.-1", "01234567.1.2",
    "01234567.01", "0123456.1", "012345678.1", "0123456g.1", "0123456A.1", " .1", "01234567 .1",
    "01234567.18446744073709551616", '"01234567.1"', "01234567.1, 01234567.1", "\u00e9.1"])
def test_what_is_no_token_is_malformed(api, server, value):
    for method, target in (("GET", "/v1/machines"), ("DELETE", "/v1/machines/1"),
                           ("GET", "/nowhere")):
        document = problem(api.request(method, target, None, {FIELD: value}), 400, FIELD)
        assert document["type"].endswith("/malformed")
    with H2(server.port) as h2:
        problem(h2.request("GET", "/v1/machines", None, {FIELD: value.strip()}), 400, FIELD)


def raw_get(api, *lines):
    api.send_raw(b"GET /v1/machines HTTP/1.1\r\nHost: a\r\n" +
                 b"".join(b"%s\r\n" % line.encode() for line in lines) + b"\r\n")
    return api.receive()


def test_two_lines_must_agree(api):
    api.new_machine()
    epoch, number = api.get("/v1/machines").revision
    same, other = f"{FIELD}: {epoch}.{number}", f"{FIELD}: {epoch}.{number - 1}"
    assert raw_get(api, same, same).status == 200
    assert raw_get(api, same + " \t ", "X-Other: 1", same.lower()).status == 200
    problem(raw_get(api, same, other), 400, FIELD)
    problem(raw_get(api, same, "X-Request-Id: 1", f"{FIELD}: x"), 400, FIELD)


def test_a_request_id_beside_it_is_kept(api):
    api.new_machine()
    epoch, number = api.get("/v1/machines").revision
    lines = [f"{FIELD}: {epoch}.{number}", "X-Request-Id: mine"]
    for order in (lines, lines[::-1]):
        assert raw_get(api, *order).headers["x-request-id"] == "mine"


def test_another_epoch_is_told_quickly(make_server, protocol):
    """Not before Redis was asked; the wait alone would take much longer."""
    server = make_server("--threads", "2", env=wait_of("30s")).start()
    with Api(server.port) as api, protocol(server.port) as client:
        machine = api.new_machine()
        revision = api.get("/v1/machines").revision
        for i in range(20):
            headers = wanted(other_epoch(revision), i - 1)
            response, took = seconds_of(
                lambda: client.request("GET", "/v1/machines", None, headers))
            document = problem(response, 409, FIELD)
            assert document["type"].endswith("/other-epoch") and took < scale(1, 5), took
        headers = wanted(other_epoch(revision))
        target = f"/v1/machines/{machine['id']}"
        problem(client.request("PATCH", target, {"label": "x"}, headers), 409, FIELD)
        assert api.machine(machine["id"]) == machine
    server.stop()


def test_while_redis_is_away_another_epoch_is_not_known(make_server):
    server = make_server(env={**SOON, **wait_of("1s")}).start()
    with Api(server.port) as api:
        api.new_machine()
        revision = api.get("/v1/machines").revision
        redis_pid = server.redis_pid
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            eventually(lambda: "fleetbit-staleness-ms" in api.get("/v1/machines").headers)
            assert api.get("/v1/machines", wanted(revision)).status == 200
            for headers in (wanted(other_epoch(revision)), wanted(revision, 1)):
                response, took = seconds_of(lambda: api.get("/v1/machines", headers))
                assert problem(response, 503)["type"].endswith("/behind") and took > 0.9
                assert "fleetbit-staleness-ms" in response.headers
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        # one that waits when Redis comes back is answered then
        eventually(lambda: api.get("/v1/machines", wanted(other_epoch(revision))).status == 409)
    server.stop()


def test_the_new_epoch_of_another_instance_is_not_refused(make_server, make_redis):
    """An instance that has not heard of a new epoch asks Redis before it says 409."""
    redis = make_redis().start()
    first = make_server(redis_url=redis.url, env=SOON).start()
    second = make_server(redis_url=redis.url, env={**SOON, **wait_of("20s")}).start()
    with Api(first.port) as a, Api(second.port) as b:
        old = a.post("/v1/machines", body_of()).revision
        for _ in range(3):
            redis.client().flushall()
            eventually(lambda: a.get("/v1/machines").revision[0] != old[0])
            made = eventually(lambda: written(a))
            assert made.revision[0] != old[0]
            got = b.get(made.headers["location"], wanted(made.revision))
            assert got.status == 200 and got.revision >= made.revision
            problem(b.get("/v1/machines", wanted(old)), 409, FIELD)
            old = b.get("/v1/machines").revision
    first.stop()
    second.stop()


def written(api):
    response = api.post("/v1/machines", body_of())
    return response if response.status == 201 else None


def test_what_one_instance_acknowledged_the_other_shows(make_server, make_redis, protocol):
    redis = make_redis().start()
    servers = [make_server(redis_url=redis.url).start() for _ in range(2)]
    clients = [protocol(s.port) for s in servers]
    try:
        took = []
        for i in range(scale(60, 20)):
            writer, reader = clients[i % 2], clients[1 - i % 2]
            made = writer.request("POST", "/v1/machines", body_of())
            assert made.status == 201, made
            began = time.monotonic()
            got = reader.request("GET", made.headers["location"], None, wanted(made.revision))
            took.append(time.monotonic() - began)
            assert got.status == 200 and got.body == made.body, got
            assert got.revision >= made.revision
            # and a write there is judged upon it
            changed = reader.request("PATCH", made.headers["location"], {"label": "b"},
                                     {**wanted(made.revision), "If-Match": made.headers["etag"]})
            assert changed.status == 200, changed
        assert sorted(took)[len(took) // 2] < scale(0.2, 1), sorted(took)
    finally:
        for client in clients:
            client.close()
        for server in servers:
            server.stop()


def test_a_client_that_leaves_is_forgotten(make_server):
    """Streams that are reset and connections that are closed while they wait; others go on."""
    server = make_server("--threads", "2", env=wait_of("15s")).start()
    with Api(server.port) as api:
        machine = api.new_machine()
        target = f"/v1/machines/{machine['id']}"
        revision = api.get(target).revision
        for _ in range(3):
            leaving = [protocol(server.port) for protocol in (Api, H2) for _ in range(20)]
            staying = [protocol(server.port) for protocol in (Api, H2) for _ in range(3)]
            for client in [*leaving, *staying]:
                begin(client, "GET", target, None, wanted(revision, 1))
            resetting = H2(server.port)
            streams = [resetting.begin("GET", target, None, wanted(revision, 1))
                       for _ in range(60)]
            time.sleep(0.2)
            for client in leaving:
                client.close()
            for stream in streams[:50]:
                resetting.connection.reset_stream(stream)
            resetting._flush()
            time.sleep(0.2)
            assert api.patch(target, {"label": unique()}).status == 200
            revision = api.get(target).revision
            for client in staying:
                response = finish(client, "GET")
                assert response.status == 200 and response.revision == revision
                client.close()
            for stream in streams[50:]:
                assert resetting.finish(stream).status == 200
            resetting.close()
    server.stop()


def test_more_than_may_wait_are_refused_at_once(make_server):
    """20,000 on one loop: 10,000 wait, the others are told so; a write lets all of them go on."""
    server = make_server("--threads", "1", env=wait_of("200s")).start()
    target, each = "/v1/machines?limit=1", 100  # streams that a connection may have
    with Api(server.port) as api:
        api.new_machine()
        revision = api.get(target).revision
        clients = [H2(server.port) for _ in range(2 * PARKED_MAX // each)]
        for client in clients:
            client.parked = [client.begin("GET", target, None, wanted(revision, 1))
                             for _ in range(each)]
        refused = 0
        while refused < PARKED_MAX:
            refused += sum(map(take_refusals, clients_with_input(clients)))
        response, took = seconds_of(lambda: api.get(target))
        assert response.status == 200 and took < scale(2, 10)
        time.sleep(0.5)
        refused += sum(map(take_refusals, clients_with_input(clients, 0)))
        assert refused == PARKED_MAX
        api.new_machine()
        for client in clients:
            for stream in client.parked:
                assert client.finish(stream).status == 200
            client.close()
        assert api.get(target, wanted(revision, 1)).status == 200
    server.stop()


def clients_with_input(clients, seconds=30):
    ready = select.select([client.socket for client in clients], [], [], seconds)[0]
    assert ready or seconds == 0, f"nothing was answered in {seconds} s"
    return [client for client in clients if client.socket in ready]


def take_refusals(client):
    """How many more of a connection's requests have been refused."""
    client.pump()
    ended = [stream for stream in client.parked if client.streams[stream]["ended"]]
    for stream in ended:
        document = problem(client.finish(stream), 503)
        assert document["type"].endswith("/behind") and "too many" in document["detail"]
        client.parked.remove(stream)
    return len(ended)


def test_what_waits_is_not_swept_away(make_server, protocol):
    """Neither a timeout of requests, nor one of idle or stalled connections, is about it."""
    server = make_server(env={**wait_of("6s"), "FLEETBIT_LIMITS_REQUEST_TIMEOUT": "1s",
                              "FLEETBIT_LIMITS_IDLE_TIMEOUT": "1s",
                              "FLEETBIT_LIMITS_STALL_TIMEOUT": "1s"}).start()
    with Api(server.port) as api, protocol(server.port) as client:
        api.new_machine()
        revision = api.get("/v1/machines").revision
        response, took = seconds_of(
            lambda: client.request("GET", "/v1/machines", None, wanted(revision, 1)))
        assert problem(response, 503)["type"].endswith("/behind")
        assert 5.5 < took < scale(9, 20)
    server.stop()


def test_health_does_not_wait_for_a_revision(api, server):
    api.new_machine()
    revision = api.get("/v1/machines").revision
    with server.admin() as admin:
        for headers in (wanted(revision, 1000000), wanted(other_epoch(revision)), {FIELD: "x"}):
            for connection in (api, admin):
                for path in ("/livez", "/readyz"):
                    response, took = seconds_of(lambda: connection.get(path, headers))
                    assert response.status == 200 and took < 0.8


def test_what_waits_is_answered_before_the_end(make_server, protocol):
    """Also where the drain is shorter than the wait."""
    for wait, drain, most in (("1s", "10s", 6), ("60s", "1s", 8)):
        server = make_server(env={**wait_of(wait), "FLEETBIT_LIMITS_DRAIN_TIMEOUT": drain}).start()
        with Api(server.port) as api, protocol(server.port) as client:
            api.new_machine()
            revision = api.get("/v1/machines").revision
            begin(client, "GET", "/v1/machines", None, wanted(revision, 1))
            time.sleep(0.3)
            stopper = threading.Thread(target=server.stop)
            began = time.monotonic()
            stopper.start()
            assert problem(finish(client, "GET"), 503)["type"].endswith("/behind")
            stopper.join(30)
            assert not stopper.is_alive() and time.monotonic() - began < scale(most, 20)


# --- before the fleet is loaded ---

def test_requests_wait_for_the_fleet_to_be_loaded(make_server, make_redis, protocol):
    redis = make_redis()
    server = make_server(redis_url=redis.url, env=wait_of("60s")).launch()
    clients = [protocol(server.port) for _ in range(4)]
    try:
        requests = [("GET", "/v1/machines", None, 200), ("POST", "/v1/machines", body_of(), 201),
                    ("POST", "/v1/machines", {}, 422), ("GET", "/v1/machines/7", None, 404)]
        for client, (method, target, body, _) in zip(clients, requests):
            begin(client, method, target, body)
        with Api(server.port) as api:
            for path, status in (("/livez", 200), ("/readyz", 503), ("/nowhere", 404)):
                response, took = seconds_of(lambda: api.get(path))
                assert response.status == status and took < 0.8
            problem(api.put("/v1/machines", {}), 405)
            problem(api.get("/v1/machines", {FIELD: "x"}), 400, FIELD)
        redis.start()
        for client, (method, _, _, status) in zip(clients, requests):
            response = finish(client, method)
            assert response.status == status, response
    finally:
        for client in clients:
            client.close()
        server.stop()


def test_the_wait_for_the_fleet_is_bounded(make_server, make_redis, protocol):
    server = make_server(redis_url=make_redis().url, env=wait_of("1s")).launch()
    with protocol(server.port) as client:
        for method, body in (("GET", None), ("POST", body_of())):
            for headers in (None, {FIELD: "01234567.1"}):
                response, took = seconds_of(
                    lambda: client.request(method, "/v1/machines", body, headers))
                document = problem(response, 503)
                assert document["type"].endswith("/unavailable")
                assert re.search("loaded", document["detail"])
                assert 0.9 < took < scale(3, 10)
    server.stop()
