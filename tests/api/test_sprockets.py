# SPDX-License-Identifier: MIT
"""System E: sprockets, in the words of the system that fleetbit took the place of."""
import json
import uuid

import pytest

from api import Api, problem
from harness import eventually
from sse import Stream

GOOD = {"teeth": 5, "pitch_diameter": 5, "outside_diameter": 6, "pitch": 1}


def new_sprocket(api, path="/v1/sprockets", **members):
    response = api.post(path, {**GOOD, **members})
    assert response.status == 201, response
    return response


def said(response, status, message, field=None):
    """A problem whose message is this one."""
    assert problem(response, status, field)["message"] == message, response


@pytest.mark.parametrize("path", ["/v1/sprockets", "/v1/sprocket"])
def test_a_sprocket_is_created_read_and_updated(api, path):
    created = new_sprocket(api, path, pitch=0.5)
    number = created.json()["id"]
    thing = {"id": number, **GOOD, "pitch": 0.5}
    assert created.json() == {"message": "Sprocket created", "id": number, "sprocket": thing}
    assert created.headers["location"] == f"/v1/sprockets/{number}"
    for name in ("/v1/sprockets", "/v1/sprocket"):
        read = api.get(f"{name}/{number}")
        assert read.status == 200 and read.json() == thing, read
        assert list(read.json()) == ["id", "teeth", "pitch_diameter", "outside_diameter", "pitch"]
        assert read.headers["etag"] == created.headers["etag"]
        assert thing in api.pages(f"{name}?limit=100", "sprockets")
    updated = api.put(f"{path}/{number}", {**GOOD, "teeth": 7})
    assert updated.status == 200 and "location" not in updated.headers, updated
    thing = {"id": number, **GOOD, "teeth": 7}
    assert updated.json() == {"message": "Sprocket updated", "id": number, "sprocket": thing}
    for name in ("/v1/sprockets", "/v1/sprocket"):
        assert api.read(f"{name}/{number}") == thing  # and not what the memo had
        assert thing in api.pages(f"{name}?limit=100", "sprockets")


def test_what_was_read_can_be_sent_back(api):
    path = new_sprocket(api).headers["location"]
    response = api.put(path, api.get(path).body)
    assert response.status == 200 and response.json()["sprocket"] == api.read(path)
    said(api.put(path, {**GOOD, "id": 4294967295}), 400,
         f"id: must be {path.split('/')[-1]}, as in the path", "id")


@pytest.mark.parametrize("name", list(GOOD))
def test_what_is_missing_is_named(api, name):
    body = {k: v for k, v in GOOD.items() if k != name}
    said(api.post("/v1/sprocket", body), 400, f"Missing required field: {name}", name)
    path = new_sprocket(api).headers["location"]
    said(api.put(path, body), 400, f"Missing required field: {name}", name)
    assert api.read(path)[name] == GOOD[name]


def test_of_several_the_first_is_named(api):
    response = api.post("/v1/sprockets", {})
    said(response, 400, "Missing required field: teeth")
    assert [e["field"] for e in response.json()["errors"]] == list(GOOD)


@pytest.mark.parametrize("body, message", [
    ({"teeth": -1}, "teeth: must be between 1 and 1000000"),
    ({"teeth": 0}, "teeth: must be between 1 and 1000000"),
    ({"teeth": 1.5}, "teeth: must be a whole number"),
    ({"teeth": "5"}, "teeth: must be a number"),
    ({"teeth": None}, "teeth: must not be null"),
    ({"teeth": True}, "teeth: must be a number"),
    ({"pitch": "1"}, "pitch: must be a number"),
    ({"pitch_diameter": [1]}, "pitch_diameter: must be a number"),
    ({"outside_diameter": {}}, "outside_diameter: must be a number"),
    ({"colour": "red"}, "colour: there is no such member here"),
])
def test_a_sprocket_that_is_none_is_refused(api, body, message):
    field = message.split(":")[0]
    said(api.post("/v1/sprockets", {**GOOD, **body}), 400, message, field)
    path = new_sprocket(api).headers["location"]
    said(api.put(path, {**GOOD, **body}), 400, message, field)
    assert api.read(path) == {"id": int(path.split("/")[-1]), **GOOD}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"x", b'{"teeth":NaN}',
                                  b'{"teeth":1,"teeth":2}', b'{"pitch":1e999}'])
def test_a_body_that_is_no_object_is_malformed(api, body):
    response = api.post("/v1/sprockets", body)
    document = problem(response, 400)
    assert document["message"] == document["detail"]


@pytest.mark.parametrize("name", ["/v1/sprockets", "/v1/sprocket"])
@pytest.mark.parametrize("number", ["4294967295", "0", "x", "-1", "1.5", "4294967296", "1/2"])
def test_an_unknown_sprocket_is_not_found(api, name, number):
    said(api.get(f"{name}/{number}"), 404, "Sprocket not found")
    said(api.put(f"{name}/{number}", GOOD), 404, "Sprocket not found")


