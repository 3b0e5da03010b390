# SPDX-License-Identifier: MIT
"""A strict reader of the Prometheus text format, version 0.0.4."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL},?)*)\}})? (\S+)(?: -?\d+)?")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


class Metrics:
    """`types`: name of a family -> its type; `samples`: (name, frozenset of labels) -> value."""

    def __init__(self, text):
        self.types, self.helps, self.samples = {}, {}, {}
        self._family, closed = None, set()
        assert text.endswith("\n"), "the last line has no end"
        for line in text.split("\n")[:-1]:
            assert line == line.strip() and line, f"blanks: {line!r}"
            family = self._read(line)
            if family != self._family:
                assert family not in closed, f"the lines of {family} do not stand together"
                closed.add(self._family)
                self._family = family
        for family, kind in self.types.items():
            assert family in self.helps, f"{family} has no HELP"
            if kind == "histogram":
                self._check_histogram(family)
            if kind == "counter":
                assert family.endswith("_total"), f"the counter {family} is no _total"

    def _read(self, line):
        head = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        if head:
            place = self.helps if head.group(1) == "HELP" else self.types
            assert head.group(2) not in place, f"twice: {line}"
            assert head.group(1) == "HELP" or head.group(3) in TYPES, line
            place[head.group(2)] = head.group(3)
            return head.group(2)
        assert not line.startswith("#"), f"neither HELP nor TYPE: {line}"
        match = SAMPLE.fullmatch(line)
        assert match, f"no sample: {line}"
        name, labels = match.group(1), re.findall(LABEL, match.group(2) or "")
        assert len({key for key, _ in labels}) == len(labels), f"a label twice: {line}"
        value = float(match.group(5).replace("+Inf", "inf"))
        assert not math.isnan(value), line
        key = (name, frozenset(labels))
        assert key not in self.samples, f"a sample twice: {line}"
        self.samples[key] = value
        return self._family_of(name)

    def _family_of(self, name):
        if name in self.types:
            if self.types[name] == "counter":
                assert all(v >= 0 for (n, _), v in self.samples.items() if n == name)
            return name
        for suffix in ("_bucket", "_sum", "_count"):
            family = name[:-len(suffix)] if name.endswith(suffix) else None
            if family in self.types and suffix in SUFFIXES.get(self.types[family], ()):
                return family
        raise AssertionError(f"{name} has no TYPE before it")

    def _check_histogram(self, family):
        series = {}
        for (name, labels), value in self.samples.items():
            if name == family + "_bucket":
                bound = float(dict(labels)["le"].replace("+Inf", "inf"))
                rest = frozenset(item for item in labels if item[0] != "le")
                series.setdefault(rest, []).append((bound, value))
        for labels, buckets in series.items():
            buckets.sort()
            counts = [count for _, count in buckets]
            assert counts == sorted(counts), f"{family}{set(labels)} is not cumulated"
            assert buckets[-1][0] == math.inf, f"{family}{set(labels)} has no +Inf"
            assert self.samples[family + "_count", labels] == counts[-1]
            assert (family + "_sum", labels) in self.samples

    def value(self, name, **labels):
        """The one sample of that name which has these labels."""
        found = self.all(name, **labels)
        assert len(found) == 1, f"{name}{labels}: {len(found)} samples"
        return found[0]

    def all(self, name, **labels):
        wanted = set(labels.items())
        return [value for (n, have), value in self.samples.items() if n == name and wanted <= have]

    def sum(self, name, **labels):
        return sum(self.all(name, **labels))
