# SPDX-License-Identifier: MIT
"""conf/prometheus.yml, conf/alerts.yml and conf/grafana/fleetbit.json with a real Prometheus that
scrapes real servers: it takes the files and the metrics, every query finds something, and an alert
fires while Redis is away. The files are as they are shipped, but for the target and for time, which
passes faster here."""
import json
import math
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from api import Api
from harness import ROOT, _die_with_parent, eventually, free_port, is_alive, unique

CONF = ROOT / "conf"
ALERT = re.compile(r"(?s)(.*) ([<>]) ([0-9.]+)")
SCRAPE, RANGE = "500ms", "5s"
# Nothing but an incident, or a client that misbehaves, would show these: they are zero, not absent.
# What is absent without one would be named here; there is none.
ABSENT_WITHOUT_INCIDENT = {"RequestsFailing"}  # no answer has been a 5xx yet

pytestmark = pytest.mark.skipif(not (shutil.which("prometheus") and shutil.which("promtool")),
                                reason="no prometheus: ./dev install test")


def promtool(*arguments, text=None):
    done = subprocess.run(["promtool", *map(str, arguments)], input=text, capture_output=True,
                          text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def rules():
    """The alerts of the file, as Prometheus reads them: {name: expression}."""
    names = re.findall(r"(?m)^ +- alert: (\w+)$", (CONF / "alerts.yml").read_text())
    assert len(names) == len(set(names)) > 10
    return names


def panels():
    board = json.loads((CONF / "grafana" / "fleetbit.json").read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries():
    """(panel, query) of the dashboard, with its variables put in."""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", RANGE).replace("$instance", ".*")
            assert "$" not in query, query
            found.append((panel["title"], query))
    return found


def faster(text):
    """Minutes of a rule become seconds."""
    text = re.sub(r"(?m)^( +for:) \w+$", r"\1 1s", text)
    return re.sub(r"\[\d+[ms]\]", f"[{RANGE}]", text)


class Prometheus:
    def __init__(self, folder, targets):
        self.folder, self.port, self.process = folder, free_port(), None
        conf = (CONF / "prometheus.yml").read_text()
        conf, count = re.subn(r'(- targets:) .*', rf"\1 {json.dumps(targets)}", conf)
        assert count == 1
        conf, count = re.subn(r"(\w+_interval:) 15s", rf"\1 {SCRAPE}", conf)
        assert count == 2
        (folder / "prometheus.yml").write_text(conf)
        (folder / "alerts.yml").write_text(faster((CONF / "alerts.yml").read_text()))

    def start(self):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.folder}/prometheus.yml",
                 f"--web.listen-address=127.0.0.1:{self.port}",
                 f"--storage.tsdb.path={self.folder}/tsdb", "--log.level=warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent)
        eventually(self.is_ready, 60, 0.1)
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        assert not is_alive(self.process.pid)

    def is_ready(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=10):
                return True
        except OSError:
            return False

    def ask(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from None

    def values(self, query):
        """Those of a query that are numbers: 0 by 0 is none."""
        result = self.ask("query", query=query)["result"]
        return [value for value in (float(series["value"][1]) for series in result)
                if not math.isnan(value)]

    def find(self, query):
        """Waits until there are some."""
        deadline = time.monotonic() + 30
        while not (found := self.values(query)):
            assert time.monotonic() < deadline, f"nothing is found by {query}"
            time.sleep(0.2)
        return found

    def alerts(self):
        return {alert["labels"]["alertname"]: alert["state"] for alert in
                self.ask("alerts")["alerts"]}

    def expressions(self):
        """{alert: its expression}, as Prometheus understood them."""
        return {rule["name"]: rule["query"] for group in self.ask("rules")["groups"]
                for rule in group["rules"]}


class Traffic:
    """Some of everything that the dashboard shows, until it ends."""

    def __init__(self, server):
        self.server, self.ends, self.count, self.broken = server, False, 0, None
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ends = True
        self.thread.join()
        assert self.broken is None and self.count > 0, self.broken

    def _run(self):
        try:
            with Api(self.server.port) as api, Api(self.server.port) as stream:
                stream.send("GET", "/v1/stream")
                while not self.ends:
                    self._round(api)
                    time.sleep(0.02)
        except Exception as error:
            self.broken = error

    def _round(self, api):
        machine = f"/v1/machines/{api.new_machine(inventory_id=unique())['id']}"
        status = api.put(f"{machine}/status", {"status": "green", "updated_by": "a worker"})
        assert status.status == 200, status
        order = api.post("/v1/orders", {"user_id": 1, "item_ids": [1], "total_amount": 1})
        assert order.status == 202, order
        for path in (machine, machine, "/v1/availability", "/v1/availability", "/nowhere",
                     f"{machine}/history"):
            api.get(path)
        self.count += 1


@pytest.fixture(scope="module")
def watched(tmp_path_factory, make_watched):
    """A server with a Redis of somebody else, and a Prometheus that scrapes it."""
    return make_watched(tmp_path_factory)


@pytest.fixture(scope="module")
def make_watched():
    from harness import Redis, Server
    ended = []

    def make(factory):
        redis = Redis(factory.mktemp("redis")).start()
        ended.append(redis.stop)
        folder = factory.mktemp("server")
        server = Server(folder, "--access-log", folder / "access.log", redis_url=redis.url,
                        env={"FLEETBIT_REDIS_TIMEOUT": "500ms"}).start()
        ended.append(server.stop)
        prometheus = Prometheus(factory.mktemp("prometheus"), [f"127.0.0.1:{server.admin_port}"])
        ended.append(prometheus.start().stop)
        return redis, server, prometheus

    yield make
    for end in reversed(ended):
        end()


def test_promtool_takes_the_configuration_the_rules_and_the_metrics(watched):
    for check in (("check", "config", CONF / "prometheus.yml"),
                  ("check", "rules", CONF / "alerts.yml")):
        code, said = promtool(*check)
        assert code == 0 and "SUCCESS" in said, said
    _, server, _ = watched
    with Traffic(server), server.admin() as admin:
        time.sleep(1)
        text = admin.get("/metrics").body.decode()
    code, said = promtool("check", "metrics", text=text)
    assert code == 0 and said == "", said


def test_the_dashboard_is_one_that_grafana_can_show():
    board = json.loads((CONF / "grafana" / "fleetbit.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) and board["uid"] and board["schemaVersion"] >= 36
    assert [v["name"] for v in board["templating"]["list"]] == ["datasource", "instance"]
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source["uid"] == "${datasource}" for source in sources), panel["title"]


def test_every_alert_says_what_to_do():
    alerts = (CONF / "alerts.yml").read_text().split("- alert: ")[1:]
    for alert in alerts:
        assert re.search(r"severity: (critical|warning)", alert), alert
        assert re.search(r'summary: ".*\{\{ \$(labels|value)', alert), alert
        assert len(re.split(r"description: ?", alert)[1]) > 40, alert


def test_every_query_of_the_dashboard_finds_something(watched):
    _, server, prometheus = watched
    with Traffic(server):
        for _, query in queries():
            prometheus.find(query)
        panel_kinds = {panel["type"] for panel in panels()}
    assert panel_kinds == {"stat", "timeseries"}
    hits = [query for title, query in queries() if title == "Memo hit rate"]
    assert 0 < prometheus.values(hits[0])[0] < 1


def metrics(server):
    with server.admin() as admin:
        return admin.get("/metrics").body.decode()


def test_every_metric_that_the_files_name_is_one_of_ours(watched):
    _, server, _ = watched
    names = set(re.findall(r"(?m)^# TYPE (\w+)", metrics(server))) | {"up"}
    text = "\n".join(query for _, query in queries()) + (CONF / "alerts.yml").read_text()
    used = {re.sub(r"_(bucket|count|sum)$", "", name)
            for name in re.findall(r"\b(?:fleetbit|process)_\w+(?=\{)", text)}
    assert len(used) > 40 and not used - names, used - names


def test_what_every_alert_looks_at_is_there_and_none_fires_in_peace(watched):
    _, server, prometheus = watched
    expressions = prometheus.expressions()
    assert sorted(expressions) == sorted(rules())
    with Traffic(server):
        for name, expression in expressions.items():
            looked_at = ALERT.fullmatch(expression)
            assert looked_at, f"{name} is no comparison with a number: {expression}"
            if name not in ABSENT_WITHOUT_INCIDENT:
                prometheus.find(looked_at.group(1))
        time.sleep(3)
        # Latencies say nothing on a machine that is busy with tests.
        firing = {name for name, state in prometheus.alerts().items() if state == "firing"}
    assert firing <= {"HighLatencyReads", "HighLatencyWrites"}, firing


def test_redis_that_is_stopped_fires_and_resolves(watched):
    redis, server, prometheus = watched
    redis.stop()
    try:
        eventually(lambda: prometheus.alerts().get("RedisDown") == "firing", 30, 0.1)
        with Api(server.port) as api:
            for _ in range(3):
                assert api.post("/v1/machines", {}).status in (422, 503)
                assert api.get("/v1/availability").status == 200
                assert api.post("/v1/machines", {
                    "label": "a", "inventory_id": unique(), "type": "crane"}).status == 503
            eventually(lambda: "ErrorsLogged" in prometheus.alerts(), 30, 0.1)
            failing = ALERT.fullmatch(prometheus.expressions()["RequestsFailing"]).group(1)
            eventually(lambda: api.get("/v1/machines").status == 200 and prometheus.values(failing),
                       30, 0.1)
    finally:
        redis.start()
    eventually(lambda: "RedisDown" not in prometheus.alerts(), 30, 0.1)
    with Api(server.port) as api:
        assert api.new_machine(inventory_id=unique())["id"] > 0
