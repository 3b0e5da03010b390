# SPDX-License-Identifier: MIT
"""Bad input: the documented status, the field by its name, and nothing changes. 400 is what is
malformed, 422 what is well-formed but not valid."""
import json

import pytest

from api import problem
from h2client import H2
from harness import day, unique

GOOD = {"label": "a", "inventory_id": "X-1", "type": "excavator"}
DEEP = 10000


def body_of(**members):
    return json.dumps({**GOOD, **members}).encode()


# (what, body, status, the field that is named or None)
MALFORMED = [
    ("nothing", b"", 400, None),
    ("blanks", b" \n", 400, None),
    ("no JSON", b"label=a", 400, None),
    ("half an object", b'{"label": "a", ', 400, None),
    ("single quotes", b"{'label': 'a'}", 400, None),
    ("a trailing comma", b'{"label": "a",}', 400, None),
    ("two objects", b"{} {}", 400, None),
    ("a comment", b'{"label": "a" /* b */}', 400, None),
    ("NaN", b'{"price_per_day": NaN}', 400, None),
    ("a number with a leading zero", b'{"price_per_day": 012}', 400, None),
    ("a raw control character", b'{"label": "a\nb"}', 400, None),
    ("a lone surrogate", b'{"label": "\\ud800"}', 400, None),
    ("a surrogate in UTF-8", b'{"label": "\xed\xa0\x80"}', 400, None),
    ("wrong UTF-8", b'{"label": "a\xff"}', 400, None),
    ("half a character", b'{"label": "a\xc3"}', 400, None),
    ("an overlong character", b'{"label": "\xc0\xaf"}', 400, None),
    ("UTF-16", '{"label": "a"}'.encode("utf-16"), 400, None),
    ("a member twice", b'{"label": "a", "type": "crane", "label": "b"}', 400, "label"),
    ("a member twice, once escaped", b'{"label": "a", "\\u006cabel": "b"}', 400, None),
    ("10,000 arrays", b'{"label": ' + b"[" * DEEP + b"]" * DEEP + b"}", 400, None),
    ("10,000 objects", b'{"label":' * DEEP + b"1" + b"}" * DEEP, 400, None),
    ("10,000 that never close", b"[" * DEEP, 400, None),
    ("a number beyond all range", b'{"price_per_day": 1e999}', 400, "price_per_day"),
    ("400 digits", b'{"price_per_day": ' + b"9" * 400 + b"}", 400, "price_per_day"),
    ("an array", b"[]", 422, None),
    ("a string", b'"label"', 422, None),
    ("null", b"null", 422, None),
]

# What is wrong with one member of a machine: it is the same for POST, PUT and PATCH.
MEMBERS = [
    ("label", 5, 422), ("label", None, 422), ("label", "", 422), ("label", "  ", 422),
    ("label", "x" * 201, 422), ("label", "\u00e9" * 101, 422), ("label", "a\u0000b", 422),
    ("label", "a\u001fb", 422), ("label", "a\u007f", 422), ("label", ["a"], 422),
    ("label", {"a": 1}, 422), ("label", True, 422),
    ("inventory_id", "", 422), ("inventory_id", 7, 422), ("inventory_id", "x" * 101, 422),
    ("inventory_id", "a\nb", 422), ("inventory_id", None, 422),
    ("type", "spaceship", 422), ("type", "", 422), ("type", "Excavator", 422),
    ("type", None, 422), ("type", "excavator ", 422), ("type", "x" * 5000, 422),
    ("price_per_day", -1, 422), ("price_per_day", 1.005, 422), ("price_per_day", "5", 422),
    ("price_per_day", 1e12, 422), ("price_per_day", 1e300, 422), ("price_per_day", [], 422),
    ("description", 5, 422), ("description", "x" * 4001, 422), ("description", "\u0007", 422),
    ("id", 7, 422), ("creation_date", "2026-01-01T00:00:00.000Z", 422),
    ("in_maintenance", True, 422), ("maintenance_start_date", "2026-01-01", 422),
    ("colour", "red", 400), ("Label", "a", 400), ("", 1, 400), ("label ", "a", 400),
    ("l\u00e4bel", "a", 400), ("x" * 300, 1, 400),
]

