# SPDX-License-Identifier: MIT
"""Three clients at once, each at an instance of its own: exactly one wins, every time, and the
others are told by whom they were beaten. And who has a token reads at least that state anywhere."""
import random

import pytest

from api import Api, problem
from harness import away_from_midnight, scale, unique
from store import check_store

ROUNDS = scale(1000, 100)


@pytest.fixture
def cluster(make_cluster):
    away_from_midnight(scale(100, 300))
    return make_cluster().start()


@pytest.fixture
def clients(cluster):
    connections = [instance.api() for instance in cluster.instances]
    yield connections
    for connection in connections:
        connection.close()


def split(responses, good, bad):
    winners = [r for r in responses if r.status == good]
    losers = [r for r in responses if r.status == bad]
    assert len(winners) == 1 and len(losers) == len(responses) - 1, responses
    return winners[0], losers


def race(clients, draw, send):
    """All send, in any order, before any answer is read."""
    for number in draw.sample(range(len(clients)), len(clients)):
        send(clients[number], number)


def test_one_inventory_id_goes_to_one_instance(cluster, clients):
    draw, won = random.Random(1), [0, 0, 0]
    for _ in range(ROUNDS):
        body = {"inventory_id": unique(), "type": "crane"}
        race(clients, draw, lambda api, number: api.send(
            "POST", "/v1/machines", {**body, "label": str(number)}))
        responses = [api.receive("POST") for api in clients]
        winner, losers = split(responses, 201, 409)
        made = winner.json()
        won[responses.index(winner)] += 1
        assert made["label"] == str(responses.index(winner))
        for loser in losers:
            document = problem(loser, 409, "inventory_id")
            assert f"/v1/machines/{made['id']}" in document["detail"], document
            assert loser.revision >= winner.revision
    print("won:", won)
    with cluster.redis.client() as client, cluster.instances[0].api() as api:
        log = check_store(client, api)
    assert len(log.entries) == ROUNDS, "a loser left something behind"


def test_one_if_match_goes_to_one_instance(cluster, clients):
    draw, won = random.Random(2), [0, 0, 0]
    made = clients[0].new_machine()
    target = f"/v1/machines/{made['id']}"
    winner = clients[0].get(target)
    cluster.check_all_see(winner.revision, 30)
    for turn in range(ROUNDS):
        etag = winner.headers["etag"]
        race(clients, draw, lambda api, number: api.send(
            "PATCH", target, {"label": f"{turn} {number}"}, {"If-Match": etag}))
        responses = [api.receive("PATCH") for api in clients]
        winner, losers = split(responses, 200, 412)
        won[responses.index(winner)] += 1
        assert winner.json()["label"] == f"{turn} {responses.index(winner)}"
        for loser in losers:
            problem(loser, 412)
            assert loser.revision >= winner.revision
        # Whoever was told 412 is told about the newest state: it is there for a GET, too.
        beaten = responses.index(losers[turn % 2])
        assert clients[beaten].get(target).body == winner.body
    print("won:", won)
    with cluster.redis.client() as client, cluster.instances[1].api() as api:
        log = check_store(client, api)
    assert len(log.entries) == ROUNDS + 1, "a loser left something behind"


def test_an_increment_under_if_match_loses_no_step(cluster, clients):
    """Instances count in turns in one label, each upon what it read at another."""
    made = clients[0].new_machine(label="0")
    target, steps = f"/v1/machines/{made['id']}", scale(200, 40)
    counted = 0
    while counted < steps:
        for number, api in enumerate(clients):
            shown = clients[(number + 1) % 3].get(target)
            if shown.status == 404:
                continue  # the first write is not there yet
            label = str(int(shown.json()["label"]) + 1)
            answer = api.patch(target, {"label": label}, {"If-Match": shown.headers["etag"]})
            counted += answer.status == 200
            if answer.status != 200:
                problem(answer, 412)
    assert max(int(api.machine(made["id"])["label"]) for api in clients) == counted


def test_who_has_a_token_reads_what_he_wrote_at_every_instance(cluster, clients):
    """The Fleetbit-Revision of a write, as Fleetbit-Min-Revision of a read elsewhere."""
    draw = random.Random(3)
    for instance in cluster.instances:
        instance.proxy.faults(drop=0.2, repeat=0.2, delay=0.5, seconds=0.05)
    for turn in range(scale(500, 100)):
        writer, reader = draw.sample(clients, 2)
        made = writer.post("/v1/machines", {"label": str(turn), "inventory_id": unique(),
                                            "type": "crane"})
        assert made.status == 201, made
        least = {"Fleetbit-Min-Revision": made.headers["fleetbit-revision"]}
        shown = reader.get(made.headers["location"], least)
        assert shown.status == 200, f"turn {turn}: {made} {shown}"
        assert shown.body == made.body and shown.revision >= made.revision
        with Api(reader.port) as fresh:
            listed = fresh.get("/v1/machines?limit=1000", least)
        assert listed.status == 200 and listed.revision >= made.revision, listed
        assert listed.json()["machines"][-1]["id"] == made.json()["id"]
