"""Whatever a dialplan says of two trunks, neither side of a call through them learns the other's number or address.

Call treatment, "Neither side may ever learn the other's real number". Both sides write theirs all over, plainly
and in disguise, also into headers that the trunks let pass.
"""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from softswitch.routing.numbers import NumberForm
from tests.call.test_smuggling import FORMS, Talkative, answered, assert_hidden, talkative
from tests.support.calls import CALLER, FIRST, SWITCH, X_AXB, A, B, Lab, play
from tests.support.peer import Pairs

NAMES = ("User-to-User", "X-Number", "X-Order")
RULES = st.fixed_dictionaries(
    {
        "identity": st.sampled_from(["pai", "rpid", "both", "none"]),
        "privacy": st.sampled_from(["never", "caller", "always"]),
        "trusted": st.booleans(),
        "from_user": st.sampled_from(["", "account"]),
        "from_host": st.sampled_from(["", "carrier.example"]),
        "user_phone": st.booleans(),
        "number_form": st.sampled_from(NumberForm),
        "number_strip": st.sampled_from(["", "86", "1"]),
        "number_prefix": st.sampled_from(["", "00", "12800"]),
        "to_form": st.sampled_from([*NumberForm, "as_dialled"]),
        "caller_id_form": st.sampled_from(NumberForm),
        "caller_id_prefix": st.sampled_from(["", "0"]),
        "pass_headers": st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
        "codec_order": st.sampled_from(["caller", "trunk"]),
    }
)


def disguises(number: str) -> Pairs:
    """The number in headers that may pass, in ways that only a reader who looks for it would find."""
    digits = number.removeprefix("+86")
    swapped = "".join(b + a for a, b in zip(digits[::2], digits[1::2] + "f", strict=True))
    values = [digits, digits.encode().hex(), base64.b64encode(digits.encode()).decode(), swapped, digits[::-1]]
    return [(name, value) for name in NAMES for value in values]


def readings(number: str) -> list[bytes]:
    """What must not stand in a message of the other side."""
    return [value.encode() for _, value in disguises(number)]


@settings(max_examples=40, deadline=None)
@given(RULES, RULES, st.integers(0, 3), st.booleans())
def test_no_setting_of_trunks_shows_one_side_the_other(
    ours: dict[str, Any], theirs: dict[str, Any], form: int, private: bool
) -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", **ours)
        lab.set_trunk("first", **theirs)
        caller, callee = talkative(lab.caller, FORMS[A][form]), talkative(lab.callee, FORMS[B][form])
        await call(caller, callee, private=private)
        assert_hidden(lab, A, FIRST, "10.0.0.9")
        assert_hidden(lab, B, CALLER, "10.0.0.21", "10.0.0.22")
        for towards, number in ((FIRST, A), (CALLER, B)):
            for sent in lab.wire.trace:
                if sent.source == SWITCH and sent.destination == towards:
                    assert not [one for one in readings(number) if one in sent.data], sent.text
        assert lab.metrics.leaks == []
        assert (await lab.cdr()).failure == 0

    play(story)


async def call(caller: Talkative, callee: Talkative, *, private: bool) -> None:
    """From INVITE to BYE, each message with all that its side can say."""
    more = [*disguises(A), *([("Privacy", "id")] if private else [])]
    caller.invite_x(X_AXB, A, more)
    invite = await callee.receive_request("INVITE")
    for status, body in ((180, b""), (200, callee.sdp(1))):
        callee.reply(invite, status, body=body, more=disguises(B))
    await callee.receive("ACK")
    await answered(caller)
    caller.ask("BYE")
    await caller.receive_response(200)
    callee.reply(await callee.receive_request("BYE"), 200)
