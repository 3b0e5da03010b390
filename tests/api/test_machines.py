# SPDX-License-Identifier: MIT
"""System A: machines."""
import json
import random
import threading
import time

import pytest

from api import INSTANT, MACHINE_MEMBERS, Api, problem
from harness import day, unique


def test_a_new_machine_is_shown_whole_and_found_where_its_location_says(api):
    inventory_id = unique()
    response = api.post("/v1/machines", {
        "label": "Digger 7", "inventory_id": inventory_id, "type": "excavator",
        "price_per_day": 149.9, "description": "tracks renewed\nin May"})
    assert response.status == 201
    assert response.headers["content-type"] == "application/json"
    machine = response.json()
    assert list(machine) == MACHINE_MEMBERS
    assert response.headers["location"] == f"/v1/machines/{machine['id']}"
    assert isinstance(machine["id"], int) and machine["id"] > 0
    assert machine["label"] == "Digger 7" and machine["inventory_id"] == inventory_id
    assert machine["type"] == "excavator" and machine["price_per_day"] == 149.9
    assert machine["description"] == "tracks renewed\nin May"
    assert machine["in_maintenance"] is False
    assert machine["maintenance_start_date"] is None and machine["maintenance_end_date"] is None
    assert INSTANT.fullmatch(machine["creation_date"])
    assert machine["updated_at"] == machine["creation_date"]
    shown = api.get(response.headers["location"])
    assert shown.status == 200 and shown.body == response.body
    assert shown.headers["etag"] == response.headers["etag"]


def test_what_may_be_left_out_is_null(api):
    machine = api.new_machine()
    assert machine["price_per_day"] is None and machine["description"] is None


def test_instants_are_those_of_the_write(api):
    before = time.time()
    machine = api.new_machine()
    created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))
    latest = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time()))
    assert created <= machine["creation_date"][:19] <= latest
    time.sleep(0.01)
    changed = api.patch(f"/v1/machines/{machine['id']}", {"label": "later"}).json()
    assert changed["creation_date"] == machine["creation_date"]
    assert changed["updated_at"] > machine["updated_at"]


def test_prices_are_exact_to_the_cent(api):
    machine = api.new_machine()
    seed = random.randrange(2**32)
    print("seed", seed)
    numbers = random.Random(seed)
    for cents in [0, 1, 29, 115, 99999999999, *(numbers.randrange(10**11) for _ in range(40))]:
        text = f"{cents // 100}.{cents % 100:02}"
        body = ('{"price_per_day": %s}' % text).encode()
        response = api.patch(f"/v1/machines/{machine['id']}", body)
        assert response.status == 200, response
        assert f'"price_per_day":{text}'.encode() in response.body
    for wrong in (b"0.001", b"12.345", b"-0.01", b"-1", b'"12.50"', b"true", b"1e300"):
        body = b'{"price_per_day": %s}' % wrong
        problem(api.patch(f"/v1/machines/{machine['id']}", body), 422, "price_per_day")


def test_texts_come_back_as_they_were_sent(api):
    for label in ("Kran Süd", "挖掘机 №7", "\U0001f69c tractor", 'a "b" \\ c / <d>', "\u2028x"):
        machine = api.new_machine(label=label, description=label + "\n\t" + label)
        assert machine["label"] == label
        assert api.machine(machine["id"])["description"] == label + "\n\t" + label


def test_a_second_inventory_id_is_a_conflict_that_names_the_first(api):
    first = api.new_machine()
    other = api.new_machine()
    body = {"label": "b", "inventory_id": first["inventory_id"], "type": "crane"}
    with api.unchanged(first["id"]):
        document = problem(api.post("/v1/machines", body), 409, "inventory_id")
        assert f"/v1/machines/{first['id']}" in json.dumps(document)
        target = f"/v1/machines/{other['id']}"
        document = problem(api.patch(target, {"inventory_id": first["inventory_id"]}), 409,
                           "inventory_id")
        assert str(first["id"]) in document["detail"]
        problem(api.put(target, body), 409, "inventory_id")
    assert api.machine(other["id"])["inventory_id"] == other["inventory_id"]


def test_an_inventory_id_that_was_given_up_is_free_again(api):
    first = api.new_machine()
    renamed = unique()
    target = f"/v1/machines/{first['id']}"
    assert api.patch(target, {"inventory_id": renamed}).status == 200
    second = api.new_machine(inventory_id=first["inventory_id"])
    assert second["id"] != first["id"]
    problem(api.patch(target, {"inventory_id": first["inventory_id"]}), 409, "inventory_id")
    assert api.patch(target, {"inventory_id": renamed}).status == 200  # its own is no conflict


