# SPDX-License-Identifier: MIT
"""What became of orders, by replaying the log: every step that an order has taken, and who held
which machine on which day, at every moment."""
import json
from datetime import date, datetime, timedelta

from store import Log

FINAL = {"COMPLETED", "REJECTED", "CANCELLED"}
STEPS = {None: {"PENDING"}, "PENDING": {"PENDING", "PROCESSING", "REJECTED", "CANCELLED"},
         "PROCESSING": {"COMPLETED", "REJECTED", "CANCELLED"}}


def days_between(first, last):
    first, last = date.fromisoformat(first), date.fromisoformat(last)
    return [(first + timedelta(days=i)).isoformat() for i in range((last - first).days + 1)]


def holds_days(fields):
    """As resources/orders.h says it."""
    if "start_date" not in fields:
        return False
    status = fields["status"]
    return status in ("PROCESSING", "COMPLETED") or (status == "PENDING" and "hold_until" in fields)


class Bookings:
    """`orders`: id -> its fields; `steps`: id -> the states that it had; `held`: (machine, day) ->
    order. Fails where an order takes a step that there is not, or a day that is not free."""

    def __init__(self, client, fleet="default"):
        self.log = Log(client, fleet)
        self.orders, self.steps, self.held, self.maintained = {}, {}, {}, set()
        for _, fields in self.log.entries:
            for operation in json.loads(fields[b"change"]):
                self._take(*operation)
        self.log.replay()

    def _take(self, kind, name, *rest):
        if kind == "put" and name == "order":
            self._put(*rest)
        elif kind == "days" and name == "maintenance":
            machines, first, count, bit = rest
            change = self.maintained.update if bit else self.maintained.difference_update
            last = (date.fromisoformat(first) + timedelta(days=count - 1)).isoformat()
            change((machine, day) for machine in listed(machines)
                   for day in days_between(first, last))

    def _put(self, order, fields):
        before = self.orders.get(order)
        was = before["status"] if before else None
        assert fields["status"] in STEPS.get(was, ()), (order, was, fields)
        if before:
            assert fields["item_ids"] == before["item_ids"], (order, before, fields)
        held, holds = bool(before) and holds_days(before), holds_days(fields)
        if held and not holds:
            for place in self.places(fields):
                assert self.held.pop(place) == order, place
        if holds and not held:
            for place in self.places(fields):
                assert place not in self.held, f"{place}: {self.held[place]} and {order}"
                assert place not in self.maintained, f"{place} is in maintenance: {order}"
                self.held[place] = order
        self.orders[order] = fields
        self.steps.setdefault(order, []).append(fields["status"])

    @staticmethod
    def places(fields):
        return [(machine, day) for machine in json.loads(fields["item_ids"])
                for day in days_between(fields["start_date"], fields["end_date"])]

    def check_ends(self):
        """Every order is at its end, and came there once."""
        for order, steps in self.steps.items():
            assert steps[-1] in FINAL and sum(step in FINAL for step in steps) == 1, (order, steps)
            assert steps.count("PROCESSING") <= 1, (order, steps)
        assert sorted(self.orders) == list(range(1, len(self.orders) + 1)), "ids are not dense"

    def check_days(self):
        """The bitmaps of the log are what the orders hold; and Redis has what the log says."""
        by_day = {}
        for machine, day in self.held:
            by_day.setdefault(day, set()).add(machine)
        booked = {day: taken for (plane, day), taken in self.log.days.items()
                  if plane == "booked" and taken}
        assert booked == by_day
        self.log.check_dense()
        self.log.check_chain()
        self.log.check_state()

    def check_calendars(self, api, machines, first, last):
        for machine in machines:
            shown = api.read(f"/v1/machines/{machine}/calendar?from={first}&to={last}")["days"]
            assert [day["date"] for day in shown] == days_between(first, last)
            for day in shown:
                holder = self.held.get((machine, day["date"]))
                assert day["booked"] == (holder is not None), (machine, day)
                assert day["order_id"] == holder, (machine, day)

    def metrics(self):
        """What /metrics should say."""
        def count(status):
            return sum(fields["status"] == status for fields in self.orders.values())

        times = [(instant(fields["completed_at"]) - instant(fields["started_at"])).total_seconds()
                 for fields in self.orders.values() if fields["status"] == "COMPLETED"]
        mean = sum(times) / len(times) if times else 0
        return {"avg_processing_time": f"{mean:.4f}", "pending_count": count("PENDING"),
                "processed_count": count("COMPLETED"), "processing_count": count("PROCESSING"),
                "total_orders": len(self.orders)}


def listed(ids):
    return ids if isinstance(ids, list) else [ids]


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
