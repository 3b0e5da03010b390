# SPDX-License-Identifier: MIT
"""Writing: alone and in batches, beside the same commands from redis-benchmark; and while a
thousand clients read."""
import ast
import collections
import contextlib
import re

from coherence import JSON, create_machines, redis_in, start_instances
from figures import Figure, ratios
from generators import RedisBenchmark, Wrk
from load import Fleetbits
from process import BenchError, Client, ask_redis, cpu_seconds, monitored, redis_pid
from workloads import page

MACHINES = 1000          # that are written to
WRITES_AT_A_TIME = 512   # of the batched ones: connections of ours; those of Redis, times
PIPELINE = 64            # the commands that each of them has under way
READERS, WRITERS = 990, 10
READS_PER_WRITE = 99


# ---- Alone and in batches -----------------------------------------------------------------------

# All commands of a write in one call, as a write of fleetbit is one call: with one fsync.
SCRIPT = """local at = 1
while at < #ARGV do
    redis.call(unpack(ARGV, at + 1, at + ARGV[at]))
    at = at + 1 + ARGV[at]
end"""


def commands_of_a_write(path, client):
    """What Redis does for one PATCH, command by command, as its MONITOR shows it; on keys of their
    own, so that the fleet stays whole."""
    said = monitored(path, lambda: client.ask("PATCH", "/v1/machines/1", JSON, b'{"label":"L"}'))
    commands = []
    for line in re.findall(r"^\+[\d.]+ \[\d+ lua\] (.*)\r$", said, re.M):
        words = [ast.literal_eval(word) for word in re.findall(r'"(?:\\.|[^"\\])*"', line)]
        words = [word.replace("fb:{default}:", "bench:{default}:") for word in words]
        if words[0] == "XADD":
            words[2] = "*"
        commands.append(tuple(words))
    if not {"HSET", "XADD", "PUBLISH"} <= {command[0] for command in commands}:
        raise BenchError(f"MONITOR does not show a write: {said}")
    return commands


def of_each_change(commands):
    """Without those that a batch of changes needs once."""
    return [command for command in commands
            if command[0] not in ("XLEN", "XTRIM")
            and not command[1].endswith(":head")]


class InScript:
    """The commands of a write in one call of a script."""

    def __init__(self, path, commands, connections, pipeline):
        words = [word for command in commands for word in (str(len(command)), *command)]
        self.benchmark = RedisBenchmark(
            ["-s", path], ["EVALSHA", ask_redis(path, "SCRIPT", "LOAD", SCRIPT), "0", *words],
            connections, pipeline)

    def per_second(self, bench, seconds):
        run = self.benchmark(bench, None, None, seconds)
        return run.requests / run.seconds


class OneByOne:
    """The commands of a write, each in a run of its own; the times add up."""

    def __init__(self, path, commands, connections, pipeline):
        self.often = collections.Counter(commands)
        self.benchmarks = {command: RedisBenchmark(["-s", path], command, connections, pipeline)
                           for command in self.often}

    def per_second(self, bench, seconds):
        seconds = 0
        for command, often in self.often.items():
            run = self.benchmarks[command](bench, None, None, seconds / len(self.often))
            seconds += often * run.seconds / run.requests
        return 1 / seconds


class Patches:
    """Ours, from so many clients."""

    def __init__(self, instance, path, connections):
        self.instance, self.redis, self.connections = instance, redis_pid(path), connections
        self.begin()

    def begin(self):
        self.own_us, self.redis_us = [], []

    def per_second(self, bench, seconds):
        own, redis = self.instance.cpu_seconds(), cpu_seconds(self.redis)
        run = Wrk(bench, self.instance.port, "patch.lua", connections=self.connections,
                  words=[MACHINES]).run_for(seconds)
        self.own_us.append((self.instance.cpu_seconds() - own) * 1e6 / run.requests)
        self.redis_us.append((cpu_seconds(self.redis) - redis) * 1e6 / run.requests)
        return run.requests / run.seconds


