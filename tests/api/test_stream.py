# SPDX-License-Identifier: MIT
"""GET /v1/stream: every change, once, in order, from wherever a client was; see sse.py."""
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from api import Api, problem
from h2client import H2
from harness import day, eventually, in_threads, scale, unique
from sse import Block, Follower, Gone, Stream, expected, log_of, same, seen

PATH = "/v1/stream"
STATUS = {"status": "green", "updated_by": "a test"}
JOURNAL_EVENTS = 65536


def metric(server, name):
    with server.admin() as admin:
        text = admin.get("/metrics").body.decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def report(api, machine, **members):
    response = api.put(f"/v1/machines/{machine}/status", {**STATUS, **members})
    assert response.status == 200, response
    return response


def report_many(api, machines, **members):
    response = api.post("/v1/status", [{"machine_id": m, **STATUS, **members} for m in machines])
    assert response.status == 200, response
    return response


def token(response):
    return "{}.{}".format(*response.revision)


def after(name):
    return int(name.split(".")[1])


def write_some(api):
    """Changes of all kinds, some of several events: their events in all."""
    machines = [api.new_machine()["id"] for _ in range(3)]
    for machine in machines:
        api.new_window(machine, start_date=day(1), end_date=day(3))
        api.new_window(machine, start_date=day(5), end_date=day(6))
    report(api, machines[0], note="one\ntwo: three")
    report_many(api, machines + machines[:1])
    assert api.patch(f"/v1/machines/{machines[1]}", {"label": "näu \"x\""}).status == 200
    assert api.delete(f"/v1/machines/{machines[0]}").status == 204
    return 3 + 6 + 1 + 4 + 1 + 4


@pytest.fixture
def own(make_server):
    return make_server("--threads", "2").start()


# --- what is sent --------------------------------------------------------------------------------


def test_the_beginning_says_when_and_where_to_come_back(server, api):
    response = api.get("/v1/machines?limit=1")
    with Stream(server.port) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["x-request-id"]
        first = stream.begin()
        assert first.id == stream.headers["fleetbit-revision"]
        assert int(first.id.split(".")[1]) >= response.revision[1]
        assert stream.is_silent()


def test_what_comes_is_behind_the_id_of_the_beginning(own):
    """A stream may begin when the loop has a snapshot that its streams have not looked at yet: what
    the beginning named, or what the client resumed with, must not be sent again."""
    stop = threading.Event()

    def write():
        with Api(own.port) as api:
            machine = api.new_machine()["id"]
            while not stop.is_set():
                report(api, machine)

    def begin():
        try:
            for _ in range(scale(1000, 200)):
                with Stream(own.port, f"{PATH}?topics=status") as stream:
                    first = stream.begin().id
                    assert after(stream.event().id) > after(first)
        finally:
            stop.set()

    in_threads([write, write, begin])


def test_retry_is_spread(server):
    seen_times = set()
    for _ in range(20):
        with Stream(server.port) as stream:
            seen_times.add(stream.begin().retry)
    assert len(seen_times) > 10


def test_events_are_what_a_read_shows(server, api):
    with Stream(server.port) as stream:
        stream.begin()
        machine = api.new_machine(description='a "quoted"\nline')
        event = stream.event()
        assert (event.event, event.json) == ("machine", machine)
        assert event.id == token(api.get(f"/v1/machines/{machine['id']}"))
        window = api.new_window(machine["id"], start_date=day(0), end_date=day(2))
        event = stream.event()
        assert event.event == "maintenance" and event.json["id"] == window["id"]
        response = report(api, machine["id"], note="a\r\nb")
        event = stream.event()
        assert event.event == "status" and event.json == response.json()
        assert event.json["machine_id"] == machine["id"] and event.id == token(response)


def test_all_events_come_once_in_order(own):
    with Api(own.port) as api, Stream(own.port) as stream:
        stream.begin()
        count = write_some(api)
        with own.redis() as client:
            wanted = expected(client)
        assert len(wanted) == count
        assert same(stream.events(count), wanted)
        assert stream.is_silent()


@pytest.mark.parametrize("topics", ["machine", "status", "maintenance,machine", "status,status"])
def test_topics_are_a_filter(own, topics):
    with Api(own.port) as api, Stream(own.port, f"{PATH}?topics={topics}") as stream:
        stream.begin()
        write_some(api)
        with own.redis() as client:
            wanted = expected(client, topics.split(","))
        assert same(stream.events(len(wanted)), wanted)
        assert stream.is_silent()


