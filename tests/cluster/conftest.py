# SPDX-License-Identifier: MIT
"""The tests of several instances share what those of the interface have: its modules (harness, api,
http1, store) and its fixtures."""
import importlib.util
import sys
from pathlib import Path

import pytest

_API = Path(__file__).resolve().parents[1] / "api"
sys.path.append(str(_API))  # behind this folder: a test_races.py is in both
_spec = importlib.util.spec_from_file_location("api_conftest", _API / "conftest.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
globals().update({k: v for k, v in vars(_shared).items() if not k.startswith("_")})


@pytest.fixture
def make_cluster(tmp_path_factory):
    """Makes clusters that are ended, and whose end is checked, when the test is over."""
    from cluster import Cluster
    made = []

    def make(*arguments, **options):
        made.append(Cluster(tmp_path_factory.mktemp("c"), *arguments, **options))
        return made[-1]

    yield make
    for cluster in reversed(made):
        cluster.stop()
