# SPDX-License-Identifier: MIT
"""System B: the live state of the equipment, one report or a thousand at a time."""
import json
import random
import threading
from datetime import datetime, timezone

import pytest

from api import INSTANT, Api, problem
from harness import day, unique
from store import check_store

STATES = ["green", "yellow", "red"]
MEMBERS = ["machine_id", "status", "updated_at", "updated_by", "note"]
NOTHING = {"status": None, "updated_at": None, "updated_by": None, "note": None}
UNKNOWN = 4000000000


def path_of(machine):
    return f"/v1/machines/{machine['id']}/status"


def report(status="green", by="Ann", **members):
    return {"status": status, "updated_by": by, **members}


def item(machine_id, status="green", by="Ann", **members):
    return {"machine_id": machine_id, **report(status, by, **members)}


def put(api, machine, *args, **members):
    response = api.put(path_of(machine), report(*args, **members))
    assert response.status == 200, response
    return response.json()


def post(api, items):
    """Reports them all; the results, and the response."""
    response = api.post("/v1/status", items)
    assert response.status == 200, response
    assert response.headers["content-type"] == "application/json" and "etag" not in response.headers
    document = response.json()
    assert list(document) == ["results"] and len(document["results"]) == len(items)
    return document["results"], response


def failed(result, machine_id, status, field=None):
    """Holds the error of an item against what a whole request would have been answered."""
    assert list(result) == ["machine_id", "error"] and result["machine_id"] == machine_id, result
    error = result["error"]
    assert list(error) == ["type", "title", "status", "detail", "errors"], result
    assert error["status"] == status and error["detail"] and error["type"][:10] == "/problems/"
    if field is not None:
        assert field in [entry["field"] for entry in error["errors"]], result


def revision(api):
    return api.get("/v1/status?limit=1").revision


def new_machines(api, count, **members):
    return [api.new_machine(**members)["id"] for _ in range(count)]


# --- one machine ----------------------------------------------------------------------------

def test_a_machine_is_unknown_until_it_reports(api):
    machine = api.new_machine()
    before = api.read("/v1/status?limit=1")["counts"]
    assert api.read(path_of(machine)) == {"machine_id": machine["id"], **NOTHING}
    then = datetime.now(timezone.utc)
    shown = put(api, machine, "yellow", "Raspberry 7", note="oil\nlow")
    assert list(shown) == MEMBERS
    assert shown == {"machine_id": machine["id"], "status": "yellow", "note": "oil\nlow",
                     "updated_by": "Raspberry 7", "updated_at": shown["updated_at"]}
    assert INSTANT.fullmatch(shown["updated_at"])
    age = datetime.fromisoformat(shown["updated_at"].replace("Z", "+00:00")) - then
    assert -1 < age.total_seconds() < 30
    assert api.read(path_of(machine)) == shown
    after = api.read("/v1/status?limit=1")["counts"]
    assert after == {**before, "unknown": before["unknown"] - 1, "yellow": before["yellow"] + 1}


def test_a_report_replaces_the_one_before(api):
    machine = api.new_machine()
    first = put(api, machine, "red", note="belt")
    second = put(api, machine, "green", "Bob")
    assert second["note"] is None and second["updated_by"] == "Bob"
    assert second["updated_at"] >= first["updated_at"]
    again = put(api, machine, "green", "Bob")  # the same state again is news all the same
    assert again["updated_at"] >= second["updated_at"]
    assert api.read(path_of(machine)) == again


def test_what_was_read_can_be_sent_back_but_not_to_another_machine(api):
    machine, other = api.new_machine(), api.new_machine()
    put(api, machine, "red", note="belt")
    shown = api.read(path_of(machine))
    response = api.put(path_of(machine), shown)
    assert response.status == 200
    assert {**response.json(), "updated_at": 0} == {**shown, "updated_at": 0}
    before = revision(api)
    problem(api.put(path_of(other), shown), 422, "machine_id")
    assert revision(api) == before


