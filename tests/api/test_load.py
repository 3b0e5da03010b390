# SPDX-License-Identifier: MIT
"""A thousand connections that read as fast as they can, while others write: every answer is a good
one. FLEETBIT_LONG=1 makes it last 30 seconds."""
import re
import shutil
import subprocess
import threading
from pathlib import Path

from api import Api
from harness import LONG, SANITIZER, day, eventually, scale, skip_loudly, unique
from store import check_store

SECONDS = 30 if LONG and not SANITIZER else scale(4, 6)


class Writers:
    """Threads that create and change machines and their maintenance until they are stopped."""

    def __init__(self, server, count=4):
        self.server, self.ended = server, threading.Event()
        self.written, self.broken = 0, []
        self.threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        try:
            with Api(self.server.port) as api:
                while not self.ended.wait(0.002):
                    machine = api.new_machine(inventory_id=unique("load"))
                    api.new_window(machine["id"], duration_days=3)
                    label = api.patch(f"/v1/machines/{machine['id']}", {"label": "b"})
                    assert label.status == 200, label
                    assert api.machine(machine["id"])["in_maintenance"] is True
                    self.written += 3
        except BaseException as error:
            self.broken.append(error)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        assert not self.broken, self.broken[0]


def run_wrk(port, connections):
    script = Path(__file__).with_name("mix.lua")
    result = subprocess.run(
        ["wrk", "-t2", f"-c{connections}", f"-d{SECONDS}s", "--timeout", f"{scale(5, 30)}s", "-s",
         script, f"http://127.0.0.1:{port}/", "--", day(0)],
        capture_output=True, text=True, timeout=SECONDS + 60, check=False)
    assert result.returncode == 0, result
    print(result.stdout)
    return result.stdout


def test_a_thousand_connections_read_while_others_write(make_server):
    if shutil.which("wrk") is None:
        skip_loudly("WRK IS MISSING: nothing is tested under load (apt-get install wrk)")
    server = make_server("--demo").start()
    eventually(lambda: "demo: " in server.errors())
    writers = Writers(server)
    try:
        report = run_wrk(server.port, 1000)
    finally:
        writers.stop()
    assert "Socket errors" not in report, report
    assert "Non-2xx" not in report, report
    requests = int(re.search(r"(\d+) requests in", report).group(1))
    assert requests > scale(20000, 1000), "it hardly read"
    assert writers.written > scale(100, 10), "it hardly wrote"
    with Api(server.port) as api:
        check_store(server.redis(), api)
