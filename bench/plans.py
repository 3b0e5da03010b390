# SPDX-License-Identifier: MIT
"""The plans of a provider: a document of them, who serves it, and what reading it costs."""
import datetime
import http.server
import json
import os
import random
import shutil
import threading
import time

from figures import Figure
from process import BenchError, Client, Process
from workloads import PLANS_A_MONTH, PLANS_FIRST

PLANS = 100_000
PLANS_A_BASE = 10
ZONES = 20
FETCH_SECONDS_MAX = 300
CPU_SECONDS_MAX = 2    # of a fetch of the document that is known already
FOUND_SECONDS_MAX = 1  # from its last byte on, a plan that has changed
CONF = "feed: {{url: \"http://127.0.0.1:{}/\", interval: 1s, timeout: 60s, bytes: 1G}}\n"


# ---- The document -------------------------------------------------------------------------------


def days_of(plans):
    """The days of so many plans, in no order: every month has as many as a search shall find."""
    days = [PLANS_FIRST + datetime.timedelta(days=30 * number // PLANS_A_MONTH)
            for number in range(plans)]
    random.Random(1).shuffle(days)
    return days


def document(plans, title="Camela"):
    """The title is that of the first base, the plans of which begin on the first day."""
    days = days_of(plans)
    zones = "".join(f'<zone zone_id="{number}" capacity="243" price="{15 + number}.00" '
                    f'name="Platea {number}" numbered="true" />\n' for number in range(ZONES))
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<planList version="1.0">\n<output>\n']
    for base in range(plans // PLANS_A_BASE):
        parts.append(f'<base_plan base_plan_id="{base}" sell_mode="online" '
                     f'title="{title if base == 0 else "Camela"} {base}">\n')
        for plan in range(PLANS_A_BASE):
            day = days.pop() if base > 0 else PLANS_FIRST
            parts.append(f'<plan plan_start_date="{day}T21:00:00" plan_end_date="{day}T22:30:00" '
                         f'plan_id="{plan}" sell_from="2026-07-01T00:00:00" '
                         f'sell_to="2026-11-30T20:00:00" sold_out="false">\n{zones}</plan>\n')
        parts.append("</base_plan>\n")
    parts.append("</output>\n</planList>\n")
    return "".join(parts).encode()


class Provider:
    """Serves the document, whole at each request: it has no validators. Notes what `at_request`
    says when it is asked, and when it has sent which document."""

    def __init__(self, body):
        self.body, self.asked, self.done = body, [], []
        self.at_request = lambda: None
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = provider.body
                provider.asked.append(provider.at_request())
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                provider.done.append((time.perf_counter(), body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


# ---- Reading it ---------------------------------------------------------------------------------


def serve(bench, provider, folder):
    conf = os.path.join(bench.folder, "feed.yaml")
    with open(conf, "w", encoding="ascii") as file:
        file.write(CONF.format(provider.port))
    command = bench.serve_command("--conf", conf, "--data", folder)
    return Process(command, bench.folder, bench.server_cores, ready="/readyz")


def await_fetch(client, after):
    """What the feed says once it has read a document after that success."""
    deadline = time.perf_counter() + FETCH_SECONDS_MAX
    while True:
        answer = client.ask("GET", "/v1/feed")
        feed = json.loads(answer.body) if answer.status == 200 else {}
        if feed.get("error"):
            raise BenchError(f"the feed: {feed['error']}")
        if feed.get("succeeded_at") not in (None, after):
            return feed
        if time.perf_counter() > deadline:
            raise BenchError(f"the feed is not read after {FETCH_SECONDS_MAX} s: {feed}")
        time.sleep(0.01)


def seed(bench, folder):
    """A fleet without machines, and with plans."""
    shutil.rmtree(folder, ignore_errors=True)
    plans = bench.some(PLANS)
    with Provider(document(plans)) as provider, serve(bench, provider, folder) as server:
        client = Client(server.port)
        feed = await_fetch(client, None)
        client.close()
    if feed["changed"] != plans:
        raise BenchError(f"the feed has {feed['changed']:,} plans and not {plans:,}")


def found_seconds(client, provider, body, title):
    """From the last byte of a new document on, until its title is found."""
    target = f"/search?ends_at={PLANS_FIRST}T23:59:59Z"
    deadline = time.perf_counter() + FETCH_SECONDS_MAX
    provider.body = body
    while title.encode() not in client.get(target).body:
        if time.perf_counter() > deadline:
            raise BenchError("a plan that has changed is not found")
        time.sleep(0.002)
    found = time.perf_counter()
    return found - next(at for at, sent in provider.done if sent is body)


def run_feed(bench, name):
    bench.seeded("plans")
    plans = bench.some(PLANS)
    cpu, found = [], []
    with Provider(document(plans)) as provider, \
            serve(bench, provider, bench.data("plans")) as server:
        client = Client(server.port)
        provider.at_request = server.cpu_seconds
        feed = await_fetch(client, await_fetch(client, None)["succeeded_at"])
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            feed = await_fetch(client, feed["succeeded_at"])
            cpu.append(server.cpu_seconds() - provider.asked[-1])
            if feed["changed"] != 0:
                raise BenchError(f"{feed['changed']} plans of the same document have changed")
            title = f"Camela {number} again"
            found.append(found_seconds(client, provider, document(plans, title), title))
            while feed["changed"] == 0:
                feed = await_fetch(client, feed["succeeded_at"])
        client.close()
        size = len(provider.body) / 1e6
    return [
        Figure("CPU of a fetch of a document that is known", "s", cpu,
               at_most=bench.limit_of_a_million(CPU_SECONDS_MAX),
               note=f"{plans:,} plans of {ZONES} zones, {size:.0f} MB"),
        Figure("from the last byte of a document until its change is found", "s", found,
               at_most=FOUND_SECONDS_MAX),
    ]


RUNS = {
    "feed": ("v: a provider's document is fetched and read", run_feed),
}
