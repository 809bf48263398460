"""Calls a second without a failed call or retransmission, and CPU a call: this switch and Sippy under one load.

`python -m tests.bench.bench_calls [--quick]`. SIPp calls SIPp through the switch, all on one machine: INVITE with SDP,
100, 180, 200, ACK, 100 ms of talk, BYE. CPU a call is measured at one moderate rate for all; the sustained rate is that
of the last clean step of a stair whose steps are tenths of what one processor could do by that figure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from demo.switch_process import free_port
from tests.bench.report import Figure, show
from tests.bench.sipp_load import Stretch, place_calls
from tests.bench.switches import DIALLED, Subject, our_switch, sippy, sippy_program

BENCH = "calls"
EXPECTED_RATIO = 4.0
WARM_UP_CALLS = 40


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    rate: float = 40.0  # of the CPU measurement
    cpu_s: float = 10.0
    step_s: float = 8.0
    steps: tuple[int, ...] = (4, 5, 6, 7, 8, 9)  # tenths of a processor; taken from the middle up, or down


QUICK = Plan(cpu_s=5.0, step_s=4.0, steps=(5, 7, 9))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one B2BUA showed."""

    name: str
    load: Stretch
    signalling_ms: float
    total_ms: float
    has_media: bool
    sustained: float = 0.0


def measure(plan: Plan) -> list[Figure]:
    """All three in turn, Sippy last; without Sippy, only ours."""
    outcomes = list(_outcomes(plan))
    figures = [figure for outcome in outcomes for figure in _figures(outcome)]
    *ours, peer = outcomes
    if sippy_program() is not None:
        figures += [_ratio(outcome, peer) for outcome in ours]
    return figures


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
            cost = cpu_a_call(subject, plan, Path(folder))
            yield replace(cost, sustained=sustained_rate(subject, cost.total_ms, plan, Path(folder)))


def cpu_a_call(subject: Subject, plan: Plan, folder: Path) -> Outcome:
    """CPU milliseconds of each call at the plan's rate, after a few calls to warm up."""
    _place(subject, plan.rate, WARM_UP_CALLS / plan.rate, folder)
    signalling, total = subject.signalling_s(), subject.total_s()
    load = _place(subject, plan.rate, plan.cpu_s, folder)
    signalling_ms = (subject.signalling_s() - signalling) * 1000 / load.calls
    total_ms = (subject.total_s() - total) * 1000 / load.calls
    return Outcome(subject.name, load, signalling_ms, total_ms, subject.has_media)


def sustained_rate(subject: Subject, total_ms: float, plan: Plan, folder: Path) -> float:
    """The highest rate of the plan's steps that was clean: upwards from the middle, or downwards where that is not."""
    middle = len(plan.steps) // 2
    best = 0.0
    for tenths in plan.steps[middle:]:
        if not (step := _clean_step(subject, tenths * 100 / total_ms, plan, folder)):
            break
        best = step
    if best:
        return best
    below = (_clean_step(subject, tenths * 100 / total_ms, plan, folder) for tenths in reversed(plan.steps[:middle]))
    return next((rate for rate in below if rate), 0.0)


def _clean_step(subject: Subject, rate: float, plan: Plan, folder: Path) -> float:
    """`rate` where its step was clean, else 0."""
    before = subject.retransmissions()
    step = _place(subject, round(rate), plan.step_s, folder)
    own = subject.retransmissions() - before
    words = "clean" if step.clean and not own else f"{step.failed} failed, {step.retransmissions + own:.0f} repeated"
    print(f"calls: {subject.name}: {step.rate:.0f}/s for {plan.step_s:g} s: {words}", file=sys.stderr)
    return step.rate if step.clean and not own else 0.0


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
    load = outcome.load
    note = f"{load.calls} calls at {load.rate:g}/s, {load.failed} failed, {load.retransmissions} repeated"
    good = None if "Sippy" in outcome.name else load.clean
    yield Figure(BENCH, outcome.name, "CPU a call", outcome.total_ms, "ms", good, note)
    if outcome.has_media:
        media = outcome.total_ms - outcome.signalling_ms
        yield Figure(BENCH, outcome.name, "of it signalling", outcome.signalling_ms, "ms")
        yield Figure(BENCH, outcome.name, "of it media", media, "ms", None, "ports opened and closed, no RTP")
    yield Figure(BENCH, outcome.name, "sustained", outcome.sustained, "calls/s", None, "no failed call, none repeated")


def _ratio(ours: Outcome, peer: Outcome) -> Figure:
    ratio = peer.total_ms / ours.total_ms
    note = f"at least {EXPECTED_RATIO:g} expected; sustained {ours.sustained / (peer.sustained or 1):.1f} times Sippy's"
    expected = None if ours.has_media else ratio >= EXPECTED_RATIO
    return Figure(BENCH, ours.name, "calls a CPU second beside Sippy's", ratio, "times", expected, note)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    show(measure(QUICK if parser.parse_args().quick else Plan()))


if __name__ == "__main__":
    main()
