# SPDX-License-Identifier: MIT
"""`fleetbit import`: the seed files of the system that fleetbit took the place of."""
import json
import re
import signal
import subprocess

import pytest

from api import Api
from harness import BINARY, environment

CHART = {"sprocket_production_actual": [1, 2], "sprocket_production_goal": [3, 4],
         "time": [1611194818, 1611194878]}
FACTORY = {"factory": {"chart_data": CHART}}
SPROCKET = {"teeth": 5, "pitch_diameter": 5, "outside_diameter": 6, "pitch": 1}


def run(*arguments, stdin=None):
    return subprocess.run([str(BINARY), "import", *map(str, arguments)], capture_output=True,
                          timeout=60, env=environment(), input=stdin)


def lines(done):
    return done.stderr.decode().splitlines()


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "seed.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


@pytest.fixture
def store(make_redis):
    return make_redis().start()


def test_the_seed_files_are_read_by_a_server_that_runs(write, store, make_server):
    server = make_server("--threads", "1", redis_url=store.url).start()
    done = run(write({"factories": [FACTORY] * 3}), "--redis", store.url)
    assert done.returncode == 0 and done.stdout == b"", done
    assert lines(done)[-1] == "3 of 3 items imported, 0 refused, 0 left"
    done = run(write({"sprockets": [SPROCKET, {**SPROCKET, "pitch": 0.5}]}), "--redis", store.url)
    assert done.returncode == 0, done
    with Api(server.port) as api:
        assert api.post("/v1/sprockets", SPROCKET).json()["id"] == 3
        assert api.read("/v1/factories") == {
            "factories": [{"id": i, "chart_data": CHART} for i in (1, 2, 3)], "next": None}
        assert api.read("/v1/sprocket/2") == {"id": 2, **SPROCKET, "pitch": 0.5}


def test_into_a_redis_of_its_own_which_a_server_then_serves(write, make_server, tmp_path):
    server = make_server("--threads", "1", folder=tmp_path)
    text = json.dumps({"sprockets": [SPROCKET], "factories": [FACTORY]}).replace("[1, 2]",
                                                                              "[0.10, 1e2]")
    done = run("--data", server.data, "--file", write(text.encode()))
    assert done.returncode == 0, done
    server.start()
    with Api(server.port) as api:
        assert b'"sprocket_production_actual":[0.10,1e2],' in api.get("/v1/factories/1").body
        assert api.read("/v1/sprockets/1")["teeth"] == 5


def test_each_item_that_is_refused_has_its_line(write, store, make_server):
    short = {"factory": {"chart_data": {**CHART, "time": [1]}}}
    done = run(write({
        "sprockets": [SPROCKET, {"teeth": 1}, {**SPROCKET, "teeth": -1}, [], SPROCKET],
        "factories": [short, FACTORY, {"factory": {}}, 7, FACTORY]}), "--redis", store.url)
    assert done.returncode == 1
    found = [line for line in lines(done) if ", item " in line]
    assert found == [
        "fleetbit: factories, item 1: Length of actual, goal, and time data must be the same.",
        "fleetbit: factories, item 3: Invalid JSON structure.",
        "fleetbit: factories, item 4: Invalid JSON structure.",
        "fleetbit: sprockets, item 2: pitch_diameter: is required",
        "fleetbit: sprockets, item 3: teeth: must be between 1 and 1000000",
        "fleetbit: sprockets, item 4: the body is JSON, but not an object"]
    assert lines(done)[-1] == "4 of 10 items imported, 6 refused, 0 left"
    server = make_server("--threads", "1", redis_url=store.url).start()
    with Api(server.port) as api:
        assert [s["id"] for s in api.read("/v1/sprockets")["sprockets"]] == [1, 2]
        assert [s["id"] for s in api.read("/v1/factories")["factories"]] == [1, 2]


