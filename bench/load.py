# SPDX-License-Identifier: MIT
"""Runs a workload: wrk on one core, the servers on the other, the sides in turns.

What counts is CPU, not time: requests for each second that the whole server process ran."""
import contextlib
import json
import os
import re
import statistics
import subprocess

from figures import Figure, ratios
from peers import PEERS, check_same
from process import BenchError, Client

WRK_GRACE_SECONDS = 30
REQUESTS_MIN = 100  # of each connection, so that accepting it does not count; else once more
TRIES = 5


class Side:
    """One server under one workload, and its samples, one a round."""

    def __init__(self, name, process):
        self.name, self.process = name, process
        self.cpu_us, self.busy, self.p99_ms = [], [], []

    def measure(self, bench, request, measurements_left):
        for _ in range(TRIES):
            if request.file:
                request.take_share(measurements_left)
            cpu = self.process.cpu_seconds()
            run = run_wrk(bench, self.process.port, request, bench.seconds)
            cpu = self.process.cpu_seconds() - cpu
            if run["requests"] >= REQUESTS_MIN * request.connections:
                break
            bench.say(f"only {run['requests']} requests came through; once more")
        else:
            raise BenchError(f"others keep the cores so busy (load {os.getloadavg()[0]:.1f}) that "
                             f"{self.name} got {run['requests']} requests in {bench.seconds} s")
        self.cpu_us.append(cpu * 1e6 / run["requests"])
        self.busy.append(100 * cpu / (run["microseconds"] / 1e6))
        self.p99_ms.append(run["p99_us"] / 1e3)


class Request:
    """What wrk sends: one target, or those of a file in turn; and headers."""

    def __init__(self, bench, workload, targets):
        self.connections = workload.connections
        self.target, self.headers = targets[0], {}
        self.targets = targets[1:]
        self.file = os.path.join(bench.folder, "targets") if self.targets else None

    def take_share(self, rounds):
        """What the next of so many rounds asks for, which no round has asked for before."""
        share = len(self.targets) // rounds
        with open(self.file, "w", encoding="ascii") as file:
            file.writelines(target + "\n" for target in self.targets[:share])
        del self.targets[:share]


def run_wrk(bench, port, request, seconds):
    command = [bench.tool("wrk"), "-t1", f"-c{request.connections}", f"-d{seconds}s",
               "-s", bench.source("wrk.lua"), f"http://127.0.0.1:{port}{request.target}"]
    for name, value in request.headers.items():
        command += ["-H", f"{name}: {value}"]
    if request.file:
        command += ["--", request.file]
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + WRK_GRACE_SECONDS,
            check=False, preexec_fn=lambda: os.sched_setaffinity(0, bench.client_cores))
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"wrk did not end; {' '.join(command)}") from error
    found = re.search(r"^figures (.*)$", ran.stdout, re.M)
    if ran.returncode != 0 or not found:
        raise BenchError(f"wrk: {(ran.stderr + ran.stdout).strip() or ran.returncode}")
    run = json.loads(found.group(1))
    if run["refused"] or run["broken"]:
        raise BenchError(f"wrk did not get what it asked for: {run}")
    return run


def start_sides(bench, stack, workload, request):
    """fleetbit and its peers, all warm and seen to answer alike."""
    fleetbit = stack.enter_context(bench.serve(workload.fleet, bench.server_cores))
    client = Client(fleetbit.port)
    expected = client.get(request.target)
    if workload.conditional:
        request.headers["If-None-Match"] = expected.header("etag")
        expected = client.get(request.target, request.headers, status=304)
    client.close()
    sides = [Side("fleetbit", fleetbit)]
    for name in workload.against:
        process = stack.enter_context(PEERS[name](bench, expected))
        client = Client(process.port)
        check_same(name, client.ask("GET", request.target, request.headers), expected)
        client.close()
        sides.append(Side(name, process))
    if request.file is None:
        for side in sides:
            run_wrk(bench, side.process.port, request, 1)
    return sides, len(expected.body)


def figures_of(workload, sides, body_bytes):
    figures = []
    for side in sides:
        figures += [
            Figure(f"{side.name}: server CPU per request", "µs", side.cpu_us,
                   note=f"{body_bytes:,} bytes of body, {workload.connections} connections, its "
                        f"core {statistics.median(side.busy):.0f} % busy"),
            Figure(f"{side.name}: requests per second of server CPU", "1/s",
                   [1e6 / us for us in side.cpu_us]),
            Figure(f"{side.name}: latency, 99 %", "ms", side.p99_ms),
        ]
    for peer in sides[1:]:
        figures.append(Figure(f"fleetbit / {peer.name}: CPU per request", "×",
                              ratios(sides[0].cpu_us, peer.cpu_us), limit=workload.limit))
    return figures


def run_workload(bench, name, workload):
    request = Request(bench, workload, workload.targets())
    measurements = bench.rounds * (1 + len(workload.against))
    with contextlib.ExitStack() as stack:
        bench.say(f"{name}: starting")
        sides, body_bytes = start_sides(bench, stack, workload, request)
        for number in range(bench.rounds):
            # Each round begins with another side, so that none is always the first.
            first = number % len(sides)
            for side in sides[first:] + sides[:first]:
                bench.say(f"{name}: round {number + 1} of {bench.rounds}, {side.name}")
                side.measure(bench, request, measurements)
                measurements -= 1
    return figures_of(workload, sides, body_bytes)
