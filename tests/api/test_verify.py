# SPDX-License-Identifier: MIT
"""The self-check: checksums in status.json, their pages in /state, and `fleetbit verify`."""
import contextlib
import http.server
import json
import os
import re
import signal
import socket
import struct
import threading
from pathlib import Path

import pytest
import xxhash

from api import Api, problem
from harness import Redis, day, eventually, free_port
from test_start import UNAVAILABLE, USAGE, run

DIFFERENT, UNREACHABLE = 5, 6
HEX16 = re.compile(r"[0-9a-f]{16}")
MASK = 2**64 - 1
LAST_ID_SEED = 1 << 63
ROW_NAMES = {"machines": b"machine", "windows": b"window", "statuses": b"status",
             "order_ids": b"order", "order_totals": b"order_total",
             "idempotencies": b"idempotency", "factories": b"factory",
             "sprockets": b"sprocket", "plans": b"plan"}


# --- resources/checksum.h, once more --------------------------------------------------------

def hash_number(number, seed):
    return xxhash.xxh3_64_intdigest(struct.pack("<Q", number), seed)


def part(kind, name, total):
    seed = xxhash.xxh3_64_intdigest(name, xxhash.xxh3_64_intdigest(kind))
    return hash_number(total, seed) if total else 0


def total_of(checksum):
    """The total that families and planes come to."""
    total = sum(part(b"rows", ROW_NAMES[name], int(digits, 16))
                for name, digits in checksum["families"].items())
    total += sum(part(b"days", name.encode(), int(digits, 16))
                 for name, digits in checksum["planes"].items())
    return f"{total & MASK:016x}"


# --- what the admin listener shows ----------------------------------------------------------

def status_of(server):
    with server.admin() as admin:
        response = admin.get("/status.json")
    assert response.status == 200, response
    assert response.headers["content-type"] == "application/json", response
    assert response.headers["cache-control"] == "no-store", response
    return response.json()


def state_pages(server, query):
    """All pages, one after the other."""
    pages, after = [], ""
    with server.admin() as admin:
        while True:
            response = admin.get(f"/state?{query}{after}")
            assert response.status == 200, response
            pages.append(response.json())
            if pages[-1]["next"] is None:
                return pages
            after = f"&after={pages[-1]['next']}"


def check_status_types(status):
    assert list(status) == ["version", "instance", "pid", "uptime_s", "ready", "draining", "fleet",
                            "epoch", "revision", "chain", "today", "checksum", "redis", "writer",
                            "coherence", "log", "queues", "orders", "clients", "loops"], status
    assert re.fullmatch(r"[0-9a-f]{8}", status["instance"]), status
    assert re.fullmatch(r"[0-9a-f]{8}", status["epoch"]), status
    assert re.fullmatch(r"[0-9a-f]{32}", status["chain"]), status
    assert isinstance(status["uptime_s"], float) and 0 <= status["uptime_s"] < 3600, status
    assert set(status["checksum"]) == {"total", "families", "planes"}, status
    assert set(status["checksum"]["families"]) == set(ROW_NAMES), status
    assert set(status["checksum"]["planes"]) == {"maintenance", "booked"}, status
    sums = [status["checksum"]["total"], *status["checksum"]["families"].values(),
            *status["checksum"]["planes"].values()]
    assert all(HEX16.fullmatch(digits) for digits in sums), status
    assert set(status["writer"]) == {"queued", "batches_total", "landed_total", "failed_total"}
    assert all(type(n) is int and n >= 0 for n in status["writer"].values()), status
    assert set(status["log"]) == {"lag_revisions", "compared_age_ms"}, status
    assert list(status["queues"]) == ["writer", "readers", "parked"], status
    assert list(status["orders"]) == ["pending", "processing", "in_hand", "queue"], status
    assert list(status["clients"]) == ["connections", "streams"], status
    assert status["clients"]["connections"] >= 1, status
    for group in ("log", "queues", "orders", "clients"):
        assert all(type(n) is int and n >= 0 for n in status[group].values()), status


