# SPDX-License-Identifier: MIT
"""The feed of a provider's plans: what it brings, and all that a provider can do wrong, while
/search goes on."""
import re
import signal
import subprocess
import threading

import pytest

import harness
from api import Api, problem
from harness import SANITIZER, eventually, scale
from prometheus import Metrics
from provider import BOMB, EVENTS, PLANS, Provider, gzip_bomb, one, zone

QUICK = {"FLEETBIT_FEED_INTERVAL": "1s", "FLEETBIT_FEED_TIMEOUT": "700ms",
         "FLEETBIT_FEED_CONNECT_TIMEOUT": "500ms", "FLEETBIT_FEED_BYTES": "1M"}
PATIENT = {**QUICK, "FLEETBIT_FEED_TIMEOUT": "1h", "FLEETBIT_FEED_BYTES": "64M"}


def events(api, query=""):
    document = api.read("/search" + query)
    assert document["error"] is None
    return document["data"]["events"]


def titles(api):
    return [event["title"] for event in events(api)]


def feed(api):
    return api.read("/v1/feed")


def until_titles(api, *expected):
    eventually(lambda: titles(api) == list(expected), 60)


def until_read(api, provider, answer):
    """Gives another answer, and waits until it was read."""
    provider.answer = answer
    provider.wait_asked(2)  # the second one comes after the first has been dealt with
    eventually(lambda: feed(api)["failures"] == 0, 60)


def revision(api):
    return api.get("/search").revision


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def make(make_server, provider):
    """A server that is fed, and its provider."""
    def begin(env=QUICK, **options):
        return make_server("--feed", options.pop("url", provider.url), "--threads", "2",
                           env=env, **options).start()

    return begin


# --- what it brings ---


def test_a_plan_is_found_with_its_values(make, provider):
    provider.answer = provider.body(PLANS.document(PLANS.base("291", PLANS.plan(
        "17", zones=(zone("40", "20.00", 243), zone("40", "15.5", 100, None, None)),
        sell_from="2020-07-01T00:00:00", sold_out="true"), organizer_company_id="7")))
    with Api(make().port) as api:
        until_titles(api, "Camela")
        event = events(api)[0]
        plan = api.read(f"/v1/plans/{event['id']}")
        assert {**event, "number": 1}.items() <= plan.items()
        assert (event["min_price"], event["max_price"]) == (15.5, 20)
        assert (event["start_date"], event["start_time"]) == ("2027-06-30", "21:00:00")
        assert (plan["base_id"], plan["plan_id"], plan["sold_out"]) == ("291", "17", True)
        assert (plan["sell_from"], plan["sell_to"]) == ("2020-07-01T00:00:00", None)
        assert plan["organizer_company_id"] == "7"
        assert plan["zones"] == [
            {"zone_id": "40", "name": "Platea", "capacity": 243, "price": 20, "numbered": True},
            {"zone_id": "40", "name": None, "capacity": 100, "price": 15.5, "numbered": None}]
        state = feed(api)
        assert state["url"] == provider.url and state["error"] is None
        assert (state["status"], state["plans"], state["skipped"]) == (200, 1, 0)
        assert state["skipped_plans"] == [] and state["failures"] == 0
        assert state["succeeded_at"] == state["fetched_at"]


@pytest.mark.parametrize("answer", [Provider.body, lambda body: Provider.tagged(body, '"7"')],
                         ids=["200", "304"])
def test_what_is_unchanged_costs_no_commit(make, provider, answer):
    provider.answer = answer(one())
    server = make()
    with Api(server.port) as api:
        until_titles(api, "Camela")
        before, fetched = revision(api), feed(api)["fetched_at"]
        provider.wait_asked(3)
        eventually(lambda: feed(api)["fetched_at"] > fetched, 60)
        assert revision(api) == before
        assert feed(api)["changed"] == 0 and feed(api)["plans"] == 1
        until_read(api, provider, answer(one("Other")) if answer is Provider.body
                   else Provider.tagged(one("Other"), '"8"'))
        until_titles(api, "Other")
        provider.answer = answer(one())  # what was so before, and was not last
        until_titles(api, "Camela")


