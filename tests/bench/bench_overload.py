"""Calls completed a second while more are offered than the switch can carry, with 503s and set-up times.

`python -m tests.bench.bench_overload [--quick]`. The sustained rate comes first: the last step of a rising stair in
which every call was completed. Then SIPp offers 0.5 to 3 times as much, up the factors and down again, so that it is no
step's alone when the machine slows down for a while; who is refused with 503 does not try again. The switch has a
processor of its own, both SIPp share another. The curve is drawn into bench-output/overload.png.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.switch_process import free_port
from tests.bench.cpu import GENERATOR, SUBJECT, pin
from tests.bench.curve import Point, draw
from tests.bench.report import Figure, show
from tests.bench.sipp_load import Stretch, place_calls
from tests.bench.switches import DIALLED, Subject, our_switch

BENCH = "overload"
PICTURE = Path("bench-output") / "overload.png"
EXPECTED_SHARE = 0.85  # of the best completed rate
NEARLY_ALL = 0.99


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each stretch lasts, and the stair of calls a second on which the sustained rate is looked for."""

    step_s: float = 10.0
    stair_s: float = 4.0
    stair: tuple[int, ...] = (200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200)
    factors: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)  # of the sustained rate


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of calls, how long they were offered, and the processor time that the switch took for them."""

    load: Stretch
    seconds: float
    used_s: float  # tells an overload apart from a processor that others took away

    def __add__(self, other: Step) -> Step:
        """Both stretches as one."""
        one, two = self.load, other.load
        waited = one.setup_ms * one.completed + two.setup_ms * two.completed
        load = Stretch(
            one.rate,
            one.calls + two.calls,
            one.completed + two.completed,
            one.retransmissions + two.retransmissions,
            one.refused + two.refused,
            waited / max(one.completed + two.completed, 1),
        )
        return Step(load, self.seconds + other.seconds, self.used_s + other.used_s)

    @property
    def worth(self) -> float:
        """Calls completed for a second of the processor."""
        return self.load.completed / max(self.used_s, 0.01)

    @property
    def words(self) -> str:
        """How it went."""
        load = self.load
        share = f"{load.refused / load.calls:.0%} got 503, {load.failed} failed, {load.retransmissions} repeated"
        busy = f"{100 * self.used_s / self.seconds:.0f}% CPU, {self.worth:.0f} a CPU second"
        return f"{share}, set-up {load.setup_ms:.0f} ms, {busy}"


QUICK = Plan(step_s=4.0, stair_s=1.5, stair=(200, 400), factors=(1.5, 3.0))


def measure(plan: Plan) -> list[Figure]:
    """The whole curve of this switch, without media."""
    with (
        tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder,
        our_switch(Path(folder), media=False) as subject,
    ):
        pin(subject.pid, SUBJECT)
        sustained = _sustained(subject, plan, Path(folder))
        steps: dict[float, Step] = {}
        for factor in (*plan.factors, *reversed(plan.factors)):
            step = _step(subject, sustained * factor, plan.step_s, Path(folder))
            steps[factor] = steps[factor] + step if factor in steps else step
    draw([_point(step) for step in steps.values()], sustained, f"Overload of {subject.name}", PICTURE)
    return list(_figures(subject.name, sustained, steps))


def _sustained(subject: Subject, plan: Plan, folder: Path) -> float:
    """The last rate of the stair at which nearly every call was completed; its first one where none was."""
    best = plan.stair[0]
    _step(subject, best / 2, 1.0, folder)  # warm
    for rate in plan.stair:
        load = _step(subject, rate, plan.stair_s, folder).load
        if load.completed < NEARLY_ALL * load.calls:
            break
        best = rate
    return best


def _step(subject: Subject, rate: float, seconds: float, folder: Path) -> Step:
    before = subject.signalling_s()
    load = place_calls(
        folder,
        dialled=DIALLED,
        switch_port=subject.port,
        caller_port=free_port(),
        callee_port=subject.callee_port,
        rate=rate,
        seconds=seconds,
        scenario="uac_or_503",
        processors=GENERATOR,
    )
    step = Step(load, seconds, subject.signalling_s() - before)
    print(
        f"overload: {load.calls} calls offered at {rate:g}/s: {load.completed} completed, {step.words}", file=sys.stderr
    )
    return step


def _point(step: Step) -> Point:
    load, seconds = step.load, step.seconds
    return Point(load.rate, load.completed / seconds, load.refused / seconds, load.setup_ms, step.used_s / seconds)


def _figures(name: str, sustained: float, steps: Mapping[float, Step]) -> Iterator[Figure]:
    yield Figure(BENCH, name, "sustained", sustained, "calls/s", None, f"the base of the factors; drawn in {PICTURE}")
    best = max(step.load.completed for step in steps.values())
    for factor, step in steps.items():
        load = step.load
        good = load.completed >= min(EXPECTED_SHARE * best, NEARLY_ALL * load.calls)
        figure = f"completed at {factor:g} × = {load.rate:g}/s offered"
        yield Figure(BENCH, name, figure, load.completed / step.seconds, "calls/s", good, step.words)
    beyond = [step.load for factor, step in steps.items() if factor > 1]
    least = min((load.completed for load in beyond if load.completed < NEARLY_ALL * load.calls), default=best)
    words = f"at least {EXPECTED_SHARE:.0%} expected; steps that completed all they were offered are no loss"
    yield Figure(BENCH, name, "least beyond 1 ×, by the best", least / best, "", least >= EXPECTED_SHARE * best, words)
    worths = [step.worth for factor, step in steps.items() if factor > 1]
    words = "the same where others use the machine too"
    yield Figure(
        BENCH, name, "the least a CPU second beyond 1 ×, by the best", min(worths) / max(worths), "", None, words
    )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    show(measure(QUICK if parser.parse_args().quick else Plan()))


if __name__ == "__main__":
    main()
