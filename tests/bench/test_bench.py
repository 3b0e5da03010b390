# SPDX-License-Identifier: MIT
"""The mechanics of ./dev bench: all of it runs, and what it keeps is complete. How fast anything is
is not asserted: here, other tests keep the cores busy.

FLEETBIT_BIN names the binary, beside which are the yardsticks (bench/limit and so on); without it,
build/release is taken."""
import json
import os
import shutil
import socket
import subprocess
import sys
import warnings
import xml.etree.ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("FLEETBIT_BIN") or ROOT / "build" / "release" / "fleetbit").resolve()
LETTERS = "abcdefghijklmnopqrstuv"
SECONDS_MAX = 300
TRIAL = "--quick", "--rounds", "1"
NEEDED = ("wrk", "h2load", "redis-server", "redis-benchmark")
PER_CPU = "requests per second of server CPU"
YARDSTICK = BINARY.parent / "bench" / "limit"

sys.path.insert(0, str(ROOT / "bench"))
from process import Client, Process  # noqa: E402  (it is found only now)


def skip_loudly(reason):
    """A skip that a quiet run shows too."""
    warnings.warn(reason, stacklevel=2)
    pytest.skip(reason)


def bench(*arguments, folder=None):
    command = [sys.executable, ROOT / "bench" / "run.py", "--build", BINARY.parent, *arguments]
    if folder:
        command += ["--folder", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
                          stdin=subprocess.DEVNULL,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """One short round of everything: what it printed, and its results without an extension."""
    for tool in NEEDED:
        if not shutil.which(tool):
            skip_loudly(f"{tool.upper()} IS MISSING: the bench is not tested (./dev install bench)")
    if not YARDSTICK.exists():
        skip_loudly(f"THERE IS NO {YARDSTICK}: the bench is not tested (./dev bench builds it)")
    folder = tmp_path_factory.mktemp("b")
    ran = bench(*TRIAL, folder=folder)
    assert ran.returncode == 0, ran.stderr[-4000:]
    kept, = (folder / "results").glob("*.json")
    return ran, kept, json.loads(kept.read_text())


def test_every_letter_of_the_list_has_a_run():
    listed = bench("--list").stdout.splitlines()
    titles = [line.split(None, 1)[1] for line in listed]
    assert {title[0] for title in titles if title[1:3] == ": "} == set(LETTERS)


def test_a_name_that_there_is_not_is_refused():
    ran = bench("no-such-run")
    assert ran.returncode == 2 and "--list" in ran.stderr


def test_everything_runs_and_is_kept(trial):
    _, _, kept = trial
    listed = [line.split()[0] for line in bench("--list").stdout.splitlines()]
    assert sorted(kept["runs"]) == sorted(listed) and not kept["failed"]
    for name, run in kept["runs"].items():
        assert run["figures"], name
        for figure in run["figures"]:
            assert figure["samples"] and figure["least"] <= figure["median"] <= figure["most"], (
                name, figure)
            limited = figure["at_most"] is not None or figure["at_least"] is not None
            assert (figure["holds"] in (True, False)) == limited, (name, figure)


def test_every_peer_is_measured_or_said_to_be_missing(trial):
    ran, _, kept = trial
    figures = kept["runs"]["availability"]["figures"]
    measured = {figure["side"] for figure in figures if figure["what"] == PER_CPU}
    skipped = {skip["peer"] for skip in kept["skipped"] if skip["run"] == "availability"}
    assert measured | skipped == {
        "fleetbit", "raw epoll", "bare libh2o", "nginx, static file", "Varnish", "Redis GET",
        "Redis GET, pipelined", "Flask, gunicorn, SQLite"}
    for peer in skipped:
        assert f"WITHOUT {peer}" in ran.stderr
        warnings.warn(f"{peer.upper()} IS MISSING beside fleetbit (./dev install bench)",
                      stacklevel=1)


def test_a_peer_that_is_not_installed_is_said_aloud_and_skipped(trial, tmp_path):
    """nginx and Varnish are daemons, and so are found in no folder but sbin."""
    code = ("import sys, run; run.TOOL_PATH = '/usr/local/bin:/usr/bin:/bin'; "
            f"sys.argv[1:] = [*{list(TRIAL)!r}, '--build', {str(BINARY.parent)!r}, '--folder', "
            f"{str(tmp_path)!r}, 'availability']; sys.exit(run.main())")
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "bench", capture_output=True,
                         text=True, timeout=SECONDS_MAX, check=False, stdin=subprocess.DEVNULL,
                         env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert ran.returncode == 0, ran.stderr[-4000:]
    kept, = (tmp_path / "results").glob("*.json")
    skipped = {skip["peer"]: skip["reason"] for skip in json.loads(kept.read_text())["skipped"]}
    assert "nginx, static file" in skipped and "Varnish" in skipped
    assert "apt-get install nginx" in skipped["nginx, static file"]
    assert "WITHOUT Varnish" in ran.stderr and "| raw epoll" in ran.stdout


def test_the_progress_says_where_it_is(trial):
    ran, _, kept = trial
    count = len(kept["runs"])
    for number in (1, count):
        assert f"[{number}/{count}] " in ran.stderr


def test_the_table_has_every_limit(trial):
    _, path, kept = trial
    lines = path.with_suffix(".md").read_text().splitlines()
    for run in kept["runs"].values():
        for figure in run["figures"]:
            if figure["holds"] is not None:
                assert any(f"| {figure['what']} " in line for line in lines), figure["what"]
    rows = [line for line in lines if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1 and len(rows) > 20


def test_the_plot_shows_us_beside_the_others(trial):
    _, path, kept = trial
    root = xml.etree.ElementTree.fromstring(path.with_suffix(".svg").read_text())
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    sides = {figure["side"] for figure in kept["runs"]["availability"]["figures"]} - {""}
    assert {"fleetbit", "raw epoll"} <= sides <= texts
    assert {"h: range", "f: http2", "g: targets-100000"} <= texts


def test_the_results_can_be_drawn_anew(trial, tmp_path):
    _, path, _ = trial
    copy = shutil.copy(path, tmp_path)
    subprocess.run([sys.executable, ROOT / "bench" / "report.py", copy], check=True,
                   env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    for extension in (".md", ".svg"):
        assert (Path(copy).with_suffix(extension).read_text()
                == path.with_suffix(extension).read_text())


def test_only_what_is_needed_remains(trial):
    """The fleets are gone: they are large."""
    _, path, _ = trial
    remaining = {entry.name for entry in path.parents[1].iterdir()}
    assert not remaining & {"many", "few", "empty", "cluster"}


@pytest.fixture
def limit(tmp_path):
    if not YARDSTICK.exists():
        skip_loudly(f"THERE IS NO {YARDSTICK}: the yardstick is not tested")
    (tmp_path / "answer").write_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
                                      + b"x" * 5000)
    with Process([YARDSTICK, "--listen", "0", "--answer", tmp_path / "answer"], tmp_path) as server:
        yield server, (tmp_path / "answer").read_bytes()


def received(connection, count):
    got = b""
    while len(got) < count:
        got += connection.recv(1 << 16)
    return got


@pytest.mark.parametrize("pieces", [1, 3, 7, 1000])
def test_the_raw_yardstick_answers_each_request_once(limit, pieces):
    """Pipelined, and cut anywhere, also within a blank line."""
    server, answer = limit
    requests = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n" * 40
    size = -(-len(requests) // pieces)
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(requests), size):
            connection.sendall(requests[at:at + size])
        assert received(connection, 40 * len(answer)) == 40 * answer
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_the_raw_yardstick_waits_for_who_reads_late(limit):
    server, answer = limit
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 5000)
        client = Client(server.port)
        assert len(client.get("/").body) == 5000
        client.close()
        assert received(connection, 5000 * len(answer)) == 5000 * answer
