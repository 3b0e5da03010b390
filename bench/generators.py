# SPDX-License-Identifier: MIT
"""Who asks: wrk, h2load and redis-benchmark, each as long as it is told, on the generator's core.
They all return a Run."""
import contextlib
import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import time

from figures import percentile
from process import BenchError, prepare_child

GRACE_SECONDS = 30
WRK_SECONDS_MAX = 120  # should nobody end it
PROBE_REQUESTS = 200  # of redis-benchmark, and more, until it can tell how fast it goes
PROBE_SECONDS_MIN = 0.03  # it counts milliseconds
LATENCY_REQUESTS = 20_000  # of h2load, where each is noted


@dataclasses.dataclass
class Run:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float = None  # of what was measured, where that knows it itself


def run(bench, command, seconds):
    """What it prints."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False,
                             timeout=seconds + GRACE_SECONDS, stdin=subprocess.DEVNULL,
                             preexec_fn=prepare_child(bench.client_cores))
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} did not end; {' '.join(command)}") from error
    if ran.returncode != 0:
        said = (ran.stderr + ran.stdout).strip()
        raise BenchError(f"{os.path.basename(command[0])}: {said or ran.returncode}")
    return ran.stdout


# ---- wrk ----------------------------------------------------------------------------------------


class Wrk:
    """A wrk that runs, until end(); it knows only whole seconds, but ends well when interrupted."""

    def __init__(self, bench, port, script, target="/", connections=64, headers=None, words=(),
                 pinned=True):
        command = [bench.tool("wrk"), "-t1", f"-c{connections}", f"-d{WRK_SECONDS_MAX}s", "-s",
                   bench.source(script), f"http://127.0.0.1:{port}{target}"]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        self.command = command + ["--", *map(str, words)]
        self.child = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True,
                                      stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                      preexec_fn=prepare_child(
                                          bench.client_cores if pinned else None))

    def run_for(self, seconds):
        """Its figures, when it has run that long."""
        try:
            self.wait_for_begin()
            said = self.said_within(seconds) or self.end()
        except BaseException:
            self.kill()
            raise
        found = re.search(r"^figures (.*)$", said, re.M)
        if self.child.returncode != 0 or not found:
            raise BenchError(f"wrk: {said.strip() or self.child.returncode}")
        figures = json.loads(found.group(1))
        if figures["refused"] or figures["broken"] or not figures["requests"]:
            raise BenchError(f"wrk did not get what it asked for: {figures}")
        return Run(figures["requests"], figures["microseconds"] / 1e6, figures["p50_us"] / 1e3,
                   figures["p99_us"] / 1e3)

    def wait_for_begin(self):
        """It begins when it can be interrupted: before, it reads its script."""
        caught, deadline = 0, time.perf_counter() + GRACE_SECONDS
        while not caught & 1 << signal.SIGINT - 1 and self.child.poll() is None:
            if time.perf_counter() > deadline:
                raise BenchError(f"wrk does not begin; {' '.join(self.command)}")
            time.sleep(0.002)
            with open(f"/proc/{self.child.pid}/status", encoding="ascii") as status:
                found = re.search(r"^SigCgt:\s+([0-9a-f]+)$", status.read(), re.M)
                caught = int(found.group(1), 16) if found else 0

    def said_within(self, seconds):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.child.communicate(timeout=seconds)[0]
        return None

    def end(self):
        for _ in range(GRACE_SECONDS):
            # Again, should the last one have come just before it went to sleep.
            self.child.send_signal(signal.SIGINT)
            if said := self.said_within(1):
                return said
        raise BenchError(f"wrk did not end; {' '.join(self.command)}")

    def kill(self):
        self.child.kill()
        self.child.wait()


def run_wrk(bench, port, request, seconds):
    words = [request.file, request.order] if request.file else []
    return Wrk(bench, port, "wrk.lua", request.target, request.connections, request.headers,
               words).run_for(seconds)


# ---- h2load -------------------------------------------------------------------------------------


def h2load(bench, port, request, *flags):
    command = [bench.tool("h2load"), "-t1", f"-c{request.connections}", f"-m{request.streams}",
               *flags, f"http://127.0.0.1:{port}{request.target}"]
    for name, value in request.headers.items():
        command += ["-H", f"{name}: {value}"]
    said = run(bench, command, bench.seconds)
    protocol = "http/1.1" if "--h1" in flags else "h2c"
    ended = re.search(r"^finished in ([\d.]+)(ms|us|s),", said, re.M)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", said)
    if not ended or not counts or counts[1] != counts[2] or f"protocol: {protocol}" not in said:
        raise BenchError(f"h2load: {said.strip()}")
    return int(counts[1]), float(ended[1]) * {"s": 1, "ms": 1e-3, "us": 1e-6}[ended[2]]


def run_h2load(bench, port, request, seconds):
    """HTTP/2 by prior knowledge. h2load tells latencies only where it writes them all down, so
    that happens in a run of its own, whose CPU does not count (run_h2load_latency)."""
    requests, took = h2load(bench, port, request, f"-D{max(1, round(seconds * 1000))}ms")
    return Run(requests, took, math.nan, math.nan)


def run_h2load_latency(bench, port, request):
    log = os.path.join(bench.folder, "h2load.log")
    if os.path.exists(log):
        os.remove(log)
    h2load(bench, port, request, f"-n{bench.some(LATENCY_REQUESTS)}", f"--log-file={log}")
    with open(log, encoding="ascii") as file:
        times = [int(line.split("\t")[2]) / 1e3 for line in file]
    return percentile(times, 0.5), percentile(times, 0.99)


# ---- redis-benchmark ----------------------------------------------------------------------------


class RedisBenchmark:
    """One command, again and again. It is told how often, not how long: so it is probed first."""

    def __init__(self, where, words, connections, pipeline):
        self.where, self.words = where, words
        self.flags = ["-c", str(connections), "-P", str(pipeline)]
        self.per_second = None

    def once(self, bench, requests):
        command = [bench.tool("redis-benchmark"), *self.where, *self.flags, "-n", str(requests),
                   "--csv", *self.words]
        # An error reply ends it, so that nothing is counted that was refused.
        said = run(bench, command, bench.seconds + 60).strip()
        found = re.search(r'"' + r',"([\d.]+|inf)"' * 7 + "$", said)
        if not found:
            raise BenchError(f"redis-benchmark: {said}")
        # Requests per second; then milliseconds: mean, least, 50 %, 95 %, 99 %, most.
        self.per_second, _, _, p50_ms, _, p99_ms, _ = map(float, found.groups())
        return Run(requests, requests / self.per_second, p50_ms, p99_ms)

    def __call__(self, bench, _port, _request, seconds):
        requests = PROBE_REQUESTS
        while self.per_second is None or requests / self.per_second < PROBE_SECONDS_MIN:
            self.once(bench, requests)
            requests *= 4
        return self.once(bench, max(100, int(self.per_second * seconds)))


GENERATORS = {"wrk": run_wrk, "h2load": run_h2load}