WINDOWS = [
    ({"start_date": "2027-02-30", "end_date": "2027-03-02"}, 422, "start_date"),
    ({"start_date": "2027-01-01", "end_date": "2027-02-30"}, 422, "end_date"),
    ({"start_date": "2027-02-29", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "2027-13-01", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "2027-00-10", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "2027-01-32", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "1/2/2027", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "2027-1-2", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "2027-01-01T00:00:00Z", "duration_days": 1}, 422, "start_date"),
    ({"start_date": " 2027-01-01", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "", "duration_days": 1}, 422, "start_date"),
    ({"start_date": 20270101, "duration_days": 1}, 422, "start_date"),
    ({"start_date": None, "duration_days": 1}, 422, "start_date"),
    ({"start_date": "0000-01-01", "duration_days": 1}, 422, "start_date"),
    ({"start_date": "9999-12-31", "duration_days": 2}, 422, "start_date"),
    ({"start_date": "2027-05-02", "end_date": "2027-05-01"}, 422, "end_date"),
    ({"end_date": "2020-01-01"}, 422, "end_date"),
    ({"start_date": "2027-01-01", "end_date": "2037-01-08"}, 422, "end_date"),
    ({"duration_days": 3661}, 422, "duration_days"),
    ({"duration_days": 0}, 422, "duration_days"),
    ({"duration_days": -3}, 422, "duration_days"),
    ({"duration_days": 1.5}, 422, "duration_days"),
    ({"duration_days": "3"}, 422, "duration_days"),
    ({"duration_days": 1e30}, 422, "duration_days"),
    ({"duration_days": None}, 422, "duration_days"),
    ({}, 422, "end_date"),
    ({"start_date": "2027-01-01"}, 422, "end_date"),
    ({"end_date": "2027-05-01", "duration_days": 3}, 422, None),
    ({"duration_days": 1, "reason": 5}, 422, "reason"),
    ({"duration_days": 1, "reason": "x" * 1001}, 422, "reason"),
    ({"duration_days": 1, "override": "yes"}, 422, "override"),
    ({"duration_days": 1, "override": 1}, 422, "override"),
    ({"duration_days": 1, "machine_id": 5}, 400, "machine_id"),
    ({"duration_days": 1, "end": "2027-05-01"}, 400, "end"),
]


def targets(machine):
    own = f"/v1/machines/{machine['id']}"
    return [("POST", "/v1/machines"), ("PUT", own), ("PATCH", own), ("POST", own + "/maintenance")]


@pytest.fixture
def machine(api):
    made = api.new_machine(description="stays")
    api.new_window(made["id"], start_date=day(2), end_date=day(4), reason="stays")
    return made


@pytest.mark.parametrize("body,status,field", [case[1:] for case in MALFORMED],
                         ids=[case[0] for case in MALFORMED])
def test_a_body_that_is_wrong_as_a_whole_changes_nothing(api, machine, body, status, field):
    with api.unchanged(machine["id"]):
        for method, target in targets(machine):
            response = api.request(method, target, body)
            if target.endswith("/maintenance") and field:
                assert response.status in (400, 422)
            else:
                problem(response, status, field)


@pytest.mark.parametrize("name,value,status", MEMBERS,
                         ids=[f"{name[:12]}={str(value)[:12]}" for name, value, _ in MEMBERS])
def test_a_wrong_member_is_named_and_changes_nothing(api, machine, name, value, status):
    own = f"/v1/machines/{machine['id']}"
    named = name if len(name) < 80 else None
    with api.unchanged(machine["id"]):
        fresh = {**GOOD, "inventory_id": unique(), name: value}
        document = problem(api.post("/v1/machines", fresh), status, named)
        assert document["detail"]
        problem(api.patch(own, {name: value}), status, named)
        if name not in ("id", "creation_date", "in_maintenance", "maintenance_start_date"):
            problem(api.put(own, fresh), status, named)


