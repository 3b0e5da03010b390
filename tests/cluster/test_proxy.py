# SPDX-License-Identifier: MIT
"""The proxy does to publications what it is told, and nothing to all else: what the other tests
here show is worth no more than that."""
import os
import threading
import time

import pytest
import redis

from cluster import Redis
from harness import eventually, in_threads, scale
from proxy import Proxy, frame_end

CHANNEL = "fb:{x}:invalidate"


@pytest.fixture
def store(tmp_path):
    made = Redis(tmp_path / "r").start()
    yield made
    made.stop()


@pytest.fixture
def proxy(store):
    made = Proxy(store.path, 7)
    yield made
    made.close()


def through(proxy, **options):
    return redis.Redis(host="127.0.0.1", port=proxy.port, password=Redis.password,
                       socket_timeout=options.pop("timeout", 20), **options)


def subscribe(proxy):
    """A subscriber: a function that brings the next so many texts, and sees that no more come."""
    pubsub = through(proxy).pubsub()
    pubsub.subscribe(CHANNEL)
    assert pubsub.get_message(timeout=20)["type"] == "subscribe"

    def texts(count):
        found = []
        while (message := pubsub.get_message(timeout=20 if len(found) < count else 0.1)):
            assert message["type"] == "message"
            found.append(message["data"].decode())
        assert len(found) == count
        return found

    texts.pubsub = pubsub
    return texts


def publish(store, proxy, texts):
    """Returns once the proxy has had them all; what it has counted of them."""
    before = proxy.counts()
    with store.client().pipeline(transaction=False) as pipeline:
        for text in texts:
            pipeline.publish(CHANNEL, text)
        pipeline.execute()

    def counts():
        now = proxy.counts()
        return {k: now[k] - before[k] for k in now} if (
            now["messages"] == before["messages"] + len(texts)) else None

    return eventually(counts)


def test_the_end_of_a_reply_is_found_wherever_it_is_cut():
    replies = [b"+OK\r\n", b"-ERR no\r\n", b":-12\r\n", b"$-1\r\n", b"$0\r\n\r\n",
               b"$5\r\na\r\nbc\r\n", b"*-1\r\n", b"*0\r\n",
               b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n*1\r\n\r\n",
               b"*2\r\n*2\r\n:1\r\n$1\r\nx\r\n*1\r\n+OK\r\n"]
    for reply in replies:
        assert frame_end(bytearray(reply + b"*"), 0) == len(reply), reply
        for length in range(len(reply)):
            assert frame_end(bytearray(reply[:length]), 0) is None, (reply, length)
    whole = b"".join(replies)
    at, ends = 0, 0
    while at < len(whole):
        at, ends = frame_end(whole, at), ends + 1
    assert ends == len(replies)


def test_ordinary_traffic_passes_as_it_is(proxy, store):
    def work(number):
        with through(proxy) as client:
            for size in (0, 1, 70000, 6 << 20, 3):
                value = os.urandom(size)
                assert client.set(f"v{number}", value)
                assert client.get(f"v{number}") == value
            pipeline = client.pipeline(transaction=False)
            for i in range(scale(5000, 2000)):
                pipeline.set(f"k{number}:{i}", b"*3\r\n$7\r\nmessage\r\n" * (i % 5))
                pipeline.hset(f"h{number}", i, i)
            assert all(reply in (True, 1) for reply in pipeline.execute())
            found = client.hgetall(f"h{number}")
            assert found == {b"%d" % i: b"%d" % i for i in range(scale(5000, 2000))}
            assert client.mget(f"k{number}:4", "no") == [b"*3\r\n$7\r\nmessage\r\n" * 4, None]
            with pytest.raises(redis.ResponseError):
                client.hgetall(f"v{number}")
            client.connection_pool.disconnect()

    proxy.faults(drop=1.0)
    in_threads([lambda n=n: work(n) for n in range(3)])
    assert proxy.counts()["messages"] == 0
    eventually(lambda: proxy.counts()["connections"] == 0)


