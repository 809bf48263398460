"""Asking the running switch: its answer, its refusal, or its silence, each in one line."""

from __future__ import annotations

import json

import pytest

from softswitch.cli.switch import ask_switch
from softswitch.config import Config
from softswitch.errors import SoftswitchError
from tests.cli.operations_page import Page, operations_page


def config(port: int, host: str = "0.0.0.0") -> Config:
    return Config.model_validate({"ops": {"listen": f"{host}:{port}"}})


def test_what_is_told_arrives_and_the_answer_comes_back() -> None:
    with operations_page({("POST", "/trace"): Page({"on": True})}) as page:
        assert ask_switch(config(page.port), "/trace", method="POST", told={"what": "all"}) == {"on": True}
    assert json.loads(page.told[0]) == {"what": "all"}


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"detail": "not traced"}, "the switch refuses: not traced"),
        ({"detail": [{"loc": ["body", "ratio"], "msg": "too much"}]}, "the switch refuses: ratio: too much"),
        (["?"], "the switch refuses: None"),
    ],
)
def test_a_refusal_is_told_in_the_switchs_words(detail: object, words: str) -> None:
    with (
        operations_page({("GET", "/trace"): Page(detail, 422)}) as page,
        pytest.raises(SoftswitchError, match=words),
    ):
        ask_switch(config(page.port), "/trace")


def test_no_answer_names_the_place_that_was_asked() -> None:
    with (
        operations_page({("GET", "/calls"): Page(None, 500)}) as page,
        pytest.raises(SoftswitchError, match="is it running"),
    ):
        ask_switch(config(page.port), "/calls")
    with pytest.raises(SoftswitchError, match=r"no answer from the switch at http://\[::1\]:1/calls"):
        ask_switch(config(1, "[::]"), "/calls")
