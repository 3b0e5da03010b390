# SPDX-License-Identifier: MIT
"""Two clients at once, on one inventory id or on one If-Match: exactly one wins, every time."""
import random
import threading

from api import Api, problem
from harness import scale, unique

ROUNDS = scale(1000, 200)


def pairs(server, draw, count=8):
    """Two different connections, on any event loops, for every round."""
    connections = [Api(server.port) for _ in range(count)]
    try:
        for _ in range(ROUNDS):
            yield draw.sample(connections, 2)
    finally:
        for connection in connections:
            connection.close()


def split(responses, good, bad):
    winners = [r for r in responses if r.status == good]
    losers = [r for r in responses if r.status == bad]
    assert len(winners) == 1 and len(losers) == len(responses) - 1, responses
    return winners[0], losers


def test_one_inventory_id_goes_to_one_client(server):
    for pair in pairs(server, random.Random(1)):
        body = {"inventory_id": unique(), "type": "crane"}
        for side, api in zip("ab", pair):
            api.send("POST", "/v1/machines", {**body, "label": side})
        responses = [api.receive("POST") for api in pair]
        winner, (loser,) = split(responses, 201, 409)
        document = problem(loser, 409, "inventory_id")
        assert f"/v1/machines/{winner.json()['id']}" in document["detail"]


def test_one_if_match_goes_to_one_client(server, api):
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    etag = api.get(target).headers["etag"]
    for number, pair in enumerate(pairs(server, random.Random(2))):
        for side, connection in zip("ab", pair):
            connection.send("PATCH", target, {"label": f"{side}{number}"}, {"If-Match": etag})
        responses = [connection.receive("PATCH") for connection in pair]
        winner, (loser,) = split(responses, 200, 412)
        problem(loser, 412)
        shown = pair[number % 2].get(target)
        assert shown.body == winner.body and shown.headers["etag"] == winner.headers["etag"]
        etag = winner.headers["etag"]


def test_threads_that_take_names_from_each_other(server):
    """Eight threads, each with the same names in its own order: each name is created once."""
    names = [unique() for _ in range(scale(200, 60))]
    winners, broken = {name: [] for name in names}, []

    def take(number):
        order = names[:]
        random.Random(number).shuffle(order)
        with Api(server.port) as api:
            for name in order:
                response = api.post("/v1/machines", {"label": str(number), "inventory_id": name,
                                                     "type": "crane"})
                if response.status == 201:
                    winners[name].append(response.json()["id"])
                elif response.status != 409:
                    broken.append(response)

    threads = [threading.Thread(target=take, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken, broken[:3]
    assert all(len(ids) == 1 for ids in winners.values())
    with Api(server.port) as api:
        listed = [m["inventory_id"] for m in api.pages("/v1/machines?limit=1000&type=crane")]
    assert all(listed.count(name) == 1 for name in names)


def test_an_increment_under_if_match_loses_no_step(server, api):
    """Four threads count in the label of one machine; who is told 412 reads again."""
    machine = api.new_machine(label="0")
    target = f"/v1/machines/{machine['id']}"
    steps = scale(60, 20)

    def count():
        with Api(server.port) as own:
            for _ in range(steps):
                while True:
                    shown = own.get(target)
                    label = str(int(shown.json()["label"]) + 1)
                    answer = own.patch(target, {"label": label},
                                       {"If-Match": shown.headers["etag"]})
                    if answer.status == 200:
                        break
                    assert answer.status == 412, answer

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert api.machine(machine["id"])["label"] == str(4 * steps)


def test_two_instances_race_for_one_inventory_id(make_server, make_redis):
    redis = make_redis().start()
    servers = [make_server(redis_url=redis.url).start() for _ in range(2)]
    pair = [Api(server.port) for server in servers]
    try:
        for _ in range(scale(100, 20)):
            body = {"label": "a", "inventory_id": unique(), "type": "crane"}
            for api in pair:
                api.send("POST", "/v1/machines", body)
            split([api.receive("POST") for api in pair], 201, 409)
    finally:
        for api in pair:
            api.close()
        for server in servers:
            server.stop()
