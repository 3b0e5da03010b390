# SPDX-License-Identifier: MIT
"""How soon an instance sees what others write, what it does where publications fail, and when
an epoch ends: never for nothing, once where it must, and without a load where the state is the
same."""
import contextlib
import re
import statistics
import threading
import time

import pytest

from harness import SANITIZER, away_from_midnight, eventually, scale, unique
from history import History, check_one_state
from journal import Journal
from store import check_store

SOON_S = scale(0.5, 2)   # what half of the writes must not take to be seen elsewhere
SURELY_S = 30            # what none may take, on a machine with other things to do
LOG_LENGTH = 1000
CHANNEL = "fb:{default}:invalidate"


@pytest.fixture
def make(make_cluster):
    away_from_midnight(scale(60, 200))

    def start(**env):
        return make_cluster(env={f"FLEETBIT_{k.upper()}": str(v) for k, v in env.items()}).start()

    return start


@contextlib.contextmanager
def connections(cluster):
    opened = [instance.api() for instance in cluster.instances]
    yield opened
    for connection in opened:
        connection.close()


def subscribers(cluster):
    with cluster.redis.client() as client:
        return client.pubsub_numsub(CHANNEL)[0][1]


def wait_for_subscribers(cluster):
    eventually(lambda: subscribers(cluster) == len(cluster.instances), SURELY_S)


def seconds_until_seen(readers, token):
    """How long until each of them has shown that token, or a later one of its epoch."""
    began, found = time.monotonic(), []
    for reader in readers:
        while True:
            shown = reader.get("/v1/machines?limit=1").revision
            if shown[0] == token[0] and shown >= token:
                break
            assert time.monotonic() - began < SURELY_S, f"{token} is not seen: {shown}"
            time.sleep(0.001)
        found.append(time.monotonic() - began)
    return found


def write_and_watch(clients, turns, before=lambda turn: None):
    """Writes through the instances in turns; how long each write took to be seen by each other."""
    found = []
    for turn in range(turns):
        before(turn)
        writer = clients[turn % len(clients)]
        made = writer.post("/v1/machines", {"label": str(turn), "inventory_id": unique(),
                                            "type": "crane"})
        assert made.status == 201, made
        found += seconds_until_seen([c for c in clients if c is not writer], made.revision)
        for client in clients:
            assert client.get(made.headers["location"]).body == made.body
    print(f"seen after {statistics.median(found) * 1000:.1f} ms, at most {max(found) * 1000:.1f}")
    return statistics.median(found)


def flood(instances, count, text=None, each=50):
    """Changes of one machine through those instances, on so many connections of each."""
    opened = [instance.api() for instance in instances for _ in range(each)]
    made = opened[0].new_machine()
    target, sent = f"/v1/machines/{made['id']}", 0
    seconds_until_seen(opened, opened[0].get(target).revision)
    while sent < count:
        for api in opened:
            sent += 1
            api.send("PATCH", target, {"label": str(sent), "description": text})
        responses = [api.receive("PATCH") for api in opened]
        assert {response.status for response in responses} == {200}, responses
    for api in opened:
        api.close()
    return max(response.revision for response in responses)


def deafen(instance):
    """It stops, and will not find what was published meanwhile when it goes on."""
    instance.pause()
    instance.proxy.faults(drop=1.0)


def wake(instance):
    instance.proxy.faults()
    instance.resume()


def epochs(cluster):
    return [epoch for epoch, _ in cluster.redis.journal().epochs]


def check_whole(cluster, length):
    """One state everywhere, and all that was ever written is in it."""
    token = cluster.settle()
    check_one_state(cluster, token, History(cluster.redis.journal(), []), length)


@contextlib.contextmanager
def announcements(cluster):
    """A list that has, in the end, the epochs whose begin was published."""
    found = []
    with cluster.redis.client() as client:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(CHANNEL)
        pubsub.get_message(timeout=1)
        yield found
        client.publish(CHANNEL, "that is all")
        while (text := pubsub.get_message(timeout=20)["data"].decode()) != "that is all":
            if text.startswith("EPOCH "):
                found.append(text[6:])


