# SPDX-License-Identifier: MIT
"""What depends on the size of a fleet: seeding it, starting with it, its memory, changing it."""
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import time

from figures import Figure, ratios
from process import (BenchError, Client, Process, ask_redis, cpu_seconds, prepare_child, redis_pid,
                     resident_bytes)
from workloads import day

SEED_SECONDS_MAX = 900
DAYS = 730
DAYS_ASKED_MAX = 366     # by one call of the calendar
WINDOW_DAYS_MAX = 31     # a window may reach so far beyond the days of the seed, and no further
TYPES_FROM_MACHINES = 1000
SETTLE_SECONDS = 12      # jemalloc gives pages back after 10 s without use
STARTS = 4
PATCHES = 100            # on one side, before it is the other's turn
PAGE_BYTES = 1024        # of a bitmap: 8,192 bits
PAGE_BITS = 8192


# ---- Seeding ------------------------------------------------------------------------------------


def seed(bench, machines, folder):
    """Returns the seconds that it took, the CPU seconds of the seeding process and of Redis."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [bench.built("fleetbit"), "seed", "--machines", str(machines), "--days", str(DAYS),
               "--data", folder]
    log = os.path.join(bench.folder, "seed.log")
    begun, own = time.perf_counter(), 0.0
    with open(log, "wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                 preexec_fn=prepare_child(None))
    try:
        pid = 0
        while pid == 0:
            if time.perf_counter() > begun + SEED_SECONDS_MAX:
                raise BenchError(f"fleetbit seed takes longer than {SEED_SECONDS_MAX} s")
            with contextlib.suppress(OSError):
                own = cpu_seconds(child.pid)
            time.sleep(0.02)
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    except BaseException:
        child.kill()
        child.wait()
        raise
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    if child.returncode != 0:
        with open(log, encoding="utf-8", errors="replace") as output:
            raise BenchError(f"fleetbit seed ended with {child.returncode}: {output.read()[-600:]}")
    return seconds, own, usage.ru_utime + usage.ru_stime - own


def bytes_below(folder):
    return sum(os.path.getsize(os.path.join(path, name))
               for path, _, names in os.walk(folder) for name in names if name != "redis.sock")


def run_seed(bench, _):
    seconds, own, redis = bench.seeded("many")
    folder = bench.data("many")
    return [
        Figure(f"seconds to seed {bench.many:,} machines", "s", [seconds],
               at_most=bench.limit_of_a_million(60)),
        Figure("CPU of fleetbit seed", "s", [own]),
        Figure("CPU of its redis-server", "s", [redis],
               note="with the rewriting of its file in the background"),
        Figure("on the disk", "MB", [bytes_below(folder) / 1e6]),
    ]


# ---- Starting -----------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_of(bench, folder):
    """The redis-server of a data directory, started by hand as its redis.conf says; its URL."""
    path = os.path.join(folder, "redis.sock")
    child = subprocess.Popen([bench.tool("redis-server"), "redis.conf"], cwd=folder,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             preexec_fn=prepare_child(None))
    try:
        deadline = time.perf_counter() + 120
        while True:
            if child.poll() is not None or time.perf_counter() > deadline:
                raise BenchError(f"redis-server does not start in {folder}: see redis.log there")
            with contextlib.suppress(OSError, BenchError):
                if ask_redis(path, "PING") == "PONG":
                    break
            time.sleep(0.05)
        yield f"unix://{path}"
    finally:
        child.terminate()
        child.wait()


def time_start(bench, *where):
    command = bench.serve_command(*where)
    with Process(command, bench.folder, ready="/readyz") as server:
        return server.ready_seconds, server.cpu_seconds()


def run_start(bench, name):
    bench.seeded("many")
    folder, limit = bench.data("many"), bench.limit_of_a_million(10)
    private, private_cpu, running, running_cpu = [], [], [], []
    for number in range(1 if bench.is_trial else 2 if bench.quick else STARTS):
        bench.say(f"{name}: start {number + 1}, private Redis")
        seconds, cpu = time_start(bench, "--data", folder)
        private.append(seconds)
        private_cpu.append(cpu)
        bench.say(f"{name}: start {number + 1}, Redis by URL")
        with redis_of(bench, folder) as url:
            seconds, cpu = time_start(bench, "--redis", url)
        running.append(seconds)
        running_cpu.append(cpu)
    return [
        Figure("private Redis, just seeded: to /readyz", "s", private[:1], at_most=limit,
               note="Redis still finds many changes in its file; all files are in the page cache"),
        Figure("private Redis, later starts: to /readyz", "s", private[1:] or private,
               at_most=limit),
        Figure("private Redis: CPU of fleetbit", "s", private_cpu),
        Figure("Redis runs already: to /readyz", "s", running,
               at_most=bench.limit_of_a_million(5)),
        Figure("Redis runs already: CPU of fleetbit", "s", running_cpu),
    ]


# ---- Memory -------------------------------------------------------------------------------------


def count_bitmaps(client, machines):
    """Bytes of bitmaps, in whole pages: one bitmap for each day of a plane that has a bit, one for
    each machine type, one of the machines that exist. (The windows that exist count as memory of
    the machines.)"""
    days_with_bits, asked = 0, -1
    while asked < DAYS + WINDOW_DAYS_MAX:
        last = min(asked + DAYS_ASKED_MAX - 1, DAYS + WINDOW_DAYS_MAX)
        target = f"/v1/availability/calendar?from={day(asked)}&to={day(last)}"
        days = json.loads(client.get(target).body)["days"]
        days_with_bits += sum(1 for entry in days if entry["available"] < machines)
        asked = last + 1
    page = json.loads(client.get(f"/v1/machines?limit={TYPES_FROM_MACHINES}").body)
    types = len({machine["type"] for machine in page["machines"]})
    pages = -(-(machines + 1) // PAGE_BITS)
    return (days_with_bits + types + 1) * pages * PAGE_BYTES, days_with_bits, types


def run_memory(bench, name):
    bench.seeded("many")
    empty = os.path.join(bench.folder, "empty")
    shutil.rmtree(empty, ignore_errors=True)
    bench.say(f"{name}: an empty fleet")
    with Process(bench.serve_command("--data", empty), bench.folder, ready="/readyz") as server:
        base = resident_bytes(server.pid)
    bench.say(f"{name}: {bench.many:,} machines")
    with bench.serve("many") as server:
        at_start = resident_bytes(server.pid)
        redis = resident_bytes(redis_pid(os.path.join(bench.data("many"), "redis.sock")))
        client = Client(server.port)
        bitmaps, days, types = count_bitmaps(client, bench.many)
        bench.say(f"{name}: waiting until it has given back what the start needed")
        for _ in range(1 if bench.quick else SETTLE_SECONDS):
            time.sleep(1)
            client.get("/readyz")
        settled = resident_bytes(server.pid)
        client.close()
    per = 1 / bench.many
    counted = (f"{days} days of a plane with a bit, {types} types, 1 set of machines, in pages "
               f"of {PAGE_BITS:,} bits")
    return [
        Figure("resident bytes per machine, without the bitmaps", "B",
               [(at_start - base - bitmaps) * per], at_most=bench.limit_of_a_million(400),
               note="RSS at /readyz less that of an empty fleet, less the bitmaps"),
        Figure("the same after a while", "B", [(settled - base - bitmaps) * per],
               note="once the allocator has given back what it does not need"),
        Figure("bitmaps per machine", "B", [bitmaps * per], note=counted),
        Figure("RSS at /readyz", "MB", [at_start / 1e6]),
        Figure("RSS of an empty fleet", "MB", [base / 1e6]),
        Figure("RSS of redis-server", "MB", [redis / 1e6]),
    ]


# ---- Changing -----------------------------------------------------------------------------------


class Patched:
    """One fleet whose machines are patched, and the samples, one a round."""

    def __init__(self, bench, stack, fleet, machines):
        self.machines, self.patches = machines, bench.some(PATCHES)
        self.server = stack.enter_context(bench.serve(fleet))
        self.client = Client(self.server.port)
        stack.callback(self.client.close)
        self.socket = os.path.join(bench.data(fleet), "redis.sock")
        self.redis = redis_pid(self.socket)
        self.random = random.Random(machines)

    def begin(self):
        self.wall_ms, self.cpu_us, self.redis_us = [], [], []

    def round(self):
        walls = []
        cpu, redis = self.server.cpu_seconds(), cpu_seconds(self.redis)
        for _ in range(self.patches):
            target = f"/v1/machines/{self.random.randint(1, self.machines)}"
            body = b'{"price_per_day":%d.%02d}' % (self.random.randint(1, 9999),
                                                   self.random.randint(0, 99))
            answer = self.client.ask("PATCH", target, {"Content-Type": "application/json"}, body)
            if answer.status != 200:
                raise BenchError(f"PATCH {target}: {answer.status} {answer.body[:300]}")
            walls.append(answer.seconds * 1e3)
        self.wall_ms.append(statistics.median(walls))
        self.cpu_us.append((self.server.cpu_seconds() - cpu) * 1e6 / self.patches)
        self.redis_us.append((cpu_seconds(self.redis) - redis) * 1e6 / self.patches)


def patch_figures(how, many, few, limit):
    figures = []
    for side in (many, few):
        size = f"{side.machines:,} machines, {how}"
        figures += [
            Figure(f"{size}: a PATCH, as the client sees it", "ms", side.wall_ms),
            Figure(f"{size}: CPU of the server for it", "µs", side.cpu_us),
            Figure(f"{size}: CPU of Redis for it", "µs", side.redis_us),
        ]
    return figures + [
        Figure(f"{many.machines:,} / {few.machines:,}, {how}: wall", "×",
               ratios(many.wall_ms, few.wall_ms), at_most=limit),
        Figure(f"{many.machines:,} / {few.machines:,}, {how}: CPU of the server", "×",
               ratios(many.cpu_us, few.cpu_us), at_most=limit),
    ]


def run_patch(bench, name):
    rounds = 3 * bench.rounds
    figures = []
    with contextlib.ExitStack() as stack:
        bench.say(f"{name}: starting")
        sides = [Patched(bench, stack, "many", bench.many), Patched(bench, stack, "few", bench.few)]
        # The second time without the disk, whose noise hides what fleetbit itself takes.
        for policy in ("always", "no"):
            for side in sides:
                ask_redis(side.socket, "CONFIG", "SET", "appendfsync", policy)
                side.begin()
                side.round()
                side.begin()
            for number in range(rounds):
                bench.say(f"{name}: fsync {policy}, round {number + 1} of {rounds}")
                for side in sides[number % 2:] + sides[:number % 2]:
                    side.round()
            figures += patch_figures(f"fsync {policy}", *sides, bench.limit_of_a_million(2))
    return figures


RUNS = {
    "seed": ("a synthetic fleet is made", run_seed),
    "start": ("j: a server starts with that fleet", run_start),
    "memory": ("l: what a machine takes in memory", run_memory),
    "patch": ("one machine is changed, one after the other, in a large fleet and in a small one",
              run_patch),
}
