# SPDX-License-Identifier: MIT
"""What connections that do nothing, and streams that wait for the rest of their request, take in
the memory of the servers."""
import contextlib
import resource
import socket
import struct
import time

from figures import Figure
from load import start_sides
from process import BenchError, Client
from workloads import Workload, page

IDLE = 4000
STREAMS_EACH = 50  # of a connection
STREAMS = 4000
ROUNDS_MAX = 3
SETTLE_SECONDS = 0.5
IDLE_BYTES_MAX = 2048
WAIT_SECONDS = 60

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0x1, 0x4, 0x6, 0x8
END_HEADERS, ACK = 0x4, 0x1


def allow_files(count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count:
        raise BenchError(f"only {hard} open files are allowed, {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(count, 1024), hard))


# ---- HTTP/2, as much as is needed (RFC 9113) ----------------------------------------------------


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def unfinished_post():
    """The header block of a POST whose body is still to come (RFC 7541: names by their index, the
    values as they are)."""
    def literal(name, value):
        return bytes([name, len(value)]) + value

    return b"\x83\x86" + literal(4, b"/v1/machines") + literal(1, b"localhost")


class Http2:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
        self.streams = 0
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
        self.wait_until_read()

    def wait_until_read(self):
        """Until the server has taken all that was sent; it must not have ended a stream."""
        self.socket.sendall(frame(PING, 0, 0, bytes(8)))
        received = b""
        while True:
            while len(received) >= 9:
                length, kind, flags = int.from_bytes(received[:3], "big"), received[3], received[4]
                if len(received) < 9 + length:
                    break
                if kind not in (SETTINGS, PING, WINDOW_UPDATE):
                    raise BenchError(f"a stream did not stay open: a frame of type {kind} came")
                received = received[9 + length:]
                if kind == PING and flags & ACK:
                    return
            read = self.socket.recv(1 << 16)
            if not read:
                raise BenchError("an HTTP/2 connection was closed")
            received += read

    def open_streams(self, count):
        for _ in range(count):
            self.socket.sendall(frame(HEADERS, END_HEADERS, 2 * self.streams + 1,
                                      unfinished_post()))
            self.streams += 1
        self.wait_until_read()

    def close(self):
        self.socket.close()


# ---- Measuring ----------------------------------------------------------------------------------


@contextlib.contextmanager
def all_of(opened):
    try:
        yield opened
    finally:
        for each in opened:
            each.close()
        time.sleep(SETTLE_SECONDS)


def idle_bytes(process, target, count):
    """Each has had one answer."""
    before = process.resident_bytes()
    with all_of([]) as clients:
        for _ in range(count):
            clients.append(Client(process.port))
            clients[-1].get(target)
        return (process.resident_bytes() - before) / count


def stream_bytes(process, _target, count):
    with all_of([]) as connections:
        for _ in range(-(-count // STREAMS_EACH)):
            connections.append(Http2(process.port))
        before = process.resident_bytes()
        for connection in connections:
            connection.open_streams(STREAMS_EACH)
        return (process.resident_bytes() - before) / (STREAMS_EACH * len(connections))


def measured(bench, name, what, count, peers):
    """A sample from a new process each time: an allocator gives little back. Name to samples."""
    samples = {}
    for number in range(1 if bench.quick else min(bench.rounds, ROUNDS_MAX)):
        with contextlib.ExitStack() as stack:
            bench.say(f"{name}: round {number + 1}")
            workload = Workload("", page, against=dict.fromkeys(peers))
            sides, _ = start_sides(bench, stack, name, workload)
            for side in sides:
                samples.setdefault(side.name, []).append(
                    what(side.process, side.request.target, count))
    return samples


def run_connections(bench, name):
    idle, streams = bench.some(IDLE), bench.some(STREAMS)
    allow_files(idle + 100)
    figures = []
    for what, count, unit, peers in ((idle_bytes, idle, "an idle HTTP/1.1 connection",
                                      ("bare libh2o", "nginx, static file")),
                                     (stream_bytes, streams, "an open HTTP/2 stream",
                                      ("bare libh2o",))):
        for side, samples in measured(bench, name, what, count, peers).items():
            limit = IDLE_BYTES_MAX if what is idle_bytes and side == "fleetbit" else None
            figures.append(Figure(f"{side}: resident bytes for {unit}", "B", samples,
                                  at_most=limit, note=f"{count:,} of them"))
    return figures


RUNS = {
    "connections": ("l: memory of an idle connection, and of an open stream", run_connections),
}
