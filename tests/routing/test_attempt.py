"""The question that modes answer, and the trace that tells how."""

from __future__ import annotations

from msgspec import structs

from softswitch.interfaces import Mode, Rejection
from softswitch.routing.attempt import SilentTrace, Trace
from tests.routing.scene import A, X, attempt, axb


def test_a_trace_keeps_its_sentences_in_order() -> None:
    trace = Trace()
    trace.note("X is {}.", X)
    trace.note("Nobody is bound.")
    assert trace.steps == [f"X is {X}.", "Nobody is bound."]


def test_a_silent_trace_formats_and_keeps_nothing() -> None:
    class Unprintable:
        def __format__(self, spec: str) -> str:
            raise AssertionError("formatted for nobody")

    trace = SilentTrace()
    trace.note("{}", Unprintable())
    assert trace.steps == []


def test_a_rejection_carries_what_is_known() -> None:
    known = {"mode": Mode.AXB, "app_key": "app-AXB", "x": X, "caller": A}
    assert attempt(Mode.AXB, A).rejected(8014) == Rejection(8014, tone="no_binding", **known)  # type: ignore[arg-type]
    assert attempt(Mode.AXB, A, extension="12").rejected(8016, axb(), direction=1) == Rejection(
        8016,
        extension="12",
        binding_id="axb-1",
        direction=1,
        **known,  # type: ignore[arg-type]
    )


def test_a_tone_of_the_binding_replaces_the_usual_one() -> None:
    assert attempt(Mode.AXE, A).rejected(8022, tone="sorry").tone == "sorry"


def test_only_the_fixed_class_is_a_fixed_line() -> None:
    mobile = attempt(Mode.AXB, A)
    assert not mobile.from_fixed_line
    assert structs.replace(mobile, caller_class="fixed").from_fixed_line
