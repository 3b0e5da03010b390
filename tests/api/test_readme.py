# SPDX-License-Identifier: MIT
"""The README is true: each of its redis-cli lines shows something, and each key has a line."""
import re
import shlex
import subprocess

import pytest

from api import Api
from harness import ROOT, Server, day, eventually, skip_loudly

README = ROOT / "README.md"


def redis_cli_lines():
    """The commands in the blocks that are marked ```redis-cli, after their `$ `."""
    if not README.exists():
        return None
    lines = []
    for block in re.findall(r"^```redis-cli\n(.*?)^```", README.read_text(), re.M | re.S):
        for line in block.splitlines():
            if line.strip():
                assert line.startswith("$ redis-cli "), f"not a line to run: {line}"
                lines.append(line[2:])
    return lines


LINES = redis_cli_lines()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The demo fleet with what the tour makes, whose Redis the lines of the README look into."""
    server = Server(tmp_path_factory.mktemp("readme"), "--demo").start()
    eventually(lambda: "demo: " in server.errors())
    with Api(server.port) as api:
        order = api.new_order({"Idempotency-Key": '"basket-4711"'}, item_ids=[42, 43],
                              start_date=day(40), end_date=day(44))
        api.until_order(order["id"], "COMPLETED", "REJECTED")
        chart = {"sprocket_production_actual": [32], "sprocket_production_goal": [32], "time": [1]}
        assert api.post("/v1/factories", {"factory": {"chart_data": chart}}).status == 201
        assert api.post("/v1/sprockets", {"teeth": 5, "pitch_diameter": 5, "outside_diameter": 6,
                                          "pitch": 1}).status == 201
    yield server
    server.stop()


def run(line, server):
    """A line of the README against our server: its socket, and today for its date."""
    words = shlex.split(line)
    assert words[0] == "redis-cli" and words[1] == "-s", line
    words[2] = str(server.data / "redis.sock")
    words = [re.sub(r"\b20\d\d-\d\d-\d\d\b", day(0), word) for word in words]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)


def test_the_readme_has_lines_to_run():
    if LINES is None:
        skip_loudly("THERE IS NO README.md: NOTHING OF IT IS TESTED")
    assert LINES, "no block of README.md is marked ```redis-cli"


@pytest.mark.parametrize("line", LINES or ["-"])
def test_a_line_of_the_readme_shows_something(own, line):
    if LINES is None:
        skip_loudly("THERE IS NO README.md: NOTHING OF IT IS TESTED")
    result = run(line, own)
    assert result.returncode == 0 and result.stderr == "", result
    output = result.stdout.strip()
    assert output, f"{line} shows nothing"
    first = output.splitlines()[0]
    assert not re.match(r"\(?(error|ERR|WRONGTYPE|NOAUTH|NOPERM)\b", first), f"{line}: {first}"
    assert output not in ("(nil)", "(empty array)"), f"{line} shows nothing"


def test_every_kind_of_key_is_in_the_readme(own):
    if LINES is None:
        skip_loudly("THERE IS NO README.md: NOTHING OF IT IS TESTED")
    shown = " ".join(LINES)
    kinds = {re.sub(r":\d+$|:\d{4}-\d\d-\d\d$", "", key.decode()) for key in own.redis().keys("*")}
    missing = [kind for kind in kinds if kind not in shown]
    assert not missing, f"README.md has no redis-cli line for {missing}"


def test_the_channel_tells_of_each_change(own):
    """What the README says of fb:{f}:invalidate; it is no key, so no line can show it."""
    subscriber = own.redis().pubsub(ignore_subscribe_messages=True)
    subscriber.subscribe("fb:{default}:invalidate")
    with Api(own.port) as api:
        eventually(lambda: own.redis().pubsub_numsub("fb:{default}:invalidate")[0][1] >= 1)
        for _ in range(5):
            machine = api.new_machine()
            revision = api.get(f"/v1/machines/{machine['id']}").revision[1]
            message = eventually(lambda: subscriber.get_message(timeout=1), 5)
            assert str(revision).encode() in message["data"], message
    subscriber.close()
