# SPDX-License-Identifier: MIT
"""Event streams where there are several instances, and where Redis loses what it acknowledged."""
import contextlib

from api import Api
from harness import eventually
from sse import Follower, Stream, expected, same

PATH = "/v1/stream"


def token(response):
    return "{}.{}".format(*response.revision)


def write(instance, count=1):
    with instance.api() as api:
        for _ in range(count):
            machine = api.new_machine()
        return token(api.get(f"/v1/machines/{machine['id']}"))


def after(name):
    return int(name.split(".")[1])


def check_follows(cluster, follower, start):
    with contextlib.closing(cluster.redis.client()) as client:
        wanted = expected(client, after=start)
    eventually(lambda: len(follower.events) >= len(wanted))
    return same(follower.events, wanted)


def test_what_one_instance_writes_all_others_stream(make_cluster):
    cluster = make_cluster().start()
    followers = [Follower(lambda i=i: [i.port]) for i in cluster.instances]
    starts = [after(f.last) for f in followers]
    for _ in range(5):
        for instance in cluster.instances:
            write(instance)
    cluster.settle()
    for follower, start in zip(followers, starts):
        assert check_follows(cluster, follower, start)
        follower.stop()


def test_a_client_that_is_ahead_of_its_instance_waits_for_it(make_cluster):
    cluster = make_cluster(count=2, env={"FLEETBIT_LIMITS_MIN_REVISION_WAIT": "20s"}).start()
    one, other = cluster.instances
    write(one)
    cluster.settle()
    other.proxy.hang(*other.proxy.EVERYTHING)
    last = write(one)
    with Stream(other.port, last=last) as stream:
        assert stream.begin().id == last
        assert stream.is_silent(0.5)
        write(one)
        other.proxy.hang()
        event = stream.event()
        assert event.event == "machine" and after(event.id) == after(last) + 1


def test_a_new_run_of_redis_that_lost_nothing_is_followed(make_cluster):
    """The first write to it begins another epoch, of which the former one is part."""
    cluster = make_cluster(count=2).start()
    followers = [Follower(lambda i=i: [i.port]) for i in cluster.instances]
    starts = [after(f.last) for f in followers]
    old = write(cluster.instances[0])
    cluster.settle()
    cluster.redis.kill()
    cluster.redis.start()
    new = eventually(lambda: _written(cluster.instances[0]), 30)
    assert new.split(".")[0] != old.split(".")[0]
    cluster.settle()
    for follower, start in zip(followers, starts):
        assert check_follows(cluster, follower, start)
        follower.stop()
    for instance in cluster.instances:  # a token of the former epoch is good still
        with Stream(instance.port, last=old) as stream:
            stream.begin()
            assert stream.event().id.split(".")[0] == new.split(".")[0]


def _written(instance):
    with instance.api() as api:
        response = api.post("/v1/machines", {"label": "a", "type": "truck",
                                             "inventory_id": f"after-{instance.number}"})
        return token(response) if response.status == 201 else None


def test_what_redis_has_lost_is_told_by_one_resync(make_cluster):
    cluster = make_cluster(count=2).start()
    one, other = cluster.instances
    kept = write(one, 5)
    lost = write(one, 5)
    cluster.settle()
    live = Stream(other.port)
    live.begin()
    cluster.redis.kill()
    assert len(cluster.redis.forget(5, bare=True)) >= 5
    cluster.redis.start()
    new = eventually(lambda: _written(one), 30)
    event = live.event(30)
    assert (event.event, event.json) == ("resync", {"reason": "other-epoch"})
    assert event.id.split(".")[0] == new.split(".")[0]
    if after(event.id) < after(new):
        assert live.event().id == new
    assert live.is_silent()
    live.close()
    for instance in (one, other):
        eventually(lambda i=instance: i.token() == (new.split(".")[0], after(new)))
        with Stream(instance.port, last=lost) as stream:
            stream.begin()
            assert stream.event().event == "resync"
            assert stream.is_silent()
        with Stream(instance.port, last=kept) as stream:
            stream.begin()
            events = [stream.event()]
            while events[-1].id != new:
                events.append(stream.event())
            assert all(e.event == "machine" for e in events)


def test_an_instance_that_was_cut_off_streams_what_it_missed(make_cluster):
    cluster = make_cluster(count=2).start()
    one, other = cluster.instances
    follower = Follower(lambda: [other.port])
    start = after(follower.last)
    other.proxy.refuse(True)
    other.proxy.cut()
    write(one, 30)
    other.proxy.refuse(False)
    cluster.settle()
    assert check_follows(cluster, follower, start)
    follower.stop()
    assert follower.opened == 1


def test_an_instance_that_loads_anew_resyncs_its_streams(make_cluster):
    """It was cut off for longer than the log reaches."""
    cluster = make_cluster(count=2, env={"FLEETBIT_LOG_LENGTH": "10"}).start()
    one, other = cluster.instances
    live = Stream(other.port)
    live.begin()
    other.proxy.refuse(True)
    other.proxy.cut()
    write(one, 300)
    other.proxy.refuse(False)
    cluster.settle()
    event = live.event(30)
    assert (event.event, event.json["reason"]) == ("resync", "behind")
    last = write(one)
    while event.id != last:
        event = live.event()
        assert event.event == "machine"
    live.close()
    with Api(other.port) as api:
        assert token(api.get("/v1/machines?limit=1")) == last
