"""The overload curve as a picture: calls offered a second against calls completed and refused, and set-up times.

Called by bench_overload.py. Matplotlib is needed for nothing else, so it is imported here and only when it draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SIZE = (8.0, 6.5)  # inches
RESOLUTION = 120  # dots an inch


class Point(NamedTuple):
    """One step: all rates in calls a second."""

    offered: float
    completed: float
    refused: float
    setup_ms: float
    busy: float  # share of one processor that the switch took


def draw(points: Sequence[Point], sustained: float, title: str, path: Path) -> None:
    """Write the PNG file `path`."""
    from matplotlib.figure import Figure

    points = sorted(points)
    offered = [point.offered for point in points]
    figure = Figure(figsize=SIZE, dpi=RESOLUTION, layout="constrained")
    rates, times = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    figure.suptitle(title)
    rates.plot(offered, offered, ":", color="grey", label="offered")
    rates.plot(offered, [point.completed for point in points], "o-", color="tab:green", label="completed")
    rates.plot(offered, [point.refused for point in points], "s--", color="tab:orange", label="refused with 503")
    rates.axvline(sustained, color="tab:blue", linewidth=0.8, label="carried without a refusal")
    rates.set_ylabel("calls a second")
    rates.set_ylim(bottom=0)
    rates.legend()
    times.plot(offered, [point.setup_ms for point in points], "o-", color="tab:red")
    times.set_ylabel("mean set-up time, ms", color="tab:red")
    times.set_xlabel("calls offered a second")
    times.set_ylim(bottom=0)
    load = times.twinx()
    load.plot(offered, [100 * point.busy for point in points], "^--", color="tab:purple")
    load.set_ylabel("processor time, %", color="tab:purple")
    load.set_ylim(0, 105)
    for axes in (rates, times):
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
