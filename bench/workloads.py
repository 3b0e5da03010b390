# SPDX-License-Identifier: MIT
"""What wrk asks for. A workload is one entry of WORKLOADS; load.py runs them all alike."""
import dataclasses
import datetime
import random
import typing


def day(offset):
    """A date that many days after today, in the fleet's zone, which is UTC here."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (today + datetime.timedelta(days=offset)).isoformat()


def months():
    """Very many different ranges of 28 to 31 days, with pages of 20 to 59, in no order."""
    targets = [f"/v1/availability?from={day(first)}&to={day(first + days - 1)}&limit={limit}"
               for limit in range(20, 60) for days in range(28, 32) for first in range(700)]
    random.Random(1).shuffle(targets)
    return targets


@dataclasses.dataclass(frozen=True)
class Workload:
    title: str
    targets: typing.Callable[[], list]  # one: it is sent again and again; else each of them once
    fleet: str = "few"  # how many machines: "few" or "many" (see run.py)
    connections: int = 64
    conditional: bool = False  # with the ETag of the answer as If-None-Match
    against: tuple = ()  # names of PEERS
    limit: float = None  # of fleetbit's CPU per request, as a multiple of that of `against`


WORKLOADS = {
    "availability": Workload(
        "a page of 20 of those free on a day",
        lambda: [f"/v1/availability?date={day(30)}&limit=20"],
        against=("bare libh2o",), limit=1.25),
    "one-machine": Workload(
        "one machine", lambda: ["/v1/machines/1"], against=("bare libh2o",)),
    "not-modified": Workload(
        "the page of availability, known to the client",
        lambda: [f"/v1/availability?date={day(30)}&limit=20"],
        conditional=True, against=("bare libh2o",)),
    "range": Workload(
        "a page of those free on all days of a month, no range asked for twice",
        months, fleet="many", connections=4),
}
