"""AXE rows of call treatment's "Who reaches whom"; provisioning interface 4.5 and section 12."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from softswitch.interfaces import Binding, CallbackRecord, Mode, NeedExtension, Rejection
from softswitch.routing.attempt import Reached
from softswitch.routing.axe import decide
from tests.routing.scene import NOW, A, B, C, X, attempt, axe, store

ASKED = NeedExtension("app-AXE", X, C, 4)


def ask(
    caller: str, *bindings: Binding, record: CallbackRecord | None = None, **more: Any
) -> Reached | NeedExtension | Rejection:
    memory = store(Mode.AXE, *bindings)
    if record:
        asyncio.run(memory.remember_caller(record))
    return asyncio.run(decide(attempt(Mode.AXE, caller, **more), memory))


def refusal(*args: Any, **more: Any) -> tuple[int, str | None, int]:
    refused = ask(*args, **more)
    assert isinstance(refused, Rejection)
    return refused.failure_code, refused.tone, refused.direction


# Others call


@pytest.mark.parametrize("caller", [C, ""])
@pytest.mark.parametrize("caller_class", ["mobile", "fixed"])
def test_a_known_extension_reaches_its_a(caller: str, caller_class: str) -> None:
    binding = axe()
    assert ask(caller, binding, extension="1234", caller_class=caller_class) == Reached(binding, A, 0, None, "1234")


@pytest.mark.parametrize("caller_class", ["mobile", "fixed"])
def test_without_an_extension_the_caller_is_asked(caller_class: str) -> None:
    assert ask(C, axe(), caller_class=caller_class) == ASKED


def test_nothing_keyed_is_8033() -> None:
    assert refusal(C, axe(), extension="") == (8033, None, 2)


@pytest.mark.parametrize("extension", ["1235", "123", "12345"])
def test_an_unknown_extension_is_invalid(extension: str) -> None:
    assert refusal(C, axe(), extension=extension) == (8022, "invalid_extension", 2)


def test_an_expired_extension_is_invalid() -> None:
    assert refusal(C, axe(expires_at=NOW), extension="1234") == (8022, "invalid_extension", 2)


# An A calls

RECORD = CallbackRecord(X, A, C, at=NOW - 100)


@pytest.mark.parametrize("lifetime", [0, 100, 101])
def test_an_a_calls_its_latest_caller_back(lifetime: int) -> None:
    binding = axe(callback_lifetime_s=lifetime, callback_number=B)
    assert ask(A, binding, record=RECORD) == Reached(binding, C, 1, None, "1234")


@pytest.mark.parametrize(
    ("record", "lifetime"), [(None, 0), (RECORD, 99), (CallbackRecord(X, A, "", at=NOW), 0)], ids=str
)
def test_without_a_fresh_record_the_callback_number_or_tone_takes_over(
    record: CallbackRecord | None, lifetime: int
) -> None:
    tone = axe(callback_lifetime_s=lifetime, callback_tone="sorry")
    number = axe(callback_lifetime_s=lifetime, callback_number=B)
    assert refusal(A, tone, record=record) == (8019, "sorry", 1)
    assert refusal(A, axe(callback_lifetime_s=lifetime), record=record) == (8019, None, 1)
    assert ask(A, number, record=record) == Reached(number, B, 1, None, "1234")


def test_an_a_that_is_bound_twice_is_one_a_for_call_back() -> None:
    newer = axe(id="axe-2", extension="5678", created_at=1.0)
    assert ask(A, axe(), newer, record=RECORD) == Reached(newer, C, 1, None, "5678")


def test_an_a_that_dials_an_extension_is_an_ordinary_caller() -> None:
    other = axe(id="axe-2", a=B, extension="5678")
    assert ask(A, axe(), other, record=RECORD, extension="5678") == Reached(other, B, 0, None, "5678")


def test_an_a_does_not_reach_itself() -> None:
    assert refusal(A, axe(), extension="1234") == (8022, "invalid_extension", 0)


@pytest.mark.parametrize(("extension", "direction"), [(None, 1), ("5678", 0)])
def test_a_fixed_line_that_is_an_a_may_only_be_called(extension: str | None, direction: int) -> None:
    bindings = axe(), axe(id="axe-2", a=B, extension="5678")
    assert refusal(A, *bindings, record=RECORD, extension=extension, caller_class="fixed") == (8023, None, direction)
