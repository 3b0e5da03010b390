#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The results of ./dev bench as a table for the README and as a plot. By itself it makes both anew
from results that were kept, and with --publish puts them into the README:

    bench/report.py [--publish] build/bench/results/NAME.json...

Of several, the runs of the later ones join those of the first, or take their place."""
import argparse
import html
import json
import os
import sys

from figures import PER_CPU, Figure, markdown, spell

WIDTH, LABELS, BARS, MARGIN = 860, 270, 420, 16
ROW, BAR, HEADING = 24, 15, 44
OURS, YARDSTICK, OTHER = "#d9480f", "#868e96", "#4c8dca"
YARDSTICKS = ("raw epoll", "bare libh2o", "memcpy of the bitmaps")
# Runs whose sides are shown beside each other; after them come the workloads of fleetbit alone.
COMPARED = ("availability", "http2", "one-machine")
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
README, PLOT = os.path.join(TOP, "README.md"), os.path.join(TOP, "bench", "figures.svg")
BEGIN, END = "<!-- bench/report.py --publish -->\n", "<!-- to here -->\n"


def figures_of(kept):
    """Run to its title and figures."""
    return {name: (run["title"], [Figure.from_json(figure) for figure in run["figures"]])
            for name, run in kept["runs"].items()}


# ---- The table ----------------------------------------------------------------------------------


def is_result(figure):
    """A figure that has a limit, or says how fleetbit stands to another."""
    return figure.is_limited() or (not figure.side and not figure.is_detail
                                   and figure.unit in ("×", "instructions"))


def summary(kept):
    rows = []
    for title, figures in figures_of(kept).values():
        for figure in filter(is_result, figures):
            spread = f" ({figure.spread()})" if figure.spread() else ""
            rows.append([title, figure.what, f"{spell(figure.median)} {figure.unit}{spread}",
                         figure.limit(), figure.verdict()])
            title = ""
    facts = kept["environment"]
    quick = ", quick: too short to be worth comparing" if facts["quick"] else ""
    joined = "".join(f" {names}: of a run by themselves." for names in kept.get("joined", []))
    return (f"`./dev bench`, {facts['date'][:10]}, {facts['fleetbit']}, {facts['cpu']}, "
            f"{facts['cores']} cores, Linux {facts['kernel']}, medians (least – most) of "
            f"{facts['rounds']} rounds{quick}.{joined}\n\n"
            + markdown(["workload", "what", "measured", "limit", ""], rows, {0, 1, 4}) + "\n")


# ---- The plot -----------------------------------------------------------------------------------


def colour_of(side):
    return OURS if side.startswith("fleetbit") else YARDSTICK if side in YARDSTICKS else OTHER


def panels(kept):
    """(heading, [(label, colour, figure)])"""
    ours = []
    for name, (title, figures) in figures_of(kept).items():
        sides = [figure for figure in figures if figure.side and figure.what == PER_CPU]
        label = f"{title.partition(':')[0]}: {name}"
        ours += [(label, OURS, figure) for figure in sides if figure.side == "fleetbit"]
        if name in COMPARED:
            yield (title.partition(": ")[2],
                   [(figure.side, colour_of(figure.side), figure)
                    for figure in sorted(sides, key=lambda figure: -figure.median)])
    if ours:
        yield "the workloads of fleetbit", ours


def text(x, y, content, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(content)}</text>'


def draw_bar(y, label, colour, figure, scale):
    left, middle = MARGIN + LABELS, y + BAR / 2
    least, most = (left + scale * value for value in (min(figure.samples), max(figure.samples)))
    end = left + scale * figure.median
    return [
        text(left - 8, y + 12, label, ' text-anchor="end"'),
        f'<rect x="{left}" y="{y}" width="{end - left:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<path d="M{least:.1f} {middle}H{most:.1f}" stroke="#212529" stroke-width="1.5"/>',
        text(max(end, most) + 8, y + 12, spell(figure.median)),
    ]


def plot(kept):
    lines, y = [], MARGIN + 20
    lines.append(text(MARGIN, y, "fleetbit: requests per second of server CPU", ' class="title"'))
    y += 20
    lines.append(text(MARGIN, y, "grey: yardsticks, which do no more than they must; blue: others",
                      ' class="small"'))
    for heading, bars in panels(kept):
        y += HEADING
        lines.append(text(MARGIN, y - 12, heading, ' class="heading"'))
        scale = BARS / max(max(figure.samples) for _, _, figure in bars)
        for label, colour, figure in bars:
            lines += draw_bar(y, label, colour, figure, scale)
            y += ROW
    facts = kept["environment"]
    y += 24
    quick = "; QUICK: too short to be worth comparing" if facts["quick"] else ""
    lines.append(text(MARGIN, y, f"Medians, and from least to most, of {facts['rounds']} rounds; "
                      f"{facts['cpu']}, {facts['date'][:10]}{quick}", ' class="small"'))
    style = ("text{font:13px sans-serif;fill:#212529}.title{font-size:18px;font-weight:bold}"
             ".heading{font-weight:bold}.small{font-size:11px;fill:#495057}")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + MARGIN}" '
        f'viewBox="0 0 {WIDTH} {y + MARGIN}">',
        "<!-- SPDX-License-Identifier: MIT -->", f"<style>{style}</style>",
        '<rect width="100%" height="100%" fill="#ffffff"/>', *lines, "</svg>", ""])


def write(kept, path):
    """Beside the JSON: PATH.md and PATH.svg."""
    for extension, content in ((".md", summary(kept)), (".svg", plot(kept))):
        with open(path + extension, "w", encoding="utf-8") as file:
            file.write(content)


def publish(kept):
    """The table between two marks of the README, and the plot that it shows."""
    with open(README, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{README} has no place for the table: {BEGIN.strip()} … {END.strip()}")
    with open(README, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + summary(kept) + END + after)
    with open(PLOT, "w", encoding="utf-8") as file:
        file.write(plot(kept))


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def join(kept, later):
    kept["runs"].update(later["runs"])
    letters = sorted({run["title"].partition(":")[0] for run in later["runs"].values()})
    kept.setdefault("joined", []).append(", ".join(letters))


def main():
    parser = argparse.ArgumentParser(description="Draws the results of ./dev bench anew.")
    parser.add_argument("results", nargs="+", metavar="RESULTS.json")
    parser.add_argument("--publish", action="store_true",
                        help="put the table into the README, and the plot beside it")
    options = parser.parse_args()
    kept = read(options.results[0])
    for path in options.results[1:]:
        join(kept, read(path))
    write(kept, os.path.splitext(options.results[-1])[0])
    if options.publish:
        publish(kept)


if __name__ == "__main__":
    main()
