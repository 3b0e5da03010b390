# SPDX-License-Identifier: MIT
"""The feed on three instances: one of them fetches, another goes on when it dies, and all show the
same plans, with all that is peculiar about real documents, also without the provider."""
import os
import signal
import threading

import pytest

from harness import eventually
from prometheus import Metrics
from provider import EVENTS, PLANS, Provider, one, zone

SETTINGS = {"FLEETBIT_FEED_INTERVAL": "2s", "FLEETBIT_FEED_TIMEOUT": "10s"}


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.close()


def feed(instance):
    with instance.api() as api:
        return api.read("/v1/feed")


def plans(instance):
    """(base, plan) -> title, start, lowest and highest price, sell mode, number of zones."""
    found = {}
    with instance.api() as api:
        document = api.read("/search?limit=1000")
        assert document["error"] is None and "next" not in document["data"]
        for event in document["data"]["events"]:
            plan = api.read(f"/v1/plans/{event['id']}")
            assert event.items() <= plan.items()
            found[plan["base_id"], plan["plan_id"]] = (
                plan["title"], f"{plan['start_date']}T{plan['start_time']}", plan["min_price"],
                plan["max_price"], plan["sell_mode"], len(plan["zones"]))
    assert len(found) == len(document["data"]["events"])
    return found


def scrape(instance):
    with instance.admin() as admin:
        return Metrics(admin.get("/metrics").body.decode())


def has_lease(instance):
    return scrape(instance).value("fleetbit_feed_lease") == 1


def fetches(instance, outcome):
    return scrape(instance).value("fleetbit_feed_fetches_total", outcome=outcome)


def holder(instances):
    """The one that fetches, or None while there is none."""
    found = [instance for instance in instances if has_lease(instance)]
    return found[0] if len(found) == 1 else None


FIRST = PLANS.document(
    PLANS.base("291", PLANS.plan("291", "2027-06-30T21:00:00", zones=[
        zone("40", "20.00"), zone("38", "15.00"), zone("38", "30.00", 90, "A28")],
        sell_from="2020-07-01T00:00:00", sold_out="false"), title="Camela"),
    # The same plan id under another base, and a base with two plans, of which one is on no day.
    PLANS.base("322", PLANS.plan("291", "2027-07-31T20:00:00", "2027-07-31T21:00:00"),
               PLANS.plan("1642", "2027-09-31T20:00:00", "2027-09-31T21:00:00"), title="Pantomima"),
    PLANS.base("1591", PLANS.plan("1642", "2027-08-01T00:00:00", "2027-08-02T00:00:00", zones=()),
               sell_mode="offline", title="Los Morancos"),
    PLANS.base("444", PLANS.plan("1", zones=[zone(price="no")]), title="Wrong"))
FOUND_FIRST = {
    ("291", "291"): ("Camela", "2027-06-30T21:00:00", 15, 30, "online", 3),
    ("322", "291"): ("Pantomima", "2027-07-31T20:00:00", 20, 20, "online", 1),
}

# 322 has vanished; 291 is offline now, and dearer; 1591 is online; the words are others.
SECOND = EVENTS.document(
    EVENTS.base("291", EVENTS.plan("291", "2027-06-30T21:00:00", zones=[zone("40", "25.00")]),
                sell_mode="offline", title="Camela"),
    EVENTS.base("1591", EVENTS.plan("1642", "2027-08-01T00:00:00", "2027-08-02T00:00:00",
                                    zones=()), title="Los Morancos"))
FOUND_SECOND = {
    ("291", "291"): ("Camela", "2027-06-30T21:00:00", 25, 25, "offline", 1),
    ("322", "291"): FOUND_FIRST["322", "291"],
    ("1591", "1642"): ("Los Morancos", "2027-08-01T00:00:00", None, None, "online", 0),
}

# 322 is there again, on another day; what was on no day has one; the others have vanished.
THIRD = PLANS.document(
    PLANS.base("322", PLANS.plan("291", "2027-10-01T20:00:00", "2027-10-01T21:00:00"),
               PLANS.plan("1642", "2027-09-30T20:00:00", "2027-09-30T21:00:00"),
               title="Pantomima & more"))
FOUND_THIRD = {
    **FOUND_SECOND,
    ("322", "291"): ("Pantomima & more", "2027-10-01T20:00:00", 20, 20, "online", 1),
    ("322", "1642"): ("Pantomima & more", "2027-09-30T20:00:00", 20, 20, "online", 1),
}