def test_the_status_of_a_server_of_its_own_redis(make_server):
    server = make_server("--threads", "2").start()
    with Api(server.port) as api:
        api.new_machine()
        status = status_of(server)
        check_status_types(status)
        assert status["pid"] == server.pid and status["loops"] == 2
        assert status["ready"] is True and status["draining"] is False
        assert status["fleet"] == "default" and status["today"] == day(0)
        assert status["revision"] == 1 and status["writer"]["landed_total"] == 1
        assert status["redis"]["up"] is True and status["redis"]["contact_age_ms"] >= 0
        assert status["redis"]["url"] is None and status["redis"]["data"] == str(server.data)
        assert api.get("/v1/machines").revision == (status["epoch"], status["revision"])
    assert status_of(server)["instance"] == status["instance"]


def test_the_status_shows_no_password(make_server, make_redis):
    redis = make_redis().start()
    status = status_of(make_server(redis_url=redis.url).start())
    assert status["redis"]["url"].startswith("redis://") and status["redis"]["data"] is None
    assert redis.password not in str(status), status
    assert f"127.0.0.1:{redis.port}/{redis.database}" in status["redis"]["url"], status


def test_an_empty_fleet_has_the_checksum_zero(make_server):
    status = status_of(make_server().start())
    assert status["revision"] == 0 and status["checksum"]["total"] == "0" * 16
    assert total_of(status["checksum"]) == "0" * 16


def test_a_status_before_the_fleet_is_loaded(make_server):
    redis_url = f"redis://127.0.0.1:{free_port()}"
    server = make_server(redis_url=redis_url).launch()
    status = status_of(server)
    assert status["ready"] is False and status["redis"]["up"] is False, status
    for member in ("epoch", "revision", "chain", "today", "checksum"):
        assert status[member] is None, status
    with server.admin() as admin:
        problem(admin.get("/state?family=machines"), 503)


def test_all_of_a_status_is_of_one_snapshot(server, api):
    ended = threading.Event()

    def write():
        with Api(server.port) as other:
            while not ended.is_set():
                machine = other.new_machine()
                other.new_window(machine["id"], duration_days=5)
                assert other.delete(f"/v1/machines/{machine['id']}").status == 204

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {}
        while len(seen) < 100:
            status = status_of(server)
            assert total_of(status["checksum"]) == status["checksum"]["total"], status
            known = seen.setdefault(status["revision"], status["checksum"])
            assert known == status["checksum"], "one revision, two states"
    finally:
        ended.set()
        writer.join()
    assert api.get("/readyz").status == 200


def test_pages_of_rows_add_up_to_the_checksum(server, api):
    made = [api.new_machine()["id"] for _ in range(20)]
    for machine in made[:3]:
        api.new_window(machine, duration_days=2)
        report = {"status": "red", "updated_by": "Ann"}
        assert api.put(f"/v1/machines/{machine}/status", report).status == 200
    status = status_of(server)
    for family in ROW_NAMES:
        for limit in ("", "&limit=7", "&limit=1000"):
            pages = state_pages(server, f"family={family}{limit}")
            rows = [row for page in pages for row in page["rows"]]
            ids = [row["id"] for row in rows]
            assert ids == sorted(set(ids))
            assert all(list(row) == ["id", "sum"] for row in rows)
            assert all(HEX16.fullmatch(row["sum"]) for row in rows)
            assert all((p["epoch"], p["revision"]) == (status["epoch"], status["revision"])
                       for p in pages)
            if limit == "&limit=7":
                assert [len(page["rows"]) for page in pages[:-1]] == [7] * (len(pages) - 1)
            last_id = api_last_id(server, family)
            total = sum(int(row["sum"], 16) for row in rows)
            total += hash_number(last_id, LAST_ID_SEED) if last_id else 0
            assert f"{total & MASK:016x}" == status["checksum"]["families"][family]
        if family == "machines":
            assert ids == [machine["id"] for machine in api.pages("/v1/machines?limit=1000")]


