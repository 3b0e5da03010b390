# SPDX-License-Identifier: MIT
"""Several instances on one Redis: how soon each shows what another acknowledged, how fast they
write together, catch up, and load anew."""
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time

from figures import Figure, percentile, ratios
from generators import Wrk
from process import BenchError, Client, Process, ask_redis, prepare_child
from workloads import page

INSTANCES = 4
VISIBLE_WRITES = 1000
CATCH_UP_CHANGES = 100_000
CHANGES_MACHINES = 500  # that are written to
JSON = {"Content-Type": "application/json"}
START_SECONDS = 120


# ---- A Redis, and instances on it ----------------------------------------------------------------


@contextlib.contextmanager
def redis_in(bench, folder, fresh):
    """A redis-server with conf/redis.conf on a unix socket; its path."""
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "redis.sock")
    command = [bench.tool("redis-server"), bench.configuration("redis.conf"), "--port", "0",
               "--unixsocket", path, "--dir", folder]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             preexec_fn=prepare_child(None))
    try:
        deadline = time.perf_counter() + START_SECONDS
        while True:
            with contextlib.suppress(OSError, BenchError):
                if ask_redis(path, "PING") == "PONG":
                    break
            if child.poll() is not None or time.perf_counter() > deadline:
                raise BenchError(f"redis-server does not start in {folder}")
            time.sleep(0.05)
        yield path
    finally:
        child.terminate()
        child.wait()


def start_instances(bench, stack, path, count, *flags):
    return [stack.enter_context(
        Process(bench.serve_command("--redis", f"unix://{path}", *flags), bench.folder,
                ready="/readyz")) for _ in range(count)]


def revision_of(client):
    """That of what it shows, also where that is that there is no such machine yet."""
    answer = client.ask("GET", "/v1/machines/1")
    return int(answer.header("fleetbit-revision").split(".")[1])


def create_machines(client, count):
    for number in range(count):
        body = json.dumps({"label": f"M{number}", "inventory_id": f"{secrets.token_hex(4)}{number}",
                           "type": "crane"}).encode()
        answer = client.ask("POST", "/v1/machines", JSON, body)
        if answer.status != 201:
            raise BenchError(f"POST /v1/machines: {answer.status} {answer.body[:300]}")


# ---- Visibility ---------------------------------------------------------------------------------


class Subscriber:
    """How long Redis itself takes from a PUBLISH to its arrival, on connections like ours."""

    def __init__(self, path):
        self.sockets = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for each in self.sockets:
            each.connect(path)
        self.sockets[0].sendall(b"SUBSCRIBE bench\r\n")
        self.sockets[0].recv(4096)

    def round_trip(self):
        begun = time.perf_counter()
        self.sockets[1].sendall(b"PUBLISH bench x\r\n")
        self.sockets[0].recv(4096)
        seconds = time.perf_counter() - begun
        self.sockets[1].recv(4096)
        return seconds

    def close(self):
        for each in self.sockets:
            each.close()


def see_one(writer, readers, number):
    """Seconds from the acknowledgement of a write to its showing on every reader."""
    answer = writer.ask("PATCH", "/v1/machines/1", JSON, b'{"label":"L%d"}' % number)
    acknowledged = time.perf_counter()
    if answer.status != 200:
        raise BenchError(f"PATCH: {answer.status} {answer.body[:300]}")
    wanted = int(answer.header("fleetbit-revision").split(".")[1])
    for reader in readers:
        while revision_of(reader) < wanted:
            pass
    return time.perf_counter() - acknowledged


def run_visible(bench, name):
    p50, p99, publish99 = [], [], []
    writes = bench.some(VISIBLE_WRITES)
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(redis_in(bench, bench.data("cluster"), True))
        clients = [Client(i.port) for i in start_instances(bench, stack, path, 3)]
        subscriber = Subscriber(path)
        create_machines(clients[0], 1)
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            seen, published = [], []
            for write in range(writes):
                seen.append(see_one(clients[0], clients[1:], write))
                published.append(subscriber.round_trip())
            p50.append(percentile(seen, 0.5) * 1e3)
            p99.append(percentile(seen, 0.99) * 1e3)
            publish99.append(percentile(published, 0.99) * 1e3)
        subscriber.close()
    return [
        Figure("from acknowledgement to both others, 50 %", "ms", p50),
        Figure("the same, 99 %", "ms", p99),
        Figure("PUBLISH of Redis itself, 99 %", "ms", publish99),
        Figure("99 % until both others show it, less that of PUBLISH", "ms",
               [a - b for a, b in zip(p99, publish99)], at_most=3,
               note=f"{writes} writes a round, one after the other"),
    ]


# ---- Writing together ---------------------------------------------------------------------------


def write_with(bench, instances, connections, seconds):
    """Writes per second of wrk against all instances at once."""
    running = [Wrk(bench, instance.port, "patch.lua", connections=connections,
                   words=[CHANGES_MACHINES], pinned=False) for instance in instances]
    runs = []
    deadline = time.perf_counter() + seconds
    for wrk in running:
        runs.append(wrk.run_for(max(0.01, deadline - time.perf_counter())))
    return sum(run.requests / run.seconds for run in runs), max(run.p99_ms for run in runs)


