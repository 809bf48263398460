"""Nobody can be hit by us harder than by whoever forges his address (RFC 3261 26.1.5), whatever comes in his name.

By UDP from a stranger, or from a trunk's address that owes its password: all that is sent on account of a datagram, in
the minute after it too, is no longer than the datagram.
"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from softswitch.sip.digest import Account, Credentials, answer, strongest
from softswitch.sip.message import parse_message
from softswitch.sip.overload import Overload, OverloadLimits
from tests.properties.test_mutated_torture import CORPUS, mutants
from tests.sip.test_core import request
from tests.sip.test_stateless import PROVING, STRANGER, Gate

METHODS = ["INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL", "ACK", "PRACK", "UPDATE", "INFO", "NOTIFY", "NONSENSE"]
HEADERS: dict[str, list[str]] = {
    "Via": [
        "SIP/2.0/UDP h;rport",
        "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1",
        "SIP/2.0/TCP [::1]:1;branch=2;rport, x",
        "x",
    ],
    "Max-Forwards": ["0", "70", "many"],
    "From": ["<sip:a@h>;tag=a", "sip:a@h", "broken <", "f"],
    "To": ["<sip:100@10.0.0.1>", "sip:a;tag=guessed", "t"],
    "Call-ID": ["c", "a-longer-one@10.0.0.9"],
    "CSeq": ["1 {method}", "0 X", "many"],
    "Contact": ["<sip:a@h>"],
    "Require": ["100rel, unheard-of", "x"],
    "Accept": ["text/html"],
    "Content-Type": ["application/sdp", "text/plain"],
    "Session-Expires": ["1"],
    "Supported": ["timer"],
    "User-Agent": ["x" * 100, "y" * 300],
    "Record-Route": ["<sip:p;lr>", ", ".join(["<sip:proxy.example.net;lr>"] * 5)],
    "Authorization": ["Digest", 'Digest realm="softswitch"', "Basic x", "{credentials}"],
}


@st.composite
def messages(draw: st.DrawFn) -> str:
    """A request with any of these headers, in any order, some of them missing or twice."""
    method = draw(st.sampled_from(METHODS))
    usual = [name for name in ("Via", "From", "To", "Call-ID", "CSeq") if draw(st.integers(0, 9))]
    names = draw(st.permutations(usual + draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=5))))
    lines = [f"{name}: {draw(st.sampled_from(HEADERS[name])).replace('{method}', method)}" for name in names]
    uri = draw(st.sampled_from(["x", "sip:100@10.0.0.1", "sips:100@10.0.0.1", "http://h"]))
    return "\r\n".join([f"{method} {uri} SIP/2.0", *lines, "", draw(st.sampled_from(["", "v=0"]))])


def credentials(gate: Gate, password: str) -> str:
    """The answer to a challenge that came back for a long INVITE."""
    (challenged,) = gate.knock(request(X="x" * 400))
    (challenge,) = strongest(parse_message(challenged).headers.all("WWW-Authenticate"))
    made: Credentials = answer(challenge, Account("them", password), "INVITE", "x", cnonce="c")
    return str(made)


@settings(max_examples=500)
@given(
    st.lists(messages() | mutants(), min_size=1, max_size=4),
    st.sampled_from([PROVING, STRANGER]),
    st.sampled_from([False, None]),
    st.booleans(),
    st.booleans(),
)
@example([*CORPUS], PROVING, False, False, False)
@example([*CORPUS], STRANGER, False, False, False)
def test_whoever_may_be_forged_gets_no_more_than_came(
    sent: list[str | bytes], source: object, others: bool | None, full: bool, draining: bool
) -> None:
    assert source in (PROVING, STRANGER)
    gate = Gate(others=others)
    wrong = credentials(gate, "guessed")
    if full:
        gate.entrance.overload = Overload(OverloadLimits(calls=1), lambda: 1)
    gate.core.draining = draining
    for text in sent:
        data = text if isinstance(text, bytes) else text.replace("{credentials}", wrong).encode()
        out = gate.knock(data, PROVING if source == PROVING else STRANGER)
        assert sum(map(len, out)) <= len(data), out
    assert not gate.core.sessions
    assert not gate.core.transactions


def test_a_refusal_for_want_of_room_is_no_longer_either() -> None:
    gate = Gate()
    gate.entrance.overload = Overload(OverloadLimits(calls=1), lambda: 1)
    short = "INVITE x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCSeq: 1 INVITE\r\n\r\n"
    assert gate.knock(short) == []
    assert gate.entrance.counts == {"calls": 1}
    (refused,) = gate.knock(request(X="x" * 100))
    assert refused.startswith(b"SIP/2.0 503")
