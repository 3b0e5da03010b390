# SPDX-License-Identifier: MIT
"""The command line: what is refused at the start, with which status, and what is not."""
import os
import re
import signal
import subprocess
import time

import pytest

from api import Api, problem
from harness import BINARY, ROOT, Redis, Server, environment, eventually, unique

USAGE, UNAVAILABLE, IN_USE = 2, 3, 4


def run(*arguments, env=None, seconds=30):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          env=environment(env), timeout=seconds, stdin=subprocess.DEVNULL,
                          check=False)


def test_a_second_server_on_the_same_directory_is_refused(make_server):
    first = make_server().start()
    with Api(first.port) as api:
        machine = api.new_machine()
        second = run("serve", "--listen", "127.0.0.1:0", "--admin", "off", "--data", first.data)
        assert second.returncode == IN_USE, second
        assert re.search(rf"\b{first.pid}\b", second.stderr), second.stderr
        assert str(first.data) in second.stderr
        api.open()
        assert api.machine(machine["id"]) == machine
        assert api.new_machine()["id"] > machine["id"]


def test_the_private_redis_lets_the_reads_go_first(make_server):
    server = make_server().start()
    own, redis = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (server.pid, server.redis_pid))
    assert redis == min(own + 5, 19)


def test_a_port_that_is_taken_is_refused(make_server, tmp_path):
    first = make_server().start()
    for flags in (["--listen", f"127.0.0.1:{first.port}", "--admin", "off"],
                  ["--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{first.port}"]):
        second = run("serve", *flags, "--data", tmp_path / "data")
        assert second.returncode == IN_USE, second
        assert str(first.port) in second.stderr