@pytest.mark.parametrize("name", ["label", "inventory_id", "type"])
def test_a_missing_member_is_named(api, machine, name):
    body = {k: v for k, v in {**GOOD, "inventory_id": unique()}.items() if k != name}
    with api.unchanged(machine["id"]):
        problem(api.post("/v1/machines", body), 422, name)
        problem(api.put(f"/v1/machines/{machine['id']}", body), 422, name)


def test_several_wrong_members_are_all_named(api, machine):
    with api.unchanged(machine["id"]):
        document = problem(api.post("/v1/machines", {}), 422)
        named = {error["field"] for error in document["errors"]}
        assert named == {"label", "inventory_id", "type"}
        document = problem(api.post("/v1/machines", {**GOOD, "label": 5, "price_per_day": -1}), 422)
        assert {error["field"] for error in document["errors"]} == {"label", "price_per_day"}


@pytest.mark.parametrize("body,status,field", WINDOWS, ids=[json.dumps(w[0])[:60] for w in WINDOWS])
def test_a_wrong_window_is_named_and_changes_nothing(api, machine, body, status, field):
    with api.unchanged(machine["id"]):
        document = problem(api.post(f"/v1/machines/{machine['id']}/maintenance", body), status,
                           field)
        assert document["errors"], document


QUERIES = [
    ("/v1/machines?limit=0", 422, "limit"), ("/v1/machines?limit=1001", 422, "limit"),
    ("/v1/machines?limit=-1", 422, "limit"), ("/v1/machines?limit=ten", 400, "limit"),
    ("/v1/machines?limit=", 400, "limit"), ("/v1/machines?limit=1.5", 400, "limit"),
    ("/v1/machines?limit=99999999999999999999999", None, "limit"),
    ("/v1/machines?limit=5&limit=6", 400, "limit"), ("/v1/machines?color=red", 400, "color"),
    ("/v1/machines?Limit=5", 400, "Limit"), ("/v1/machines?type=spaceship", 422, "type"),
    ("/v1/machines?type=", 422, "type"), ("/v1/machines?type=%ff", 400, "type"),
    ("/v1/machines?type=%zz", 400, "type"), ("/v1/machines?type=%4", 400, "type"),
    ("/v1/machines?cursor=", None, "cursor"), ("/v1/machines?cursor=abc", 400, "cursor"),
    ("/v1/machines?cursor=AAAAAAAAAAAAAAAA", 400, "cursor"),
    ("/v1/machines?cursor=" + "A" * 5000, None, "cursor"),
    ("/v1/machines?cursor=5", 400, "cursor"), ("/v1/machines?=5", 400, None),
    ("/v1/availability?date=2027-02-30", 422, "date"),
    ("/v1/availability?date=tomorrow", 400, "date"), ("/v1/availability?date=", 400, "date"),
    ("/v1/availability?date=2027-1-1", 400, "date"),
    ("/v1/availability?date=2027-01-01T00:00:00Z", 400, "date"),
    ("/v1/availability?date=0000-01-01", 422, "date"),
    ("/v1/availability?date=9999-01-01", 422, "date"),
    ("/v1/availability?from=2027-02-30&to=2027-03-01", 422, "from"),
    ("/v1/availability?from=2027-01-01&to=2030-01-01", 422, "to"),
    ("/v1/availability?limit=0", 422, "limit"), ("/v1/availability?limit=1001", 422, "limit"),
    ("/v1/availability?type=spaceship", 422, "type"), ("/v1/availability?day=1", 400, "day"),
    ("/v1/availability?cursor=AAAAAAAAAAAAAAAA", 400, "cursor"),
    ("/v1/availability/calendar", 422, "from"),
    ("/v1/availability/calendar?from=x&to=2027-01-01", 400, "from"),
    ("/v1/availability/calendar?from=2027-01-01&to=2027-01-02&type=spaceship", 422, "type"),
    ("/v1/availability/calendar?from=2027-01-01&to=2027-01-02&limit=5", 400, "limit"),
    ("{own}?fields=id", 400, "fields"), ("{own}/maintenance?limit=5", 400, "limit"),
    ("{own}/calendar?from=2027-01-01&to=2027-01-02&type=crane", 400, "type"),
    ("{own}/calendar", 422, "to"),
]


