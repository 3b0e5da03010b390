# SPDX-License-Identifier: MIT
"""fleetbit order: the client that places orders, many at once."""
import http.server
import os
import pty
import re
import signal
import socket
import subprocess
import threading

import pytest

from api import Api
from harness import BINARY, day, environment, eventually, free_port

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 6


def run(*flags, **options):
    return subprocess.run([str(BINARY), "order", *map(str, flags)], capture_output=True, text=True,
                          timeout=60, check=False, env=environment(), **options)


def place(server, *flags):
    return run("--url", f"http://127.0.0.1:{server.port}", *flags)


def number(pattern, text):
    found = re.search(pattern, text, re.M)
    assert found, text
    return float(found.group(1))


def test_it_places_orders_and_says_how_that_went(make_server):
    server = make_server().start()
    ran = place(server, "--requests", 500, "--concurrency", 20, "--user", "Änne", "--items",
                "7,9", "--wait")
    assert ran.returncode == OK, ran
    assert re.match(r"500 orders in \d+\.\d{3} s, \d+ a second, 20 at once\n", ran.stdout)
    assert "\nstatus 202: 500\n" in ran.stdout
    quantiles = [number(rf"^latency in ms:.*  {name} ([\d.]+)", ran.stdout)
                 for name in ("min", "p50", "p90", "p99", "max")]
    assert quantiles == sorted(quantiles) and quantiles[0] > 0
    assert re.search(r"^at their end after [\d.]+ s:  COMPLETED 500  REJECTED 0  CANCELLED 0$",
                     ran.stdout, re.M)
    bars = ran.stderr.splitlines()
    assert len(bars) <= 24 and "100 %  500 of 500 orders" in ran.stderr and "\r" not in ran.stderr
    with Api(server.port) as api:
        orders = api.pages("/v1/orders?limit=1000", "orders")
        assert len(orders) == 500
        assert {(o["user_id"], tuple(o["item_ids"]), o["total_amount"]) for o in orders} == {
            ("Änne", (7, 9), 100)}


def test_it_has_defaults(make_server):
    server = make_server(env={"FLEETBIT_ORDERS_WORKERS": "0"}).start()
    ran = place(server)
    assert ran.returncode == OK and "status 202: 100\n" in ran.stdout and "10 at once" in ran.stdout
    assert "at their end" not in ran.stdout
    with Api(server.port) as api:
        assert api.read("/metrics")["total_orders"] == 100
        assert api.order(1)["user_id"] == 1 and api.order(1)["item_ids"] == [1]


def test_of_bookings_of_one_machine_one_is_completed(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        machine = api.new_machine()["id"]
    ran = place(server, "--requests", 30, "--items", machine, "--start-date", day(1),
                "--end-date", day(2), "--wait")
    assert ran.returncode == OK, ran
    assert "COMPLETED 1  REJECTED 29  CANCELLED 0" in ran.stdout


def test_what_is_refused_is_counted_and_explained(make_server):
    server = make_server(env={"FLEETBIT_ORDERS_WORKERS": "0",
                              "FLEETBIT_ORDERS_PENDING": "20"}).start()
    ran = place(server, "--requests", 50, "--concurrency", 5)
    assert ran.returncode == FAILED
    assert "status 202: 20\n" in ran.stdout and "status 503: 30\n" in ran.stdout
    assert "the first one that was not taken: it answers with status 503" in ran.stdout
    ran = place(server, "--requests", 3, "--items", 4000000000, "--start-date", day(1),
                "--end-date", day(1))
    assert ran.returncode == FAILED and "status 422: 3\n" in ran.stdout
    assert "4000000000" in ran.stdout


@pytest.mark.parametrize("flags, said", [
    (["--requests", "0"], "--requests"), (["--requests", "x"], "--requests"),
    (["--concurrency", "1001"], "--concurrency"), (["--items", "1,,2"], "--items"),
    (["--items", ""], "--items"), (["--items", "a"], "--items"), (["--url", "x"], "--url"),
    (["--start-date", "31.1.2027"], "--start-date"), (["--end-date", "2027-02-30"], "--end-date"),
    (["--machines", "5"], "of seed"), (["--colour", "red"], "no such flag"), (["x"], "unexpected")])
def test_wrong_flags_are_named(flags, said):
    ran = run(*flags)
    assert ran.returncode == USAGE and said in ran.stderr and ran.stdout == "", ran


def test_help_says_all():
    for ran in (run("--help"),
                subprocess.run([BINARY, "help", "order"], capture_output=True, text=True,
                               check=False)):
        assert ran.returncode == OK
        for flag in ("--url", "--requests", "--concurrency", "--user", "--items", "--start-date",
                     "--end-date", "--wait"):
            assert flag in ran.stdout


def test_a_server_that_is_not_there_or_no_fleetbit_is_named(make_server, make_redis):
    url = f"http://127.0.0.1:{free_port()}"
    ran = run("--url", url)
    assert ran.returncode == UNREACHABLE and url in ran.stderr and ran.stdout == ""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        ran = run("--url", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
    assert ran.returncode == UNREACHABLE and "no fleetbit" in ran.stderr
    redis = make_redis()  # it does not run
    server = make_server(redis_url=redis.url).launch()
    ran = run("--url", f"http://127.0.0.1:{server.port}")
    assert ran.returncode == UNREACHABLE and "being loaded" in ran.stderr, ran
    redis.start()
    server.wait_ready()


def test_an_interrupt_ends_it_before_the_first_order_too():
    """Here, while it waits for somebody who says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [str(BINARY), "order", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        peer, _ = silent.accept()
        peer.recv(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        peer.close()
    assert process.returncode == -signal.SIGINT and out == ""


@pytest.mark.parametrize("user, shown", [
    ("9007199254740991", 9007199254740991), ("-7", -7), ("0", 0), ("007", "007"),
    ("9007199254740992", "9007199254740992"), ("+7", "+7"), ("7.0", "7.0"), ('"7"', '"7"')])
def test_a_user_is_a_number_where_that_is_one(server, user, shown):
    assert place(server, "--requests", 1, "--user", user, "--items", 1).returncode == OK
    with Api(server.port) as api:
        assert api.read("/v1/orders?limit=1")["orders"][0]["user_id"] == shown


def test_an_interrupt_ends_it_with_what_there_is(make_server):
    """Here, while it waits for orders that nobody processes."""
    server = make_server(env={"FLEETBIT_ORDERS_WORKERS": "0"}).start()
    process = subprocess.Popen(
        [str(BINARY), "order", "--url", f"http://127.0.0.1:{server.port}", "--requests", "40",
         "--wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    with Api(server.port) as api:
        eventually(lambda: api.read("/metrics")["total_orders"] == 40)
        for identity in range(1, 5):
            api.post(f"/v1/orders/{identity}/start", {})
            api.post(f"/v1/orders/{identity}/complete", {})
    for line in process.stderr:
        if "4 of 40 orders at their end" in line:
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == FAILED
    assert "status 202: 40\n" in out and "COMPLETED 4 " in out and "not at their end: 36\n" in out


def test_on_a_terminal_the_bar_is_drawn_over_itself(make_server):
    server = make_server().start()
    ours, its = pty.openpty()
    ran = subprocess.Popen(
        [str(BINARY), "order", "--url", f"http://127.0.0.1:{server.port}", "--requests", "50"],
        stdout=subprocess.PIPE, stderr=its, env=environment())
    out, _ = ran.communicate(timeout=30)
    os.close(its)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert ran.returncode == OK and b"status 202: 50" in out
    assert shown.count("\n") == 1 and shown.count("\r[") == 50, shown
