"""What is woken when, and that no note stays that nobody needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from softswitch.sip.deadlines import Deadlines
from softswitch.sip.timing import NEVER


class Nap:
    """Something that is woken once at its deadline."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.armed = NEVER
        self.woken: list[float] = []

    def wake(self, now: float) -> None:
        self.woken.append(now)
        self.deadline = NEVER


def armed(*naps: Nap) -> Deadlines:
    deadlines = Deadlines()
    for nap in naps:
        deadlines.arm(nap)
    return deadlines


def pass_time(deadlines: Deadlines, until: float) -> None:
    """Wake at each deadline, as the core's alarm does."""
    while (at := deadlines.next()) is not None and at <= until:
        deadlines.wake(at)


def test_deadlines_are_kept_in_order_and_those_that_moved_are_looked_at_anew() -> None:
    early, late, moved, sooner = Nap(1), Nap(9), Nap(2), Nap(8)
    deadlines = armed(early, late, moved, sooner)
    moved.deadline = 5.0
    deadlines.arm(moved)
    sooner.deadline = 3.0
    deadlines.arm(sooner)
    assert deadlines.next() == 1
    pass_time(deadlines, 20)
    assert (early.woken, sooner.woken, moved.woken, late.woken) == ([1], [3], [5], [9])


def test_a_deadline_that_moved_away_is_noted_anew_even_if_time_jumps() -> None:
    one, other = Nap(1), Nap(2)
    deadlines = armed(one, other)
    one.deadline, other.deadline = 6.0, 4.0
    deadlines.wake(5.0)
    assert (one.woken, other.woken) == ([], [5.0])
    assert deadlines.next() == 6.0


def test_stale_notes_do_not_wake_anybody() -> None:
    nap = Nap(5)
    deadlines = armed(nap)
    nap.deadline = 2.0
    deadlines.arm(nap)
    deadlines.wake(6)
    assert nap.woken == [6]
    gone = Nap(10)
    deadlines.arm(gone)
    gone.deadline = NEVER
    assert deadlines.next() is None
    twice = Nap(20)
    deadlines.arm(twice)
    twice.deadline = 15.0
    deadlines.arm(twice)
    twice.deadline = NEVER
    assert deadlines.next() is None


class Chain:
    """Woken, it moves one neighbour, takes another's deadline away and arms a third: all at this very moment."""

    def __init__(self, deadlines: Deadlines, moved: Nap, gone: Nap, new: Nap) -> None:
        self.deadline, self.armed, self._deadlines, self._others = 1.0, NEVER, deadlines, (moved, gone, new)

    def wake(self, now: float) -> None:
        self.deadline = NEVER
        moved, gone, new = self._others
        moved.deadline, gone.deadline, new.deadline = now + 1.0, NEVER, now
        self._deadlines.arm(new)


def test_who_is_woken_may_move_its_neighbours() -> None:
    deadlines, moved, gone, new = Deadlines(), Nap(1.0), Nap(1.0), Nap(NEVER)
    for timed in (Chain(deadlines, moved, gone, new), moved, gone):
        deadlines.arm(timed)
    deadlines.wake(1.0)
    assert (moved.woken, gone.woken, new.woken, deadlines.next()) == ([], [], [1.0], 2.0)


MOVES = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.integers(1, 40), st.just(NEVER))), max_size=40)


@given(MOVES)
def test_whatever_moves_each_is_woken_at_its_last_deadline(moves: list[tuple[int, float]]) -> None:
    deadlines, naps = Deadlines(), [Nap(NEVER) for _ in range(6)]
    for which, deadline in moves:
        naps[which].deadline = deadline
        deadlines.arm(naps[which])
    expected = [[nap.deadline] if nap.deadline < NEVER else [] for nap in naps]
    pass_time(deadlines, 100)
    assert [nap.woken for nap in naps] == expected
