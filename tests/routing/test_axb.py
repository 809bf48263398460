"""AXB rows of call treatment's "Who reaches whom"; provisioning interface 2.5."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from softswitch.interfaces import Binding, Mode, Rejection
from softswitch.routing.attempt import Reached
from softswitch.routing.axb import decide
from tests.routing.scene import NOW, A, B, C, attempt, axb, store


def ask(caller: str, *bindings: Binding, **more: Any) -> Reached | Rejection:
    return asyncio.run(decide(attempt(Mode.AXB, caller, **more), store(Mode.AXB, *bindings)))


RINGING = {"caller_ringback": "heard-by-a", "callee_ringback": "heard-by-b"}


@pytest.mark.parametrize(
    ("caller", "callee", "direction", "ringback"), [(A, B, 1, "heard-by-a"), (B, A, 0, "heard-by-b")]
)
@pytest.mark.parametrize("both", [True, False])
def test_a_and_b_reach_each_other(caller: str, callee: str, direction: int, ringback: str, both: bool) -> None:
    binding = axb(call_direction=0 if both else 2 - direction, **RINGING)
    assert ask(caller, binding) == Reached(binding, callee, direction, ringback)


@pytest.mark.parametrize(("caller", "call_direction", "direction"), [(A, 2, 1), (B, 1, 0)])
def test_a_direction_that_is_not_allowed_is_8016(caller: str, call_direction: int, direction: int) -> None:
    refused = ask(caller, axb(call_direction=call_direction))
    assert isinstance(refused, Rejection)
    assert (refused.failure_code, refused.tone, refused.direction) == (8016, None, direction)
    assert refused.binding_id == "axb-1"


@pytest.mark.parametrize("caller", [C, ""])
def test_anyone_else_hears_no_binding(caller: str) -> None:
    refused = ask(caller, axb(), axb(id="axb-2", a=C, b=None, x="+8617000000009"))
    assert isinstance(refused, Rejection)
    assert (refused.failure_code, refused.tone, refused.direction) == (8014, "no_binding", 2)


def test_an_expired_binding_is_none() -> None:
    refused = ask(A, axb(expires_at=NOW))
    assert isinstance(refused, Rejection)
    assert refused.failure_code == 8014


@pytest.mark.parametrize("caller", [A, B])
def test_a_fixed_line_may_only_be_called(caller: str) -> None:
    refused = ask(caller, axb(call_direction=1), caller_class="fixed")
    assert isinstance(refused, Rejection)
    assert refused.failure_code == 8023
