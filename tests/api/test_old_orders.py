# SPDX-License-Identifier: MIT
"""The paths of the old order system, asked as its documentation asks: with curl, its host
replaced."""
import json
import re
import subprocess

import pytest

from api import Api, problem
from harness import eventually

HOST = "http://localhost:8080"

CREATE = """curl -X POST http://localhost:8080/create_order \\
    -H "Content-Type: application/json" \\
    -d '{"user_id": 123, "item_ids": [1, 2, 3], "total_amount": 99.99}'"""
READ = "curl http://localhost:8080/get_order/1"
METRICS = "curl http://localhost:8080/metrics"

ORDER = ["id", "user_id", "item_ids", "total_amount", "status", "created_at", "started_at",
         "completed_at"]
COUNTS = ["avg_processing_time", "pending_count", "processed_count", "processing_count",
          "total_orders"]


def curl(server, line):
    """Runs it as it stands, in a shell; status, content type and document of the answer."""
    line = line.replace(HOST, f"http://127.0.0.1:{server.port}")
    ran = subprocess.run(line + r" -sS -w '\n%{http_code} %{content_type}'", shell=True,
                         capture_output=True, text=True, check=True, timeout=20)
    body, _, last = ran.stdout.rpartition("\n")
    status, content_type = last.split(" ", 1)
    return int(status), content_type, json.loads(body)


def test_the_lines_of_the_documentation(make_server):
    server = make_server().start()
    status, content_type, created = curl(server, CREATE)
    assert status == 201 and content_type == "application/json"
    assert list(created) == ["message", "data"]
    assert created["message"] == "Order created successfully!"
    assert list(created["data"]) == ORDER
    assert created["data"]["id"] == 1 and created["data"]["status"] == "PENDING"
    assert (created["data"]["user_id"], created["data"]["item_ids"],
            created["data"]["total_amount"]) == (123, [1, 2, 3], 99.99)
    eventually(lambda: curl(server, READ)[2]["status"] == "COMPLETED")
    status, content_type, order = curl(server, READ)
    assert status == 200 and content_type == "application/json" and list(order) == ORDER
    assert order["id"] == 1 and order["started_at"] <= order["completed_at"]
    status, content_type, metrics = curl(server, METRICS)
    assert status == 200 and content_type == "application/json" and list(metrics) == COUNTS
    assert re.fullmatch(r"\d+\.\d{4}", metrics["avg_processing_time"])
    assert [metrics[name] for name in COUNTS[1:]] == [0, 1, 0, 1]


def test_both_paths_show_the_same_order(make_server):
    server = make_server(env={"FLEETBIT_ORDERS_WORKERS": "0"}).start()
    with Api(server.port) as api:
        response = api.post("/create_order", {"user_id": "u", "item_ids": [5], "total_amount": 1})
        assert response.status == 201 and response.headers["location"] == "/get_order/1"
        order = response.json()["data"]
        for target in ("/get_order/1", "/v1/orders/1"):
            assert api.read(target) == order
        assert api.get("/get_order/1").body == api.get("/v1/orders/1").body
        etag = api.get("/get_order/1").headers["etag"]
        assert api.get("/get_order/1", {"If-None-Match": etag}).status == 304
        assert api.post("/v1/orders/1/start", {}).status == 200
        assert api.read("/get_order/1")["status"] == "PROCESSING"
        assert api.get("/get_order/1", {"If-None-Match": etag}).status == 200


def test_the_numbers_follow_every_transition(make_server):
    server = make_server(env={"FLEETBIT_ORDERS_WORKERS": "0"}).start()

    def counts(api):
        metrics = api.read("/metrics")
        return [metrics[name] for name in COUNTS[1:]]

    with Api(server.port) as api:
        assert api.read("/metrics") == {"avg_processing_time": "0.0000", "pending_count": 0,
                                        "processed_count": 0, "processing_count": 0,
                                        "total_orders": 0}
        for _ in range(4):
            api.new_order()
        assert counts(api) == [4, 0, 0, 4]
        for identity in (1, 2):
            api.post(f"/v1/orders/{identity}/start", {})
        assert counts(api) == [2, 0, 2, 4]
        api.post("/v1/orders/1/complete", {})
        assert counts(api) == [2, 1, 1, 4]
        api.post("/v1/orders/2/reject", {})  # no processed one, and none of the others either
        api.delete("/v1/orders/3")
        assert counts(api) == [1, 1, 0, 4]
        before = api.get("/metrics").body
        assert api.get("/metrics", {"If-None-Match": api.get("/metrics").headers["etag"]}
                       ).status == 304
    server.stop()
    server.start()
    with Api(server.port) as api:
        assert api.get("/metrics").body == before


@pytest.mark.parametrize("method, target, content, status", [
    ("POST", "/create_order", {}, 422),
    ("POST", "/create_order", {"user_id": 1, "item_ids": [1], "total_amount": -5}, 422),
    ("POST", "/create_order", {"user_id": 1, "item_ids": [], "total_amount": 5}, 422),
    ("GET", "/create_order", None, 405),
    ("GET", "/get_order/4000000000", None, 404),
    ("GET", "/get_order/x", None, 404),
    ("DELETE", "/get_order/1", None, 405),
    ("POST", "/metrics", {}, 405),
])
def test_errors_are_json(api, method, target, content, status):
    problem(api.request(method, target, content), status)


def test_a_repeated_creation_is_answered_alike(api):
    key = {"Idempotency-Key": "old-path"}
    content = {"user_id": 123, "item_ids": [1, 2, 3], "total_amount": 99.99}
    first, again = (api.post("/create_order", content, key) for _ in range(2))
    assert first.status == again.status == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert list(again.json()) == ["message", "data"]
    assert again.json()["data"]["id"] == first.json()["data"]["id"]
