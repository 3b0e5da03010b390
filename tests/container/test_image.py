# SPDX-License-Identifier: MIT
"""The image of the Dockerfile: it is small, runs as nobody on a read-only root, says whether it is
healthy, and does in there what the tests of the interface ask of it."""
import ctypes
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import image
from api import Api
from harness import ROOT, children, eventually, unique

@pytest.fixture(scope="session")
def build():
    """Builds a target of the Dockerfile, once."""
    tool, made = image.builder(), {}

    def build_once(target=None):
        if target not in made:
            made[target] = tool.build(target)
        return made[target]

    yield build_once
    tool.close()


@pytest.fixture
def whole(build):
    return build()


@pytest.fixture
def start(tmp_path):
    """Starts containers, and ends those that are left when the test is over."""
    started = []

    def start_one(of, command, *options):
        output = tmp_path / f"output-{len(started)}"
        process = of.start(command, "--new-pid", *options, output=output)
        process.output = output
        started.append(process)
        eventually(lambda: children(process.pid) or process.poll() is not None)
        assert process.poll() is None, output.read_text()
        (process.main,) = children(process.pid)
        return process

    yield start_one
    for process in reversed(started):
        if process.poll() is None:
            process.kill()
            process.wait()


def volume_of(of, folder):
    """A fresh volume, which an engine gives to the user of the image's folder."""
    folder.mkdir()
    uid, gid = of.user.split(":")
    os.chown(folder, int(uid), int(gid))
    return "--volume", f"{folder}:/var/lib/fleetbit"


def is_healthy(of, process):
    assert process.poll() is None, process.output.read_text()
    return of.run(of.health, "--net-of", process.main).returncode == 0


def connect_within(process, port):
    """A connection that is opened in the network of a container."""
    made = []

    def connect():
        with open(f"/proc/{process.main}/ns/net", "rb") as space:
            assert ctypes.CDLL(None).setns(space.fileno(), 0) == 0
        made.append(Api(port))

    thread = threading.Thread(target=connect)  # the rest of us stays where it is
    thread.start()
    thread.join()
    return made[0]