def test_the_answer_of_a_report_is_what_a_read_shows(api):
    machine = api.new_machine()
    response = api.put(path_of(machine), report("red"))
    read = api.get(path_of(machine))
    assert read.body == response.body and read.headers["etag"] == response.headers["etag"]
    assert read.revision >= response.revision
    assert api.get(path_of(machine), {"If-None-Match": read.headers["etag"]}).status == 304
    put(api, machine, "green")
    assert api.get(path_of(machine), {"If-None-Match": read.headers["etag"]}).status == 200


def test_if_match_lets_a_report_through_only_upon_what_was_read(api):
    machine = api.new_machine()
    nothing = api.get(path_of(machine)).headers["etag"]
    response = api.put(path_of(machine), report("red"), {"If-Match": nothing})
    assert response.status == 200
    before = revision(api)
    for condition in (nothing, '"x"', "W/" + response.headers["etag"]):
        problem(api.put(path_of(machine), report("green"), {"If-Match": condition}), 412)
    assert revision(api) == before
    current = response.headers["etag"]
    assert api.put(path_of(machine), report("green"), {"If-Match": current}).status == 200
    assert api.put(path_of(machine), report("green"), {"If-Match": "*"}).status == 200
    listed = api.get("/v1/status").headers["etag"]
    problem(api.post("/v1/status", [item(machine["id"])], {"If-Match": '"x"'}), 412)
    assert api.post("/v1/status", [item(machine["id"])], {"If-Match": listed}).status == 200
    problem(api.post("/v1/status", [item(machine["id"])], {"If-Match": listed}), 412)


@pytest.mark.parametrize("body,status,field", [
    ({"updated_by": "Ann"}, 422, "status"),
    ({"status": "red"}, 422, "updated_by"),
    (report("blue"), 422, "status"),
    (report("unknown"), 422, "status"),
    (report("RED"), 422, "status"),
    (report("red "), 422, "status"),
    (report(""), 422, "status"),
    (report(None), 422, "status"),
    (report(["red"]), 422, "status"),
    (report("r" * 5000), 422, "status"),
    (report("red", ""), 422, "updated_by"),
    (report("red", "  "), 422, "updated_by"),
    (report("red", None), 422, "updated_by"),
    (report("red", 7), 422, "updated_by"),
    (report("red", "a\nb"), 422, "updated_by"),
    (report("red", "a\x00b"), 422, "updated_by"),
    (report("red", "x" * 101), 422, "updated_by"),
    (report("red", note=7), 422, "note"),
    (report("red", note="x" * 1001), 422, "note"),
    (report("red", note="a\x07"), 422, "note"),
    (report("red", machine_id=UNKNOWN), 422, "machine_id"),
    (report("red", colour=1), 400, "colour"),
    (report("red", id=1), 400, "id"),
    ([report("red")], 422, None),
    ("red", 422, None),
    (b"", 400, None),
    (b"{", 400, None),
    (b'{"status":"red","status":"red","updated_by":"Ann"}', 400, "status"),
    (b'{"status":"red","updated_by":"\xff"}', 400, None),
])
def test_what_is_no_report_is_refused(api, body, status, field):
    machine = api.new_machine()
    before = revision(api)
    problem(api.put(path_of(machine), body), status, field)
    assert revision(api) == before
    assert api.read(path_of(machine)) == {"machine_id": machine["id"], **NOTHING}


def test_the_longest_texts_are_kept_whole(api):
    machine = api.new_machine()
    shown = put(api, machine, "red", "Ä" * 50, note="🚜" * 250)
    assert shown["updated_by"] == "Ä" * 50 and shown["note"] == "🚜" * 250
    assert api.read(path_of(machine)) == shown


