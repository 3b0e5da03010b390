# SPDX-License-Identifier: MIT
"""What there must be when all is over: one state everywhere, made of every write that was
acknowledged, but for those that Redis itself lost, and of none that was refused."""
import hashlib
import json
import subprocess
from collections import Counter

import store
from harness import BINARY, day, environment
from load import ACKNOWLEDGED, REFUSED, REJECTED, UNKNOWN


def operations(entry):
    return json.loads(entry.fields[b"change"])


def marks(entry):
    """The texts of the machines and windows that it puts, by what each is of."""
    found = {}
    for operation in operations(entry):
        if operation[0] == "put":
            fields = operation[3]
            found[operation[1], operation[2]] = fields.get("description", fields.get("reason"))
    return found


def deletions(entry):
    return {(o[1], o[2]) for o in operations(entry) if o[0] == "delete"}


class History:
    """The entries that Redis has in the end, and those that it lost on the way."""

    def __init__(self, journal, lost):
        self.journal, self.entries, self.lost = journal, journal.entries, lost
        self.by_token = {entry.token: entry for entry in self.entries}
        self.lost_by_token = {entry.token: entry for entry in lost}
        self.at = {}       # mark -> the tokens of the changes that set it
        self.deleted = {}  # (row, id) -> the entry
        for entry in self.entries:
            assert len(marks(entry)) == 1 or deletions(entry), entry
            for mark in marks(entry).values():
                self.at.setdefault(mark, []).append(entry.token)
            for thing in deletions(entry):
                assert thing not in self.deleted, f"{thing} was deleted twice"
                self.deleted[thing] = entry
        self.lost_marks = {mark for entry in lost for mark in marks(entry).values()}
        self.lost_deletions = {thing for entry in lost for thing in deletions(entry)}

    def check_tokens(self):
        for token in set(self.by_token) & set(self.lost_by_token):
            kept, lost = self.by_token[token], self.lost_by_token[token]
            assert kept.fields == lost.fields, f"{token} named two changes: {lost} and {kept}"

    def _says(self, entry, write):
        if write.mark is not None:
            return write.mark in marks(entry).values()
        return write.deleted in deletions(entry)

    def _alone(self, thing):
        """Was it deleted for itself, not along with its machine?"""
        entry = self.deleted.get(thing)
        return entry is not None and (thing[0] == "machine" or not any(
            row == "machine" for row, _ in deletions(entry)))

    def _check_not_deleted(self, write, writes):
        """Where Redis forgets, an id may be given out again, and another writer deletes it."""
        others = [other for other in writes if other.deleted == write.deleted
                  and other.outcome in (ACKNOWLEDGED, UNKNOWN)]
        assert others or not self._alone(write.deleted), f"{write}: it was deleted"

    def _check_one(self, write, writes):
        """Returns whether it is a write that was acknowledged and that Redis lost."""
        tokens = self.at.get(write.mark, [])
        if write.outcome == ACKNOWLEDGED:
            entry = self.by_token.get(write.token)
            if entry is None or not self._says(entry, write):
                lost = self.lost_by_token.get(write.token)
                assert lost is not None, f"{write} was acknowledged and is lost"
                assert self._says(lost, write), f"{write} is not what {lost} says"
                assert not tokens, f"{write} is there at {tokens}, and Redis lost it"
                return True
            if write.mark is not None:
                assert tokens == [write.token], f"{write} is there at {tokens}"
        elif write.outcome in (REFUSED, REJECTED):
            assert not tokens and write.mark not in self.lost_marks, f"{write}: it is at {tokens}"
            if write.deleted is not None:
                self._check_not_deleted(write, writes)
        else:
            assert write.outcome == UNKNOWN and len(tokens) <= 1, f"{write} is there at {tokens}"
        return False

    def check_writes(self, writes):
        """Returns how many acknowledged writes were lost with what Redis lost."""
        lost = sum(self._check_one(write, writes) for write in writes)
        marked = {write.mark for write in writes}
        assert set(self.at) <= marked, f"nobody wrote {set(self.at) - marked}"
        deleted = {write.deleted for write in writes}
        strangers = [thing for thing in self.deleted
                     if self._alone(thing) and thing not in deleted]
        assert not strangers, f"nobody deleted {strangers}"
        acknowledged = Counter(w.token for w in writes if w.outcome == ACKNOWLEDGED)
        twice = [token for token, count in acknowledged.items() if count > 1]
        assert not twice, f"two writes were told the same token: {twice}"
        return lost

    def check_counters(self, count):
        """The labels in which all count never lose a step: ids 1 to `count`."""
        labels = {i: None for i in range(1, count + 1)}
        for entry in self.entries:
            for operation in operations(entry):
                if operation[:2] == ["put", "machine"] and operation[2] in labels:
                    before, now = labels[operation[2]], int(operation[3]["label"])
                    assert now == (0 if before is None else before + 1), entry
                    labels[operation[2]] = now