def run_writers(bench, name):
    alone, together, shared = [], [], []
    alone_p99, together_p99 = [], []
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(redis_in(bench, bench.data("cluster"), True))
        instances = start_instances(bench, stack, path, INSTANCES)
        client = Client(instances[0].port)
        create_machines(client, CHANGES_MACHINES)
        client.close()
        write_with(bench, instances, 64, bench.warm_seconds)
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            for turn in (0, 1, 2) if number % 2 else (2, 1, 0):
                if turn == 0:
                    rate, p99 = write_with(bench, instances[:1], 64, bench.seconds)
                    alone.append(rate)
                    alone_p99.append(p99)
                elif turn == 1:
                    rate, p99 = write_with(bench, instances, 64, bench.seconds)
                    together.append(rate)
                    together_p99.append(p99)
                else:
                    shared.append(write_with(bench, instances, 64 // INSTANCES, bench.seconds)[0])
    return [
        Figure("one instance, 64 clients", "1/s", alone),
        Figure(f"{INSTANCES} instances at once, 64 clients each", "1/s", together),
        Figure(f"{INSTANCES} instances at once, 16 clients each", "1/s", shared),
        Figure(f"one / {INSTANCES} at once, 64 clients each", "×", ratios(alone, together),
               at_most=1 / 0.7),
        Figure(f"one / {INSTANCES} at once, 64 clients in all", "×", ratios(alone, shared),
               note="with a quarter of the clients, a batch is a quarter as large, and each takes "
                    "an fsync of its own"),
        Figure("latency of one instance, 99 %", "ms", alone_p99),
        Figure(f"latency of the worst of {INSTANCES}, 99 %", "ms", together_p99),
    ]


# ---- Catching up --------------------------------------------------------------------------------


def run_catch_up(bench, name):
    seconds, cpu, missed = [], [], []
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(redis_in(bench, bench.data("cluster"), True))
        configuration = os.path.join(bench.folder, "long-log.yaml")
        with open(configuration, "w", encoding="ascii") as file:
            file.write("log:\n  length: 10000000\n")
        writer, late = start_instances(bench, stack, path, 2, "--conf", configuration)
        clients = Client(writer.port), Client(late.port)
        create_machines(clients[0], CHANGES_MACHINES)
        for number in range(bench.rounds):
            before = revision_of(clients[1])
            os.kill(late.pid, signal.SIGSTOP)
            try:
                while (head := revision_of(clients[0])) < before + bench.some(CATCH_UP_CHANGES):
                    bench.say(f"{name}: {number + 1}, {head - before:,} changes missed")
                    write_with(bench, [writer], 64, bench.seconds)
            finally:
                begun_cpu = late.cpu_seconds()
                begun = time.perf_counter()
                os.kill(late.pid, signal.SIGCONT)
            while revision_of(clients[1]) < head:
                pass
            took = time.perf_counter() - begun
            missed.append(head - before)
            seconds.append(took * CATCH_UP_CHANGES / (head - before))
            cpu.append((late.cpu_seconds() - begun_cpu) * CATCH_UP_CHANGES / (head - before))
    return [
        Figure(f"until {CATCH_UP_CHANGES:,} missed changes show", "s", seconds, at_most=2,
               note="in proportion, from " + ", ".join(f"{n:,}" for n in missed)),
        Figure("CPU of the instance for them", "s", cpu),
    ]


# ---- Loading anew -------------------------------------------------------------------------------


def run_reload(bench, name):
    """The log is made another one than the instance has followed, so that it loads all anew while
    it goes on answering."""
    usual, reloading, seconds = [], [], []
    target, = page()

    def p99_ms():
        seconds = 3 * bench.warm_seconds
        return Wrk(bench, server.port, "wrk.lua", target, 8).run_for(seconds).p99_ms

    bench.seeded("many")
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(redis_in(bench, bench.data("many"), False))
        server, = start_instances(bench, stack, path, 1)
        client = Client(server.port)
        p99_ms()
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            usual.append(p99_ms())
            epoch = client.get("/v1/machines/1").header("fleetbit-revision").split(".")[0]
            begun = time.perf_counter()
            ask_redis(path, "HSET", "fb:{default}:head", "chain", secrets.token_hex(16))
            reloading.append(p99_ms())
            while client.get("/v1/machines/1").header("fleetbit-revision").startswith(epoch):
                if time.perf_counter() > begun + 60:
                    raise BenchError("nothing was loaded anew")
                time.sleep(0.01)
            seconds.append(time.perf_counter() - begun)
    return [
        Figure("latency, 99 %, as usual", "ms", usual),
        Figure(f"latency, 99 %, while {bench.many:,} machines are loaded anew", "ms", reloading),
        Figure("latency, 99 %: while all is loaded anew / as usual", "×",
               ratios(reloading, usual), at_most=2,
               note="8 connections; wrk, the loops, Redis and the load share "
                    f"{os.cpu_count()} cores"),
        Figure("until the new epoch shows", "s", seconds,
               note="a second of silence until heads are compared, and the load"),
    ]


RUNS = {
    "visible": ("k: a write shows on the other instances", run_visible),
    "writers": ("four instances write at once", run_writers),
    "catch-up": ("an instance was stopped, and follows", run_catch_up),
    "reload": ("all is loaded anew while reads go on", run_reload),
}
