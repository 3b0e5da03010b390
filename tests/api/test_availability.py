# SPDX-License-Identifier: MIT
"""System A: which machines are free, held against a model on a fleet of random windows."""
import random
from datetime import date, timedelta

import pytest

from api import MACHINE_MEMBERS, Api, problem
from harness import Server, away_from_midnight, day

TYPES = ["excavator", "crane", "truck"]
DAYS = 40


class Model:
    """Who has which type, and is in maintenance on which days (counted from today)."""

    def __init__(self, api, seed):
        numbers = random.Random(seed)
        self.types, self.taken, self.windows = {}, {}, {}
        for _ in range(150):
            machine = api.new_machine(type=numbers.choice(TYPES))
            self.types[machine["id"]] = machine["type"]
            self.taken[machine["id"]] = set()
            for _ in range(numbers.choice([0, 0, 1, 2])):
                first = numbers.randrange(-5, DAYS)
                length = numbers.randrange(1, 12)
                window = api.new_window(machine["id"], start_date=day(first),
                                        duration_days=length)
                self.taken[machine["id"]] |= set(range(first, first + length))
                self.windows[window["id"]] = (machine["id"], first, first + length - 1)

    def free(self, first, last, machine_type=None):
        days = set(range(first, last + 1))
        return [machine for machine in sorted(self.types) if not days & self.taken[machine]
                and machine_type in (None, self.types[machine])]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    away_from_midnight(30)
    own = Server(tmp_path_factory.mktemp("fleet")).start()
    with Api(own.port) as api:
        seed = random.randrange(2**32)
        yield api, Model(api, seed), seed
    own.stop()


def ids(machines):
    return [machine["id"] for machine in machines]


def test_a_date_gives_the_machines_that_are_free_on_it(fleet):
    api, model, seed = fleet
    for offset in range(-7, DAYS + 15):
        for machine_type in (None, *TYPES):
            query = f"date={day(offset)}" + (f"&type={machine_type}" if machine_type else "")
            found = api.read(f"/v1/availability?{query}&limit=1000")
            expected = model.free(offset, offset, machine_type)
            assert found["date"] == day(offset)
            assert ids(found["machines"]) == expected, f"seed {seed}, {query}"
            assert found["count"] == len(expected) and found["next"] is None


def test_a_range_gives_those_that_are_free_on_every_day_of_it(fleet):
    api, model, seed = fleet
    numbers = random.Random(seed + 1)
    for _ in range(60):
        first = numbers.randrange(-5, DAYS)
        last = first + numbers.choice([0, 1, 2, 5, 20, 365])
        machine_type = numbers.choice([None, *TYPES])
        query = f"from={day(first)}&to={day(last)}"
        query += f"&type={machine_type}" if machine_type else ""
        found = api.read(f"/v1/availability?{query}&limit=1000")
        expected = model.free(first, last, machine_type)
        assert (found["from"], found["to"]) == (day(first), day(last))
        assert ids(found["machines"]) == expected, f"seed {seed}, {query}"
        assert found["count"] == len(expected)


def test_the_count_is_the_whole_count_on_every_page(fleet):
    api, model, _ = fleet
    for limit in (1, 7, 50):
        cursor, found = None, []
        while True:
            target = f"/v1/availability?date={day(3)}&limit={limit}"
            page = api.read(target + (f"&cursor={cursor}" if cursor else ""))
            assert page["count"] == len(model.free(3, 3))
            assert len(page["machines"]) <= limit
            found += ids(page["machines"])
            cursor = page["next"]
            if cursor is None:
                break
        assert found == model.free(3, 3)


def test_a_page_has_100_machines_unless_asked_otherwise(fleet):
    api, model, _ = fleet
    far = DAYS + 30
    assert len(model.free(far, far)) == 150
    page = api.read(f"/v1/availability?date={day(far)}")
    assert len(page["machines"]) == 100 and page["count"] == 150 and page["next"]


def test_the_machines_are_shown_as_they_show_themselves(fleet):
    api, _, _ = fleet
    for machine in api.read(f"/v1/availability?date={day(2)}&limit=20")["machines"]:
        assert list(machine) == MACHINE_MEMBERS
        assert machine == api.machine(machine["id"])


def test_the_calendar_of_the_fleet_counts_the_free_machines_of_each_day(fleet):
    api, model, seed = fleet
    for machine_type in (None, *TYPES):
        query = f"from={day(-6)}&to={day(DAYS + 14)}"
        query += f"&type={machine_type}" if machine_type else ""
        calendar = api.read(f"/v1/availability/calendar?{query}")
        assert (calendar["from"], calendar["to"]) == (day(-6), day(DAYS + 14))
        expected = [{"date": day(i), "available": len(model.free(i, i, machine_type))}
                    for i in range(-6, DAYS + 15)]
        assert calendar["days"] == expected, f"seed {seed}"


def test_the_calendar_of_a_machine_says_what_takes_each_day(fleet):
    api, model, seed = fleet
    for machine in sorted(model.types)[::5]:
        target = f"/v1/machines/{machine}/calendar?from={day(-6)}&to={day(DAYS + 14)}"
        calendar = api.read(target)
        assert calendar["machine_id"] == machine
        for offset, entry in zip(range(-6, DAYS + 15), calendar["days"]):
            causes = sorted(w for w, (owner, first, last) in model.windows.items()
                            if owner == machine and first <= offset <= last)
            assert entry["date"] == day(offset)
            assert entry["maintenance"] is (offset in model.taken[machine]), f"seed {seed}"
            assert entry["available"] is (offset not in model.taken[machine])
            assert entry["booked"] is False and sorted(entry["windows"]) == causes
        assert len(calendar["days"]) == DAYS + 21


def test_a_leap_day_is_a_day_and_a_year_turns(fleet):
    api, _, _ = fleet
    calendar = api.read("/v1/availability/calendar?from=2027-12-30&to=2028-03-02")
    dates = [entry["date"] for entry in calendar["days"]]
    first = date(2027, 12, 30)
    assert dates == [(first + timedelta(days=i)).isoformat() for i in range(64)]
    assert "2028-02-29" in dates


def test_a_range_has_at_most_366_days(fleet):
    api, model, _ = fleet
    machine = sorted(model.types)[0]
    for path in ("/v1/availability/calendar", f"/v1/machines/{machine}/calendar"):
        assert len(api.read(f"{path}?from={day(0)}&to={day(365)}")["days"]) == 366
        problem(api.get(f"{path}?from={day(0)}&to={day(366)}"), 422, "to")
        problem(api.get(f"{path}?from={day(1)}&to={day(0)}"), 422, "to")
        problem(api.get(f"{path}?from={day(1)}"), 422, "to")
        problem(api.get(f"{path}?to={day(1)}"), 422, "from")
    problem(api.get(f"/v1/availability?from={day(1)}&to={day(0)}"), 422, "to")
    problem(api.get(f"/v1/availability?from={day(1)}"), 422, "to")
    problem(api.get(f"/v1/availability?to={day(1)}"), 422, "from")
    problem(api.get(f"/v1/availability?date={day(0)}&from={day(0)}&to={day(1)}"), 422, "date")
