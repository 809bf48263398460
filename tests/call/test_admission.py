"""Admission: limits at once and per second, draining, and what a refused call leaves behind (nothing)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from softswitch.call.admission import Admission, Limit
from softswitch.errors import FAILURES, CallRejected


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def admitted(admission: Admission, limits: list[Limit]) -> Iterator[None]:
    """A call that counts under `limits`."""
    with admission.counted() as counted:
        counted.admitted(limits)
        yield


def test_calls_at_once_are_counted_for_as_long_as_the_block_lasts() -> None:
    admission = Admission(Clock())
    two = [Limit("trunk", calls=2)]
    with admitted(admission, two):
        with admitted(admission, two):
            assert admission.active("trunk") == 2
            with pytest.raises(CallRejected) as refused, admitted(admission, two):
                pytest.fail("a third call was admitted")
        assert admission.active("trunk") == 1
        with admitted(admission, two):
            assert admission.active("trunk") == 2
    assert admission.active("trunk") == 0
    assert (refused.value.failure, refused.value.retry_after_s) == (FAILURES[7109], 5)


def test_a_call_that_crashes_frees_its_place() -> None:
    admission = Admission(Clock())
    with pytest.raises(RuntimeError), admitted(admission, [Limit("x", calls=1)]):
        raise RuntimeError
    assert admission.active("x") == 0


def test_a_call_refused_by_its_second_limit_does_not_count_under_the_first() -> None:
    admission = Admission(Clock(), retry_after_s=9)
    full = Limit("x", calls=1, failure=FAILURES[8049])
    with admitted(admission, [full]):
        with pytest.raises(CallRejected) as refused, admitted(admission, [Limit("switch", calls=10), full]):
            pytest.fail("admitted")
        assert admission.active("switch") == 0
    assert (refused.value.failure.code, refused.value.retry_after_s) == (8049, 9)


def test_no_limit_means_no_limit() -> None:
    admission = Admission(Clock())
    for _ in range(1000):
        with admitted(admission, [Limit("x")]):
            pass


def test_calls_per_second_come_back_with_time() -> None:
    clock = Clock()
    admission = Admission(clock)
    limit = [Limit("switch", calls_per_second=2.0)]

    def taken() -> int:
        count = 0
        for _ in range(10):
            try:
                with admitted(admission, limit):
                    count += 1
            except CallRejected:
                pass
        return count

    assert taken() == 2
    clock.now = 0.5
    assert taken() == 1
    clock.now = 100.0  # the bucket holds one second's worth, whatever the pause
    assert taken() == 2


def test_less_than_one_call_per_second_still_admits_the_first() -> None:
    clock = Clock()
    admission = Admission(clock)
    limit = [Limit("switch", calls_per_second=0.1)]
    with admitted(admission, limit):
        pass
    clock.now = 9.0
    with pytest.raises(CallRejected), admitted(admission, limit):
        pytest.fail("admitted")
    clock.now = 10.0
    with admitted(admission, limit):
        pass


def test_a_draining_switch_takes_no_new_call_but_lets_those_that_are_up_go_on() -> None:
    admission = Admission(Clock())
    with admission.counted() as first, admission.counted() as second:
        first.arrived([Limit("switch", calls=1)])
        admission.draining = True
        with pytest.raises(CallRejected) as refused:
            second.arrived([])
        first.admitted([Limit("x", calls=1)])
        assert (admission.active("switch"), admission.active("x")) == (1, 1)
    assert (admission.active("switch"), admission.active("x")) == (0, 0)
    assert (refused.value.failure.status, refused.value.retry_after_s) == (503, 5)


def test_what_a_metered_limit_refuses_is_counted() -> None:
    admission = Admission(Clock())
    trunk, switch = Limit("trunk", calls=1, metered=True), Limit("switch", calls=1)
    with admitted(admission, [trunk, switch]):
        for limit in (trunk, trunk, switch):
            with pytest.raises(CallRejected):
                admission.take([limit])
    assert admission.refused == {"trunk": 2}


def test_only_so_many_rates_are_remembered_the_latest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softswitch.call.admission.MOST_BUCKETS", 2)
    admission = Admission(Clock())

    def call(source: str) -> bool:
        try:
            with admitted(admission, [Limit(source, calls_per_second=1.0)]):
                return True
        except CallRejected:
            return False

    assert [call(source) for source in "aabcab"] == [True, False, True, True, True, True]
