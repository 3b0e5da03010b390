# SPDX-License-Identifier: MIT
"""No answer is older than the write that was acknowledged before the request, on any connection
and event loop, whatever a memo keeps; and every answer shows one revision."""
import hashlib
import json
import random
import threading
import time

import pytest

from api import Api
from harness import away_from_midnight, day, in_threads, scale
from http1 import Connection

SECONDS = scale(4, 6)
TYPES = [f"type{i}" for i in range(6)]


class Facts:
    """What all threads saw, put together: of a target at a revision there is one body."""

    def __init__(self):
        self.lock, self.bodies, self.reads = threading.Lock(), {}, 0

    def note(self, target, response):
        key = (target, response.headers["fleetbit-revision"])
        digest = hashlib.blake2b(response.body, digest_size=8).digest()
        with self.lock:
            self.reads += 1
            known = self.bodies.setdefault(key, (digest, response.status))
        assert known == (digest, response.status), f"{key} shows two states"


class Reader:
    """A connection whose revision never goes back, and whose 304s are true."""

    def __init__(self, connection, facts):
        self.connection, self.facts = connection, facts
        self.last, self.kept = ("", 0), {}

    def read(self, target, statuses=(200,)):
        """The response, which after a 304 is the kept one."""
        headers = None
        if target in self.kept and random.random() < 0.3:
            headers = {"If-None-Match": self.kept[target].headers["etag"]}
        response = self.connection.get(target, headers)
        revision = response.revision
        assert revision >= self.last, f"{self.last} and then {revision} on one connection"
        self.last = revision
        if response.status == 304:
            kept = self.kept[target]
            response.body, response.status = kept.body, 200
        elif "etag" in response.headers:
            self.kept[target] = response
        assert response.status in statuses, response
        self.facts.note(target, response)
        return response


