# SPDX-License-Identifier: MIT
"""The access log: a line of JSON for each answer, or a count of what it lacks."""
import json
import os
import re
import signal
import subprocess
import threading
import time
from datetime import datetime, timezone

import pytest

from api import Api
from h2client import H2
from harness import BINARY, Server, environment, eventually, is_alive, unique
from prometheus import Metrics

MEMBERS = ["time", "request_id", "client", "protocol", "method", "target", "route", "status",
           "body_bytes", "duration_us"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
PIPE_BYTES = 65536


def parse(content):
    assert content == b"" or content.endswith(b"\n"), content[-200:]
    return [json.loads(line) for line in content.decode("ascii").splitlines()]


def lines_of(path):
    return parse(path.read_bytes())


def line_of(path, request_id):
    """The line of a request, which is there soon."""
    found = eventually(lambda: [line for line in lines_of(path)
                                if line.get("request_id") == request_id])
    assert len(found) == 1, found
    return found[0]


def scrape(server):
    with server.admin() as admin:
        metrics = Metrics(admin.get("/metrics").body.decode())
    return (metrics.value("fleetbit_access_log_lines_total"),
            metrics.value("fleetbit_access_log_dropped_total"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access.log"


@pytest.fixture
def own(make_server, path):
    return make_server("--threads", "2", "--access-log", path).start()


class Piped(Server):
    """Its access log goes to its stdout, a pipe, so it says on stderr where it listens."""

    def launch(self):
        self.starts += 1
        self.reader, writer = os.pipe()
        with open(self.error_path, "ab") as err:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                            stdout=writer, stderr=err,
                                            env=environment(self.env))
        os.close(writer)
        Server.alive.append(self)
        match = eventually(lambda: re.search(
            r"(?s)listening on http://127\.0\.0\.1:(\d+)\".*admin on http://127\.0\.0\.1:(\d+)\"",
            self.errors()))
        self.port, self.admin_port = int(match.group(1)), int(match.group(2))
        return self


@pytest.fixture
def piped(tmp_path_factory):
    server = Piped(tmp_path_factory.mktemp("piped"), "--threads", "1", "--access-log", "-")
    yield server.start()
    server.stop()
    os.close(server.reader)


def test_each_answer_has_a_line_that_says_what_it_was(own, path):
    with Api(own.port) as api:
        machine = api.new_machine()
        target = f"/v1/machines/{machine['id']}"
        tag = api.get(target).headers["etag"]
        answers = [
            ("GET", target, None, {}, "/v1/machines/{id}"),
            ("HEAD", target, None, {}, "/v1/machines/{id}"),
            ("GET", target, None, {"If-None-Match": tag}, "/v1/machines/{id}"),
            ("GET", "/v1/availability?limit=1&type=crane", None, {}, "/v1/availability"),
            ("PATCH", target, {"label": "x"}, {}, "/v1/machines/{id}"),
            ("POST", "/v1/machines", {"label": "x"}, {}, "/v1/machines"),
            ("POST", "/v1/machines", b"{", {}, "/v1/machines"),
            ("GET", "/v1/machines/4000000000", None, {}, "/v1/machines/{id}"),
            ("GET", "/nowhere?a=%22b%22", None, {}, None),
            ("OPTIONS", "/v1/machines", None, {}, None),
            ("BREW", "/v1/machines", None, {}, None),
            ("GET", "/livez", None, {}, None),
            ("GET", "/v1/machines?" + "x" * 9000, None, {}, None),
            ("DELETE", target, None, {}, "/v1/machines/{id}"),
        ]
        for number, (method, target, body, headers, route) in enumerate(answers):
            before = datetime.now(timezone.utc).timestamp()
            request_id = f"mine-{number}"
            answer = api.request(method, target, body, {"X-Request-Id": request_id, **headers})
            line = line_of(path, request_id)
            assert [name for name in line if name != "target_bytes"] == MEMBERS, line
            assert TIME.fullmatch(line["time"]), line
            moment = datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
            assert before - 0.1 < moment < time.time() + 0.1, line
            assert line["client"] == f"127.0.0.1:{api.local_port}", line
            assert (line["protocol"], line["method"]) == ("HTTP/1.1", method), line
            assert line["target"] == target[:1024], line
            assert line.get("target_bytes", len(target)) == len(target), line
            assert (line["route"], line["status"]) == (route, answer.status), line
            assert line["body_bytes"] == len(answer.body), line
            assert 0 <= line["duration_us"] < 30e6, line
    statuses = {line["status"] for line in lines_of(path)}
    assert statuses >= {200, 201, 204, 304, 400, 404, 405, 414, 422}, statuses


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_valid_traceparent_is_in_the_line_and_goes_no_further(own, path):
    with Api(own.port) as api:
        for number, (headers, expected) in enumerate([
                ([("Traceparent", TRACEPARENT)], TRACEPARENT),
                ([("traceparent", TRACEPARENT.upper())], None),
                ([("traceparent", "00-" + "0" * 32 + TRACEPARENT[35:])], None),
                ([("traceparent", TRACEPARENT)] * 2, None),
                ([], None)]):
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            api.send_raw(f"GET /v1/machines HTTP/1.1\r\nHost: a\r\nX-Request-Id: trace-{number}\r\n"
                         f"{lines}\r\n".encode())
            answer = api.receive()
            assert answer.status == 200 and "traceparent" not in answer.headers
            line = line_of(path, f"trace-{number}")
            assert line.get("traceparent") == expected, line
            assert list(line) == MEMBERS + (["traceparent"] if expected else []), line
    with H2(own.port) as client:
        stream = client.begin("GET", "/v1/machines", None,
                              {"x-request-id": "trace-h2", "traceparent": TRACEPARENT})
        assert client.finish(stream).status == 200
    assert line_of(path, "trace-h2")["traceparent"] == TRACEPARENT
    with Api(own.port) as api:
        api.send("GET", "/v1/stream", None,
                 {"X-Request-Id": "trace-stream", "traceparent": TRACEPARENT})
        time.sleep(0.2)
    assert line_of(path, "trace-stream")["traceparent"] == TRACEPARENT


def test_bytes_that_are_no_text_can_be_had_back(own, path):
    target = b'/v1/m\xffach\xc3\xa9ines/"\\?a=\xf0\x9f\x9a\x9c'
    with Api(own.port) as api:
        api.send_raw(b"GET " + target + b' HTTP/1.1\r\nHost: a\r\nX-Request-Id: id"\\\r\n\r\n')
        status = api.receive().status
    line = line_of(path, 'id"\\')
    assert line["target"].encode("latin-1") == target
    assert line["status"] == status


def test_http2_and_http1_0_are_named(own, path):
    with H2(own.port) as client:
        streams = [client.begin("GET", f"/v1/availability?limit={i + 1}", None,
                                {"x-request-id": f"stream-{i}"}) for i in range(20)]
        answers = [client.finish(stream) for stream in streams]
        port = client.socket.getsockname()[1]
    for i, answer in enumerate(answers):
        line = line_of(path, f"stream-{i}")
        assert line["protocol"] == "HTTP/2" and line["client"] == f"127.0.0.1:{port}", line
        assert line["target"] == f"/v1/availability?limit={i + 1}", line
        assert (line["status"], line["body_bytes"]) == (answer.status, len(answer.body)), line
    with Api(own.port) as api:
        api.send_raw(b"GET /livez HTTP/1.0\r\nX-Request-Id: old\r\n\r\n")
        assert line_of(path, "old")["protocol"] == "HTTP/1.0"


def test_the_id_that_was_made_is_that_of_the_answer(own, path):
    with Api(own.port) as api:
        answer = api.get("/v1/availability")
    assert line_of(path, answer.headers["x-request-id"])["status"] == answer.status


def test_operators_have_lines_and_counts(own, path):
    with own.admin() as admin:
        answer = admin.get("/status.json", {"X-Request-Id": "operator"})
    assert line_of(path, "operator")["body_bytes"] == len(answer.body)
    lines, dropped = scrape(own)
    assert lines >= 1 and dropped == 0
    eventually(lambda: scrape(own)[0] <= len(lines_of(path)))


def test_all_lines_are_there_at_the_end(own, path):
    before = len(lines_of(path))
    with Api(own.port) as api:
        for i in range(500):
            api.get("/v1/availability", {"X-Request-Id": f"r-{i}"})
    own.stop()
    lines = lines_of(path)[before:]
    assert [line["request_id"] for line in lines if line["request_id"].startswith("r-")] == \
        [f"r-{i}" for i in range(500)]
    own.start()
    with Api(own.port) as api:
        api.get("/v1/availability", {"X-Request-Id": "appended"})
    line_of(path, "appended")
    line_of(path, "r-0")


def test_logrotate_loses_no_line(own, path):
    sent, over = [], threading.Event()

    def ask(thread):
        with Api(own.port) as api:
            number = 0
            while not over.is_set():
                sent.append(f"t{thread}-{number}")
                api.get("/v1/availability?limit=1", {"X-Request-Id": sent[-1]})
                number += 1

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    olds = []
    for i in range(5):
        olds.append(path.with_suffix(f".{i}"))
        path.rename(olds[-1])
        own.process.send_signal(signal.SIGHUP)
        eventually(path.exists)
        time.sleep(0.2)
    over.set()
    for thread in threads:
        thread.join()
    own.stop()
    lines = [line["request_id"] for file in [*olds, path] for line in lines_of(file)]
    assert sorted(line for line in lines if re.fullmatch(r"t\d-\d+", line)) == sorted(sent)
    assert all(file.stat().st_size > 0 for file in olds)


def test_a_path_that_cannot_be_opened_again_is_no_end(own, path):
    path.rename(path.with_suffix(".old"))
    path.mkdir()
    own.process.send_signal(signal.SIGHUP)
    eventually(lambda: "Is a directory" in own.errors())
    with Api(own.port) as api:
        api.get("/v1/availability", {"X-Request-Id": "still"})
    line_of(path.with_suffix(".old"), "still")


@pytest.mark.parametrize("flags", [[], ["--access-log", "-"]], ids=["none", "stdout"])
def test_without_a_file_sighup_ends_it_as_sigterm_does(make_server, tmp_path_factory, flags):
    server = (Piped(tmp_path_factory.mktemp("h"), *flags) if flags else make_server()).start()
    redis_pid = server.redis_pid
    server.process.send_signal(signal.SIGHUP)
    assert server.process.wait(20) == 0
    server._ended()
    eventually(lambda: not is_alive(redis_pid))


@pytest.mark.parametrize("place", ["/nowhere/access.log", "/"])
def test_a_path_that_cannot_be_opened_is_refused_at_the_start(tmp_path, place):
    result = subprocess.run(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--admin", "off", "--data",
         tmp_path / "data", "--access-log", place], capture_output=True, text=True,
        env=environment(), timeout=30, stdin=subprocess.DEVNULL, check=False)
    assert result.returncode == 2, result
    assert f"log.access: {place} cannot be opened" in result.stderr
    assert not (tmp_path / "data").exists()


def test_stdout_has_lines_of_json_alone(piped):
    with Api(piped.port) as api:
        for i in range(10):
            api.get("/v1/availability", {"X-Request-Id": f"out-{i}"})
    piped.stop()
    content = b""
    while more := os.read(piped.reader, PIPE_BYTES):
        content += more
    ids = [line["request_id"] for line in parse(content)]
    assert [name for name in ids if name.startswith("out-")] == [f"out-{i}" for i in range(10)]


def flood(server, requests=6000):
    """More than ring, pipe and what is between them hold."""
    long = ("GET /v1/machines/4000000000?" + "x" * 2000 + " HTTP/1.1\r\nHost: a\r\n\r\n").encode()
    with Api(server.port) as api:
        for _ in range(requests // 50):
            api.send_raw(long * 50)
            for _ in range(50):
                api.receive()
    return requests


def test_who_does_not_read_costs_lines_and_nothing_else(piped):
    sent = flood(piped)
    with Api(piped.port) as api:
        assert api.get("/v1/availability").status == 200
    assert 0 < eventually(lambda: scrape(piped)[1]) < sent
    content, mine = b"", []

    def has_all():
        nonlocal content
        os.set_blocking(piped.reader, False)
        try:
            while more := os.read(piped.reader, PIPE_BYTES):
                content += more
        except BlockingIOError:
            pass
        lines = [json.loads(line) for line in content.split(b"\n")[:-1]]
        mine[:] = [line for line in lines if "x" * 1000 in line.get("target", "")]
        told = sum(line.get("dropped", 0) for line in lines)
        return len(mine) + told >= sent and told == scrape(piped)[1]

    eventually(has_all)
    assert all(line["target_bytes"] == len("/v1/machines/4000000000?") + 2000 for line in mine)


def test_who_does_not_read_does_not_hold_up_the_end(piped):
    sent = flood(piped)
    begun = time.monotonic()
    piped.stop()
    assert time.monotonic() - begun < 10
    match = re.search(r"ends without (\d+) lines", piped.errors())
    assert match and 0 < int(match.group(1)) <= sent + 100, piped.errors()


def test_a_full_disk_costs_lines_and_two_messages(make_server):
    server = make_server("--access-log", "/dev/full").start()
    with Api(server.port) as api:
        for _ in range(5):
            for _ in range(20):
                assert api.get("/v1/availability").status == 200
            time.sleep(0.1)
        inventory = unique()
        assert api.new_machine(inventory_id=inventory)["inventory_id"] == inventory
    eventually(lambda: scrape(server)[1] > 100)
    assert scrape(server)[0] == 0
    server.stop()
    errors = server.errors()
    assert errors.count("cannot be written: No space left on device") == 1, errors
    assert len(re.findall(r"/dev/full ends without \d+ lines", errors)) == 1, errors
