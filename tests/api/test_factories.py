# SPDX-License-Identifier: MIT
"""System E: factories and their charts, in the words of the system that fleetbit took the place
of, and what it takes to serve charts of megabytes."""
import json
import random
import uuid

import pytest

from api import Api, problem
from h2client import H2, StreamReset
from harness import eventually
from http1 import Connection
from sse import Stream

SERIES = ["sprocket_production_actual", "sprocket_production_goal", "time"]
LENGTHS = "Length of actual, goal, and time data must be the same."
STRUCTURE = "Invalid JSON structure."
TOO_LARGE = "a body has at most 8388608 bytes, and 1048576 where its length is not declared"
MIB = 1 << 20
POINTS = 100_000


def chart(*arrays, names=None):
    """The JSON of a chart, of arrays that are JSON already."""
    members = ",".join(f'"{n}":{a}' for n, a in zip(names or SERIES, arrays))
    return f'{{{members}}}'


def body(*arrays, names=None):
    return f'{{"factory":{{"chart_data":{chart(*arrays, names=names)}}}}}'.encode()


def large(points, digits=6):
    """A body of that many points, and the chart within."""
    one = "[" + ",".join(f"{random.random() * 1000:.{digits}f}" for _ in range(points)) + "]"
    return body(one, one, one), chart(one, one, one).encode()


def new_factory(api, *arrays):
    response = api.post("/v1/factories", body(*(arrays or ("[1]", "[2]", "[3]"))))
    assert response.status == 201, response
    return response


def said(response, status, message, field=None):
    assert problem(response, status, field)["message"] == message, response


def test_a_factory_is_created_and_read(api):
    created = new_factory(api, "[1,2]", "[3,4]", "[1611194818,1611194878]")
    number = created.json()["id"]
    thing = {"id": number, "chart_data": dict(zip(SERIES, ([1, 2], [3, 4],
                                                           [1611194818, 1611194878])))}
    assert created.json() == {"message": "Factory created", "id": number, "factory": thing}
    assert created.headers["location"] == f"/v1/factories/{number}"
    read = api.get(created.headers["location"])
    assert read.status == 200 and read.json() == thing
    assert read.headers["etag"] == created.headers["etag"]
    listed = api.read("/v1/factories")
    assert thing in listed["factories"] and listed["next"] is None
    said(api.get("/v1/factories/4294967295"), 404, "Factory not found")
    said(api.get("/v1/factories/0"), 404, "Factory not found")


@pytest.mark.parametrize("numbers", [
    "[0.1,0.10,0.100]", "[1e2,1E+5,1e-7,1E05]", "[-0,-0.0,0]", "[12345678901234567890]",
    "[0.1000000000000000055511151231257827]", "[1e-999]", "[1.7976931348623157e308]",
])
def test_numbers_are_served_byte_for_byte(api, numbers):
    path = new_factory(api, numbers, numbers, numbers).headers["location"]
    expected = f'{{"id":{path.split("/")[-1]},"chart_data":{chart(numbers, numbers, numbers)}}}'
    assert api.get(path).body == expected.encode()


def test_whitespace_and_the_order_of_members_are_not_kept(api):
    sent = ('\n{ "factory" : {"chart_data": {"time" : [ 3 ,\t4 ],\r\n "sprocket_production_goal":'
            '[1.0,2],"sprocket_production_\\u0061ctual" :[5, 6 ] } } } ').encode()
    created = api.post("/v1/factories", sent)
    assert created.status == 201, created
    assert chart("[5,6]", "[1.0,2]", "[3,4]").encode() in api.get(created.headers["location"]).body


@pytest.mark.parametrize("arrays", [("[1,2]", "[1]", "[1]"), ("[1]", "[1,2]", "[1]"),
                                    ("[1]", "[1]", "[1,2]"), ("[]", "[1]", "[1]")])
def test_unequal_lengths_are_refused(api, arrays):
    said(api.post("/v1/factories", body(*arrays)), 400, LENGTHS)


@pytest.mark.parametrize("sent", [
    b"{}", b"[]", b"null", b'"x"', b'{"factory":{}}', b'{"factory":null}', b'{"factory":[1]}',
    b'{"factory":{"chart_data":{}}}', b'{"factory":{"chart_data":[1]}}',
    body("[1]", "[1]", names=SERIES[:2]), body("[1]", "[1]", names=SERIES[1:]),
])
def test_what_is_missing_is_refused(api, sent):
    said(api.post("/v1/factories", sent), 400, STRUCTURE)


