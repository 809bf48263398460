"""The failure table against call treatment's "SIP status and Q.850 cause of a failure"."""

from __future__ import annotations

import pytest

from softswitch.errors import FAILURES, BindingConflict, CallRejected, ConfigError

# (codes, SIP status, Q.850 causes), as the table of call treatment has them.
TREATMENT = [
    ((8014, 8022, 8025, 8100), 404, {1}),
    ((8016, 8018, 8023, 8024, 8042, 8043, 8057, 7500, 7004, 7005), 403, {21}),
    ((8013, 8019, 8103, 8104), 480, {20}),
    ((8101,), 480, {19}),
    ((8102,), 486, {17}),
    ((7503, 7504), 603, {21}),
    ((8035,), 408, {102}),
    ((7001, 7002, 7109, 8047, 8048, 8049), 503, {42}),
    ((7505, 7506, 7508), 502, {38, 28, 3}),
    ((7107, 7507), 500, {31}),
    ((7501, 7502, 7516), 487, {16}),
]


@pytest.mark.parametrize(("codes", "status", "causes"), TREATMENT)
def test_failures_have_the_status_and_cause_of_the_table(codes: tuple[int, ...], status: int, causes: set[int]) -> None:
    assert {FAILURES[code].status for code in codes} == {status}
    assert {FAILURES[code].cause for code in codes} == causes


def test_the_end_by_the_clock_is_told_as_102() -> None:
    assert FAILURES[8010].cause == 102
    assert FAILURES[0].cause == 16


def test_every_failure_has_words_and_its_own_code() -> None:
    assert all(failure.words and failure.code == code for code, failure in FAILURES.items())


def test_a_tone_tells_whether_the_callee_or_a_network_is_in_the_way() -> None:
    tones = {code: FAILURES[code].progress_tone for code in (8102, 8014, 7107, 8040, 7508)}
    assert tones == {8102: "busy", 8014: "busy", 7107: "busy", 8040: "congestion", 7508: "busy"}


def test_errors_tell_what_and_where() -> None:
    assert str(ConfigError("a.toml: trunk.port", "expected a number")) == "a.toml: trunk.port: expected a number"
    assert str(CallRejected(FAILURES[8014], tone="no_binding")) == "8014 no binding for this caller"
    assert BindingConflict("1012010", "bound already").resultcode == "1012010"
