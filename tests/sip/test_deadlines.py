"""What is woken when, and that no note stays that nobody needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from softswitch.sip.deadlines import SWEEP_FROM, Deadlines
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


def test_notes_of_ended_calls_are_swept_out_long_before_their_time() -> None:
    """A session timer (RFC 4028) looks again after a quarter of an hour, whether or not its call has ended long ago."""
    deadlines, alive = Deadlines(), [Nap(900.5), Nap(1200.5)]
    for nap in alive:
        deadlines.arm(nap)
    for number in range(20 * SWEEP_FROM):
        ended = Nap(900.0 + number)
        deadlines.arm(ended)
        ended.deadline = NEVER
        assert len(deadlines) <= SWEEP_FROM
    pass_time(deadlines, 2000)
    assert [nap.woken for nap in alive] == [[900.5], [1200.5]]
    assert deadlines.next() is None


def test_notes_that_are_needed_are_never_swept_out() -> None:
    naps = [Nap(1.0 + number) for number in range(3 * SWEEP_FROM)]
    deadlines = armed(*naps)
    for nap in naps[::2]:
        nap.deadline += 0.5  # later: the note stays where it was
    pass_time(deadlines, 4 * SWEEP_FROM)
    assert [nap.woken for nap in naps] == [[1.0 + number + 0.5 * (number % 2 == 0)] for number in range(len(naps))]


class Chain:
    """Each that is woken arms more than a sweep takes away: a sweep comes in the middle of `wake`."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.deadline, self.armed, self._deadlines, self.others = 1.0, NEVER, deadlines, list[Nap]()

    def wake(self, now: float) -> None:
        self.deadline = NEVER
        for number in range(SWEEP_FROM + 1):
            nap = Nap(1.0)
            self._deadlines.arm(nap)
            nap.deadline = now if number % 2 else NEVER
            self.others.append(nap)


def test_a_sweep_while_others_are_being_woken_loses_none() -> None:
    deadlines = Deadlines()
    chain, neighbour = Chain(deadlines), Nap(1.0)
    deadlines.arm(chain)
    deadlines.arm(neighbour)
    deadlines.wake(1.0)
    assert neighbour.woken == [1.0]
    assert [nap.woken for nap in chain.others] == [[1.0] if number % 2 else [] for number in range(SWEEP_FROM + 1)]


MOVES = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.integers(1, 40), st.just(NEVER))), max_size=40)


@given(MOVES, st.booleans())
def test_whatever_moves_each_is_woken_at_its_last_deadline(moves: list[tuple[int, float]], sweep: bool) -> None:
    deadlines, naps = Deadlines(), [Nap(NEVER) for _ in range(6)]
    for which, deadline in moves:
        naps[which].deadline = deadline
        deadlines.arm(naps[which])
        if sweep:
            deadlines._sweep()
    expected = [[nap.deadline] if nap.deadline < NEVER else [] for nap in naps]
    pass_time(deadlines, 100)
    assert [nap.woken for nap in naps] == expected
