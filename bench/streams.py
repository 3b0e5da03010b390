# SPDX-License-Identifier: MIT
"""How soon all clients of event streams have a change, and what each takes in memory. The clients
are one program, bench/streams.c."""
import json
import subprocess

from connections import ROUNDS_MAX, allow_files
from figures import Figure
from process import BenchError, prepare_child

STREAMS = 10000
STALLED = 100  # of them, in the other half of the rounds: they never read
CHANGES = 40
PAUSE_MS = 250
P99_MS_MAX = 250
STREAM_BYTES_MAX = 8192
SECONDS_MAX = 120


def changed(bench, streams, stalled):
    """On a server of its own: an allocator gives little back."""
    with bench.serve("few", bench.server_cores) as server:
        command = [bench.built("bench/streams"), "--port", str(server.port), "--pid",
                   str(server.pids()[0]), "--count", str(streams), "--stalled", str(stalled),
                   "--rounds", str(max(5, bench.some(CHANGES))), "--pause", str(PAUSE_MS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX,
                              preexec_fn=prepare_child(bench.client_cores), check=False)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip())
    return json.loads(done.stdout)


def run_streams(bench, name):
    streams = bench.some(STREAMS)
    stalled = max(1, bench.some(STALLED))
    allow_files(streams + 100)
    usual, disturbed = [], []
    for number in range(1 if bench.quick else min(bench.rounds, ROUNDS_MAX)):
        bench.say(f"{name}: round {number + 1}")
        usual.append(changed(bench, streams, 0))
        disturbed.append(changed(bench, streams, stalled))

    def figure(what, unit, samples, member, limit=None, note=""):
        return Figure(what, unit, [sample[member] for sample in samples], at_most=limit, note=note)

    return [
        figure("from the answer to a change until half of the streams have it", "ms", usual,
               "p50_ms", note=f"{streams:,} streams, one loop"),
        figure("… until 99 % of them have it", "ms", usual, "p99_ms", P99_MS_MAX),
        figure(f"… where {stalled} of them never read", "ms", disturbed, "p99_ms", P99_MS_MAX),
        figure("resident bytes for a stream, HTTP/1.1", "B", usual, "bytes_each_after",
               STREAM_BYTES_MAX),
    ]


RUNS = {
    "streams": ("event streams, how soon all have a change, and their memory", run_streams),
}
