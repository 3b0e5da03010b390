# SPDX-License-Identifier: MIT
"""A collection of requests, as users of Postman have them, run by its command line. `./dev test`
installs that, from tests/npm, in build/npm."""
import json
import shutil
import subprocess

import pytest

from harness import ROOT, skip_loudly

NEWMAN = ROOT / "build/npm/node_modules/newman/bin/newman.js"
COLLECTION = ROOT / "tests/npm/factories.postman_collection.json"


@pytest.fixture
def newman(tmp_path):
    if shutil.which("node") is None or not NEWMAN.is_file():
        skip_loudly(f"no node, or no {NEWMAN}")

    def run(collection, port):
        """Its exit code and its report."""
        report = tmp_path / "report.json"
        done = subprocess.run(
            ["node", str(NEWMAN), "run", str(collection), "--env-var",
             f"url=http://127.0.0.1:{port}", "--reporters", "cli,json", "--reporter-json-export",
             str(report), "--color", "off"], capture_output=True, text=True, timeout=100)
        print(done.stdout, done.stderr)
        return done.returncode, json.loads(report.read_text())["run"]

    return run


def requests_of(folder):
    return sum(requests_of(item) if "item" in item else 1 for item in folder["item"])


def test_a_collection_against_factories_and_sprockets(server, newman):
    wanted = requests_of(json.loads(COLLECTION.read_text()))
    for _ in range(2):  # again, with what the first run has left
        code, run = newman(COLLECTION, server.port)
        assert code == 0 and run["failures"] == []
        assert run["stats"]["requests"]["total"] == wanted > 30
        assert run["stats"]["assertions"]["total"] > wanted


def test_a_collection_that_does_not_hold_is_seen(server, newman, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text(COLLECTION.read_text().replace("Sprocket created", "Sprocket made"))
    code, run = newman(wrong, server.port)
    assert code == 1 and len(run["failures"]) == 2
