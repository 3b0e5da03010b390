# SPDX-License-Identifier: MIT
"""Who is measured beside fleetbit. A peer is one entry of PEERS: how to start a server that answers
every request as fleetbit answered one (`Answer` of process.py), on the cores that it is given."""
import os

from process import BenchError, Process

# What a server on libh2o writes by itself, or that differs from answer to answer.
OF_THE_LIBRARY = {"date", "connection", "content-length", "server"}
VARYING = {"date", "x-request-id"}


def start_bare_h2o(bench, answer):
    binary = bench.built("bench/bare_h2o")
    command = [binary, "--listen", "0", "--status", str(answer.status), "--reason", answer.reason,
               "--server", answer.header("server")]
    for name, value in answer.headers:
        if name.lower() not in OF_THE_LIBRARY:
            command += ["--header", f"{name}:{value}"]
    if answer.body:
        body = os.path.join(bench.folder, "bare_h2o.body")
        with open(body, "wb") as file:
            file.write(answer.body)
        command += ["--body", body]
    return Process(command, bench.folder, bench.server_cores)


PEERS = {
    "bare libh2o": start_bare_h2o,
}


def check_same(name, answer, expected):
    """A peer must send the same bytes, but for the date and the request's number."""

    def constant(headers):
        return [(n.lower(), v if n.lower() not in VARYING else len(v)) for n, v in headers]

    if (answer.status, answer.body) != (expected.status, expected.body):
        raise BenchError(f"{name} does not answer as fleetbit does: {answer.status}, "
                         f"{len(answer.body)} bytes for {expected.status}, {len(expected.body)}")
    if constant(answer.headers) != constant(expected.headers):
        raise BenchError(f"{name} does not send the headers of fleetbit: {answer.headers} for "
                         f"{expected.headers}")