def test_a_machine_that_does_not_exist_has_no_state(api):
    machine = api.new_machine()
    put(api, machine)
    assert api.delete(f"/v1/machines/{machine['id']}").status == 204
    before = revision(api)
    for identity in (machine["id"], UNKNOWN, 0, "x", 2**32, "-1"):
        path = f"/v1/machines/{identity}/status"
        problem(api.get(path), 404)
        problem(api.put(path, report()), 404)
    assert revision(api) == before


def test_the_paths_take_what_they_take(api):
    machine = api.new_machine()
    allowed = {path_of(machine): "GET, HEAD, PUT", "/v1/status": "GET, HEAD, POST"}
    for path, methods in allowed.items():
        for method in ("DELETE", "PATCH"):
            response = api.request(method, path)
            problem(response, 405)
            assert response.headers["allow"] == methods
        assert api.request("HEAD", path).body == b""
    problem(api.put("/v1/status", []), 405)
    problem(api.post(path_of(machine), report()), 405)
    problem(api.put(path_of(machine) + "?a=1", report()), 400, "a")
    problem(api.get(path_of(machine) + "?a=1"), 400, "a")
    problem(api.put(path_of(machine), report(), {"Content-Type": "text/plain"}), 415)


# --- lists ----------------------------------------------------------------------------------

def test_lists_and_counts_are_exact(make_server):
    with Api(make_server().start().port) as api:
        chance = random.Random(7)
        machines = [api.new_machine(type=chance.choice(["crane", "dumper"])) for _ in range(60)]
        states, types = {}, {m["id"]: m["type"] for m in machines}
        empty = {"green": 0, "yellow": 0, "red": 0, "unknown": 60}
        assert api.read("/v1/status") == {"counts": empty, "count": 0, "machines": [],
                                          "next": None}
        for _ in range(6):
            for machine in chance.sample(machines, 15):
                if machine["id"] in types:
                    states[machine["id"]] = put(api, machine, chance.choice(STATES))
            gone = chance.choice(list(types))
            assert api.delete(f"/v1/machines/{gone}").status == 204
            states.pop(gone, None), types.pop(gone)
            check_lists(api, states, types)


def check_lists(api, states, types):
    in_state = {s: [states[i] for i in sorted(states) if states[i]["status"] == s] for s in STATES}
    counts = {s: len(in_state[s]) for s in STATES}
    counts["unknown"] = len(types) - len(states)
    everything = [states[i] for i in sorted(states)]
    for query, expected in [("", everything)] + [(f"&status={s}", in_state[s]) for s in STATES]:
        for limit in (1, 7, 1000):
            page = api.read(f"/v1/status?limit={limit}{query}")
            assert list(page) == ["counts", "count", "machines", "next"]
            assert page["counts"] == counts and page["count"] == len(expected)
            assert (page["next"] is None) == (len(expected) <= limit)
            assert api.pages(f"/v1/status?limit={limit}{query}") == expected
    for state in STATES:
        for kind in ("crane", "dumper"):
            found = api.pages(f"/v1/machines?status={state}&type={kind}&limit=3")
            assert [m["id"] for m in found] == [s["machine_id"] for s in in_state[state]
                                                if types[s["machine_id"]] == kind]
            assert all("status" not in m for m in found)
        found = api.pages(f"/v1/machines?status={state}")
        assert [m["id"] for m in found] == [s["machine_id"] for s in in_state[state]]


@pytest.mark.parametrize("query,status,field", [
    ("status=blue", 422, "status"), ("status=unknown", 422, "status"), ("status=", 422, "status"),
    ("status=Red", 422, "status"), ("status=red&status=red", 400, "status"),
    ("limit=0", 422, "limit"), ("limit=1001", 422, "limit"), ("limit=x", 400, "limit"),
    ("cursor=x", 400, "cursor"), ("type=crane", 400, "type"), ("colour=red", 400, "colour"),
    ("status=%ff", 400, "status"),
])
def test_a_list_refuses_what_it_does_not_know(api, query, status, field):
    problem(api.get(f"/v1/status?{query}"), status, field)