class Fleet:
    """A thread's own machines, all of a type of its own, and what must show of them."""

    def __init__(self, number, server, facts, seed):
        self.draw = random.Random(seed * 100 + number)
        self.type, self.seed = TYPES[number], seed
        self.writer = Api(server.port)
        self.readers = [Reader(connection, facts)
                        for connections in server.connect_to_all_loops(2).values()
                        for connection in connections]
        self.machines, self.windows, self.count = {}, {}, 0
        self.written = ("", 0)
        for _ in range(5):
            self.create()

    # --- writes, each acknowledged ---

    def _send(self, method, target, body=None, status=200):
        response = self.writer.request(method, target, body)
        assert response.status == status, response
        self.written = max(self.written, response.revision)
        return response

    def _texts(self):
        """Two members that are always written together: a mixture of revisions would show."""
        self.count += 1
        return {"label": f"{self.type} {self.count}", "description": f"{self.type} {self.count}"}

    def create(self):
        body = {**self._texts(), "inventory_id": f"{self.type}-{self.count}", "type": self.type}
        made = self._send("POST", "/v1/machines", body, 201).json()
        self.machines[made["id"]] = body["label"]

    def change(self):
        machine, texts = self.draw.choice(list(self.machines)), self._texts()
        self._send("PATCH", f"/v1/machines/{machine}", texts)
        self.machines[machine] = texts["label"]

    def retire(self):
        if len(self.machines) > 3:
            machine = self.draw.choice(list(self.machines))
            self._send("DELETE", f"/v1/machines/{machine}", None, 204)
            del self.machines[machine]
            self.windows = {w: v for w, v in self.windows.items() if v[0] != machine}

    def put_in_maintenance(self):
        machine = self.draw.choice(list(self.machines))
        first = self.draw.choice([0, 0, -1, 1])
        length = self.draw.randrange(1, 4)
        made = self._send("POST", f"/v1/machines/{machine}/maintenance",
                          {"start_date": day(first), "duration_days": length}, 201).json()
        self.windows[made["id"]] = (machine, first, first + length - 1)

    def end_maintenance(self):
        if self.windows:
            window = self.draw.choice(list(self.windows))
            machine = self.windows.pop(window)[0]
            self._send("DELETE", f"/v1/machines/{machine}/maintenance/{window}", None, 204)

    def write(self):
        self.draw.choice([self.create, self.change, self.change, self.retire,
                          self.put_in_maintenance, self.end_maintenance])()

    # --- reads, each of which must show all writes ---

    def _free(self, first, last):
        taken = {m for m, a, b in self.windows.values() if a <= last and b >= first}
        return sorted(set(self.machines) - taken)

    def _read(self, target):
        reader = self.draw.choice(self.readers)
        found = reader.read(target)
        assert reader.last >= self.written, f"older than the write before it (seed {self.seed})"
        return found.json()

    def _check_machine(self, shown):
        label = self.machines[shown["id"]]
        assert shown["label"] == shown["description"] == label, f"seed {self.seed}: {shown}"
        mine = [v for v in self.windows.values() if v[0] == shown["id"] and v[2] >= 0]
        assert shown["in_maintenance"] is any(v[1] <= 0 for v in mine), f"seed {self.seed}"
        start = min((v[1] for v in mine), default=None)
        assert shown["maintenance_start_date"] == (None if start is None else day(start))

    def check_one(self):
        machine = self.draw.choice(list(self.machines))
        self._check_machine(self._read(f"/v1/machines/{machine}"))

    def check_list(self):
        listed = self._read(f"/v1/machines?type={self.type}&limit=1000")["machines"]
        assert [m["id"] for m in listed] == sorted(self.machines), f"seed {self.seed}"
        for shown in listed:
            self._check_machine(shown)

    def check_free(self):
        first, last = self.draw.choice([(0, 0), (1, 1), (0, 2), (-1, 3)])
        query = f"date={day(first)}" if first == last else f"from={day(first)}&to={day(last)}"
        found = self._read(f"/v1/availability?{query}&type={self.type}&limit=1000")
        expected = self._free(first, last)
        assert [m["id"] for m in found["machines"]] == expected, f"seed {self.seed}"
        assert found["count"] == len(expected)
        for shown in found["machines"]:
            self._check_machine(shown)

    def check_today(self):
        found = self._read(f"/v1/availability?type={self.type}&limit=1000")
        assert [m["id"] for m in found["machines"]] == self._free(0, 0), f"seed {self.seed}"

    def check_calendar(self):
        target = f"/v1/availability/calendar?from={day(-2)}&to={day(5)}&type={self.type}"
        counts = [entry["available"] for entry in self._read(target)["days"]]
        assert counts == [len(self._free(i, i)) for i in range(-2, 6)], f"seed {self.seed}"

    def check_own_calendar(self):
        machine = self.draw.choice(list(self.machines))
        days = self._read(f"/v1/machines/{machine}/calendar?from={day(-2)}&to={day(5)}")["days"]
        for offset, entry in zip(range(-2, 6), days):
            causes = sorted(w for w, (m, a, b) in self.windows.items()
                            if m == machine and a <= offset <= b)
            assert sorted(entry["windows"]) == causes, f"seed {self.seed}"
            assert entry["available"] is not bool(causes)

    def check_windows(self):
        machine = self.draw.choice(list(self.machines))
        listed = self._read(f"/v1/machines/{machine}/maintenance")["windows"]
        expected = sorted(w for w, v in self.windows.items() if v[0] == machine)
        assert sorted(w["id"] for w in listed) == expected, f"seed {self.seed}"

    def check(self):
        self.draw.choice([self.check_one, self.check_one, self.check_list, self.check_free,
                          self.check_today, self.check_calendar, self.check_own_calendar,
                          self.check_windows])()

    def run(self, deadline):
        while time.monotonic() < deadline:
            self.write()
            for _ in range(self.draw.randrange(1, 6)):
                self.check()
        self.check_list()

    def close(self):
        for connection in [self.writer, *(reader.connection for reader in self.readers)]:
            connection.close()


def watch(server, facts, deadline):
    """Reads what everybody writes: one revision a response, none before the last."""
    with Connection(server.port) as connection:
        reader = Reader(connection, facts)
        targets = ["/v1/machines?limit=1000", "/v1/availability?limit=1000",
                   f"/v1/availability?date={day(1)}", f"/v1/availability/calendar?from={day(0)}"
                   f"&to={day(30)}", "/v1/machines?limit=7"]
        while time.monotonic() < deadline:
            found = reader.read(random.choice(targets)).json()
            for shown in found.get("machines", []):
                assert shown["label"] == shown["description"], f"a mixture: {shown}"


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_random_program_sees_every_write_on_every_loop(make_server, threads):
    away_from_midnight(SECONDS + 20)
    seed = random.randrange(2**32)
    print("seed", seed)
    server = make_server("--threads", threads, env={"FLEETBIT_TYPES": ",".join(TYPES)}).start()
    facts = Facts()
    fleets = [Fleet(i, server, facts, seed) for i in range(4)]
    deadline = time.monotonic() + SECONDS
    try:
        in_threads([lambda fleet=fleet: fleet.run(deadline) for fleet in fleets]
                   + [lambda: watch(server, facts, deadline)] * 2)
    finally:
        for fleet in fleets:
            fleet.close()
    assert facts.reads > scale(2000, 100), "it hardly read"
    print(facts.reads, "reads,", sum(fleet.count for fleet in fleets), "texts")


