"""Calls completed a second while more are offered than the switch can carry, with 503s and set-up times.

`python -m tests.bench.bench_overload [--quick]`. The sustained rate comes first: the last step of a rising stair in
which every call was completed. Then SIPp offers 0.5 to 3 times as much; who is refused with 503 does not try again.
SIPp and the switch share the machine, so at high rates the peers take processor time from the switch as well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.switch_process import free_port
from tests.bench.report import Figure, show
from tests.bench.sipp_load import Stretch, place_calls
from tests.bench.switches import DIALLED, Subject, our_switch

BENCH = "overload"
EXPECTED_SHARE = 0.85  # of the best completed rate
NEARLY_ALL = 0.99


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each step lasts, and the stair of calls a second on which the sustained rate is looked for."""

    step_s: float = 10.0
    stair_s: float = 4.0
    stair: tuple[int, ...] = (200, 250, 300, 350, 400, 450, 500, 600, 700, 800)
    factors: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)  # of the sustained rate


QUICK = Plan(step_s=4.0, stair_s=1.5, stair=(200, 400), factors=(1.5, 3.0))


def measure(plan: Plan) -> list[Figure]:
    """The whole curve of this switch, without media."""
    with (
        tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder,
        our_switch(Path(folder), media=False) as subject,
    ):
        sustained = _sustained(subject, plan, Path(folder))
        steps = [(factor, _step(subject, sustained * factor, plan.step_s, Path(folder))) for factor in plan.factors]
        return list(_figures(subject.name, sustained, steps, plan.step_s))


def _sustained(subject: Subject, plan: Plan, folder: Path) -> float:
    """The last rate of the stair at which nearly every call was completed; its first one where none was."""
    best = plan.stair[0]
    _step(subject, best / 2, 1.0, folder)  # warm
    for rate in plan.stair:
        step = _step(subject, rate, plan.stair_s, folder)
        if step.completed < NEARLY_ALL * step.calls:
            break
        best = rate
    return best


def _step(subject: Subject, rate: float, seconds: float, folder: Path) -> Stretch:
    before = subject.signalling_s()
    step = place_calls(
        folder,
        dialled=DIALLED,
        switch_port=subject.port,
        caller_port=free_port(),
        callee_port=subject.callee_port,
        rate=rate,
        seconds=seconds,
        scenario="uac_or_503",
    )
    words = f"{step.completed} completed, {_words(step)}"
    used = subject.signalling_s() - before  # tells an overload apart from a processor that others took away
    print(f"overload: {step.calls} calls offered at {rate:g}/s: {words}, {used:.1f} s of CPU", file=sys.stderr)
    return step


def _words(step: Stretch) -> str:
    share = f"{step.refused / step.calls:.0%} got 503, {step.failed} failed"
    return f"{share}, {step.retransmissions} repeated, set-up {step.setup_ms:.0f} ms"


def _figures(name: str, sustained: float, steps: list[tuple[float, Stretch]], seconds: float) -> Iterator[Figure]:
    yield Figure(BENCH, name, "sustained", sustained, "calls/s", None, "the base of the factors")
    best = max(step.completed for _, step in steps)
    for factor, step in steps:
        good = step.completed >= min(EXPECTED_SHARE * best, NEARLY_ALL * step.calls)
        figure = f"completed at {factor:g} × = {step.rate:g}/s offered"
        yield Figure(BENCH, name, figure, step.completed / seconds, "calls/s", good, _words(step))
    least = min(step.completed for factor, step in steps if factor > 1)
    words = f"at least {EXPECTED_SHARE:.0%} expected"
    yield Figure(BENCH, name, "least beyond 1 ×, by the best", least / best, "", least >= EXPECTED_SHARE * best, words)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    show(measure(QUICK if parser.parse_args().quick else Plan()))


if __name__ == "__main__":
    main()
