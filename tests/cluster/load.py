# SPDX-License-Identifier: MIT
"""A mixed load upon all instances of a cluster, whatever is done to them: writers that remember
what they were told of each write, and readers that hold every response against the ones before."""
import hashlib
import itertools
import random
import threading
import time

from api import Api
from harness import day
from http1 import ConnectionLost

TYPES = ["crane", "truck", "roller"]
OWN_MAX = 12  # machines of a writer

ACKNOWLEDGED, REFUSED, UNKNOWN, REJECTED = "acknowledged", "refused", "unknown", "rejected"


class Write:
    """One write and what became of it. `mark` is the description (of a machine) or the reason (of
    a window) that it alone sets; a deletion has the id of what it deletes."""

    def __init__(self, kind, mark=None, deleted=None):
        self.kind, self.mark, self.deleted = kind, mark, deleted
        self.outcome, self.token, self.response = UNKNOWN, None, None

    def settle(self, response, good):
        """`response`: None where the connection was lost. 503 is outcome-unknown, or a refusal."""
        self.response = response
        if response is None:
            self.outcome = UNKNOWN
        elif response.status == good:
            self.outcome, self.token = ACKNOWLEDGED, response.revision
        elif response.status == 503:
            kind = response.json()["type"].rpartition("/")[2]
            self.outcome = UNKNOWN if kind == "outcome-unknown" else REFUSED
        else:
            self.outcome = REJECTED
        return self.outcome

    def __repr__(self):
        return f"<{self.kind} {self.mark or self.deleted} {self.outcome} {self.token}>"


class Facts:
    """What all of them saw: of a target at a token there is one body, whoever shows it."""

    def __init__(self):
        self.lock, self.bodies, self.reads, self.epochs = threading.Lock(), {}, 0, []

    def note(self, target, response, where):
        key = (target, response.revision)
        digest = hashlib.blake2b(response.body, digest_size=8).digest()
        with self.lock:
            self.reads += 1
            if key[1][0] not in self.epochs:
                self.epochs.append(key[1][0])
            known, witness = self.bodies.setdefault(key, (digest, where))
        assert known == digest, (f"{key} is one thing for {witness} and another for {where}: "
                                 f"{response.status} {response.body[:500]!r}")


class Order:
    """Upon one instance no revision goes back within an epoch, and no epoch that was left comes
    back. A new process may begin before what the last one showed only where Redis forgets."""

    def __init__(self, load, instance):
        self.load, self.instance = load, instance
        self.process, self.last, self.left = 0, None, set()

    def note(self, response, process):
        if process != self.process and self.load.forgetful:
            self.last, self.left = None, set()
        self.process = process
        epoch, revision = response.revision
        where = f"instance {self.instance.number}"
        if self.last is not None:
            if epoch == self.last[0]:
                assert revision >= self.last[1], f"{where}: {self.last}, then {response.revision}"
            else:
                self.left.add(self.last[0])
        assert epoch not in self.left, f"{where} went back to the epoch {epoch}"
        self.last = response.revision


class Client:
    """A connection to an instance that may be gone, or another process, at any time."""

    def __init__(self, load, instance):
        self.load, self.instance = load, instance
        self.connection, self.process = None, 0
        self.order = Order(load, instance)

    def _connect(self):
        while self.connection is None:
            port, process = self.instance.port, self.instance.starts
            try:
                if port is not None:
                    self.connection, self.process = Api(port, timeout=90), process
            except (ConnectionRefusedError, ConnectionResetError):
                pass
            if self.connection is None and self.load.ended.is_set() and port is None:
                raise Ended
            if self.connection is None:
                time.sleep(0.02)
        return self.connection

    def send(self, method, target, body=None, headers=None):
        self._connect().send(method, target, body, headers)

    def receive(self, method):
        """The response, or None where there came none."""
        try:
            response = self.connection.receive(method)
        except ConnectionLost:
            self.close()
            return None
        if self.connection.socket is None:
            self.close()  # the server said that it closes
        if "fleetbit-revision" in response.headers:
            self.order.note(response, self.process)
        else:
            assert response.status == 503, response  # it has no fleet yet
        return response

    def request(self, method, target, body=None, headers=None):
        self.send(method, target, body, headers)
        return self.receive(method)

    def read(self, target, headers=None):
        """As a request, but None also where the instance has no fleet yet."""
        response = self.request("GET", target, None, headers)
        return None if response is None or response.status == 503 else response

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Ended(Exception):
    """The load ended while an instance was away."""