def test_a_small_memo_that_evicts_all_the_time_stays_true(make_server):
    away_from_midnight(SECONDS + 20)
    seed = random.randrange(2**32)
    print("seed", seed)
    server = make_server("--threads", 2, env={"FLEETBIT_TYPES": ",".join(TYPES),
                                              "FLEETBIT_MEMO_BYTES": "64k"}).start()
    facts = Facts()
    fleets = [Fleet(i, server, facts, seed) for i in range(3)]
    deadline = time.monotonic() + SECONDS / 2
    try:
        in_threads([lambda fleet=fleet: fleet.run(deadline) for fleet in fleets])
    finally:
        for fleet in fleets:
            fleet.close()
    with server.admin() as admin:
        text = admin.get("/metrics").body.decode()
    evicted = [line for line in text.splitlines() if line.startswith("fleetbit_memo_evicted_total")]
    assert float(evicted[0].split()[1]) > 0, "nothing was evicted: the test shows nothing"


def test_a_write_is_seen_at_once_by_connections_that_had_the_answer_kept(server):
    """Every loop has every answer in its memo when the write comes."""
    readers = [c for connections in server.connect_to_all_loops(3).values() for c in connections]
    with Api(server.port) as api:
        machine = api.new_machine(type="paver")
        own = f"/v1/machines/{machine['id']}"
        targets = [own, "/v1/machines?type=paver", f"/v1/availability?date={day(0)}&type=paver",
                   "/v1/availability?type=paver", own + "/maintenance",
                   f"/v1/availability/calendar?from={day(0)}&to={day(1)}&type=paver",
                   f"{own}/calendar?from={day(0)}&to={day(1)}"]
        for number in range(scale(60, 15)):
            before = [[reader.get(t).body for t in targets] for reader in readers]
            assert all(row == before[0] for row in before), "two loops disagree"
            label = f"change {number}"
            assert api.patch(own, {"label": label}).status == 200
            for reader in readers:
                for target in targets[:4]:
                    assert label.encode() in reader.get(target).body, target
            window = api.new_window(machine["id"], duration_days=1)
            for reader in readers:
                shown = [reader.get(t) for t in targets]
                assert json.loads(shown[0].body)["in_maintenance"] is True
                assert json.loads(shown[1].body)["machines"][0]["in_maintenance"] is True
                assert json.loads(shown[2].body)["count"] == 0
                assert json.loads(shown[3].body)["machines"] == []
                assert json.loads(shown[4].body)["windows"][0]["id"] == window["id"]
                assert json.loads(shown[5].body)["days"][0]["available"] == 0
                assert json.loads(shown[6].body)["days"][0]["windows"] == [window["id"]]
            api.delete(f"{own}/maintenance/{window['id']}")
    for reader in readers:
        reader.close()


def test_what_a_change_does_not_touch_stays_in_the_memo(make_server):
    """A window of one machine, far from today, leaves the lists of other dates where they are."""
    server = make_server("--threads", 1).start()

    def stale():
        with server.admin() as admin:
            text = admin.get("/metrics").body.decode()
        return [float(line.split()[1]) for line in text.splitlines()
                if line.startswith("fleetbit_memo_stale_total ")][0]

    with Api(server.port) as api:
        machine, other = api.new_machine(), api.new_machine()
        api.new_window(machine["id"], start_date=day(100), duration_days=1)
        kept = [f"/v1/machines/{other['id']}", f"/v1/machines/{other['id']}/maintenance",
                f"/v1/availability/calendar?from={day(3)}&to={day(9)}"]
        for target in kept:
            api.read(target)
        before = stale()
        for i in range(10):
            api.new_window(machine["id"], start_date=day(200 + i), duration_days=1)
            for target in kept:
                api.read(target)
        assert stale() == before, "answers were dropped that no change touched"
