"""When new calls are refused: the loop's lag, calls that are up, what the core holds."""

from __future__ import annotations

import heapq
import math

import pytest

from softswitch.sip.overload import AT_ONCE, IN_A_ROW, LEAST_RATE, Overload, OverloadLimits
from softswitch.sip.transport import DATAGRAMS_PER_WAKE

TICK = 0.02


class Second:
    """Time as the user agent tells it: a tick, then some calls."""

    def __init__(self, overload: Overload) -> None:
        self.overload, self.now = overload, 100.0

    def pass_(self, seconds: float, *, lag: float, calls_a_tick: int = 10) -> int:
        """How many calls were let in."""
        let_in = 0
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            self.overload.note_lag(lag, self.now)
            let_in += sum(not self.overload.reason(0, 0, self.now) for _ in range(calls_a_tick))
        return let_in


def test_a_loop_in_time_lets_everybody_in() -> None:
    overload = Overload()
    assert Second(overload).pass_(2, lag=0.01) == 1000
    assert overload.rate == math.inf


def test_one_long_turn_of_the_loop_is_no_overload() -> None:
    second = Second(Overload(OverloadLimits(lag_s=0.1)))
    assert second.pass_(1, lag=0.0) == 500
    assert second.pass_(TICK * (IN_A_ROW - 1), lag=0.2) == 20
    assert second.pass_(1, lag=0.0) == 500


def test_a_loop_that_stays_late_lets_in_fewer_and_fewer() -> None:
    overload = Overload(OverloadLimits(lag_s=0.1))
    second = Second(overload)
    second.pass_(1, lag=0.0)
    counts = [second.pass_(1, lag=0.2) for _ in range(5)]
    assert counts == sorted(counts, reverse=True)
    assert 0 < counts[-1] < counts[0] < 500
    second.pass_(60, lag=0.2, calls_a_tick=0)
    assert overload.rate == LEAST_RATE


def test_a_loop_in_time_again_lets_in_more_and_more_until_all() -> None:
    second = Second(Overload(OverloadLimits(lag_s=0.1)))
    second.pass_(1, lag=0.0)
    second.pass_(2, lag=0.2)
    counts = [second.pass_(1, lag=0.0) for _ in range(5)]
    assert counts == sorted(counts)
    assert counts[0] < 500
    assert counts[-1] == 500


def test_a_loop_far_too_late_lets_in_hardly_anybody() -> None:
    second = Second(Overload(OverloadLimits(lag_s=0.1)))
    let_in = second.pass_(1, lag=0.5)
    assert 0 < let_in <= LEAST_RATE + 1
    assert second.overload.reason(0, 0, second.now) == "lag"


def test_a_machine_that_stood_still_refuses_nobody_of_the_few_that_call() -> None:
    second = Second(Overload(OverloadLimits(lag_s=0.1)))
    for _ in range(5):
        assert second.pass_(TICK, lag=3.0, calls_a_tick=1) == 1
        second.pass_(1 / LEAST_RATE, lag=3.0, calls_a_tick=0)


@pytest.mark.parametrize(
    ("calls", "sessions", "transactions", "why"),
    [(9, 19, 29, ""), (10, 0, 0, "calls"), (9, 20, 0, "memory"), (9, 0, 30, "memory")],
)
def test_each_limit_refuses_new_calls(calls: int, sessions: int, transactions: int, why: str) -> None:
    limits = OverloadLimits(calls=10, sessions=20, transactions=30)
    assert Overload(limits, lambda: calls).reason(sessions, transactions, 0.0) == why


def test_a_limit_of_0_is_none() -> None:
    overload = Overload(OverloadLimits(lag_s=0, calls=0, sessions=0, transactions=0), lambda: 10**9)
    assert Second(overload).pass_(1, lag=100) == 500
    assert overload.reason(10**9, 10**9, 101.0) == ""


