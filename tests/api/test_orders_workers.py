# SPDX-License-Identifier: MIT
"""The workers of an instance, and what becomes of orders without them: processing that takes time,
workers outside, holds that are over, orders that leave the memory, a queue that is damaged."""
import contextlib
import os
import signal
import subprocess
import threading
import time

import pytest

import harness
from api import Api, problem
from bookings import instant
from harness import day, eventually, scale
from prometheus import Metrics
from sse import Stream

ENDS = ("COMPLETED", "REJECTED", "CANCELLED")
QUEUE = "fb:{default}:orders"


def settings(**values):
    return {f"FLEETBIT_ORDERS_{name.upper()}": str(value) for name, value in values.items()}


def scrape(server):
    with server.admin() as admin:
        return Metrics(admin.get("/metrics").body.decode())


def queue_length(server):
    with server.redis() as client:
        return client.xlen(QUEUE)


def seconds(order):
    return (instant(order["completed_at"]) - instant(order["started_at"])).total_seconds()


# --- in hand ----------------------------------------------------------------------------------


def test_only_so_many_are_in_hand_at_a_time(make_server):
    server = make_server(env=settings(workers=3, processing_time="150ms")).start()
    most = 0
    with Api(server.port) as api, server.admin() as admin:
        orders = [api.new_order()["id"] for _ in range(15)]
        open_ones = admin.get("/status.json").json()["orders"]
        assert set(open_ones) == {"pending", "processing", "in_hand", "queue"}
        assert open_ones["pending"] >= 9 and open_ones["in_hand"] <= 3
        while (shown := api.read("/metrics"))["processed_count"] < len(orders):
            most = max(most, shown["processing_count"])
        done = [api.order(order) for order in orders]
    assert most == 3
    assert all(seconds(order) >= 0.15 for order in done)
    starts = sorted(instant(order["started_at"]) for order in done)
    # The fourth begins when one of the first three is at its end, and so on.
    assert (starts[-1] - starts[0]).total_seconds() >= 4 * 0.15
    eventually(lambda: queue_length(server) == 0)


def test_the_oldest_come_first(make_server):
    server = make_server(env=settings(workers=1)).start()
    with Api(server.port) as api:
        orders = [api.new_order()["id"] for _ in range(30)]
        done = [api.until_order(order, *ENDS) for order in orders]
    starts = [order["started_at"] for order in done]
    assert starts == sorted(starts)


def test_an_order_that_is_cancelled_in_hand_is_not_completed(make_server):
    server = make_server(env=settings(processing_time="400ms")).start()
    with Api(server.port) as api:
        order = api.new_order()["id"]
        api.until_order(order, "PROCESSING")
        assert api.delete(f"/v1/orders/{order}").status == 204
        other = api.until_order(api.new_order()["id"], *ENDS)
        assert other["status"] == "COMPLETED"
        assert api.order(order)["status"] == "CANCELLED"
    eventually(lambda: scrape(server).value("fleetbit_orders_in_hand") == 0)
    eventually(lambda: queue_length(server) == 0)


def test_what_a_killed_server_had_goes_on_when_it_is_back(make_server):
    server = make_server(env=settings(processing_time="1s", claim_after="1s")).start()
    with Api(server.port) as api:
        order = api.new_order()["id"]
        api.until_order(order, "PROCESSING")
    server.kill()
    server.start()
    with Api(server.port) as api:
        done = api.until_order(order, *ENDS)
    assert done["status"] == "COMPLETED" and seconds(done) >= 1
    assert scrape(server).value("fleetbit_orders_claimed_total") == 1


def test_a_server_that_ends_waits_for_nobody(make_server):
    """Its orders go on after a restart, at the time when they are due."""
    server = make_server(env=settings(processing_time="3s", claim_after="1h")).start()
    with Api(server.port) as api:
        order = api.new_order()["id"]
        api.until_order(order, "PROCESSING")
    server.stop(seconds=scale(2.5, 20))
    server.start()
    with Api(server.port) as api:
        done = api.until_order(order, *ENDS)
    assert done["status"] == "COMPLETED" and 3 <= seconds(done) < 3 + scale(2, 15)


