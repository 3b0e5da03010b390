# SPDX-License-Identifier: MIT
"""What is asked for. A workload is one entry of WORKLOADS; load.py runs them all alike."""
import dataclasses
import datetime
import itertools
import json
import random
import time
import typing

from process import BenchError

END_SECONDS = 60  # until orders are processed


def day(offset):
    """A date that many days after today, in the fleet's zone, which is UTC here."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (today + datetime.timedelta(days=offset)).isoformat()


def page():
    return [f"/v1/availability?date={day(30)}&limit=20"]


def ranges(firsts, lengths, limits):
    """Pages of those free on all days of a range: every combination, in no order."""
    targets = [f"/v1/availability?from={day(first)}&to={day(first + days - 1)}&limit={limit}"
               for first, days, limit in itertools.product(firsts, lengths, limits)]
    random.Random(1).shuffle(targets)
    return targets


def short_ranges(count):
    """So many of up to a week, each with a page of 20 on average."""
    return ranges(range(730), range(1, 8), range(10, 31))[:count]


def place_order(client):
    answer = client.ask("POST", "/v1/orders", {"Content-Type": "application/json"},
                        b'{"user_id":7,"item_ids":[1,2,3],"total_amount":99.99}')
    if answer.status != 202:
        raise BenchError(f"POST /v1/orders: {answer.status} {answer.body[:300]}")
    return answer


def processed(client):
    """How many orders are."""
    return json.loads(client.get("/metrics").body)["processed_count"]


def await_processed(client, count):
    deadline = time.perf_counter() + END_SECONDS
    while processed(client) < count:
        if time.perf_counter() > deadline:
            raise BenchError(f"{count:,} orders are not processed after {END_SECONDS} s")
        time.sleep(0.002)


def one_order(client):
    """Order 1, at its end, so that what shows it stays the same."""
    if client.ask("GET", "/get_order/1").status == 404:
        place_order(client)
    await_processed(client, 1)


PLANS_FIRST = datetime.date(2027, 1, 1)  # the day from which on there are plans
PLANS_A_MONTH = 100
SEARCHES = 600_000  # no round gets as far


def searches(count):
    """Of a month each, no two of them alike."""
    chance, first = random.Random(1), datetime.datetime.combine(PLANS_FIRST, datetime.time())
    seconds = chance.sample(range(2800 * 86400), count)  # the fewest plans are on so many days
    begins = [first + datetime.timedelta(seconds=each) for each in seconds]
    month = datetime.timedelta(days=30)
    return [f"/search?starts_at={at.isoformat()}Z&ends_at={(at + month).isoformat()}Z"
            for at in begins]


MONTHS = range(28, 32)  # how many days they have
MONTH_FIRSTS = range(700)


@dataclasses.dataclass(frozen=True)
class Workload:
    title: str  # begins with its letter
    targets: typing.Callable[[], list]
    order: str = "same"  # the one target again and again; or each "once"; or at "random"
    fleet: str = "few"  # how many machines: "few" or "many"; or "plans" (see run.py)
    threads: int = 1
    generator: str = "wrk"  # one of GENERATORS
    connections: int = 64
    streams: int = 1  # that a connection has open at a time, on HTTP/2
    prepare: typing.Callable = None  # of a client, before it is asked for: what must be there
    least: float = None  # requests per second of server CPU that it must at least answer
    conditional: bool = False  # with the ETag of the answer as If-None-Match
    # Whom it is held against in requests per second of server CPU, and how many times theirs it
    # must at least be (None: it is only shown): names of PEERS, and of WORKLOADS.
    against: dict = dataclasses.field(default_factory=dict)
    beside: dict = dataclasses.field(default_factory=dict)


WORKLOADS = {
    "availability": Workload(
        "a: a page of 20 of those free on a day, of 1,000 machines", page,
        against={"raw epoll": 0.85, "bare libh2o": 0.95, "nginx, static file": 1.4, "Varnish": 2.0,
                 "Flask, gunicorn, SQLite": 30, "Redis GET": None, "Redis GET, pipelined": None}),
    "availability-million": Workload(
        "b: the same page, of 1,000,000 machines", page, fleet="many",
        beside={"availability": 0.95}),
    "one-machine": Workload(
        "c: one machine", lambda: ["/v1/machines/1"],
        against={"raw epoll": 0.85, "bare libh2o": None}),
    "not-modified": Workload(
        "d: 304, the page is known to the client", page, conditional=True,
        against={"bare libh2o": None}, beside={"availability": 1.0}),
    "http2": Workload(
        "f: the page over HTTP/2 without TLS, 8 connections of 32 streams", page,
        generator="h2load", connections=8, streams=32,
        against={"bare libh2o": 0.85, "nginx, static file, HTTP/2": 8}),
    "targets-1000": Workload(
        "g: pages of 1,000 distinct targets", lambda: short_ranges(1000), order="random",
        beside={"availability": None}),
    "targets-100000": Workload(
        "g: pages of 100,000 distinct targets, more than the memo holds",
        lambda: short_ranges(100_000), order="random", beside={"availability": 0.5}),
    "threads": Workload(
        "m: the page from two event loops", page, threads=2, beside={"availability": 0.95}),
    "order": Workload(
        "s: an order, under its old path", lambda: ["/get_order/1"], prepare=one_order,
        beside={"availability": 0.9}),
    "search": Workload(
        "t: the search of a month, with 100 plans, again and again", lambda: searches(1),
        fleet="plans", beside={"availability": 0.8}),
    "searches": Workload(
        "u: searches of a month, with 100 plans, none of them asked twice",
        lambda: searches(SEARCHES), order="once", fleet="plans", least=20_000),
    "range": Workload(
        "h: a page of those free on all days of a month, no range asked for twice",
        lambda: ranges(MONTH_FIRSTS, MONTHS, range(20, 60)), order="once", fleet="many",
        connections=4, against={"memcpy of the bitmaps": 0.5}),
}