def test_put_replaces_and_what_it_leaves_out_is_null(api):
    machine = api.new_machine(price_per_day=10, description="old")
    target = f"/v1/machines/{machine['id']}"
    response = api.put(target, {"label": "new", "inventory_id": machine["inventory_id"],
                                "type": "crane"})
    assert response.status == 200
    changed = response.json()
    assert list(changed) == MACHINE_MEMBERS and changed["id"] == machine["id"]
    assert (changed["label"], changed["type"]) == ("new", "crane")
    assert changed["price_per_day"] is None and changed["description"] is None
    assert changed["creation_date"] == machine["creation_date"]
    assert api.machine(machine["id"]) == changed
    problem(api.put(target, {"label": "x", "type": "crane"}), 422, "inventory_id")


def test_what_get_shows_can_be_put_back(api):
    machine = api.new_machine(price_per_day=12.34, description="d")
    response = api.put(f"/v1/machines/{machine['id']}", machine)
    assert response.status == 200, response
    assert {**response.json(), "updated_at": 0} == {**machine, "updated_at": 0}


def test_a_put_that_contradicts_its_path_is_refused(api):
    machine = api.new_machine()
    with api.unchanged(machine["id"]):
        contrary = {**machine, "id": machine["id"] + 1}
        problem(api.put(f"/v1/machines/{machine['id']}", contrary), 422, "id")


@pytest.mark.parametrize("media_type", ["application/merge-patch+json", "application/json",
                                        "application/merge-patch+json; charset=utf-8"])
def test_patch_is_a_json_merge_patch(api, media_type):
    machine = api.new_machine(price_per_day=10, description="old")
    target = f"/v1/machines/{machine['id']}"
    headers = {"Content-Type": media_type}
    changed = api.patch(target, {"label": "new", "description": None}, headers)
    assert changed.status == 200, changed
    assert changed.json() == {**machine, "label": "new", "description": None,
                              "updated_at": changed.json()["updated_at"]}
    same = api.patch(target, {}, headers)
    assert same.status == 200 and same.json()["label"] == "new"
    problem(api.patch(target, {"label": None}, headers), 422, "label")
    problem(api.patch(target, {"id": 5}, headers), 422, "id")
    problem(api.patch(target, {"in_maintenance": True}, headers), 422, "in_maintenance")


def test_delete_retires_and_the_id_is_never_used_again(api):
    machine = api.new_machine(type="hoist")
    api.new_window(machine["id"], duration_days=3)
    target = f"/v1/machines/{machine['id']}"
    response = api.delete(target)
    assert response.status == 204 and response.body == b""
    assert "content-type" not in response.headers
    for method in ("GET", "DELETE"):
        problem(api.request(method, target), 404)
    problem(api.patch(target, {"label": "x"}), 404)
    problem(api.get(target + "/maintenance"), 404)
    problem(api.post(target + "/maintenance", {"duration_days": 1}), 404)
    problem(api.get(f"{target}/calendar?from={day(0)}&to={day(1)}"), 404)
    assert machine["id"] not in [m["id"] for m in api.pages("/v1/machines?type=hoist")]
    assert machine["id"] not in [m["id"] for m in api.pages("/v1/availability?type=hoist")]
    again = api.new_machine(inventory_id=machine["inventory_id"], type="hoist")
    assert again["id"] > machine["id"] and again["in_maintenance"] is False