class Machine:
    """One that a writer made; nobody else writes to it."""

    def __init__(self, response):
        shown = response.json()
        self.id, self.target = shown["id"], f"/v1/machines/{shown['id']}"
        self.etag, self.mark = response.headers["etag"], shown["description"]
        self.old_etags, self.windows = [], []
        self.doubtful = False  # a write to it may have landed, or may land still

    def changed(self, etag, mark):
        """Its description is another one now, so its earlier states never come back."""
        if self.etag is not None:
            self.old_etags.append(self.etag)
        self.etag, self.mark = etag, mark


class Writer:
    def __init__(self, load, instance, number):
        self.load, self.instance, self.number = load, instance, number
        self.client = Client(load, instance)
        self.draw = random.Random(load.seed * 1000 + number)
        self.own, self.writes = [], []

    # --- sending, and what the answer must be ---

    def write(self, kind, method, target, body=None, headers=None, good=200, deleted=None):
        mark = None
        if deleted is None:
            mark = f"w{self.number}-{next(self.load.numbers)}"
            member = "reason" if target.endswith("/maintenance") else "description"
            body = {**body, member: mark}
        write = Write(kind, mark, deleted)
        self.writes.append(write)
        write.settle(self.client.request(method, target, body, headers), good)
        if write.outcome == ACKNOWLEDGED:
            self.load.acknowledged += 1
            if write.response.body:
                shown = write.response.headers.get("location", target)
                self.load.facts.note(shown, write.response, f"a {method} at {self.instance.number}")
                assert mark in write.response.body.decode()
        return write

    def expect(self, write, *statuses):
        """Of those that were rejected: only with one of the statuses."""
        if write.outcome == REJECTED:
            status = write.response.status
            assert status in statuses or self.load.forgetful and status in (404, 412), (
                f"{write}: {write.response}")

    def refresh(self, machine):
        """Its ETag, as it is now; False where it is not to be had, or the machine is gone."""
        response = self.client.read(machine.target)
        if response is None:
            return False
        self.load.facts.note(machine.target, response, f"a GET at {self.instance.number}")
        if response.status == 404 and self.load.forgetful:
            self.own.remove(machine)
            return False
        assert response.status == 200, response
        if not machine.doubtful and not self.load.forgetful:
            assert response.json()["description"] == machine.mark, f"{machine.mark}: {response}"
        machine.etag = response.headers["etag"]
        return True

    def after(self, machine, write):
        """What a write to a machine means for the next one."""
        if write.outcome == UNKNOWN:
            machine.doubtful, machine.etag = True, None
        elif write.outcome == REJECTED:
            machine.etag = None
            if write.response.status == 404 and machine in self.own:
                self.own.remove(machine)

    # --- the kinds of writes ---

    def create(self):
        name = f"{self.load.seed}-{self.number}-{next(self.load.numbers)}"
        write = self.write("create", "POST", "/v1/machines", good=201, body={
            "label": name, "inventory_id": name, "type": self.draw.choice(TYPES)})
        self.expect(write)
        if write.outcome == ACKNOWLEDGED:
            self.own.append(Machine(write.response))

    def change(self, machine):
        if machine.etag is None and not self.refresh(machine):
            return
        label = str(self.draw.randrange(1000))
        write = self.write("change", "PATCH", machine.target, {"label": label},
                           {"If-Match": machine.etag})
        self.expect(write, *([412] if machine.doubtful else []))
        self.after(machine, write)
        if write.outcome == ACKNOWLEDGED:
            machine.changed(write.response.headers["etag"], write.mark)
            if self.draw.random() < 0.3:
                self.refresh(machine)

    def change_in_vain(self, machine):
        """With an If-Match that named an earlier state."""
        if not machine.old_etags:
            return self.change(machine)
        write = self.write("stale change", "PATCH", machine.target, {"label": "never"},
                           {"If-Match": self.draw.choice(machine.old_etags)})
        assert write.outcome != ACKNOWLEDGED or self.load.forgetful, write.response
        self.expect(write, 412)
        if write.outcome != REFUSED:
            self.after(machine, write)
        if write.outcome == ACKNOWLEDGED:
            machine.changed(write.response.headers["etag"], write.mark)
        return None

    def count(self):
        """One more in a label in which all writers count."""
        target = self.draw.choice(self.load.counters)
        response = self.client.read(target)
        if response is None:
            return
        assert response.status == 200, response
        self.load.facts.note(target, response, f"a GET at {self.instance.number}")
        write = self.write("count", "PATCH", target,
                           {"label": str(int(response.json()["label"]) + 1)},
                           {"If-Match": response.headers["etag"]})
        self.expect(write, 412)

    def put_in_maintenance(self, machine):
        write = self.write("window", "POST", machine.target + "/maintenance", good=201, body={
            "start_date": day(self.draw.randrange(-1, 5)), "duration_days":
            self.draw.randrange(1, 4)})
        self.expect(write)
        if write.outcome == ACKNOWLEDGED:
            machine.windows.append(write.response.json()["id"])
            machine.etag = None
        elif write.outcome != REFUSED:
            self.after(machine, write)

    def end_maintenance(self, machine):
        if not machine.windows:
            return self.put_in_maintenance(machine)
        window = machine.windows.pop()
        write = self.write("end of a window", "DELETE", f"{machine.target}/maintenance/{window}",
                           good=204, deleted=("window", window))
        self.expect(write)
        if write.outcome == ACKNOWLEDGED:
            machine.etag = None
        elif write.outcome == UNKNOWN:
            self.after(machine, write)
        return None

    def retire(self, machine):
        self.own.remove(machine)
        write = self.write("retirement", "DELETE", machine.target, good=204,
                           deleted=("machine", machine.id))
        self.expect(write)

    def step(self):
        if not self.own or self.draw.random() < 0.2 and len(self.own) < OWN_MAX:
            return self.create()
        machine = self.draw.choice(self.own)
        kind = self.draw.choices([self.change, self.count, self.put_in_maintenance,
                                  self.end_maintenance, self.retire, self.change_in_vain],
                                 [40, 15, 15, 10, 10, 5])[0]
        return kind() if kind == self.count else kind(machine)

    def run(self):
        while not self.load.ended.is_set():
            self.step()
            if self.writes and self.writes[-1].outcome == REFUSED:
                self.load.ended.wait(0.02)


