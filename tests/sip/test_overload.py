"""When new calls are refused: the loop's lag, calls that are up, what the core holds."""

from __future__ import annotations

import pytest

from softswitch.sip.overload import Overload, OverloadLimits


def reasons(overload: Overload, *lags: float) -> list[str]:
    told = []
    for lag in lags:
        overload.note_lag(lag)
        told.append(overload.reason(0, 0))
    return told


def test_a_lag_counts_when_it_lasts_and_until_a_timer_is_in_time() -> None:
    overload = Overload(OverloadLimits(lag_s=0.1))
    assert overload.reason(0, 0) == ""
    assert reasons(overload, 9.0, 0.0, 0.2, 0.2) == ["", "", "", ""]
    assert reasons(overload, 0.2, 0.3, 0.0) == ["lag", "lag", ""]


@pytest.mark.parametrize(
    ("calls", "sessions", "transactions", "why"),
    [(9, 19, 29, ""), (10, 0, 0, "calls"), (9, 20, 0, "memory"), (9, 0, 30, "memory")],
)
def test_each_limit_refuses_new_calls(calls: int, sessions: int, transactions: int, why: str) -> None:
    limits = OverloadLimits(calls=10, sessions=20, transactions=30)
    assert Overload(limits, lambda: calls).reason(sessions, transactions) == why


def test_a_limit_of_0_is_none() -> None:
    overload = Overload(OverloadLimits(lag_s=0, calls=0, sessions=0, transactions=0), lambda: 10**9)
    assert reasons(overload, 100, 100, 100) == ["", "", ""]
    assert overload.reason(10**9, 10**9) == ""


def test_retry_after_is_told() -> None:
    assert Overload().retry_after == "Retry-After: 5\r\n"
    assert Overload(OverloadLimits(retry_after_s=9)).retry_after == "Retry-After: 9\r\n"
