"""`softswitch explain`: a decision in words."""

from __future__ import annotations

import dataclasses

from softswitch.interfaces import Mode
from softswitch.routing.explain import explain
from tests.routing.scene import A, B, C, Switchboard, X, axb, axe, store

AXB = Switchboard(store(Mode.AXB, axb()), explain=True)


def test_a_route_tells_its_steps_and_then_whom_it_calls_how() -> None:
    lines = explain(AXB.ask(X, A))
    assert lines[0] == f"1. Caller {A}, that is {A} (mobile)."
    assert lines[-2:] == [
        f"=> Call {B} from {X} (binding axb-1).",
        f"   by lab: {B}@127.0.0.1:5090 over udp, showing {X}, ringing 60 s",
    ]


def test_a_refusal_tells_code_words_status_and_tone() -> None:
    assert explain(AXB.ask(X, C))[-1] == (
        "=> Refuse: 8014 no binding for this caller; SIP 404, Q.850 1; the caller hears 'no_binding'."
    )
    assert explain(AXB.ask(C, A))[-1] == "=> Refuse: 8025 X does not exist; SIP 404, Q.850 1; no tone."


def test_a_question_tells_what_is_played_and_collected() -> None:
    board = Switchboard(store(Mode.AXE, axe()))
    assert explain(board.ask(X, C)) == ["=> Answer, play 'enter_extension' and collect 4 digits."]


def test_without_steps_only_the_outcome_is_told() -> None:
    assert len(explain(dataclasses.replace(AXB.ask(X, A), steps=()))) == 2