def api_last_id(server, family):
    head = server.redis().hgetall("fb:{default}:head")
    return int(head.get(b"last_id:" + ROW_NAMES[family], 0))


def test_pages_of_days_add_up_to_the_checksum(server, api):
    machine = api.new_machine()["id"]
    first, second = day(400), day(425)
    api.new_window(machine, start_date=first, end_date=second)
    order = api.new_order(item_ids=[api.new_machine()["id"]], start_date=day(30), end_date=day(45))
    assert api.until_order(order["id"], "COMPLETED")
    status = status_of(server)
    for plane, known in (("maintenance", {first, second}), ("booked", {day(30), day(45)})):
        pages = state_pages(server, f"plane={plane}&limit=10")
        days = [item for page in pages for item in page["days"]]
        dates = [item["date"] for item in days]
        assert dates == sorted(set(dates)) and known <= set(dates)
        assert all(list(item) == ["date", "sum", "machines"] for item in days)
        assert all(item["machines"] > 0 for item in days), "a day without a machine shows"
        total = sum(int(item["sum"], 16) for item in days)
        assert f"{total & MASK:016x}" == status["checksum"]["planes"][plane]
        assert state_pages(server, f"plane={plane}&after={max(dates)}")[0]["days"] == []


def test_a_page_behind_the_last_id_is_empty(server):
    for after in (4294967294, 4294967295):
        assert state_pages(server, f"family=machines&after={after}")[0]["rows"] == []


@pytest.mark.parametrize("query,status,field", [
    ("", 422, "family"), ("family=machines&plane=booked", 422, "family"),
    ("family=machine", 422, "family"), ("family=availability", 422, "family"),
    ("plane=machines", 422, "plane"), ("family=", 422, "family"),
    ("family=machines&limit=0", 422, "limit"), ("family=machines&limit=1001", 422, "limit"),
    ("family=machines&limit=x", 400, "limit"), ("family=machines&after=x", 400, "after"),
    ("family=machines&after=-1", 400, "after"), ("family=machines&after=4294967296", 400, "after"),
    ("plane=booked&after=17", 400, "after"), ("plane=booked&after=2026-02-30", 400, "after"),
    ("family=machines&family=windows", 400, "family"), ("fleet=x", 400, "fleet"),
])
def test_wrong_questions_are_refused_by_name(server, query, status, field):
    with server.admin() as admin:
        problem(admin.get(f"/state?{query}"), status, field)


@pytest.mark.parametrize("path", ["/status.json", "/state?family=machines", "/metrics"])
def test_the_pages_of_the_admin_listener_are_only_read(server, path):
    with server.admin() as admin:
        head = admin.request("HEAD", path)
        assert head.status == 200 and head.body == b"", head
        assert int(head.headers["content-length"]) > 0, head
        for method in ("POST", "DELETE", "PUT"):
            refused = admin.request(method, path)
            problem(refused, 405)
            assert refused.headers["allow"] == "GET, HEAD", refused
        unknown = problem(admin.get("/status"), 404)
        assert "/status.json" in unknown["detail"], unknown


# --- fleetbit verify ------------------------------------------------------------------------

def admin_url(server):
    return f"http://127.0.0.1:{server.admin_port}"


def verify(redis_url, *servers, flags=()):
    urls = [s if isinstance(s, str) else admin_url(s) for s in servers]
    instances = [flag for url in urls for flag in ("--instance", url)]
    return run("verify", *instances, "--redis", redis_url, *flags, seconds=60)


def verdicts(result):
    """Whom each line is about -> what it says first; and the lines on single things."""
    participants, things = {}, []
    for line in result.stdout.splitlines():
        match = re.fullmatch(r"(equal|different) (\S+) [0-9a-f]{8}\.\d+ [0-9a-f]{16}(: .*)?", line)
        gone = re.fullmatch(r"(unreachable) (\S+)", line)
        thing = re.fullmatch(r"different (\S+) "
                             r"(machines|windows|order_ids|maintenance|booked):? (.*)", line)
        if match or gone:
            participants[(match or gone).group(2)] = (match or gone).group(1)
        else:
            assert thing, f"a line of another form: {line}"
            things.append(thing.groups())
    return participants, things


