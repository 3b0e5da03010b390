# SPDX-License-Identifier: MIT
"""What a fleet costs its Redis, and what a damaged key costs the others."""
from api import Api
from harness import day, in_threads


def test_a_damaged_key_fails_the_write_that_needs_it_and_no_other(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        machines = [api.new_machine()["id"] for _ in range(8)]
    server.redis().lpush("fb:{default}:maintenance:2032-01-01", "x")

    def poison():
        with Api(server.port) as api:
            window = {"start_date": "2032-01-01", "duration_days": 1}
            for _ in range(40):
                response = api.post(f"/v1/machines/{machines[0]}/maintenance", window)
                assert response.status == 500, response

    def innocent(machine):
        with Api(server.port) as api:
            for i in range(40):
                response = api.patch(f"/v1/machines/{machine}", {"label": f"label {i}"})
                assert response.status == 200, response

    in_threads([poison] + [lambda m=m: innocent(m) for m in machines[1:]])


def test_a_day_without_a_machine_has_no_bitmap(make_server):
    server = make_server().start()
    keys = "fb:{default}:maintenance:*"
    with Api(server.port) as api:
        machine = api.new_machine()["id"]
        for _ in range(3):
            api.new_window(machine, start_date=day(10), duration_days=5)
        assert len(server.redis().keys(keys)) == 5
        assert api.delete(f"/v1/machines/{machine}").status == 204
    assert server.redis().keys(keys) == []
    assert server.redis().keys("fb:{default}:window:*") == []


def test_many_overlapping_windows_go_with_their_machine_in_no_time(make_server):
    server = make_server().start()
    with Api(server.port) as api:
        machine = api.new_machine()["id"]
        for _ in range(60):
            api.new_window(machine, start_date="2030-01-01", duration_days=3660)
        assert api.delete(f"/v1/machines/{machine}").status == 204
        free = api.read("/v1/availability?from=2030-01-01&to=2030-12-31")
        assert free["count"] == 0 and free["machines"] == []
    change = server.redis().xrevrange("fb:{default}:log", count=1)[0][1][b"change"]
    assert change.count(b'"days"') == 1