# --- without workers --------------------------------------------------------------------------


def test_workers_outside_leave_no_entries_behind(make_server):
    """Nobody takes them from the queue, which does not grow for ever all the same; and those of
    orders that wait stay there."""
    server = make_server(env=settings(workers=0)).start()
    with Api(server.port) as api:
        waiting = [api.new_order()["id"] for _ in range(3)]
        for _ in range(1100):
            order = api.new_order()["id"]
            assert api.post(f"/v1/orders/{order}/reject", {}).status == 200
        eventually(lambda: len(waiting) <= queue_length(server) < 600, 30)
        assert [api.order(order)["status"] for order in waiting] == ["PENDING"] * 3
    server.stop()
    server.env = settings(workers=1, claim_after="1h")
    server.start()
    with Api(server.port) as api:
        for order in waiting:
            assert api.until_order(order, *ENDS)["status"] == "COMPLETED"
    eventually(lambda: queue_length(server) == 0)


def test_holds_are_over_in_time_without_workers(make_server):
    server = make_server(env=settings(workers=0)).start()
    with Api(server.port) as api:
        machine = api.new_machine()["id"]
        dates = {"item_ids": [machine], "start_date": day(1), "end_date": day(1)}
        held = api.new_order(hold_seconds=1, **dates)
        taken = api.post("/v1/orders", {"user_id": 2, "total_amount": 1, "hold_seconds": 1,
                                        **dates})
        problem(taken, 409, "start_date")
        over = api.until_order(held["id"], "CANCELLED")
        late = instant(over["completed_at"]) - instant(held["hold_until"])
        assert 0 <= late.total_seconds() < scale(1, 10)
        assert api.new_order(hold_seconds=1, **dates)["status"] == "PENDING"


# --- orders that are past ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """A server that keeps few of them in memory, with many that are past."""
    server = harness.Server(tmp_path_factory.mktemp("past"), "--threads", "2",
                            env={**settings(recent=10), "FLEETBIT_REDIS_TIMEOUT": "1s"})
    server.start()
    with Api(server.port) as api:
        for user in range(300):
            order = api.new_order(user_id=user % 7)["id"]
            if user % 10 == 0:
                api.delete(f"/v1/orders/{order}")
        eventually(lambda: scrape(server).value("fleetbit_orders_archived_total") >= 280)
    yield server
    server.stop()


def test_an_archived_order_is_read_as_any_other(past):
    with Api(past.port) as api:
        recent = api.until_order(300, *ENDS)
        order = api.get("/v1/orders/1")
        assert order.status == 200 and list(order.json())[:8] == list(recent)[:8]
        assert order.json()["id"] == 1 and order.json()["status"] in ENDS
        assert order.body == api.get("/get_order/1").body
        known = api.get("/v1/orders/1", headers={"If-None-Match": order.headers["etag"]})
        assert known.status == 304 and known.body == b""
        assert order.headers["cache-control"] == api.get("/v1/orders/300").headers["cache-control"]
        assert order.revision == api.get("/v1/orders/300").revision
        problem(api.get("/v1/orders/301"), 404)


def test_pages_over_both_neither_skip_nor_repeat_while_orders_leave_the_memory(past):
    """Orders are taken between two pages, so that others leave the memory meanwhile."""
    with Api(past.port) as api, Api(past.port) as other:
        before = api.read("/metrics")["total_orders"]
        for limit in (1, 7, 100):
            if limit == 1:
                found = [o["id"] for o in api.pages("/v1/orders?limit=1&user_id=3", "orders")]
                assert found == sorted(found, reverse=True) and len(found) == len(set(found))
                continue
            found = [o["id"] for o in api.pages(
                f"/v1/orders?limit={limit}", "orders", between=lambda: other.new_order(user_id=99))]
            assert found == sorted(found, reverse=True) and len(found) == len(set(found))
            assert set(range(1, before + 1)) <= set(found)