def test_both_vocabularies_give_the_same_plan(make, provider):
    provider.answer = provider.body(one("The same", EVENTS))
    with Api(make().port) as api:
        until_titles(api, "The same")
        before, plan = revision(api), events(api)[0]["id"]
        until_read(api, provider, provider.zipped(one("The same")))
        assert revision(api) == before and events(api)[0]["id"] == plan


def test_more_than_one_batch_and_pairs_that_occur_twice(make, provider):
    bases = [PLANS.base(str(base), *[PLANS.plan(str(plan)) for plan in range(100)],
                        title=f"base {base}") for base in range(25)]
    again = PLANS.base("3", PLANS.plan("7"), title="again")
    provider.answer = provider.body(PLANS.document(*bases, again))
    with Api(make({**PATIENT}).port) as api:
        eventually(lambda: feed(api)["plans"] == 2501, 60)
        found = api.read("/search?limit=1000")["data"]
        pages, seen = 1, found["events"]
        while "next" in found:
            found = api.read(f"/search?limit=1000&cursor={found['next']}")["data"]
            seen, pages = seen + found["events"], pages + 1
        assert pages == 3 and len({event["id"] for event in seen}) == 2500
        assert "again" not in {event["title"] for event in seen}
        before = revision(api)
        provider.wait_asked(2)
        state = feed(api)
        assert (state["changed"], state["skipped"]) == (0, 1)
        assert state["skipped_plans"] == [{"base_id": "3", "plan_id": "7", "reason":
                                           "the document has it before already"}]
        assert revision(api) == before
        # One that changes is one batch, which needs no second reading.
        bases[7] = bases[7].replace("base 7", "base seven")
        until_read(api, provider, provider.body(PLANS.document(*bases)))
        first = [event["title"] for event in events(api) if "seven" in event["title"]]
        assert len(first) == 100 and revision(api)[1] == before[1] + 1


@pytest.mark.parametrize("folder", ["/proc", None], ids=["spooled in memory", "in a file"])
def test_nothing_of_many_batches_goes_in_before_the_end(make, provider, folder):
    whole = PLANS.document(*[PLANS.base(str(i), PLANS.plan("1")) for i in range(2500)])
    provider.answer = provider.body(whole[:-20])
    with Api(make({**PATIENT, **({"TMPDIR": folder} if folder else {})}).port) as api:
        eventually(lambda: feed(api)["failures"] > 0, 60)
        assert titles(api) == [] and revision(api)[1] == 0
        provider.answer = provider.body(whole, length=len(whole) + 1)
        eventually(lambda: "bytes remaining" in (feed(api)["error"] or ""), 60)
        assert titles(api) == [] and revision(api)[1] == 0
        until_read(api, provider, provider.body(whole))
        assert len(titles(api)) == 1000 and feed(api)["plans"] == 2500


def test_what_was_skipped_is_named(make, provider):
    plans = [PLANS.plan(str(i), start="2027-09-31T20:00:00") for i in range(25)]
    provider.answer = provider.body(PLANS.document(PLANS.base("9", *plans, PLANS.plan("good"))))
    server = make()
    with Api(server.port) as api:
        until_titles(api, "Camela")
        state = eventually(lambda: (s := feed(api))["plans"] and s, 60)
        assert (state["plans"], state["skipped"], len(state["skipped_plans"])) == (26, 25, 20)
        assert state["skipped_plans"][3] == {
            "base_id": "9", "plan_id": "3",
            "reason": 'plan_start_date is "2027-09-31T20:00:00": there is no such day'}
        provider.wait_asked(2)
    assert server.errors().count("25 plans of the feed were skipped") == 1