@pytest.fixture
def three(make_redis, make_server):
    """A Redis and three instances upon it, with some machines and windows."""
    redis = make_redis().start()
    servers = [make_server("--threads", "2", redis_url=redis.url).start() for _ in range(3)]
    for server in servers:
        with Api(server.port) as api:
            machines = [api.new_machine()["id"] for _ in range(10)]
            api.new_window(machines[0], duration_days=4)
            assert api.delete(f"/v1/machines/{machines[1]}").status == 204
    return redis, servers


def test_instances_that_agree(three):
    redis, servers = three
    result = verify(redis.url, *servers)
    assert result.returncode == 0, result
    participants, things = verdicts(result)
    assert participants == {"redis": "equal", **{admin_url(s): "equal" for s in servers}}, result
    assert things == [] and redis.password not in result.stdout + result.stderr, result
    sums = {line.split()[3] for line in result.stdout.splitlines()}
    assert sums == {status_of(servers[0])["checksum"]["total"]}, result


def test_instances_that_agree_while_others_write(three):
    redis, servers = three
    ended = threading.Event()

    def write(server):
        with Api(server.port) as api:
            machine = api.new_machine()["id"]
            while not ended.is_set():
                window = api.new_window(machine, duration_days=3)
                path = f"/v1/machines/{machine}/maintenance/{window['id']}"
                assert api.delete(path).status == 204

    writers = [threading.Thread(target=write, args=(server,)) for server in servers]
    for thread in writers:
        thread.start()
    try:
        for _ in range(3):
            result = verify(redis.url, *servers)
            assert result.returncode == 0, result
    finally:
        ended.set()
        for thread in writers:
            thread.join()


def test_orders_that_are_archived_are_no_difference(make_redis, make_server):
    redis = make_redis().start()
    servers = [make_server("--threads", "2", redis_url=redis.url,
                           env={"FLEETBIT_ORDERS_RECENT": recent}).start()
               for recent in ("0", "1000")]
    order = {"user_id": 42, "item_ids": [7], "total_amount": 12.5}
    client = redis.client()
    with Api(servers[0].port) as api:
        for _ in range(50):
            assert api.post("/v1/orders", order).status == 202
    eventually(lambda: client.bitcount("fb:{default}:order_ids") == 0)
    assert len(client.keys("fb:{default}:order:*")) == 50
    fresh = make_server(redis_url=redis.url).start()
    result = verify(redis.url, *servers, fresh)
    assert result.returncode == 0, result
    assert len(verdicts(result)[0]) == 4, result
    # Whoever brings one back behind the back makes a difference.
    client.setbit("fb:{default}:order_ids", 1, 1)
    result = verify(redis.url, *servers)
    assert result.returncode == DIFFERENT, result
    assert {(name, thing.split(":")[0]) for _, name, thing in verdicts(result)[1]} \
        == {("order_ids", "1")}, result


def test_a_row_and_a_day_that_were_changed_behind_the_back(three, make_server):
    redis, servers = three
    client = redis.client()
    client.hset("fb:{default}:machine:3", "label", "not by fleetbit")
    client.setbit(f"fb:{{default}}:maintenance:{day(1)}", 5, 1)
    fresh = make_server(redis_url=redis.url).start()
    result = verify(redis.url, *servers, fresh)
    assert result.returncode == DIFFERENT, result
    participants, things = verdicts(result)
    assert participants == {"redis": "different", admin_url(fresh): "different",
                            **{admin_url(s): "equal" for s in servers}}, result
    assert [(who, name, text.split(":")[0]) for who, name, text in things] == [
        ("redis", "machines", "3"), ("redis", "maintenance", day(1))], result
    assert "(3 machines), redis has" in things[1][2] and "(4 machines)" in things[1][2], result


