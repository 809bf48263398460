"""AX rows of call treatment's "Who reaches whom"; provisioning interface 3.5, 3.6 and the turnFlag of section 12."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from softswitch.interfaces import Binding, Mode, Rejection
from softswitch.routing.attempt import Reached
from softswitch.routing.ax import decide
from tests.routing.scene import NOW, A, B, C, attempt, ax, store

RINGING = {"caller_ringback": "heard-by-a", "callee_ringback": "heard-by-others"}


def ask(
    caller: str, *bindings: Binding, callee: str = "", callee_options: Any = None, **more: Any
) -> Reached | Rejection:
    memory = store(Mode.AX, *bindings)
    if callee:
        memory.set_callee("ax-1", callee, **(callee_options or {}))
    return asyncio.run(decide(attempt(Mode.AX, caller, **more), memory))


def refusal(*args: Any, **more: Any) -> tuple[int, str | None, int]:
    refused = ask(*args, **more)
    assert isinstance(refused, Rejection)
    return refused.failure_code, refused.tone, refused.direction


@pytest.mark.parametrize("caller", [C, ""])
@pytest.mark.parametrize("call_direction", [0, 2])
def test_anyone_reaches_a(caller: str, call_direction: int) -> None:
    binding = ax(call_direction=call_direction, **RINGING)
    assert ask(caller, binding) == Reached(binding, A, 0, "heard-by-others")


@pytest.mark.parametrize("call_direction", [0, 1])
def test_a_reaches_the_temporary_callee(call_direction: int) -> None:
    binding = ax(call_direction=call_direction, user_data="of-binding", **RINGING)
    assert ask(A, binding, callee=B) == Reached(binding, B, 1, "heard-by-a")


def test_the_user_data_of_the_temporary_callee_replaces_that_of_the_binding() -> None:
    binding = ax(user_data="of-binding")
    reached = ask(A, binding, callee=B, callee_options={"user_data": "of-callee"})
    assert reached == Reached(structs.replace(binding, user_data="of-callee"), B, 1)


def test_without_a_temporary_callee_a_is_refused_8013() -> None:
    assert refusal(A, ax()) == (8013, None, 1)
    assert refusal(A, ax(), callee=B, callee_options={"expires_at": NOW}) == (8013, None, 1)


def test_deciding_does_not_use_up_the_temporary_callee() -> None:
    memory = store(Mode.AX, ax())
    memory.set_callee("ax-1", B)
    for _ in range(2):
        assert isinstance(asyncio.run(decide(attempt(Mode.AX, A), memory)), Reached)


def test_a_direction_that_is_not_allowed_is_8016() -> None:
    assert refusal(A, ax(call_direction=2), callee=B) == (8016, None, 1)
    assert refusal(C, ax(call_direction=1)) == (8016, None, 0)


def test_a_number_that_is_turned_off_sounds_powered_off_to_others_only() -> None:
    assert refusal(C, ax(turned_on=False)) == (8104, "powered_off", 0)
    assert isinstance(ask(A, ax(turned_on=False), callee=B), Reached)


def test_an_x_that_nobody_is_bound_to_has_no_permission() -> None:
    assert refusal(C) == (8018, "no_permission", 2)


def test_a_fixed_line_a_may_only_be_called_and_other_fixed_lines_may_call() -> None:
    assert refusal(A, ax(), callee=B, caller_class="fixed") == (8023, None, 1)
    assert isinstance(ask(C, ax(), caller_class="fixed"), Reached)
