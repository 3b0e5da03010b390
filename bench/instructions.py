# SPDX-License-Identifier: MIT
"""What a request costs in instructions outside of the kernel, as callgrind counts them: a figure
that does not depend on who else uses the machine. Where they go stands in the notes."""
import contextlib
import os
import re
import subprocess

from figures import Figure
from generators import h2load, run_wrk
from load import Request
from peers import PEERS, Origin
from process import BenchError, Client
from workloads import WORKLOADS

# Of each are counted: a workload, and the yardsticks that are asked the same.
COUNTED = {
    "availability": ("raw epoll", "bare libh2o"),
    "one-machine": (),
    "not-modified": (),
    "http2": ("bare libh2o",),
    "targets-100000": (),
}
COUNTED_QUICK = ("availability", "http2")  # since valgrind takes its time to start
WITHOUT_LOG = "availability"
REQUESTS = 20_000
CONTROL_SECONDS = 60
CONNECTIONS, STREAMS = 8, 32
# What the report tells apart within a request: functions, with all that they call.
PARTS = {
    "beginning: the request id, the time, Fleetbit-Min-Revision": "fb_exchange_begin",
    "the memo": "fb_memo_find",
    "the head": "fb_head_write",
    "the metrics": "fb_metrics_request",
    "a record for the access log": "note_access",
}
OBJECTS_SHOWN = 4


class Counter:
    """Starts servers under callgrind, which counts only while it is told to."""

    def __init__(self, bench):
        self.folder = os.path.join(bench.folder, "callgrind")
        os.makedirs(self.folder, exist_ok=True)
        bench.tool("callgrind_annotate")
        self.control = bench.tool("callgrind_control")
        self.prefix = [bench.tool("valgrind"), "--tool=callgrind", "--instr-atstart=no",
                       f"--callgrind-out-file={self.folder}/%p"]

    def tell(self, process, *words):
        said = subprocess.run([self.control, *words, str(process.pid)], capture_output=True,
                              text=True, timeout=CONTROL_SECONDS, check=False)
        if said.returncode != 0 or "OK" not in said.stdout:
            raise BenchError(f"callgrind_control: {(said.stderr + said.stdout).strip()}")

    def annotated(self, path, inclusive):
        """(instructions, function, object) of each function, and the sum of all."""
        said = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no",
                               f"--inclusive={inclusive}", path], capture_output=True, text=True,
                              timeout=CONTROL_SECONDS, check=False).stdout
        total = re.search(r"^\s*([\d,]+) .*PROGRAM TOTALS$", said, re.M)
        if not total:
            raise BenchError(f"callgrind_annotate does not understand {path}: {said[-300:]}")
        rows = re.findall(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(?:\S*:)?(\S+)(?: \[(.*)\])?\s*$", said,
                          re.M)
        return int(total[1].replace(",", "")), [
            (int(count.replace(",", "")), function, os.path.basename(binary) or "fleetbit")
            for count, function, binary in rows]

    def count(self, process, ask):
        """Instructions of each request that `ask` sends: all, by object, and of PARTS."""
        ask()  # until everything is in its place
        self.tell(process, "-i", "on")
        requests = ask()
        self.tell(process, "-d")
        self.tell(process, "-i", "off")
        path, = (os.path.join(self.folder, name) for name in os.listdir(self.folder)
                 if name == f"{process.pid}.1")
        total, rows = self.annotated(path, "no")
        objects = {}
        for count, _, binary in rows:
            objects[binary] = objects.get(binary, 0) + count / requests
        _, inclusive = self.annotated(path, "yes")
        parts = {what: sum(count for count, function, _ in inclusive if function == wanted)
                 / requests for what, wanted in PARTS.items()}
        os.remove(path)
        return total / requests, objects, parts


def asker(bench, process, request, workload):
    """Sends some requests and returns how many."""
    count = bench.some(REQUESTS)
    if request.file:
        return lambda: run_wrk(bench, process.port, request, bench.seconds).requests
    flags = [f"-n{count}"] + ([] if workload.generator == "h2load" else ["--h1"])
    return lambda: h2load(bench, process.port, request, *flags)[0]


def spelled(objects):
    most = sorted(objects.items(), key=lambda item: -item[1])[:OBJECTS_SHOWN]
    return ", ".join(f"{name} {count:,.0f}" for name, count in most)


def counted(bench, counter, name, side, start, figures):
    """Adds the figure of one server under one workload; returns the count, and that of PARTS."""
    workload = WORKLOADS[name]
    request = Request(bench, name, workload)
    request.connections, request.streams = CONNECTIONS, min(STREAMS, workload.streams)
    with contextlib.ExitStack() as stack:
        with bench.under(counter.prefix):
            process = start(stack, request)
        total, objects, parts = counter.count(process, asker(bench, process, request, workload))
    letter = workload.title.partition(":")[0]
    figures.append(Figure(f"{letter}, {name}: {side}", "instructions", [total],
                          note=spelled(objects)))
    return total, parts


def own_start(bench, workload, with_log=True):
    def start(stack, request):
        process = stack.enter_context(bench.serve(workload.fleet, bench.server_cores,
                                                  with_log=with_log))
        if workload.conditional:
            client = Client(process.port)
            request.headers["If-None-Match"] = client.get(request.target).header("etag")
            client.close()
        return process
    return start


def peer_start(bench, workload, peer):
    """It is told what fleetbit answers, which runs only for that."""
    def start(stack, request):
        with contextlib.ExitStack() as short:
            with bench.under([]):
                origin = short.enter_context(bench.serve(workload.fleet))
            client = Client(origin.port)
            answer = client.get(request.target)
            client.close()
            return PEERS[peer](bench, stack, answer,
                               Origin(origin.port, request.target, {}, CONNECTIONS, bench.few))
    return start


def run_instructions(bench, name):
    counter, figures = Counter(bench), []
    for workload_name, peers in COUNTED.items():
        if bench.quick and workload_name not in COUNTED_QUICK:
            continue
        bench.say(f"{name}: {workload_name}")
        workload = WORKLOADS[workload_name]
        total, parts = counted(bench, counter, workload_name, "fleetbit",
                               own_start(bench, workload), figures)
        if workload_name == WITHOUT_LOG:
            usual, usual_parts = total, parts
        for peer in peers:
            bench.say(f"{name}: {workload_name}, {peer}")
            counted(bench, counter, workload_name, peer, peer_start(bench, workload, peer), figures)
    bench.say(f"{name}: {WITHOUT_LOG}, without the access log")
    without, _ = counted(bench, counter, WITHOUT_LOG, "fleetbit without the access log",
                         own_start(bench, WORKLOADS[WITHOUT_LOG], with_log=False), figures)
    figures.append(Figure("a: the access log, with its thread", "instructions", [usual - without]))
    figures += [Figure(f"a: {what}", "instructions", [count], note=PARTS[what])
                for what, count in usual_parts.items()]
    return figures


RUNS = {
    "instructions": ("what a request costs, in instructions outside of the kernel",
                     run_instructions),
}