def test_an_instance_that_holds_something_else(three, make_server):
    redis, servers = three
    client, key = redis.client(), "fb:{default}:machine:3"
    label = client.hget(key, "label")
    client.hset(key, "label", "not by fleetbit")
    wrong = make_server(redis_url=redis.url).start()
    client.hset(key, "label", label)
    result = verify(redis.url, *servers, wrong)
    assert result.returncode == DIFFERENT, result
    participants, things = verdicts(result)
    assert participants == {"redis": "equal", admin_url(wrong): "different",
                            **{admin_url(s): "equal" for s in servers}}, result
    assert [(who, name, text.split(":")[0]) for who, name, text in things] == [
        (admin_url(wrong), "machines", "3")], result


def test_a_row_is_set_right_by_a_put(three, make_server):
    redis, servers = three
    redis.client().hset("fb:{default}:machine:3", "label", "not by fleetbit")
    fresh = make_server(redis_url=redis.url).start()
    assert verify(redis.url, *servers, fresh).returncode == DIFFERENT
    with Api(servers[0].port) as api:
        assert api.put("/v1/machines/3", api.machine(3)).status == 200
    result = verify(redis.url, *servers, fresh)
    assert result.returncode == 0, result


def test_what_is_written_meanwhile_is_no_difference(three, make_server):
    redis, servers = three
    client, key = redis.client(), "fb:{default}:machine:3"
    label = client.hget(key, "label")
    client.hset(key, "label", "not by fleetbit")
    wrong = make_server(redis_url=redis.url).start()
    client.hset(key, "label", label)
    ended = threading.Event()

    def write(server):
        with Api(server.port) as api:
            while not ended.is_set():
                machine = api.new_machine()["id"]
                api.new_window(machine, duration_days=30)
                assert api.delete(f"/v1/machines/{machine}").status == 204

    writers = [threading.Thread(target=write, args=(server,)) for server in servers]
    for thread in writers:
        thread.start()
    try:
        for _ in range(3):
            result = verify(redis.url, servers[0], wrong)
            assert result.returncode == DIFFERENT, result
            participants, things = verdicts(result)
            assert participants == {"redis": "equal", admin_url(servers[0]): "equal",
                                    admin_url(wrong): "different"}, result
            assert [(name, text.split(":")[0]) for _, name, text in things] == [
                ("machines", "3")], result
    finally:
        ended.set()
        for thread in writers:
            thread.join()


def test_rows_and_ids_that_are_missing_on_one_side(three, make_server):
    redis, servers = three
    client = redis.client()
    client.delete("fb:{default}:machine:3")
    client.setbit("fb:{default}:machines", 3, 0)
    wrong = make_server(redis_url=redis.url).start()
    result = verify(redis.url, servers[0], wrong)
    assert result.returncode == DIFFERENT, result
    things = verdicts(result)[1]
    assert len(things) == 1 and things[0][:2] == ("redis", "machines"), result
    assert re.fullmatch(r"3: \S+ has [0-9a-f]{16}, redis has none", things[0][2]), result


def test_a_last_id_that_differs(three):
    redis, servers = three
    redis.client().hincrby("fb:{default}:head", "last_id:window", 5)
    result = verify(redis.url, servers[0])
    assert result.returncode == DIFFERENT, result
    assert verdicts(result) == ({"redis": "different", admin_url(servers[0]): "equal"}, [])
    assert "the last id" in result.stderr, result


def test_no_more_than_twenty_differences_of_a_kind_are_shown(make_redis, make_server):
    redis = make_redis().start()
    server = make_server(redis_url=redis.url).start()
    with Api(server.port) as api:
        for _ in range(30):
            api.new_machine()
    client = redis.client()
    for machine in range(1, 28):
        client.hset(f"fb:{{default}}:machine:{machine}", "label", "not by fleetbit")
    result = verify(redis.url, server)
    assert result.returncode == DIFFERENT, result
    things = verdicts(result)[1]
    assert [text.split(":")[0] for _, _, text in things[:-1]] == [str(n) for n in range(1, 21)]
    assert result.stdout.splitlines()[-1] == "different redis machines: 7 more", result


