# SPDX-License-Identifier: MIT
"""Orders with dates: they book all their machines for all their days together, or none; and no
machine is ever booked twice on a day."""
import random
from datetime import date, timedelta

import pytest

from api import Api, problem
from harness import Server, day, eventually, in_threads, scale, today
from sse import Stream
from store import check_store

NO_WORKERS = {"FLEETBIT_ORDERS_WORKERS": "0"}
UNKNOWN = 4000000000


def booking(machines, first, last, **members):
    return {"user_id": 7, "item_ids": [m["id"] for m in machines], "total_amount": 10,
            "start_date": day(first), "end_date": day(last), **members}


def book(api, machines, first, last, **members):
    """A booking that was processed."""
    return settled(api, order(api, machines, first, last, **members))


def order(api, machines, first, last, **members):
    response = api.post("/v1/orders", booking(machines, first, last, **members))
    assert response.status == 202, response
    return response.json()


def settled(api, placed):
    return api.until_order(placed["id"], "COMPLETED", "REJECTED", "CANCELLED")


def calendar(api, machine, first, last):
    target = f"/v1/machines/{machine['id']}/calendar?from={day(first)}&to={day(last)}"
    return api.read(target)["days"]


def booked_by(api, machine, first, last):
    return [found["order_id"] for found in calendar(api, machine, first, last)]


def is_free(api, machine, offset):
    free = api.pages(f"/v1/availability?date={day(offset)}&limit=1000")
    return machine["id"] in [found["id"] for found in free]