def test_an_archived_order_waits_for_redis_and_nobody_else_does(past):
    """Its request is 503 when Redis does not answer in time; the loops go on."""
    os.kill(past.redis_pid, signal.SIGSTOP)
    try:
        with Api(past.port) as api, Api(past.port) as other, Api(past.port) as gone:
            gone.send("GET", "/v1/orders/2")
            gone.close()
            api.send("GET", "/v1/orders/1")
            for _ in range(50):
                assert other.get("/v1/machines").status == 200
            problem(api.receive("GET"), 503)
    finally:
        os.kill(past.redis_pid, signal.SIGCONT)
    with Api(past.port) as api:
        eventually(lambda: api.get("/v1/orders/1").status == 200)


def test_leaving_the_memory_is_no_event(past):
    with Api(past.port) as api:  # what other tests have placed is at its end
        eventually(lambda: not any(api.read("/metrics")[f"{state}_count"]
                                   for state in ("pending", "processing")))
    with Api(past.port) as api, Stream(past.port, "/v1/stream?topics=order") as stream:
        stream.begin()
        before = scrape(past).value("fleetbit_orders_archived_total")
        orders = [api.new_order()["id"] for _ in range(5)]
        for order in orders:
            api.until_order(order, "COMPLETED")
        eventually(lambda: scrape(past).value("fleetbit_orders_archived_total") > before)
        last = api.new_order()["id"]
        states, seen = [], None
        while seen != (last, "PENDING"):
            block = stream.event()
            seen = (block.json["id"], block.json["status"])
            states.append(seen)
    for order in orders:
        assert [state for number, state in states if number == order] == [
            "PENDING", "PROCESSING", "COMPLETED"]
    assert {number for number, _ in states} == {*orders, last}


def test_a_stream_that_resumes_in_the_log_has_the_same_events(make_server):
    """What is queued and what leaves the memory is in the log, too, and is no event there either.
    """
    server = make_server(env=settings(recent=0, processing_time="1ms")).start()
    seen = []
    with Api(server.port) as api, Stream(server.port, "/v1/stream?topics=order") as stream:
        orders = {api.new_order()["id"] for _ in range(20)}
        while orders:
            block = stream.event()
            seen.append((block.event, block.id, block.data))
            if block.json["status"] in ENDS:
                orders.remove(block.json["id"])
    eventually(lambda: scrape(server).value("fleetbit_orders_archived_total") == 20)
    server.stop()
    server.start()  # the journal is empty now
    for first in (0, 1, 7, len(seen) - 2):
        with Stream(server.port, "/v1/stream?topics=order", last=seen[first][1]) as stream:
            for expected in seen[first + 1:]:
                block = stream.event()
                assert (block.event, block.id, block.data) == expected


