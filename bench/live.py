# SPDX-License-Identifier: MIT
"""Live status: changes in batches, beside a bare loop of the commit Function with the same ones;
ten thousand event streams; reads while changes pass."""
import ast
import contextlib
import itertools
import json
import re
import socket
import subprocess
import threading
import time

from coherence import JSON, create_machines, redis_in, start_instances
from figures import Figure, ratios
from generators import Wrk
from load import Fleetbits
from process import BenchError, Client, ask_redis, monitored, prepare_child
from workloads import page

MACHINES = 1000
BATCH = 1000        # changes of a request
CLIENTS = 8         # that send batches
CHANGES_MIN = 30_000
STREAMS = 10_000
STREAM_BYTES_MAX = 8192
REACH_MS_MAX = 250
CHANGES = 100       # whose way to all streams is timed, in a round
PAUSE_MS = 50
ROUNDS_MAX = 5
SMALL_BATCH, SMALL_PAUSE = 20, 0.02  # 1,000 changes a second
FOLLOW_SECONDS = 60


def batch_of(size, status, machines=MACHINES):
    return json.dumps([{"machine_id": i % machines + 1, "status": status, "updated_by": "bench"}
                       for i in range(size)]).encode()


def report(client, body):
    """Sends a batch, all of which must succeed."""
    answer = client.ask("POST", "/v1/status", JSON, body)
    if answer.status != 200 or any("error" in r for r in json.loads(answer.body)["results"]):
        raise BenchError(f"POST /v1/status: {answer.status} {answer.body[:300]}")


# ---- Batches ------------------------------------------------------------------------------------


def words_of_commit(path, act):
    """Those of the first call that commits what `act` writes, as Redis' MONITOR shows it."""
    said = monitored(path, act)
    for line in said.splitlines():
        words = re.findall(r'"(?:\\.|[^"\\])*"', line)
        if words[1:2] and words[1].startswith('"fleetbit_commit') and ' lua] ' not in line:
            return [ast.literal_eval(word) for word in words]
    raise BenchError("MONITOR does not show a commit")


class BareLoop:
    """The commit Function called with the same batch again and again, on a head of its own: what
    there is to gain by a server that takes no time."""

    HEAD = "fb:{bench}:head"
    # Places in the call: what the head is expected to be; the chain and payload of the one change.
    KEY, EPOCH, REVISION, CHAIN, NEW_CHAIN, PAYLOAD = 3, 5, 6, 7, -4, -1

    def __init__(self, path, words):
        self.words = [*words]
        self.words[self.KEY] = self.HEAD
        ask_redis(path, "COPY", words[self.KEY], self.HEAD, "REPLACE")
        epoch, revision, chain = (ask_redis(path, "HGET", self.HEAD, field)
                                  for field in ("epoch", "revision", "chain"))
        self.words[self.EPOCH:self.CHAIN + 1] = epoch, revision, chain
        self.payload = self.words[self.PAYLOAD]
        self.ms = int(re.search(r',"history",(\d+)\]', self.payload).group(1))
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(path)

    def commit(self):
        self.ms += 1
        words = self.words
        words[self.PAYLOAD] = re.sub(r',"history",\d+\]', f',"history",{self.ms}]', self.payload)
        words[self.NEW_CHAIN] = f"{self.ms:032x}"
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in map(str.encode, words))
        begun = time.perf_counter()
        self.connection.sendall(b"*%d\r\n%b" % (len(words), parts))
        said = self.connection.recv(1 << 16)
        if said != b"+OK\r\n":
            raise BenchError(f"the commit Function says {said[:200]}")
        words[self.REVISION] = str(int(words[self.REVISION]) + 1)
        words[self.CHAIN] = words[self.NEW_CHAIN]
        return time.perf_counter() - begun

    def per_second(self, seconds):
        spent, count = 0, 0
        while spent < seconds:
            spent += self.commit()
            count += BATCH
        return count / spent


