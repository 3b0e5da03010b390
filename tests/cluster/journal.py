# SPDX-License-Identifier: MIT
"""The history of a fleet out of the append-only file of its Redis: every change that was committed,
also those that the log was trimmed of; and the end of that file taken away."""
import os


class Entry:
    """One change, and the token that it had."""

    __slots__ = ("epoch", "revision", "fields")

    def __init__(self, epoch, revision, fields):
        self.epoch, self.revision, self.fields = epoch, revision, fields

    @property
    def token(self):
        return self.epoch, self.revision

    @property
    def command(self):
        return self.fields[b"command"]

    def __repr__(self):
        return f"<{self.epoch}.{self.revision} {self.fields[b'change'].decode()}>"


def commands(data):
    """The commands of an append-only file, each with its end, until one is not whole."""
    at, find = 0, data.find
    while at < len(data):
        words, line = [], find(b"\r\n", at)
        if line < 0:
            return
        assert data[at:at + 1] == b"*", f"no command at {at}: {data[at:at + 40]!r}"
        count, at = int(data[at + 1:line]), line + 2
        for _ in range(count):
            line = find(b"\r\n", at)
            if line < 0:
                return
            end = line + 2 + int(data[at + 1:line])
            if end + 2 > len(data):
                return
            words.append(data[line + 2:end])
            at = end + 2
        yield at, words


def units(data):
    """(end, commands) of what Redis did in one step: a transaction, or a command by itself."""
    open_unit = None
    for end, words in commands(data):
        name = words[0].upper()
        if name == b"MULTI":
            open_unit = []
        elif name == b"EXEC":
            yield end, open_unit
            open_unit = None
        elif open_unit is not None:
            open_unit.append(words)
        else:
            yield end, [words]


class Journal:
    """All of it: `entries`, oldest first, and `epochs` as (epoch, revision at which it began)."""

    def __init__(self, path, fleet="default"):
        self.log, self.head = f"fb:{{{fleet}}}:log".encode(), f"fb:{{{fleet}}}:head".encode()
        self.entries, self.epochs = [], []
        self.steps = []  # (end, the entries before it)
        self.end = 0     # of what is whole
        for end, unit in units(path.read_bytes()):
            for words in unit:
                self._take(words)
            self.steps.append((end, len(self.entries)))
            self.end = end

    def _take(self, words):
        name = words[0].upper()
        if name == b"HSET" and words[1] == self.head:
            fields = dict(zip(words[2::2], words[3::2]))
            if b"epoch" in fields:
                revision = self.entries[-1].revision if self.entries else 0
                self.epochs.append((fields[b"epoch"].decode(), revision))
        elif name == b"XADD" and words[1] == self.log:
            at = next(i for i, word in enumerate(words) if i > 1 and word.endswith(b"-0"))
            fields = dict(zip(words[at + 1::2], words[at + 2::2]))
            self.entries.append(Entry(self.epochs[-1][0], int(words[at][:-2]), fields))


def cut_end(path, count, bare=False):
    """Takes away what is not whole, and then whole steps until at least `count` entries are gone
    (fewer where there are not so many); where `bare`, also what followed upon the last that stays,
    such as the begin of an epoch. Returns those entries, and the epochs that went with them."""
    journal = Journal(path)
    end, kept = journal.end, len(journal.entries)
    if count > 0:
        wanted = max(len(journal.entries) - count, 0)
        end, kept = max(step for step in journal.steps if step[1] <= wanted)
        if bare:
            end = min(step[0] for step in journal.steps if step[1] == kept)
    os.truncate(path, end)
    left = Journal(path).epochs if count > 0 else journal.epochs
    return journal.entries[kept:], [epoch for epoch, _ in journal.epochs[len(left):]]