def check(api, machines, first, last):
    response = api.post("/v1/availability/check", {
        "item_ids": [m["id"] for m in machines], "start_date": day(first), "end_date": day(last)})
    assert response.status == 200, response
    return response.json()


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server that processes nothing by itself."""
    server = Server(tmp_path_factory.mktemp("idle"), env=NO_WORKERS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def outside(idle):
    with Api(idle.port) as connection:
        yield connection


def test_a_booking_shows_in_calendars_and_availability_at_once(api):
    machines = [api.new_machine() for _ in range(3)]
    done = book(api, machines[:2], 3, 5)
    assert done["status"] == "COMPLETED"
    assert (done["start_date"], done["end_date"]) == (day(3), day(5))
    number = done["id"]
    for machine in machines[:2]:
        assert booked_by(api, machine, 2, 6) == [None, number, number, number, None]
        for shown in calendar(api, machine, 3, 5):
            assert shown["booked"] and not shown["available"] and not shown["maintenance"]
    assert booked_by(api, machines[2], 2, 6) == [None] * 5
    assert [is_free(api, machines[0], n) for n in (2, 3, 5, 6)] == [True, False, False, True]
    assert is_free(api, machines[2], 4)
    free = api.pages(f"/v1/availability?from={day(5)}&to={day(9)}&limit=1000")
    assert machines[2]["id"] in [m["id"] for m in free]
    assert not {m["id"] for m in machines[:2]} & {m["id"] for m in free}


def test_what_is_in_the_way_rejects_the_whole_order(api):
    machines = [api.new_machine() for _ in range(3)]
    first = book(api, machines[1:2], 10, 12)
    second = book(api, machines, 12, 14)
    assert second["status"] == "REJECTED" and second["started_at"] == second["completed_at"]
    for part in (str(machines[1]["id"]), day(12), str(first["id"])):
        assert part in second["reason"], second["reason"]
    assert booked_by(api, machines[0], 10, 14) == [None] * 5, "a part of it was booked"
    assert book(api, machines, 13, 14)["status"] == "COMPLETED"
    assert book(api, machines, 9, 9)["status"] == "COMPLETED"


def test_cancelling_frees_the_days(outside):
    machine = outside.new_machine()
    held = order(outside, [machine], 3, 4, hold_seconds=900)
    assert booked_by(outside, machine, 3, 4) == [held["id"]] * 2
    assert outside.delete(f"/v1/orders/{held['id']}").status == 204
    assert booked_by(outside, machine, 3, 4) == [None] * 2 and is_free(outside, machine, 3)
    begun = order(outside, [machine], 3, 4)
    assert is_free(outside, machine, 3), "one that waits holds nothing"
    assert outside.post(f"/v1/orders/{begun['id']}/start", {}).status == 200
    assert not is_free(outside, machine, 3)
    rejected = outside.post(f"/v1/orders/{begun['id']}/reject", {"reason": "broken"}).json()
    assert rejected["reason"] == "broken" and is_free(outside, machine, 3)
    check_store_of(outside)


def check_store_of(api):
    """Are the days of the orders what the calendars show?"""
    for found in api.pages("/v1/orders?limit=1000", "orders"):
        holds = found["status"] in ("PROCESSING", "COMPLETED") or found.get("hold_until")
        if found.get("start_date") is None:
            continue
        for machine in found["item_ids"]:
            if api.get(f"/v1/machines/{machine}").status != 200:
                continue
            days = api.read(f"/v1/machines/{machine}/calendar?from={found['start_date']}"
                            f"&to={found['end_date']}")["days"]
            for shown in days:
                assert (shown["order_id"] == found["id"]) == bool(holds), (found, shown)


@pytest.mark.parametrize("members, field", [
    ({"start_date": None}, "start_date"),
    ({"end_date": None}, "end_date"),
    ({"start_date": day(-1)}, "start_date"),
    ({"start_date": day(4), "end_date": day(3)}, "end_date"),
    ({"start_date": day(0), "end_date": day(366)}, "end_date"),
    ({"start_date": "2027-02-30"}, "start_date"),
    ({"start_date": "tomorrow"}, "start_date"),
    ({"start_date": 20270101}, "start_date"),
    ({"item_ids": [UNKNOWN]}, "item_ids"),
    ({"item_ids": [4294967296]}, "item_ids"),
    ({"hold_seconds": 901}, "hold_seconds"),
    ({"hold_seconds": 0}, "hold_seconds"),
    ({"hold_seconds": "60"}, "hold_seconds"),
    ({"hold_until": "2027-01-01T00:00:00.000Z"}, "hold_until"),
])
def test_what_is_no_booking_is_refused(outside, members, field):
    machine = outside.new_machine()
    content = {**booking([machine], 1, 2), **members}
    content = {name: value for name, value in content.items() if value is not None}
    document = problem(outside.post("/v1/orders", content), 422)
    fields = {error["field"] for error in document["errors"]}
    assert field in fields or {"start_date", "end_date"} >= fields and "date" in field, document
    assert booked_by(outside, machine, 1, 2) == [None] * 2


def test_a_hold_needs_dates_and_a_year_is_allowed(outside):
    problem(outside.post("/v1/orders", {"user_id": 1, "item_ids": [1], "total_amount": 1,
                                        "hold_seconds": 60}), 422, "hold_seconds")
    machine = outside.new_machine()
    placed = order(outside, [machine], 0, 365, hold_seconds=900)
    assert booked_by(outside, machine, 0, 365) == [placed["id"]] * 366


def test_unknown_and_retired_machines_are_named(outside):
    retired, machine = outside.new_machine(), outside.new_machine()
    assert outside.delete(f"/v1/machines/{retired['id']}").status == 204
    content = booking([machine, retired, {"id": UNKNOWN}], 1, 2)
    for target in ("/v1/orders", "/v1/availability/check"):
        body = content if target == "/v1/orders" else {
            name: content[name] for name in ("item_ids", "start_date", "end_date")}
        said = problem(outside.post(target, body), 422, "item_ids")["detail"]
        assert str(retired["id"]) in said and str(UNKNOWN) in said
        assert str(machine["id"]) not in said.split("item_ids: ")[-1].split()


def test_a_machine_that_was_retired_meanwhile_rejects_the_order(make_server):
    server = make_server(env=NO_WORKERS).start()
    with Api(server.port) as api:
        machines = [api.new_machine() for _ in range(2)]
        placed = order(api, machines, 1, 2)
        assert api.delete(f"/v1/machines/{machines[0]['id']}").status == 204
    server.stop()
    server.env = {}
    server.start()
    with Api(server.port) as api:
        done = settled(api, placed)
        assert done["status"] == "REJECTED" and str(machines[0]["id"]) in done["reason"]
        assert booked_by(api, machines[1], 1, 2) == [None] * 2


# --- asking beforehand ---------------------------------------------------------------------------


def test_availability_can_be_checked_beforehand(api):
    machines = [api.new_machine() for _ in range(3)]
    assert check(api, machines, 20, 30) == {"available": True, "count": 0, "conflicts": []}
    done = book(api, machines[:1], 25, 26)
    api.new_window(machines[1]["id"], start_date=day(30), end_date=day(31))
    said = check(api, machines, 20, 30)
    assert said["available"] is False and said["count"] == 3
    assert said["conflicts"] == [
        {"machine_id": machines[0]["id"], "date": day(25), "maintenance": False, "booked": True,
         "order_id": done["id"]},
        {"machine_id": machines[0]["id"], "date": day(26), "maintenance": False, "booked": True,
         "order_id": done["id"]},
        {"machine_id": machines[1]["id"], "date": day(30), "maintenance": True, "booked": False,
         "order_id": None}]
    assert check(api, machines, 27, 29)["available"]


def test_a_check_lists_a_thousand_conflicts_and_counts_all(outside):
    machines = [outside.new_machine() for _ in range(5)]
    order(outside, machines, 0, 299, hold_seconds=900)
    said = check(outside, machines, 0, 299)
    assert said["count"] == 1500 and len(said["conflicts"]) == 1000


@pytest.mark.parametrize("members, status, field", [
    ({"start_date": None}, 422, "start_date"), ({"end_date": None}, 422, "end_date"),
    ({"item_ids": None}, 422, "item_ids"), ({"item_ids": []}, 422, "item_ids"),
    ({"start_date": day(-1)}, 422, "start_date"), ({"colour": 1}, 400, "colour"),
    ({"end_date": day(400)}, 422, "end_date"), ({"end_date": day(0)}, 422, "end_date")])
def test_what_is_no_question_is_refused(outside, members, status, field):
    content = {"item_ids": [outside.new_machine()["id"]], "start_date": day(1),
               "end_date": day(2), **members}
    content = {name: value for name, value in content.items() if value is not None}
    problem(outside.post("/v1/availability/check", content), status, field)
    problem(outside.get("/v1/availability/check"), 405)


# --- maintenance ---------------------------------------------------------------------------------


def test_maintenance_and_bookings_exclude_each_other(api):
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}/maintenance"
    api.new_window(machine["id"], start_date=day(5), end_date=day(6))
    rejected = book(api, [machine], 6, 7)
    assert rejected["status"] == "REJECTED" and day(6) in rejected["reason"]
    done = book(api, [machine], 7, 8)
    assert done["status"] == "COMPLETED"
    window = {"start_date": day(8), "end_date": day(9)}
    said = problem(api.post(target, window), 409)["detail"]
    assert str(done["id"]) in said
    assert api.post(target, {**window, "override": True}).status == 201
    shown = calendar(api, machine, 8, 8)[0]
    assert shown["booked"] and shown["maintenance"] and shown["order_id"] == done["id"]


def test_a_booked_machine_is_not_retired(outside):
    machine, other = outside.new_machine(), outside.new_machine()
    placed = order(outside, [machine, other], 0, 2, hold_seconds=900)
    target = f"/v1/machines/{machine['id']}"
    assert str(placed["id"]) in problem(outside.delete(target), 409)["detail"]
    assert outside.delete(f"/v1/orders/{placed['id']}").status == 204
    assert outside.delete(target).status == 204


# --- holds ---------------------------------------------------------------------------------------


def test_a_hold_keeps_the_days_until_it_is_confirmed(api):
    machine = api.new_machine()
    held = order(api, [machine], 3, 4, hold_seconds=900)
    assert held["status"] == "PENDING" and held["hold_until"] > held["created_at"]
    assert booked_by(api, machine, 3, 4) == [held["id"]] * 2
    document = problem(api.post("/v1/orders", booking([machine], 4, 5, hold_seconds=900)), 409,
                       "start_date")
    for part in (str(machine["id"]), day(4), str(held["id"])):
        assert part in document["detail"], document
    assert book(api, [machine], 4, 5)["status"] == "REJECTED"
    assert api.order(held["id"])["status"] == "PENDING", "nobody processes it before"
    confirmed = api.post(f"/v1/orders/{held['id']}/confirm", {})
    assert confirmed.status == 200 and "hold_until" not in confirmed.json()
    done = settled(api, held)
    assert done["status"] == "COMPLETED" and "hold_until" not in done
    assert booked_by(api, machine, 3, 4) == [held["id"]] * 2
    problem(api.post(f"/v1/orders/{held['id']}/confirm", {}), 409)


def test_a_hold_that_is_over_frees_its_days(api):
    machine = api.new_machine()
    with Stream(api.port, "/v1/stream?topics=order") as stream:
        stream.begin()
        held = order(api, [machine], 3, 4, hold_seconds=1)
        problem(api.post("/v1/orders", booking([machine], 3, 4, hold_seconds=1)), 409)
        states = []
        while "CANCELLED" not in states:
            event = stream.event().json
            if event["id"] == held["id"]:
                states.append(event["status"])
    assert states == ["PENDING", "CANCELLED"]
    gone = api.until_order(held["id"], "CANCELLED")  # the loop of the stream may have been first
    assert gone["reason"] and gone["completed_at"] >= held["hold_until"]
    assert booked_by(api, machine, 3, 4) == [None] * 2
    assert book(api, [machine], 3, 4)["status"] == "COMPLETED"


def test_a_hold_is_over_although_no_worker_is_there_and_after_a_restart(make_server):
    server = make_server(env=NO_WORKERS).start()
    with Api(server.port) as api:
        machine = api.new_machine()
        held = order(api, [machine], 3, 4, hold_seconds=1)
    server.stop()
    server.start()
    with Api(server.port) as api:
        assert settled(api, held)["status"] == "CANCELLED"
        assert is_free(api, machine, 3)
        check_store(server.redis(), api)


def test_somebody_outside_starts_what_was_held(outside):
    machine = outside.new_machine()
    held = order(outside, [machine], 3, 4, hold_seconds=900)
    started = outside.post(f"/v1/orders/{held['id']}/start", {}).json()
    assert started["status"] == "PROCESSING" and "hold_until" not in started
    assert booked_by(outside, machine, 3, 4) == [held["id"]] * 2


def test_what_cannot_be_started_stays_pending(outside):
    machine = outside.new_machine()
    waiting = order(outside, [machine], 3, 4)
    held = order(outside, [machine], 4, 5, hold_seconds=900)
    said = problem(outside.post(f"/v1/orders/{waiting['id']}/start", {}), 409)["detail"]
    assert str(held["id"]) in said and day(4) in said
    assert outside.order(waiting["id"])["status"] == "PENDING"
    outside.delete(f"/v1/orders/{held['id']}")
    assert outside.post(f"/v1/orders/{waiting['id']}/start", {}).status == 200


# --- all at once ---------------------------------------------------------------------------------


def days_of(placed):
    first = date.fromisoformat(placed["start_date"])
    last = date.fromisoformat(placed["end_date"])
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def test_no_machine_is_booked_twice_whoever_fights_for_it(make_server, make_redis):
    redis = make_redis().start()
    servers = [make_server(redis_url=redis.url).start() for _ in range(2)]
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    with Api(servers[0].port) as api:
        machines = [api.new_machine() for _ in range(6)]
    placed = []

    def fight(number):
        chance = random.Random(seed + number)
        with Api(servers[number % 2].port) as api:
            for _ in range(scale(100, 25)):
                first = chance.randrange(20)
                chosen = chance.sample(machines, chance.randrange(1, 4))
                hold = {"hold_seconds": 900} if chance.random() < 0.2 else {}
                response = api.post("/v1/orders", booking(
                    chosen, first, first + chance.randrange(4), **hold))
                assert response.status == 202 or hold and response.status == 409, response
                if response.status == 202:
                    placed.append(response.json())
                if response.status == 202 and chance.random() < 0.3:
                    assert api.delete(response.headers["location"]).status in (204, 409)

    in_threads([lambda n=n: fight(n) for n in range(6)])
    with Api(servers[0].port) as api:
        ends = {}
        for one in placed:
            if "hold_until" in one:
                api.post(f"/v1/orders/{one['id']}/confirm", {})
            ends[one["id"]] = settled(api, one)
        taken = {}
        for end in ends.values():
            if end["status"] == "COMPLETED":
                for one in days_of(end):
                    for machine in end["item_ids"]:
                        assert taken.setdefault((machine, one), end["id"]) == end["id"]
        assert taken and "REJECTED" in {end["status"] for end in ends.values()}
        for machine in machines:
            shown = booked_by(api, machine, 0, 30)
            wanted = [taken.get((machine["id"], today() + timedelta(days=i))) for i in range(31)]
            assert shown == wanted
        eventually(lambda: api.read("/metrics")["pending_count"] == 0)
        counts = api.read("/metrics")
        with Api(servers[1].port) as other:
            eventually(lambda: other.get("/metrics").body == api.get("/metrics").body)
        states = [end["status"] for end in ends.values()]
        assert counts["processed_count"] == states.count("COMPLETED")
        assert counts["total_orders"] == len(placed)
        check_store(redis.client(), api)