class EpochsSeen(threading.Thread):
    """Reads at instances all the time: every read is answered, no revision goes back, and each
    epoch is left for good."""

    def __init__(self, instances):
        super().__init__(daemon=True)
        self.seen = {instance.number: [] for instance in instances}
        self.instances, self.ended, self.broken = instances, threading.Event(), None
        self.start()

    def run(self):
        try:
            clients = [(i.number, i.api()) for i in self.instances]
            last = {}
            while not self.ended.wait(0.002):
                for number, client in clients:
                    response = client.get("/v1/machines?limit=1")
                    assert response.status == 200, response
                    epoch, revision = response.revision
                    if not self.seen[number] or self.seen[number][-1] != epoch:
                        self.seen[number].append(epoch)
                    elif revision < last[number]:
                        raise AssertionError(f"{number}: {revision} after {last[number]}")
                    last[number] = revision
            for _, client in clients:
                client.close()
        except BaseException as error:
            self.broken = error

    def stop(self):
        self.ended.set()
        self.join(60)
        if self.broken:
            raise self.broken
        return self.seen


# --- publications ---


def test_what_is_published_is_what_was_committed(make):
    cluster = make()
    wait_for_subscribers(cluster)
    with cluster.redis.client() as client, connections(cluster) as clients:
        pubsub = client.pubsub()
        pubsub.subscribe(CHANNEL)
        assert pubsub.get_message(timeout=20)["type"] == "subscribe"
        for turn in range(30):
            made = clients[turn % 3].new_machine(description="ä b")
            seconds_until_seen(clients, clients[turn % 3].get("/v1/machines").revision)
            if turn % 3 == 2:
                clients[0].new_window(made["id"], duration_days=3)
        head = cluster.redis.head()
        entries = client.xrange("fb:{default}:log")
        changes = (text for text in iter(lambda: pubsub.get_message(timeout=20)["data"].split(
            b" ", 5), None) if text[0] != b"STALE")  # who came second is said, too
        assert len(entries) == int(head["revision"]) == 40
        for name, fields in entries:
            said = next(changes)
            assert said == [head["epoch"].encode(), name.split(b"-")[0], fields[b"chain"],
                            fields[b"sum"], fields[b"command"], fields[b"change"]]
            assert re.fullmatch(rb"[0-9a-f]{16}", fields[b"sum"]), fields
        assert fields[b"sum"].decode() == head["sum"] and fields[b"chain"].decode() == head["chain"]
        assert head["since"] == "0" and head["schema"] == "1"
        assert head["run"] == client.info("server")["run_id"]
        check_store(client, clients[1])
    assert epochs(cluster) == [head["epoch"]]


def test_a_write_is_seen_everywhere_at_once(make):
    cluster = make()
    wait_for_subscribers(cluster)
    with connections(cluster) as clients:
        assert write_and_watch(clients, scale(90, 30)) < SOON_S
    assert [i.reloads() for i in cluster.instances] == [0, 0, 0]


def test_publications_out_of_order_twice_or_missing_cost_no_reload(make):
    cluster = make()
    wait_for_subscribers(cluster)
    for instance in cluster.instances:
        instance.proxy.faults(drop=0.1, repeat=0.5, delay=0.5, seconds=0.1)
    with connections(cluster) as clients:
        write_and_watch(clients, scale(45, 30))
    assert sum(i.proxy.counts()["dropped"] for i in cluster.instances) > 0
    assert len(epochs(cluster)) == 1
    assert [i.reloads() for i in cluster.instances] == [0, 0, 0]
    check_whole(cluster, 100000)