def test_no_topics_are_all_topics(server, api):
    with Stream(server.port, f"{PATH}?topics=") as stream:
        stream.begin()
        assert stream.is_silent(0.1)
        api.new_machine()
        assert stream.event().event == "machine"


def test_head_is_the_header_alone(server, api):
    response = api.request("HEAD", PATH)
    assert response.status == 200 and response.headers["content-type"] == "text/event-stream"
    assert api.request("GET", "/livez").status == 200  # on the same connection


def test_http2(own):
    with Api(own.port) as api, H2(own.port) as h2:
        streams = [h2.begin("GET", f"{PATH}?topics={topics}") for topics in ("machine", "status")]
        stalled = h2.begin("GET", PATH)
        h2.streams[stalled]["stalled"] = True
        plain = h2.request("GET", "/v1/machines")
        assert plain.status == 200
        count = write_some(api)
        with own.redis() as client:
            for stream, topic in zip(streams, ("machine", "status")):
                wanted = expected(client, [topic])
                blocks = []
                while len(blocks) < len(wanted):
                    blocks = [Block(t.decode())
                              for t in h2.streams[stream]["body"].split(b"\n\n")[:-1]]
                    blocks = [b for b in blocks if b.data is not None]
                    if len(blocks) < len(wanted):
                        h2.pump()
                assert same(blocks, wanted) and count
        assert dict(h2.streams[streams[0]]["pairs"])["content-type"] == "text/event-stream"


def test_an_upgrade_to_http2(server, api):
    with H2(server.port, upgrade=f"{PATH}?topics=machine") as h2:
        machine = api.new_machine()
        while f'"id":{machine["id"]},'.encode() not in h2.streams[1]["body"]:
            h2.pump()


def test_what_is_sent_behind_the_request_is_not_taken_for_another(server, api):
    with Stream(server.port, f"{PATH}?topics=machine") as stream:
        stream.begin()
        stream.send("GET", "/v1/machines")
        machine = api.new_machine()
        assert stream.event().json["id"] == machine["id"]


def test_http_1_0_has_no_chunks(server, api):
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(20)
        client.sendall(b"GET /v1/stream?topics=machine HTTP/1.0\r\nHost: x\r\n\r\n")
        received = b""
        while b"retry: " not in received:
            received += client.recv(65536)
        machine = api.new_machine()
        while f'"id":{machine["id"]},'.encode() not in received:
            received += client.recv(65536)
        assert b"chunked" not in received.lower()


def test_curl_follows(server, api):
    with subprocess.Popen(["curl", "-sN", f"http://127.0.0.1:{server.port}{PATH}?topics=machine"],
                          stdout=subprocess.PIPE) as curl:
        assert curl.stdout.readline().startswith(b"retry: ")
        machine = api.new_machine()
        lines = [curl.stdout.readline().decode() for _ in range(5)]
        curl.terminate()
    assert lines[2] == "event: machine\n" and json.loads(lines[3][6:]) == machine


# --- going on ------------------------------------------------------------------------------------


def check_resume(port, wanted, epoch, ids):
    """From every place on, all that follows comes, and no more."""
    for at, name in enumerate(ids):
        with Stream(port, last=f"{epoch}.{name}") as stream:
            assert stream.begin().id == f"{epoch}.{name}"
            assert same(stream.events(len(wanted) - at), wanted[at:])
            assert stream.is_silent(0.02)


def test_resume_is_exact_at_every_place(own):
    with Api(own.port) as api:
        start = api.get("/v1/machines").revision
        write_some(api)
    with own.redis() as client:
        wanted = expected(client)
    ids = [str(start[1])] + [w[0] for w in wanted]
    check_resume(own.port, wanted, start[0], ids)


def test_resume_after_a_restart_is_exact_at_every_place(own):
    """Then the journal is empty, and it comes from the log."""
    with Api(own.port) as api:
        start = api.get("/v1/machines").revision
        write_some(api)
    own.stop()
    own.start()
    with own.redis() as client:
        wanted = expected(client)
    ids = [str(start[1])] + [w[0] for w in wanted]
    check_resume(own.port, wanted, start[0], ids)
    assert metric(own, "fleetbit_stream_catch_ups_total") == len(wanted)
    assert metric(own, "fleetbit_stream_resyncs_total") == 0


