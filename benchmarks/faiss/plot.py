"""How the cost of a collection grows with its records, drawn from the JSON of the rows `scale` and `million-...`.

python -m benchmarks.faiss.plot scale.json million-hnsw.json million-sq8.json --to benchmarks/faiss/scale.svg

Needs matplotlib, which nothing else here does: `pip install matplotlib`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.faiss.rows.scale import LINK_BYTES, VECTOR_BYTES

ROWS = ("scale", "million-hnsw", "million-sq8")
LABEL = re.compile(r"(?P<kind>\w+), (?P<records>\d+): (?P<measure>.+)")

Curve = Mapping[int, float]
"""A measure by number of records."""


def curves(documents: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Return the measures of all documents, each as one curve a kind of index; a later document wins."""
    found: defaultdict[str, defaultdict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for document in documents:
        for row in ROWS:
            for each in document["rows"].get(row, {}).get("figures", ()):
                if label := LABEL.fullmatch(each["label"]):
                    curve = found[f"{label['measure']}, {each['unit']}"][label["kind"]]
                    curve[int(label["records"])] = median(each["rounds"])
    return {measure: dict(kinds) for measure, kinds in found.items()}


def draw(measures: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw one panel a measure, a line a kind of index, over the number of records."""
    columns = 2
    rows = -(-len(measures) // columns)
    drawing = Figure(figsize=(9, 2.6 * rows), layout="constrained")
    panels = drawing.subplots(rows, columns, squeeze=False).flatten()
    for panel, (measure, kinds) in zip(panels, measures.items(), strict=False):
        _draw_panel(panel, measure, kinds)
    for panel in panels[len(measures) :]:
        panel.set_axis_off()
    return drawing


def _draw_panel(panel: Axes, measure: str, kinds: Mapping[str, Curve]) -> None:
    for kind, curve in kinds.items():
        counts = sorted(curve)
        panel.plot(counts, [curve[count] for count in counts], marker="o", label=kind)
    if measure.startswith("resident"):
        panel.axhline(VECTOR_BYTES + LINK_BYTES, color="grey", linestyle="dotted", label="vectors and graph")
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.set_title(measure, fontsize="medium")
    panel.set_xlabel("records")
    panel.legend(fontsize="small")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the files, write the drawing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faiss.plot", description=__doc__.splitlines()[0])
    parser.add_argument("json", nargs="+", type=Path, help="what `--json` of the benchmark wrote")
    parser.add_argument("--to", type=Path, required=True, help="the SVG file to write")
    options = parser.parse_args(arguments)
    measures = curves(json.loads(path.read_text(encoding="utf-8")) for path in options.json)
    if not measures:
        parser.error("no figures of the rows scale and million-... in these files")
    # The same figures are to give the same file.
    mpl.rcParams["svg.hashsalt"] = "vecgate"
    draw(measures).savefig(options.to, metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