def run_batches(bench, name):
    with contextlib.ExitStack() as stack:
        bench.say(f"{name}: starting")
        path = stack.enter_context(redis_in(bench, bench.data("cluster"), True))
        instance, = start_instances(bench, stack, path, 1)
        client = Client(instance.port)
        create_machines(client, MACHINES)
        bare = BareLoop(path, words_of_commit(
            path, lambda: report(client, batch_of(BATCH, "red"))))
        client.close()

        def ours_per_second(seconds):
            run = Wrk(bench, instance.port, "status.lua", connections=CLIENTS,
                      words=[MACHINES, BATCH]).run_for(seconds)
            return run.requests * BATCH / run.seconds

        sides = [(ours_per_second, []), (bare.per_second, [])]
        for side, _ in sides:
            side(bench.warm_seconds)
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            for side, kept in sides if number % 2 else reversed(sides):
                kept.append(side(bench.seconds))
    ours, bare_loop = (kept for _, kept in sides)
    return [
        Figure(f"status changes, {CLIENTS} clients with batches of {BATCH:,}", "1/s", ours,
               at_least=CHANGES_MIN),
        Figure("a bare loop of the commit Function with the same batch", "1/s", bare_loop),
        Figure("status changes / bare loop", "×", ratios(ours, bare_loop), at_least=0.5),
    ]


# ---- Streams ------------------------------------------------------------------------------------


def follow(bench, server, count, stalled):
    """bench/streams.c: what it says of the way of each change to all streams."""
    command = [bench.built("bench/streams"), "--port", str(server.port), "--count", str(count),
               "--stalled", str(stalled), "--rounds", str(bench.some(CHANGES)),
               "--pause", str(PAUSE_MS), "--pid", str(server.pid)]
    ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                         timeout=FOLLOW_SECONDS, check=False,
                         preexec_fn=prepare_child(bench.client_cores))
    if ran.returncode != 0:
        raise BenchError(f"streams: {ran.stderr.strip() or ran.returncode}")
    return json.loads(ran.stdout)


def run_streams(bench, name):
    count = bench.some(STREAMS)
    alone, beside_stalled = [], []
    for number in range(min(bench.rounds, ROUNDS_MAX)):
        for stalled, kept in ((0, alone), (1, beside_stalled)):
            bench.say(f"{name}: round {number + 1}, {count:,} streams, {stalled} of them stalled")
            with contextlib.ExitStack() as stack:  # anew: an allocator gives little back
                server = Fleetbits(bench, stack).get("few", 1)
                kept.append(follow(bench, server, count, stalled))
    note = f"of {count:,} streams and {bench.some(CHANGES)} changes a round, the server on one core"

    def values(kept, member):
        return [said[member] for said in kept]

    return [
        Figure("from the acknowledgement until a stream has it, 50 %", "ms",
               values(alone, "p50_ms")),
        Figure("from the acknowledgement until a stream has it, 99 %", "ms",
               values(alone, "p99_ms"), at_most=REACH_MS_MAX, note=note),
        Figure("the same beside a stream that nobody reads, 99 %", "ms",
               values(beside_stalled, "p99_ms"), at_most=REACH_MS_MAX),
        Figure("resident bytes of a stream", "B", values(alone, "bytes_each"),
               at_most=STREAM_BYTES_MAX),
    ]


# ---- Reads while changes pass -------------------------------------------------------------------


class Changes:
    """1,000 status changes a second, until it is left."""

    def __init__(self, port):
        self.port, self.count, self.failure = port, 0, None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.send)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()
        if self.failure:
            raise self.failure

    def send(self):
        client = Client(self.port)
        due = time.monotonic()
        try:
            for status in itertools.cycle(("green", "yellow", "red")):
                if self.is_over.wait(max(0, due - time.monotonic())):
                    break
                report(client, batch_of(SMALL_BATCH, status))
                self.count += SMALL_BATCH
                due += SMALL_PAUSE
        except (BenchError, OSError) as error:
            self.failure = error
        client.close()


def run_reads(bench, name):
    usual, mixed, rates = [], [], []
    target, = page()
    with contextlib.ExitStack() as stack:
        server = Fleetbits(bench, stack).get("few", 1)

        def reads():
            run = Wrk(bench, server.port, "wrk.lua", target).run_for(bench.seconds)
            bench.forget_accesses()
            return run.requests / run.seconds

        reads()
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            for with_changes in (False, True) if number % 2 else (True, False):
                if not with_changes:
                    usual.append(reads())
                    continue
                begun = time.monotonic()
                with Changes(server.port) as changes:
                    mixed.append(reads())
                rates.append(changes.count / (time.monotonic() - begun))
    return [
        Figure("reads", "1/s", usual),
        Figure("reads while status changes pass", "1/s", mixed),
        Figure("reads while status changes pass / reads", "×", ratios(mixed, usual), at_least=0.9),
        Figure("status changes", "1/s", rates),
    ]


RUNS = {
    "status": ("n: status changes in batches, with fsync", run_batches),
    "streams": ("o: a change reaches ten thousand event streams", run_streams),
    "reads-status": ("p: the page, while 1,000 status changes a second pass", run_reads),
}
