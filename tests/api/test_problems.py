# SPDX-License-Identifier: MIT
"""What every response carries: problem documents, request ids, revisions; HEAD and OPTIONS."""
import re

import pytest

from api import problem
from h2client import H2
from harness import unique


def some_problems(machine):
    own = f"/v1/machines/{machine['id']}"
    taken = {"label": "x", "inventory_id": machine["inventory_id"], "type": "crane"}
    return [("GET", "/nowhere", None, None, 404), ("GET", own + "?x=1", None, None, 400),
            ("GET", "/v1/machines?limit=0", None, None, 422),
            ("PUT", "/v1/machines", {}, None, 405),
            ("POST", "/v1/machines", b"{", None, 400), ("POST", "/v1/machines", {}, None, 422),
            ("POST", "/v1/machines", taken, None, 409),
            ("PATCH", own, {"label": "y"}, {"If-Match": '"x"'}, 412),
            ("PATCH", own, b"x", {"Content-Type": "text/plain"}, 415)]


def test_every_problem_is_a_problem_document(api):
    machine = api.new_machine()
    ids = set()
    for method, target, body, headers, status in some_problems(machine):
        response = api.request(method, target, body, headers)
        document = problem(response, status)
        assert document["type"].startswith(("/", "http")), document
        assert response.headers["content-length"] == str(len(response.body))
        assert "fleetbit-revision" in response.headers
        assert "etag" not in response.headers
        ids.add(document["request_id"])
    assert len(ids) == len(some_problems(machine)), "two responses have one request id"


def test_problems_of_one_kind_have_one_type_and_title(api):
    first = problem(api.get("/nowhere"), 404)
    second = problem(api.get("/v1/machines/4000000000"), 404)
    other = problem(api.get("/v1/machines?limit=0"), 422)
    assert (first["type"], first["title"]) == (second["type"], second["title"])
    assert first["type"] != other["type"] and first["title"] != other["title"]


def test_problems_are_the_same_over_http_2(api, server):
    machine = api.new_machine()
    with H2(server.port) as h2:
        for method, target, body, headers, status in some_problems(machine):
            problem(h2.request(method, target, body, headers), status)


def test_a_problem_shows_what_was_sent_safely(api):
    """Quotes, controls and broken UTF-8 of a request come back within valid JSON."""
    for query in ("%22%5c%00%01", "%ff%fe", "%e2%82", "%f0%9f%9a%9c", "x" * 3000, "%3cscript%3e"):
        document = problem(api.get(f"/v1/machines?{query}=1"), 400)
        assert len(document["errors"]) == 1
    for path in ("/%00", '/"', "/\\", "/%ff"):
        problem(api.get(path), 404)


@pytest.mark.parametrize("identity", ["abc", "a" * 128, "b2c-4/5:6;7", '"quoted"', "\\"])
def test_the_request_id_of_a_client_is_echoed(api, server, identity):
    headers = {"X-Request-Id": identity}
    machine = api.new_machine()
    body = {"label": "a", "inventory_id": unique(), "type": "crane"}
    for method, target, content in (("GET", f"/v1/machines/{machine['id']}", None),
                                    ("GET", "/livez", None), ("GET", "/nowhere", None),
                                    ("POST", "/v1/machines", body),
                                    ("DELETE", f"/v1/machines/{machine['id']}", None)):
        response = api.request(method, target, content, headers)
        assert response.headers["x-request-id"] == identity
    assert problem(api.get("/nowhere", headers), 404)["request_id"] == identity
    with H2(server.port) as h2:
        assert h2.request("GET", "/v1/machines", None, headers).headers["x-request-id"] == identity


@pytest.mark.parametrize("identity", ["", "a" * 129, "a b", "\u00e9\u00e8", "a" * 4000])
def test_a_request_id_that_does_not_fit_is_replaced(api, identity):
    response = api.get("/nowhere", {"X-Request-Id": identity})
    problem(response, 404)
    given = response.headers["x-request-id"]
    assert given != identity and re.fullmatch(r"[\x21-\x7e]{1,128}", given)


def test_every_response_has_a_request_id_and_a_revision(api, server):
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    etag = api.get(target).headers["etag"]
    seen = set()
    for method, path, headers in (("GET", target, None), ("GET", target, None),
                                  ("GET", target, {"If-None-Match": etag}), ("HEAD", target, None),
                                  ("OPTIONS", target, None), ("GET", "/livez", None),
                                  ("GET", "/readyz", None), ("GET", "/nowhere", None)):
        response = api.request(method, path, None, headers)
        assert re.fullmatch(r"[0-9A-Za-z]+\.\d+", response.headers["fleetbit-revision"])
        seen.add(response.headers["x-request-id"])
    assert len(seen) == 8


def test_options_lists_the_methods(api):
    machine = api.new_machine()
    own = f"/v1/machines/{machine['id']}"
    for target, methods in ((own, {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
                            ("/v1/machines", {"GET", "HEAD", "POST"}),
                            (own + "/maintenance", {"GET", "HEAD", "POST"}),
                            ("/v1/availability", {"GET", "HEAD"})):
        response = api.request("OPTIONS", target)
        assert response.status in (200, 204) and response.body == b""
        listed = {name.strip() for name in response.headers["allow"].split(",")}
        assert methods <= listed and not listed - methods - {"OPTIONS"}
    problem(api.request("OPTIONS", "/nowhere"), 404)


def test_head_of_a_problem_has_its_headers_and_no_body(api):
    got, head = api.get("/nowhere"), api.request("HEAD", "/nowhere")
    assert head.status == 404 and head.body == b""
    assert head.headers["content-type"] == "application/problem+json"
    assert head.headers["content-length"] == got.headers["content-length"]


def test_health_is_answered_on_both_listeners(api, server):
    with server.admin() as admin:
        for connection in (api, admin):
            for path in ("/livez", "/readyz"):
                assert connection.get(path).status == 200
                assert connection.request("HEAD", path).status == 200
                problem(connection.post(path, {}), 405)
        problem(admin.get("/v1/machines"), 404)
    problem(api.get("/admin"), 404)
