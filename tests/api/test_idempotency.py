# SPDX-License-Identifier: MIT
"""Idempotency-Key: who repeats a request, because its answer was lost, gets what came of the first
one, and nothing is done twice."""
import itertools
import os
import random
import signal
import threading
import uuid

import pytest

from api import Api, problem
from harness import day, eventually, in_threads, scale, unique
from http1 import ConnectionLost, encode
from store import check_store

SOON = {"FLEETBIT_REDIS_TIMEOUT": "300ms", "FLEETBIT_WRITER_DEADLINE": "1s"}


def key():
    return {"Idempotency-Key": f'"{uuid.uuid4()}"'}


def new_body(name=None, **members):
    return {"label": "a", "inventory_id": name or unique(), "type": "truck", **members}


def made(response):
    assert response.status == 201, response
    assert "idempotency-replayed" not in response.headers
    return response


def replayed(response, status=201):
    assert response.status == status, response
    assert response.headers["idempotency-replayed"] == "true"
    return response


def test_a_repeated_request_is_answered_as_the_first_one(api):
    field, body = key(), new_body()
    first = made(api.post("/v1/machines", body, field))
    again = replayed(api.post("/v1/machines", body, field))
    assert again.body == first.body
    for name in ("location", "etag", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert again.revision == first.revision
    # What the thing is now, not what it was.
    api.patch(first.headers["location"], {"label": "new"})
    again = replayed(api.post("/v1/machines", body, field))
    assert again.json()["label"] == "new"
    assert again.headers["etag"] == api.get(first.headers["location"]).headers["etag"]
    # Another key is another request.
    problem(api.post("/v1/machines", body, key()), 409, "inventory_id")


def test_a_key_may_come_without_quotes_and_is_of_its_path(api):
    machine, other, name = api.new_machine(), api.new_machine(), str(uuid.uuid4())
    windows = [f"/v1/machines/{m['id']}/maintenance" for m in (machine, other)]
    body = {"duration_days": 2}
    first = made(api.post(windows[0], body, {"Idempotency-Key": name}))
    again = replayed(api.post(windows[0], body, {"idempotency-key": f'"{name}"'}))
    assert first.body == again.body
    assert again.headers["location"] == first.headers["location"]
    elsewhere = made(api.post(windows[1], body, {"Idempotency-Key": name}))
    assert elsewhere.headers["location"].startswith(windows[1])
    assert len(api.read(windows[0])["windows"]) == 1


@pytest.mark.parametrize("text", ["", '""', '"a', "a b", '"a b"', "x" * 101, '"' + "x" * 101 + '"',
                                  '"a", "b"', "a,b", "\u00e4", '"\\"'])
def test_what_is_no_key_is_refused(api, text):
    problem(api.post("/v1/machines", new_body(), {"Idempotency-Key": text}), 400,
            "Idempotency-Key")


def test_two_keys_are_refused(api):
    raw = encode("POST", "/v1/machines", new_body(), {"Idempotency-Key": "a"})
    api.send_raw(raw.replace(b"Idempotency-Key: a\r\n", b"Idempotency-Key: a\r\n" * 2))
    problem(api.receive("POST"), 400, "Idempotency-Key")


def test_the_same_key_with_another_body_is_refused(api):
    field, body = key(), new_body()
    first = made(api.post("/v1/machines", body, field))
    with api.unchanged(first.json()["id"]):
        problem(api.post("/v1/machines", {**body, "label": "b"}, field), 422, "Idempotency-Key")
        # Of the same meaning, but not the same bytes.
        other = encode("POST", "/v1/machines", b" " + first.body, field)
        api.send_raw(other)
        problem(api.receive("POST"), 422)
    replayed(api.post("/v1/machines", body, field))


def test_what_failed_is_not_remembered(api):
    field, name = key(), unique()
    first = api.new_machine(inventory_id=name)
    problem(api.post("/v1/machines", new_body(name), field), 409, "inventory_id")
    problem(api.post("/v1/machines", {"label": "x"}, field), 422)
    assert api.delete(f"/v1/machines/{first['id']}").status == 204
    made(api.post("/v1/machines", new_body(name), field))
    replayed(api.post("/v1/machines", new_body(name), field))


def test_what_has_gone_since_is_not_found(api):
    field, body = key(), new_body()
    first = made(api.post("/v1/machines", body, field))
    assert api.delete(first.headers["location"]).status == 204
    problem(api.post("/v1/machines", body, field), 404)
    assert api.get(first.headers["location"]).status == 404


def test_other_methods_pass_it_over(api):
    machine, field = api.new_machine(), {"Idempotency-Key": "what is no key"}
    target = f"/v1/machines/{machine['id']}"
    assert api.patch(target, {"label": "1"}, field).json()["label"] == "1"
    assert api.patch(target, {"label": "2"}, field).json()["label"] == "2"
    assert api.put(target, machine, field).status == 200
    assert api.get(target, field).status == 200
    assert api.delete(target, field).status == 204


def test_a_key_that_is_known_wins_over_if_match(api):
    windows = f"/v1/machines/{api.new_machine()['id']}/maintenance"
    field, body = key(), {"duration_days": 3}
    etag = api.get(windows).headers["etag"]
    made(api.post(windows, body, {**field, "If-Match": etag}))
    replayed(api.post(windows, body, {**field, "If-Match": etag}))
    problem(api.post(windows, body, {**key(), "If-Match": etag}), 412)


def test_a_batch_of_states_is_repeated_as_a_whole(api):
    machine, field = api.new_machine(), key()
    items = [{"machine_id": machine["id"], "status": "red", "updated_by": "Ann"},
             {"machine_id": 4294967295, "status": "red", "updated_by": "Ann"}]
    first = api.post("/v1/status", items, field)
    assert first.status == 200 and "idempotency-replayed" not in first.headers
    again = replayed(api.post("/v1/status", items, field), 200)
    assert again.body == first.body and again.revision == first.revision
    target = f"/v1/machines/{machine['id']}"
    api.put(target + "/status", {"status": "green", "updated_by": "Bo"})
    results = replayed(api.post("/v1/status", items, field), 200).json()["results"]
    assert results[0] == api.read(target + "/status") and results[0]["status"] == "green"
    assert results[1]["error"]["status"] == 404
    assert len(api.read(target + "/history")["history"]) == 2
    problem(api.post("/v1/status", items[:1], field), 422, "Idempotency-Key")
    # Where no item succeeds, nothing is done, and nothing remembered.
    other = key()
    for _ in range(2):
        answer = api.post("/v1/status", items[1:], other)
        assert answer.status == 200 and "idempotency-replayed" not in answer.headers


def test_of_many_clients_with_one_key_at_once_one_does_it(server):
    for _ in range(scale(20, 5)):
        field, body = key(), new_body()
        connections = [Api(server.port) for _ in range(8)]
        for connection in connections:
            connection.send("POST", "/v1/machines", body, field)
        answers = [connection.receive("POST") for connection in connections]
        assert {answer.status for answer in answers} == {201}
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
        for connection in connections:
            connection.close()


def test_keys_are_known_after_a_restart_and_on_other_instances(make_server, make_redis):
    redis = make_redis().start()
    servers = [make_server(redis_url=redis.url, env=SOON).start() for _ in range(2)]
    field, body = key(), new_body()
    with Api(servers[0].port) as api:
        first = made(api.post("/v1/machines", body, field))
    with Api(servers[1].port) as api:  # at once: whether or not it has heard of it
        assert replayed(api.post("/v1/machines", body, field)).body == first.body
        problem(api.post("/v1/machines", new_body(), field), 422)
    for server in servers:
        server.stop()
    servers[0].start()
    with Api(servers[0].port) as api:
        assert replayed(api.post("/v1/machines", body, field)).body == first.body
        assert len(api.read("/v1/machines")["machines"]) == 1
        check_store(redis.client(), api)


def test_two_instances_and_one_key_at_once(make_server, make_redis):
    redis = make_redis().start()
    servers = [make_server(redis_url=redis.url).start() for _ in range(2)]
    answers = {}

    def send(server, number, fields, bodies):
        with Api(server.port) as api:
            answers[number] = [api.post("/v1/machines", body, field)
                               for body, field in zip(bodies, fields)]

    fields = [key() for _ in range(scale(100, 30))]
    bodies = [new_body() for _ in fields]
    in_threads([lambda n=n: send(servers[n % 2], n, fields, bodies) for n in range(4)])
    for group in zip(*answers.values()):
        assert {answer.status for answer in group} == {201}, group
        assert len({answer.headers["location"] for answer in group}) == 1
        assert sum("idempotency-replayed" not in answer.headers for answer in group) == 1
    with Api(servers[0].port) as api:
        assert len(api.pages("/v1/machines?limit=1000")) == len(fields)
        check_store(redis.client(), api)


def test_while_redis_is_away_a_repeated_request_is_not_answered(make_server, make_redis):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    field, body = key(), new_body()
    with Api(server.port) as api:
        first = made(api.post("/v1/machines", body, field))
        redis.stop(signal.SIGKILL)
        problem(api.post("/v1/machines", body, field), 503)
        redis.start()
        eventually(lambda: api.post("/v1/machines", body, field).status == 201)
        assert replayed(api.post("/v1/machines", body, field)).body == first.body
    server.stop()


def until_it_is_known(server, body, field, ended):
    """Sends it again and again, on new connections where one is lost, until somebody knows."""
    while not ended.is_set():
        try:
            with Api(server.port) as api:
                answer = api.post("/v1/machines", body, field)
        except (ConnectionLost, ConnectionRefusedError):
            continue
        if answer.status != 503:
            return answer
    return None


def test_redis_is_killed_and_each_key_ends_as_one_thing(make_server):
    """What became of a write is found out by sending it again."""
    server, ended = make_server(env=SOON).start(), threading.Event()
    numbers, names, answers = itertools.count(), [], {}

    def write():
        while not ended.is_set():
            name = f"k-{next(numbers)}"
            names.append(name)
            answer = until_it_is_known(server, new_body(name), {"Idempotency-Key": name}, ended)
            if answer is not None:
                assert answer.status == 201, answer
                answers[name] = answer.json()["id"]

    def kill():
        try:
            for _ in range(scale(6, 3)):
                count = len(answers) + random.randrange(20, scale(300, 60))
                eventually(lambda: len(answers) >= count, 60)
                os.kill(server.redis_pid, signal.SIGKILL)
            count = len(answers) + 20
            eventually(lambda: len(answers) >= count, 60)
        finally:
            ended.set()

    in_threads([kill] + [write] * 6)
    with Api(server.port) as api:
        eventually(lambda: api.post("/v1/machines", {}).status == 422)
        there = {}
        for machine in api.pages("/v1/machines?limit=1000"):
            assert there.setdefault(machine["inventory_id"], machine["id"]) == machine["id"]
        assert {name: there.get(name) for name in answers} == answers
        assert set(there) <= set(names)
        check_store(server.redis(), api)


def test_a_key_is_forgotten_after_a_day(make_server, make_redis):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    field, bodies = key(), [new_body(), new_body()]
    with Api(server.port) as api:
        made(api.post("/v1/machines", bodies[0], field))
    server.stop()
    row = "fb:{default}:idempotency:%d"
    redis.client().hset(row % 1, "created_at", "2026-01-01T00:00:00.000Z")
    server.start()
    with Api(server.port) as api:
        second = made(api.post("/v1/machines", bodies[1], field))
        assert replayed(api.post("/v1/machines", bodies[1], field)).body == second.body
    # Of the two rows one has the key, whatever a start reads first.
    assert b"key" not in redis.client().hgetall(row % 1)
    assert b"key" in redis.client().hgetall(row % 2)
    server.stop()
    server.start()
    with Api(server.port) as api:
        assert replayed(api.post("/v1/machines", bodies[1], field)).body == second.body
        problem(api.post("/v1/machines", bodies[0], field), 422, "Idempotency-Key")


def test_as_many_keys_are_known_as_is_configured(make_server):
    server = make_server(env={"FLEETBIT_IDEMPOTENCY_KEYS": "1000",
                              "FLEETBIT_ORDERS_WORKERS": "0"}).start()
    with Api(server.port) as api:
        for i in range(1010):
            assert api.new_order({"Idempotency-Key": f"k{i}"}, user_id=i)["id"] == i + 1
        assert api.new_order({"Idempotency-Key": "k10"}, user_id=10)["id"] == 11
        assert api.new_order({"Idempotency-Key": "k9"}, user_id=9)["id"] == 1011
        assert api.new_order({"Idempotency-Key": "k1009"}, user_id=1009)["id"] == 1010
        assert server.redis().bitcount("fb:{default}:idempotencies") == 1000
        check_store(server.redis(), api)


def test_a_question_that_is_posted_has_no_key(api):
    machine, field = api.new_machine(), {"Idempotency-Key": "what is no key"}
    answer = api.post("/v1/availability/check", {
        "item_ids": [machine["id"]], "start_date": day(1), "end_date": day(2)}, field)
    assert answer.status == 200 and "idempotency-replayed" not in answer.headers


def test_the_ring_of_keys_in_redis_can_be_read(make_server):
    """As the README says it is."""
    server = make_server().start()
    with Api(server.port) as api:
        machine = made(api.post("/v1/machines", new_body(), {"Idempotency-Key": "mine"})).json()
        api.new_window(machine["id"], start_date=day(1), end_date=day(2))
    row = server.redis().hgetall("fb:{default}:idempotency:1")
    assert row[b"key"] == b"/v1/machines mine"
    assert row[b"first_id"] == str(machine["id"]).encode() and b"second_id" not in row
    assert row[b"number"] == b"1" and len(row[b"fingerprint"]) == 32
    assert server.redis().bitcount("fb:{default}:idempotencies") == 1
