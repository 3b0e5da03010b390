# SPDX-License-Identifier: MIT
"""What Redis holds of a fleet, held against the contract of persistence/store.h: the log is dense
and chained, the state is what the log adds up to, and the interface shows that state."""
import ctypes
import ctypes.util
import json
from datetime import date, timedelta


class _Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


_xxh3 = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0").XXH3_128bits
_xxh3.restype, _xxh3.argtypes = _Hash128, (ctypes.c_char_p, ctypes.c_size_t)


def chain_next(chain, command, change):
    """The chain hash of an entry, as store.h defines it."""
    text = chain + command + change
    value = _xxh3(text, len(text))
    return b"%016x%016x" % (value.high, value.low)


def set_name(word):
    """The name of the set of the rows that are named so."""
    if word == "order":
        return "order_ids"
    if word[-1] == "y":
        return word[:-1] + "ies"
    return word + ("es" if word[-1] == "s" else "s")


def several(ids):
    """One id or an array of them, as operations have them."""
    return ids if isinstance(ids, list) else [ids]


class Log:
    """The entries of a log and the state that they make."""

    def __init__(self, client, fleet="default"):
        prefix = f"fb:{{{fleet}}}:"
        self.client, self.prefix = client, prefix
        while True:  # until nobody has written in between
            self.head = {k.decode(): v.decode() for k, v in client.hgetall(prefix + "head").items()}
            self.entries = client.xrange(prefix + "log")
            if len(self.entries) == int(self.head["revision"]):
                break

    def check_dense(self):
        expected = [b"%d-0" % (i + 1) for i in range(int(self.head["revision"]))]
        assert [entry for entry, _ in self.entries] == expected, "the log is not dense"
        commands = [fields[b"command"] for _, fields in self.entries]
        assert len(commands) == len(set(commands)), "a command landed twice"

    def check_chain(self):
        chain = b"0" * 32
        for entry, fields in self.entries:
            chain = chain_next(chain, fields[b"command"], fields[b"change"])
            assert fields[b"chain"] == chain, f"the chain breaks at {entry}"
        assert self.head["chain"].encode() == chain

    def operations(self):
        """Those of all changes, in their order."""
        for _, fields in self.entries:
            yield from json.loads(fields[b"change"])

    def replay(self):
        self.rows, self.days, self.last, self.histories = {}, {}, {}, {}
        self.archived = set()
        for operation in self.operations():
            getattr(self, "_" + operation[0])(*operation[1:])

    def _put(self, row, identity, fields, *history):
        self.rows[row, identity] = fields
        self.archived.discard((row, identity))
        if history:
            name, milliseconds = history
            self.histories.setdefault((name, identity), []).append((milliseconds, fields))
        self.last[row] = max(self.last.get(row, 0), identity)

    def _delete(self, row, identity):
        del self.rows[row, identity]
        self.archived.discard((row, identity))

    def _days(self, plane, ids, first, count, bit):
        for i in range(count):
            day = (date.fromisoformat(first) + timedelta(days=i)).isoformat()
            taken = self.days.setdefault((plane, day), set())
            (taken.update if bit else taken.difference_update)(several(ids))

    def _archive(self, row, ids):
        self.archived.update((row, identity) for identity in several(ids))

    def _queue(self, _queue, identity):
        assert ("order", identity) in self.rows

    def check_state(self):
        """Every key, and no other, is what the log says."""
        def bits(key):
            value = self.client.get(self.prefix + key) or b""
            return {8 * i + j for i, byte in enumerate(value) for j in range(8)
                    if byte & (128 >> j)}

        keys = {key.decode()[len(self.prefix):] for key in self.client.keys(self.prefix + "*")}
        known = {"head", "log", "orders"}  # the queue is there before its first order
        for row in self.last:
            loaded = {identity for name, identity in self.rows.keys() - self.archived
                      if name == row}
            assert bits(set_name(row)) == loaded, row
            assert int(self.head[f"last_id:{row}"]) == self.last[row]
            known.add(set_name(row))
        for (row, identity), fields in self.rows.items():
            key = f"{row}:{identity}"
            stored = {k.decode(): v.decode()
                      for k, v in self.client.hgetall(self.prefix + key).items()}
            assert stored == fields, key
            known.add(key)
        for (plane, day), taken in self.days.items():
            assert bits(f"{plane}:{day}") == taken, (plane, day)
            known.add(f"{plane}:{day}")
        for (name, identity), entries in self.histories.items():
            key = f"{name}:{identity}"
            stored = [(int(entry.split(b"-")[0]),
                       {k.decode(): v.decode() for k, v in fields.items()})
                      for entry, fields in self.client.xrange(self.prefix + key)]
            assert stored and stored == entries[-len(stored):], key  # the oldest may be trimmed
            known.add(key)
        assert keys <= known, f"keys of nobody: {keys - known}"


def check_store(client, api=None, fleet="default"):
    """Checks all of it, and with `api` that the interface shows the same machines."""
    log = Log(client, fleet)
    log.check_dense()
    log.check_chain()
    log.replay()
    log.check_state()
    if api is not None:
        machines = {m["id"]: m for m in api.pages("/v1/machines?limit=1000")}
        stored = {i: fields for (row, i), fields in log.rows.items() if row == "machine"}
        assert set(machines) == set(stored)
        for identity, fields in stored.items():
            shown = machines[identity]
            for name in ("label", "inventory_id", "type", "creation_date", "updated_at"):
                assert shown[name] == fields[name], (identity, name)
            assert shown["description"] == fields.get("description")
        assert api.get("/v1/machines").revision == (log.head["epoch"], int(log.head["revision"]))
    return log