def test_after_a_restart_the_state_is_the_same_and_verify_finds_no_difference(past):
    with Api(past.port) as api:
        eventually(lambda: api.read("/metrics")["pending_count"] == 0)
        eventually(lambda: scrape(past).value("fleetbit_orders_queue") == 0)
        shown = [api.read("/v1/orders/1"), api.read("/metrics"), api.read("/v1/orders?limit=1000")]
    past.stop()
    past.start()
    with Api(past.port) as api:
        assert [api.read("/v1/orders/1"), api.read("/metrics"),
                api.read("/v1/orders?limit=1000")] == shown
    url = f"unix://{past.data}/redis.sock"
    done = subprocess.run([harness.BINARY, "verify", "--redis", url, "--instance",
                           f"http://127.0.0.1:{past.admin_port}"], capture_output=True, text=True,
                          timeout=60, env=harness.environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- a queue that is damaged ------------------------------------------------------------------


def test_what_is_no_entry_of_ours_is_done_away_with(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        api.until_order(api.new_order()["id"], *ENDS)
        with server.redis() as client:
            client.xadd(QUEUE, {"what": "ever"})
            client.xadd(QUEUE, {"id": "-1"})
            client.xadd(QUEUE, {"id": "4294967295"})
            client.xadd(QUEUE, {"id": "1"})
        assert api.until_order(api.new_order()["id"], *ENDS)["status"] == "COMPLETED"
    eventually(lambda: queue_length(server) == 0)


def test_a_key_of_a_wrong_type_is_said_and_orders_go_on_when_it_is_gone(make_server):
    server = make_server(env=settings(claim_after="1s")).start()
    with server.redis() as client:
        client.set(QUEUE, "mine")
        with Api(server.port) as api:
            refused = api.post("/v1/orders", {"user_id": 1, "item_ids": [1], "total_amount": 1})
            assert refused.status >= 500
            client.delete(QUEUE)
            order = api.new_order()["id"]
            assert api.until_order(order, *ENDS)["status"] == "COMPLETED"


def test_lost_entries_are_put_again_while_others_are_worked_on(make_server):
    """The entries of those hide how few there are, if nobody counts what they stand for."""
    server = make_server(env=settings(workers=0)).start()
    with Api(server.port) as api:
        lost = [api.new_order()["id"] for _ in range(5)]
    with server.redis() as client:
        client.delete(QUEUE)
    server.stop()
    server.env = settings(workers=100, processing_time="1s", claim_after="1s")
    server.start()
    over = threading.Event()

    def go_on():
        with Api(server.port) as api:
            while not over.wait(0.05):
                api.new_order()

    feeder = threading.Thread(target=go_on)
    feeder.start()
    try:
        with Api(server.port) as api:
            for order in lost:
                assert api.until_order(order, *ENDS)["status"] == "COMPLETED"
            assert api.read("/metrics")["processing_count"] > 0
    finally:
        over.set()
        feeder.join()


def test_an_order_that_redis_refuses_holds_up_no_other(make_server):
    """Its day has a key of a wrong type. Those that are taken together with it go by themselves;
    and it goes on when the key is gone."""
    server = make_server().start()
    with server.redis() as client, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Api(server.port)) for _ in range(6)]
        api = connections[0]
        machine = api.new_machine()["id"]
        damaged = f"fb:{{default}}:booked:{day(6)}"
        client.rpush(damaged, "damaged")
        os.kill(server.redis_pid, signal.SIGSTOP)
        for offset, connection in enumerate(connections):
            connection.send("POST", "/v1/orders", {
                "user_id": 1, "total_amount": 1, "item_ids": [machine],
                "start_date": day(1 + offset), "end_date": day(1 + offset)})
        time.sleep(0.1)  # but for the first, they go together
        os.kill(server.redis_pid, signal.SIGCONT)
        orders = [c.receive("POST").json()["id"] for c in connections]
        bad = orders[-1]
        for order in orders[:-1]:
            assert api.until_order(order, *ENDS)["status"] == "COMPLETED"
        eventually(lambda: "could not be written" in server.errors())
        for offset in range(7, 10):
            later = api.new_order(item_ids=[machine], start_date=day(offset), end_date=day(offset))
            assert api.until_order(later["id"], *ENDS)["status"] == "COMPLETED"
        assert api.order(bad)["status"] == "PENDING"
        client.delete(damaged)
        assert api.until_order(bad, *ENDS)["status"] == "COMPLETED"
    eventually(lambda: queue_length(server) == 0)


def test_many_orders_of_many_clients_leave_nothing_behind(make_server):
    server = make_server(env=settings(workers=50, recent=100)).start()
    count = scale(400, 60)

    def place():
        with Api(server.port) as api:
            for _ in range(count):
                api.new_order()

    threads = [threading.Thread(target=place) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Api(server.port) as api:
        eventually(lambda: api.read("/metrics")["processed_count"] == 5 * count)
    eventually(lambda: queue_length(server) == 0)
    eventually(lambda: scrape(server).value("fleetbit_orders_archived_total") >= 5 * count - 120)