def test_a_cursor_belongs_to_its_question(api):
    for machine in new_machines(api, 3):
        post(api, [item(machine, "red")])
    cursor = api.read("/v1/status?status=red&limit=1")["next"]
    assert api.get(f"/v1/status?status=red&limit=2&cursor={cursor}").status == 200
    problem(api.get(f"/v1/status?status=green&cursor={cursor}"), 400, "cursor")
    problem(api.get(f"/v1/status?cursor={cursor}"), 400, "cursor")
    problem(api.get(f"/v1/machines?status=red&cursor={cursor}"), 400, "cursor")


def test_a_walk_through_the_list_while_others_report_misses_nobody(api):
    machines = new_machines(api, 40)
    post(api, [item(m, "red") for m in machines])
    chance = random.Random(3)
    found = api.pages("/v1/status?limit=7",
                      between=lambda: post(api, [item(m, chance.choice(STATES))
                                                 for m in chance.sample(machines, 9)]))
    ids = [entry["machine_id"] for entry in found]
    assert ids == sorted(set(ids)) and set(machines) <= set(ids)


def test_a_report_leaves_all_other_answers_as_they_are(api):
    machine = api.new_machine(type="crane")
    put(api, machine, "red")
    targets = ["/v1/availability", f"/v1/availability?from={day(0)}&to={day(30)}&type=crane",
               f"/v1/availability/calendar?from={day(0)}&to={day(30)}", "/v1/machines",
               "/v1/machines?type=crane", f"/v1/machines/{machine['id']}",
               f"/v1/machines/{machine['id']}/maintenance",
               f"/v1/machines/{machine['id']}/calendar?from={day(0)}&to={day(5)}"]
    before = [api.get(target) for target in targets]
    for status in STATES:
        put(api, machine, status)
        for target, response in zip(targets, before):
            now = api.get(target)
            assert now.headers["etag"] == response.headers["etag"] and now.body == response.body
            assert now.revision > response.revision
            etag = response.headers["etag"]
            assert api.get(target, {"If-None-Match": etag}).status == 304
    assert machine["id"] in [m["id"] for m in api.pages("/v1/machines?status=red")]
    put(api, machine, "green")
    assert machine["id"] not in [m["id"] for m in api.pages("/v1/machines?status=red")]


# --- batches --------------------------------------------------------------------------------

def test_a_batch_is_one_change_and_has_a_result_an_item(api):
    machines = new_machines(api, 5)
    epoch, before = revision(api)
    results, response = post(api, [item(m, STATES[i % 3], f"w{i}", note=f"n{i}")
                                   for i, m in enumerate(machines)])
    assert response.revision == (epoch, before + 1) == revision(api)
    for i, (machine, result) in enumerate(zip(machines, results)):
        assert list(result) == MEMBERS
        assert (result["status"], result["updated_by"], result["note"]) == (
            STATES[i % 3], f"w{i}", f"n{i}")
        assert api.read(f"/v1/machines/{machine}/status") == result


def test_a_thousand_machines_report_at_once(make_server):
    with Api(make_server().start().port) as api:
        machines = new_machines(api, 1000)
        epoch, before = revision(api)
        for round_ in range(3):
            results, response = post(api, [item(m, STATES[(m + round_) % 3]) for m in machines])
            assert [r["machine_id"] for r in results] == machines
            assert [r["status"] for r in results] == [STATES[(m + round_) % 3] for m in machines]
            assert response.revision == (epoch, before + 1 + round_)
            page = api.read("/v1/status?limit=1000")
            assert page["machines"] == results and page["count"] == 1000
            assert page["counts"] == {**{s: sum(r["status"] == s for r in results)
                                         for s in STATES}, "unknown": 0}
        problem(api.post("/v1/status", [item(m) for m in machines + machines[:1]]), 422)
        assert revision(api) == (epoch, before + 3)