def run_writes(bench, name):
    clients = WRITES_AT_A_TIME // PIPELINE
    with contextlib.ExitStack() as stack:
        bench.say(f"{name}: starting")
        path = stack.enter_context(redis_in(bench, bench.data("cluster"), True))
        instance, = start_instances(bench, stack, path, 1)
        client = Client(instance.port)
        create_machines(client, MACHINES)
        commands = commands_of_a_write(path, client)
        client.close()
        changes = of_each_change(commands)
        single, batched = (Patches(instance, path, n) for n in (1, WRITES_AT_A_TIME))
        sides = [single, InScript(path, commands, 1, 1), batched,
                 InScript(path, changes, clients, PIPELINE),
                 OneByOne(path, changes, clients, PIPELINE)]
        for side in sides:
            side.per_second(bench, bench.warm_seconds)
        for side in (single, batched):
            side.begin()
        samples = [[] for _ in sides]
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            order = list(zip(sides, samples))
            for side, kept in order[number % len(sides):] + order[:number % len(sides)]:
                kept.append(side.per_second(bench, bench.seconds))
    ours_single, single_script, ours, in_script, one_by_one = samples
    used = " ".join(command[0] for command in commands)
    each = " ".join(command[0] for command in changes)
    return [
        Figure("single writes, one client", "1/s", ours_single),
        Figure("redis-benchmark, one client, the same commands in a script", "1/s", single_script,
               note=f"{used}; no server is pinned to a core here"),
        Figure("single writes / the same commands", "×", ratios(ours_single, single_script)),
        Figure(f"batched writes, {WRITES_AT_A_TIME} clients", "1/s", ours),
        Figure("redis-benchmark, pipelined, the same commands in a script", "1/s", in_script,
               note=f"{each}; {clients} clients with {PIPELINE} calls each under way"),
        Figure("redis-benchmark, pipelined, the same commands one by one", "1/s", one_by_one,
               note="each in a run of its own, their times added; its PUBLISH has no subscriber"),
        Figure("batched writes / the commands in a script", "×", ratios(ours, in_script),
               at_least=0.5),
        Figure("batched writes / the commands one by one", "×", ratios(ours, one_by_one),
               at_least=0.5),
        Figure("CPU of fleetbit for a batched write", "µs", batched.own_us),
        Figure("CPU of Redis for a batched write", "µs", batched.redis_us),
    ]


# ---- While others read --------------------------------------------------------------------------


def read_and_write(bench, port, target, pause_ms):
    """The run of the readers, and, if there is a pause, that of the writers beside them."""
    writers = None
    if pause_ms is not None:
        writers = Wrk(bench, port, "patch.lua", connections=WRITERS, words=[MACHINES, pause_ms])
    try:
        connections = READERS + (0 if writers else WRITERS)
        reads = Wrk(bench, port, "wrk.lua", target, connections).run_for(bench.seconds)
        return reads, writers.run_for(0) if writers else None
    except BaseException:
        if writers:
            writers.kill()
        raise


def run_mixed(bench, name):
    usual, mixed, writes, shares = [], [], [], []
    with contextlib.ExitStack() as stack:
        server = Fleetbits(bench, stack).get("few", 1)
        target, = page()
        rate = None
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            for with_writes in (False, True) if number % 2 else (True, False):
                if rate is None:
                    reads = read_and_write(bench, server.port, target, None)[0]
                    rate = reads.requests / reads.seconds
                wait_ms = writes[-1].p50_ms if writes else 1
                pause_ms = WRITERS * READS_PER_WRITE / rate * 1e3 - wait_ms
                # Some writes there must be, however slow this machine is.
                pause_ms = round(min(max(1, pause_ms), 250 * bench.seconds))
                reads, written = read_and_write(bench, server.port, target,
                                                pause_ms if with_writes else None)
                rate = reads.requests / reads.seconds
                bench.forget_accesses()
                if with_writes:
                    mixed.append(reads)
                    writes.append(written)
                    shares.append(100 * written.requests / (written.requests + reads.requests))
                else:
                    usual.append(reads)
    with_p99, without_p99 = [r.p99_ms for r in mixed], [r.p99_ms for r in usual]
    return [
        Figure("reads only: latency, 50 %", "ms", [r.p50_ms for r in usual]),
        Figure("reads only: latency, 99 %", "ms", without_p99),
        Figure("reads while others write: latency, 50 %", "ms", [r.p50_ms for r in mixed]),
        Figure("reads while others write: latency, 99 %", "ms", with_p99),
        Figure("latency of reads, 99 %: while others write / reads only", "×",
               ratios(with_p99, without_p99), at_most=1.3,
               note=f"{READERS} connections read, {WRITERS} write"),
        Figure("reads only", "1/s", [r.requests / r.seconds for r in usual]),
        Figure("reads while others write", "1/s", [r.requests / r.seconds for r in mixed]),
        Figure("share of the writes", "%", shares),
        Figure("the writes: latency, 99 %", "ms", [w.p99_ms for w in writes]),
    ]


RUNS = {
    "mixed": ("e: 1,000 connections, 99 % reads and 1 % writes", run_mixed),
    "writes": ("i: single and batched writes, with fsync", run_writes),
}
