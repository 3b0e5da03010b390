#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures fleetbit: ./dev bench [NAME...]. Prints a table for each run, in Markdown, and keeps all
samples as JSON. Exits with 1 when something does not run, never because of a figure.

    process.py      the processes that are measured, and how
    generators.py   who asks them: wrk, h2load, redis-benchmark
    peers.py        who is measured beside fleetbit: a table
    workloads.py    what is asked for: a table; load.py runs it
    writes.py       writing, alone, in batches, and beside reads: a table of runs, each a function
    orders.py       orders, many at once and one at a time, likewise
    live.py         status changes and event streams, likewise
    fleets.py       seeding, starting, memory, changing: a table of runs, too
    connections.py  memory of connections and streams, likewise
    plans.py        the plans of a provider, likewise
    coherence.py    several instances on one Redis, likewise
    instructions.py what a request costs under callgrind, likewise
    figures.py      medians, spreads, tables
    report.py       the results as a table for the README and as a plot

Everything listens at 127.0.0.1 or on a unix socket."""
import argparse
import contextlib
import datetime
import functools
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import coherence
import connections
import fleets
import instructions
import live
import load
import orders
import plans
import report
import writes
from figures import table
from process import BenchError, Missing, Process
from workloads import WORKLOADS

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FEW = 1000
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client", "redis-server": "redis-server",
            "redis-benchmark": "redis-tools", "nginx": "nginx", "varnishd": "varnish",
            "gunicorn": "gunicorn", "flask": "python3-flask", "valgrind": "valgrind",
            "callgrind_control": "valgrind", "callgrind_annotate": "valgrind"}
TOOL_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
VERSIONS = {"nginx": ["-v"], "varnishd": ["-V"], "gunicorn": ["--version"], "wrk": ["-v"],
            "h2load": ["--version"], "redis-server": ["--version"]}
# (rounds, seconds of a sample, seconds of warming up, machines of the large fleet, a divisor of
# how often other things are done). Many short rounds: who else uses the machine comes and goes.
FULL = 15, 1, 1, 1_000_000, 1
QUICK = 3, 0.3, 0.2, 100_000, 10


def letter(title):
    """By which issues name a run, and ./dev bench finds it; not all have one."""
    return title.split(":")[0] if title[1:2] == ":" else None


def runs():
    """Name to title and function: first what a small fleet is enough for."""
    loads = {"few": {}, "plans": {}, "many": {}}
    for name, workload in WORKLOADS.items():
        loads[workload.fleet][name] = (workload.title, functools.partial(run_load, workload))
    return (loads["few"] | writes.RUNS | live.RUNS | orders.RUNS | connections.RUNS
            | loads["plans"] | plans.RUNS | fleets.RUNS | loads["many"] | coherence.RUNS
            | instructions.RUNS)


def run_load(workload, bench, name):
    return load.run_workload(bench, name, workload)


class Bench:
    """What all runs share: the binaries, the sizes, the cores, the fleets."""

    def __init__(self, options):
        self.quick = options.quick
        self.rounds, self.seconds, self.warm_seconds, self.many, self.divisor = (
            QUICK if self.quick else FULL)
        self.rewarm_seconds = self.warm_seconds / 4  # when the others have had their turns
        self.rounds, self.seconds = options.rounds or self.rounds, options.seconds or self.seconds
        self.is_trial = self.rounds == 1  # shows that all of it runs: a sample measures nothing
        self.few = FEW
        self.build = os.path.abspath(options.build)
        self.folder = os.path.abspath(options.folder)
        cores = sorted(os.sched_getaffinity(0))
        self.server_cores, self.client_cores = {cores[0]}, {cores[-1]}
        self.progress, self.skipped = "", []
        self._seeds = {}
        self._shown = 0
        self.wrapper = []
        os.makedirs(self.folder, exist_ok=True)
        # Of all servers: a file, as users have it, but emptied before the disk gets to see it.
        self.access_log = os.path.join(self.folder, "access.log")

    def close(self):
        self.say("")
        for fleet in ("many", "few", "plans", "empty", "cluster"):
            shutil.rmtree(self.data(fleet), ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.access_log)

    def forget_accesses(self):
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.access_log, 0)

    @contextlib.contextmanager
    def under(self, wrapper):
        """What is started meanwhile is started by it: fleetbit and the yardsticks."""
        before, self.wrapper = self.wrapper, wrapper
        try:
            yield
        finally:
            self.wrapper = before

    def say(self, what):
        """The progress line: drawn over itself on a terminal, elsewhere one after the other."""
        what = what and self.progress + what
        if sys.stderr.isatty():
            print(f"\r{what:<{self._shown}}", end="" if what else "\r", file=sys.stderr, flush=True)
            self._shown = len(what)
        elif what:
            print(what, file=sys.stderr, flush=True)

    def skip(self, name, peer, error):
        """A peer that is not there is said aloud, and the rest goes on."""
        self.say("")
        print(f"bench: {name} WITHOUT {peer}: {error}", file=sys.stderr, flush=True)
        self.skipped.append({"run": name, "peer": peer, "reason": str(error)})

    def some(self, count):
        """As many as there is time for."""
        return max(1, count // self.divisor)

    def limit_of_a_million(self, limit):
        return None if self.quick else limit

    def source(self, name):
        return os.path.join(TOP, "bench", name)

    @staticmethod
    def configuration(name):
        return os.path.join(TOP, "conf", name)

    def built(self, name):
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            raise BenchError(f"there is no {path}; ./dev bench builds it, or --build says where")
        return path

    @staticmethod
    def tool(name):
        path = shutil.which(name, path=TOOL_PATH)
        if path is None:
            raise Missing(f"{name} is not there; on Debian: apt-get install {PACKAGES[name]}")
        return path

    @staticmethod
    def need_module(name):
        if importlib.util.find_spec(name) is None:
            raise Missing(f"Python has no {name}; on Debian: apt-get install {PACKAGES[name]}")

    def data(self, fleet):
        return os.path.join(self.folder, fleet)

    def seeded(self, fleet):
        """Makes the fleet where this run of the bench has not yet; what fleets.seed says of it."""
        if fleet == "plans" and fleet not in self._seeds:
            self.say("reading the plans of a provider")
            self._seeds[fleet] = plans.seed(self, self.data(fleet))
        elif fleet not in self._seeds:
            machines = self.many if fleet == "many" else self.few
            self.say(f"seeding {machines:,} machines")
            self._seeds[fleet] = fleets.seed(self, machines, self.data(fleet))
        return self._seeds[fleet]

    def serve_command(self, *where, threads=1, with_log=True):
        log = ["--access-log", self.access_log] if with_log else []
        return [*self.wrapper, self.built("fleetbit"), "serve", "--listen", "127.0.0.1:0",
                "--admin", "127.0.0.1:0", "--threads", str(threads), *log, *where]

    def serve(self, fleet, cores=None, threads=1, runs_already=False, with_log=True):
        """With a private Redis; or on that of the one which runs already."""
        self.seeded(fleet)
        where = ["--data", self.data(fleet)]
        if runs_already:
            where = ["--redis", "unix://" + os.path.join(self.data(fleet), "redis.sock")]
        command = self.serve_command(*where, threads=threads, with_log=with_log)
        return Process(command, self.folder, cores, ready="/readyz")


# ---- The report ---------------------------------------------------------------------------------


def first_line(*command, check=True):
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             timeout=10, check=check, cwd=TOP)
        return ran.stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def environment(bench):
    model = None
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "quick": bench.quick,
        "machines_many": bench.many, "machines_few": bench.few,
        "rounds": bench.rounds, "seconds": bench.seconds,
        "fleetbit": first_line(bench.built("fleetbit"), "version"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
        "others": {name: first_line(shutil.which(name, path=TOOL_PATH) or name, *flags,
                                    check=False) for name, flags in VERSIONS.items()},
        "kernel": platform.release(), "cpu": model, "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


def print_head(bench, facts):
    print(f"# fleetbit bench, {facts['date']}\n")
    print(f"{facts['fleetbit']} ({facts['commit'] or 'no commit'}), "
          f"{facts['cpu'] or 'CPU unknown'}, {facts['cores']} cores, Linux {facts['kernel']}, "
          f"load before: {facts['load_before']:.1f}. Medians of {bench.rounds} rounds of "
          f"{bench.seconds} s, sides in turns, server and generator on a core each.")
    if bench.quick:
        print(f"\n**Quick: fewer and shorter rounds, {bench.many:,} machines instead of a million; "
              "so the limits that are meant for a million do not apply.**")
    if bench.server_cores == bench.client_cores:
        print("\n**Only one core: the generator disturbs the servers.**")


def run_all(bench, names):
    """Runs them, each with its table; returns all figures as JSON, and what did not run."""
    results, failed = {}, {}
    for number, name in enumerate(names, 1):
        title, function = runs()[name]
        begun = time.perf_counter()
        bench.progress = f"[{number}/{len(names)}] "
        try:
            figures = function(bench, name)
        except (BenchError, OSError) as error:
            bench.say("")
            failed[name] = str(error)
            print(f"bench: {name} does not run: {error}", file=sys.stderr)
            continue
        bench.forget_accesses()
        bench.say("")
        print(f"\n## {name}: {title}\n\n{table(figures)}", flush=True)
        results[name] = {"title": title, "seconds": time.perf_counter() - begun,
                         "figures": [figure.as_json() for figure in figures]}
    return results, failed


def keep(bench, facts, results, failed):
    """All samples as JSON, the table and the plot; the path, without its extension."""
    folder = os.path.join(bench.folder, "results")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, facts["date"].replace(":", "").removesuffix("+0000"))
    kept = {"environment": facts, "runs": results, "failed": failed, "skipped": bench.skipped}
    with open(path + ".json", "w", encoding="utf-8") as file:
        json.dump(kept, file, indent=1, ensure_ascii=False)
    report.write(kept, path)
    return path


def read_arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Measures fleetbit; without a NAME, all that --list shows.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to run, or its letter")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--quick", action="store_true",
                        help="under two minutes: fewer and shorter rounds, 100,000 machines "
                             "instead of a million")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="how many samples of each figure; 1 only shows that all of it runs")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long a sample takes")
    parser.add_argument("--build", default=os.path.join(TOP, "build", "release"), metavar="DIR",
                        help="where fleetbit and the yardsticks are (build/release)")
    parser.add_argument("--folder", default=os.path.join(TOP, "build", "bench"), metavar="DIR",
                        help="for results, logs and fleets, on a disk (build/bench)")
    options = parser.parse_args()
    letters = {letter(title) for title, _ in runs().values()} - {None}
    for name in options.names:
        if name not in runs() and name not in letters:
            parser.error(f"there is no run \"{name}\"; --list shows them")
    return options


def main():
    options = read_arguments()
    if options.list:
        width = max(map(len, runs()))
        print("\n".join(f"{name:<{width}}  {title}" for name, (title, _) in runs().items()))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    bench = Bench(options)
    try:
        facts = environment(bench)
        print_head(bench, facts)
        names = [name for name, (title, _) in runs().items() if not options.names
                 or name in options.names or letter(title) in options.names]
        results, failed = run_all(bench, names)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        bench.close()
    facts["load_after"] = os.getloadavg()[0]
    path = keep(bench, facts, results, failed)
    print(f"\nLoad after: {facts['load_after']:.1f}. All samples: {path}.json, the limits: "
          f"{path}.md, the plot: {path}.svg")
    for skipped in bench.skipped:
        print(f"bench: {skipped['run']} ran without {skipped['peer']}: {skipped['reason']}",
              file=sys.stderr)
    for name, reason in failed.items():
        print(f"bench: {name} did not run: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
