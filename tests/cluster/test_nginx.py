# SPDX-License-Identifier: MIT
"""nginx with conf/nginx.conf in front of three fleetbits on one Redis: requests that could be read
in two ways reach none of them, and nobody notices when they are stopped and started one by one.

FLEETBIT_LONG=1 makes the rolling restart last 30 seconds."""
import json
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from datetime import datetime

import pytest

from api import Api, problem
from harness import LONG, eventually, in_threads, scale, skip_loudly, unique
from http1 import Connection, ConnectionLost, encode
from nginx import Instance, Nginx, require_nginx

SECONDS = 30 if LONG else scale(8, 12)
KIB = 1024


# ---- What reaches an instance: nginx in front of one that only writes down what it gets ----


class Recorder:
    """Takes requests with any framing of their own and answers each of them; keeps their bytes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.requests, self.status = [], 200
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            rest = b""
            while True:
                while b"\r\n\r\n" not in rest:
                    data = connection.recv(65536)
                    if not data:
                        if rest:
                            self.requests.append((rest, b""))
                        return
                    rest += data
                head, rest = rest.split(b"\r\n\r\n", 1)
                length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                length = int(length.group(1)) if length else 0
                while len(rest) < length:
                    rest += connection.recv(65536)
                body, rest = rest[:length], rest[length:]
                self.requests.append((head, body))
                connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % self.status)

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def recorder():
    made = Recorder()
    yield made
    made.close()


@pytest.fixture(scope="module")
def before_recorder(recorder, tmp_path_factory):
    proxy = Nginx(tmp_path_factory.mktemp("n"), [recorder.port]).start()
    yield proxy
    proxy.stop()


def answers_to(port, data):
    """Sends bytes; all answers until the connection is closed, or quiet for a while."""
    found = []
    with Connection(port, timeout=0.5) as connection:
        connection.send_raw(data)
        try:
            while connection.socket is not None:
                found.append(connection.receive())
        except (ConnectionLost, socket.timeout):
            assert connection.rest == b"", connection.rest
    return found


GET = b"GET /v1/machines HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /v1/machines HTTP/1.1\r\nHost: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

AMBIGUOUS = {
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  b"0\r\n\r\n" + SMUGGLED,
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
                                  b"0\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" + SMUGGLED,
    "one length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "two lengths in a line": POST + b"Content-Length: 5, 6\r\n\r\nabcdef",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nabcde",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nabcde",
    "a length beyond all range": POST + b"Content-Length: 18446744073709551617\r\n\r\na",
    "no length": POST + b"Content-Length: \r\n\r\nabcde",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\n",
    "chunks that are not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks of HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n"
                          b"0\r\n\r\n" + SMUGGLED,
    "a blank before the colon": POST + b"Content-Length : 5\r\n\r\nabcde",
    "a blank in a name": GET + b"X Length: 5\r\n\r\n",
    "a tab in a name": GET + b"X\tLength: 5\r\n\r\n",
    "a folded line": GET + b"X-A: b\r\n c\r\n\r\n",
    "a folded length": POST + b"Content-Length:\r\n 5\r\n\r\nabcde",
    "a blank before the first field": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "a lone CR in a value": GET + b"X-A: b\rX-B: c\r\n\r\n",
    "a lone CR in a name": GET + b"X\rA: b\r\n\r\n",
    "NUL in a value": GET + b"X-A: b\0c\r\n\r\n",
    "NUL in the target": b"GET /v1/mach\0ines HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": b"GET /v1/machines HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: b\r\n\r\n",
    "a host with a blank": b"GET /v1/machines HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a host with a slash": b"GET /v1/machines HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a target with a blank": b"GET /v1/mach ines HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method in small letters": b"get /v1/machines HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.0 without a host": b"GET /v1/machines HTTP/1.0\r\n\r\n",
    "a write without a host": b"POST /v1/machines HTTP/1.0\r\nContent-Length: 1\r\n\r\na",
    "HTTP/9.9": b"GET /v1/machines HTTP/9.9\r\nHost: a\r\n\r\n",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path above the top": b"GET /../v1/machines HTTP/1.1\r\nHost: a\r\n\r\n",
    "a chunk of no size": POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\nabcde\r\n0\r\n\r\n",
    "a chunk that is longer than it says":
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk beyond all range":
        POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n",
}


def test_http_0_9_reaches_no_instance(before_recorder, recorder):
    recorder.requests.clear()
    with Connection(before_recorder.port, timeout=10) as connection:
        connection.send_raw(b"GET /v1/machines\r\n\r\n")
        assert b'"status":400' in b"".join(iter(lambda: connection.socket.recv(65536), b""))
    assert recorder.requests == []


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_request_reaches_no_instance(before_recorder, recorder, data):
    recorder.requests.clear()
    answers = answers_to(before_recorder.port, data)
    assert recorder.requests == []
    assert len(answers) <= 1, answers
    for answer in answers:
        assert 400 <= answer.status < 600, answer
        problem(answer, answer.status)


# (what, what is sent, the first line and the fields that reach the instance, the body)
TOLERATED = {
    "lines that end in LF": (GET.replace(b"\r\n", b"\n") + b"X-A: b\n\n",
                             b"GET /v1/machines HTTP/1.1", [b"X-A: b"], b""),
    "a name with an underscore": (GET + b"Content_Length: 5\r\nX-A: b\r\n\r\n",
                                  b"GET /v1/machines HTTP/1.1", [b"X-A: b"], b""),
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n3\r\ncde\r\n0\r\n"
                      b"Content-Length: 9\r\n\r\n",
               b"POST /v1/machines HTTP/1.1", [b"Content-Length: 5"], b"abcde"),
    "a body of a GET": (GET + b"Content-Length: 5\r\n\r\nabcde", b"GET /v1/machines HTTP/1.1",
                        [b"Content-Length: 5"], b"abcde"),
    "HTTP/1.0": (GET.replace(b"1.1", b"1.0") + b"\r\n", b"GET /v1/machines HTTP/1.1",
                 [b"Host: a"], b""),
    "a target with its name": (b"GET http://b/v1/machines?x=1 HTTP/1.1\r\nHost: a\r\n\r\n",
                               b"GET /v1/machines?x=1 HTTP/1.1", [b"Host: b"], b""),
    "a target as it was sent": (b"GET /v1//a%2Fb/%7e/./c/../d?x=%00&y=a%20b HTTP/1.1\r\n"
                                b"Host: a\r\n\r\n",
                                b"GET /v1//a%2Fb/%7e/./c/../d?x=%00&y=a%20b HTTP/1.1", [], b""),
    "the target of a write": (POST.replace(b"/v1/machines", b"/v1//a%2Fb/./c?x=%2e") +
                              b"Content-Length: 1\r\n\r\na",
                              b"POST /v1//a%2Fb/./c?x=%2e HTTP/1.1", [b"Content-Length: 1"], b"a"),
    "an upgrade": (GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                         b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
                   b"GET /v1/machines HTTP/1.1", [b"Host: a"], b""),
    "an address of its own": (GET + b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: x\r\n\r\n",
                              b"GET /v1/machines HTTP/1.1",
                              [b"X-Forwarded-For: 192.0.2.1, 127.0.0.1",
                               b"X-Forwarded-Proto: http"], b""),
    "a trace": (GET + b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
                      b"X-Request-Id: abc\r\n\r\n", b"GET /v1/machines HTTP/1.1",
                [b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                 b"X-Request-Id: abc"], b""),
}
HOP = re.compile(rb"(?i)^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|"
                 rb"http2-settings|content_length):")


@pytest.mark.parametrize("case", TOLERATED.values(), ids=TOLERATED.keys())
def test_what_passes_is_unambiguous(before_recorder, recorder, case):
    data, first, fields, body = case
    recorder.requests.clear()
    (answer,) = answers_to(before_recorder.port, data)
    assert answer.status == 200
    ((head, arrived),) = recorder.requests
    lines = head.split(b"\r\n")
    assert lines[0] == first and arrived == body, head
    for field in fields:
        assert lines.count(field) == 1, head
    names = [line.split(b":")[0].lower() for line in lines[1:]]
    assert len(names) == len(set(names)), head
    assert names.count(b"host") == 1 and names.count(b"x-request-id") == 1, head
    assert names.count(b"content-length") == (1 if body else 0), head
    assert not [line for line in lines if HOP.match(line)], head


def test_a_read_that_is_refused_is_asked_of_another_and_a_write_is_not(tmp_path_factory):
    """503 of one instance: a GET goes on to the next, a POST does not, as it may have landed."""
    recorders = [Recorder() for _ in range(3)]
    proxy = Nginx(tmp_path_factory.mktemp("n"), [r.port for r in recorders]).start()
    try:
        for recorder in recorders:
            recorder.status = 503
        for method, most in (("POST", 1), ("PATCH", 1), ("PUT", 1), ("DELETE", 1), ("GET", 3)):
            for recorder in recorders:
                recorder.requests.clear()
            with Connection(proxy.port) as connection:
                assert connection.request(method, "/v1/machines").status == 503
            assert sum(len(r.requests) for r in recorders) == most, method
        # All three count as failed now, and are asked all the same.
        recorders[1].status = 200
        with Connection(proxy.port) as connection:
            assert [connection.get("/").status for _ in range(20)] == [200] * 20
    finally:
        proxy.stop()
        for recorder in recorders:
            recorder.close()


# ---- Three instances ----


class Fleet:
    def __init__(self, make_redis, make_folder, **options):
        redis = make_redis().start()
        self.instances = [Instance(make_folder("i"), redis.url, "--threads", "1", **options)
                          for _ in range(3)]
        for instance in self.instances:
            instance.start()
        self.proxy = Nginx(make_folder("n"), [i.kept_port for i in self.instances]).start()

    def stop(self):
        self.proxy.stop()
        in_threads([instance.stop for instance in self.instances])


@pytest.fixture
def make_fleet(make_redis, tmp_path_factory):
    require_nginx()
    made = []

    def make(**options):
        made.append(Fleet(make_redis, tmp_path_factory.mktemp, **options))
        return made[-1]

    yield make
    for fleet in made:
        fleet.stop()


@pytest.fixture
def fleet(make_fleet):
    return make_fleet(env={"FLEETBIT_LIMITS_LAME_DUCK": "0s"})


def test_a_request_has_one_id_all_the_way(fleet):
    with Api(fleet.proxy.port) as api:
        for identity in ("abc", "a" * 128, "b2c-4/5:6;7", '"quoted"'):
            assert api.get("/livez", {"X-Request-Id": identity}).headers["x-request-id"] == identity
        first = api.get("/v1/machines").headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", first)
        assert api.get("/v1/machines").headers["x-request-id"] != first
        document = problem(api.get("/nowhere", {"X-Request-Id": "abc"}), 404)
        assert document["request_id"] == "abc"


def test_the_limits_hold_through_the_proxy(fleet):
    body = {"label": "a", "inventory_id": unique(), "type": "crane"}
    with Api(fleet.proxy.port) as api:
        long = json.dumps({**body, "description": "d" * (KIB * KIB)}).encode()
        problem(api.post("/v1/machines", long), 413)
        numbers = "[" + ",".join(["12.5"] * 100000) + "]"
        names = ("sprocket_production_actual", "sprocket_production_goal", "time")
        chart = ",".join(f'"{name}":{numbers}' for name in names)
        factory = f'{{"factory":{{"chart_data":{{{chart}}}}}}}'.encode()
        assert api.post("/v1/factories", factory).status == 201  # of 1.5 MB
        problem(api.post("/v1/factories", factory + b" " * 8 * KIB * KIB), 413)
        problem(api.get("/v1/machines?type=" + "x" * 9000), 414)
        problem(api.get("/v1/machines?type=" + "x" * 20000), 414)
        problem(api.get("/v1/machines", {"X-A": "a" * 20000}), 431)
        problem(api.post("/v1/machines", b"{"), 400)
        problem(api.get("/v1/machines?nothing=1"), 400)
        problem(api.get("/.problem"), 404)
        assert api.post("/v1/machines", {**body, "description": "d" * 3900}).status == 201
        # 1,000 machines are several times what nginx keeps of an answer.
        for _ in range(200):
            api.new_machine(description="d" * 3900)
        eventually(lambda: len(api.read("/v1/machines?limit=1000")["machines"]) == 201)


def test_conditions_and_heads_pass(fleet):
    with Api(fleet.proxy.port) as api:
        machine = api.new_machine()
        target = f"/v1/machines/{machine['id']}"
        whole = eventually(lambda: all_show(fleet, target, 200) and api.get(target))
        etag = whole.headers["etag"]
        assert api.get(target, {"If-None-Match": etag}).status == 304
        head = api.request("HEAD", target)
        assert head.status == 200 and head.headers["content-length"] == str(len(whole.body))
        assert api.patch(target, {"label": "b"}, {"If-Match": etag}).status == 200
        problem(api.patch(target, {"label": "c"}, {"If-Match": etag}), 412)
        assert api.request("OPTIONS", target).headers["allow"]


def all_show(fleet, target, status):
    found = []
    for instance in fleet.instances:
        with Api(instance.kept_port) as api:
            response = api.get(target)
            found.append(response.status == status)
    return all(found)


def test_what_is_written_through_the_proxy_shows_everywhere(fleet):
    with Api(fleet.proxy.port) as api:
        made = [api.new_machine(label=f"number {i}") for i in range(30)]
    for instance in fleet.instances:
        with Api(instance.kept_port) as api:
            eventually(lambda: api.pages("/v1/machines?limit=1000") == made, 5)


class Writers:
    """Threads that write through the proxy until they are stopped; each checks every answer."""

    def __init__(self, port, pause):
        self.port, self.pause, self.ended = port, pause, threading.Event()
        self.labels, self.broken, self.made = {}, [], set()
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(4)]
        for thread in self.threads:
            thread.start()

    def _check(self, response, status):
        if response.status != status:
            self.broken.append(f"{datetime.now():%T.%f} {response}")
        return response.status == status

    def _run(self, number):
        draw = random.Random(number)
        try:
            with Api(self.port) as api:
                machine = api.new_machine()
                while not self.ended.wait(draw.uniform(0, self.pause)):
                    label = unique("label")
                    target = f"/v1/machines/{machine['id']}"
                    if self._check(api.patch(target, {"label": label}), 200):
                        self.labels[machine["id"]] = label
                    self._check(api.get(target), 200)
                    name = unique("rolling")
                    body = {"label": "a", "inventory_id": name, "type": "truck"}
                    if self._check(api.post("/v1/machines", body), 201):
                        self.made.add(name)
        except BaseException as error:
            self.broken.append(f"{datetime.now():%T.%f} {error!r}")

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def check(self, fleet):
        """No request failed, and every acknowledged write is there once, on every instance."""
        assert not self.broken, (len(self.broken), self.broken[:5], fleet.proxy.complaints())
        for instance in fleet.instances:
            with Api(instance.kept_port) as api:
                eventually(lambda: self._is_all_at(api), 5)

    def _is_all_at(self, api):
        machines = api.pages("/v1/machines?limit=1000")
        there = [m["inventory_id"] for m in machines]
        labels = {m["id"]: m["label"] for m in machines}
        assert len(there) == len(set(there))
        return self.made <= set(there) and self.labels.items() <= labels.items()


class Wrk:
    def __init__(self, port, connections, seconds, target):
        self.process = subprocess.Popen(
            ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{scale(5, 30)}s",
             f"http://127.0.0.1:{port}{target}"], stdout=subprocess.PIPE, text=True)

    @property
    def is_running(self):
        return self.process.poll() is None

    def report(self):
        text = self.process.communicate(timeout=60)[0]
        assert self.process.returncode == 0, text
        print(text)
        return text


def restart_each(fleet):
    """One after the other, as a deployment does; how long each took to stop and to start."""
    for instance in fleet.instances:
        began = time.monotonic()
        instance.stop()
        stopped = time.monotonic()
        instance.start()
        yield stopped - began, time.monotonic() - stopped


# Longer than an idle connection of nginx to an instance lives: see conf/nginx-upstream.conf.
ROLLING = {"FLEETBIT_LIMITS_LAME_DUCK": "2s"}


def test_a_rolling_restart_fails_no_request(make_fleet):
    """Each instance is stopped and started, over and over, while a thousand connections read and
    four write: none of them gets an error."""
    if shutil.which("wrk") is None:
        skip_loudly("WRK IS MISSING: nothing is tested under load (apt-get install wrk)")
    fleet = make_fleet(env=ROLLING)
    writers = Writers(fleet.proxy.port, 0.01)
    wrk = Wrk(fleet.proxy.port, 1000, SECONDS, "/v1/machines?limit=20")
    restarts = []
    try:
        while wrk.is_running:
            restarts += restart_each(fleet)
    finally:
        report = wrk.report()
        writers.stop()
    print(len(restarts), "restarts;", len(writers.made), "machines made; at most "
          "%.2f s to stop, %.2f s to start" % tuple(max(times) for times in zip(*restarts)))
    writers.check(fleet)
    assert "Socket errors" not in report and "Non-2xx" not in report, (
        report, fleet.proxy.complaints())
    assert int(re.search(r"(\d+) requests in", report).group(1)) > scale(5000, 500), report
    assert len(writers.made) > scale(50, 10)


def test_a_rolling_restart_fails_no_request_when_there_are_few(make_fleet):
    """Connections to the instances lie idle, or are closed for it, just when an instance ends."""
    fleet = make_fleet(env=ROLLING)
    writers = Writers(fleet.proxy.port, 1.2)
    try:
        restarts = list(restart_each(fleet))
    finally:
        writers.stop()
    writers.check(fleet)
    assert len(restarts) == 3 and writers.made