def test_a_document_of_some_size_needs_no_memory(make, provider):
    if SANITIZER:
        pytest.skip("its memory says nothing")
    base = PLANS.base("9", *[PLANS.plan(str(i), zones=[zone()] * 20) for i in range(1000)],
                      sell_mode="offline")
    count = (48 << 20) // len(base)
    document = PLANS.document(*[base] * count)
    provider.answer = provider.body(one())
    server = make(PATIENT)

    def peak():
        with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) << 10

    with Api(server.port) as api:
        until_titles(api, "Camela")
        before = peak()
        provider.answer = provider.body(document)
        eventually(lambda: feed(api)["bytes"] == len(document), 60)
        assert feed(api)["plans"] == 1000 * count
        assert peak() - before < 16 << 20
        assert titles(api) == ["Camela"]


# --- what a provider can do wrong ---


def redirect(place):
    return Provider.raw(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n"
                        "Connection: close\r\n\r\n".encode())


OK = b"HTTP/1.1 200 OK\r\n"
FAULTS = {
    "500": (lambda p: p.fail(500), "status 500"),
    "404": (lambda p: p.fail(404), "status 404"),
    "304 unasked": (lambda p: p.raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "status 304"),
    "html": (lambda p: p.body(b"<!doctype html><html><body>Sorry<br></body></html>"),
             "document type declaration|not well-formed"),
    "html without doctype": (lambda p: p.body(b"<html><body>Sorry</body></html>"), "<html>"),
    "empty": (lambda p: p.body(b""), "no element found"),
    "wrong root": (lambda p: p.body(one().replace(b"planList", b"planlist")), "<planlist>"),
    "not well-formed": (lambda p: p.body(one().replace(b"</plan>", b"")), "mismatched tag"),
    "half, well announced": (lambda p: p.body(one("No")[:-60]), "not well-formed|no element"),
    "cut off": (lambda p: p.body(one("No"), length=100000), "bytes remaining"),
    "half, then silence": (lambda p: p.hang(OK + b"Content-Length: 999\r\n\r\n" + one("No")[:200]),
                           "timed out"),
    "a bomb": (lambda p: p.body(BOMB), "document type declaration"),
    "redirects to itself": (lambda p: redirect("/feed.xml"), "redirects more than 5"),
    "redirects to a file": (lambda p: redirect("file:///etc/hostname"), "rotocol"),
    "flood": (lambda p: p.flood(OK + b"\r\n<planList>", b" " * 65536), "more than feed.bytes"),
    "announced flood": (lambda p: p.body(b"", length=1 << 40), "more than feed.bytes"),
    "gzip bomb": (lambda p: p.zipped(gzip_bomb(8)), "more than feed.bytes"),
    "gzip that is none": (lambda p: p.body(b"no gzip", "Content-Encoding: gzip"), "."),
    "flood of header fields": (lambda p: p.flood(OK, b"X-Field: 1\r\n" * 1000), "header fields"),
    "slow header fields": (lambda p: p.drip(OK + b"X-Field: 1\r\n" * 1000), "timed out"),
    "slow": (lambda p: p.drip(OK + b"Content-Length: 9999\r\n\r\n" + one("No") * 9), "timed out"),
    "never answers": (lambda p: p.hang(), "timed out"),
    "hangs up": (lambda p: p.raw(b""), "Empty reply"),
    "no HTTP": (lambda p: p.raw(b"220 ready\r\n"), "HTTP"),
}


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    """(server, provider) that all faults share: so each of them meets one that has healed."""
    provider = Provider()
    server = harness.Server(tmp_path_factory.mktemp("fed"), "--feed", provider.url, "--threads",
                            "2", env=QUICK)
    server.start()
    yield server, provider
    server.stop()
    provider.close()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_nothing_and_heals(fed, name):
    server, provider = fed
    make_answer, reason = FAULTS[name]
    with Api(server.port) as api:
        provider.answer = provider.body(one(f"before {name}"))
        until_titles(api, f"before {name}")
        before, good = api.get("/search"), feed(api)["succeeded_at"]
        provider.answer = make_answer(provider)
        state = eventually(lambda: (s := feed(api))["failures"] > 0 and s, 60)
        assert re.search(reason, state["error"]), state["error"]
        assert state["succeeded_at"] >= good and state["plans"] == 1
        after = api.get("/search")
        assert (after.body, after.revision) == (before.body, before.revision)
        provider.answer = provider.body(one(f"after {name}"))
        until_titles(api, f"after {name}")
        state = eventually(lambda: (s := feed(api))["failures"] == 0 and s, 60)
        assert state["error"] is None and state["succeeded_at"] > good