@pytest.mark.parametrize("target,status,field", QUERIES, ids=[q[0][:60] for q in QUERIES])
def test_a_wrong_query_is_named(api, machine, target, status, field):
    target = target.format(own=f"/v1/machines/{machine['id']}")
    for _ in range(2):  # an error is no answer to keep, but the second one must be the same
        response = api.get(target)
        if status is None:
            assert response.status in (400, 422)
            problem(response, response.status, field)
        else:
            problem(response, status, field)


def test_a_write_takes_no_query_that_it_does_not_know(api, machine):
    own = f"/v1/machines/{machine['id']}"
    with api.unchanged(machine["id"]):
        problem(api.post("/v1/machines?dry_run=1", {**GOOD, "inventory_id": unique()}), 400,
                "dry_run")
        problem(api.patch(own + "?force=1", {"label": "b"}), 400, "force")
        problem(api.delete(own + "?force=1"), 400, "force")


def test_a_cursor_that_was_tampered_with_is_refused(api):
    for _ in range(3):
        api.new_machine(type="conveyor")
    cursor = api.read("/v1/machines?type=conveyor&limit=1")["next"]
    for at in range(len(cursor)):
        changed = cursor[:at] + ("B" if cursor[at] != "B" else "C") + cursor[at + 1:]
        problem(api.get(f"/v1/machines?type=conveyor&cursor={changed}"), 400, "cursor")
    for changed in (cursor + "A", cursor[:-1], cursor[::-1], cursor * 2):
        problem(api.get(f"/v1/machines?type=conveyor&cursor={changed}"), 400, "cursor")


@pytest.mark.parametrize("identity", ["4000000000", "4294967295", "4294967296", "0", "-1", "1.0",
                                      "x", "01x", "99999999999999999999999", "%31x", ""])
def test_what_is_not_there_is_404(api, machine, identity):
    own = f"/v1/machines/{machine['id']}"
    with api.unchanged(machine["id"]):
        for method, body in (("GET", None), ("HEAD", None), ("DELETE", None),
                             ("PATCH", {"label": "x"}), ("PUT", {**GOOD})):
            response = api.request(method, f"/v1/machines/{identity}", body)
            assert response.status == 404, (method, response)
        problem(api.get(f"/v1/machines/{identity}/maintenance"), 404)
        problem(api.post(f"/v1/machines/{identity}/maintenance", {"duration_days": 1}), 404)
        problem(api.get(f"/v1/machines/{identity}/calendar?from={day(0)}&to={day(1)}"), 404)
        problem(api.delete(f"{own}/maintenance/{identity}"), 404)
        problem(api.get(f"{own}/maintenance/{identity}"), 404)


def test_paths_that_nobody_serves_are_404(api):
    for path in ("/v1", "/v1/", "/v1/machine", "/v1/machines/", "/v2/machines", "/V1/machines",
                 "/v1/machines/1/", "//v1/machines", "/v1/machines/1/maintenance/1/x",
                 "/v1/availability/", "/nowhere", "/v1/machines;x=1"):
        problem(api.get(path), 404)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded",
                                        "application/jsonx", "json", "application/xml",
                                        "multipart/form-data; boundary=x", "application/"])
def test_a_wrong_media_type_is_415(api, machine, media_type):
    headers = {"Content-Type": media_type}
    with api.unchanged(machine["id"]):
        for method, target in targets(machine):
            problem(api.request(method, target, {**GOOD, "inventory_id": unique()}, headers), 415)
        # A merge patch is for PATCH alone.
        merge = {"Content-Type": "application/merge-patch+json"}
        problem(api.post("/v1/machines", {**GOOD, "inventory_id": unique()}, merge), 415)


def test_the_right_media_type_is_taken_in_every_spelling(api):
    for media_type in ("application/json", "Application/JSON", "application/json; charset=utf-8",
                       "application/json;charset=UTF-8"):
        body = {**GOOD, "inventory_id": unique()}
        assert api.post("/v1/machines", body, {"Content-Type": media_type}).status == 201


