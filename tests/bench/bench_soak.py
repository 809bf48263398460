"""A hundred thousand short calls: memory is flat after warm-up, and when they are over nothing is left of them.

`python -m tests.bench.bench_soak [--calls 100000] [--rate 200] [--null]`. SIPp calls SIPp through the switch and its
media server. Memory (private) of both is read every few seconds; the slope is a least-squares line. A pause of a busy
machine lets calls pile up and memory with them, most of which Python keeps for use again: repeated messages tell of
such a pause. So objects are counted too: before the calls and when all is over.
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

from demo.switch_process import free_port, wait_until
from tests.bench.memory import memory_of
from tests.bench.report import Figure, show
from tests.bench.sipp_load import Stretch, place_calls
from tests.bench.switches import DIALLED, Subject, our_switch

BENCH = "soak"
RATE = 200.0  # calls a second
WARM_UP = 0.1  # of the calls, before the others: what is loaded and cached once is there then
SETTLED = 0.4  # of the calls, of which memory is not looked at yet; transactions add up for 64*T1
TABLES_FULL = 30_000  # calls after which the tables of transactions were full of holes once, and copied at their size
RINGS_FULL = 50_000  # calls after which the media server's rings of 65,536 events and commands were written once
EVERY_S, TELL_EVERY_S = 2.0, 30.0
OVER_WITHIN_S = 60.0  # 64*T1, and what is late
FLAT_KB, FLAT_BLOCKS = 10.0, 100.0  # in a thousand calls: 10 bytes a call; a tenth of a block is no object of it
NOISE_KB = 1024.0  # in all: what the process takes from the system comes in megabytes


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
    samples: Sequence[Sample]  # without the first ones
    blocks: float  # of Python objects: more when all was over than before
    held: float  # transactions, sessions, tasks and endpoints, when all was over
    cdrs: int  # more than before


def measure(calls: int = 100_000, rate: float = RATE, *, media: bool = True) -> list[Figure]:
    """One run."""
    with (
        tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder,
        our_switch(Path(folder), media=media, max_lag_s=0) as subject,
    ):
        return list(_figures(_run(subject, Path(folder), calls, rate)))


def _run(subject: Subject, folder: Path, calls: int, rate: float) -> Soak:
    print(f"soak: {subject.name}, {calls} calls at {rate:g}/s …", file=sys.stderr)
    _watched(subject, folder, round(calls * WARM_UP), rate)
    blocks, cdrs = subject.metric("softswitch_memory_blocks"), _cdrs(folder)
    load, samples = _watched(subject, folder, calls, rate)
    blocks = subject.metric("softswitch_memory_blocks") - blocks
    return Soak(subject.name, load, samples, blocks, subject.metric("softswitch_held"), _cdrs(folder) - cdrs)


def _watched(subject: Subject, folder: Path, calls: int, rate: float) -> tuple[Stretch, list[Sample]]:
    """Place calls and read memory meanwhile; returns when all that came of them is over."""
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
        samples = list(_samples(subject, placed, calls, rate))
    wait_until(lambda: not subject.metric("softswitch_held"), OVER_WITHIN_S)
    time.sleep(1.0)  # the last CDRs
    return placed.result(), samples


def _samples(subject: Subject, placed: Future[Stretch], calls: int, rate: float) -> Iterator[Sample]:
    """Memory every few seconds, once it has settled, as long as there are calls."""
    began = told = time.monotonic()
    while not placed.done():
        now = time.monotonic()
        own, servers = memory_of(subject.pid), [memory_of(pid) for pid in subject.media_pids()]
        sample = Sample((now - began) * rate, own.own, sum(one.own for one in servers))
        if sample.calls > SETTLED * calls:
            yield sample
        if now - told >= TELL_EVERY_S:
            told = now
            print(f"soak: {sample.calls:.0f} calls, {sample.signalling} KB, media {sample.media} KB", file=sys.stderr)
        time.sleep(EVERY_S)


def _cdrs(folder: Path) -> int:
    with (folder / "cdr.jsonl").open("rb") as file:
        return sum(1 for _ in file)


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
    span = (soak.samples[-1].calls - soak.samples[0].calls) / 1000
    most = max(FLAT_KB, NOISE_KB / max(span, 1.0))
    before = load.calls * (SETTLED + WARM_UP)  # calls that memory was not looked at in
    words = f"a thousand calls, over {span:.0f} thousand; at most {most:.0f} KB expected"
    grown = slope([(one.calls / 1000, one.signalling) for one in soak.samples])
    good = grown <= most if before >= TABLES_FULL else None
    words = words if good is not None else "a thousand calls; the tables of transactions are still growing"
    yield Figure(BENCH, name, "growth, signalling", grown, "KB", good, words)
    yield Figure(BENCH, name, "memory at the end, signalling", soak.samples[-1].signalling / 1024, "MB")
    if soak.samples[-1].media:
        grown = slope([(one.calls / 1000, one.media) for one in soak.samples])
        good = grown <= most if before >= RINGS_FULL else None
        words = "a thousand calls" if good is not None else "a thousand calls; its rings are still filling"
        yield Figure(BENCH, name, "growth, media server", grown, "KB", good, words)
        yield Figure(BENCH, name, "memory at the end, media server", soak.samples[-1].media / 1024, "MB")
    lost, words = (
        1000 * soak.blocks / load.calls,
        f"a thousand calls, when all was over; at most {FLAT_BLOCKS:g} expected",
    )
    yield Figure(BENCH, name, "objects lost", lost, "blocks", lost <= FLAT_BLOCKS, words)
    words = "sessions, transactions, tasks, media endpoints; 0 expected"
    yield Figure(BENCH, name, "held when all was over", soak.held, "", soak.held == 0, words)


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
