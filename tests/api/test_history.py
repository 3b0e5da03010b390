# SPDX-License-Identifier: MIT
"""What a machine was, when, and for how long: the history that is read from Redis."""
import os
import random
import signal
import socket
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from api import INSTANT, Api, problem
from harness import eventually, in_threads, is_alive, scale
from http1 import ConnectionLost
from store import check_store

STATES = ["green", "yellow", "red"]
MEMBERS = ["machine_id", "from", "to", "history", "time_in_state", "dropped", "kept_from", "next"]
TIMEOUT_S = 0.4
SOON = {"FLEETBIT_REDIS_TIMEOUT": "400ms", "FLEETBIT_WRITER_DEADLINE": "1s"}
SLACK_S = scale(0.3, 3)


def path_of(machine, **query):
    return f"/v1/machines/{machine}/history" + "".join(
        f"{'&' if i else '?'}{name}={value}" for i, (name, value) in enumerate(query.items()))


def new_machine(api):
    return api.new_machine()["id"]


def put(api, machine, status="green", by="Ann", **members):
    response = api.put(f"/v1/machines/{machine}/status",
                       {"status": status, "updated_by": by, **members})
    assert response.status == 200, response
    return {name: value for name, value in response.json().items() if name != "machine_id"}


def put_many(api, machine, count, first=0):
    """In one change: so many reports, told apart by who reported."""
    items = [{"machine_id": machine, "status": STATES[i % 3], "updated_by": f"n{i}"}
             for i in range(first, first + count)]
    response = api.post("/v1/status", items)
    assert response.status == 200, response


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def shown(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def milliseconds(text):
    return round((instant(text) - datetime(1970, 1, 1, tzinfo=timezone.utc))
                 / timedelta(milliseconds=1))


def seconds_of(entries, begin, end):
    """How long each state held from `begin` to `end` (milliseconds), of entries newest first."""
    times = dict.fromkeys([*STATES, "unknown"], 0)
    moments = [(milliseconds(entry["updated_at"]), entry["status"]) for entry in entries]
    edges = sorted({begin, end, *(at for at, _ in moments if begin < at < end)})
    for left, right in zip(edges, edges[1:]):
        state = next((status for at, status in moments if at <= left), "unknown")
        times[state] += right - left
    return {state: spent / 1000 for state, spent in times.items()}


# --- what it shows --------------------------------------------------------------------------

def test_a_machine_that_reported_nothing_has_an_empty_history(api):
    machine = new_machine(api)
    answer = api.read(path_of(machine))
    assert list(answer) == MEMBERS and INSTANT.fullmatch(answer["to"])
    assert answer == {"machine_id": machine, "from": None, "to": answer["to"], "history": [],
                      "time_in_state": dict.fromkeys([*STATES, "unknown"], 0), "dropped": 0,
                      "kept_from": None, "next": None}


def test_every_report_is_there_the_newest_first(api):
    machine, other = new_machine(api), new_machine(api)
    reports = []
    for i, status in enumerate(["red", "red", "green", "yellow", "red"]):
        note = [None, "", "a \"b\"\n\\ ü 🚜"][i % 3]
        reports.insert(0, put(api, machine, status, f"by {i}", note=note))
        put(api, other)
    answer = api.read(path_of(machine))
    assert answer["history"] == reports
    assert list(answer["history"][0]) == ["status", "updated_at", "updated_by", "note"]
    assert answer["kept_from"] == reports[-1]["updated_at"]
    assert answer["from"] is None and answer["next"] is None and answer["dropped"] == 0
    assert abs((instant(answer["to"]) - datetime.now(timezone.utc)).total_seconds()) < 30


def test_the_ends_of_a_range_are_part_of_it(api):
    machine = new_machine(api)
    reports = []
    for i in range(6):
        reports.insert(0, put(api, machine, by=f"n{i}"))
        time.sleep(0.003)
    first, last = reports[4]["updated_at"], reports[1]["updated_at"]
    answer = api.read(path_of(machine, **{"from": first, "to": last}))
    assert answer["history"] == reports[1:5]
    assert (answer["from"], answer["to"]) == (first, last)
    just_after = shown(instant(first) + timedelta(milliseconds=1))
    just_before = shown(instant(last) - timedelta(milliseconds=1))
    answer = api.read(path_of(machine, **{"from": just_after, "to": just_before}))
    assert answer["history"] == reports[2:4]
    assert api.read(path_of(machine, **{"from": first}))["history"] == reports[:5]
    assert api.read(path_of(machine, to=last))["history"] == reports[1:]
    moved = instant(first).astimezone(timezone(timedelta(hours=5, minutes=30)))
    text = moved.isoformat(timespec="milliseconds").replace("+", "%2B")
    answer = api.read(path_of(machine, **{"from": text}))
    assert answer["history"] == reports[:5] and answer["from"] == first


def test_pages_neither_skip_nor_repeat_while_entries_are_added(server, api):
    machine = new_machine(api)
    put_many(api, machine, 500)
    done = threading.Event()

    def add():
        with Api(server.port) as writer:
            count = 500
            while not done.is_set() and count < 8000:  # none is dropped yet
                put_many(writer, machine, 7, count)
                count += 7
                time.sleep(0.001)

    def walk():
        try:
            for limit in (1000, 100, 17, 3):
                totals = []
                found, cursor = [], None
                while True:
                    query = {"limit": limit, **({"cursor": cursor} if cursor else {})}
                    page = api.read(path_of(machine, **query))
                    assert len(page["history"]) == limit or page["next"] is None
                    found += [int(entry["updated_by"][1:]) for entry in page["history"]]
                    totals.append(page["to"])
                    cursor = page["next"]
                    if cursor is None:
                        break
                assert found == list(range(len(found) - 1, -1, -1)) and len(found) >= 500
                assert len(set(totals)) == 1
        finally:
            done.set()

    in_threads([add, walk])


def test_the_time_in_each_state_is_exact(api):
    draw = random.Random(5)
    machine = new_machine(api)
    for _ in range(60):
        put(api, machine, draw.choice(STATES))
        time.sleep(draw.choice([0, 0, 0.001, 0.004]))
    put_many(api, machine, 40)
    time.sleep(0.02)
    put(api, machine, "red")
    time.sleep(0.02)  # so that what is asked for below is over
    entries = api.read(path_of(machine, limit=1000))["history"]
    assert len(entries) == 101
    newest, oldest = (milliseconds(entries[i]["updated_at"]) for i in (0, -1))
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for _ in range(150):
        begin = draw.randint(oldest - 50, newest)
        end = draw.randint(begin, newest + 10)
        begin_text, end_text = (shown(epoch + timedelta(milliseconds=ms)) for ms in (begin, end))
        query = {"from": begin_text, "to": end_text, "limit": draw.choice([1, 5, 50, 1000])}
        answer = api.read(path_of(machine, **query))
        assert answer["time_in_state"] == seconds_of(entries, begin, end), query
        if answer["next"]:
            later = api.read(path_of(machine, **query, cursor=answer["next"]))
            assert later["time_in_state"] == answer["time_in_state"]
    whole = api.read(path_of(machine))
    assert whole["time_in_state"] == seconds_of(entries, oldest, milliseconds(whole["to"]))
    ahead = api.read(path_of(machine, to="2300-01-01T00:00:00Z"))  # what is to come is not counted
    assert ahead["time_in_state"]["unknown"] == 0
    assert 0 <= ahead["time_in_state"]["red"] - whole["time_in_state"]["red"] < 60


def test_a_retired_machine_keeps_its_history(api):
    machine = new_machine(api)
    reports = [put(api, machine, "red"), put(api, machine, "green")][::-1]
    before = api.read(path_of(machine))
    assert api.delete(f"/v1/machines/{machine}").status == 204
    problem(api.get(f"/v1/machines/{machine}/status"), 404)
    after = api.read(path_of(machine))
    assert after["history"] == reports == before["history"]
    assert after["kept_from"] == before["kept_from"] and after["dropped"] == 0


def test_what_was_just_written_is_in_the_history_of_every_connection(server, api):
    machine = new_machine(api)
    loops = [connection for each in server.connect_to_all_loops().values() for connection in each]
    for i in range(scale(100, 30)):
        response = api.put(f"/v1/machines/{machine}/status",
                           {"status": "red", "updated_by": f"n{i}"})
        for connection in loops:
            answer = connection.get(path_of(machine, limit=1))
            assert answer.json()["history"][0]["updated_by"] == f"n{i}"
            assert answer.revision >= response.revision
    for connection in loops:
        connection.close()


def test_a_revision_is_not_ahead_of_what_the_answer_shows(server, api):
    """Cause: an answer that is under way while a report lands must not claim to have it."""
    machine = new_machine(api)
    landed, done = [], threading.Event()

    def write():
        with Api(server.port) as writer:
            for i in range(scale(1500, 200)):
                response = writer.put(f"/v1/machines/{machine}/status",
                                      {"status": "red", "updated_by": f"n{i}"})
                landed.append(response.revision[1])
        done.set()

    def read():
        seen = []
        with Api(server.port) as reader:
            while not done.is_set():
                answer = reader.get(path_of(machine, limit=1))
                newest = answer.json()["history"]
                seen.append((answer.revision[1], int(newest[0]["updated_by"][1:]) if newest
                             else -1))
        for revision, newest in seen:
            assert newest + 1 >= sum(1 for known in landed if known <= revision)

    in_threads([write, read, read])


def test_an_answer_has_a_validator(api):
    machine = new_machine(api)
    last = put(api, machine)["updated_at"]
    target = path_of(machine, to=last)
    answer = api.get(target)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"] == "application/json"
    known = api.get(target, {"If-None-Match": answer.headers["etag"]})
    assert known.status == 304 and known.body == b""
    assert known.headers["etag"] == answer.headers["etag"]
    assert known.revision >= answer.revision
    api.send("HEAD", target)
    head = api.receive("HEAD")
    assert head.status == 200 and head.body == b""
    for name in ("etag", "content-length", "content-type", "cache-control"):
        assert head.headers[name] == answer.headers[name]


# --- bad input ------------------------------------------------------------------------------

@pytest.mark.parametrize("query, status, field", [
    ("from=2026-11-21", 400, "from"),
    ("from=yesterday", 400, "from"),
    ("to=2026-11-21T12:00:00", 400, "to"),
    ("to=2026-02-30T12:00:00Z", 422, "to"),
    ("from=2026-11-21T12:00:00Z&to=2026-11-21T11:59:59.999Z", 422, "from"),
    ("from=2399-01-01T00:00:00Z", 422, "from"),
    ("from=1969-12-31T23:59:59Z", 422, "from"),
    ("limit=0", 422, "limit"),
    ("limit=1001", 422, "limit"),
    ("limit=x", 400, "limit"),
    ("cursor=AAAA", 400, "cursor"),
    ("cursor=" + "A" * 44, 400, "cursor"),
    ("cursor=" + "A" * 65, 422, "cursor"),
    ("status=red", 400, "status"),
    ("from=2026-11-21T12:00:00Z&from=2026-11-21T12:00:00Z", 400, "from"),
])
def test_what_is_no_question_is_refused(api, query, status, field):
    machine = new_machine(api)
    put(api, machine)
    document = problem(api.get(path_of(machine) + "?" + query), status)
    assert field in [error["field"] for error in document["errors"]]


def test_a_range_of_one_instant_is_none_too_short(api):
    machine = new_machine(api)
    at = put(api, machine)["updated_at"]
    answer = api.read(path_of(machine, **{"from": at, "to": at}))
    assert len(answer["history"]) == 1
    assert set(answer["time_in_state"].values()) == {0}


def test_a_cursor_belongs_to_its_question(api):
    machine, other = new_machine(api), new_machine(api)
    for each in (machine, other):
        put_many(api, each, 10)
    cursor = api.read(path_of(machine, limit=3))["next"]
    assert api.read(path_of(machine, limit=5, cursor=cursor))["history"][0]["updated_by"] == "n6"
    problem(api.get(path_of(other, cursor=cursor)), 400)
    problem(api.get(path_of(machine, cursor=cursor, to="2300-01-01T00:00:00Z")), 400)
    problem(api.get(path_of(machine, cursor=cursor, **{"from": "2000-01-01T00:00:00Z"})), 400)
    forged = cursor[:8] + ("A" if cursor[8] != "A" else "B") + cursor[9:]
    problem(api.get(path_of(machine, cursor=forged)), 400)


def test_a_machine_that_never_was_has_no_history(api):
    new_machine(api)
    problem(api.get(path_of(4000000000)), 404)
    problem(api.get(path_of(0)), 404)
    response = api.post(path_of(1), {})
    assert response.status == 405 and response.headers["allow"] == "GET, HEAD"


# --- what is kept ---------------------------------------------------------------------------

def check_kept(api, machine, added):
    """Those that are left are the newest ones; how many they are."""
    entries = api.pages(path_of(machine, limit=1000), "history")
    answer = api.read(path_of(machine, limit=1))
    assert [int(entry["updated_by"][1:]) for entry in entries] == \
        list(range(added - 1, added - 1 - len(entries), -1))
    assert answer["dropped"] == added - len(entries)
    assert answer["kept_from"] == entries[-1]["updated_at"]
    return len(entries)


def test_a_history_keeps_so_many_entries(make_server):
    server = make_server(env={"FLEETBIT_HISTORY_LENGTH": "300"}).start()
    with Api(server.port) as api:
        machine = new_machine(api)
        put_many(api, machine, 300)
        assert check_kept(api, machine, 300) == 300
        for i in range(1, 10):
            put_many(api, machine, 300, 300 * i)
        assert 300 <= check_kept(api, machine, 3000) <= 500
        oldest = api.read(path_of(machine))["kept_from"]
        begin = shown(instant(oldest) - timedelta(hours=1))
        answer = api.read(path_of(machine, **{"from": begin}))  # nobody knows any more
        assert answer["time_in_state"]["unknown"] == 3600
        check_store(server.redis(), api)


def test_a_history_keeps_its_entries_for_so_long(make_server):
    server = make_server(env={"FLEETBIT_HISTORY_AGE": "1s"}).start()
    with Api(server.port) as api:
        machine = new_machine(api)
        put_many(api, machine, 1000)
        assert check_kept(api, machine, 1000) == 1000
        time.sleep(1.2)
        put_many(api, machine, 1, 1000)
        assert check_kept(api, machine, 1001) <= 200
        check_store(server.redis(), api)


def test_an_entry_of_no_instant_ends_nobody(make_server):
    """Somebody has put it there by hand."""
    server = make_server().start()
    with Api(server.port) as api:
        machine = new_machine(api)
        server.redis().xadd(f"fb:{{default}}:history:{machine}", {"status": "red"},
                            "18446744073709551614-0")
        answer = api.read(path_of(machine))
        assert answer["history"] == [] and answer["dropped"] == 0
        assert answer["kept_from"] == "5138-11-16T09:46:39.999Z"


def test_a_history_may_keep_all(make_server):
    server = make_server(env={"FLEETBIT_HISTORY_LENGTH": "0"}).start()
    with Api(server.port) as api:
        machine = new_machine(api)
        for i in range(12):
            put_many(api, machine, 1000, 1000 * i)
        assert check_kept(api, machine, 12000) == 12000


# --- Redis is away --------------------------------------------------------------------------

def refused_in_time(port, target):
    with Api(port) as api:
        began = time.monotonic()
        document = problem(api.get(target), 503)
        assert time.monotonic() - began < TIMEOUT_S + SLACK_S
        assert document["type"] == "/problems/unavailable"


def rate_of_reads(api, target, seconds=1.0):
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        assert api.get(target).status == 200
        count += 1
    return count / seconds


def test_a_redis_that_hangs_holds_up_nobody_else(make_server):
    server = make_server("--threads", "1", env=SOON).start()
    with Api(server.port) as api:
        machine = new_machine(api)
        put_many(api, machine, 100)
        target = path_of(machine)
        before = rate_of_reads(api, "/v1/availability")
        os.kill(server.redis_pid, signal.SIGSTOP)
        try:
            # One after the other, and more at once than there are readers.
            refused_in_time(server.port, target)
            in_threads([lambda: refused_in_time(server.port, target)] * 30)
            waiting = threading.Event()

            def keep_asking():
                while not waiting.is_set():
                    refused_in_time(server.port, target)

            askers = [threading.Thread(target=keep_asking) for _ in range(4)]
            for asker in askers:
                asker.start()
            during = rate_of_reads(api, "/v1/availability")
            waiting.set()
            for asker in askers:
                asker.join()
        finally:
            os.kill(server.redis_pid, signal.SIGCONT)
        assert during > 0.5 * before, (during, before)  # the askers take their share of Python
        eventually(lambda: api.get(target).status == 200)
        assert len(api.read(target)["history"]) == 100


def test_a_redis_that_is_gone_is_told_at_once_and_heals(make_server, make_redis):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    with Api(server.port) as api:
        machine = new_machine(api)
        put_many(api, machine, 3)
        problem(api.get(path_of(machine, limit=0)), 422)
        redis.stop(signal.SIGKILL)
        for _ in range(5):
            refused_in_time(server.port, path_of(machine))
        assert api.get(f"/v1/machines/{machine}").status == 200
        problem(api.get(path_of(machine, limit=0)), 422)
        redis.start()
        eventually(lambda: api.get(path_of(machine)).status == 200)
        assert len(api.read(path_of(machine))["history"]) == 3


def test_clients_that_leave_while_they_wait_are_forgotten(make_server):
    server = make_server(env=SOON).start()
    with Api(server.port) as api:
        machine = new_machine(api)
        put_many(api, machine, 1000)
        for pause in (0, 0.1, 0.5):
            os.kill(server.redis_pid, signal.SIGSTOP)
            leavers = [Api(server.port) for _ in range(20)]
            for leaver in leavers:
                leaver.send("GET", path_of(machine, limit=1000))
            time.sleep(pause)
            for leaver in leavers:
                leaver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                leaver.close()
            assert api.get("/livez").status == 200
            os.kill(server.redis_pid, signal.SIGCONT)
            eventually(lambda: api.get(path_of(machine)).status == 200)
        assert len(api.read(path_of(machine, limit=1000))["history"]) == 1000


def test_a_server_that_ends_lets_nobody_wait(make_server, make_redis):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env={"FLEETBIT_REDIS_TIMEOUT": "1s"}).start()
    with Api(server.port) as api:
        machine = new_machine(api)
        put_many(api, machine, 10)
    redis.process.send_signal(signal.SIGSTOP)
    waiting = [Api(server.port) for _ in range(10)]
    for each in waiting:
        each.send("GET", path_of(machine))
    time.sleep(0.2)
    in_threads([server.stop] + [lambda each=each: problem(each.receive(), 503)
                                for each in waiting])