@pytest.mark.parametrize("arguments,named", [
    (["--listn", "127.0.0.1:0"], "--listn"), (["--listen", "nowhere"], "nowhere"),
    (["--listen"], "--listen"), (["--listen", "127.0.0.1:99999"], "99999"),
    (["--threads", "0"], "threads"), (["--threads", "two"], "two"), (["--threads", "65"], "65"),
    (["--redis", "http://localhost"], "redis"), (["--redis", "redis://localhost:x"], "redis"),
    (["--fleet", "a b"], "a b"), (["--fleet", ""], "fleet"), (["--zone", "Mars/Olympus"], "Mars"),
    (["--conf", "/nowhere/fleetbit.yaml"], "/nowhere/fleetbit.yaml"), (["extra"], "extra"),
    (["--threads", "2", "--threads", "3"], "threads"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else value)
def test_wrong_flags_are_refused_by_name(tmp_path, arguments, named):
    result = run("serve", "--data", tmp_path / "data", *arguments)
    assert result.returncode == USAGE, result
    assert named in result.stderr and result.stdout == "", result
    assert not (tmp_path / "data").exists(), "it began before it had read its flags"


@pytest.mark.parametrize("env", [{"FLEETBIT_THREADS": "0"}, {"FLEETBIT_LISTEN": "x"},
                                 {"FLEETBIT_REDIS_TIMEOUT": "2"},
                                 {"FLEETBIT_LIMITS_BODY_BYTES": "1 potato"}],
                         ids=lambda env: next(iter(env)))
def test_wrong_variables_are_refused_by_name(tmp_path, env):
    result = run("serve", "--data", tmp_path / "data", env=env)
    assert result.returncode == USAGE and next(iter(env)) in result.stderr, result


def test_a_wrong_configuration_file_is_refused_by_file_and_line(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("threads: 2\nlimits:\n  body_byte: 1M\n")
    result = run("serve", "--conf", path, "--data", tmp_path / "data")
    assert result.returncode == USAGE, result
    assert f"{path}:3" in result.stderr and "body_byte" in result.stderr


def test_commands_that_are_not_there_and_help(tmp_path):
    assert run().returncode == USAGE
    unknown = run("sevre")
    assert unknown.returncode == USAGE and "serve" in unknown.stderr
    for arguments in (["help"], ["--help"], ["serve", "--help"], ["help", "serve"]):
        result = run(*arguments)
        assert result.returncode == 0 and "usage" in result.stdout and result.stderr == ""
    version = run("version")
    assert version.returncode == 0 and version.stdout.startswith("fleetbit ")


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path):
    path = tmp_path / "fleetbit.yaml"
    path.write_text("fleet: from-file\nthreads: 1\nzone: Europe/Berlin\n")
    result = run("check-config", "--conf", path, "--fleet", "from-flag",
                 env={"FLEETBIT_FLEET": "from-environment", "FLEETBIT_THREADS": "3"})
    assert result.returncode == 0 and result.stderr == ""
    assert re.search(r"^fleet: \"?from-flag\b", result.stdout, re.M)
    assert re.search(r"^threads: 3\b", result.stdout, re.M)
    assert re.search(r"^zone: \"?Europe/Berlin\b", result.stdout, re.M)


def test_the_configuration_file_holds_the_defaults(tmp_path):
    kept = run("check-config")
    read = run("check-config", "--conf", ROOT / "conf" / "fleetbit.yaml")
    values = [re.sub(r"\s+# .*", "", r.stdout, flags=re.M) for r in (kept, read)]
    assert values[0] == values[1] and read.returncode == 0


def test_without_a_redis_server_the_start_fails(tmp_path):
    result = run("serve", "--listen", "127.0.0.1:0", "--admin", "off", "--data", tmp_path / "d",
                 env={"FLEETBIT_REDIS_SERVER": "/nowhere/redis-server"})
    assert result.returncode in (USAGE, UNAVAILABLE) and "/nowhere/redis-server" in result.stderr


def test_a_private_redis_that_cannot_start_is_an_error_that_shows_why(tmp_path):
    data = tmp_path / "d"
    (data / "appendonlydir").mkdir(parents=True)
    (data / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    result = run("serve", "--listen", "127.0.0.1:0", "--admin", "off", "--data", data, seconds=60)
    assert result.returncode == UNAVAILABLE, result
    assert str(data) in result.stderr


def test_an_unreachable_redis_keeps_the_server_up_but_not_ready(make_server, tmp_path):
    redis = Redis(tmp_path / "r")
    server = make_server(redis_url=redis.url,
                         env={"FLEETBIT_LIMITS_MIN_REVISION_WAIT": "200ms"}).launch()
    try:
        with Api(server.port) as api:
            for _ in range(3):
                assert api.get("/livez").status == 200
                problem(api.get("/readyz"), 503)
                problem(api.get("/v1/machines"), 503)
                body = {"label": "a", "inventory_id": unique(), "type": "crane"}
                problem(api.post("/v1/machines", body), 503)
                time.sleep(0.1)
            redis.start()
            eventually(server.is_ready)
            assert api.new_machine()["id"] == 1
            assert api.read("/v1/machines")["machines"]
    finally:
        server.stop()
        redis.stop()


def test_an_unreachable_redis_does_not_keep_the_server_from_ending(make_server, tmp_path):
    server = make_server(redis_url=Redis(tmp_path / "r").url).launch()
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 8


def test_a_wrong_password_is_said_and_no_reason_to_give_up(make_server, make_redis):
    redis = make_redis().start()
    url = redis.url.replace(redis.password, "wrong-word")
    server = make_server(redis_url=url).launch()
    with Api(server.port) as api:
        eventually(lambda: "WRONGPASS" in server.errors() or "password" in server.errors())
        problem(api.get("/readyz"), 503)
    assert "wrong-word" not in server.errors(), "a password is in the log"
    server.stop()


def test_a_user_a_password_and_a_database_are_used(make_server, make_redis):
    redis = make_redis(database=5, user="fleet").start()
    server = make_server("--fleet", "north-2", redis_url=redis.url).start()
    with Api(server.port) as api:
        machine = api.new_machine()
    key = f"fb:{{north-2}}:machine:{machine['id']}"
    assert redis.client().hget(key, "label") == b"a machine"
    assert redis.client(0).dbsize() == 0
    assert redis.password not in server.errors(), "a password is in the log"
    assert not server.data.exists(), "a private directory with somebody else's Redis"
    server.stop()


def test_two_fleets_share_a_redis_and_see_nothing_of_each_other(make_server, make_redis):
    redis = make_redis().start()
    north = make_server("--fleet", "north", redis_url=redis.url).start()
    south = make_server("--fleet", "south", redis_url=redis.url).start()
    with Api(north.port) as a, Api(south.port) as b:
        inventory_id = unique()
        assert a.new_machine(inventory_id=inventory_id)["id"] == 1
        assert b.new_machine(inventory_id=inventory_id, label="other")["id"] == 1
        assert a.machine(1)["label"] == "a machine" and b.machine(1)["label"] == "other"
    north.stop()
    south.stop()


def test_a_redis_that_is_not_fsynced_is_refused_where_fsync_is_required(make_server, make_redis):
    redis = make_redis().start()
    redis.client().config_set("appendfsync", "everysec")
    server = make_server(redis_url=redis.url).start()
    eventually(lambda: "durability" in server.errors())
    server.stop()
    result = run("serve", "--listen", "127.0.0.1:0", "--admin", "off", "--redis", redis.url,
                 env={"FLEETBIT_REQUIRE": "fsync"})
    assert result.returncode == USAGE and "fsync" in result.stderr, result


def test_several_addresses_are_listened_at(make_server):
    server = make_server("--listen", "localhost:0").start()
    announced = (server.folder / "stdout-1").read_text()
    ports = re.findall(r"^listening on http://[^:]+:(\d+)$", announced, re.M)
    assert len(ports) == 2
    for port in ports:
        with Api(int(port)) as api:
            assert api.get("/livez").status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_end_it_well(make_server, number):
    server = make_server().start()
    server.stop(number)


def test_the_demo_is_made_once(make_server):
    server = make_server("--demo").start()
    with Api(server.port) as api:
        eventually(lambda: "demo: " in server.errors())
        assert len(api.pages("/v1/machines?limit=1000")) == 1000
        counts = api.read("/v1/availability/calendar?from=2026-01-01&to=2026-01-01")["days"]
        assert counts[0]["available"] == 1000
        states = api.read("/v1/status?limit=1")["counts"]
        assert sum(states.values()) == 1000 and states["unknown"] == 0 < min(
            states["green"], states["yellow"], states["red"])
        revision = api.get("/v1/machines").revision
    server.stop()
    server.start()
    with Api(server.port) as api:
        assert len(api.pages("/v1/machines?limit=1000")) == 1000
        assert api.get("/v1/machines").revision == revision
    server.stop()


def test_seed_makes_the_same_fleet_twice(tmp_path):
    fleets = []
    for name in ("a", "b"):
        server = Server(tmp_path / name)
        server.folder.mkdir()
        result = run("seed", "--machines", 500, "--days", 100, "--data", server.data, seconds=120)
        assert result.returncode == 0 and result.stdout == "", result
        server.start()
        with Api(server.port) as api:
            machines = api.pages("/v1/machines?limit=1000")
            fleets.append([{k: v for k, v in m.items() if k not in ("creation_date", "updated_at")}
                           for m in machines])
        server.stop()
    assert len(fleets[0]) == 500 and fleets[0] == fleets[1]
    assert len({m["inventory_id"] for m in fleets[0]}) == 500
