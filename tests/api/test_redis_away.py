# SPDX-License-Identifier: MIT
"""Redis is away: reads go on and say how old they are, writes get 503, and both heal."""
import os
import signal
import time

import pytest

from api import Api, problem
from harness import eventually, scale, unique
from http1 import ConnectionLost
from store import check_store

SOON = {"FLEETBIT_REDIS_TIMEOUT": "300ms", "FLEETBIT_WRITER_DEADLINE": "1s"}


def new_body(name=None):
    return {"label": "a", "inventory_id": name or unique(), "type": "truck"}


def staleness(api, target="/v1/machines"):
    response = api.get(target)
    assert response.status == 200, response
    age = response.headers.get("fleetbit-staleness-ms")
    return None if age is None else int(age)


def check_reads_while_away(api, machine):
    """Every read is answered, with its age, which grows as the clock does."""
    targets = [f"/v1/machines/{machine['id']}", "/v1/machines", "/v1/availability", "/v1/nowhere",
               f"/v1/machines/{machine['id']}/maintenance"]
    eventually(lambda: staleness(api) is not None)
    ages = {target: int(api.get(target).headers["fleetbit-staleness-ms"]) for target in targets}
    began = time.monotonic()
    time.sleep(0.6)
    for target in targets:
        response = api.get(target)
        assert response.status == (404 if target == "/v1/nowhere" else 200)
        grown = int(response.headers["fleetbit-staleness-ms"]) - ages[target]
        elapsed = (time.monotonic() - began) * 1000
        assert 500 <= grown <= elapsed + 500, (target, grown, elapsed)
    assert api.machine(machine["id"]) == machine
    assert api.get("/livez").status == 200
    etag = api.get(targets[0]).headers["etag"]
    known = api.get(targets[0], {"If-None-Match": etag})
    assert known.status == 304 and "fleetbit-staleness-ms" in known.headers


def check_writes_while_away(api, machine):
    """Every write is refused soon; the names that must not be there afterwards."""
    refused = []
    for _ in range(5):
        name = unique()
        began = time.monotonic()
        document = problem(api.post("/v1/machines", new_body(name)), 503)
        assert time.monotonic() - began < scale(4, 10)
        if document["type"].endswith("/unavailable"):
            refused.append(name)
    target = f"/v1/machines/{machine['id']}"
    problem(api.patch(target, {"label": "while away"}), 503)
    problem(api.delete(target), 503)
    problem(api.post(target + "/maintenance", {"duration_days": 1}), 503)
    problem(api.post("/v1/machines", {}), 422)  # what is wrong is wrong all the same
    return refused


def heals(api, machine):
    def is_taken():
        return api.patch(f"/v1/machines/{machine['id']}", {"label": "healed"}).status == 200

    eventually(is_taken, 30)
    eventually(lambda: staleness(api) is None)
    assert api.get("/readyz").status == 200
    return api.new_machine()


def check_names(api, refused):
    names = [m["inventory_id"] for m in api.pages("/v1/machines?limit=1000")]
    assert len(names) == len(set(names)), "a write landed twice"
    assert not set(refused) & set(names), "what was refused is there"


def test_while_redis_is_there_nothing_is_stale(make_server):
    server = make_server(env=SOON).start()
    with Api(server.port) as api:
        for _ in range(20):
            assert staleness(api) is None
            api.new_machine()
            time.sleep(0.1)


def test_a_redis_that_hangs_is_noticed_before_its_timeout(make_server, make_redis):
    """Reads say how old they are once nothing was heard of it for two and a half seconds."""
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env={"FLEETBIT_REDIS_TIMEOUT": "60s"}).start()
    with Api(server.port) as api:
        machine = api.new_machine()
        time.sleep(3)
        assert staleness(api) is None, "it asks Redis too rarely"
        os.kill(redis.process.pid, signal.SIGSTOP)
        try:
            hung = time.monotonic()
            age = eventually(lambda: staleness(api))
            took = time.monotonic() - hung
            assert 1 < took < scale(4, 8), took
            assert 2500 <= age < 2500 + scale(1000, 4000), age
            for target in (f"/v1/machines/{machine['id']}", "/v1/nowhere", "/livez"):
                assert int(api.get(target).headers["fleetbit-staleness-ms"]) >= age
        finally:
            os.kill(redis.process.pid, signal.SIGCONT)
        eventually(lambda: staleness(api) is None)
        api.new_machine()
    server.stop()


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "under a write"])
def test_a_private_redis_that_hangs(make_server, idle):
    server = make_server(env=SOON).start()
    with Api(server.port) as api, Api(server.port) as writer:
        machine = api.new_machine()
        redis_pid = server.redis_pid
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            if not idle:
                doubtful = unique()
                problem(writer.post("/v1/machines", new_body(doubtful)), 503)
            check_reads_while_away(api, machine)
            refused = check_writes_while_away(api, machine)
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        heals(api, machine)
        check_names(api, refused)
        check_store(server.redis(), api)


