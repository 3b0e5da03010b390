# SPDX-License-Identifier: MIT
"""Who is measured beside fleetbit. A peer is one entry of PEERS: a function of the bench, the stack
on which it may start more than itself, what fleetbit answered (`Answer` of process.py) and the
`Origin` of that answer. It returns a running server that has been seen to answer alike."""
import dataclasses
import functools
import json
import os
import shutil
import sqlite3
import statistics

from generators import RedisBenchmark, Run, run
from process import BenchError, Client, Process, ask_redis, free_ports
from workloads import MONTHS

# What a server on libh2o writes by itself, or that differs from answer to answer.
OF_THE_LIBRARY = {"date", "connection", "content-length", "server"}
VARYING = {"date", "x-request-id"}

PIPELINE = 16       # commands of one connection that are under way
PAGE_MACHINES = 1000
BITMAP_PAGE = 8192, 1024  # bits, bytes
DAYS = 730          # with a bitmap: fleets.py seeds them


@dataclasses.dataclass
class Origin:
    """The fleetbit that is measured, and what it was asked."""

    port: int
    target: str
    headers: dict
    connections: int
    machines: int


def check_same(name, answer, expected, with_headers):
    """A peer must send the same bytes, but for the date and the request's number; what is no
    yardstick of ours has headers of its own."""

    def constant(headers):
        return sorted((n.lower(), v if n.lower() not in VARYING else str(len(v)))
                      for n, v in headers)

    if (answer.status, answer.body) != (expected.status, expected.body):
        raise BenchError(f"{name} does not answer as fleetbit does: {answer.status}, "
                         f"{len(answer.body)} bytes for {expected.status}, {len(expected.body)}")
    if with_headers and constant(answer.headers) != constant(expected.headers):
        raise BenchError(f"{name} does not send the headers of fleetbit: {answer.headers} for "
                         f"{expected.headers}")


def ask(port, origin):
    client = Client(port)
    try:
        return client.ask("GET", origin.target, origin.headers)
    finally:
        client.close()


def written(bench, name, content):
    path = os.path.join(bench.folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


# ---- Yardsticks of ours -------------------------------------------------------------------------


def start_limit(bench, stack, answer, origin):
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    whole = "\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body
    process = stack.enter_context(
        Process([*bench.wrapper, bench.built("bench/limit"), "--listen", "0", "--answer",
                 written(bench, "limit.answer", whole)], bench.folder, bench.server_cores))
    check_same("limit", ask(process.port, origin), answer, True)
    return process


def start_bare_h2o(bench, stack, answer, origin):
    command = [*bench.wrapper, bench.built("bench/bare_h2o"), "--listen", "0",
               "--status", str(answer.status), "--reason", answer.reason,
               "--server", answer.header("server")]
    for name, value in answer.headers:
        if name.lower() not in OF_THE_LIBRARY:
            command += ["--header", f"{name}:{value}"]
    if answer.body:
        command += ["--body", written(bench, "bare_h2o.body", answer.body)]
    process = stack.enter_context(Process(command, bench.folder, bench.server_cores))
    check_same("bare_h2o", ask(process.port, origin), answer, True)
    return process


class Copying:
    """bench/memory.c in the place of a server: it copies what one request must read."""

    requests_min, port = 0, None

    def __init__(self, bench, machines):
        page_bits, page_bytes = BITMAP_PAGE
        bitmap = -(-(machines + 1) // page_bits) * page_bytes
        # One bitmap a day, and the one of the machines that exist.
        copied = int((statistics.mean(MONTHS) + 1) * bitmap)
        self.command = [bench.built("bench/memory"), "--pool", str((DAYS + 1) * bitmap), "--copy",
                        str(copied), "--seconds"]
        self.note = f"{copied:,} bytes at a time, from anywhere in {(DAYS + 1) * bitmap:,}"

    def cpu_seconds(self):
        return 0

    def generator(self, bench, _port, _request, seconds):
        ran = json.loads(run(bench, [*self.command, str(seconds)], seconds))
        each_ms = ran["cpu_seconds"] * 1e3 / ran["requests"]
        return Run(ran["requests"], ran["cpu_seconds"], each_ms, each_ms, ran["cpu_seconds"])


def start_copying(bench, _stack, _answer, origin):
    return Copying(bench, origin.machines)


# ---- Caches -------------------------------------------------------------------------------------

# As an operator who wants it fast sets it up: no log, kept connections, open files remembered.
NGINX_CONF = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=16;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{http2_port} http2;
        root {folder}/www;
    }}
}}
"""


def start_nginx(bench, stack, answer, origin, http2=False):
    """The body as a file, under the path that fleetbit is asked for."""
    folder = os.path.join(bench.folder, "nginx")
    path = origin.target.split("?")[0].lstrip("/")
    written(bench, os.path.join("nginx", "www", path), answer.body)
    ports = free_ports(2)
    # Workers of root would become somebody who may not enter the folder.
    conf = NGINX_CONF.format(folder=folder, port=ports[0], http2_port=ports[1],
                             user="user root;" if os.geteuid() == 0 else "")
    command = [bench.tool("nginx"), "-e", "stderr", "-p", folder, "-c",
               written(bench, "nginx/nginx.conf", conf.encode())]
    process = stack.enter_context(
        Process(command, bench.folder, bench.server_cores, port=ports[0], family=True))
    check_same("nginx", ask(ports[0], origin), answer, False)
    if http2:
        process.port = ports[1]
    return process


def start_varnish(bench, stack, answer, origin):
    program = bench.tool("varnishd")
    behind = start_nginx(bench, stack, answer, origin)
    folder, (port,) = os.path.join(bench.folder, "varnish"), free_ports(1)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    command = [program, "-F", "-j", "none", "-n", folder, "-T", "none", "-t", "86400",
               "-s", "malloc,64m", "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{behind.port}"]
    process = stack.enter_context(
        Process(command, bench.folder, bench.server_cores, port=port, family=True))
    for _ in range(2):
        answered = ask(port, origin)
        check_same("varnishd", answered, answer, False)
    if " " not in (answered.header("x-varnish") or ""):
        raise BenchError("varnishd does not answer from its cache")
    return process


# ---- Redis --------------------------------------------------------------------------------------


def start_redis(bench, stack, answer, origin, pipeline=1):
    """GET of the body. It keeps nothing on the disk."""
    bench.tool("redis-benchmark")
    where, (port,) = os.path.join(bench.folder, f"get-{pipeline}.sock"), free_ports(1)
    command = [bench.tool("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--save", "",
               "--appendonly", "no", "--dir", bench.folder, "--unixsocket", where]
    process = stack.enter_context(
        Process(command, bench.folder, bench.server_cores, port=port))
    ask_redis(where, "SET", "page", answer.body.decode())
    if ask_redis(where, "GET", "page") != answer.body.decode():
        raise BenchError("redis-server does not answer as fleetbit does")
    process.generator = RedisBenchmark(["-h", "127.0.0.1", "-p", str(port)], ["GET", "page"],
                                       origin.connections, pipeline)
    return process


# ---- The application that users come from -------------------------------------------------------

SCHEMA = """\
CREATE TABLE machines (id INTEGER PRIMARY KEY, label TEXT NOT NULL, inventory_id TEXT UNIQUE,
    type TEXT NOT NULL, price_per_day NUMERIC, description TEXT, in_maintenance INTEGER,
    maintenance_start_date TEXT, maintenance_end_date TEXT, creation_date TEXT, updated_at TEXT);
