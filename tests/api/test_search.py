# SPDX-License-Identifier: MIT
"""The search of plans: what a provider's feed has brought, held against a search of our own."""
import dataclasses
import datetime
import random
import uuid
import zoneinfo

import pytest

from api import Api, problem
from harness import eventually
from provider import PLANS, Provider, zone
from sse import Stream

SPACE = uuid.UUID("e042b051-342a-4d9d-8b86-0d8ffaaf5c73")  # of all plans, for ever
ZONE = zoneinfo.ZoneInfo("Europe/Berlin")
FIRST = datetime.datetime(2026, 10, 20)  # local; summer time ends on the 25th
DAYS = 12
PLANS_MAX = 400


@dataclasses.dataclass
class Plan:
    base: str
    plan: str
    title: str
    start: datetime.datetime
    end: datetime.datetime
    prices: list

    @property
    def id(self):
        return str(uuid.uuid5(SPACE, f"{self.base}:{self.plan}"))

    def element(self):
        zones = [zone(zone_id=str(i), price=f"{p:.2f}") for i, p in enumerate(self.prices)]
        return PLANS.plan(self.plan, self.start.isoformat(), self.end.isoformat(), zones)

    def event(self):
        return {"id": self.id, "title": self.title,
                "start_date": str(self.start.date()), "start_time": str(self.start.time()),
                "end_date": str(self.end.date()), "end_time": str(self.end.time()),
                "min_price": min(self.prices, default=None),
                "max_price": max(self.prices, default=None)}