@pytest.mark.parametrize("arrays, message", [
    (('["1"]', "[1]", "[1]"), f"{SERIES[0]}: must be an array of numbers"),
    (("[1]", "[[1]]", "[1]"), f"{SERIES[1]}: must be an array of numbers"),
    (("[1]", "[1]", "[null]"), "time: must be an array of numbers"),
    (("[1]", "[1]", "[true]"), "time: must be an array of numbers"),
    (("[1]", "[1]", "[NaN]"), "time: must be an array of numbers"),
    (("[1]", "[1]", "[1,]"), "time: must be an array of numbers"),
    (("[1]", "[1]", "[Infinity]"), "time: must be an array of numbers"),
    (("[1]", "[1]", "null"), "time: must be an array of numbers"),
    (("[1]", "[1]", '{"a":1}'), "time: must be an array of numbers"),
    (("[]", "[]", "[]"), "chart_data: must have 1 to 100000 points, not 0"),
    (("[1]", "[1]", '[1],"more":[1]'), "more: there is no such member here"),
    (("[1]", "[1]", '[1],"time":[2]'), "time: the member occurs twice"),
])
def test_a_chart_that_is_none_is_refused(api, arrays, message):
    before = api.get("/v1/factories").body
    said(api.post("/v1/factories", body(*arrays)), 400, message, message.split(":")[0])
    assert api.get("/v1/factories").body == before


@pytest.mark.parametrize("sent", [
    b"", b"{", body("[1]", "[1]", "[1]")[:-1], body("[1]", "[1]", "[1]") + b"}",
    body("[1]", "[1]", "[1"), body("[1]", "[1]", "[01]"), body("[1]", "[1]", "[1e999]"),
    body("[1]", "[1 2]", "[1]"), b'{"factory":{"chart_data":{"\xff":1}}}',
    b"[" * 5000 + b"]" * 5000,
])
def test_what_is_not_json_is_refused_with_its_place(api, sent):
    document = problem(api.post("/v1/factories", sent), 400)
    assert document["message"] == document["detail"] and "line 1, column " in document["detail"]


def test_methods_that_there_are_not(api):
    path = new_factory(api).headers["location"]
    for name, allow in ((path, "GET, HEAD"), ("/v1/factories", "GET, HEAD, POST")):
        assert api.request("OPTIONS", name).headers["allow"] == allow
        for method in ("PUT", "PATCH", "DELETE"):
            response = api.request(method, name, {})
            assert problem(response, 405)["message"] == f"{name} takes {allow}"
    problem(api.get("/v1/factory"), 404)


def test_a_repeated_request_is_done_once(api):
    key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    first = api.post("/v1/factories", body("[1]", "[2]", "[3]"), key)
    again = api.post("/v1/factories", body("[1]", "[2]", "[3]"), key)
    assert again.headers["idempotency-replayed"] == "true" and first.status == 201
    assert (again.status, again.body, again.headers["location"]) == (
        first.status, first.body, first.headers["location"])


# --- of megabytes -------------------------------------------------------------------------------

def test_a_hundred_thousand_points_are_accepted_and_one_more_is_not(api):
    sent, within = large(POINTS)
    assert len(sent) > 2 * MIB
    created = api.post("/v1/factories", sent)
    assert created.status == 201, created.status
    for _ in range(2):  # the second time out of the memo
        read = api.get(created.headers["location"])
        assert read.status == 200 and within in read.body
    sent, _ = large(POINTS + 1)
    said(api.post("/v1/factories", sent), 400, "chart_data: must have 1 to 100000 points, not "
         "100001", "chart_data")


def test_large_charts_are_the_same_on_all_instances_and_after_a_restart(make_server, make_redis):
    store = make_redis().start()
    one, other = [make_server("--threads", "1", redis_url=store.url).start() for _ in range(2)]
    sent, _ = large(POINTS)
    with Api(one.port) as api, Api(other.port) as reader:
        made = [api.post("/v1/factories", sent), new_factory(api, *["[12345678901234567890]"] * 3)]
        after = {"Fleetbit-Min-Revision": made[1].headers["fleetbit-revision"]}
        bodies = [api.get(m.headers["location"]).body for m in made]
        assert [reader.get(m.headers["location"], after).body for m in made] == bodies
    one.stop()
    one.start()
    with Api(one.port) as api:
        assert [api.get(m.headers["location"]).body for m in made] == bodies


def test_a_body_has_its_limit(server, api):
    padded = body("[1]", "[2]", "[3]")
    padded += b" " * (8 * MIB - len(padded))
    assert api.post("/v1/factories", padded).status == 201
    with Connection(server.port) as one:
        said(one.post("/v1/factories", padded + b" "), 413, TOO_LARGE)
    with Connection(server.port) as one:
        said(one.post("/v1/sprockets", padded[:MIB + 2]), 413, "a body has at most 1048576 bytes")
    with Connection(server.port) as one:
        problem(one.post("/v1/machines", padded[:MIB + 2]), 413)
    with H2(server.port) as h2:
        said(h2.request("POST", "/v1/factories", padded + b" "), 413, TOO_LARGE)
        said(h2.request("POST", "/v1/sprockets", padded[:MIB + 2]), 413,
             "a body has at most 1048576 bytes")
        assert h2.request("POST", "/v1/factories", padded).status == 201