def test_a_private_redis_that_is_killed_is_started_again(make_server):
    server = make_server(env=SOON).start()
    with Api(server.port) as api:
        machine = api.new_machine()
        epoch = api.get("/v1/machines").revision[0]
        for _ in range(3):
            before = server.redis_pid
            os.kill(before, signal.SIGKILL)
            assert api.machine(machine["id"])["inventory_id"] == machine["inventory_id"]
            made = heals(api, machine)
            assert server.redis_pid != before
            assert api.machine(made["id"]) == made
        assert api.get("/v1/machines").revision[0] == epoch, "the epoch changed for nothing"
        check_names(api, [])
        check_store(server.redis(), api)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_an_external_redis_that_goes_and_comes_back(make_server, make_redis, number):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    with Api(server.port) as api:
        machine = api.new_machine()
        epochs = [api.get("/v1/machines").revision[0]]
        for _ in range(2):
            redis.stop(number)
            check_reads_while_away(api, api.machine(machine["id"]))
            refused = check_writes_while_away(api, machine)
            redis.start()
            heals(api, machine)
            check_names(api, refused)
            # Another instance might have seen more than is left: each run of a Redis that others
            # use, too, has an epoch of its own.
            epochs.append(api.get("/v1/machines").revision[0])
        assert len(set(epochs)) == len(epochs)
        check_store(redis.client(), api)
    server.stop()


def test_the_first_writes_after_redis_went_are_not_acknowledged(make_server, make_redis):
    """Nobody has noticed yet that it is gone when they come."""
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    connections = [Api(server.port) for _ in range(8)]
    machine, refused = connections[0].new_machine(), []
    for _ in range(scale(4, 2)):
        heals(connections[0], machine)
        redis.stop(signal.SIGKILL)
        names = [unique() for _ in connections]
        for name, api in zip(names, connections):
            api.send("POST", "/v1/machines", new_body(name))
        for name, api in zip(names, connections):
            document = problem(api.receive("POST"), 503)
            if document["type"].endswith("/unavailable"):
                refused.append(name)
        redis.start()
    heals(connections[0], machine)
    check_names(connections[0], refused)
    check_store(redis.client(), connections[0])
    for api in connections:
        api.close()
    server.stop()


def test_a_redis_that_lost_its_data_is_noticed_and_begins_a_new_epoch(make_server, make_redis):
    """No revision token names two states."""
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    with Api(server.port) as api:
        for _ in range(5):
            machine = api.new_machine()
        old = api.get("/v1/machines").revision
        redis.client().flushall()
        eventually(lambda: api.get("/v1/machines").revision[0] != old[0])
        assert api.read("/v1/machines")["machines"] == []
        problem(api.get(f"/v1/machines/{machine['id']}"), 404)
        made = eventually(lambda: api.post("/v1/machines", new_body()).status == 201)
        assert made and len(api.read("/v1/machines")["machines"]) == 1
        check_store(redis.client(), api)
    server.stop()


def test_two_instances_see_each_others_writes(make_server, make_redis):
    redis = make_redis().start()
    first = make_server(redis_url=redis.url, env=SOON).start()
    second = make_server(redis_url=redis.url, env=SOON).start()
    with Api(first.port) as a, Api(second.port) as b:
        for i in range(6):
            writer, reader = (a, b) if i % 2 else (b, a)
            made = writer.new_machine()
            eventually(lambda: reader.get(f"/v1/machines/{made['id']}").status == 200, 5)
            assert reader.machine(made["id"]) == made
        assert a.get("/v1/machines").body == b.get("/v1/machines").body
        check_store(redis.client(), a)
    first.stop()
    second.stop()


def test_writes_that_wait_when_redis_hangs_for_a_moment_land(make_server):
    """A pause shorter than the timeouts is not noticed but by the clock."""
    server = make_server(env={"FLEETBIT_REDIS_TIMEOUT": "10s",
                              "FLEETBIT_WRITER_DEADLINE": "10s"}).start()
    connections = [Api(server.port) for _ in range(20)]
    redis_pid = server.redis_pid
    try:
        os.kill(redis_pid, signal.SIGSTOP)
        names = [unique() for _ in connections]
        for name, api in zip(names, connections):
            api.send("POST", "/v1/machines", new_body(name))
        time.sleep(0.5)
        assert connections[0].socket.getpeername()  # nobody was sent away
        os.kill(redis_pid, signal.SIGCONT)
        assert {api.receive().status for api in connections} == {201}
        there = {m["inventory_id"] for m in connections[0].read("/v1/machines")["machines"]}
        assert there == set(names)
    except ConnectionLost as error:
        raise AssertionError("a waiting write was dropped") from error
    finally:
        os.kill(redis_pid, signal.SIGCONT)
        for api in connections:
            api.close()