def test_a_batch_of_one_machine_keeps_its_order(api):
    machine = api.new_machine()
    states = [random.Random(5).choice(STATES) for _ in range(1000)]
    results, response = post(api, [item(machine["id"], s, f"w{i}") for i, s in enumerate(states)])
    assert [r["status"] for r in results] == states
    assert [r["updated_by"] for r in results] == [f"w{i}" for i in range(1000)]
    instants = [r["updated_at"] for r in results]
    assert instants == sorted(instants)
    assert api.read(path_of(machine)) == results[-1]


def test_items_that_fail_leave_the_others(api):
    first, second, retired = new_machines(api, 3)
    assert api.delete(f"/v1/machines/{retired}").status == 204
    epoch, before = revision(api)
    results, response = post(api, [
        item(first, "red"), item(UNKNOWN), item(retired), item(second, "blue"),
        {"machine_id": second, "status": "red"}, {"status": "red", "updated_by": "Ann"},
        item("7"), item(0), item(-1), item(1.5), item(2**32), item(None), item([first]), {},
        None, 7, "red", [item(second)], item(second, note=7), item(second, colour="x"),
        item(second, id=second), item(second, updated_at="2026-11-21T12:00:00.000Z"),
        item(second, by="x" * 101), item(second, "yellow", "Bob")])
    assert results[0]["status"] == "red" and results[-1]["updated_by"] == "Bob"
    expected = [
        (UNKNOWN, 404, None), (retired, 404, None), (second, 422, "status"),
        (second, 422, "updated_by"), (None, 422, "machine_id"), (None, 422, "machine_id"),
        (None, 422, "machine_id"), (None, 422, "machine_id"), (None, 422, "machine_id"),
        (None, 422, "machine_id"), (None, 422, "machine_id"), (None, 422, "machine_id"),
        (None, 422, "machine_id"), (None, 422, None), (None, 422, None), (None, 422, None),
        (None, 422, None), (second, 422, "note"), (second, 400, "colour"), (second, 400, "id"),
        (second, 422, "updated_at"), (second, 422, "updated_by")]
    for result, (machine_id, status, field) in zip(results[1:-1], expected, strict=True):
        failed(result, machine_id, status, field)
    assert response.revision == (epoch, before + 1) == revision(api)
    assert api.read(f"/v1/machines/{first}/status") == results[0]
    assert api.read(f"/v1/machines/{second}/status") == results[-1]


def test_a_batch_of_which_all_fail_changes_nothing(api):
    machine = api.new_machine()
    before = revision(api)
    results, response = post(api, [item(UNKNOWN), item(machine["id"], "blue"), None])
    failed(results[0], UNKNOWN, 404)
    failed(results[1], machine["id"], 422, "status")
    failed(results[2], None, 422)
    assert response.revision == before == revision(api)
    assert api.read(path_of(machine)) == {"machine_id": machine["id"], **NOTHING}


@pytest.mark.parametrize("body,status,field", [
    ([], 422, None), ({}, 422, None), (item(1), 422, None), ("red", 422, None), (7, 422, None),
    (b"null", 422, None), ([None] * 1001, 422, None), (b"", 400, None), (b"[", 400, None),
    (b"[{}", 400, None), (b"[] []", 400, None), (b"[{}]]", 400, None), (b"\xff", 400, None),
    (b'[{"machine_id":1,"machine_id":1}]', 400, "machine_id"),
    (b'[{"machine_id":1e999}]', 400, "machine_id"), (b"[" * 5000, 400, None),
    (b"[" + b" " * (1 << 20) + b"]", 413, None),
])
def test_what_is_no_batch_is_refused_whole(api, body, status, field):
    before = revision(api)
    problem(api.post("/v1/status", body), status, field)
    assert revision(api) == before


