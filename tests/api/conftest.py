# SPDX-License-Identifier: MIT
"""What the tests of the interface share: a server, a connection to it, and machines of their own.

FLEETBIT_BIN names the binary; without it, build/release/fleetbit is tested. FLEETBIT_LONG=1 makes
the tests under load last as long as a release deserves."""
import signal

import pytest

import harness
from api import Api


def pytest_report_header():
    return f"fleetbit: {harness.BINARY} ({harness.SANITIZER or 'no'} sanitizer)"


def pytest_configure():
    if not harness.BINARY.exists():
        pytest.exit(f"there is no {harness.BINARY}; ./dev build makes it", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The last words of every running server belong to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when in ("setup", "call"):
        for server in harness.Server.alive:
            report.sections.append((f"stderr of {server.folder}", server.errors()[-4000:]))


@pytest.fixture(autouse=True)
def time_limit():
    """A test that hangs fails, with a trace of where."""
    seconds = harness.scale(120, 400) + (60 if harness.LONG else 0)

    def on_alarm(*_):
        raise TimeoutError(f"a test took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def make_server(tmp_path_factory):
    """Makes servers that are ended, and whose end is checked, when the test is over."""
    made = []

    def make(*flags, **options):
        folder = options.pop("folder", None) or tmp_path_factory.mktemp("s")
        made.append(harness.Server(folder, *flags, **options))
        return made[-1]

    yield make
    for server in reversed(made):
        server.stop()


@pytest.fixture
def make_redis(tmp_path_factory):
    """Makes redis-servers that are not fleetbit's."""
    made = []

    def make(**options):
        made.append(harness.Redis(tmp_path_factory.mktemp("r"), **options))
        return made[-1]

    yield make
    for server in reversed(made):
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server of all tests that need no other. They see each other's machines."""
    shared = harness.Server(tmp_path_factory.mktemp("shared"), "--threads", "2")
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture
def api(server):
    """A connection to the shared server, at which machines can be made in a word."""
    harness.away_from_midnight()
    with Api(server.port) as connection:
        yield connection
