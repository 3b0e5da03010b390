# SPDX-License-Identifier: MIT
"""What was measured: figures with their spread, as tables and as JSON."""
import dataclasses
import statistics

PER_CPU, PER_SECOND, P50, P99 = ("requests per second of server CPU", "requests per second",
                                 "latency, 50 %", "latency, 99 %")
COLUMNS = (PER_CPU, PER_SECOND, P50, P99)  # of a table of sides


@dataclasses.dataclass
class Figure:
    """One line of the report, whose median may be held against limits. Those of a `side` that was
    measured beside others are told apart by `what`, one of COLUMNS."""

    what: str
    unit: str
    samples: list
    at_most: float = None
    at_least: float = None
    note: str = ""
    side: str = ""
    is_detail: bool = False  # too much for the table of results

    @property
    def median(self):
        return statistics.median(self.samples)

    def is_limited(self):
        return self.at_most is not None or self.at_least is not None

    def holds(self):
        return ((self.at_most is None or self.median <= self.at_most)
                and (self.at_least is None or self.median >= self.at_least))

    def limit(self):
        return " ".join(f"{sign} {spell(bound)}" for sign, bound
                        in (("≤", self.at_most), ("≥", self.at_least)) if bound is not None)

    def verdict(self):
        return ("holds" if self.holds() else "**missed**") if self.is_limited() else ""

    def spread(self):
        least, most = min(self.samples), max(self.samples)
        return f"{spell(least)} – {spell(most)}" if len(self.samples) > 1 else ""

    def as_json(self):
        return {"what": self.what, "unit": self.unit, "side": self.side, "median": self.median,
                "least": min(self.samples), "most": max(self.samples), "samples": self.samples,
                "at_most": self.at_most, "at_least": self.at_least,
                "holds": self.holds() if self.is_limited() else None, "note": self.note,
                "is_detail": self.is_detail}

    @classmethod
    def from_json(cls, kept):
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: kept[name] for name in names})


def ratios(above, below):
    """Of samples that were taken in pairs."""
    return [a / b for a, b in zip(above, below, strict=True)]


def percentile(samples, share):
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


def spell(value):
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - len(str(int(abs(value)))) + 1)}f}"


def markdown(head, rows, left):
    """The columns, of which those of `left` are not flushed right, are padded so that the table
    can be read as it is."""
    widths = [max(3, *(len(row[i]) for row in [head, *rows])) for i in range(len(head))]
    rule = ["-" * w if i in left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines = []
    for row in [head, rule, *rows]:
        cells = [c.ljust(w) if i in left else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sides_table(figures):
    """A row for each side."""
    cells = {}
    for figure in figures:
        spread = f" ({figure.spread()})" if figure.spread() and figure.what == PER_CPU else ""
        unit = f" {figure.unit}" if figure.unit != "1/s" else ""
        row = cells.setdefault(figure.side, dict.fromkeys(COLUMNS, ""))
        row[figure.what] = spell(figure.median) + unit + spread
    return markdown(["", *COLUMNS], [[side, *row.values()] for side, row in cells.items()], {0})


def plain_table(figures):
    rows = [[figure.what, spell(figure.median), figure.spread(), figure.unit, figure.limit(),
             figure.verdict()] for figure in figures]
    return markdown(["", "median", "least – most", "unit", "limit", ""], rows, {0, 3, 5})


def table(figures):
    sided = [figure for figure in figures if figure.side]
    plain = [figure for figure in figures if not figure.side]
    notes = "\n".join(f"{figure.side or figure.what}: {figure.note}." for figure in figures
                      if figure.note)
    parts = [sides_table(sided) if sided else "", plain_table(plain) if plain else "", notes]
    return "\n\n".join(part for part in parts if part)