def test_a_batch_is_json_and_has_no_query(api):
    machine = api.new_machine()
    body = [item(machine["id"])]
    before = revision(api)
    problem(api.post("/v1/status?status=red", body), 400, "status")
    problem(api.post("/v1/status", body, {"Content-Type": "text/plain"}), 415)
    problem(api.post("/v1/status", body, {"Content-Type": "application/merge-patch+json"}), 415)
    problem(api.post("/v1/status", body, {"Content-Encoding": "gzip"}), 415)
    assert revision(api) == before


def test_reports_of_many_at_once_keep_their_order_for_each(server, api):
    """Each reporter has a machine of its own, and all share a few."""
    shared = new_machines(api, 3)
    faults = []

    def work(number):
        try:
            with Api(server.port) as own:
                chance = random.Random(number)
                machine = own.new_machine()["id"]
                for _ in range(15):
                    items = [item(chance.choice([machine] + shared), chance.choice(STATES),
                                  f"{number}") for _ in range(30)]
                    items.append(item(machine, chance.choice(STATES), f"{number}"))
                    results, _ = post(own, items)
                    assert [(r["machine_id"], r["status"]) for r in results] == [
                        (i["machine_id"], i["status"]) for i in items]
                    assert own.read(f"/v1/machines/{machine}/status") == results[-1]
        except BaseException as fault:  # a thread's own would be lost
            faults.append(fault)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults, faults[0]


# --- what is kept ---------------------------------------------------------------------------

def test_states_are_kept_over_a_restart(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        machines = new_machines(api, 20)
        for round_ in range(5):
            post(api, [item(m, STATES[(m + round_) % 3], f"w{m}", note=None if m % 2 else "n")
                       for m in machines[:15]])
        put(api, {"id": machines[3]}, "red", "Zoë", note='"\\\n')
        assert api.delete(f"/v1/machines/{machines[4]}").status == 204
        before = api.get("/v1/status?limit=1000")
        pages = [api.get(f"/v1/machines?status={s}").body for s in STATES]
        check_store(server.redis(), api)
    server.stop()
    server.start()
    with Api(server.port) as api:
        after = api.get("/v1/status?limit=1000")
        assert after.body == before.body and after.revision == before.revision
        assert [api.get(f"/v1/machines?status={s}").body for s in STATES] == pages
        problem(api.get(f"/v1/machines/{machines[4]}/status"), 404)
        check_store(server.redis(), api)


def test_redis_shows_a_state_its_set_and_its_history(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        machine = api.new_machine(inventory_id=unique())
        first = put(api, machine, "red", "Ann", note="belt")
        results, _ = post(api, [item(machine["id"], "yellow"), item(machine["id"], "green")])
        redis = server.redis()
        identity = machine["id"]
        row = redis.hgetall(f"fb:{{default}}:status:{identity}")
        last = {k: v for k, v in results[-1].items() if k != "machine_id" and v is not None}
        assert {k.decode(): v.decode() for k, v in row.items()} == last
        assert redis.getbit("fb:{default}:statuses", identity) == 1
        entries = redis.xrange(f"fb:{{default}}:history:{identity}")
        shown = [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in entries]
        assert shown == [{k: v for k, v in r.items() if k != "machine_id" and v is not None}
                         for r in [first] + results]
        for (entry, _), fields in zip(entries, shown):
            at = datetime.fromisoformat(fields["updated_at"].replace("Z", "+00:00"))
            assert int(entry.split(b"-")[0]) == round(at.timestamp() * 1000)
        change = json.loads(redis.xrevrange("fb:{default}:log", count=1)[0][1][b"change"])
        assert [operation[:3] for operation in change] == [["put", "status", identity]] * 2
        assert api.delete(f"/v1/machines/{identity}").status == 204
        assert redis.exists(f"fb:{{default}}:status:{identity}") == 0
        assert redis.getbit("fb:{default}:statuses", identity) == 0
        assert redis.xlen(f"fb:{{default}}:history:{identity}") == 3
        check_store(redis, api)