def test_three_documents_on_three_instances(make_cluster, provider):
    provider.answer = Provider.body(FIRST)
    cluster = make_cluster(flags=("--feed", provider.url), env=SETTINGS).start()
    ids = {}
    for document, expected, skipped in ((FIRST, FOUND_FIRST, {("322", "1642"), ("444", "1")}),
                                        (SECOND, FOUND_SECOND, set()),
                                        (THIRD, FOUND_THIRD, set())):
        provider.answer = Provider.body(document)
        for instance in cluster.instances:
            eventually(lambda i=instance, e=expected: plans(i) == e, 60)
            state = eventually(lambda i=instance, n=len(document):
                               (s := feed(i))["bytes"] == n and s, 60)
            assert {(s["base_id"], s["plan_id"]) for s in state["skipped_plans"]} == skipped
            assert state["skipped"] == len(skipped) and state["error"] is None
            with instance.api() as api:
                for event in api.read("/search?limit=1000")["data"]["events"]:
                    plan = api.read(f"/v1/plans/{event['id']}")
                    pair = plan["base_id"], plan["plan_id"]
                    assert ids.setdefault(pair, event["id"]) == event["id"]
    token = cluster.settle()
    # Nothing that a provider says is lost with it.
    provider.close()
    for instance in cluster.instances:
        instance.stop()
    cluster.redis.stop()
    cluster.redis.start()
    for instance in cluster.instances:
        instance.launch()
    for instance in cluster.instances:
        instance.wait_ready(60)
        assert plans(instance) == FOUND_THIRD
        eventually(lambda i=instance: feed(i)["failures"] > 0, 60)
    assert cluster.settle()[1] == token[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM],
                         ids=["killed", "stopped", "ended"])
def test_another_goes_on(make_cluster, provider, number):
    provider.answer = Provider.body(one("first"))
    cluster = make_cluster(flags=("--feed", provider.url), env=SETTINGS).start()
    owner = eventually(lambda: holder(cluster.instances), 60)
    others = [instance for instance in cluster.instances if instance is not owner]
    for instance in cluster.instances:
        eventually(lambda i=instance: [p[0] for p in plans(i).values()] == ["first"], 60)
    if number == signal.SIGKILL:
        owner.kill()
    elif number == signal.SIGTERM:
        owner.stop()
    else:
        owner.pause()
    provider.answer = Provider.body(one("second"))
    for instance in others:
        eventually(lambda i=instance: [p[0] for p in plans(i).values()] == ["second"], 60)
    heir = eventually(lambda: holder(others), 60)
    if number == signal.SIGSTOP:
        os.kill(owner.pid, signal.SIGCONT)
        owner.paused = False
        eventually(lambda: not has_lease(owner), 60)
        eventually(lambda: [p[0] for p in plans(owner).values()] == ["second"], 60)
        assert holder(cluster.instances) is heir
    assert eventually(lambda: (s := feed(heir))["failures"] == 0 and s, 60)["plans"] == 1


def test_who_was_stopped_in_a_fetch_commits_nothing_of_it(make_cluster, provider):
    """Its document is older than that of its heir, and is whole when it wakes up."""
    provider.answer = Provider.body(one("first"))
    cluster = make_cluster(flags=("--feed", provider.url), env={**SETTINGS,
                                                                "FLEETBIT_FEED_TIMEOUT": "1h"})
    cluster.start()
    eventually(lambda: len(plans(cluster.instances[0])) == 1, 60)
    old, is_stopped = one("old"), threading.Event()

    def late(client, _):
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(old) + old[:-1])
        is_stopped.wait(60)
        client.sendall(old[-1:])

    provider.answer = late
    provider.wait_asked()
    owner = eventually(lambda: holder(cluster.instances), 60)
    others = [instance for instance in cluster.instances if instance is not owner]
    owner.pause()
    provider.answer = Provider.body(one("new"))
    is_stopped.set()
    for instance in others:
        eventually(lambda i=instance: [p[0] for p in plans(i).values()] == ["new"], 60)
    token = cluster.redis.token()
    owner.resume()
    eventually(lambda: fetches(owner, "abandoned") == 1, 60)
    assert [p[0] for p in plans(owner).values()] == ["new"]
    assert cluster.settle() == token