def test_retry_after_is_told() -> None:
    assert Overload().retry_after == "Retry-After: 5\r\n"
    assert Overload(OverloadLimits(retry_after_s=9)).retry_after == "Retry-After: 9\r\n"


def test_after_a_pause_of_the_machine_few_calls_are_as_welcome_as_before() -> None:
    """Little came in before, which says nothing of how much can: nobody must wait for the rate to grow from there."""
    second = Second(Overload(OverloadLimits(lag_s=0.05)))
    second.pass_(2, lag=0.0, calls_a_tick=0)
    second.pass_(0.4, lag=0.1, calls_a_tick=0)
    assert second.pass_(1, lag=0.0, calls_a_tick=1) == 50


def test_a_burst_comes_in_only_as_far_as_can_be_felt() -> None:
    overload = Overload()
    second = Second(overload)
    assert second.pass_(TICK, lag=0.0, calls_a_tick=1000) == AT_ONCE
    assert second.pass_(TICK, lag=0.0, calls_a_tick=1000) == AT_ONCE


REFUSAL_S = 30e-6
# What a call costs the switch, step by step, and how long after the step before the next message comes.
STEPS = ((0.45e-3, 0.001), (0.15e-3, 0.02), (0.30e-3, 0.0005), (0.15e-3, 0.1), (0.25e-3, 0.0005), (0.15e-3, 0.0))
ANSWERED = 2  # the step after which the caller has its 200
CAPACITY = 1 / sum(cost for cost, _ in STEPS)  # calls a second


class Model:
    """A switch in simulated time: one processor, a turn of the loop for all that has come, calls that are up first.

    It has `share` of the processor and, each time that it ran for `run_s`, none for `pause_s`.
    """

    def __init__(
        self, factor: float, seconds: float, *, share: float = 1.0, pause_s: float = 0.0, run_s: float = 1.5
    ) -> None:
        self.overload, self.now, self.end = Overload(), 0.0, seconds
        self.share, self.worked_s, self.refused = share, 0.0, 0
        pause_at, rested = run_s if pause_s else seconds, False
        self.waiting = [(call / (factor * CAPACITY), 0, 0.0) for call in range(round(factor * CAPACITY * seconds))]
        self.setups: list[float] = []
        self.completed = 0
        due = worked_s = 0.0
        while self.now < seconds:
            if self.now >= pause_at:
                self.now += pause_s
                pause_at = self.now + run_s
            if self.now >= due:
                self.overload.note_lag(self.now - due, self.now, self.worked_s - worked_s, rested=rested)
                due, worked_s, rested = self.now + TICK, self.worked_s, False
            if not self.turn():
                self.now, rested = max(self.now, min(due, self.waiting[0][0] if self.waiting else due)), True

    def turn(self) -> bool:
        """All that has come by now; False where nothing has."""
        come: list[tuple[float, int, float]] = []
        while self.waiting and self.waiting[0][0] <= self.now and len(come) < DATAGRAMS_PER_WAKE:
            come.append(heapq.heappop(self.waiting))
        for at, step, began in sorted(come, key=lambda message: message[1] == 0):
            self.take(at, step, began)
        return bool(come)

    def take(self, at: float, step: int, began: float) -> None:
        if step == 0 and self.overload.reason(0, 0, self.now):
            self.work(REFUSAL_S)
            self.refused += 1
            return
        cost, pause = STEPS[step]
        self.work(cost)
        began = at if step == 0 else began
        if step == ANSWERED:
            self.setups.append(self.now - began)
        if step + 1 < len(STEPS):
            heapq.heappush(self.waiting, (self.now + pause, step + 1, began))
        else:
            self.completed += 1

    def work(self, seconds: float) -> None:
        self.worked_s += seconds
        self.now += seconds / self.share