def test_nobody_is_asked_for_an_external_entity(make, provider):
    other = Provider()
    try:
        provider.answer = provider.body(
            f'<!DOCTYPE planList SYSTEM "{other.url}" [<!ENTITY a SYSTEM "{other.url}">]>'
            "<planList>&a;</planList>".encode())
        with Api(make().port) as api:
            eventually(lambda: "document type" in (feed(api)["error"] or ""), 60)
            assert other.requests == [] and titles(api) == []
    finally:
        other.close()


def test_a_flood_beyond_64_mib(make, provider):
    provider.answer = provider.flood(OK + b"\r\n<planList>", b" " * (1 << 20))
    with Api(make(PATIENT).port) as api:
        state = eventually(lambda: (s := feed(api))["failures"] > 0 and s, 100)
        assert "more than feed.bytes, 67108864 bytes" in state["error"]


def test_searches_under_load_do_not_fail_while_the_provider_does(make, provider):
    provider.answer = provider.body(one())
    server = make()
    ends, broken, count = threading.Event(), [], [0] * 4

    def search(number):
        with Api(server.port) as api:
            while not ends.is_set():
                response = api.get("/search?starts_at=2027-06-01T00:00:00Z")
                if response.status != 200 or len(response.json()["data"]["events"]) != 1:
                    broken.append(response)
                count[number] += 1

    with Api(server.port) as api:
        until_titles(api, "Camela")
        threads = [threading.Thread(target=search, args=(i,)) for i in range(len(count))]
        for thread in threads:
            thread.start()
        try:
            for name in ("500", "a bomb", "flood", "gzip bomb", "never answers", "cut off"):
                provider.answer = FAULTS[name][0](provider)
                before = sum(count)
                eventually(lambda: feed(api)["failures"] > 0, 60)
                eventually(lambda limit=before + scale(200, 50): sum(count) > limit, 60)
                provider.answer = provider.body(one())
                eventually(lambda: feed(api)["failures"] == 0, 60)
        finally:
            ends.set()
            for thread in threads:
                thread.join()
    assert broken == [] and all(count)


def test_it_is_logged_once_and_counted(make, provider):
    provider.answer = provider.fail(500)
    server = make()

    def fetches(outcome):
        with server.admin() as admin:
            metrics = Metrics(admin.get("/metrics").body.decode())
        return metrics.value("fleetbit_feed_fetches_total", outcome=outcome), metrics

    with Api(server.port) as api:
        eventually(lambda: feed(api)["failures"] >= 2, 60)
        failed, metrics = fetches("failed")
        assert failed >= 2 and metrics.value("fleetbit_feed_failures") >= 2
        assert metrics.value("fleetbit_feed_lease") == 1
        assert metrics.value("fleetbit_feed_interval_seconds") == 1
        provider.answer = provider.body(one())
        until_titles(api, "Camela")
        eventually(lambda: fetches("read")[0] >= 1, 60)
        _, metrics = fetches("read")
        assert metrics.value("fleetbit_feed_changed_total") == 1
        assert metrics.value("fleetbit_feed_plans") == 1
        assert metrics.value("fleetbit_feed_failures") == 0
    assert server.errors().count("could not be read: it answers with status 500") == 1
    assert server.errors().count("the feed is there again") == 1


# --- around it ---


def test_an_end_does_not_wait_for_the_provider(make, provider):
    provider.answer = provider.hang(OK + b"Content-Length: 99\r\n\r\n<planList>")
    server = make(PATIENT)
    if not provider.requests:
        provider.wait_asked()
    server.stop(signal.SIGTERM)  # which fails after STOP_S, long before the hour of its timeout


