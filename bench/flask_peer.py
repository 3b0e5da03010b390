# SPDX-License-Identifier: MIT
"""The application that fleetbit's users come from: the machines that are free on a date, out of a
database, by a query for each request. It is written as such applications are, and nothing is left
out of it to make it slow: an index fits the query, each thread keeps its connection, and the rows
go to JSON as they are.

    FLEET_DATABASE=fleet.db gunicorn --worker-class gthread --threads 4 flask_peer:app"""
import datetime
import os
import sqlite3
import threading

import flask

LIMIT_MAX = 1000
FREE = """FROM machines WHERE NOT EXISTS (
    SELECT 1 FROM maintenance WHERE maintenance.machine_id = machines.id
    AND maintenance.start_date <= :date AND maintenance.end_date >= :date)"""

app = flask.Flask(__name__)
app.json.sort_keys = False
local = threading.local()


def database():
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(os.environ["FLEET_DATABASE"])
        local.connection.row_factory = sqlite3.Row
    return local.connection


@app.get("/v1/availability")
def availability():
    try:
        date = datetime.date.fromisoformat(flask.request.args["date"]).isoformat()
        limit = min(int(flask.request.args.get("limit", 100)), LIMIT_MAX)
        after = int(flask.request.args.get("cursor", 0))
    except (KeyError, ValueError):
        return flask.jsonify(error="date, limit or cursor is wrong"), 400
    wanted = {"date": date, "limit": limit, "after": after}
    count = database().execute(f"SELECT COUNT(*) {FREE}", wanted).fetchone()[0]
    rows = database().execute(f"SELECT * {FREE} AND id > :after ORDER BY id LIMIT :limit", wanted)
    machines = [dict(row, in_maintenance=bool(row["in_maintenance"])) for row in rows]
    following = machines[-1]["id"] if len(machines) == limit else None
    return flask.jsonify(date=date, count=count, machines=machines, next=following)