def test_instances_that_do_not_answer_or_are_none(three, make_server):
    redis, servers = three
    nobody = f"http://127.0.0.1:{free_port()}"
    public = f"http://127.0.0.1:{servers[1].port}"
    other = make_server("--fleet", "other", redis_url=redis.url).start()
    result = verify(redis.url, servers[0], nobody, public, other)
    assert result.returncode == UNREACHABLE, result
    participants = verdicts(result)[0]
    assert participants == {"redis": "equal", admin_url(servers[0]): "equal",
                            nobody: "unreachable", public: "unreachable",
                            admin_url(other): "unreachable"}, result
    assert nobody in result.stderr and "404" in result.stderr, result
    assert '"other"' in result.stderr, result
    redis.client().hset("fb:{default}:machine:3", "label", "not by fleetbit")
    assert verify(redis.url, servers[0], nobody).returncode == DIFFERENT


def test_an_instance_that_hangs(three):
    redis, servers = three
    servers[2].process.send_signal(signal.SIGSTOP)
    try:
        result = verify(redis.url, servers[0], servers[2])
    finally:
        servers[2].process.send_signal(signal.SIGCONT)
    assert result.returncode == UNREACHABLE, result
    assert verdicts(result)[0][admin_url(servers[2])] == "unreachable", result


class Wire:
    """A way to Redis that can be made to pass nothing on, without anybody noticing."""

    def __init__(self, port):
        self.target, self.passes = port, threading.Event()
        self.passes.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self.forward, args=pair, daemon=True).start()

    def forward(self, source, sink):
        with contextlib.suppress(OSError), source, sink:
            while some := source.recv(65536):
                self.passes.wait()
                sink.sendall(some)


def test_an_instance_that_does_not_follow(three, make_server):
    redis, servers = three
    wire = Wire(redis.port)
    behind = make_server(redis_url=redis.url.replace(f":{redis.port}/", f":{wire.port}/")).start()
    assert verify(redis.url, servers[0], behind).returncode == 0
    wire.passes.clear()
    try:
        before = status_of(behind)["revision"]
        with Api(servers[0].port) as api:
            api.new_machine()
        result = verify(redis.url, servers[0], behind)
    finally:
        wire.passes.set()
        wire.listener.close()
    assert result.returncode == DIFFERENT, result
    assert verdicts(result)[0] == {"redis": "equal", admin_url(servers[0]): "equal",
                                   admin_url(behind): "different"}, result
    assert f"does not come to revision {before + 1} of redis" in result.stdout, result


GOOD = {"fleet": "default", "epoch": "00000000", "revision": 0, "chain": "0" * 32,
        "checksum": {"total": "0" * 16, "families": {}, "planes": {}}}


@pytest.mark.parametrize("answer", [
    b"", b"null", b"[]", b"{}", b'{"fleet": 3}', {"fleet": "default"},
    {**GOOD, "epoch": "0"}, {**GOOD, "epoch": "0000000Z"}, {**GOOD, "chain": 7},
    {**GOOD, "revision": -1}, {**GOOD, "revision": "1"}, {**GOOD, "revision": 1.5},
    {**GOOD, "checksum": {}}, {**GOOD, "checksum": {**GOOD["checksum"], "total": "0x" + "0" * 14}},
    {**GOOD, "checksum": {**GOOD["checksum"], "families": []}},
    {**GOOD, "checksum": {**GOOD["checksum"], "families": {"machines": None}}},
    {**GOOD, "checksum": None, "fleet": "\x1b[2J"}, b"x" * (17 << 20),
], ids=lambda answer: str(answer)[:60])
def test_answers_that_no_fleetbit_gives(empty_redis, answer):
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    with Answering(body) as url:
        result = verify(empty_redis, url)
    assert result.returncode == UNREACHABLE, result
    assert verdicts(result)[0][url] == "unreachable", result
    assert "\x1b" not in result.stdout + result.stderr, result