CREATE TABLE maintenance (id INTEGER PRIMARY KEY, machine_id INTEGER REFERENCES machines (id),
    start_date TEXT NOT NULL, end_date TEXT NOT NULL, reason TEXT);
CREATE INDEX maintenance_by_machine ON maintenance (machine_id, start_date, end_date);
"""


def machines_of(client):
    target = f"/v1/machines?limit={PAGE_MACHINES}"
    while target:
        listed = json.loads(client.get(target).body)
        yield from listed["machines"]
        target = listed["next"] and f"/v1/machines?limit={PAGE_MACHINES}&cursor={listed['next']}"


def copy_fleet(port, path):
    """Everything that fleetbit shows of its machines, in a database of SQLite."""
    client = Client(port)
    if os.path.exists(path):
        os.remove(path)
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    for machine in machines_of(client):
        names = list(machine)
        database.execute(f"INSERT INTO machines ({', '.join(names)}) VALUES "
                         f"({', '.join('?' * len(names))})", list(machine.values()))
        windows = json.loads(client.get(f"/v1/machines/{machine['id']}/maintenance").body)
        database.executemany(
            "INSERT INTO maintenance VALUES (?, ?, ?, ?, ?)",
            [(w["id"], machine["id"], w["start_date"], w["end_date"], w["reason"])
             for w in windows["windows"]])
    database.commit()
    database.close()
    client.close()


def start_flask(bench, stack, answer, origin):
    """flask_peer.py behind gunicorn: one worker, whose threads keep their connections."""
    path, (port,) = os.path.join(bench.folder, "flask.db"), free_ports(1)
    program = bench.tool("gunicorn")
    bench.need_module("flask")
    copy_fleet(origin.port, path)
    command = [program, "--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class",
               "gthread", "--threads", "4", "--keep-alive", "60", "--chdir", bench.source(""),
               "--env", f"FLEET_DATABASE={path}", "--env", "PYTHONDONTWRITEBYTECODE=1",
               "flask_peer:app"]
    process = stack.enter_context(
        Process(command, bench.folder, bench.server_cores, port=port, family=True))
    process.requests_min = 1
    ours, its = json.loads(answer.body), json.loads(ask(port, origin).body)
    if (ours["count"], ours["machines"]) != (its.get("count"), its.get("machines")):
        raise BenchError(f"Flask does not find what fleetbit finds: {its} for {ours}")
    return process


PEERS = {
    "raw epoll": start_limit,
    "bare libh2o": start_bare_h2o,
    "nginx, static file": start_nginx,
    "nginx, static file, HTTP/2": functools.partial(start_nginx, http2=True),
    "Varnish": start_varnish,
    "Flask, gunicorn, SQLite": start_flask,
    "Redis GET": start_redis,
    "Redis GET, pipelined": functools.partial(start_redis, pipeline=PIPELINE),
    "memcpy of the bitmaps": start_copying,
}