def test_publications_pass_in_order_where_nothing_is_asked_for(proxy, store):
    texts = subscribe(proxy)
    sent = [f"{i} " + "x" * (i * 37 % 500) for i in range(2000)]
    publish(store, proxy, sent)
    assert texts(2000) == sent
    assert proxy.counts()["subscribed"] == 1


def test_publications_are_dropped_repeated_and_delayed(proxy, store):
    texts = subscribe(proxy)
    sent = [str(i) for i in range(1000)]

    proxy.faults(drop=1.0)
    publish(store, proxy, sent)
    assert texts(0) == []

    proxy.faults(repeat=1.0)
    publish(store, proxy, sent)
    assert texts(2000) == [text for text in sent for _ in range(2)]

    proxy.faults(delay=0.5, seconds=0.2)
    publish(store, proxy, sent)
    found = texts(1000)
    assert found != sent and sorted(found, key=int) == sent

    proxy.faults(drop=0.3, repeat=0.2, delay=0.3)
    counts = publish(store, proxy, sent)
    assert 200 < counts["dropped"] < 400 and 80 < counts["repeated"] < 200
    found = texts(len(sent) - counts["dropped"] + counts["repeated"])
    assert len(set(found)) == len(sent) - counts["dropped"]

    proxy.faults()
    publish(store, proxy, sent)
    assert texts(1000) == sent


def test_a_message_that_comes_in_parts_is_one_message(proxy, store):
    texts = subscribe(proxy)
    large = "m" * (3 << 20)
    publish(store, proxy, ["a", large, "b"])
    assert texts(3) == ["a", large, "b"]


def test_connections_are_cut_and_refused(proxy, store):
    texts, client = subscribe(proxy), through(proxy)
    client.ping()
    proxy.cut(everything=False)
    with pytest.raises(redis.ConnectionError):
        texts.pubsub.connection.read_response()
    assert client.ping()
    connection = client.connection_pool.get_connection("PING")
    proxy.cut()
    with pytest.raises(redis.ConnectionError):
        connection.send_command("PING")
        connection.read_response()
    assert proxy.counts()["cut"] == 2
    proxy.refuse()
    with pytest.raises(redis.ConnectionError):
        through(proxy).ping()
    proxy.refuse(False)
    assert through(proxy).ping()
    store.stop()
    with pytest.raises(redis.ConnectionError):
        through(proxy).ping()
    store.start()
    assert through(proxy).ping()


def test_what_waits_while_it_hangs_arrives_afterwards(proxy, store):
    client = through(proxy, timeout=0.4)
    client.ping()
    direct = store.client(0)

    proxy.hang("replies")
    with pytest.raises(redis.TimeoutError):
        client.set("landed", "unheard")
    assert direct.get("landed") == b"unheard"
    with pytest.raises(redis.TimeoutError):
        through(proxy, timeout=0.4).ping()

    proxy.hang(*Proxy.EVERYTHING)
    slow = through(proxy, timeout=60)
    writer = threading.Thread(target=lambda: slow.set("late", "1"))
    writer.start()
    time.sleep(0.3)
    assert direct.get("late") is None
    proxy.hang()
    writer.join()
    assert direct.get("late") == b"1"

    writer = threading.Thread(target=lambda: slow.set("late", "2"))
    proxy.hang("requests", present=True)
    writer.start()
    with through(proxy) as fresh:
        assert fresh.get("late") == b"1"
    proxy.hang()
    writer.join()
    assert direct.get("late") == b"2"

    texts = subscribe(proxy)
    proxy.hang("pushes")
    direct.publish(CHANNEL, "1")
    direct.publish(CHANNEL, "2")
    assert texts(0) == [] and slow.ping()
    proxy.hang()
    assert texts(2) == ["1", "2"]
