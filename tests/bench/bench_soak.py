"""A hundred thousand short calls: memory is flat after warm-up, and when they are over nothing is left of them.

`python -m tests.bench.bench_soak [--calls 100000] [--rate 200] [--null]`. SIPp calls SIPp through the switch and its
media server. Memory (PSS) of both processes is read every few seconds; the slope is a least-squares line over what was
read after the warm-up, in which caches fill and the transactions of 64*T1 add up. What the switch holds is its metric.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from demo.switch_process import free_port
from tests.bench.memory import memory_of
from tests.bench.report import Figure, show
from tests.bench.sipp_load import Stretch, place_calls
from tests.bench.switches import DIALLED, Subject, our_switch

BENCH = "soak"
RATE = 200.0  # calls a second
WARM_UP_SHARE, WARM_UP_LEAST_S = 0.3, 45.0  # of the run that is not looked at
FLAT = 10.0  # KB in a thousand calls: 10 bytes a call
EVERY_S = 2.0
OVER_S = 40.0  # 64*T1 and a little


class Sample(NamedTuple):
    """Memory after so many calls, in KB."""

    calls: float
    signalling: int
    media: int


@dataclass(frozen=True, slots=True)
class Soak:
    """What was seen."""

    name: str
    load: Stretch
    samples: Sequence[Sample]  # behind the warm-up
    held: float  # transactions, sessions, tasks and endpoints, when all was over
    cdrs: int


def measure(calls: int = 100_000, rate: float = RATE, *, media: bool = True) -> list[Figure]:
    """One run."""
    with (
        tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder,
        our_switch(Path(folder), media=media, max_lag_s=0) as subject,
    ):
        return list(_figures(_run(subject, Path(folder), calls, rate)))


def _run(subject: Subject, folder: Path, calls: int, rate: float) -> Soak:
    print(f"soak: {subject.name}, {calls} calls at {rate:g}/s …", file=sys.stderr)
    with ThreadPoolExecutor(1) as pool:
        placed = pool.submit(
            place_calls,
            folder,
            dialled=DIALLED,
            switch_port=subject.port,
            caller_port=free_port(),
            callee_port=subject.callee_port,
            rate=rate,
            seconds=calls / rate,
        )
        samples = list(_watched(subject, placed, calls, rate))
    time.sleep(OVER_S)
    cdrs = sum(1 for _ in (folder / "cdr.jsonl").open("rb"))
    return Soak(subject.name, placed.result(), samples, subject.metric("softswitch_held"), cdrs)


def _watched(subject: Subject, placed: Future[Stretch], calls: int, rate: float) -> Iterator[Sample]:
    """Memory every few seconds, from the end of the warm-up to that of the calls."""
    duration_s = calls / rate
    warm_up_s = max(WARM_UP_SHARE * duration_s, WARM_UP_LEAST_S)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < duration_s and not placed.done():
        own, servers = memory_of(subject.pid), [memory_of(pid) for pid in subject.media_pids()]
        sample = Sample(passed * rate, own.proportional, sum(one.proportional for one in servers))
        if passed > warm_up_s:
            yield sample
        if int(passed / EVERY_S) % 15 == 0:
            print(f"soak: {sample.calls:.0f} calls, {sample.signalling} KB, media {sample.media} KB", file=sys.stderr)
        time.sleep(EVERY_S)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the least-squares line through `points`; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    middle_x, middle_y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread


def _figures(soak: Soak) -> Iterator[Figure]:
    load, name = soak.load, f"{soak.name}, {soak.load.calls} calls"
    note = f"at {load.rate:g}/s, {load.retransmissions} repeated"
    yield Figure(BENCH, name, "failed calls", load.failed, "", load.failed == 0, note)
    yield Figure(BENCH, name, "CDRs", soak.cdrs, "", soak.cdrs == load.calls, "one a call expected")
    words = f"a thousand calls, over {len(soak.samples)} readings; at most {FLAT:g} KB expected"
    for who, points in (
        ("signalling", [(one.calls / 1000, one.signalling) for one in soak.samples]),
        ("media server", [(one.calls / 1000, one.media) for one in soak.samples]),
    ):
        if not points or not points[-1][1]:
            continue
        grown = slope(points)
        yield Figure(BENCH, name, f"growth, {who}", grown, "KB", grown <= FLAT, words)
        yield Figure(BENCH, name, f"memory at the end, {who}", points[-1][1] / 1024, "MB")
    words = "sessions, transactions, tasks, media endpoints; 0 expected"
    yield Figure(BENCH, name, f"held {OVER_S:g} s after the last call", soak.held, "", soak.held == 0, words)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--null", action="store_true", help="without media")
    values = parser.parse_args()
    show(measure(values.calls, values.rate, media=not values.null))


if __name__ == "__main__":
    main()