def test_a_gap_is_noticed_with_the_next_publication(make):
    cluster = make()
    wait_for_subscribers(cluster)
    writer, others = cluster.instances[0], cluster.instances[1:]
    found = []

    def dropped():
        return [instance.proxy.counts()["dropped"] for instance in others]

    with connections(cluster) as clients:
        for turn in range(scale(20, 8)):
            before = dropped()
            for instance in others:
                instance.proxy.faults(drop=1.0)
            clients[0].new_machine()
            eventually(lambda: all(a > b for a, b in zip(dropped(), before)))
            for instance in others:
                instance.proxy.faults()
            clients[0].new_machine()
            found += seconds_until_seen(clients[1:], writer.token())
    print(f"seen after {statistics.median(found) * 1000:.1f} ms, at most {max(found) * 1000:.1f}")
    assert statistics.median(found) < SOON_S
    assert len(epochs(cluster)) == 1
    assert [i.reloads() for i in cluster.instances] == [0, 0, 0]


def test_without_any_publication_a_second_is_enough(make):
    cluster = make()
    wait_for_subscribers(cluster)
    for instance in cluster.instances:
        instance.proxy.faults(drop=1.0)
    with connections(cluster) as clients:
        # Asked between two looks at the head, so half of the waits is shorter than the second.
        assert write_and_watch(clients, scale(8, 4)) < scale(2, 5)
    counts = [instance.proxy.counts() for instance in cluster.instances]
    assert all(c["dropped"] == c["messages"] > 0 for c in counts), counts
    assert len(epochs(cluster)) == 1


