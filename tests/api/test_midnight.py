# SPDX-License-Identifier: MIT
"""Midnight of the fleet's zone turns `in_maintenance` and what is free today, without a write.

The server's wall clock is set ahead so that its midnight comes a few seconds after its start; its
monotonic clock runs as it does. libfaketime would do the same, but it hangs at the start under
jemalloc, which asks for the time while libfaketime looks up how to tell it."""
import os
import stat
import subprocess
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from api import Api
from harness import SANITIZER, eventually, in_threads, scale

BEFORE_S = scale(4, 8)  # from the start of the server to its midnight
TURN_S = 2.5  # in which the turn must show

CLOCK = r"""
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void)
{
    static const char name[] = "TEST_CLOCK_AHEAD_S";
    const char *text = getenv(name);
    return text != NULL ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead();
    return (int)failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *copy)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (copy != NULL)
        *copy = exact.tv_sec;
    return exact.tv_sec;
}
"""


class FakeClock:
    """A wall clock that is ahead of ours, so that midnight after `evening` comes in BEFORE_S."""

    def __init__(self, zone, evening):
        self.zone, self.evening = ZoneInfo(zone), evening
        midnight = datetime.fromisoformat(evening).replace(tzinfo=self.zone) + timedelta(days=1)
        self.midnight = midnight.timestamp()
        self.offset = int(self.midnight - BEFORE_S - time.time())

    def now(self):
        return time.time() + self.offset

    def day(self, offset=0):
        today = datetime.fromtimestamp(self.now(), self.zone).date()
        return (today + timedelta(days=offset)).isoformat()

    def wait_for_midnight(self):
        time.sleep(max(0, self.midnight - self.now()))


def plain_redis(folder):
    """A redis-server without the fake clock, which is for fleetbit alone."""
    path = folder / "redis-server"
    path.write_text('#!/bin/sh\nunset LD_PRELOAD\nexec redis-server "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture(scope="module")
def clock_library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", folder / "clock.so",
                    folder / "clock.c"], check=True)
    return str(folder / "clock.so")


@pytest.fixture
def make_evening(make_server, clock_library, tmp_path):
    """Makes a server at a few seconds to midnight: (server, its clock)."""
    def make(zone, evening, *flags):
        clock = FakeClock(zone, evening)
        env = {"LD_PRELOAD": clock_library, "TEST_CLOCK_AHEAD_S": str(clock.offset),
               "FLEETBIT_REDIS_SERVER": plain_redis(tmp_path)}
        if SANITIZER == "address":
            options = os.environ.get("ASAN_OPTIONS", "")
            env["ASAN_OPTIONS"] = f"{options}:verify_asan_link_order=0".lstrip(":")
        return make_server("--zone", zone, *flags, env=env).start(), clock

    return make


# The zone and its last day before midnight; days of 23 and 25 hours begin and end among them, and
# the offsets are not whole hours in two of them.
EVENINGS = [("UTC", "2026-11-20"), ("Asia/Kathmandu", "2026-12-31"),
            ("Europe/Berlin", "2027-03-28"), ("America/New_York", "2026-10-31"),
            ("Australia/Lord_Howe", "2027-02-28")]


def check_before(api, clock, machines):
    ends, begins, _ = machines
    shown = api.machine(ends["id"])
    assert shown["in_maintenance"] is True and shown["maintenance_end_date"] == clock.evening
    shown = api.machine(begins["id"])
    assert shown["in_maintenance"] is False
    assert shown["maintenance_start_date"] == clock.day(1)
    assert api.read("/v1/availability")["date"] == clock.evening
    assert clock.day() == clock.evening, "the test took too long"


def check_after(api, clock, machines):
    ends, begins, never = machines
    shown = api.machine(ends["id"])
    assert shown["in_maintenance"] is False and shown["maintenance_end_date"] is None
    assert api.machine(begins["id"])["maintenance_start_date"] == clock.day()
    listed = {m["id"]: m["in_maintenance"] for m in api.read("/v1/machines")["machines"]}
    assert listed == {ends["id"]: False, begins["id"]: True, never["id"]: False}
    free = api.read("/v1/availability")
    assert free["date"] == clock.day() and free["count"] == 2
    assert [m["id"] for m in free["machines"]] == [ends["id"], never["id"]]
    assert api.read("/v1/availability?type=crane")["count"] == 1


def check_turn(server, clock):
    with Api(server.port) as api:
        machines = [api.new_machine(type=t) for t in ("crane", "truck", "saw")]
        api.new_window(machines[0]["id"], duration_days=1)
        api.new_window(machines[1]["id"], start_date=clock.day(1), duration_days=2)
        own = [f"/v1/machines/{machine['id']}" for machine in machines]
        targets = [*own, "/v1/machines", "/v1/availability", "/v1/availability?type=crane"]
        before = {target: api.get(target) for target in targets}
        check_before(api, clock, machines)
        clock.wait_for_midnight()
        eventually(lambda: api.machine(machines[1]["id"])["in_maintenance"], TURN_S)
        check_after(api, clock, machines)
        for target in targets:
            fresh = api.get(target, {"If-None-Match": before[target].headers["etag"]})
            assert fresh.status == (304 if target == own[2] else 200), target
            assert fresh.revision == before[target].revision, "midnight is no write"
        written = api.new_window(machines[2]["id"], duration_days=1)
        assert written["start_date"] == clock.day(), "a window of yesterday"
        assert api.machine(machines[2]["id"])["in_maintenance"] is True


def test_midnight_turns_maintenance_without_a_write(make_evening):
    evenings = [make_evening(zone, evening, "--threads", "1") for zone, evening in EVENINGS]
    in_threads([lambda server=server, clock=clock: check_turn(server, clock)
                for server, clock in evenings])


def test_midnight_reaches_every_loop_and_nobody_sees_it_go_back(make_evening):
    server, clock = make_evening("UTC", "2026-11-20", "--threads", "2")
    readers = [c for group in server.connect_to_all_loops(2).values() for c in group]
    with Api(server.port) as api:
        machine = api.new_machine()
        api.new_window(machine["id"], start_date=clock.day(1), duration_days=1)
        target = f"/v1/machines/{machine['id']}"
        turned = {reader: False for reader in readers}
        while clock.now() < clock.midnight + TURN_S:
            for reader in readers:
                state = reader.get(target).json()["in_maintenance"]
                assert state or not turned[reader], "in maintenance, and then not any more"
                assert not state or clock.now() >= clock.midnight, "before midnight"
                turned[reader] = state
            time.sleep(0.01)
        assert all(turned.values()), "a loop missed midnight"
        for reader in readers:
            reader.close()