def test_what_the_log_gives_is_what_the_journal_gave(own):
    with Api(own.port) as api, Stream(own.port) as stream:
        start = stream.begin().id
        count = write_some(api)
        live = [(e.id, e.event, e.data) for e in stream.events(count)]
    own.kill()
    own.start()
    with Stream(own.port, last=start) as stream:
        stream.begin()
        assert [(e.id, e.event, e.data) for e in stream.events(count)][-8:] == live[-8:]


def test_the_header_wins_over_the_query(server, api):
    before = token(api.get("/v1/machines?limit=1"))
    machine = api.new_machine()
    after = token(api.get("/v1/machines?limit=1"))
    with Stream(server.port, f"{PATH}?topics=machine&last_event_id={before}") as stream:
        assert stream.begin().id == before
        assert stream.event().json["id"] == machine["id"]
    with Stream(server.port, f"{PATH}?topics=machine&last_event_id={before}", last=after) as stream:
        assert stream.begin().id == after
        assert stream.is_silent()


def test_an_empty_id_is_none(server):
    with Stream(server.port, f"{PATH}?last_event_id=", last="") as stream:
        assert stream.begin().id == stream.headers["fleetbit-revision"]
        assert stream.is_silent()


def test_resume_from_beyond_the_journal(own):
    """The journal forgets the first of these; the log has them all."""
    with Api(own.port) as api:
        machines = [api.new_machine()["id"] for _ in range(1000)]
        start = token(api.get("/v1/machines?limit=1"))
        for number in range(JOURNAL_EVENTS // 1000 + 4):
            report_many(api, machines, note=str(number))
        with Stream(own.port, f"{PATH}?topics=status", last=start) as stream:
            stream.begin()
            last = api.patch(f"/v1/machines/{machines[0]}", {"label": "x"})
            wanted = expected(log_of(own), ["status"])
            assert len(wanted) > JOURNAL_EVENTS
            assert same(stream.events(len(wanted)), wanted)
            assert last.status == 200
    assert metric(own, "fleetbit_stream_catch_ups_total") == 1
    assert metric(own, "fleetbit_stream_conflated_total") == 0


def test_large_entries_of_the_log_are_read_once(own):
    """However many events an entry has, a page of the log is not much more than is kept of it."""
    def sent(client):
        return client.info("stats")["total_net_output_bytes"]

    with Api(own.port) as api:
        machines = [api.new_machine()["id"] for _ in range(200)] * 5
        start = token(api.get("/v1/machines?limit=1"))
        for number in range(30):
            report_many(api, machines, note=str(number))
    own.stop()
    own.start()
    client = own.redis()
    wanted = expected(log_of(own), ["status"], after=after(start))
    before = sent(client)
    with Stream(own.port, f"{PATH}?topics=status", last=start) as stream:
        stream.begin()
        found = stream.events(len(wanted))
    assert sent(client) - before < 3 * sum(len(event.data) for event in found)
    assert same(found, wanted)


# --- what cannot be gone on with -----------------------------------------------------------------


def check_resync(stream, reason, seconds=20):
    stream.begin()
    event = stream.event(seconds)
    assert event.event == "resync" and event.json == {"reason": reason}, event
    assert event.id == stream.last
    return event.id


def test_a_trimmed_log_is_one_resync(make_server):
    server = make_server(env={"FLEETBIT_LOG_LENGTH": "10"}).start()
    with Api(server.port) as api:
        machine = api.new_machine()["id"]
        start = token(api.get("/v1/machines"))
        for _ in range(300):
            report(api, machine)
    server.stop()
    server.start()
    with Api(server.port) as api:
        with Stream(server.port, last=start) as stream:
            now = check_resync(stream, "trimmed")
            assert now == token(api.get("/v1/machines"))
            assert stream.is_silent()
            report(api, machine)
            assert stream.event().event == "status"
    assert metric(server, "fleetbit_stream_resyncs_total") == 1


def test_a_future_revision_is_one_resync(server, api):
    epoch, revision = api.get("/v1/machines?limit=1").revision
    with Stream(server.port, last=f"{epoch}.{revision + 1000000}") as stream:
        began = time.monotonic()
        check_resync(stream, "ahead")
        assert 0.5 < time.monotonic() - began < 5
        machine = api.new_machine()
        assert stream.event().json["id"] == machine["id"]


@pytest.mark.parametrize("rest", ["0", "1", "99999999", "1.1"])
def test_a_token_of_nobody_is_one_resync(server, api, rest):
    epoch = api.get("/v1/machines?limit=1").revision[0]
    other = "00000000" if epoch != "00000000" else "00000001"
    with Stream(server.port, last=f"{other}.{rest}") as stream:
        check_resync(stream, "other-epoch")
        assert stream.is_silent()


def test_a_place_that_there_is_not_is_the_end_of_its_revision(server, api):
    first = api.new_machine()
    revision = token(api.get(f"/v1/machines/{first['id']}"))
    second = api.new_machine()
    with Stream(server.port, last=f"{revision}.99") as stream:
        stream.begin()
        assert stream.event().json["id"] == second["id"]


@pytest.mark.parametrize("bad", [
    "x", "1", "12345678", "12345678.", "12345678.-1", "12345678.1.", "12345678.1.0", "1234567g.1",
    "12345678.1.2.3", "12345678.99999999999999999999", "12345678.1.4294967295", "12345678 1",
    "ABCDEF00.1", "12345678.0.1", "12345678.01", "a" * 60])
def test_a_malformed_id_is_refused(server, api, bad):
    problem(api.get(PATH, {"Last-Event-ID": bad}), 400, "Last-Event-ID")
    target = f"{PATH}?last_event_id={bad.replace(' ', '%20')}"
    problem(api.get(target), 400, "last_event_id")


@pytest.mark.parametrize("bad", ["foo", "machine,foo", "machine,", ",machine", "Machine", ","])
def test_an_unknown_topic_is_named(server, api, bad):
    document = problem(api.get(f"{PATH}?topics={bad}"), 422, "topics")
    assert "machine, maintenance, status" in document["detail"]
    if "foo" in bad:
        assert '"foo"' in document["detail"]


def test_other_methods_and_parameters_are_refused(server, api):
    problem(api.post(PATH, {}), 405)
    problem(api.get(f"{PATH}?topic=machine"), 400, "topic")


# --- bounds --------------------------------------------------------------------------------------


def test_there_is_a_limit_of_streams(make_server):
    server = make_server(env={"FLEETBIT_LIMITS_STREAMS": "3"}).start()
    with Api(server.port) as api:
        streams = [Stream(server.port) for _ in range(3)]
        for stream in streams:
            stream.begin()
        problem(api.get(PATH), 503)
        assert metric(server, "fleetbit_stream_clients") == 3
        with server.admin() as admin:
            assert admin.get("/status.json").json()["clients"]["streams"] == 3
        streams[0].close()
        api.new_machine()  # which finds that it is gone
        eventually(lambda: metric(server, "fleetbit_stream_clients") == 2)
        with Stream(server.port) as stream:
            stream.begin()


def test_heartbeats_bring_the_id_along(server, api):
    with Stream(server.port, f"{PATH}?topics=maintenance") as stream:
        stream.begin()
        for _ in range(2):
            api.new_machine()
            revision = token(api.get("/v1/machines?limit=1"))
            began = time.monotonic()
            beat = stream.block(15)
            assert beat.comment and beat.data is None
            assert beat.id == revision
            assert time.monotonic() - began < 13


def test_a_client_that_leaves_is_found(own):
    with Stream(own.port) as stream:
        stream.begin()
    eventually(lambda: metric(own, "fleetbit_stream_clients") == 0, 25)


def overwhelm(api, machines, streams, batches):
    """Writes more than a client that does not read can be sent, while others read."""
    for number in range(batches):
        report_many(api, machines, note=f"{number} " + "x" * 900)
        for stream in streams:
            stream.events(len(machines))


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_who_does_not_read_is_conflated_and_slows_nobody(own, protocol):
    with Api(own.port) as api:
        machines = [api.new_machine()["id"] for _ in range(200)]
        target = f"{PATH}?topics=status"
        others = [Stream(own.port, target) for _ in range(5)]
        for other in others:
            other.begin()
        if protocol == "HTTP/2":
            h2 = H2(own.port)
            stalled = h2.begin("GET", target)
            while b"\n\n" not in h2.streams[stalled]["body"]:
                h2.pump()
            h2.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        else:
            stalled = Stream(own.port, target, buffer=16384)
            stalled.begin()
        overwhelm(api, machines, others, 40)
        last = [f"39 {'x' * 900}"] * len(machines)
        blocks = []
        if protocol == "HTTP/2":
            with h2:
                while h2.streams[stalled]["body"].count(last[0].encode()) < len(machines):
                    h2.pump()
                texts = h2.streams[stalled]["body"].split(b"\n\n")[1:-1]
                blocks = [b for b in (Block(t.decode()) for t in texts) if b.data is not None]
        else:
            while sum(b.event == "status" and b.json["note"] == last[0]
                      for b in blocks[-300:]) < len(machines):
                blocks.append(stalled.event())
            stalled.close()
        told = sum(b.json["dropped"] for b in blocks if b.event == "conflated")
        got = [b for b in blocks if b.event == "status"]
        assert told > 0 and told + len(got) == 40 * len(machines)
        assert metric(own, "fleetbit_stream_conflated_total") == told
        newest = {b.json["machine_id"]: b.json["note"] for b in got}
        assert newest == dict(zip(machines, last))
        order = [tuple(int(n) for n in b.id.split(".")[1:]) + (1 << 40,) for b in got]
        assert [o[:2] for o in order] == sorted(o[:2] for o in order)
        for other in others:
            other.close()


def test_who_never_reads_is_ended_and_who_reads_slowly_is_not(make_server):
    server = make_server(env={"FLEETBIT_LIMITS_STALL_TIMEOUT": "2s"}).start()
    with Api(server.port) as api:
        machines = [api.new_machine()["id"] for _ in range(500)]
        quiet = Stream(server.port, f"{PATH}?topics=maintenance")
        quiet.begin()
        stalled = Stream(server.port, buffer=8192)
        stalled.begin()
        for number in range(10):
            report_many(api, machines, note=f"{number} " + "x" * 900)
        eventually(lambda: metric(server, "fleetbit_slow_readers_total") == 1, 30)
        eventually(lambda: metric(server, "fleetbit_stream_clients") == 1)
        api.new_window(machines[0], start_date=day(0), end_date=day(0))
        assert quiet.event().event == "maintenance"
        quiet.close()
        stalled.close()


# --- the end -------------------------------------------------------------------------------------


def test_sigterm_ends_streams_cleanly(own):
    streams = [Stream(own.port) for _ in range(20)]
    h2 = H2(own.port)
    number = h2.begin("GET", PATH)
    for stream in streams:
        stream.begin()
    began = time.monotonic()
    own.stop()
    assert time.monotonic() - began < scale(5, 15)
    for stream in streams:
        with pytest.raises(Gone) as gone:
            while True:
                stream.block()
        assert gone.value.cleanly
    assert h2.finish(number).status == 200
    h2.close()


def test_a_stalled_stream_does_not_hold_up_the_end(own):
    with Api(own.port) as api:
        machines = [api.new_machine()["id"] for _ in range(500)]
        with Stream(own.port, buffer=8192) as stalled:
            stalled.begin()
            for number in range(10):
                report_many(api, machines, note=f"{number} " + "x" * 900)
            api.close()
            began = time.monotonic()
            own.stop()
            assert time.monotonic() - began < scale(7, 20)


def test_streams_that_come_while_it_leaves_are_sent_elsewhere(make_server):
    server = make_server(env={"FLEETBIT_LIMITS_LAME_DUCK": "2s"}).start()
    with Api(server.port) as api:
        now = token(api.get("/v1/machines"))
        with Stream(server.port) as stream:
            stream.begin()
            os.kill(server.pid, signal.SIGTERM)
            with pytest.raises(Gone) as gone:
                stream.event()
            assert gone.value.cleanly
        response = api.get(PATH, {"Last-Event-ID": now})
        assert response.status == 200
        block = Block(response.body.decode()[:-2])
        assert block.id == now and int(block.retry) >= 2000


# --- through everything --------------------------------------------------------------------------


def followed(follower, wanted, seconds=30):
    def is_there():
        assert follower.broken is None, follower.broken
        return len(follower.events) >= len(wanted)

    eventually(is_there, seconds)
    return same(follower.events, wanted)


def test_a_client_follows_through_restarts(own):
    follower = Follower(lambda: [own.port])
    start = int(follower.last.split(".")[1])
    for end in (own.stop, own.kill, own.stop):
        opened = follower.opened
        with Api(own.port) as api:
            write_some(api)
        end()
        own.start()
        eventually(lambda: follower.opened > opened)
    with Api(own.port) as api:
        write_some(api)
    with own.redis() as client:
        wanted = expected(client, after=start)
    assert followed(follower, wanted)
    follower.stop()
    assert follower.opened >= 4


def test_a_client_follows_through_instances_and_a_restart_of_redis(make_server, make_redis):
    store = make_redis().start()
    servers = [make_server("--threads", "2", redis_url=store.url).start() for _ in range(2)]
    follower = Follower(lambda: [s.port for s in servers if s.process is not None])
    start = int(follower.last.split(".")[1])
    for step in range(6):
        opened = follower.opened
        with Api(servers[step % 2].port) as api:
            write_some(api)
        if step == 2:
            store.stop()
            store.start()
            for server in servers:
                eventually(lambda: metric(server, "fleetbit_redis_up") == 1)
            continue
        follower.cut()
        eventually(lambda: follower.opened > opened)  # at the other one
    with store.client() as client:
        wanted = expected(client, after=start)
    assert followed(follower, wanted)
    follower.stop()
    assert follower.opened >= 6


def test_followers_that_are_cut_at_random_miss_nothing_while_all_is_busy(make_server):
    seed = int(os.environ.get("FB_SEED", time.time_ns() % 2 ** 32))
    print(f"FB_SEED={seed}")
    chance = random.Random(seed)
    server = make_server("--threads", "2").start()
    topics = ["", "?topics=machine", "?topics=status", "?topics=maintenance,status"]
    followers = [Follower(lambda: [server.port], PATH + topics[i % 4]) for i in range(12)]
    until = time.monotonic() + scale(8, 15)
    with Api(server.port) as api:
        machines = [api.new_machine()["id"] for _ in range(50)]
        while time.monotonic() < until:
            size = chance.choice([1, 2, 3, 100])
            report_many(api, [chance.choice(machines) for _ in range(size)],
                        note="x" * chance.randrange(1, 300))
            time.sleep(scale(0.02, 0.1))  # or these clients, which share a core, are too slow
            for _ in range(chance.randrange(3)):
                api.new_window(chance.choice(machines), start_date=day(1), end_date=day(2))
            if chance.random() < 0.2:
                chance.choice(followers).cut()
            if chance.random() < 0.1:
                gone = machines.pop(chance.randrange(len(machines)))
                assert api.delete(f"/v1/machines/{gone}").status == 204
                machines.append(api.new_machine()["id"])
    with server.redis() as client:
        for number, follower in enumerate(followers):
            wanted = expected(client, topics[number % 4][8:].split(",") if number % 4 else None)
            assert not any(e.event == "conflated" for e in follower.events), "it was too slow"
            assert followed(follower, wanted, scale(60, 120))
            follower.stop()


def test_who_falls_out_of_the_journal_catches_up_from_the_log(own):
    """It does not read until the journal has forgotten what it has not had."""
    with Api(own.port) as api:
        machines = [api.new_machine()["id"] for _ in range(1000)]
        with Stream(own.port, f"{PATH}?topics=status", buffer=16384) as stream:
            stream.begin()
            for number in range(JOURNAL_EVENTS // 1000 + 4):
                report_many(api, machines, note=str(number))
            with own.redis() as client:
                wanted = expected(client, ["status"])
            blocks = []
            while not blocks or blocks[-1].id.split(".", 1)[1] != wanted[-1][0]:
                blocks.append(stream.event())
    dropped = sum(b.json["dropped"] for b in blocks if b.event == "conflated")
    got = [b for b in blocks if b.event == "status"]
    assert len(got) + dropped == len(wanted) and metric(own, "fleetbit_stream_catch_ups_total") == 1
    newest = {b.json["machine_id"]: b.json["note"] for b in got}
    assert newest == {m: str(JOURNAL_EVENTS // 1000 + 3) for m in machines}


def test_the_access_log_has_a_line_at_the_end(make_server, tmp_path):
    path = tmp_path / "access"
    server = make_server("--access-log", path).start()
    with Api(server.port) as api, Stream(server.port, f"{PATH}?topics=machine") as stream:
        stream.begin()
        api.new_machine()
        stream.event()
        time.sleep(0.5)
        stream.close()
        api.new_machine()
    def line():
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        return [found for found in lines if found["route"] == PATH]
    found = eventually(line, 20)[0]
    assert found["status"] == 200 and found["duration_us"] >= 500000
    assert found["target"] == f"{PATH}?topics=machine" and found["body_bytes"] > 200
    assert found["request_id"] == stream.headers["x-request-id"]