class WholeLog(store.Log):
    """The log as it would be had it never been trimmed."""

    def __init__(self, client, history, fleet="default"):
        self.client, self.prefix = client, f"fb:{{{fleet}}}:"
        self.head = {k.decode(): v.decode()
                     for k, v in client.hgetall(self.prefix + "head").items()}
        self.entries = [(b"%d-0" % e.revision, e.fields) for e in history.entries]

    def check_kept(self, length):
        """What is left in Redis is the end of it, and is not longer than was asked for."""
        kept = self.client.xrange(self.prefix + "log")
        assert kept == self.entries[len(self.entries) - len(kept):], "the log is another one"
        assert min(length, len(self.entries)) <= len(kept) <= length + 200, len(kept)


def picture(instance, token):
    """All that an instance shows, as {target: digest}; every response at that token."""
    found = {}

    def look(api, target):
        response = api.get(target)
        assert response.status == 200 and response.revision == token, response
        found[target] = hashlib.blake2b(response.body, digest_size=16).hexdigest()
        return response

    with instance.api() as api:
        machines, cursor = [], ""
        while cursor is not None:
            page = look(api, f"/v1/machines?limit=1000{cursor and f'&cursor={cursor}'}").json()
            machines += page["machines"]
            cursor = page["next"]
        days = f"from={day(-3)}&to={day(10)}"
        for offset in range(-2, 9):
            look(api, f"/v1/availability?date={day(offset)}&limit=1000")
        look(api, f"/v1/availability/calendar?{days}")
        for machine in machines:
            target = f"/v1/machines/{machine['id']}"
            shown = look(api, target).json()
            assert shown == machine, "a list and its machine differ"
            look(api, f"{target}/maintenance")
            look(api, f"{target}/calendar?{days}")
    return found, machines


def check_one_state(cluster, token, history, length):
    """Redis and all instances hold one state, that of the history."""
    assert history.entries[-1].revision == token[1]
    first, machines = picture(cluster.instances[0], token)
    for instance in cluster.instances[1:]:
        other, _ = picture(instance, token)
        differing = sorted(set(first.items()) ^ set(other.items()))
        assert not differing, f"instances 0 and {instance.number}: {differing[:6]}"
    with cluster.redis.client() as client:
        log = WholeLog(client, history)
        log.check_dense()
        log.check_chain()
        log.replay()
        log.check_state()
        log.check_kept(length)
        assert (log.head["epoch"], int(log.head["revision"])) == token
        assert history.journal.epochs[-1][0] == token[0]
    rows = {i: fields for (row, i), fields in log.rows.items() if row == "machine"}
    assert {m["id"] for m in machines} == set(rows)
    for machine in machines:
        for name in ("label", "inventory_id", "type", "description", "updated_at"):
            assert machine[name] == rows[machine["id"]].get(name), machine
    check_checksums(cluster, log.head)
    check_as_an_operator(cluster)


def check_checksums(cluster, head):
    """What the operator's page of each instance says of the state."""
    for instance in cluster.instances:
        with instance.admin() as admin:
            response = admin.get("/status.json")
        assert response.status == 200, response
        status = response.json()
        assert status["epoch"] == head["epoch"] and status["chain"] == head["chain"], status
        assert status["revision"] == int(head["revision"]), status
        assert status["checksum"]["total"] == head["sum"], (instance.number, status, head)


def check_as_an_operator(cluster):
    """`fleetbit verify` says that all are equal."""
    words = [str(BINARY), "verify", "--redis", cluster.redis.url(cluster.instances[0].proxy.port)]
    for instance in cluster.instances:
        words += ["--instance", f"http://127.0.0.1:{instance.admin_port}"]
    found = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found
    assert found.stdout.count("equal ") == 1 + len(cluster.instances), found
