# SPDX-License-Identifier: MIT
"""What was measured: figures with their spread, as a table and as JSON."""
import dataclasses
import statistics


@dataclasses.dataclass
class Figure:
    """One line of the report. `limit`: the median may be at most that."""

    what: str
    unit: str
    samples: list
    limit: float = None
    note: str = ""

    @property
    def median(self):
        return statistics.median(self.samples)

    def holds(self):
        return self.limit is None or self.median <= self.limit

    def as_json(self):
        return {"what": self.what, "unit": self.unit, "median": self.median,
                "least": min(self.samples), "most": max(self.samples), "samples": self.samples,
                "limit": self.limit, "holds": self.holds() if self.limit else None,
                "note": self.note}


def ratios(above, below):
    """Of samples that were taken in pairs."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spell(value):
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - len(str(int(abs(value)))) + 1)}f}"


def table(figures):
    """Markdown; the columns are padded so that it can be read as it is."""
    head = ["", "median", "least – most", "unit", "limit", ""]
    rows = []
    for figure in figures:
        spread = f"{spell(min(figure.samples))} – {spell(max(figure.samples))}"
        rows.append([figure.what, spell(figure.median),
                     spread if len(figure.samples) > 1 else "", figure.unit,
                     "" if figure.limit is None else f"≤ {spell(figure.limit)}",
                     "" if figure.limit is None else "holds" if figure.holds() else "**missed**"])
    widths = [max(3, *(len(row[i]) for row in [head, *rows])) for i in range(len(head))]
    right = (False, True, True, False, True, False)
    rule = ["-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right)]
    lines = []
    for row in [head, rule, *rows]:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"{figure.what}: {figure.note}." for figure in figures if figure.note]
    return "\n".join(lines + ([""] + notes if notes else []))
