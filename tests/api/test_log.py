# SPDX-License-Identifier: MIT
"""The messages on stderr: a line of JSON each, with the request that one is about."""
import json
import re
import subprocess
from datetime import datetime, timezone

import pytest

from api import Api
from harness import BINARY, environment, eventually, unique

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def messages(server):
    return [json.loads(line) for line in server.errors().splitlines()]


def status_of(server):
    with server.admin() as admin:
        return admin.get("/status.json").json()


def new_machine(api, **headers):
    return api.post("/v1/machines", {"label": "a", "inventory_id": unique(), "type": "crane"},
                    headers).status


def test_every_line_is_json_of_one_instance(make_server):
    server = make_server("--demo", env={"FLEETBIT_NO_SUCH_THING": "1"}).start()
    instance = status_of(server)["instance"]
    eventually(lambda: "demo: " in server.errors())
    server.stop()
    lines = messages(server)
    for line in lines:
        assert [name for name in line if name != "instance"] == ["time", "level", "message"], line
        assert line.get("instance", instance) == instance
        assert TIME.fullmatch(line["time"]) and line["level"] in ("error", "warning", "info")
        moment = datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
        assert abs((datetime.now(timezone.utc) - moment).total_seconds()) < 60
    texts = [line["message"] for line in lines]
    assert "ready" in texts and "SIGTERM: leaving" in texts and texts[-1] == "ended"
    unknown, = [line for line in lines if "FLEETBIT_NO_SUCH_THING" in line["message"]]
    assert unknown["level"] == "warning"


def test_text_is_for_people(make_server):
    server = make_server(env={"FLEETBIT_LOG_FORMAT": "text"}).start()
    server.stop()
    lines = server.errors().splitlines()
    assert all(re.match(TIME.pattern + r" (info|warning|error) \S", line) for line in lines), lines
    assert lines[-1].endswith(" info ended")


def test_other_formats_are_refused(tmp_path):
    done = subprocess.run([BINARY, "serve", "--data", tmp_path / "data"], capture_output=True,
                          text=True, env=environment({"FLEETBIT_LOG_FORMAT": "xml"}), timeout=20,
                          check=False)
    assert done.returncode == 2 and "FLEETBIT_LOG_FORMAT" in done.stderr, done
    assert '"xml" is not json or text' in done.stderr, done


@pytest.fixture
def without_redis(make_server, make_redis):
    """A server whose Redis has just gone."""
    redis = make_redis().start()
    server = make_server(redis_url=redis.url, env={"FLEETBIT_REDIS_TIMEOUT": "300ms"}).start()
    with Api(server.port) as api:
        assert new_machine(api) == 201
        redis.stop()
        eventually(lambda: new_machine(api) == 503)
    return redis, server


def test_a_request_that_we_failed_at_is_named(without_redis):
    _, server = without_redis
    with Api(server.port) as api:
        assert new_machine(api, **{"X-Request-Id": 'mine"1', "traceparent": TRACEPARENT}) == 503
        assert new_machine(api, **{"X-Request-Id": "mine-2", "traceparent": "00-0"}) == 503
        api.get("/nowhere", {"X-Request-Id": "mine-3"})
    by_id = {line["request_id"]: line for line in messages(server) if "request_id" in line}
    assert "mine-3" not in by_id
    first = by_id['mine"1']
    assert list(first) == ["time", "level", "message", "request_id", "traceparent", "instance"]
    assert first["traceparent"] == TRACEPARENT and first["level"] == "warning"
    assert first["message"].startswith("POST /v1/machines was answered 503, unavailable: ")
    assert "traceparent" not in by_id["mine-2"]


def test_what_repeats_itself_is_written_some_times_and_counted(without_redis):
    _, server = without_redis
    count = 300
    with Api(server.port) as api:
        for i in range(count):
            assert new_machine(api, **{"X-Request-Id": f"mine-{i}"}) == 503

    eventually(lambda: server.left_out("was answered") > 0, 30)
    said = [line for line in messages(server) if "was answered 503" in line["message"]]
    # Some of the requests before these are among them.
    assert 1 <= len(said) <= 20
    assert count <= len(said) + server.left_out("was answered") < count + 100