@pytest.mark.parametrize("method,target,allowed", [
    ("PUT", "/v1/machines", {"GET", "HEAD", "POST"}),
    ("DELETE", "/v1/machines", {"GET", "HEAD", "POST"}),
    ("PATCH", "/v1/machines", {"GET", "HEAD", "POST"}),
    ("POST", "{own}", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
    ("PUT", "{own}/maintenance", {"GET", "HEAD", "POST"}),
    ("DELETE", "{own}/maintenance", {"GET", "HEAD", "POST"}),
    ("POST", "/v1/availability", {"GET", "HEAD"}),
    ("DELETE", "/v1/availability/calendar", {"GET", "HEAD"}),
    ("POST", "{own}/calendar", {"GET", "HEAD"}),
    ("PROPFIND", "/v1/machines", {"GET", "HEAD", "POST"}),
    ("get", "/v1/machines", {"GET", "HEAD", "POST"}),
])
def test_a_wrong_method_is_405_and_says_which_are_right(api, machine, method, target, allowed):
    target = target.format(own=f"/v1/machines/{machine['id']}")
    with api.unchanged(machine["id"]):
        response = api.request(method, target, {**GOOD, "inventory_id": unique()})
        problem(response, 405)
        listed = {name.strip() for name in response.headers["allow"].split(",")}
        assert allowed <= listed and not listed - allowed - {"OPTIONS"}, listed


# --- sizes ---

MIB = 1 << 20


def padded(size):
    body = body_of(inventory_id=unique())
    return body + b" " * (size - len(body))


def chunked(body, size=65536):
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_body_of_1_mib_is_taken(api, server):
    assert api.post("/v1/machines", padded(MIB)).status == 201
    with H2(server.port) as h2:
        assert h2.request("POST", "/v1/machines", padded(MIB)).status == 201
    api.send("POST", "/v1/machines", None, {"Transfer-Encoding": "chunked",
                                            "Content-Type": "application/json"})
    api.send_raw(chunked(padded(MIB)))
    assert api.receive().status == 201


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB])
def test_a_larger_body_is_413(api, server, machine, size):
    with api.unchanged(machine["id"]):
        problem(api.post("/v1/machines", padded(size)), 413)
        with H2(server.port) as h2:
            problem(h2.request("POST", "/v1/machines", padded(size)), 413)
            problem(h2.request("PATCH", f"/v1/machines/{machine['id']}", padded(size)), 413)
            assert h2.request("GET", "/v1/machines?limit=1").status == 200, "the connection is lost"


def test_a_larger_body_of_no_declared_length_is_413(api, server, machine):
    with api.unchanged(machine["id"]):
        api.open()
        api.send("POST", "/v1/machines", None, {"Transfer-Encoding": "chunked",
                                                "Content-Type": "application/json"})
        api.send_raw(chunked(padded(MIB + 1)))
        problem(api.receive(), 413)
        with H2(server.port) as h2:
            problem(h2.request("POST", "/v1/machines", padded(MIB + 1), declare=False), 413)


def test_a_body_too_large_is_refused_before_it_is_sent(api, server):
    """With only the head there, the answer comes: nobody has to send a gigabyte to be refused."""
    api.open()
    api.send("POST", "/v1/machines", None, {"Content-Length": str(1 << 30),
                                            "Content-Type": "application/json"})
    problem(api.receive(), 413)


def test_a_target_of_8_kib_is_taken_and_a_longer_one_is_414(api, server):
    prefix = "/v1/machines?type="
    with H2(server.port) as h2:
        for length in (8192, 8193, 9000, 20000, 60000):
            target = prefix + "a" * (length - len(prefix))
            expected = 422 if length <= 8192 else 414
            problem(h2.request("GET", target), expected)
            api.open()
            problem(api.get(target), expected)
            api.open()
            problem(api.request("DELETE", target), 405 if expected == 422 else 414)
        assert h2.request("GET", "/v1/machines?limit=1").status == 200
