"""Seconds as bars, an SVG for each order of the file: run with the Python of the environment that has matplotlib.

python draw.py FOLDER < peers.json
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

OURS, THEIRS = "#0b6e75", "#9aa5ab"


def draw(order: str, times: dict[str, dict[str, float]], records: int, to: Path) -> None:
    """Bars from the quickest to the slowest, each with its seconds and its ratio to the bare upsert."""
    names = sorted(times, key=lambda name: -times[name]["seconds"])
    figure = Figure(figsize=(8, 0.5 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    seconds = [times[name]["seconds"] for name in names]
    axes.barh(names, seconds, color=[OURS if name.startswith("Bulkhead") else THEIRS for name in names])
    for place, name in enumerate(names):
        axes.text(seconds[place], place, f"  {seconds[place]:.1f} s   × {times[name]['ratio']:.2f}", va="center")
    axes.set_xlim(0, max(seconds) * 1.25)
    axes.set_xlabel("seconds, and times the bare upsert")
    axes.set_title(f"{records:,} records into PostgreSQL, {order}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(to, metadata={"Date": None})


def main() -> None:
    """Draw what stands on standard input."""
    mpl.rcParams["svg.hashsalt"] = "bulkhead"  # the same figures give the same file
    folder = Path(sys.argv[1])
    found = json.load(sys.stdin)
    for order, times in found["orders"].items():
        draw(order, times, found["records"], folder / f"peers-{order.replace(' ', '-')}.svg")


if __name__ == "__main__":
    main()