class Reader:
    def __init__(self, load, instance, number):
        self.load, self.instance = load, instance
        self.client = Client(load, instance)
        self.draw = random.Random(load.seed * 1000 + 500 + number)
        self.kept = {}

    def run(self):
        targets = [*self.load.counters, *self.load.counters, "/v1/machines?limit=1000",
                   "/v1/availability?limit=20", f"/v1/availability?date={day(1)}&limit=20",
                   f"/v1/availability/calendar?from={day(-1)}&to={day(7)}",
                   f"/v1/machines?type={TYPES[0]}&limit=10"]
        while not self.load.ended.wait(0.001):
            target, headers = self.draw.choice(targets), None
            if target in self.kept and self.draw.random() < 0.3:
                headers = {"If-None-Match": self.kept[target].headers["etag"]}
            response = self.client.read(target, headers)
            if response is None:
                continue
            if response.status == 304:
                response.body = self.kept[target].body
            else:
                assert response.status == 200, response
                self.kept[target] = response
            self.load.facts.note(target, response, f"a reader at {self.instance.number}")


class Load:
    """Begins at once. `forgetful`: Redis may lose writes that it acknowledged."""

    def __init__(self, cluster, seed, writers=2, readers=2, forgetful=False):
        self.cluster, self.seed, self.forgetful = cluster, seed, forgetful
        self.ended, self.broken, self.numbers = threading.Event(), [], itertools.count()
        self.facts, self.acknowledged, self.counters = Facts(), 0, []
        places = list(enumerate(cluster.instances))
        self.writers = [Writer(self, instance, i * writers + k)
                        for i, instance in places for k in range(writers)]
        self.readers = [Reader(self, instance, i * readers + k)
                        for i, instance in places for k in range(readers)]
        self.flooder = Writer(self, cluster.instances[0], 400)
        self._begin()
        self.threads = [threading.Thread(target=self._guarded, args=(worker,), daemon=True)
                        for worker in self.writers + self.readers]
        for thread in self.threads:
            thread.start()

    def _begin(self):
        """The machines whose labels all count, and the one that floods write to."""
        for name in ("counter-1", "counter-2", "flood"):
            write = self.flooder.write("create", "POST", "/v1/machines", good=201, body={
                "label": "0", "inventory_id": name, "type": TYPES[0]})
            assert write.outcome == ACKNOWLEDGED, write.response
            self.counters.append(write.response.headers["location"])
        self.flooded = self.counters.pop()
        self.cluster.check_all_see(write.token, 30)

    def _guarded(self, worker):
        try:
            worker.run()
        except Ended:
            pass
        except BaseException as error:
            self.broken.append(error)
            self.ended.set()
        finally:
            worker.client.close()

    @property
    def writes(self):
        return [write for writer in [*self.writers, self.flooder] for write in writer.writes]

    def count_of(self, outcome):
        return sum(write.outcome == outcome for write in self.writes)

    def wait_for(self, count, seconds=60):
        """Until so many more writes are acknowledged."""
        wanted, deadline = self.acknowledged + count, time.monotonic() + seconds
        while self.acknowledged < wanted and not self.broken:
            assert time.monotonic() < deadline, f"no {count} writes within {seconds} s"
            time.sleep(0.01)
        self.raise_broken()

    def raise_broken(self):
        if self.broken:
            raise self.broken[0]

    def flood(self, instances, is_enough):
        """Changes through those instances, many at the same time, until it is enough."""
        clients = [Client(self, instance) for instance in instances for _ in range(25)]
        try:
            while not self.broken and not is_enough():
                self._flood_once(clients)
        finally:
            for client in clients:
                client.close()

    def _flood_once(self, clients):
        writes = [Write("flood", f"w400-{next(self.numbers)}") for _ in clients]
        self.flooder.writes += writes
        for client, write in zip(clients, writes):
            client.send("PATCH", self.flooded, {"description": write.mark})
        for client, write in zip(clients, writes):
            write.settle(client.receive("PATCH"), 200)
            assert write.outcome != REJECTED, write.response

    def confirm(self, instance):
        """A write through an instance lands: it may need a few attempts."""
        self.flooder.client.close()
        self.flooder.client = Client(self, instance)
        deadline = time.monotonic() + 60
        while True:
            write = self.flooder.write("last change", "PATCH", self.flooded, {})
            if write.outcome == ACKNOWLEDGED:
                return write.token
            assert write.outcome != REJECTED, write.response
            assert time.monotonic() < deadline, f"instance {instance.number} takes no writes"
            time.sleep(0.05)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive(), "a request hangs"
        self.flooder.client.close()
        self.raise_broken()