def some_plans(chance, count):
    plans = []
    for number in range(count):
        start = FIRST + datetime.timedelta(hours=6 * chance.randrange(4 * DAYS))
        end = start + datetime.timedelta(hours=chance.choice((0, 2, 6, 30, 200)))
        prices = [chance.randrange(10000) / 100 for _ in range(chance.randrange(4))]
        plans.append(Plan(str(number // 3), str(number % 3), f"Obra <{number // 3}> & más", start,
                          end, prices))
    return plans


def document(plans):
    bases = {}
    for plan in plans:
        bases.setdefault(plan.base, []).append(plan)
    return PLANS.document(*(PLANS.base(base, *(p.element() for p in inner), title=inner[0].title)
                            for base, inner in bases.items()))


def local(instant):
    return instant.astimezone(ZONE).replace(tzinfo=None)


def wanted(plans, start=None, end=None):
    """The events of those within, in their order: plans are numbered as the document has them."""
    found = [p for p in plans if (start is None or p.start >= local(start))
             and (end is None or p.end <= local(end))]
    return [p.event() for p in sorted(found, key=lambda p: p.start.date())]


def instant_text(instant, chance):
    shift = datetime.timezone(datetime.timedelta(minutes=chance.choice((0, 60, 330, -210))))
    text = instant.astimezone(shift).isoformat()
    return (text if chance.random() < 0.5 else text.replace("+00:00", "Z")).replace("+", "%2B")


class Feed:
    """A server that has read what a provider gives out."""

    def __init__(self, make_server, plans):
        self.provider = Provider()
        self.provider.answer = Provider.body(document(plans))
        self.server = make_server("--feed", self.provider.url, "--zone", "Europe/Berlin",
                                  env={"FLEETBIT_FEED_INTERVAL": "1s"})
        self.server.start()
        self.api = Api(self.server.port)
        self.await_plans(plans)

    def await_plans(self, plans):
        last = plans[-1]
        eventually(lambda: last.event() in self.pages("/search?limit=1000"))

    def pages(self, target):
        """All events, page by page; each page but the last one is full."""
        events, page = [], self.api.read(target)
        limit = int(target.partition("limit=")[2] or 1000)
        while True:
            assert set(page) == {"data", "error"} and page["error"] is None, page
            events += page["data"]["events"]
            if "next" not in page["data"]:
                assert len(page["data"]["events"]) <= limit
                return events
            assert len(page["data"]["events"]) == limit
            page = self.api.read(f"{target}&cursor={page['data']['next']}")


@pytest.fixture(scope="module")
def chance():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture
def make_feed(make_server):
    made = []

    def make(plans):
        made.append(Feed(make_server, plans))
        return made[-1]

    yield make
    for feed in made:
        feed.api.close()
        feed.provider.close()


@pytest.fixture
def feed(make_feed, chance):
    return make_feed(some_plans(chance, PLANS_MAX))


def search_error(response, status=400):
    """An error in the form of the system that had this path before."""
    assert response.status == status, response
    assert response.headers["content-type"] == "application/json", response
    assert response.headers["cache-control"] == "no-store", response
    document_ = response.json()
    assert set(document_) == {"data", "error"} and document_["data"] is None, document_
    assert set(document_["error"]) == {"code", "message"}, document_
    assert all(isinstance(text, str) and text for text in document_["error"].values()), document_
    return document_["error"]


def test_a_search_finds_what_begins_and_ends_within(make_feed, chance):
    plans = some_plans(chance, PLANS_MAX)
    feed = make_feed(plans)
    assert feed.pages("/search?limit=1000") == wanted(plans)
    assert feed.pages("/search?limit=7") == wanted(plans)
    for _ in range(150):
        begin = FIRST + datetime.timedelta(hours=6 * chance.randrange(-4, 4 * DAYS))
        start = (begin + datetime.timedelta(seconds=chance.randrange(-1, 2))).replace(tzinfo=ZONE)
        start = start.astimezone(datetime.timezone.utc)
        end = start + datetime.timedelta(hours=6 * chance.randrange(4 * DAYS),
                                         seconds=chance.randrange(0, 2))
        ask = {"starts_at": start if chance.random() < 0.8 else None,
               "ends_at": end if chance.random() < 0.8 else None}
        query = "&".join(f"{name}={instant_text(at, chance)}" for name, at in ask.items() if at)
        limit = chance.choice((1, 20, 100, 1000)) if chance.random() < 0.3 else 1000
        assert feed.pages(f"/search?{query}&limit={limit}") == wanted(plans, *ask.values()), query


def test_a_plan_has_its_zones_and_an_id_that_is_made_of_the_pair(feed):
    event = feed.api.read("/search?limit=1")["data"]["events"][0]
    plan = feed.api.read(f"/v1/plans/{event['id']}")
    assert {name: plan[name] for name in event} == event
    assert event["id"] == str(uuid.uuid5(SPACE, f"{plan['base_id']}:{plan['plan_id']}"))
    assert plan["sell_mode"] == "online" and plan["sold_out"] is False
    prices = [entry["price"] for entry in plan["zones"]]
    assert (min(prices, default=None), max(prices, default=None)) == (plan["min_price"],
                                                                      plan["max_price"])
    for path in (event["id"].upper(), event["id"][:-1], event["id"] + "0", "1", str(uuid.uuid4())):
        problem(feed.api.get(f"/v1/plans/{path}"), 404)
    response = feed.api.request("DELETE", f"/v1/plans/{event['id']}")
    problem(response, 405)
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("query", [
    "starts_at=", "starts_at=now", "starts_at=2026-10-20", "starts_at=2026-10-20T00:00:00",
    "ends_at=2026-10-20T00:00:00%2B0200", "ends_at=2026-02-29T00:00:00Z",
    "ends_at=2026-10-20T25:00:00Z", "ends_at=2026-10-20T23:59:60Z",
    "starts_at=2026-10-20T00:00:01Z&ends_at=2026-10-20T00:00:00Z", "limit=0", "limit=1001",
    "limit=x", "cursor=x", "starts_at=%ff", "begins_at=2026-10-20T00:00:00Z",
    "ends_at=2026-10-20T00:00:00Z&ends_at=2026-10-20T00:00:00Z"])
def test_what_is_no_question_is_400_in_the_old_form(api, query):
    error = search_error(api.get(f"/search?{query}"))
    assert error["code"] in ("malformed", "invalid")
    assert error["message"].startswith(("starts_at", "ends_at", "limit", "cursor", "begins_at"))
    assert api.request("HEAD", f"/search?{query}").status == 400


def test_other_errors_have_that_form_too(api):
    response = api.request("POST", "/search", {})
    assert search_error(response, 405)["code"] == "method-not-allowed"
    assert response.headers["allow"] == "GET, HEAD"
    response = api.get("/search", headers={"Fleetbit-Min-Revision": "x"})
    assert search_error(response)["code"] == "malformed"
    assert search_error(api.get("/search?" + "x" * 9000), 414)["code"] == "target-too-long"
    problem(api.get("/searches"), 404)


def test_a_leap_second_is_the_second_after_it(feed):
    new_year = feed.api.get("/search?ends_at=2027-01-01T00:00:00Z")
    assert new_year.json()["data"]["events"]
    assert feed.api.get("/search?ends_at=2026-12-31T23:59:60Z").body == new_year.body
    assert feed.api.get("/search?ends_at=2026-12-31T18:59:60-05:00").body == new_year.body


def test_a_change_drops_the_answers_of_its_days_and_no_others(make_feed, chance):
    plans = some_plans(chance, 30)
    feed = make_feed(plans)
    here = "/search?starts_at=2026-10-20T00:00:00Z&ends_at=2026-12-01T00:00:00Z"
    there = "/search?starts_at=2027-01-01T00:00:00Z&ends_at=2027-02-01T00:00:00Z"
    tags = {target: feed.api.get(target).headers["etag"] for target in (here, there)}
    with Stream(feed.server.port, "/v1/stream?topics=plan") as stream:
        plans[-1].title = "Otra cosa"
        for plan in plans:
            if plan.base == plans[-1].base:
                plan.title = plans[-1].title
        feed.provider.answer = Provider.body(document(plans))
        event = stream.event()
        assert event.event == "plan" and event.json["title"] == "Otra cosa"
        feed.await_plans(plans)
    assert feed.pages("/search?limit=1000") == wanted(plans)
    assert feed.api.get(here, headers={"If-None-Match": tags[here]}).status == 200
    assert feed.api.get(there, headers={"If-None-Match": tags[there]}).status == 304
