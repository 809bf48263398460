"""The torture messages of RFC 4475 and RFC 5118 cut, crossed and bent: the core raises nothing, whatever comes.

RFC 4475 1: a receiver must not break. Beside that: whatever is answered is a response that parses, nobody is sent much
more than he sent, and the values of every header that could be read can be written and read again.
"""

from __future__ import annotations

import contextlib
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.headers import parse_name_addr, parse_via
from softswitch.sip.message import SipResponse, parse_message
from softswitch.sip.uri import parse_uri
from tests.properties.test_against_sipmessage import ADDRESSES, URIS, VIAS
from tests.sip.test_core import Bench
from tests.sip.torture import rfc4475_invalid, rfc4475_semantics, rfc4475_valid, rfc5118

SOURCE = ("192.0.2.77", 5099)
CORPUS = [
    torture.data
    for module in (rfc4475_valid, rfc4475_invalid, rfc4475_semantics, rfc5118)
    for torture in module.MESSAGES
]
PIECES = sorted(
    {piece for data in CORPUS for piece in re.split(rb"(\r\n|[ ;,=<>:@\"?]+)", data)[:200] if len(piece) < 60}
)
# What our own answer adds to what a request brought: status line, our tag, received, Server, Allow, Content-Length.
ADDED = 400


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """One of the messages, a few of its pieces lost, doubled, swapped, or replaced by those of others."""
    pieces = re.split(rb"(\r\n|[ ;,=<>:@\"?]+)", draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 5))):
        index = draw(st.integers(0, len(pieces) - 1))
        new = draw(st.sampled_from(["lose", "double", "swap", "replace", "bytes"]))
        other = draw(st.integers(0, len(pieces) - 1))
        if new == "lose":
            pieces[index] = b""
        elif new == "double":
            pieces[index] *= 2
        elif new == "swap":
            pieces[index], pieces[other] = pieces[other], pieces[index]
        else:
            pieces[index] = draw(st.sampled_from(PIECES) if new == "replace" else st.binary(max_size=4))
    return b"".join(pieces)


@settings(max_examples=300, deadline=None)
@given(st.lists(mutants(), min_size=1, max_size=4))
def test_the_core_answers_or_is_silent_and_never_breaks(datagrams: list[bytes]) -> None:
    bench = Bench()
    for data in datagrams:
        bench.core.receive_datagram(data, SOURCE, bench.now)
        for datagram in bench.core.datagrams_to_send():
            assert isinstance(parse_message(datagram.data), SipResponse)
            assert datagram.path.hop.host == SOURCE[0]
            assert len(datagram.data) <= len(data) + ADDED
        while bench.core.next_event() is not None:
            pass
    for session in list(bench.core.sessions.values()):
        session.hang_up()
    bench.pass_time(200.0)
    assert not bench.core.transactions
    assert not bench.core.sessions


@settings(max_examples=300, deadline=None)
@given(ADDRESSES | URIS | VIAS)
def test_what_could_be_read_is_read_again_from_what_is_written(text: str) -> None:
    for parse in (parse_name_addr, parse_via, parse_uri):
        with contextlib.suppress(SipParseError):
            value: object = parse(text)
            assert parse(str(value)) == value