def test_numbers_come_out_as_the_doubles_that_came_in(api):
    for text in ("0.1", "0.10", "1e2", "-0.5", "5", "0.30000000000000004", "1e-7", "123456789.25"):
        body = json.dumps(GOOD).replace('"pitch": 1', f'"pitch": {text}')
        created = api.post("/v1/sprockets", body.encode())
        assert created.status == 201, created
        assert api.read(created.headers["location"])["pitch"] == float(text)
    assert b'"pitch":0.1}' in api.post("/v1/sprockets",
                                       json.dumps({**GOOD, "pitch": 0.1}).encode()).body


def test_the_list_is_paged_and_cursors_hold_under_both_names(api):
    made = [new_sprocket(api).json()["id"] for _ in range(5)]
    page = api.read("/v1/sprocket?limit=2")
    assert list(page) == ["sprockets", "next"] and len(page["sprockets"]) == 2
    found = page["sprockets"]
    other = True
    while page["next"]:
        name = "/v1/sprockets" if other else "/v1/sprocket"
        page, other = api.read(f"{name}?limit=2&cursor={page['next']}"), not other
        found += page["sprockets"]
    ids = [s["id"] for s in found]
    assert ids == sorted(set(ids)) and set(made) <= set(ids)
    said(api.get("/v1/sprockets?limit=1001"), 400, "limit: must be between 1 and 1000", "limit")
    said(api.get("/v1/sprockets?cursor=x"), 400,
         "cursor: is not one that this list gave out for this question", "cursor")
    said(api.get("/v1/sprockets?teeth=5"), 400, "teeth: there is no such query parameter here")


def test_methods_that_there_are_not(api):
    path = new_sprocket(api).headers["location"]
    for name, allow in ((path, "GET, HEAD, PUT"), ("/v1/sprockets", "GET, HEAD, POST"),
                        ("/v1/sprocket", "GET, HEAD, POST")):
        assert api.request("OPTIONS", name).headers["allow"] == allow
        for method in ("DELETE", "PATCH"):
            response = api.request(method, name, {})
            assert problem(response, 405)["message"] == f"{name} takes {allow}"
            assert response.headers["allow"] == allow
    head = api.request("HEAD", path)
    assert head.status == 200 and head.body == b""
    assert int(head.headers["content-length"]) == len(api.get(path).body)


def test_validators(api):
    path = new_sprocket(api).headers["location"]
    alias = path.replace("sprockets", "sprocket")
    etag = api.get(path).headers["etag"]
    assert api.get(alias, {"If-None-Match": etag}).status == 304
    said(api.put(path, GOOD, {"If-Match": '"0000000000000000"'}), 412,
         f"If-Match names another state than the current one, {etag}")
    changed = api.put(alias, {**GOOD, "teeth": 8}, {"If-Match": etag})
    assert changed.status == 200 and changed.headers["etag"] == api.get(path).headers["etag"]
    assert changed.headers["etag"] != etag


def test_a_repeated_request_is_done_once(api):
    key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    first = new_sprocket(api)  # without a key: another one
    first = api.post("/v1/sprocket", GOOD, key)
    again = api.post("/v1/sprockets", GOOD, key)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert (again.status, again.body) == (first.status, first.body) and first.status == 201
    assert again.headers["location"] == first.headers["location"]
    api.put(first.headers["location"], {**GOOD, "teeth": 9})
    again = api.post("/v1/sprockets", GOOD, key)
    assert again.json()["message"] == "Sprocket created"
    assert again.json()["sprocket"]["teeth"] == 9
    other = api.post("/v1/sprockets", {**GOOD, "teeth": 6}, key)
    assert problem(other, 400)["message"] == problem(other, 400)["detail"]


def test_changes_are_on_the_stream(server, api):
    with Stream(server.port, "/v1/stream?topics=sprocket") as stream:
        stream.begin()
        created = new_sprocket(api, "/v1/sprocket")
        path = created.headers["location"]
        block = stream.event()
        assert (block.event, json.loads(block.data)) == ("sprocket", created.json()["sprocket"])
        assert block.id == created.headers["fleetbit-revision"]
        api.put(path, {**GOOD, "teeth": 9})
        block = stream.event()
        assert json.loads(block.data) == api.read(path)


def test_sprockets_outlive_the_server_and_follow_on_other_instances(make_server, make_redis):
    store = make_redis().start()
    one, other = [make_server("--threads", "1", redis_url=store.url).start() for _ in range(2)]
    with Api(one.port) as api, Api(other.port) as reader:
        created = new_sprocket(api, pitch=0.1)
        path = created.headers["location"]
        seen = reader.get(path, {
            "Fleetbit-Min-Revision": created.headers["fleetbit-revision"]})
        assert seen.status == 200 and seen.body == api.get(path).body
    one.stop()
    one.start()
    with Api(one.port) as api:
        assert eventually(lambda: api.get(path)).json() == created.json()["sprocket"]
