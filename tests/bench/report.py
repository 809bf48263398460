"""Figures of the benchmarks: gathered, shown as one table, kept as JSON. Filled by the benches beside it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPORT = Path("bench-output") / "report.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `good` is None where nothing was expected; `note` says what was, or how it came about."""

    bench: str
    subject: str
    name: str
    value: float
    unit: str
    good: bool | None = None
    note: str = ""

    @property
    def shown(self) -> str:
        """The value with as many digits as mean something."""
        return f"{self.value:,.0f}" if self.value == round(self.value) or self.value >= 1000 else f"{self.value:.2f}"


def show(figures: Iterable[Figure]) -> None:
    """Print all figures as one table."""
    table = Table(title=f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    for column in ("bench", "subject", "figure"):
        table.add_column(column)
    table.add_column("value", justify="right")
    for column in ("unit", "", "note"):
        table.add_column(column)
    last = ""
    for figure in figures:
        if last and figure.bench != last:
            table.add_section()
        mark = "" if figure.good is None else "[green]yes[/]" if figure.good else "[red]NO[/]"
        table.add_row(figure.bench, figure.subject, figure.name, figure.shown, figure.unit, mark, figure.note)
        last = figure.bench
    Console(width=None if Console().is_terminal else 150).print(table)


def save(figures: Iterable[Figure], path: Path = REPORT) -> None:
    """Write all figures with the moment and the machine they belong to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "figures": [asdict(figure) for figure in figures],
    }
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