def test_subscribers_that_are_killed_miss_nothing(make):
    cluster = make()
    wait_for_subscribers(cluster)
    with connections(cluster) as clients, cluster.redis.client() as client:
        killed = []
        soon = write_and_watch(clients, scale(60, 20), lambda turn: killed.append(
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")))
        assert sum(killed) > 0 and soon < SOON_S
        wait_for_subscribers(cluster)
        assert write_and_watch(clients, scale(30, 10)) < SOON_S
    assert len(epochs(cluster)) == 1
    assert [i.reloads() for i in cluster.instances] == [0, 0, 0]
    check_whole(cluster, 100000)


def test_a_subscriber_that_redis_cuts_off_catches_up(make):
    """It does not read what is published until Redis has no room for it any more."""
    cluster = make()
    wait_for_subscribers(cluster)
    slow, others = cluster.instances[1], [cluster.instances[0], cluster.instances[2]]
    with cluster.redis.client() as client:
        client.config_set("client-output-buffer-limit", "pubsub 256k 0 0")
        slow.pause()
        slow.proxy.hang("pushes")
        while subscribers(cluster) == 3:
            flood(others, 200, "x" * 2000)
        token = cluster.redis.token()
        slow.proxy.hang()
        slow.resume()
        cluster.check_all_see(token, SURELY_S)
        wait_for_subscribers(cluster)
    with connections(cluster) as clients:
        assert write_and_watch(clients, scale(30, 10)) < SOON_S
    assert "output buffer limits" in (cluster.redis.folder / "redis.log").read_text()
    assert len(epochs(cluster)) == 1 and slow.reloads() == 0
    check_whole(cluster, 100000)


def test_a_flood_past_an_instance_that_stands_still_is_read_from_the_log(make):
    cluster = make()
    wait_for_subscribers(cluster)
    still = cluster.instances[2]
    deafen(still)
    token = flood(cluster.instances[:2], scale(20000, 2000))
    began = time.monotonic()
    wake(still)
    cluster.check_all_see(token, scale(30, 90))
    print(f"caught up in {time.monotonic() - began:.2f} s")
    assert len(epochs(cluster)) == 1
    assert [i.reloads() for i in cluster.instances] == [0, 0, 0]
    with connections(cluster) as clients:
        assert write_and_watch(clients, 15) < SOON_S
    check_whole(cluster, 100000)


# --- epochs ---


def test_a_log_trimmed_past_an_instance_begins_one_epoch_for_all(make):
    cluster = make(log_length=LOG_LENGTH)
    wait_for_subscribers(cluster)
    still, others = cluster.instances[0], cluster.instances[1:]
    old = cluster.redis.token()
    deafen(still)
    reader = EpochsSeen(others)
    flood(others, LOG_LENGTH + 500)
    assert epochs(cluster) == [old[0]], "an epoch began while nobody was behind"
    with announcements(cluster) as announced:
        wake(still)
        token = eventually(lambda: (t := cluster.settled()) and t[0] != old[0] and t, SURELY_S)
    seen = reader.stop()
    assert epochs(cluster) == [old[0], token[0]] and announced == [token[0]]
    assert int(cluster.redis.head()["since"]) == token[1], "the new epoch changed the state"
    assert seen == {1: [old[0], token[0]], 2: [old[0], token[0]]}
    assert [i.reloads() for i in cluster.instances] == [1, 0, 0], "only one had to load anew"
    with connections(cluster) as clients:
        assert write_and_watch(clients, 15) < SOON_S
    assert epochs(cluster) == [old[0], token[0]]
    check_whole(cluster, LOG_LENGTH)


def test_two_instances_left_behind_begin_one_epoch(make):
    cluster = make(log_length=LOG_LENGTH)
    wait_for_subscribers(cluster)
    for instance in cluster.instances[1:]:
        deafen(instance)
    flood(cluster.instances[:1], LOG_LENGTH + 500)
    for instance in cluster.instances[1:]:
        wake(instance)
    first = epochs(cluster)[0]
    eventually(lambda: (t := cluster.settled()) and t[0] != first, SURELY_S)
    with connections(cluster) as clients:
        assert write_and_watch(clients, 15) < SOON_S
    assert len(epochs(cluster)) == 2, epochs(cluster)
    assert [i.reloads() for i in cluster.instances] == [0, 1, 1]
    check_whole(cluster, LOG_LENGTH)


def test_a_redis_that_restarted_gets_a_new_epoch_with_the_next_write(make):
    """It lost nothing; but that is not to be seen from within."""
    cluster = make()
    with connections(cluster) as clients:
        for client in clients:
            client.new_machine()
        old = cluster.settle()
        reader = EpochsSeen(cluster.instances)
        for turn in range(2):
            cluster.redis.kill()
            cluster.redis.start()
            before = epochs(cluster)
            made = eventually(lambda: (r := clients[turn].post("/v1/machines", {
                "label": "a", "inventory_id": unique(), "type": "crane"})).status == 201 and r)
            assert made.revision[1] == old[1] + 1 + turn
            assert epochs(cluster) == [*before, made.revision[0]], "not one new epoch"
            cluster.check_all_see(made.revision, SURELY_S)
            head = cluster.redis.head()
            with cluster.redis.client() as client:
                assert head["run"] == client.info("server")["run_id"]
            assert int(head["since"]) == old[1] + turn
        seen = reader.stop()
    assert all(e == epochs(cluster) for e in seen.values()), seen
    assert [i.reloads() for i in cluster.instances] == [0, 0, 0], "nothing was lost"
    check_whole(cluster, 100000)


def test_a_redis_that_forgot_gets_a_new_epoch_though_nobody_writes(make):
    cluster = make()
    with connections(cluster) as clients:
        machines = [clients[i % 3].new_machine() for i in range(12)]
        old = cluster.settle()
        bodies = {t: clients[0].get(t).body for t in ("/v1/machines", "/v1/availability")}
        cluster.redis.kill()
        lost = cluster.redis.forget(3)
        cluster.redis.start()
        token = eventually(lambda: (t := cluster.settled()) and t[0] != old[0] and t, SURELY_S)
        assert token[1] == old[1] - len(lost)
        for client in clients:
            listed = client.read("/v1/machines")["machines"]
            assert [m["id"] for m in listed] == [m["id"] for m in machines[:-len(lost)]]
        while clients[0].get("/v1/machines").revision[1] < old[1]:
            clients[0].new_machine()
        assert clients[0].get("/v1/machines").body != bodies["/v1/machines"]
    assert epochs(cluster) == [old[0], token[0]]
    assert [i.reloads() for i in cluster.instances] == [1, 1, 1]
    check_whole(cluster, 100000)


@pytest.mark.parametrize("writes", [0, 1, 3])
def test_an_epoch_whose_begin_redis_forgot_does_not_bring_back_the_one_before(make, writes):
    """Redis forgets the last writes, and that an epoch began before them."""
    cluster = make()
    with connections(cluster) as clients:
        clients[0].new_machine()
        first = cluster.settle()
        cluster.redis.kill()
        cluster.redis.start()
        for i in range(1 + writes):
            made = eventually(lambda: (r := clients[i % 3].post("/v1/machines", {
                "label": "a", "inventory_id": unique(), "type": "crane"})).status == 201 and r)
        second = eventually(lambda: (t := cluster.settled()) == made.revision and t, SURELY_S)
        assert second[0] != first[0]
        reader = EpochsSeen(cluster.instances)
        cluster.redis.kill()
        lost = cluster.redis.forget(1 + writes, bare=True)
        assert len(lost) == 1 + writes and epochs(cluster) == [first[0]]
        cluster.redis.start()
        token = eventually(lambda: (t := cluster.settled()) and t[0] != second[0] and t, SURELY_S)
        clients[1].new_machine()
        last = cluster.settle()
        seen = reader.stop()
    assert token[1] == first[1] and last == (token[0], token[1] + 1)
    assert seen == {i: [second[0], token[0]] for i in range(3)}
    assert epochs(cluster) == [first[0], token[0]]
    check_whole(cluster, 100000)


def test_what_redis_forgot_is_safe_from_an_instance_that_never_saw_it(make):
    """It finds Redis just as it left it, and writes first: its tokens must be new all the same."""
    cluster = make()
    still, other = cluster.instances[:2]
    with connections(cluster) as clients:
        kept = clients[0].new_machine()
        old = cluster.settle()
        deafen(still)
        shown = {}
        for _ in range(5):
            clients[1].new_machine()
            response = clients[1].get("/v1/machines")
            shown[response.revision] = response.body
        cluster.redis.kill()
        other.pause()
        cluster.instances[2].pause()
        lost = cluster.redis.forget(5)
        assert [entry.token for entry in lost] == sorted(shown)
        cluster.redis.start()
        wake(still)

        def lands():
            response = clients[0].post("/v1/machines", {"label": "a", "type": "crane",
                                                        "inventory_id": unique()})
            assert response.status in (201, 503), response
            return response.status == 201 and response

        made = eventually(lands, SURELY_S)
        assert made.revision[1] == old[1] + 1 and made.revision not in shown
        other.resume()
        cluster.instances[2].resume()
        token = eventually(cluster.settled, SURELY_S)
        assert token == made.revision != max(shown)
        for client in clients:
            assert [m["id"] for m in client.read("/v1/machines")["machines"]] == [
                kept["id"], made.json()["id"]]
    assert epochs(cluster) == [old[0], token[0]]
    check_whole(cluster, 100000)


def test_everything_is_deleted_and_all_begin_anew_together(make):
    cluster = make()
    with connections(cluster) as clients, cluster.redis.client() as client:
        for api in clients:
            api.new_machine()
        old = cluster.settle()
        client.flushall()
        token = eventually(lambda: (t := cluster.settled()) and t[0] != old[0] and t, SURELY_S)
        assert token[1] == 0
        for api in clients:
            assert api.read("/v1/machines")["machines"] == []
        assert write_and_watch(clients, 9) < SOON_S
        assert cluster.redis.token() == (token[0], 9)
        assert Journal(cluster.redis.file).epochs[-1][0] == token[0]
        assert len(epochs(cluster)) == 2
        check_store(client, clients[2])


def test_instances_that_stop_and_start_begin_no_epoch(make):
    cluster = make(log_length=LOG_LENGTH)
    with connections(cluster) as clients:
        clients[0].new_machine()
    old = cluster.settle()
    for instance in cluster.instances * scale(2, 1):
        if instance.number == 1:
            instance.kill()
        else:
            instance.stop()
            instance.port = None
        others = [i for i in cluster.instances if i is not instance]
        flood(others, LOG_LENGTH + 200 if not SANITIZER else 200)
        instance.start()
    assert cluster.settle()[0] == old[0] and epochs(cluster) == [old[0]]
    assert [i.reloads() for i in cluster.instances] == [0, 0, 0]
