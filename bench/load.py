# SPDX-License-Identifier: MIT
"""Runs a workload: a generator on one core, the servers on the other, the sides in turns.

What counts is CPU, not time: requests for each second that the whole server process ran."""
import contextlib
import functools
import math
import os
import random
import statistics

from figures import P50, P99, PER_CPU, PER_SECOND, Figure, ratios
from generators import GENERATORS, run_h2load_latency
from peers import PEERS, Origin
from process import BenchError, Client, Missing
from workloads import WORKLOADS

REQUESTS_MIN = 100  # of each connection, so that accepting it does not count; else once more
TRIES = 5


class Request:
    """What is sent: one target, or those of a file; and headers."""

    def __init__(self, bench, name, workload):
        targets = workload.targets()
        self.connections, self.streams = workload.connections, workload.streams
        self.target, self.headers = targets[0], {}
        self.order, self.file = workload.order, None
        if self.order != "same":
            self.targets, self.file = targets, os.path.join(bench.folder, f"targets-{name}")
            self.write(targets)

    def write(self, targets):
        with open(self.file, "w", encoding="ascii") as file:
            file.writelines(target + "\n" for target in targets)

    def take_share(self, rounds):
        """What the next of so many rounds asks for, which no round has asked for before."""
        share = len(self.targets) // rounds
        self.write(self.targets[:share])
        del self.targets[:share]


class Side:
    """One server under one workload, and its samples, one a round."""

    def __init__(self, name, process, request, generator, least=None):
        self.name, self.process, self.request, self.least = name, process, request, least
        self.generator = process.generator or GENERATORS[generator]
        self.per_cpu, self.per_second, self.busy = [], [], []
        self.p50_ms, self.p99_ms = [], []

    def ask(self, bench, seconds):
        return self.generator(bench, self.process.port, self.request, seconds)

    def warm(self, bench):
        if self.request.order != "once":
            self.ask(bench, bench.warm_seconds)

    def requests_min(self, bench):
        if bench.is_trial:
            return 1
        each = self.process.requests_min
        return (bench.some(REQUESTS_MIN) if each is None else each) * self.request.connections

    def measure(self, bench, rounds_left):
        for _ in range(TRIES):
            if self.request.order == "once":
                self.request.take_share(rounds_left)
            else:
                self.ask(bench, bench.rewarm_seconds)
            cpu = self.process.cpu_seconds()
            run = self.ask(bench, bench.seconds)
            cpu = run.cpu_seconds or self.process.cpu_seconds() - cpu
            bench.forget_accesses()
            if run.requests >= self.requests_min(bench):
                break
            bench.say(f"only {run.requests} requests came through; once more")
        else:
            raise BenchError(f"others keep the cores so busy (load {os.getloadavg()[0]:.1f}) that "
                             f"{self.name} got {run.requests} requests in {bench.seconds} s")
        if math.isnan(run.p50_ms):
            run.p50_ms, run.p99_ms = run_h2load_latency(bench, self.process.port, self.request)
        self.per_cpu.append(run.requests / cpu)
        self.per_second.append(run.requests / run.seconds)
        self.busy.append(100 * cpu / run.seconds)
        self.p50_ms.append(run.p50_ms)
        self.p99_ms.append(run.p99_ms)

    def figures(self):
        figure = functools.partial(Figure, side=self.name)
        note = getattr(self.process, "note", None) or (
            f"busy for {statistics.median(self.busy):.0f} % of the time")
        return [figure(PER_CPU, "1/s", self.per_cpu, note=note),
                figure(PER_SECOND, "1/s", self.per_second),
                figure(P50, "ms", self.p50_ms), figure(P99, "ms", self.p99_ms)]


# ---- Starting them ------------------------------------------------------------------------------


class Fleetbits:
    """Those that a workload needs, one for each fleet and number of threads."""

    def __init__(self, bench, stack):
        self.bench, self.stack, self.running = bench, stack, {}

    def get(self, fleet, threads):
        if (fleet, threads) not in self.running:
            runs_already = any(other == fleet for other, _ in self.running)
            cores = self.bench.server_cores | (self.bench.client_cores if threads > 1 else set())
            self.running[fleet, threads] = self.stack.enter_context(
                self.bench.serve(fleet, cores, threads, runs_already))
        return self.running[fleet, threads]

    def side(self, side_name, name, workload, least=None):
        """And what it answers."""
        request = Request(self.bench, name, workload)
        process = self.get(workload.fleet, workload.threads)
        client = Client(process.port)
        if workload.prepare:
            workload.prepare(client)
        answer = client.get(request.target)
        if workload.conditional:
            request.headers["If-None-Match"] = answer.header("etag")
            answer = client.get(request.target, request.headers, status=304)
        client.close()
        return Side(side_name, process, request, workload.generator, least), answer


def start_sides(bench, stack, name, workload):
    """fleetbit and whom it is held against, all warm and seen to answer alike."""
    fleetbits = Fleetbits(bench, stack)
    own, answer = fleetbits.side("fleetbit", name, workload)
    sides = [own]
    for other, least in workload.beside.items():
        side, _ = fleetbits.side(f"fleetbit, {other}", other, WORKLOADS[other], least)
        sides.append(side)
    origin = Origin(own.process.port, own.request.target, own.request.headers,
                    workload.connections, bench.many if workload.fleet == "many" else bench.few)
    for peer, least in workload.against.items():
        bench.say(f"{name}: starting {peer}")
        try:
            process = PEERS[peer](bench, stack, answer, origin)
        except Missing as error:
            bench.skip(name, peer, error)
            continue
        sides.append(Side(peer, process, own.request, workload.generator, least))
    for side in sides:
        side.warm(bench)
    return sides, len(answer.body)


# ---- Running them -------------------------------------------------------------------------------


def figures_of(bench, workload, sides, body_bytes):
    figures = [figure for side in sides for figure in side.figures()]
    figures[0].note += (f"; {body_bytes:,} bytes of body, {workload.connections} connections, "
                        f"threads: {workload.threads}")
    figures[0].at_least = bench.limit_of_a_million(workload.least)
    for other in sides[1:]:
        least = other.least
        if workload.fleet == "many":
            least = bench.limit_of_a_million(least)
        figures.append(Figure(f"fleetbit / {other.name}", "×",
                              ratios(sides[0].per_cpu, other.per_cpu), at_least=least))
    for other in sides[1:]:
        for what, own, its in (("requests per second", sides[0].per_second, other.per_second),
                               ("latency, 50 %", sides[0].p50_ms, other.p50_ms),
                               ("latency, 99 %", sides[0].p99_ms, other.p99_ms)):
            figures.append(Figure(f"{what}: fleetbit / {other.name}", "×", ratios(own, its),
                                  is_detail=True))
    return figures


def run_workload(bench, name, workload):
    with contextlib.ExitStack() as stack:
        bench.say(f"{name}: starting")
        sides, body_bytes = start_sides(bench, stack, name, workload)
        order = random.Random(name)
        for number in range(bench.rounds):
            # Each round has an order of its own, so that none always comes after the same other.
            for side in order.sample(sides, len(sides)):
                bench.say(f"{name}: round {number + 1} of {bench.rounds}, {side.name}")
                side.measure(bench, bench.rounds - number)
    return figures_of(bench, workload, sides, body_bytes)
