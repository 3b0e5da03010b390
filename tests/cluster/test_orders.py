# SPDX-License-Identifier: MIT
"""Orders on three instances: they fight for machines while instances and Redis are killed, and
what one instance had in hand, another one completes. FLEETBIT_LONG=1 makes it a longer fight.

The fight has a seed, which is printed; FB_SEED repeats it."""
import contextlib
import os
import random
import threading
import time

from bookings import Bookings, instant
from harness import LONG, away_from_midnight, day, eventually, scale
from http1 import ConnectionLost
from prometheus import Metrics

MACHINES, DAYS, CLIENTS = 20, 30, 8
ORDERS = 20000 if LONG else scale(4000, 800)
FAULTS = 12 if LONG else 4
WINDOW = 20  # orders of a client that wait for their answers
CLAIM_S = 2
# The whole log is replayed.
SETTINGS = {"FLEETBIT_LOG_LENGTH": "10000000"}
ENDS = ("COMPLETED", "REJECTED", "CANCELLED")


class Fighter:
    """A client that places orders until it has placed enough, at one instance after the other; it
    cancels some, keeps some on hold, and confirms some of these. What is not answered it sends
    again with the same key, so each of its orders is placed exactly once."""

    def __init__(self, cluster, number, count, seed):
        self.cluster, self.number, self.count = cluster, number, count
        self.draw = random.Random(seed * 1000 + number)
        self.placed, self.refused = {}, 0  # key -> id; held ones that were in the way
        self.todo = [(f"{seed}-{number}-{i}", self.some_order()) for i in range(count)]
        self.at = number
        self.broken = None

    def some_order(self):
        order = {"user_id": self.number, "total_amount": 1,
                 "item_ids": self.draw.sample(range(1, MACHINES + 1), self.draw.randrange(1, 4))}
        if self.draw.random() < 0.1:
            return order
        first = self.draw.randrange(DAYS)
        last = min(first + self.draw.randrange(4), DAYS - 1)
        order.update(start_date=day(1 + first), end_date=day(1 + last))
        if self.draw.random() < 0.2:
            order["hold_seconds"] = 1
        return order

    def run(self):
        try:
            while self.todo:
                instance = self.cluster.instances[self.at % len(self.cluster.instances)]
                self.at += 1
                with contextlib.suppress(ConnectionLost, ConnectionRefusedError, OSError):
                    if instance.port is not None:
                        with instance.api(timeout=30) as api:
                            self.talk(api)
                time.sleep(0.01)
        except BaseException as error:
            self.broken = error

    def talk(self, api):
        """A while with one instance."""
        for _ in range(self.draw.randrange(5, 50)):
            batch, self.todo = self.todo[:WINDOW], self.todo[WINDOW:]
            answered = 0
            try:
                for key, order in batch:
                    api.send("POST", "/v1/orders", order, {"Idempotency-Key": key})
                for key, order in batch:
                    if self.note(key, order, api.receive("POST")):
                        answered += 1
                    else:
                        self.todo.append((key, order))
                        answered += 1
            finally:
                self.todo += batch[answered:]
            if not self.todo:
                return
            self.meddle(api)

    @property
    def settled(self):
        return len(self.placed) + self.refused

    def note(self, key, order, response):
        if response.status == 202:
            self.placed[key] = response.json()["id"]
        elif response.status == 409 and "hold_seconds" in order:
            self.refused += 1
        else:
            assert response.status == 503, response
            return False
        return True

    def meddle(self, api):
        """With some of its own orders, whatever has become of them."""
        if not self.placed:
            return
        mine = list(self.placed.values())[-2 * WINDOW:]
        for order in self.draw.sample(mine, min(4, len(mine))):
            method, path, good = self.draw.choice([
                ("DELETE", "", 204), ("POST", "/confirm", 200), ("POST", "/reject", 200)])
            response = api.request(method, f"/v1/orders/{order}{path}",
                                   {} if method == "POST" else None)
            assert response.status in (good, 409, 503), response


def break_things(cluster, draw, fighters):
    """One thing after the other, spread over the fight."""
    for number in range(FAULTS):
        enough = ORDERS * (number + draw.random()) / FAULTS
        eventually(lambda: sum(f.settled for f in fighters) >= enough or
                   any(f.broken for f in fighters), scale(60, 180))
        victim = cluster.instances[draw.randrange(len(cluster.instances))]
        [kill_instance, kill_redis, lose_answers, cut_off][number % 4](cluster, victim, draw)


