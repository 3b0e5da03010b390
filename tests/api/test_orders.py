# SPDX-License-Identifier: MIT
"""System C: orders, from their acceptance to their end."""
import random

import pytest

from api import INSTANT, Api, problem
from harness import Server, day, eventually, in_threads, scale
from http1 import encode
from sse import Stream
from store import check_store

MEMBERS = ["id", "user_id", "item_ids", "total_amount", "status", "created_at", "started_at",
           "completed_at"]
ENDS = ["COMPLETED", "REJECTED", "CANCELLED"]
NO_WORKERS = {"FLEETBIT_ORDERS_WORKERS": "0"}
UNKNOWN = 4000000000


def body(**members):
    return {"user_id": 7, "item_ids": [1], "total_amount": 10, **members}


def path_of(order, action=None):
    return f"/v1/orders/{order['id']}" + (f"/{action}" if action else "")


def ids(orders):
    return [order["id"] for order in orders]


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server that processes nothing by itself."""
    server = Server(tmp_path_factory.mktemp("idle"), "--threads", "2", env=NO_WORKERS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def outside(idle):
    """A connection to that server: what is done with its orders is done by the test."""
    with Api(idle.port) as connection:
        yield connection


def do(api, order, action, content=None, status=200):
    response = api.post(path_of(order, action), content or {})
    assert response.status == status, response
    return response.json()


# --- taking and reading them -----------------------------------------------------------------


def test_an_order_is_taken_at_once_and_processed_later(api):
    response = api.post("/v1/orders", body())
    assert response.status == 202
    order = response.json()
    assert response.headers["location"] == path_of(order)
    assert list(order) == MEMBERS
    assert order["status"] == "PENDING" and INSTANT.fullmatch(order["created_at"])
    assert order["started_at"] is None and order["completed_at"] is None
    done = api.until_order(order["id"], *ENDS)
    assert list(done) == MEMBERS and done["status"] == "COMPLETED"
    assert order["created_at"] == done["created_at"] <= done["started_at"] <= done["completed_at"]
    assert {**done, **{k: order[k] for k in ("status", "started_at", "completed_at")}} == order


@pytest.mark.parametrize("members", [
    {"user_id": "Änne \"x\""}, {"user_id": 123456789012}, {"item_ids": list(range(1000, 0, -1))},
    {"total_amount": 0}, {"total_amount": 0.01}, {"total_amount": 99.9}, {"total_amount": 1e9},
    {"item_ids": [4294967296]}])
def test_what_was_ordered_is_shown_as_it_was_given(outside, members):
    order = outside.new_order(**members)
    assert {name: order[name] for name in members} == members
    assert outside.order(order["id"]) == order


def test_ids_are_dense_and_never_used_again(outside):
    first = outside.new_order()
    assert outside.delete(path_of(first)).status == 204
    problem(outside.post("/v1/orders", body(item_ids=[])), 422)
    assert outside.new_order()["id"] == first["id"] + 1


@pytest.mark.parametrize("content, status, field", [
    ({k: v for k, v in body().items() if k != "user_id"}, 422, "user_id"),
    ({k: v for k, v in body().items() if k != "item_ids"}, 422, "item_ids"),
    ({k: v for k, v in body().items() if k != "total_amount"}, 422, "total_amount"),
    (body(user_id=None), 422, "user_id"),
    (body(user_id=""), 422, "user_id"),
    (body(user_id=1.5), 422, "user_id"),
    (body(user_id=[1]), 422, "user_id"),
    (body(user_id="x" * 101), 422, "user_id"),
    (body(item_ids=[]), 422, "item_ids"),
    (body(item_ids=7), 422, "item_ids"),
    (body(item_ids=[1, 2, 1]), 422, "item_ids"),
    (body(item_ids=["1"]), 422, "item_ids"),
    (body(item_ids=[1.5]), 422, "item_ids"),
    (body(item_ids=[0]), 422, "item_ids"),
    (body(item_ids=[-1]), 422, "item_ids"),
    (body(item_ids=[None]), 422, "item_ids"),
    (body(item_ids=list(range(1, 1002))), 422, "item_ids"),
    (body(total_amount=-1), 422, "total_amount"),
    (body(total_amount=-0.01), 422, "total_amount"),
    (body(total_amount="10"), 422, "total_amount"),
    (body(total_amount=1.001), 422, "total_amount"),
    (body(total_amount=None), 422, "total_amount"),
    (body(status="COMPLETED"), 422, "status"),
    (body(created_at="2026-01-01T00:00:00.000Z"), 422, "created_at"),
    (body(colour="red"), 400, "colour"),
    ([body()], 422, None),
])
def test_what_is_no_order_is_refused(outside, content, status, field):
    for target in ("/v1/orders", "/create_order"):
        problem(outside.post(target, content), status, field)


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b"[]", b'{"user_id":1,"user_id":2}', b"\xff"])
def test_what_is_no_json_object_is_refused(outside, raw):
    for target in ("/v1/orders", "/create_order"):
        outside.send_raw(encode("POST", target, raw))
        problem(outside.receive("POST"), 422 if raw in (b"null", b"[]") else 400)


def test_what_is_not_there(outside):
    problem(outside.get(f"/v1/orders/{UNKNOWN}"), 404)
    problem(outside.get("/v1/orders/0"), 404)
    problem(outside.delete(f"/v1/orders/{UNKNOWN}"), 404)
    for action in ("start", "complete", "reject", "confirm"):
        problem(outside.post(f"/v1/orders/{UNKNOWN}/{action}", {}), 404)
    answer = outside.put("/v1/orders", body())
    assert set(problem(answer, 405) and answer.headers["allow"].split(", ")) == {"GET", "HEAD",
                                                                                "POST"}
    problem(outside.patch(path_of(outside.new_order()), {}), 405)


# --- an outside worker -------------------------------------------------------------------------


def test_somebody_outside_processes_it(outside):
    order = outside.new_order()
    started = do(outside, order, "start")
    assert started["status"] == "PROCESSING" and INSTANT.fullmatch(started["started_at"])
    assert started["completed_at"] is None and "worker" not in started
    done = do(outside, order, "complete")
    assert done["status"] == "COMPLETED" and done["started_at"] == started["started_at"]
    assert done["completed_at"] >= done["started_at"] >= done["created_at"]
    assert outside.order(order["id"]) == done


def test_it_can_be_rejected_with_a_reason(outside):
    waiting, begun = outside.new_order(), outside.new_order()
    do(outside, begun, "start")
    for order, reason in ((waiting, "out of stock"), (begun, "line 1\nline 2")):
        rejected = do(outside, order, "reject", {"reason": reason})
        assert rejected["status"] == "REJECTED" and rejected["reason"] == reason
        assert INSTANT.fullmatch(rejected["completed_at"])
    assert do(outside, outside.new_order(), "reject")["status"] == "REJECTED"
    problem(outside.post(path_of(outside.new_order(), "reject"), {"reason": 7}), 422, "reason")


def brought(api, state):
    """A new order in that state."""
    order = api.new_order()
    if state in ("PROCESSING", "COMPLETED"):
        do(api, order, "start")
    if state == "COMPLETED":
        do(api, order, "complete")
    if state == "REJECTED":
        do(api, order, "reject")
    if state == "CANCELLED":
        assert api.delete(path_of(order)).status == 204
    assert api.order(order["id"])["status"] == state
    return order


ALLOWED = {"start": ["PENDING"], "complete": ["PROCESSING"], "reject": ["PENDING", "PROCESSING"],
           "confirm": [], "cancel": ["PENDING", "PROCESSING"]}


@pytest.mark.parametrize("action", ALLOWED)
@pytest.mark.parametrize("state", ["PENDING", "PROCESSING", *ENDS])
def test_only_what_its_state_leads_on_to_can_be_done(outside, action, state):
    order = brought(outside, state)
    before = outside.order(order["id"])
    response = (outside.delete(path_of(order)) if action == "cancel"
                else outside.post(path_of(order, action), {}))
    if state in ALLOWED[action]:
        assert response.status == (204 if action == "cancel" else 200)
        return
    said = problem(response, 409)["detail"]
    assert action == "confirm" or state in said, said
    assert outside.order(order["id"]) == before


def test_cancelling_twice_and_after_its_end_is_a_conflict(outside):
    order = brought(outside, "CANCELLED")
    assert "CANCELLED" in problem(outside.delete(path_of(order)), 409)["detail"]
    done = brought(outside, "COMPLETED")
    assert "COMPLETED" in problem(outside.delete(path_of(done)), 409)["detail"]
    shown = outside.order(order["id"])
    assert INSTANT.fullmatch(shown["completed_at"]) and shown["started_at"] is None


def test_if_match_is_held_against_the_order(outside):
    order = outside.new_order()
    etag = outside.get(path_of(order)).headers["etag"]
    problem(outside.post(path_of(order, "start"), {}, {"If-Match": '"another"'}), 412)
    assert outside.post(path_of(order, "start"), {}, {"If-Match": etag}).status == 200
    problem(outside.delete(path_of(order), {"If-Match": etag}), 412)


# --- reading -----------------------------------------------------------------------------------


def test_an_order_has_a_validator_that_changes_with_it(outside):
    order = outside.new_order()
    target = path_of(order)
    for _ in range(2):  # made, and out of the memo
        first = outside.get(target)
        assert first.json() == order
    known = outside.get(target, {"If-None-Match": first.headers["etag"]})
    assert known.status == 304 and known.body == b""
    outside.new_order()
    assert outside.get(target, {"If-None-Match": first.headers["etag"]}).status == 304
    do(outside, order, "start")
    after = outside.get(target, {"If-None-Match": first.headers["etag"]})
    assert after.status == 200 and after.json()["status"] == "PROCESSING"
    assert outside.request("HEAD", target).headers["etag"] == after.headers["etag"]


def test_the_list_has_the_newest_first(outside):
    made = [outside.new_order(user_id=u) for u in (1001, "1001", 1001)]
    do(outside, made[0], "start")
    made[0] = outside.order(made[0]["id"])
    page = outside.read("/v1/orders?limit=3")
    assert page["orders"] == made[::-1] and page["next"]
    everything = outside.pages("/v1/orders?limit=7", "orders")
    assert ids(everything) == list(range(made[2]["id"], 0, -1))
    assert ids(outside.pages("/v1/orders?limit=1&user_id=1001", "orders")) == ids(made)[::-1]
    waiting = outside.pages("/v1/orders?user_id=1001&status=PENDING", "orders")
    assert ids(waiting) == [made[2]["id"], made[1]["id"]]
    for state in ("PENDING", "PROCESSING", *ENDS):
        found = outside.pages(f"/v1/orders?status={state}&limit=1000", "orders")
        assert found == [order for order in outside.pages("/v1/orders?limit=1000", "orders")
                         if order["status"] == state]
    assert outside.read("/v1/orders?user_id=nobody") == {"orders": [], "next": None}


@pytest.mark.parametrize("query, status, field", [
    ("status=pending", 422, "status"), ("status=", 422, "status"), ("limit=0", 422, "limit"),
    ("limit=1001", 422, "limit"), ("limit=x", 400, "limit"), ("cursor=x", 400, "cursor"),
    ("colour=red", 400, "colour")])
def test_a_list_is_asked_for_in_these_ways_alone(outside, query, status, field):
    problem(outside.get("/v1/orders?" + query), status, field)


def test_a_list_has_a_validator(outside):
    outside.new_order()
    target = "/v1/orders?status=PENDING&limit=2"
    etag = outside.get(target).headers["etag"]
    assert outside.get(target, {"If-None-Match": etag}).status == 304
    outside.new_order()
    assert outside.get(target, {"If-None-Match": etag}).status == 200


def states_of(stream, order, until):
    seen = []
    while not seen or seen[-1]["status"] != until:
        event = stream.event()
        assert event.event == "order"
        if event.json["id"] == order["id"]:
            seen.append(event.json)
    return seen


def test_every_transition_is_on_the_stream(outside, server):
    with Stream(outside.port, "/v1/stream?topics=order") as stream:
        stream.begin()
        order = outside.new_order()
        do(outside, order, "start")
        do(outside, order, "complete")
        seen = states_of(stream, order, "COMPLETED")
        assert [o["status"] for o in seen] == ["PENDING", "PROCESSING", "COMPLETED"]
        assert seen[0] == order and seen[-1] == outside.order(order["id"])
        cancelled = brought(outside, "CANCELLED")
        states = [o["status"] for o in states_of(stream, cancelled, "CANCELLED")]
        assert states == ["PENDING", "CANCELLED"]
    with Api(server.port) as api, Stream(server.port, "/v1/stream?topics=order") as stream:
        stream.begin()
        order = api.new_order()
        seen = states_of(stream, order, "COMPLETED")
        assert [o["status"] for o in seen] == ["PENDING", "PROCESSING", "COMPLETED"]
        assert seen[1]["worker"], "the instance that processes it is named"
        assert "worker" not in seen[2]


# --- many of them --------------------------------------------------------------------------------


def test_many_orders_come_to_exactly_one_end(make_server):
    server = make_server().start()
    count, clients = scale(300, 60), 8
    made = []

    def place():
        with Api(server.port) as api:
            made.extend(api.new_order(user_id=random.randrange(5))["id"] for _ in range(count))

    in_threads([place] * clients)
    with Api(server.port) as api:
        assert sorted(made) == list(range(1, count * clients + 1))
        eventually(lambda: api.read("/metrics")["processed_count"] == len(made))
        orders = api.pages("/v1/orders?limit=1000", "orders")
        assert {order["status"] for order in orders} == {"COMPLETED"} and len(orders) == len(made)
        log = check_store(server.redis(), api)
    states = {}
    for operation in log.operations():
        if operation[:2] == ["put", "order"]:
            states.setdefault(operation[2], []).append(operation[3]["status"])
    assert set(states) == set(made)
    for order, seen in states.items():
        assert seen == ["PENDING", "PROCESSING", "COMPLETED"], (order, seen)


def test_too_many_that_wait_are_refused(make_server):
    server = make_server(env={**NO_WORKERS, "FLEETBIT_ORDERS_PENDING": "3"}).start()
    with Api(server.port) as api:
        orders = [api.new_order() for _ in range(3)]
        document = problem(api.post("/v1/orders", body()), 503)
        assert document["type"].endswith("/queue-full")
        problem(api.post("/create_order", body()), 503)
        do(api, orders[0], "start")
        api.new_order()
        problem(api.post("/v1/orders", body()), 503)


def test_a_processing_time_is_kept(make_server):
    server = make_server(env={"FLEETBIT_ORDERS_PROCESSING_TIME": "300ms"}).start()
    with Api(server.port) as api:
        order = api.new_order()
        busy = api.until_order(order["id"], "PROCESSING")
        assert busy["worker"]
        done = api.until_order(order["id"], "COMPLETED")
        assert done["started_at"] == busy["started_at"]
        mean = float(api.read("/metrics")["avg_processing_time"])
        assert mean >= 0.3, mean


def test_whoever_has_its_hands_full_goes_on(make_server):
    """It gives signs of life all the while, and takes over nothing."""
    server = make_server(env={"FLEETBIT_ORDERS_WORKERS": "1",
                              "FLEETBIT_ORDERS_PROCESSING_TIME": "2500ms"}).start()
    with Api(server.port) as api:
        orders = [api.new_order() for _ in range(2)]
        api.until_order(orders[0]["id"], "COMPLETED")
        assert api.until_order(orders[1]["id"], "PROCESSING")["worker"]


def test_orders_go_on_after_a_restart(make_server):
    server = make_server(env=NO_WORKERS).start()
    with Api(server.port) as api:
        orders = [api.new_order() for _ in range(20)]
        do(api, orders[0], "start")
        before = api.read("/metrics")
    server.stop()
    server.env = {}
    server.start()
    with Api(server.port) as api:
        for order in orders[1:]:
            api.until_order(order["id"], "COMPLETED")
        assert api.order(orders[0]["id"])["status"] == "PROCESSING", "somebody outside has it"
        do(api, orders[0], "complete")
        after = api.read("/metrics")
        assert before["total_orders"] == after["total_orders"] == after["processed_count"] == 20
        check_store(server.redis(), api)


# --- those that are in Redis alone ---------------------------------------------------------------


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """A server whose snapshot keeps the last five orders that are past, of sixty, and an old one
    that is open."""
    server = Server(tmp_path_factory.mktemp("archived"), "--threads", "2",
                            env={**NO_WORKERS, "FLEETBIT_ORDERS_RECENT": "5"})
    server.start()
    with Api(server.port) as api:
        api.new_order(user_id="open")
        for i in range(60):
            order = api.new_order({"Idempotency-Key": f"a{i}"}, user_id=i % 3)
            do(api, order, "start")
            if i % 2:
                do(api, order, "complete")
            else:
                do(api, order, "reject", {"reason": "odd"})
        eventually(lambda: in_snapshot(server) == 6)
    yield server
    server.stop()


def in_snapshot(server):
    return server.redis().bitcount("fb:{default}:order_ids")


def test_archived_orders_are_read_as_others_are(archived):
    with Api(archived.port) as api:
        for identity in range(2, 62):
            for target in (f"/v1/orders/{identity}", f"/get_order/{identity}"):
                response = api.get(target)
                order = response.json()
                assert response.status == 200 and order["id"] == identity
                assert order["user_id"] == (identity - 2) % 3
                assert order["status"] == ("COMPLETED" if identity % 2 else "REJECTED")
                assert order.get("reason") == (None if identity % 2 else "odd")
                etag = response.headers["etag"]
                assert api.get(target, {"If-None-Match": etag}).status == 304
        problem(api.get("/v1/orders/62"), 404)


@pytest.mark.parametrize("limit", [1, 4, 7, 1000])
def test_lists_page_over_both(archived, limit):
    with Api(archived.port) as api:
        everything = api.pages(f"/v1/orders?limit={limit}", "orders")
        assert ids(everything) == list(range(61, 0, -1))
        assert everything == [api.order(i) for i in ids(everything)]
        done = api.pages(f"/v1/orders?limit={limit}&status=COMPLETED", "orders")
        assert ids(done) == [i for i in range(61, 1, -1) if i % 2]
        mine = api.pages(f"/v1/orders?limit={limit}&user_id=2&status=REJECTED", "orders")
        assert ids(mine) == [i for i in range(61, 1, -1) if i % 2 == 0 and (i - 2) % 3 == 2]
        assert ids(api.pages("/v1/orders?status=PENDING", "orders")) == [1]


def test_what_is_archived_is_at_its_end(archived):
    with Api(archived.port) as api:
        for action in ("start", "complete", "reject", "confirm"):
            problem(api.post(f"/v1/orders/2/{action}", {}), 409)
        problem(api.delete("/v1/orders/3"), 409)


def test_a_key_of_an_archived_order_names_it(archived):
    with Api(archived.port) as api:
        again = api.post("/v1/orders", body(user_id=0), {"Idempotency-Key": "a0"})
        assert again.status == 202 and again.headers["idempotency-replayed"] == "true"
        assert again.json() == {"id": 2} and again.headers["location"] == "/v1/orders/2"
        assert "etag" not in again.headers
        newest = api.post("/v1/orders", body(user_id=59 % 3), {"Idempotency-Key": "a59"})
        assert newest.json() == api.order(61)


def test_totals_know_of_archived_orders_too(archived):
    with Api(archived.port) as api:
        metrics = api.read("/metrics")
        assert metrics["processed_count"] == 30 and metrics["total_orders"] == 61
        assert metrics["pending_count"] == 1 and metrics["processing_count"] == 0
        check_store(archived.redis(), api)


def test_a_key_of_the_old_path_names_an_archived_order_too(archived):
    with Api(archived.port) as api:
        field = {"Idempotency-Key": "old"}
        made = api.post("/create_order", body(), field).json()["data"]
        do(api, made, "reject")
        for _ in range(5):
            do(api, api.new_order(), "reject")
        eventually(lambda: in_snapshot(archived) == 6)
        again = api.post("/create_order", body(), field)
        assert again.status == 201 and again.headers["idempotency-replayed"] == "true"
        assert again.json() == {"message": "Order created successfully!",
                                "data": {"id": made["id"]}}


def test_if_match_of_a_list_with_archived_orders(archived):
    """It cannot be compared; whatever is answered, is so."""
    with Api(archived.port) as api:
        before = api.read("/metrics")["total_orders"]
        current = api.get("/v1/orders").headers["etag"]
        for condition in (current, '"0123456789abcdef"', '""'):
            problem(api.post("/v1/orders", body(), {"If-Match": condition}), 412)
        assert api.read("/metrics")["total_orders"] == before
        made = api.post("/v1/orders", body(), {"If-Match": "*"})
        assert made.status == 202 and made.json()["id"] == before + 1
        do(api, made.json(), "reject")


# --- keys ----------------------------------------------------------------------------------------


def test_an_order_with_a_key_is_placed_once(outside):
    key, content = {"Idempotency-Key": "order-1"}, body(user_id="idempotent")
    first = outside.post("/v1/orders", content, key)
    again = outside.post("/v1/orders", content, key)
    assert first.status == again.status == 202
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    problem(outside.post("/v1/orders", body(user_id="other"), key), 422, "Idempotency-Key")
    started = outside.post(path_of(first.json(), "start"), {}, key)
    assert started.status == 200 and "idempotency-replayed" not in started.headers
    again = outside.post(path_of(first.json(), "start"), {}, key)
    assert again.status == 200 and again.headers["idempotency-replayed"] == "true"
    assert outside.post("/v1/orders", content, key).json()["status"] == "PROCESSING"
    assert len(outside.read("/v1/orders?user_id=idempotent")["orders"]) == 1


def test_a_booking_with_a_key_does_not_stand_in_its_own_way(outside):
    machine = outside.new_machine()
    content = body(item_ids=[machine["id"]], start_date=day(2), end_date=day(3), hold_seconds=900)
    key = {"Idempotency-Key": "held"}
    first = outside.post("/v1/orders", content, key)
    again = outside.post("/v1/orders", content, key)
    assert first.status == again.status == 202 and first.json() == again.json()
    problem(outside.post("/v1/orders", content), 409, "start_date")
