"""All benchmarks in one run: `python -m tests.bench [--quick] [--only NAME]`; `make bench` calls it.

Prints every figure in one table and writes bench-output/report.json. Exits with 1 where an expectation was missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from softswitch.stores.sqlite import open_sqlite
from tests.bench import (
    bench_calls,
    bench_media,
    bench_memory,
    bench_overload,
    bench_packets,
    bench_recorded,
    bench_soak,
    bench_store,
)
from tests.bench.report import REPORT, Figure, save, show


def calls(quick: bool) -> list[Figure]:
    """Signalling beside Sippy."""
    return bench_calls.measure(bench_calls.QUICK if quick else bench_calls.Plan())


def media(quick: bool) -> list[Figure]:
    """Relayed packets beside rtpengine."""
    return bench_media.measure((200,), 4.0) if quick else bench_media.measure()


def packets(quick: bool) -> list[Figure]:
    """Codecs and SRTP beside the kernel's part of a packet and libsrtp's own ciphers."""
    return bench_packets.measure((100, 1000), 2) if quick else bench_packets.measure()


def store(quick: bool) -> list[Figure]:
    """What a call pays for its statements."""
    bindings, times = (100_000, 2_000) if quick else (1_000_000, 20_000)
    with tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder:
        path = str(Path(folder) / "switch.db")
        bench_store.fill(path, bindings)
        database = open_sqlite(path)
        figures = []
        medians = {}
        for name, operation in bench_store.operations(database, bindings).items():
            taken = sorted(bench_store.measure(operation, times))
            note = f"p99 {taken[int(len(taken) * 0.99)]:.0f} µs, of {bindings} bindings"
            medians[name] = taken[len(taken) // 2]
            figures.append(Figure("store", name, "median", medians[name], "µs", None, note))
        database.close()
    ratio = medians[bench_store.CLOSE_TOGETHER] / bench_store.TOGETHER / medians[bench_store.CLOSE_ONE]
    figures.append(Figure("store", bench_store.CLOSE_TOGETHER, "each, by what one alone takes", ratio, "times"))
    return figures


def recorded(quick: bool) -> list[Figure]:
    """Recorded calls at once."""
    return bench_recorded.measure(*((50, 10.0) if quick else (200, 60.0)))


def overload(quick: bool) -> list[Figure]:
    """Calls completed while too many are offered."""
    return bench_overload.measure(bench_overload.QUICK if quick else bench_overload.Plan())


def memory(quick: bool) -> list[Figure]:
    """Memory of idle calls."""
    return bench_memory.measure([(1000, False)] if quick else bench_memory.PLANS)


def soak(quick: bool) -> list[Figure]:
    """Memory while calls come and go."""
    return bench_soak.measure(15_000 if quick else 100_000)


BENCHES: dict[str, Callable[[bool], list[Figure]]] = {
    "calls": calls,
    "media": media,
    "packets": packets,
    "store": store,
    "recorded": recorded,
    "overload": overload,
    "memory": memory,
    "soak": soak,
}


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    parser.add_argument("--only", choices=BENCHES, help="only one of them")
    chosen = parser.parse_args()
    figures = []
    for name, bench in BENCHES.items():
        if chosen.only in (None, name):
            print(f"{name} …", file=sys.stderr)
            figures += bench(chosen.quick)
    show(figures)
    save(figures)
    print(f"kept in {REPORT}")
    return 1 if any(figure.good is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
