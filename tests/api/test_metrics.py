# SPDX-License-Identifier: MIT
"""The admin listener's /metrics."""
import os
import signal
import time
from pathlib import Path

import pytest

from api import Api, problem
from harness import day, eventually
from prometheus import Metrics

REDIS_TIMEOUT = {"FLEETBIT_REDIS_TIMEOUT": "300ms", "FLEETBIT_WRITER_DEADLINE": "1s"}


@pytest.fixture
def own(make_server):
    return make_server(env=REDIS_TIMEOUT).start()


def scrape(server):
    with server.admin() as admin:
        response = admin.get("/metrics")
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Metrics(response.body.decode())


def test_the_text_is_that_of_prometheus_and_has_what_is_promised(own):
    metrics = scrape(own)
    for name in ("fleetbit_revision", "fleetbit_snapshot_age_seconds", "fleetbit_writer_queue",
                 "fleetbit_redis_up", "process_cpu_seconds_total", "process_start_time_seconds",
                 "process_resident_memory_bytes", "process_virtual_memory_bytes",
                 "process_open_fds", "process_max_fds"):
        metrics.value(name)
    assert metrics.types["fleetbit_requests_total"] == "counter"
    assert metrics.types["fleetbit_request_duration_seconds"] == "histogram"
    assert metrics.value("fleetbit_redis_up") == 1
    assert abs(metrics.value("process_start_time_seconds") - time.time()) < 60
    resident = metrics.value("process_resident_memory_bytes")
    pages = int(Path(f"/proc/{own.pid}/statm").read_text().split()[1])
    assert 0.5 < resident / (pages * os.sysconf("SC_PAGESIZE")) < 2
    files = len(list(Path(f"/proc/{own.pid}/fd").iterdir()))
    assert abs(metrics.value("process_open_fds") - files) < 5


def test_requests_and_durations_move_by_route_and_status(own):
    with Api(own.port) as api:
        before = scrape(own)
        machine = api.new_machine()
        for _ in range(10):
            api.machine(machine["id"])
            problem(api.get("/v1/machines/4000000000"), 404)
        problem(api.post("/v1/machines", {}), 422)
        problem(api.get("/nowhere"), 404)
        after = scrape(own)

    def moved(name, **labels):
        return after.sum(name, **labels) - before.sum(name, **labels)

    one = {"method": "GET", "route": "/v1/machines/{id}"}
    assert moved("fleetbit_requests_total", status="2xx", **one) == 10
    assert moved("fleetbit_requests_total", status="4xx", **one) == 10
    assert moved("fleetbit_request_duration_seconds_count", **one) == 20
    assert moved("fleetbit_request_duration_seconds_sum", **one) > 0
    new = {"method": "POST", "route": "/v1/machines"}
    assert moved("fleetbit_requests_total", status="2xx", **new) == 1
    assert moved("fleetbit_requests_total", status="4xx", **new) == 1
    assert moved("fleetbit_requests_total", status="4xx") == 12


def test_the_revision_and_the_writes_move(own):
    with Api(own.port) as api:
        before = scrape(own)
        for _ in range(5):
            last = api.post(f"/v1/machines/{api.new_machine()['id']}/maintenance",
                            {"duration_days": 1})
        after = scrape(own)
    assert after.value("fleetbit_revision") == last.revision[1]
    assert after.value("fleetbit_revision") - before.value("fleetbit_revision") == 10
    assert after.value("fleetbit_snapshot_age_seconds") < 5
    time.sleep(0.3)
    later = scrape(own)
    assert later.value("fleetbit_snapshot_age_seconds") > 0.25
    assert later.value("fleetbit_revision") == after.value("fleetbit_revision")


def test_the_memo_and_the_connections_are_counted(own):
    with Api(own.port) as api:
        api.new_machine()
        before = scrape(own)
        for _ in range(20):
            assert api.get("/v1/machines").status == 200
        after = scrape(own)
        assert after.value("fleetbit_connections_open") >= 1
    assert after.value("fleetbit_memo_hits_total") - before.value("fleetbit_memo_hits_total") >= 18
    assert after.value("fleetbit_connections_total") > before.value("fleetbit_connections_total")


