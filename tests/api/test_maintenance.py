# SPDX-License-Identifier: MIT
"""System A: maintenance, and what it does to machines, availability and calendars."""
import pytest

from api import INSTANT, Api, problem
from harness import day, today


def shown(api, machine):
    """(in_maintenance, start, end) of a machine."""
    found = api.machine(machine["id"])
    return (found["in_maintenance"], found["maintenance_start_date"],
            found["maintenance_end_date"])


def is_free(api, machine, query):
    listed = api.pages(f"/v1/availability?{query}&limit=1000")
    return machine["id"] in [m["id"] for m in listed]


def test_a_window_is_shown_whole_and_found_where_its_location_says(api):
    machine = api.new_machine()
    path = f"/v1/machines/{machine['id']}/maintenance"
    response = api.post(path, {"start_date": day(3), "end_date": day(5), "reason": "oil"})
    assert response.status == 201, response
    window = response.json()
    assert window["machine_id"] == machine["id"] and isinstance(window["id"], int)
    assert (window["start_date"], window["end_date"]) == (day(3), day(5))
    assert window["reason"] == "oil" and INSTANT.fullmatch(window["creation_date"])
    assert response.headers["location"] == f"{path}/{window['id']}"
    assert api.read(response.headers["location"]) == window
    assert api.read(path) == {"windows": [window]}


def test_the_start_defaults_to_today_and_a_duration_counts_its_days(api):
    machine = api.new_machine()
    window = api.new_window(machine["id"], duration_days=1)
    assert (window["start_date"], window["end_date"]) == (day(0), day(0))
    assert window["reason"] is None
    window = api.new_window(machine["id"], duration_days=10)
    assert (window["start_date"], window["end_date"]) == (day(0), day(9))
    window = api.new_window(machine["id"], start_date="2028-02-27", duration_days=3)
    assert window["end_date"] == "2028-02-29"
    window = api.new_window(machine["id"], end_date=day(0))
    assert (window["start_date"], window["end_date"]) == (day(0), day(0))
    window = api.new_window(machine["id"], start_date=day(0), duration_days=3660)
    assert window["end_date"] == day(3659)


def test_a_machine_shows_the_window_of_today_or_the_next_one(api):
    machine = api.new_machine()
    assert shown(api, machine) == (False, None, None)
    api.new_window(machine["id"], start_date=day(-9), end_date=day(-1))
    assert shown(api, machine) == (False, None, None)
    api.new_window(machine["id"], start_date=day(20), end_date=day(25))
    assert shown(api, machine) == (False, day(20), day(25))
    api.new_window(machine["id"], start_date=day(5), end_date=day(6))
    assert shown(api, machine) == (False, day(5), day(6))
    now = api.new_window(machine["id"], start_date=day(-2), end_date=day(1))
    assert shown(api, machine) == (True, day(-2), day(1))
    assert api.delete(f"/v1/machines/{machine['id']}/maintenance/{now['id']}").status == 204
    assert shown(api, machine) == (False, day(5), day(6))


def test_the_lists_show_maintenance_as_the_machine_does(api):
    machine = api.new_machine(type="heater")
    api.new_window(machine["id"], duration_days=2)
    listed = [m for m in api.pages("/v1/machines?type=heater") if m["id"] == machine["id"]]
    assert listed == [api.machine(machine["id"])] and listed[0]["in_maintenance"] is True


def test_a_machine_in_maintenance_is_not_free_on_those_days(api):
    machine = api.new_machine()
    window = api.new_window(machine["id"], start_date=day(2), end_date=day(4))
    free = [is_free(api, machine, f"date={day(i)}") for i in range(7)]
    assert free == [True, True, False, False, False, True, True]
    assert is_free(api, machine, f"from={day(0)}&to={day(1)}")
    assert is_free(api, machine, f"from={day(5)}&to={day(9)}")
    for first, last in ((0, 2), (2, 2), (3, 3), (4, 9), (0, 9)):
        assert not is_free(api, machine, f"from={day(first)}&to={day(last)}")
    api.delete(f"/v1/machines/{machine['id']}/maintenance/{window['id']}")
    assert is_free(api, machine, f"from={day(0)}&to={day(9)}")