def kill_instance(cluster, victim, draw):
    victim.kill()
    time.sleep(draw.uniform(0, 1))
    victim.start()


def kill_redis(cluster, victim, draw):
    cluster.redis.kill()
    time.sleep(draw.uniform(0, 0.5))
    cluster.redis.start()


def lose_answers(cluster, victim, draw):
    """What Redis does is done, but the instance does not hear of it."""
    for _ in range(3):
        victim.proxy.hang("replies")
        time.sleep(draw.uniform(0.05, 0.3))
        victim.proxy.cut()
        victim.proxy.hang()


def cut_off(cluster, victim, draw):
    """So long that the others take over what it has in hand."""
    victim.proxy.hang(*victim.proxy.EVERYTHING)
    time.sleep(draw.uniform(1.5, 2))
    victim.proxy.cut()
    victim.proxy.hang()


def instance_metrics(instance):
    with instance.admin() as admin:
        return Metrics(admin.get("/metrics").body.decode())


def old_metrics(instance):
    with instance.api() as api:
        return api.read("/metrics")


def is_settled(cluster):
    shown = old_metrics(cluster.instances[0])
    return shown["pending_count"] == shown["processing_count"] == 0


def fight(cluster, seed):
    draw = random.Random(seed)
    fighters = [Fighter(cluster, number, ORDERS // CLIENTS, seed) for number in range(CLIENTS)]
    threads = [threading.Thread(target=fighter.run) for fighter in fighters]
    for thread in threads:
        thread.start()
    try:
        break_things(cluster, draw, fighters)
    finally:
        for thread in threads:
            thread.join()
    for fighter in fighters:
        if fighter.broken:
            raise fighter.broken
    return fighters


def test_whoever_fights_and_whatever_is_killed_no_machine_is_booked_twice(make_cluster):
    away_from_midnight(150)
    seed = int(os.environ.get("FB_SEED") or random.randrange(1 << 30))
    cluster = make_cluster(env={
        **SETTINGS, "FLEETBIT_ORDERS_PROCESSING_TIME": "30ms", "FLEETBIT_ORDERS_CLAIM_AFTER": "1s"})
    cluster.start()
    with cluster.instances[0].api() as api:
        for _ in range(MACHINES):
            api.new_machine()
    began = time.monotonic()
    fighters = fight(cluster, seed)
    fought = time.monotonic() - began
    eventually(lambda: is_settled(cluster), scale(60, 120))
    token = cluster.settle()
    with cluster.redis.client() as client:
        bookings = Bookings(client)
    placed = [order for fighter in fighters for order in fighter.placed.values()]
    refused = sum(fighter.refused for fighter in fighters)
    counts = bookings.metrics()
    ends = {status: sum(f["status"] == status for f in bookings.orders.values())
            for status in ENDS}
    print(f"seed {seed}: {len(placed)} orders in {fought:.1f} s, {refused} held ones were in the "
          f"way, {ends}, {len(bookings.held)} days booked")
    # Each was placed once, whatever was sent again, and is the one that was answered.
    assert len(placed) + refused == ORDERS
    assert sorted(placed) == sorted(bookings.orders)
    bookings.check_ends()
    bookings.check_days()
    assert min(ends.values()) > 0
    for instance in cluster.instances:
        assert old_metrics(instance) == counts
        with instance.api() as api:
            bookings.check_calendars(api, range(1, MACHINES + 1), day(1), day(DAYS))
            assert api.get("/metrics").revision == token
        shown = instance_metrics(instance)
        for status in ENDS:
            assert shown.value("fleetbit_orders_ended_total",
                               status=status.lower()) == ends[status]
        assert shown.value("fleetbit_checksum_differs") == 0
    eventually(lambda: all(instance_metrics(i).value("fleetbit_orders_queue") == 0
                           for i in cluster.instances))


# --- one after the other ----------------------------------------------------------------------


def started_by(cluster, order):
    """The instance that processes the order."""
    def found():
        with cluster.instances[0].api() as api:
            worker = api.order(order).get("worker")
        for instance in cluster.instances:
            with instance.admin() as admin:
                if worker and admin.get("/status.json").json()["instance"] == worker:
                    return instance
        return None

    return eventually(found)


def test_what_a_killed_instance_had_is_completed_by_another_in_time(make_cluster):
    cluster = make_cluster(2, env={"FLEETBIT_ORDERS_PROCESSING_TIME": "500ms",
                                   "FLEETBIT_ORDERS_CLAIM_AFTER": f"{CLAIM_S}s"}).start()
    took = []
    for _ in range(scale(3, 2)):
        with cluster.instances[0].api() as api:
            order = api.new_order()["id"]
        victim = started_by(cluster, order)
        victim.kill()
        killed = time.time()
        survivor = next(i for i in cluster.instances if i is not victim)
        with survivor.api() as api:
            done = api.until_order(order, *ENDS)
        took.append(instant(done["completed_at"]).timestamp() - killed)
        assert done["status"] == "COMPLETED" and done.get("worker") is None
        assert instance_metrics(survivor).value("fleetbit_orders_claimed_total") >= 1
        victim.start()
    print("after the kill:", ", ".join(f"{s:.2f} s" for s in took))
    assert max(took) < CLAIM_S + scale(1, 5)


def test_an_instance_that_ends_hands_its_orders_over(make_cluster):
    """Nobody waits for an hour until it is claimed."""
    processing_s = 2
    cluster = make_cluster(2, env={"FLEETBIT_ORDERS_PROCESSING_TIME": f"{processing_s}s",
                                   "FLEETBIT_ORDERS_CLAIM_AFTER": "1h"}).start()
    with cluster.instances[0].api() as api:
        orders = [api.new_order()["id"] for _ in range(20)]
        eventually(lambda: old_metrics(cluster.instances[0])["processing_count"] == len(orders))
    leaver, stayer = cluster.instances
    leaver.stop()
    with stayer.api() as api:
        done = [api.until_order(order, *ENDS) for order in orders]
    assert {order["status"] for order in done} == {"COMPLETED"}
    times = [instant(order["completed_at"]) - instant(order["started_at"]) for order in done]
    assert min(times).total_seconds() >= processing_s
    assert max(times).total_seconds() < processing_s + scale(1.5, 10)
    assert instance_metrics(stayer).value("fleetbit_orders_claimed_total") == 0
    eventually(lambda: instance_metrics(stayer).value("fleetbit_orders_queue") == 0)


def test_a_queue_that_was_deleted_by_hand_heals(make_cluster):
    cluster = make_cluster(2, env={"FLEETBIT_ORDERS_PROCESSING_TIME": "200ms",
                                   "FLEETBIT_ORDERS_WORKERS": "1",
                                   "FLEETBIT_ORDERS_CLAIM_AFTER": "1s"}).start()
    with cluster.instances[0].api() as api:
        orders = [api.new_order()["id"] for _ in range(30)]
        with cluster.redis.client() as client:
            assert client.delete("fb:{default}:orders") == 1
        done = [api.until_order(order, *ENDS) for order in orders]
    assert {order["status"] for order in done} == {"COMPLETED"}
    requeued = sum(instance_metrics(i).value("fleetbit_orders_requeued_total")
                   for i in cluster.instances)
    assert requeued > 0
    with cluster.redis.client() as client:
        bookings = Bookings(client)
    bookings.check_ends()
    bookings.check_days()


def test_orders_wait_while_redis_is_away_and_go_on_afterwards(make_cluster):
    cluster = make_cluster(2, env={"FLEETBIT_ORDERS_PROCESSING_TIME": "300ms",
                                   "FLEETBIT_ORDERS_WORKERS": "5",
                                   "FLEETBIT_ORDERS_CLAIM_AFTER": "1s"}).start()
    with cluster.instances[0].api() as api:
        orders = [api.new_order()["id"] for _ in range(40)]
        eventually(lambda: old_metrics(cluster.instances[0])["processed_count"] > 0)
        cluster.redis.kill()
        eventually(lambda: "the queue of orders is not worked" in cluster.instances[0].errors())
        before = old_metrics(cluster.instances[0])
        cluster.redis.start()
        done = [api.until_order(order, *ENDS) for order in orders]
    assert before["processed_count"] < len(orders)
    assert {order["status"] for order in done} == {"COMPLETED"}
    for instance in cluster.instances:
        assert instance.errors().count("the queue of orders is not worked") <= 2
    with cluster.redis.client() as client:
        Bookings(client).check_ends()