def test_loops_commits_readers_and_events_are_counted(own):
    with Api(own.port) as api:
        before = scrape(own)
        machine = api.new_machine()
        for i in range(5):
            api.patch(f"/v1/machines/{machine['id']}", {"label": f"w{i}"})
        eventually(lambda: scrape(own).all("fleetbit_log_entries") == [6])
        after = scrape(own)

    def moved(name, **labels):
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert moved("fleetbit_events_total", topic="machine") == 6
    assert moved("fleetbit_events_total") == 6
    for name in ("fleetbit_writer_batch_duration_seconds_count",
                 "fleetbit_redis_commit_duration_seconds_count",
                 "fleetbit_writer_batch_writes_sum"):
        assert moved(name) == 6, name
    assert 0 < moved("fleetbit_redis_commit_duration_seconds_sum") \
        < moved("fleetbit_writer_batch_duration_seconds_sum")
    assert after.value("fleetbit_log_lag_revisions") == 0
    assert 0 <= after.value("fleetbit_log_compared_age_seconds") < 10
    assert moved("fleetbit_readers_job_duration_seconds_count") >= 1
    assert len(after.all("fleetbit_loop_cpu_seconds_total")) == after.value("fleetbit_loops")
    assert moved("fleetbit_loop_cpu_seconds_total") >= 0
    assert moved("fleetbit_loop_turns_total") > 0
    assert after.value("fleetbit_writer_cpu_seconds_total") > 0
    assert after.value("fleetbit_messages_total", level="info") > 0
    assert after.value("fleetbit_messages_dropped_total") == 0


def test_orders_are_counted(make_server):
    """Those of the fleet are those of the old system's /metrics."""
    own = make_server(env={"FLEETBIT_ORDERS_WORKERS": "2",
                           "FLEETBIT_ORDERS_PROCESSING_TIME": "300ms"}).start()
    with Api(own.port) as api:
        machine = api.new_machine()["id"]
        for _ in range(5):
            answer = api.post("/v1/orders", {"user_id": 1, "item_ids": [machine],
                                             "total_amount": 1, "start_date": day(1),
                                             "end_date": day(1)})
            assert answer.status == 202, answer
        early = scrape(own)
        assert early.value("fleetbit_orders_created_total") == 5
        assert early.value("fleetbit_orders_in_hand_limit") == 2
        assert early.value("fleetbit_orders_in_hand") <= 2
        assert early.sum("fleetbit_orders") + early.sum("fleetbit_orders_ended_total") == 5
        eventually(lambda: scrape(own).value("fleetbit_orders_ended_total", status="completed"))
        eventually(lambda: scrape(own).value("fleetbit_orders_ended_total", status="rejected") == 4)
        eventually(lambda: scrape(own).value("fleetbit_orders_queue") == 0)
        after, shown = scrape(own), api.read("/metrics")
    assert (shown["total_orders"], shown["processed_count"]) == (5, 1)
    assert after.sum("fleetbit_orders") == 0
    assert after.value("fleetbit_orders_ended_total", status="cancelled") == 0
    assert after.value("fleetbit_orders_oldest_pending_seconds") == 0
    assert after.value("fleetbit_orders_in_hand") == 0
    total = after.value("fleetbit_order_processing_seconds_sum")
    assert 0.3 <= total and f"{total:.4f}" == shown["avg_processing_time"]
    assert after.value("fleetbit_order_processing_seconds_count") == 1
    assert after.value("fleetbit_order_processing_seconds_bucket", le="0.1") == 0
    for name in ("claimed", "requeued", "archived"):
        assert after.value(f"fleetbit_orders_{name}_total") == 0


def test_a_private_redis_that_was_started_again_is_counted(own):
    assert scrape(own).value("fleetbit_redis_restarts_total") == 0
    os.kill(own.redis_pid, signal.SIGKILL)
    eventually(lambda: scrape(own).value("fleetbit_redis_restarts_total") == 1)
    eventually(lambda: scrape(own).value("fleetbit_redis_up") == 1)


def test_the_state_of_redis_and_the_queue_are_shown(own):
    with Api(own.port) as api:
        machine = api.new_machine()
        redis_pid = own.redis_pid
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            waiting = [Api(own.port) for _ in range(10)]
            for number, connection in enumerate(waiting):
                connection.send("PATCH", f"/v1/machines/{machine['id']}", {"label": "w"})
                if number == 0:
                    time.sleep(0.1)  # the writer takes it and waits; the others must queue
            eventually(lambda: scrape(own).value("fleetbit_writer_queue") >= 1)
            eventually(lambda: scrape(own).value("fleetbit_redis_up") == 0)
            first = scrape(own).value("fleetbit_redis_contact_age_seconds")
            time.sleep(0.3)
            assert scrape(own).value("fleetbit_redis_contact_age_seconds") > first
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        for connection in waiting:
            assert connection.receive().status in (200, 503)
            connection.close()
        eventually(lambda: scrape(own).value("fleetbit_redis_up") == 1)
        assert scrape(own).value("fleetbit_writer_queue") == 0


def test_other_paths_and_methods_of_the_admin_listener(own):
    with own.admin() as admin:
        problem(admin.get("/"), 404)
        problem(admin.post("/metrics", {}), 405)
        head = admin.request("HEAD", "/metrics")
        assert head.status == 200 and head.body == b""