# --- crashes --------------------------------------------------------------------------------

def test_a_kill_leaves_a_report_whole_or_not_at_all(make_server):
    """The row, the entry of its history and that of the log: check_store holds them against each
    other."""
    draw = random.Random(11)
    server = make_server(env=SOON).start()
    with Api(server.port) as api:
        machines = [new_machine(api) for _ in range(5)]
    known = dict.fromkeys(machines, 0)  # the last report that was acknowledged
    sent = dict.fromkeys(machines, 0)

    def write(machine):
        try:
            with Api(server.port) as api:
                while True:
                    sent[machine] += 1
                    put(api, machine, STATES[sent[machine] % 3], f"n{sent[machine]}")
                    known[machine] = sent[machine]
        except (ConnectionLost, ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            pass

    for _ in range(scale(8, 3)):
        writers = [threading.Thread(target=write, args=(machine,)) for machine in machines]
        for writer in writers:
            writer.start()
        time.sleep(draw.uniform(0.05, 0.3))
        redis = server.redis_pid
        server.kill()
        for writer in writers:
            writer.join()
        eventually(lambda: not is_alive(redis))  # it ends with its server
        server.start()
        with Api(server.port) as api:
            check_store(server.redis(), api)
            for machine in machines:
                entries = api.pages(path_of(machine, limit=1000), "history")
                row = api.read(f"/v1/machines/{machine}/status")
                numbers = [int(entry["updated_by"][1:]) for entry in entries]
                assert {**entries[0], "machine_id": machine} == row
                assert numbers == sorted(numbers, reverse=True) == sorted(set(numbers),
                                                                          reverse=True)
                assert known[machine] in numbers and numbers[0] <= sent[machine]


def test_the_head_remembers_the_epochs_of_former_runs_of_redis(make_server, make_redis):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env=SOON).start()
    former = []
    with Api(server.port) as api:
        machine = new_machine(api)
        for _ in range(3):
            put(api, machine)
            epoch, revision = api.get("/v1/machines").revision
            redis.stop(signal.SIGKILL)
            redis.start()
            eventually(lambda: api.put(f"/v1/machines/{machine}/status",
                                       {"status": "red", "updated_by": "Ann"}).status == 200)
            former = [f"{epoch} {revision}", *former]
            head = redis.client().hgetall("fb:{default}:head")
            assert head[b"former"].decode() == " ".join(former)
            assert api.get("/v1/machines").revision[0] == head[b"epoch"].decode() != epoch
        check_store(redis.client(), api)
