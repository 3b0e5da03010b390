# SPDX-License-Identifier: MIT
"""What a test wants to say of the interface in one word."""
import contextlib
import re

from harness import day, eventually, unique
from http1 import Connection

MACHINE_MEMBERS = ["id", "label", "inventory_id", "type", "price_per_day", "description",
                   "in_maintenance", "maintenance_start_date", "maintenance_end_date",
                   "creation_date", "updated_at"]
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Api(Connection):
    def new_machine(self, **members):
        body = {"label": "a machine", "inventory_id": unique(), "type": "excavator", **members}
        response = self.post("/v1/machines", body)
        assert response.status == 201, response
        return response.json()

    def machine(self, machine_id):
        response = self.get(f"/v1/machines/{machine_id}")
        assert response.status == 200, response
        return response.json()

    def new_window(self, machine_id, **members):
        response = self.post(f"/v1/machines/{machine_id}/maintenance", members)
        assert response.status == 201, response
        return response.json()

    def new_order(self, headers=None, **members):
        body = {"user_id": 7, "item_ids": [1], "total_amount": 10, **members}
        response = self.post("/v1/orders", body, headers)
        assert response.status == 202, response
        return response.json()

    def order(self, order_id):
        return self.read(f"/v1/orders/{order_id}")

    def until_order(self, order_id, *states):
        """Waits until the order is in one of these states; the order."""
        def found():
            order = self.order(order_id)
            return order if order["status"] in states else None

        return eventually(found)

    def read(self, target):
        response = self.get(target)
        assert response.status == 200, response
        return response.json()

    def pages(self, target, member="machines", between=None):
        """All of a list, page by page; `between` is called between two of them."""
        found, cursor = [], None
        while True:
            joint = "&" if "?" in target else "?"
            page = self.read(target + (f"{joint}cursor={cursor}" if cursor else ""))
            found += page[member]
            cursor = page["next"]
            if cursor is None:
                return found
            if between:
                between()

    def picture(self, machine_id):
        """All that shows of a machine, and the revision."""
        targets = [f"/v1/machines/{machine_id}", f"/v1/machines/{machine_id}/maintenance",
                   f"/v1/machines/{machine_id}/calendar?from={day(-5)}&to={day(20)}",
                   f"/v1/availability?date={day(0)}", "/v1/machines?limit=1000"]
        answers = [self.get(target) for target in targets]
        return [(a.status, a.revision, a.body) for a in answers]

    @contextlib.contextmanager
    def unchanged(self, machine_id):
        """Whatever is sent within, the machine and the fleet stay as they are."""
        before = self.picture(machine_id)
        yield
        assert self.picture(machine_id) == before


def problem(response, status, field=None):
    """Holds a response against RFC 9457 and what fleetbit promises beyond it; returns it."""
    assert response.status == status, response
    assert response.headers["content-type"] == "application/problem+json", response
    document = response.json()
    assert set(document) >= {"type", "title", "status", "detail", "errors", "request_id"}, document
    for member in ("type", "title", "detail", "request_id"):
        assert isinstance(document[member], str) and document[member], document
    assert document["status"] == status, document
    assert document["request_id"] == response.headers["x-request-id"], response
    assert isinstance(document["errors"], list), document
    for error in document["errors"]:
        assert set(error) == {"field", "detail"}, document
        assert isinstance(error["field"], str) and isinstance(error["detail"], str), document
        assert error["detail"], document
    if field is not None:
        assert field in [error["field"] for error in document["errors"]], document
    if status == 503:
        assert int(response.headers["retry-after"]) >= 1, response
    return document
