"""Calls as trunks present them become decisions: call treatment "Who reaches whom" and its treatment rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec import structs

from softswitch.interfaces import (
    Binding,
    CallbackRecord,
    Mode,
    NeedExtension,
    PrivateNumber,
    Rejection,
    Route,
    Target,
    Treatment,
)
from softswitch.routing.dialplan import Barring, parse_dialplans
from tests.routing.scene import (
    ABROAD,
    FIXED_LINE,
    LAB,
    NOW,
    X2,
    X_700,
    A,
    B,
    C,
    Switchboard,
    X,
    app,
    ax,
    axb,
    axe,
    plan,
    store,
)
from tests.support.memory_store import MemoryStore

AXB = Switchboard(store(Mode.AXB, axb()))
AX = Switchboard(store(Mode.AX, ax()))
AXE = Switchboard(store(Mode.AXE, axe()))


def treatment(binding: Binding, table: str = "", **options: Any) -> Treatment:
    """What a call from C (or A, AXB) through this binding gets."""
    board = Switchboard(store(binding.mode, binding, **options), plan(LAB + table))
    return board.route(f"{X},1234", A if binding.mode is Mode.AXB else C).treatment


# The answer as a whole


def test_a_call_from_a_becomes_a_route_to_b_that_shows_x() -> None:
    assert AXB.ask(X, A) == Route(
        mode=Mode.AXB,
        direction=1,
        app_key="app-AXB",
        x=X,
        caller=A,
        callee=B,
        display=X,
        binding=axb(),
        targets=(Target("lab", "127.0.0.1", 5090, user=B, display=X),),
        treatment=Treatment(),
    )


def test_a_caller_that_must_key_is_asked_for_as_many_digits_as_the_app_has() -> None:
    board = Switchboard(store(Mode.AXE, axe(), extension_digits=3))
    assert board.ask(X, C) == NeedExtension("app-AXE", X, C, 3)


def test_a_refusal_carries_what_is_known() -> None:
    assert AXB.ask(X, C) == Rejection(
        8014, tone="no_binding", mode=Mode.AXB, app_key="app-AXB", x=X, caller=C, direction=2
    )


# Finding X and E in what was dialled


@pytest.mark.parametrize(
    ("dialled", "caller"),
    [("17000000001", "13800000001"), ("8617000000001", "0086138-0000-0001"), (f"sip:{X}@h", f"<sip:{A}@h>;tag=1")],
)
def test_both_numbers_are_taken_in_any_form(dialled: str, caller: str) -> None:
    assert AXB.ask(dialled, caller) == AXB.ask(X, A)


@pytest.mark.parametrize("dialled", [X2, "anonymous", "", "17000000001234567", A])
def test_a_number_of_no_pool_does_not_exist(dialled: str) -> None:
    assert AXB.ask(dialled, A) == Rejection(8025, caller=A)


@pytest.mark.parametrize(
    "dialled",
    [f"{X},1234", f"{X}1234", "170000000011234", f"{X};ext=1234", f"tel:{X};isub=1234", f"sip:{X};ext=1234@h"],
)
def test_an_extension_dialled_with_x_routes_at_once(dialled: str) -> None:
    route = AXE.route(dialled, C)
    assert (route.callee, route.x, route.extension, route.display) == (A, X, "1234", X)


@pytest.mark.parametrize("dialled", [f"{X}12", f"{X},4321", f"{X};ext=12345"])
def test_a_wrong_extension_dialled_with_x_is_invalid(dialled: str) -> None:
    refused = AXE.refused(dialled, C)
    assert (refused.failure_code, refused.tone, refused.x) == (8022, "invalid_extension", X)


@pytest.mark.parametrize("board", [AXB, AX])
def test_digits_behind_an_x_without_extensions_make_another_number(board: Switchboard) -> None:
    assert board.refused(f"{X}1234", A).failure_code == 8025


def test_an_extension_beside_an_x_without_extensions_means_nothing() -> None:
    assert AXB.ask(f"{X};ext=1234", A) == AXB.ask(X, A)
    assert AXB.refused(f"{X},1234", C).extension is None


def test_a_15_digit_700_number_is_x_and_extension_and_is_shown_whole() -> None:
    board = Switchboard(store(Mode.AXE, axe(x=X_700), x=X_700))
    for dialled in ("700112345671234", f"{X_700}1234", "86700112345671234", f"{X_700},1234"):
        route = board.route(dialled, C)
        assert (route.callee, route.x, route.extension, route.display) == (A, X_700, "1234", X_700 + "1234")


def test_a_700_number_that_is_an_x_with_all_its_15_digits_comes_first() -> None:
    whole = X_700 + "1234"
    board = Switchboard(store(Mode.AXB, axb(x=whole), x=whole))
    board.store.add_number(PrivateNumber(X_700, app(Mode.AXE)))
    route = board.route("700112345671234", A)
    assert (route.x, route.display, route.callee) == (whole, whole, B)


def test_calling_back_from_a_700_number_shows_the_extension_too() -> None:
    board = Switchboard(store(Mode.AXE, axe(x=X_700, callback_number=B), x=X_700))
    assert board.route(X_700, A).display == X_700 + "1234"


# Digits keyed


@pytest.mark.parametrize("digits", ["1234", "1234#"])
def test_keyed_digits_are_the_extension(digits: str) -> None:
    route = AXE.route(X, C, digits=digits)
    assert (route.callee, route.extension, route.direction) == (A, "1234", 0)


@pytest.mark.parametrize(
    ("digits", "code", "tone"), [("", 8033, None), ("#", 8033, None), ("99", 8022, "invalid_extension")]
)
def test_no_or_wrong_digits_are_refused(digits: str, code: int, tone: str | None) -> None:
    refused = AXE.refused(X, C, digits=digits)
    assert (refused.failure_code, refused.tone, refused.extension) == (code, tone, digits.rstrip("#") or None)


def test_keyed_digits_come_before_those_dialled() -> None:
    assert AXE.route(f"{X},9999", C, digits="1234").callee == A


def test_keyed_digits_mean_nothing_to_other_modes() -> None:
    assert AXB.ask(X, A, digits="1234") == AXB.ask(X, A)


# Who reaches whom, through the whole of it


def test_ax_others_reach_a_and_a_reaches_the_temporary_callee() -> None:
    board = Switchboard(store(Mode.AX, ax()))
    board.store.set_callee("ax-1", B, user_data="order-7")
    inward, outward = board.route(X, C), board.route(X, A)
    assert (inward.callee, inward.display, inward.direction) == (A, X, 0)
    assert (outward.callee, outward.display, outward.direction, outward.binding.user_data) == (B, X, 1, "order-7")
    assert board.store.calls.get("consume_temporary_callee", 0) == 0


def test_axe_a_calls_back() -> None:
    board = Switchboard(store(Mode.AXE, axe()))
    board.store.records[X, A] = CallbackRecord(X, A, C, NOW)
    route = board.route(X, A)
    assert (route.callee, route.display, route.direction, route.extension) == (C, X, 1, "1234")


def test_a_fixed_line_that_is_a_party_may_not_call() -> None:
    board = Switchboard(store(Mode.AXB, axb(a=FIXED_LINE)))
    assert board.refused(X, "075528880001").failure_code == 8023
    assert board.route(X, B).callee == FIXED_LINE


# Bars


def test_international_callers_and_callees_are_barred() -> None:
    callee = Switchboard(store(Mode.AXB, axb(b=ABROAD)))
    assert AX.refused(X, "0012125550001").failure_code == 8042
    refused = callee.refused(X, A)
    assert (refused.failure_code, refused.binding_id, refused.direction) == (8043, "axb-1", 1)


def barred(table: str, binding: Binding, caller: str) -> int:
    board = Switchboard(store(binding.mode, binding))
    board.dialplan = dataclasses.replace(plan(), barring=_barring(table))
    decision = board.ask(X, caller)
    return decision.failure_code if isinstance(decision, Rejection) else 0


def _barring(table: str) -> Barring:
    return parse_dialplans({"1.toml": f'[numbers]\ncountry_code = "86"\n[barring]\n{table}'}).barring


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (f'callers = ["{C}"]', 7005),
        (f'callees = ["{A}"]', 7004),
        ('caller_prefixes = ["+86139"]', 7500),
        ('callee_prefixes = ["+86755", "+86138"]', 7500),
        (f'callers = ["{A}"]\ncallees = ["{C}"]', 0),
        ('caller_prefixes = ["+86138"]\ncallee_prefixes = ["+86139"]', 0),
    ],
)
def test_black_lists_and_barred_prefixes(table: str, code: int) -> None:
    assert barred(table, ax(), C) == code


def test_the_dialplan_may_let_international_calls_pass() -> None:
    table = "international_callers = false\ninternational_callees = false"
    assert barred(table, ax(), ABROAD) == 0
    assert barred(table, axb(b=ABROAD), A) == 0


# Routes and trunks


def test_a_callee_that_no_route_takes_is_7508() -> None:
    board = Switchboard(store(Mode.AXB, axb()), plan(LAB + 'classes = ["fixed"]'))
    refused = board.refused(X, A)
    assert (refused.failure_code, refused.direction, refused.binding_id) == (7508, 1, "axb-1")


def test_a_route_may_be_for_calls_of_one_trunk() -> None:
    board = Switchboard(store(Mode.AXB, axb()), plan(LAB + 'from_trunks = ["lab"]'))
    assert board.route(X, A, trunk="lab").callee == B
    assert board.refused(X, A).failure_code == 7508


def test_the_technical_prefix_of_a_trunk_is_taken_off_what_it_dials() -> None:
    table = LAB.replace("[[route]]", 'number_prefix_in = "99"\n[[route]]')
    board = Switchboard(store(Mode.AXB, axb()), plan(table))
    assert board.route("99" + X.removeprefix("+"), A, trunk="lab").callee == B
    assert board.refused("99" + X.removeprefix("+"), A).failure_code == 8025


def test_the_dialplan_of_the_moment_decides() -> None:
    board = Switchboard(store(Mode.AXB, axb()))
    assert board.route(X, A)
    board.dialplan = plan("")
    assert board.refused(X, A).failure_code == 7508


# Treatment


def test_ringback_is_that_of_the_side_that_calls() -> None:
    tones = {"caller_ringback": "by-a", "callee_ringback": "by-others"}
    board = Switchboard(store(Mode.AXB, axb(**tones)))
    assert [board.route(X, caller).treatment.ringback for caller in (A, B)] == ["by-a", "by-others"]
    assert treatment(ax(**tones)).ringback == "by-others"


def test_the_announcement_of_the_binding_comes_before_that_of_the_route() -> None:
    table = '[treatment.default]\nannouncement = "brand"\n'
    assert treatment(axb(announcement="mine.wav"), table).announcement == "mine.wav"
    assert treatment(axb(), table).announcement == "brand"
    assert treatment(axb()).announcement is None


def test_a_mandatory_announcement_that_nobody_names_is_7107() -> None:
    mandatory = LAB + "[treatment.AXB]\nannouncement_mandatory = true\n"
    board = Switchboard(store(Mode.AXB, axb()), plan(mandatory))
    assert board.refused(X, A).failure_code == 7107
    board.store.add(axb(announcement="mine.wav"))
    assert board.route(X, A).treatment.announcement_mandatory


@pytest.mark.parametrize(
    ("asked", "cap", "limit"), [(0, 0, 0), (600, 0, 600), (0, 300, 300), (600, 300, 300), (200, 300, 200)]
)
def test_the_shorter_of_binding_and_cap_limits_the_call(asked: int, cap: int, limit: int) -> None:
    found = treatment(axb(max_duration_s=asked), f"[treatment.AXB]\nmax_duration_s = {cap}\n")
    assert found.max_duration_s == limit


@pytest.mark.parametrize(("asked", "of_switch", "limit"), [(0, 90, 90), (600, 90, 90), (60, 90, 60)])
def test_the_limit_of_the_switch_is_every_calls_and_told(asked: int, of_switch: int, limit: int) -> None:
    board = Switchboard(store(Mode.AXB, axb(max_duration_s=asked)), explain=True, max_duration_s=of_switch)
    route = board.route(X, A)
    assert route.treatment.max_duration_s == limit
    assert f"at most {limit} s" in route.steps[-1]


def test_the_last_minute_tone_of_the_binding_comes_first() -> None:
    silent = '[treatment.default]\nlast_minute = ""\n'
    assert treatment(axb(max_duration_s=90, last_minute_tone="soon")).last_minute == "soon"
    assert treatment(axb(max_duration_s=90), silent).last_minute is None


@pytest.mark.parametrize(
    ("asked", "always", "app_records", "recorded"),
    [(True, False, True, True), (False, True, True, True), (False, False, True, False), (True, True, False, False)],
)
def test_recording_needs_the_app_and_either_binding_or_dialplan(
    asked: bool, always: bool, app_records: bool, recorded: bool
) -> None:
    table = f"[treatment.default]\nrecord = {str(always).lower()}\nstereo = true\n"
    found = treatment(axb(record=asked), table, recording=app_records)
    assert (found.record, found.stereo) == (recorded, True)


def test_only_axe_callers_hear_connecting() -> None:
    assert treatment(axe()).connecting == "connecting"
    assert treatment(axe(), '[treatment.AXE]\nconnecting = ""\n').connecting is None
    assert treatment(axb()).connecting is None


def test_the_treatment_that_a_route_names_is_the_narrowest() -> None:
    table = 'treatment = "english"\n[treatment.english]\nlanguage = "en-US"\n[treatment.AXB]\nlanguage = "de-DE"\n'
    assert treatment(axb(), table).language == "en-US"


def test_a_caller_is_asked_or_refused_in_the_language_of_the_mode() -> None:
    english = plan(LAB + '[treatment.AXE]\nlanguage = "en-US"\n')
    board = Switchboard(store(Mode.AXE, axe()), english)
    assert [board.ask(dialled, C).language for dialled in (X, f"{X},9999")] == ["en-US", "en-US"]  # type: ignore[union-attr]
    assert Switchboard(store(Mode.AXB, axb()), english).ask(X, C).language == ""  # type: ignore[union-attr]


# Cost and explanation


def test_nobody_asked_so_no_steps_are_told() -> None:
    assert AXB.route(X, A).steps == ()
    assert AXB.refused(X, C).steps == ()


def test_explaining_tells_the_same_decision_with_its_steps() -> None:
    board = dataclasses.replace(AXB, explain=True)
    told = board.route(X, "13800000001")
    assert structs.replace(told, steps=()) == AXB.route(X, A)
    assert told.steps[0] == f"Caller 13800000001, that is {A} (mobile)."
    assert any("the other party" in step for step in told.steps)


def test_every_refusal_tells_its_reason_when_asked() -> None:
    pool = MemoryStore(numbers=[PrivateNumber(X, app(Mode.AXE))], bindings=[axe()])
    board = Switchboard(pool, explain=True)
    for dialled, caller in ((X2, C), (X, ABROAD), (f"{X},99", C), (X, A), (f"{X},", C)):
        assert len(board.ask(dialled, caller).steps) >= 3


def test_one_call_asks_the_store_twice() -> None:
    board = Switchboard(store(Mode.AXB, axb()))
    board.route(X, A)
    assert board.store.calls == {"private_number": 1, "axb_binding": 1}