def test_a_retired_id_stays_used_after_a_restart(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        kept, last = api.new_machine(), api.new_machine()
        assert api.delete(f"/v1/machines/{last['id']}").status == 204
    server.stop()
    server.start()
    with Api(server.port) as api:
        assert api.machine(kept["id"]) == kept
        problem(api.get(f"/v1/machines/{last['id']}"), 404)
        assert api.new_machine()["id"] > last["id"]


def test_the_list_is_by_id_and_filters_by_type(api):
    made = [api.new_machine(type="welder" if i % 3 else "press") for i in range(9)]
    welders = api.pages("/v1/machines?type=welder")
    ids = [machine["id"] for machine in welders]
    assert ids == sorted(ids) and {m["type"] for m in welders} == {"welder"}
    assert {m["id"] for m in made if m["type"] == "welder"} <= set(ids)
    everything = api.pages("/v1/machines?limit=1000")
    assert [m["id"] for m in everything] == sorted(m["id"] for m in everything)
    shown = {m["id"]: m for m in everything}
    assert all(shown[m["id"]] == m for m in made)


def test_a_change_of_type_moves_a_machine_between_the_lists(api):
    machine = api.new_machine(type="drill")
    api.patch(f"/v1/machines/{machine['id']}", {"type": "saw"})
    assert machine["id"] not in [m["id"] for m in api.pages("/v1/machines?type=drill")]
    assert machine["id"] in [m["id"] for m in api.pages("/v1/machines?type=saw")]
    assert machine["id"] in [m["id"] for m in api.pages("/v1/availability?type=saw")]


def test_the_filter_by_status_takes_the_three_states(api):
    for status in ("green", "yellow", "red"):
        assert set(api.read(f"/v1/machines?status={status}")) == {"machines", "next"}
    problem(api.get("/v1/machines?status=purple"), 422, "status")


def test_limits_make_pages_and_the_last_one_has_no_next(api):
    made = [api.new_machine(type="robot")["id"] for _ in range(7)]
    for limit in (1, 2, 3, 7, 1000):
        first = api.read(f"/v1/machines?type=robot&limit={limit}")
        assert len(first["machines"]) == min(limit, 7)
        assert [m["id"] for m in api.pages(f"/v1/machines?type=robot&limit={limit}")] == made
    assert api.read("/v1/machines?type=robot&limit=7")["next"] is None
    default = api.read("/v1/machines")
    assert len(default["machines"]) <= 100


@pytest.mark.parametrize("path", ["/v1/machines", "/v1/availability"])
def test_cursors_neither_skip_nor_repeat_while_others_are_added(api, server, path):
    before = [api.new_machine(type="lathe")["id"] for _ in range(60)]
    ended, added = threading.Event(), []

    def add():
        with Api(server.port) as other:
            while not ended.is_set() and len(added) < 500:
                added.append(other.new_machine(type="lathe")["id"])
                added.append(other.new_machine(type="mixer")["id"])
                time.sleep(0.002)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for limit in (1, 4, 7):
            ids = [m["id"] for m in api.pages(f"{path}?type=lathe&limit={limit}",
                                              between=lambda: time.sleep(0.001))]
            assert len(ids) == len(set(ids)), "a machine is repeated"
            assert ids == sorted(ids)
            assert set(before) <= set(ids), "a machine is skipped"
    finally:
        ended.set()
        thread.join()
    assert added, "nobody added a machine meanwhile"


def test_cursors_outlive_the_machine_that_they_stand_at(api):
    made = [api.new_machine(type="pump")["id"] for _ in range(6)]
    page = api.read("/v1/machines?type=pump&limit=3")
    assert api.delete(f"/v1/machines/{made[2]}").status == 204
    rest = api.read(f"/v1/machines?type=pump&limit=3&cursor={page['next']}")
    assert [m["id"] for m in rest["machines"]] == made[3:]


def test_a_cursor_belongs_to_its_question(api):
    for _ in range(3):
        api.new_machine(type="grinder")
        api.new_machine(type="breaker")
    cursor = api.read("/v1/machines?type=grinder&limit=1")["next"]
    assert cursor is not None
    problem(api.get(f"/v1/machines?type=breaker&cursor={cursor}"), 400, "cursor")
    problem(api.get(f"/v1/machines?cursor={cursor}"), 400, "cursor")
    problem(api.get(f"/v1/availability?type=grinder&cursor={cursor}"), 400, "cursor")


# --- conditions ---

def test_every_read_has_an_etag_and_a_revision(api):
    machine = api.new_machine()
    window = api.new_window(machine["id"], duration_days=1)
    own = f"/v1/machines/{machine['id']}"
    for target in ("/v1/machines", own, own + "/maintenance",
                   f"{own}/maintenance/{window['id']}", "/v1/availability",
                   f"/v1/availability?from={day(1)}&to={day(3)}",
                   f"/v1/availability/calendar?from={day(0)}&to={day(9)}",
                   f"{own}/calendar?from={day(0)}&to={day(9)}"):
        response = api.get(target)
        assert response.status == 200, response
        etag = response.headers["etag"]
        assert etag.startswith('"') and etag.endswith('"') and len(etag) > 4
        assert "cache-control" in response.headers
        for condition in (etag, f'"x", {etag}', "W/" + etag, "*"):
            known = api.get(target, {"If-None-Match": condition})
            assert known.status == 304 and known.body == b"", (target, condition, known)
            assert known.headers["etag"] == etag
            assert known.revision == response.revision
        for condition in ('"x"', '""', etag[:-2] + '"', etag.strip('"')):
            fresh = api.get(target, {"If-None-Match": condition})
            assert fresh.status == 200 and fresh.body == response.body


def test_a_change_changes_the_etag_and_nothing_else_does(api):
    machine, other = api.new_machine(), api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    etag = api.get(target).headers["etag"]
    api.patch(f"/v1/machines/{other['id']}", {"label": "other"})
    assert api.get(target).headers["etag"] == etag
    api.patch(target, {"label": "changed"})
    assert api.get(target, {"If-None-Match": etag}).status == 200
    etag = api.get(target).headers["etag"]
    api.new_window(machine["id"], duration_days=2)
    assert api.get(target, {"If-None-Match": etag}).status == 200


def test_if_match_lets_a_write_through_only_upon_what_was_read(api):
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    old = api.get(target).headers["etag"]
    changed = api.patch(target, {"label": "1"}, {"If-Match": old})
    assert changed.status == 200 and changed.headers["etag"] != old
    body = {"label": "2", "inventory_id": machine["inventory_id"], "type": "crane"}
    with api.unchanged(machine["id"]):
        for condition in (old, '"x"', "W/" + changed.headers["etag"], f'{old}, "y"'):
            headers = {"If-Match": condition}
            problem(api.patch(target, {"label": "2"}, headers), 412)
            problem(api.put(target, body, headers), 412)
            problem(api.delete(target, headers), 412)
    current = changed.headers["etag"]
    assert api.patch(target, {"label": "3"}, {"If-Match": f'"x", {current}'}).status == 200
    assert api.patch(target, {"label": "4"}, {"If-Match": "*"}).status == 200
    current = api.get(target).headers["etag"]
    assert api.delete(target, {"If-Match": current}).status == 204
    assert api.patch(target, {"label": "5"}, {"If-Match": "*"}).status in (404, 412)


def test_if_match_holds_for_windows_too(api):
    machine = api.new_machine()
    own = f"/v1/machines/{machine['id']}/maintenance"
    window = api.new_window(machine["id"], duration_days=2)
    etag = api.get(f"{own}/{window['id']}").headers["etag"]
    with api.unchanged(machine["id"]):
        problem(api.delete(f"{own}/{window['id']}", {"If-Match": '"x"'}), 412)
    assert api.delete(f"{own}/{window['id']}", {"If-Match": etag}).status == 204


def test_a_write_says_its_revision_and_reads_are_at_or_beyond_it(api):
    machine = api.new_machine()
    target = f"/v1/machines/{machine['id']}"
    last = api.get(target).revision
    for i in range(20):
        written = api.patch(target, {"label": str(i)})
        assert written.revision[0] == last[0] and written.revision[1] > last[1]
        last = written.revision
        assert api.get(target).revision >= last


def test_head_is_get_without_the_body(api):
    machine = api.new_machine()
    own = f"/v1/machines/{machine['id']}"
    for target in (own, "/v1/machines?limit=3", "/v1/availability", own + "/maintenance"):
        for _ in range(2):  # the second one comes from the memo
            got, head = api.get(target), api.request("HEAD", target)
            assert head.status == 200 and head.body == b""
            for name in ("content-length", "content-type", "etag", "fleetbit-revision"):
                assert head.headers[name] == got.headers[name], (target, name)
        known = api.request("HEAD", target, headers={"If-None-Match": got.headers["etag"]})
        assert known.status == 304


def test_a_condition_may_come_in_several_lines(api):
    machine = api.new_machine()
    path = f"/v1/machines/{machine['id']}"
    etag = api.get(path).headers["etag"]
    two_lines = {"If-None-Match": f'"x"\r\nIf-None-Match: {etag}'}
    assert api.get(path, headers=two_lines).status == 304
    two_lines = {"If-Match": f'"x"\r\nIf-Match: {etag}'}
    assert api.patch(path, {"label": "new"}, headers=two_lines).status == 200
    assert api.patch(path, {"label": "newer"}, headers=two_lines).status == 412