@pytest.mark.parametrize(("factor", "share"), [(0.9, 0.88), (1.5, 0.9), (3.0, 0.85), (10.0, 0.7)])
def test_most_of_what_can_be_carried_is_completed_however_much_is_offered(factor: float, share: float) -> None:
    """RFC 5390: no collapse. And a call is set up before its INVITE would be repeated (T1)."""
    model = Model(factor, seconds=8.0)
    assert model.completed >= share * CAPACITY * model.end
    assert sum(model.setups) / len(model.setups) < 0.5


@pytest.mark.parametrize(("pause_s", "factor"), [(0.25, 0.5), (0.5, 0.3), (1.0, 0.1), (3.0, 0.05)])
def test_a_machine_that_stands_still_now_and_then_refuses_nobody(pause_s: float, factor: float) -> None:
    """What came meanwhile is no more than the switch carries in the same time: a pause is no overload."""
    model = Model(factor, seconds=20.0, pause_s=pause_s)
    assert model.refused == 0
    assert model.completed >= 0.9 * factor * CAPACITY * (model.end - pause_s)


@pytest.mark.parametrize("used", [0.05, 0.3, 0.6])
@pytest.mark.parametrize(("pause_s", "run_s"), [(0.25, 0.3), (0.25, 0.05), (0.25, 0.02), (0.08, 0.02), (1.0, 0.5)])
def test_a_machine_that_stands_still_again_and_again_refuses_nobody(pause_s: float, run_s: float, used: float) -> None:
    """As long as it has nothing to do in between: of the time that it is given it uses only a part."""
    factor = used * run_s / (run_s + pause_s)
    model = Model(factor, seconds=20.0, pause_s=pause_s, run_s=run_s)
    assert model.refused == 0
    assert model.completed >= 0.9 * factor * CAPACITY * (model.end - 2 * pause_s) - 1


@pytest.mark.parametrize(("pause_s", "run_s"), [(0.25, 0.3), (0.25, 0.05), (0.08, 0.02), (1.0, 0.5)])
def test_a_machine_that_stands_still_again_and_again_carries_what_it_can_in_between(
    pause_s: float, run_s: float
) -> None:
    share = run_s / (run_s + pause_s)
    model = Model(3.0 * share, seconds=8.0, pause_s=pause_s, run_s=run_s)
    assert model.refused
    assert model.completed >= 0.8 * share * CAPACITY * model.end
    assert sum(model.setups) / len(model.setups) < 0.5 + pause_s


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3, 0.5])
def test_others_who_use_the_machine_too_leave_their_part_of_the_calls(share: float) -> None:
    """A loop that is late again and again is overloaded, whoever has the processor."""
    model = Model(3.0 * share, seconds=8.0, share=share)
    assert model.completed >= 0.8 * share * CAPACITY * model.end
    assert sum(model.setups) / len(model.setups) < 0.5


def test_who_stands_still_twice_running_without_a_rest_is_late() -> None:
    overload = Overload(OverloadLimits(lag_s=0.05))
    overload.note_lag(0.5, 1.0, worked_s=0.01)
    assert [overload.reason(0, 0, 1.0) for _ in range(10)] == [""] * 10
    overload.note_lag(0.5, 1.5, worked_s=0.01)
    assert overload.reason(0, 0, 1.5) == ""
    assert overload.reason(0, 0, 1.5) == "lag"


def test_who_stands_still_again_and_again_but_rests_in_between_is_not() -> None:
    overload = Overload(OverloadLimits(lag_s=0.05))
    for turn in range(20):
        overload.note_lag(0.5, 1.0 + turn, worked_s=0.01, rested=True)
        assert [overload.reason(0, 0, 1.0 + turn) for _ in range(10)] == [""] * 10
    assert overload.lag_s == 0.5, "which is told"


def test_who_rests_and_then_works_for_long_is_late_all_the_same() -> None:
    overload = Overload(OverloadLimits(lag_s=0.05))
    overload.note_lag(0.5, 1.0, worked_s=0.4, rested=True)
    assert [overload.reason(0, 0, 1.0) for _ in range(2)] == ["", "lag"]