def test_without_a_feed_there_is_none(server, make, provider):
    with Api(server.port) as api:
        problem(api.get("/v1/feed"), 404)
        problem(api.get("/v1/feed?more=1"), 400)
    provider.answer = provider.body(one())
    fed_once = make()
    with Api(fed_once.port) as api:
        until_titles(api, "Camela")
        eventually(lambda: feed(api)["succeeded_at"], 60)
    fed_once.stop()
    again = harness.Server(fed_once.folder, "--threads", "2").start()
    try:
        with Api(again.port) as api:
            assert titles(api) == ["Camela"]
            assert feed(api)["url"] == provider.url and feed(api)["plans"] == 1
    finally:
        again.stop()


def test_redis_that_is_away_loses_nothing(make_redis, make_server, provider):
    redis = make_redis().start()
    provider.answer = provider.tagged(one("first"), '"1"')
    server = make_server("--feed", provider.url, redis_url=redis.url, env={
        **QUICK, "FLEETBIT_REDIS_TIMEOUT": "500ms", "FLEETBIT_WRITER_DEADLINE": "1s"}).start()
    with Api(server.port) as api:
        until_titles(api, "first")
        redis.stop(signal.SIGKILL)
        provider.answer = provider.tagged(one("second"), '"2"')
        eventually(lambda: api.get("/v1/feed").status == 503, 60)
        assert titles(api) == ["first"]
        redis.start()
        until_titles(api, "second")
        eventually(lambda: feed(api)["failures"] == 0, 60)
        # It is another epoch now: what is known is asked for once more without a condition.
        assert titles(api) == ["second"]


def test_notes_that_somebody_else_has_written_are_passed_over(make, provider):
    provider.answer = provider.body(one())
    server = make(PATIENT)
    with Api(server.port) as api:
        until_titles(api, "Camela")
        provider.answer = provider.hang()  # so that they stay
        provider.wait_asked()
        with server.redis() as redis:
            for wrong in ("[", '[] "x"', "{}", "[\x01]"):
                redis.hset("fb:{default}:feed", "skipped_plans", wrong)
                assert feed(api)["skipped_plans"] == [], wrong
            redis.hset("fb:{default}:feed", mapping={"plans": "-5", "fetched_at": "yesterday",
                                                     "error": b"\xff"})
            state = feed(api)
        assert (state["plans"], state["fetched_at"], state["error"]) == (0, None, "\ufffd")


def test_secrets_of_the_url_are_not_shown(make, provider):
    provider.answer = provider.body(one())
    place = f"127.0.0.1:{provider.port}/feed.xml"
    url = f"http://ann:s3cret@{place}?key=t0ken"
    server = make(url=url)
    with Api(server.port) as api:
        until_titles(api, "Camela")
        shown = feed(api)["url"]
        provider.answer = provider.fail(500)
        eventually(lambda: feed(api)["failures"] > 0, 60)
    assert shown == f"http://{place}"
    assert "GET /feed.xml?key=t0ken " in provider.requests[0]
    assert "authorization: basic " in provider.requests[0].lower()
    done = subprocess.run([str(harness.BINARY), "check-config", "--feed", url],
                          capture_output=True, text=True, env=harness.environment(), check=True)
    for text in (server.errors(), done.stdout, done.stderr):
        assert "s3cret" not in text and "t0ken" not in text


def test_only_http_is_a_feed():
    for url in ("ftp://127.0.0.1/feed.xml", "file:///etc/hostname", "feed.xml", "http://",
                "ftp://ann:s3cret@127.0.0.1/feed.xml", "http://ann:s3cret@127.0.0.1:x/feed.xml"):
        done = subprocess.run([str(harness.BINARY), "check-config", "--feed", url],
                              capture_output=True, text=True, env=harness.environment(),
                              check=False)
        assert done.returncode == 2 and "--feed" in done.stderr, (url, done)
        assert "s3cret" not in done.stderr