@pytest.fixture(scope="module")
def empty_redis(tmp_path_factory):
    """The URL of a Redis with an empty fleet."""
    redis = Redis(tmp_path_factory.mktemp("r")).start()
    yield redis.url
    redis.stop()


class Answering:
    """An HTTP server that answers everything with the same bytes."""

    def __init__(self, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_redis_that_cannot_be_reached_or_used(make_server, tmp_path):
    result = verify(f"redis://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}")
    assert result.returncode == UNAVAILABLE and result.stderr, result
    nothing = run("verify", "--data", tmp_path / "nothing")
    assert nothing.returncode == USAGE and str(tmp_path) in nothing.stderr, nothing
    assert not (tmp_path / "nothing").exists()


def test_the_redis_of_its_own(server, api):
    api.new_machine()
    result = run("verify", "--instance", admin_url(server), "--data", server.data)
    assert result.returncode == 0, result
    assert verdicts(result)[0] == {"redis": "equal", admin_url(server): "equal"}, result


@pytest.mark.parametrize("flags,named", [
    (["--instance", "ftp://127.0.0.1:1"], "ftp://127.0.0.1:1"), (["--instance", ""], "--instance"),
    (["--listen", "127.0.0.1:0"], "serve"), (["--machines", "3"], "seed"),
    (["--instance", "http://a:1", "--instance", "http://a:1"], "http://a:1"),
    (["extra"], "extra"), (["--redis", "redis://a", "--data", "b"], "--data"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else value)
def test_wrong_flags_of_verify(flags, named):
    result = run("verify", *flags)
    assert result.returncode == USAGE and named in result.stderr, result


# --- fleetbit health ------------------------------------------------------------------------

def test_health_asks_a_server(server, make_server):
    assert run("health", f"http://127.0.0.1:{server.port}/readyz").returncode == 0
    assert run("health", f"{admin_url(server)}/livez").returncode == 0
    starting = make_server(redis_url=f"redis://127.0.0.1:{free_port()}").launch()
    ready = run("health", f"http://127.0.0.1:{starting.port}/readyz")
    assert ready.returncode == 1 and "being loaded" in ready.stderr, ready
    assert ready.stdout == "" and ready.stderr.count("\n") == 1, ready
    assert run("health", f"http://127.0.0.1:{starting.port}/livez").returncode == 0


def test_health_of_nobody(server):
    url = f"http://127.0.0.1:{free_port()}/readyz"
    gone = run("health", url)
    assert gone.returncode == 1 and url in gone.stderr, gone
    assert run("health", "nonsense://x").returncode == USAGE
    assert run("health", "http://127.0.0.1:1", "more").returncode == USAGE
    # What the environment says of proxies is not for a check of this very host.
    proxied = run("health", f"http://127.0.0.1:{server.port}/readyz",
                  env={"http_proxy": f"http://127.0.0.1:{free_port()}"})
    assert proxied.returncode == 0, proxied


def test_health_gives_up_in_time(server):
    server.process.send_signal(signal.SIGSTOP)
    try:
        # The threads stop one after the other.
        states = [Path(f"/proc/{server.pid}/task/{task}/stat")
                  for task in os.listdir(f"/proc/{server.pid}/task")]
        eventually(lambda: all(s.read_text().rpartition(")")[2].split()[0] == "T" for s in states))
        asked = run("health", f"http://127.0.0.1:{server.port}/readyz", seconds=5)
        assert asked.returncode == 1 and asked.stderr, asked
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_the_help_of_both():
    overview = run("--help").stdout
    assert "verify" in overview and "health" in overview and "6 verify cannot" in overview
    assert "--instance URL" in run("verify", "--help").stdout
    assert "http://127.0.0.1:8080/readyz" in run("health", "--help").stdout
