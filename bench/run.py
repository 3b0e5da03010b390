#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures fleetbit: ./dev bench [NAME...]. Prints a table for each run, in Markdown, and keeps all
samples as JSON. Exits with 1 when something does not run, never because of a figure.

    process.py    the processes that are measured, and how
    peers.py      who is measured beside fleetbit: a table
    workloads.py  what wrk asks for: a table; load.py runs it
    fleets.py     seeding, starting, memory, changing: a table of runs, each a function
    coherence.py  several instances on one Redis: a table of runs, too
    figures.py    medians, spreads, tables

Everything listens at 127.0.0.1 or on a unix socket."""
import argparse
import datetime
import functools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import coherence
import fleets
import load
from figures import table
from process import BenchError, Process
from workloads import WORKLOADS

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FEW = 1000
PACKAGES = {"wrk": "wrk", "redis-server": "redis-server"}


def runs():
    """Name to title and function; loads first, then what the size of a fleet decides."""
    small = {n: w for n, w in WORKLOADS.items() if w.fleet == "few"}
    large = {n: w for n, w in WORKLOADS.items() if w.fleet != "few"}
    table_of = {}
    for workloads in (small, large):
        for name, workload in workloads.items():
            table_of[name] = (workload.title, functools.partial(run_load, workload))
        if workloads is small:
            table_of |= fleets.RUNS
    table_of |= coherence.RUNS
    return table_of


def run_load(workload, bench, name):
    return load.run_workload(bench, name, workload)


class Bench:
    """What all runs share: the binaries, the sizes, the cores, the fleets."""

    def __init__(self, options):
        self.quick = options.quick
        self.many = 100_000 if options.quick else 1_000_000
        self.few = FEW
        self.rounds = 5 if options.quick else 7
        self.seconds = 1 if options.quick else 3
        self.build = os.path.abspath(options.build)
        self.folder = os.path.abspath(options.folder)
        cores = sorted(os.sched_getaffinity(0))
        self.server_cores, self.client_cores = {cores[0]}, {cores[-1]}
        self._seeds = {}
        self._shown = 0
        os.makedirs(self.folder, exist_ok=True)

    def close(self):
        self.say("")
        for fleet in ("many", "few", "empty", "cluster"):
            shutil.rmtree(self.data(fleet), ignore_errors=True)

    def say(self, what):
        """The progress line: drawn over itself on a terminal, elsewhere one after the other."""
        if sys.stderr.isatty():
            print(f"\r{what:<{self._shown}}", end="" if what else "\r", file=sys.stderr, flush=True)
            self._shown = len(what)
        elif what:
            print(what, file=sys.stderr, flush=True)

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
        path = shutil.which(name)
        if path is None:
            raise BenchError(f"{name} is not there; on Debian: apt-get install {PACKAGES[name]}")
        return path

    def data(self, fleet):
        return os.path.join(self.folder, fleet)

    def seeded(self, fleet):
        """Makes the fleet where this run of the bench has not yet; what fleets.seed says of it."""
        if fleet not in self._seeds:
            machines = self.many if fleet == "many" else self.few
            self.say(f"seeding {machines:,} machines")
            self._seeds[fleet] = fleets.seed(self, machines, self.data(fleet))
        return self._seeds[fleet]

    def serve_command(self, *where):
        return [self.built("fleetbit"), "serve", "--listen", "127.0.0.1:0", "--admin", "off",
                "--threads", "1", *where]

    def serve(self, fleet, cores=None):
        self.seeded(fleet)
        return Process(self.serve_command("--data", self.data(fleet)), self.folder, cores,
                       ready="/readyz")


# ---- The report ---------------------------------------------------------------------------------


def first_line(*command):
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True,
                             cwd=TOP)
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
        "quick": bench.quick, "machines_many": bench.many, "machines_few": bench.few,
        "rounds": bench.rounds, "seconds": bench.seconds,
        "fleetbit": first_line(bench.built("fleetbit"), "version"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
        "redis": first_line("redis-server", "--version"),
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
    for name in names:
        title, function = runs()[name]
        begun = time.perf_counter()
        try:
            figures = function(bench, name)
        except (BenchError, OSError) as error:
            bench.say("")
            failed[name] = str(error)
            print(f"bench: {name} does not run: {error}", file=sys.stderr)
            continue
        bench.say("")
        print(f"\n## {name}: {title}\n\n{table(figures)}", flush=True)
        results[name] = {"title": title, "seconds": time.perf_counter() - begun,
                         "figures": [figure.as_json() for figure in figures]}
    return results, failed


def keep(bench, facts, results, failed):
    folder = os.path.join(bench.folder, "results")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, facts["date"].replace(":", "").removesuffix("+0000") + ".json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"environment": facts, "runs": results, "failed": failed}, file, indent=1,
                  ensure_ascii=False)
    return path


def read_arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Measures fleetbit; without a NAME, all that --list shows.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to run")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--quick", action="store_true",
                        help="under two minutes: fewer and shorter rounds, 100,000 machines "
                             "instead of a million")
    parser.add_argument("--build", default=os.path.join(TOP, "build", "release"), metavar="DIR",
                        help="where fleetbit and the yardsticks are (build/release)")
    parser.add_argument("--folder", default=os.path.join(TOP, "build", "bench"), metavar="DIR",
                        help="for results, logs and fleets, on a disk (build/bench)")
    options = parser.parse_args()
    for name in options.names:
        if name not in runs():
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
        names = [name for name in runs() if not options.names or name in options.names]
        results, failed = run_all(bench, names)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        bench.close()
    facts["load_after"] = os.getloadavg()[0]
    path = keep(bench, facts, results, failed)
    print(f"\nLoad after: {facts['load_after']:.1f}. All samples: {path}")
    for name, reason in failed.items():
        print(f"bench: {name} did not run: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
