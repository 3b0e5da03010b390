# SPDX-License-Identifier: MIT
"""Orders: how many a second are taken and processed; how long one takes to be acknowledged, beside
a bare write of Redis."""
import contextlib
import re
import socket
import subprocess
import time

from coherence import redis_in, start_instances
from figures import Figure, percentile
from live import words_of_commit
from process import BenchError, Client, cpu_seconds, prepare_child, redis_pid
from workloads import END_SECONDS, await_processed, place_order, processed

ORDERS = 30_000     # of a round
CLIENTS = 256       # that place them
ORDERS_MIN = 10_000
SINGLES = 300       # of a round, one at a time
SINGLE_MS_MAX = 1


# ---- Many at once -------------------------------------------------------------------------------


class Crowd:
    """fleetbit order, and the time until all that it has placed are at their end."""

    def __init__(self, bench, instance, path):
        self.bench, self.instance, self.redis = bench, instance, redis_pid(path)
        self.client = Client(instance.port)
        self.count = bench.some(ORDERS)
        self.begin()

    def begin(self):
        self.accepted, self.processed, self.p99_ms = [], [], []
        self.own_us, self.redis_us = [], []

    def run(self):
        before = processed(self.client)
        command = [self.bench.built("fleetbit"), "order", "--url",
                   f"http://127.0.0.1:{self.instance.port}", "--requests", str(self.count),
                   "--concurrency", str(CLIENTS)]
        own, redis = self.instance.cpu_seconds(), cpu_seconds(self.redis)
        begun = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                             timeout=END_SECONDS, check=False, preexec_fn=prepare_child(None))
        said = re.search(r" orders in [\d.]+ s, (\d+) a second(?s:.*) p99 ([\d.]+)", ran.stdout)
        if ran.returncode != 0 or not said:
            raise BenchError(f"fleetbit order: {ran.stdout + ran.stderr}")
        await_processed(self.client, before + self.count)
        self.processed.append(self.count / (time.perf_counter() - begun))
        self.accepted.append(int(said[1]))
        self.p99_ms.append(float(said[2]))
        self.own_us.append((self.instance.cpu_seconds() - own) * 1e6 / self.count)
        self.redis_us.append((cpu_seconds(self.redis) - redis) * 1e6 / self.count)


def run_crowd(bench, name):
    with contextlib.ExitStack() as stack:
        bench.say(f"{name}: starting")
        path = stack.enter_context(redis_in(bench, bench.data("cluster"), True))
        instance, = start_instances(bench, stack, path, 1)
        crowd = Crowd(bench, instance, path)
        crowd.run()
        crowd.begin()
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            crowd.run()
    return [
        Figure("orders, until all are processed", "1/s", crowd.processed, at_least=ORDERS_MIN,
               note=f"{crowd.count:,} a round from {CLIENTS} connections; the client, the server "
                    "and Redis share the cores"),
        Figure("orders that are acknowledged", "1/s", crowd.accepted),
        Figure("latency of the acknowledgement, 99 %", "ms", crowd.p99_ms),
        Figure("CPU of fleetbit for an order", "µs", crowd.own_us),
        Figure("CPU of Redis for an order", "µs", crowd.redis_us),
    ]


# ---- One at a time ------------------------------------------------------------------------------


class BareWrite:
    """SET of as many bytes as the commit of an order has."""

    def __init__(self, path, size):
        value = b"x" * size
        self.words = b"*3\r\n$3\r\nSET\r\n$11\r\nbench:write\r\n$%d\r\n%b\r\n" % (size, value)
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(path)

    def seconds(self):
        begun = time.perf_counter()
        self.connection.sendall(self.words)
        said = self.connection.recv(64)
        took = time.perf_counter() - begun
        if said != b"+OK\r\n":
            raise BenchError(f"SET: {said}")
        return took


def run_singles(bench, name):
    ours, bare = [], []
    with contextlib.ExitStack() as stack:
        bench.say(f"{name}: starting")
        path = stack.enter_context(redis_in(bench, bench.data("cluster"), True))
        instance, = start_instances(bench, stack, path, 1)
        client = Client(instance.port)
        words = words_of_commit(path, lambda: place_order(client))
        size = sum(map(len, words))
        write = BareWrite(path, size)
        done = 1
        await_processed(client, done)
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            acknowledged, written = [], []
            for _ in range(bench.some(SINGLES)):
                acknowledged.append(place_order(client).seconds * 1e3)
                done += 1
                await_processed(client, done)
                written.append(write.seconds() * 1e3)
            ours.append(percentile(acknowledged, 0.5))
            bare.append(percentile(written, 0.5))
        client.close()
    return [
        Figure("an order is acknowledged, 50 %", "ms", ours),
        Figure("SET of as many bytes, with fsync, 50 %", "ms", bare, note=f"{size:,} bytes"),
        Figure("an order is acknowledged, less that SET, 50 %", "ms",
               [a - b for a, b in zip(ours, bare)], at_most=SINGLE_MS_MAX,
               note="one at a time, each once the one before is processed"),
    ]


RUNS = {
    "orders": ("q: orders are taken and processed, with fsync", run_crowd),
    "single-orders": ("r: one order at a time, with fsync", run_singles),
}
