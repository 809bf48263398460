"""`softswitch explain`: a decision in words."""

from __future__ import annotations

import re

import pytest
from msgspec import structs

from softswitch.interfaces import Mode
from softswitch.routing.explain import explain
from tests.routing.scene import LAB, A, B, C, Switchboard, X, axb, axe, plan, store

AXB = Switchboard(store(Mode.AXB, axb()), explain=True)


def test_a_route_tells_its_steps_and_then_whom_it_calls_how() -> None:
    lines = explain(AXB.ask(X, A))
    assert lines[0] == f"1. Caller {A}, that is {A} (mobile)."
    assert lines[-2:] == [
        f"=> Call {B} from {X} (binding axb-1).",
        f"   by lab: {B}@127.0.0.1:5090 over udp, showing {X}, ringing 60 s",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('identity = "rpid"', f"showing {X} (Remote-Party-ID), ringing"),
        ('identity = "none"\nfrom_user = "us"', f"showing {X} (no assertion) from us, ringing"),
        ('identity = "both"\nprivacy = "caller"', "(PAI and RPID), hidden where the caller asks for it, ringing"),
        ('privacy = "always"', f"showing {X}, hidden from the callee, ringing"),
    ],
)
def test_how_x_is_shown_is_told_too(options: str, words: str) -> None:
    board = Switchboard(store(Mode.AXB, axb()), plan(LAB.replace("port = 5090", f"port = 5090\n{options}")))
    assert words in explain(board.ask(X, A))[-1]


def test_a_refusal_tells_code_words_status_and_tone() -> None:
    assert explain(AXB.ask(X, C))[-1] == (
        "=> Refuse: 8014 no binding for this caller; SIP 404, Q.850 1; the caller hears 'no_binding'."
    )
    assert explain(AXB.ask(C, A))[-1] == "=> Refuse: 8025 X does not exist; SIP 404, Q.850 1; no tone."


def test_a_question_tells_what_is_played_and_collected() -> None:
    board = Switchboard(store(Mode.AXE, axe()))
    assert explain(board.ask(X, C)) == ["=> Answer, play 'enter_extension' and collect 4 digits."]


def test_a_caller_who_was_asked_is_answered_and_gets_no_status_any_more() -> None:
    board = Switchboard(store(Mode.AXE, axe()))
    asked = board.asked_for_extension(X, C)
    question, again, end = explain(board.ask(X, C, digits="9999"), asked, tries=3)
    assert question == "=> Answer, play 'enter_extension' and collect 4 digits."
    assert again == "=> After that play 'invalid_extension' and ask again, 3 times in all."
    assert end.endswith("the caller hears 'invalid_extension', then BYE, Q.850 1.")
    assert explain(board.ask(X, C, digits=""), asked, tries=2)[1:] == [
        "=> After that ask again, 2 times in all.",
        "=> Hang up: 8033 no extension keyed; the caller hears 'busy', then BYE, Q.850 1.",
    ]
    assert len(explain(board.ask(X, C, digits="9999"), asked)) == 2
    assert explain(board.ask(X, C, digits="1234"), asked)[1].startswith(f"=> Call {A} from {X}")


def test_what_there_is_not_and_what_holds_is_told_in_words() -> None:
    steps = " ".join(explain(AXB.ask(X, A)))
    assert "Announcement none (mandatory: no), ringback none, recording no, at most 0 s (0: no limit)." in steps
    assert "The extension dialled with it: none." in steps
    assert not re.search(r"\b(None|True|False)\b", steps)


def test_without_steps_only_the_outcome_is_told() -> None:
    assert len(explain(structs.replace(AXB.ask(X, A), steps=()))) == 2