def status_of(process):
    text = Path(f"/proc/{process.main}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def stop(process, number=signal.SIGTERM, seconds=20):
    process.send_signal(number)
    assert process.wait(seconds) == 0, process.output.read_text()


# ---- What is in it ----


def test_it_is_under_120_mb(whole):
    sizes = {s.st_ino: s.st_size for _, s in whole.files() if stat.S_ISREG(s.st_mode)}
    total = sum(sizes.values()) / 1e6
    print(f"the image: {whole.size} MB of layers, {total:.1f} MB of files")
    assert 60 < total <= whole.size < 120


def test_it_holds_what_runs_it_and_no_more(whole):
    paths = {path for path, _ in whole.files()}
    for needed in ("/usr/bin/fleetbit", "/usr/bin/redis-server", "/etc/fleetbit/fleetbit.yaml",
                   "/etc/fleetbit/redis.conf", "/usr/share/zoneinfo/Europe/Berlin"):
        assert needed in paths
    assert not [path for path in paths if path.startswith(("/src/", "/var/lib/apt/lists/"))
                or path.endswith(".deb")]
    assert not paths & {"/usr/bin/" + name for name in ("gcc", "cc", "cmake", "git", "python3")}
    manual = [path for path in paths if path.startswith(("/usr/share/man/", "/usr/share/doc/"))
              and (whole.root / path[1:]).is_file() and not path.endswith("copyright")]
    assert not manual
    for path, status in whole.files():
        if path.startswith(("/usr/bin/fleetbit", "/etc/fleetbit")):
            assert status.st_uid == 0 and not status.st_mode & 0o002, path
    assert b".debug_info" not in (whole.root / "usr/bin/fleetbit").read_bytes()


def test_it_is_configured_to_be_run_safely(whole):
    uid, gid = (int(part) for part in whole.user.split(":"))
    assert uid >= 1000 and gid >= 1000
    assert f"fleetbit:x:{uid}:{gid}:" in (whole.root / "etc/passwd").read_text()
    assert whole.command == ["fleetbit", "serve"] and whole.health == ["fleetbit", "health"]
    assert set(whole.config["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
    assert set(whole.config["Volumes"]) == {"/var/lib/fleetbit"}
    assert whole.config["StopSignal"] == "SIGTERM"
    labels = whole.config["Labels"]
    for name in ("title", "description", "licenses"):
        assert labels["org.opencontainers.image." + name]
    folder = (whole.root / "var/lib/fleetbit").stat()
    assert (folder.st_uid, folder.st_gid) == (uid, gid)


# ---- What it does ----


def test_it_serves_with_a_redis_of_its_own(whole, start, tmp_path):
    """As `docker run --read-only --cap-drop ALL -v …:/var/lib/fleetbit` does: healthy, without any
    privilege, and what was written is there after the next start."""
    volume = volume_of(whole, tmp_path / "volume")
    process = start(whole, whole.command, "--new-net", *volume)
    eventually(lambda: is_healthy(whole, process))
    status = status_of(process)
    assert status["Uid"].split() == [whole.user.split(":")[0]] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NSpid"].split()[-1] == "1"
    assert status["NoNewPrivs"] == "1" and status["Groups"].strip() == ""
    mounts = Path(f"/proc/{process.main}/mountinfo").read_text().splitlines()
    writable = {line.split()[4] for line in mounts if "rw" in line.split()[5].split(",")}
    assert writable <= {"/var/lib/fleetbit", "/proc", "/dev/null", "/dev/zero", "/dev/random",
                        "/dev/urandom"}
    with connect_within(process, 8080) as api:
        machine = api.new_machine()
    with connect_within(process, 8081) as admin:
        assert b"process_resident_memory_bytes" in admin.get("/metrics").body
    stop(process)
    process = start(whole, whole.command, "--new-net", *volume)
    eventually(lambda: is_healthy(whole, process))
    with connect_within(process, 8080) as api:
        assert api.machine(machine["id"]) == machine
    stop(process)


def test_what_does_not_serve_is_not_healthy(whole, start, tmp_path):
    process = start(whole, whole.command, "--new-net", *volume_of(whole, tmp_path / "volume"))
    eventually(lambda: is_healthy(whole, process))
    os.kill(process.main, signal.SIGSTOP)
    began = time.monotonic()
    assert not is_healthy(whole, process)
    assert time.monotonic() - began < 30
    os.kill(process.main, signal.SIGCONT)
    eventually(lambda: is_healthy(whole, process))
    stop(process)
    assert whole.run(whole.health, "--new-net").returncode == 1


def test_the_redis_of_the_compose_file_keeps_what_was_acknowledged(build, start, tmp_path):
    """Both images as compose.yaml runs them; fleetbit has nothing at all that it may write to."""
    whole, redis = build(), build("redis")
    volume = volume_of(redis, tmp_path / "volume")
    database = start(redis, redis.command, "--new-net", *volume)
    eventually(lambda: is_healthy(redis, database))
    network = ("--net-of", database.main)
    whole.environment["FLEETBIT_REQUIRE"] = "fsync"
    process = start(whole, [*whole.command, "--redis", "redis://127.0.0.1:6379"], *network)
    eventually(lambda: is_healthy(whole, process))
    assert "acknowledged write is in the append-only file of Redis, fsynced" in \
        process.output.read_text()
    with connect_within(process, 8080) as api:
        made = [api.new_machine() for _ in range(20)]
        # The network lives as long as the process that made it: keep it with another in it.
        os.kill(database.main, signal.SIGKILL)
        database.wait()
        network = ("--net-of", process.main)
        database = start(redis, redis.command, *network, *volume)
        eventually(lambda: is_healthy(redis, database))
        eventually(lambda: api.post("/v1/machines", {
            "label": "a", "inventory_id": unique(), "type": "crane"}).status == 201)
        there = {machine["id"]: machine for machine in api.pages("/v1/machines?limit=1000")}
        assert [there[machine["id"]] for machine in made] == made
    stop(process)
    stop(database)


# Those that look at files or processes from the outside are left out; so is the load.
API_TESTS = ["availability", "bad_input", "coherence", "drain", "limits", "machines", "maintenance",
             "metrics", "problems", "protocols", "races"]


def test_the_tests_of_the_interface_pass_within_it(whole, tmp_path):
    binary = tmp_path / "fleetbit"
    words = " ".join("'" + word.replace("'", "'\\''") + "'"
                     for word in whole.entering(["fleetbit"], "--api"))
    binary.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    binary.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider",
         *(str(ROOT / "tests" / "api" / f"test_{name}.py") for name in API_TESTS)],
        env={**os.environ, "FLEETBIT_BIN": str(binary)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = int(re.search(r"(\d+) passed", done.stdout).group(1))
    print(f"tests of the interface that passed within the image: {passed}")
    assert passed > 300