def test_a_large_body_may_have_a_target_in_absolute_form(server):
    sent, _ = large(POINTS, 2)
    assert len(sent) > MIB
    with Connection(server.port) as one:
        assert one.post("http://a/v1/factories", sent).status == 201


def test_a_large_body_declares_its_length(server):
    sent, _ = large(POINTS, 2)
    assert len(sent) > MIB
    with Connection(server.port) as one:
        one.send("POST", "/v1/factories", None, {"Transfer-Encoding": "chunked",
                                                 "Content-Type": "application/json"})
        one.send_raw(b"%x\r\n%s\r\n0\r\n\r\n" % (len(sent), sent))
        said(one.receive("POST"), 413, TOO_LARGE)
    with H2(server.port) as h2:
        with pytest.raises(StreamReset):
            h2.request("POST", "/v1/factories", sent, declare=False)
        small = body("[1]", "[2]", "[3]")
        assert h2.request("POST", "/v1/factories", small, declare=False).status == 201


def test_large_bodies_do_not_lift_the_limit_of_others(server):
    """The library has one bound for all of a loop, which is set for each request."""
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    with Connection(server.port) as slow, Connection(server.port) as other:
        other.send_raw(head % b"/v1/sprockets" + b"Transfer-Encoding: chunked\r\n\r\n")
        slow.send_raw(head % b"/v1/factories" + b"Content-Length: 8000000\r\n\r\n{")
        other.send_raw(b"%x\r\n%s\r\n0\r\n\r\n" % (2 * MIB, b" " * (2 * MIB)))
        problem(other.receive("POST"), 413)


def test_all_large_bodies_together_are_bounded(make_server):
    server = make_server("--threads", "2").start()
    head = ("POST /v1/factories HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Content-Length: {8 * MIB}\r\nExpect: 100-continue\r\n\r\n").encode()
    held = [Connection(server.port) for _ in range(8)]
    sent, _ = large(POINTS)

    def is_full():
        """Asks first: who is refused while it still sends may lose the answer."""
        with Connection(server.port) as one:
            one.send("POST", "/v1/factories", None, {"Content-Type": "application/json",
                                                     "Content-Length": str(len(sent)),
                                                     "Expect": "100-continue"})
            if one.wants():
                return False
            assert "large bodies" in problem(one.receive("POST"), 503)["message"]
            return True

    for connection in held:
        connection.send_raw(head)
        assert connection.wants()
        connection.send_raw(b"{")
    assert is_full()
    with Api(server.port) as api:  # who sends little is not concerned
        assert new_factory(api).status == 201
    with H2(server.port) as h2:
        said(h2.request("POST", "/v1/factories", sent), 503,
             "too many large bodies are being received")
    for connection in held:
        connection.close()
    eventually(lambda: not is_full())
    with H2(server.port) as h2:
        assert h2.request("POST", "/v1/factories", sent).status == 201


def test_a_page_of_the_list_has_its_limit_in_bytes(make_server):
    server = make_server("--threads", "1").start()
    sent, within = large(POINTS)
    with Api(server.port) as api:
        for _ in range(5):
            assert api.post("/v1/factories", sent).status == 201
        first = api.get("/v1/factories")
        assert first.status == 200 and len(first.body) <= 16 * MIB
        pages = api.pages("/v1/factories", "factories")
        assert [f["id"] for f in pages] == [1, 2, 3, 4, 5]
        assert len(first.json()["factories"]) == 16 * MIB // (len(within) + 200)
        for _ in range(3):  # larger than the memo takes: it is made anew, and the same
            assert api.get("/v1/factories").body == first.body


def test_the_event_of_a_large_chart_says_that_it_is_to_be_read(server, api):
    with Stream(server.port, "/v1/stream?topics=factory") as stream:
        stream.begin()
        created = new_factory(api)
        assert json.loads(stream.event().data) == created.json()["factory"]
        small, _ = large(2000)
        number = api.post("/v1/factories", small).json()["id"]
        assert "chart_data" in json.loads(stream.event().data)
        sent, _ = large(POINTS)
        number = api.post("/v1/factories", sent).json()["id"]
        block = stream.event()
        assert json.loads(block.data) == {"id": number, "too_large": True}
        assert block.event == "factory"
    with Stream(server.port, "/v1/stream?topics=factory", last=created.headers[
            "fleetbit-revision"]) as stream:  # and again to who comes back
        assert "chart_data" in json.loads(stream.event().data)
        assert json.loads(stream.event().data) == {"id": number, "too_large": True}
