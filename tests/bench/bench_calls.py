"""Calls a second without a failed call or retransmission, and CPU a call: this switch and Sippy under one load.

`python -m tests.bench.bench_calls [--quick]`. SIPp calls SIPp through the switch, all on one machine: INVITE with SDP,
100, 180, 200 (20 ms later), ACK, 100 ms of talk, BYE. CPU a call is measured at one rate for all, and again at the rate
that each can sustain: the last clean step of a rising stair. A step is dirty when it was dirty twice, since others may
use the machine too. Where they empty its caches in the 10 ms between two calls at 100/s, a call costs up to twice what
it costs at 500/s: "memory read again" tells of that.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from demo.switch_process import free_port
from tests.bench.programs import line_ns
from tests.bench.report import Figure, show
from tests.bench.sipp_load import Stretch, place_calls
from tests.bench.switches import DIALLED, Subject, our_switch, sippy, sippy_program

BENCH = "calls"
EXPECTED_RATIO = 4.0
EXPECTED_MS = 1.3  # signalling, routing and CDR of a call where it is at its best: OpenSIPS's b2b_logic needs as much
WARM_UP_RATE = 40.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure, and the stair of calls a second."""

    rate: float = 100.0  # of the CPU measurement
    cpu_s: float = 8.0
    step_s: float = 6.0
    stair: tuple[int, ...] = (60, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1200)


QUICK = Plan(cpu_s=5.0, step_s=4.0, stair=(100, 200, 400, 600, 800, 1000, 1200))


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of calls and what it cost."""

    load: Stretch
    signalling_ms: float  # CPU a call
    total_ms: float
    own_repeats: float  # retransmissions that the switch itself counted

    @property
    def clean(self) -> bool:
        """Nothing failed, nobody repeated anything."""
        return self.load.clean and not self.own_repeats

    @property
    def words(self) -> str:
        """How it went."""
        told = f"{self.load.calls} calls at {self.load.rate:g}/s"
        repeats = self.load.retransmissions + self.own_repeats
        return f"{told}, none failed" if self.clean else f"{told}, {self.load.failed} failed, {repeats:g} repeated"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one B2BUA showed: at the common rate, and at the highest that was clean (None where none was)."""

    name: str
    has_media: bool
    common: Step
    sustained: Step | None

    @property
    def rate(self) -> float:
        """Calls a second that it sustains."""
        return self.sustained.load.rate if self.sustained else 0.0


def measure(plan: Plan) -> list[Figure]:
    """All three in turn, Sippy last; without Sippy, only ours."""
    figures = list(_machine())
    outcomes = list(_outcomes(plan))
    figures += [figure for outcome in outcomes for figure in _figures(outcome)]
    if sippy_program() is not None:
        *ours, peer = outcomes
        figures += [figure for outcome in ours for figure in _ratios(outcome, peer)]
    return figures


def _machine() -> Iterator[Figure]:
    if shutil.which("cc"):
        at_once, soon, late = line_ns()
        note = f"at once {at_once:.0f}, after 2 ms {soon:.0f}"
        yield Figure(BENCH, "this machine", "memory read again after 10 ms", late, "ns", None, note)


def _outcomes(plan: Plan) -> Iterator[Outcome]:
    starts: list[Callable[[Path], AbstractContextManager[Subject]]] = [
        lambda folder: our_switch(folder, media=False),
        lambda folder: our_switch(folder, media=True),
    ]
    if sippy_program() is not None:
        starts.append(sippy)
    for start in starts:
        with tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder, start(Path(folder)) as subject:
            print(f"calls: {subject.name} …", file=sys.stderr)
            _place(subject, WARM_UP_RATE, 1.0, Path(folder))
            common = _step(subject, plan.rate, plan.cpu_s, Path(folder))
            yield Outcome(subject.name, subject.has_media, common, _sustained(subject, plan, Path(folder)))


def _sustained(subject: Subject, plan: Plan, folder: Path) -> Step | None:
    """Up the stair to the first step that isn't clean, then once more half-way between that and the last clean one."""
    best: Step | None = None
    for rate in plan.stair:
        if (step := _clean_step(subject, rate, plan.step_s, folder)) is None:
            between = (rate + (best.load.rate if best else 0)) // 2
            return _clean_step(subject, between, plan.step_s, folder) or best
        best = step
    return best


def _clean_step(subject: Subject, rate: float, seconds: float, folder: Path) -> Step | None:
    """The step if it was clean at the first or second try."""
    for _ in range(2):
        step = _step(subject, rate, seconds, folder)
        print(f"calls: {subject.name}: {step.words}, {step.total_ms:.2f} ms a call", file=sys.stderr)
        if step.clean:
            return step
    return None


def _step(subject: Subject, rate: float, seconds: float, folder: Path) -> Step:
    repeats, signalling, total = subject.retransmissions(), subject.signalling_s(), subject.total_s()
    load = _place(subject, rate, seconds, folder)
    signalling_ms = (subject.signalling_s() - signalling) * 1000 / load.calls
    total_ms = (subject.total_s() - total) * 1000 / load.calls
    return Step(load, signalling_ms, total_ms, subject.retransmissions() - repeats)


def _place(subject: Subject, rate: float, seconds: float, folder: Path) -> Stretch:
    return place_calls(
        folder,
        dialled=DIALLED,
        switch_port=subject.port,
        caller_port=free_port(),
        callee_port=subject.callee_port,
        rate=rate,
        seconds=seconds,
    )


def _figures(outcome: Outcome) -> Iterator[Figure]:
    name, common, sustained = outcome.name, outcome.common, outcome.sustained
    expected = None if name.startswith("Sippy") else common.clean
    yield Figure(BENCH, name, "CPU a call", common.total_ms, "ms", expected, common.words)
    if outcome.has_media:
        media = common.total_ms - common.signalling_ms
        yield Figure(BENCH, name, "of it media", media, "ms", None, "ports opened and closed, no RTP")
    yield Figure(BENCH, name, "sustained", outcome.rate, "calls/s", None, "no failed call, nothing repeated")
    if sustained:
        below = None if outcome.has_media or expected is None else sustained.total_ms < EXPECTED_MS
        note = "" if below is None else f"below {EXPECTED_MS:g} expected"
        yield Figure(BENCH, name, "CPU a call at that rate", sustained.total_ms, "ms", below, note)


def _ratios(ours: Outcome, peer: Outcome) -> Iterator[Figure]:
    ratio = peer.common.total_ms / ours.common.total_ms
    note = f"at {ours.common.load.rate:g}/s; at least {EXPECTED_RATIO:g} expected"
    expected = None if ours.has_media else ratio >= EXPECTED_RATIO
    yield Figure(BENCH, ours.name, "calls a CPU second, by Sippy's", ratio, "times", expected, note)
    if ours.sustained and peer.sustained:
        at_best = peer.sustained.total_ms / ours.sustained.total_ms
        yield Figure(BENCH, ours.name, "the same, each at its rate", at_best, "times")
        yield Figure(BENCH, ours.name, "sustained, by Sippy's", ours.rate / peer.rate, "times")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    show(measure(QUICK if parser.parse_args().quick else Plan()))


if __name__ == "__main__":
    main()