@pytest.mark.parametrize("content, reason", [
    (b"", "line 1, column 1"),
    (b"id,teeth\n1,5\n", "line 1, column 1"),
    (b'{"sprockets": [\n{"teeth": 5},]}', "line 2, column 14"),
    (b'{"sprockets": []} {}', "line 1, column 19"),
    (b'{"machines": []}', "machines: there is no such member here"),
    (b'{"sprockets": [], "sprockets": []}', "sprockets: the member occurs twice"),
    (b'{"sprockets": {}}', "sprockets: must be an array"),
    (b"{}", "is expected"),
    (b"[1]", "is expected"),
])
def test_a_file_that_is_none_changes_nothing(write, store, content, reason):
    done = run(write(content), "--redis", store.url)
    assert done.returncode == 1 and len(lines(done)) == 1, done
    assert "seed.json is no seed file: " in lines(done)[0] and reason in lines(done)[0]
    with store.client() as client:
        assert client.keys("*") == []


def test_what_cannot_be_read_is_said(tmp_path, store):
    for path, reason in ((tmp_path / "none", "cannot be opened: No such file"),
                         (tmp_path, "cannot be read: Is a directory")):
        done = run(path, "--redis", store.url)
        assert done.returncode == 1 and reason in lines(done)[0], done


def test_stdin(store):
    done = run("-", "--redis", store.url, stdin=json.dumps({"sprockets": [SPROCKET]}).encode())
    assert done.returncode == 0 and lines(done)[-1].startswith("1 of 1 items imported"), done


def test_an_empty_list_is_a_seed_file(write, store):
    done = run(write({"sprockets": []}), "--redis", store.url)
    assert (done.returncode, lines(done)[-1]) == (0, "0 of 0 items imported, 0 refused, "
                                                  "0 left"), done


def test_many_items_and_how_far_it_is(write, store, make_server):
    done = run(write({"sprockets": [{**SPROCKET, "teeth": i} for i in range(1, 2001)]}),
               "--redis", store.url)
    assert done.returncode == 0, done
    assert any("2000 of 2000 items" in line and "100 %" in line for line in lines(done)), done
    server = make_server("--threads", "1", redis_url=store.url).start()
    with Api(server.port) as api:
        found = api.pages("/v1/sprockets", "sprockets")
        assert [(s["id"], s["teeth"]) for s in found] == [(i, i) for i in range(1, 2001)]


def test_a_redis_that_is_not_there(write, store):
    url = store.url
    store.stop()
    done = run(write({"sprockets": [SPROCKET]}), "--redis", url)
    assert done.returncode == 3 and "imported" not in done.stderr.decode(), done


@pytest.mark.parametrize("arguments, reason", [
    ([], "FILE is missing"), (["a", "b"], "--file: it is there twice"),
    (["a", "--machines", "1"], "--machines: not a flag of this subcommand, but of seed"),
    (["a", "--redsi", "x"], "is it --redis?"),
])
def test_wrong_arguments(arguments, reason):
    done = run(*arguments)
    assert done.returncode == 2 and reason in done.stderr.decode(), done


def test_the_help(tmp_path):
    done = run("--help")
    assert done.returncode == 0 and done.stderr == b""
    assert b"usage: fleetbit import FILE [FLAG...]" in done.stdout and b"--redis URL" in done.stdout


def test_a_redis_that_goes_away_on_the_way(write, store):
    path = write({"sprockets": [SPROCKET] * 200_000})
    process = subprocess.Popen([str(BINARY), "import", str(path), "--redis", store.url],
                               stderr=subprocess.PIPE, text=True, env=environment())
    said = []
    for line in process.stderr:
        said.append(line)
        if " 10 %" in line:
            store.stop(signal.SIGKILL)
            store.start()
    code = process.wait(60)
    process.stderr.close()
    found = re.search(r"(\d+) of 200000 items imported, (\d+) refused, (\d+) left\n", "".join(said))
    imported, refused, left = map(int, found.groups())
    assert imported >= 20_000 and refused == 0 and left == 200_000 - imported, said
    # Either it was back soon enough, or the reason is said.
    assert (code, said[-1]) == (0, found[0]) if left == 0 else code in (1, 3), said
    assert left == 0 or said[-1].startswith("fleetbit: "), said
    with store.client() as client:  # what is told to be there is; of the rest one batch may be
        assert imported <= client.bitcount("fb:{default}:sprockets") <= imported + 1000