def test_windows_may_overlap_and_each_ends_alone(api):
    machine = api.new_machine()
    own = f"/v1/machines/{machine['id']}"
    spans = [(1, 4), (3, 6), (6, 6), (0, 9), (8, 12)]
    windows = {api.new_window(machine["id"], start_date=day(a), end_date=day(b))["id"]: (a, b)
               for a, b in spans}
    for ended in list(windows) + [None]:
        days = api.read(f"{own}/calendar?from={day(-1)}&to={day(14)}")["days"]
        for offset, entry in zip(range(-1, 15), days):
            causes = [w for w, (a, b) in windows.items() if a <= offset <= b]
            assert entry["date"] == day(offset)
            assert entry["maintenance"] is bool(causes) and entry["available"] is not bool(causes)
            assert sorted(entry["windows"]) == causes and entry["booked"] is False
        listed = api.read(own + "/maintenance")["windows"]
        assert sorted(w["id"] for w in listed) == sorted(windows)
        if ended is not None:
            assert api.delete(f"{own}/maintenance/{ended}").status == 204
            problem(api.delete(f"{own}/maintenance/{ended}"), 404)
            del windows[ended]


def test_a_window_is_found_only_under_its_own_machine(api):
    machine, other = api.new_machine(), api.new_machine()
    window = api.new_window(machine["id"], duration_days=1)
    foreign = f"/v1/machines/{other['id']}/maintenance/{window['id']}"
    with api.unchanged(machine["id"]):
        problem(api.get(foreign), 404)
        problem(api.delete(foreign), 404)
        problem(api.get(f"/v1/machines/4000000000/maintenance/{window['id']}"), 404)


def test_maintenance_is_kept_over_a_restart(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        machine = api.new_machine()
        first = api.new_window(machine["id"], duration_days=5)
        second = api.new_window(machine["id"], start_date=day(3), end_date=day(8), reason="b")
        api.delete(f"/v1/machines/{machine['id']}/maintenance/{first['id']}")
        before = api.picture(machine["id"])
    server.stop()
    server.start()
    with Api(server.port) as api:
        assert api.picture(machine["id"]) == before
        assert api.new_window(machine["id"], duration_days=1)["id"] > second["id"]


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Etc/GMT-14", "Asia/Kathmandu",
                                  "America/St_Johns", "Pacific/Chatham"])
def test_today_is_that_of_the_fleets_zone(make_server, zone):
    server = make_server("--zone", zone).start()
    with Api(server.port) as api:
        before = today(zone)
        machine = api.new_machine()
        window = api.new_window(machine["id"], duration_days=1)
        free = api.read("/v1/availability")
        after = today(zone)
    assert before.isoformat() <= window["start_date"] <= after.isoformat()
    assert before.isoformat() <= free["date"] <= after.isoformat()


def test_a_booked_day_stops_maintenance_unless_it_is_overridden(make_server):
    """Orders book days; until they do, the bit of a day is set as they will set it."""
    server = make_server().start()
    with Api(server.port) as api:
        machine, other = api.new_machine(), api.new_machine()
    key = f"fb:{{default}}:booked:{day(4)}"
    server.redis().setbit(key, machine["id"], 1)
    head = "fb:{default}:head"
    server.redis().hset(head, mapping={"first_day:booked": day(4), "last_day:booked": day(4)})
    server.stop()
    server.start()
    with Api(server.port) as api:
        own = f"/v1/machines/{machine['id']}"
        assert not is_free(api, machine, f"date={day(4)}")
        assert is_free(api, other, f"date={day(4)}")
        booked = api.read(f"{own}/calendar?from={day(4)}&to={day(4)}")["days"][0]
        assert booked["booked"] is True and booked["available"] is False
        assert booked["maintenance"] is False
        with api.unchanged(machine["id"]):
            body = {"start_date": day(3), "end_date": day(5)}
            problem(api.post(own + "/maintenance", body), 409)
            problem(api.post(own + "/maintenance", {**body, "override": False}), 409)
        api.new_window(machine["id"], start_date=day(5), end_date=day(6))
        api.new_window(machine["id"], override=True, **body)
        both = api.read(f"{own}/calendar?from={day(4)}&to={day(4)}")["days"][0]
        assert both["booked"] is True and both["maintenance"] is True
