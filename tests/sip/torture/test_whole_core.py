"""What goes out when a message of RFC 4475 or RFC 5118 comes in: the whole core, as its table in each module says."""

from __future__ import annotations

import hashlib
import re

import pytest

from softswitch.errors import SipParseError
from softswitch.sip.core import NewCall
from softswitch.sip.message import SipResponse, parse_message
from tests.sip.test_core import Bench
from tests.sip.torture import rfc4475_invalid, rfc4475_semantics, rfc4475_valid, rfc5118
from tests.sip.torture.notation import Torture, Treatment

SOURCE = ("192.0.2.77", 5099)
RFC4475 = (*rfc4475_valid.MESSAGES, *rfc4475_invalid.MESSAGES, *rfc4475_semantics.MESSAGES)
EVERY = [pytest.param(torture, id=torture.name) for torture in (*RFC4475, *rfc5118.MESSAGES)]
ANSWERED = [pytest.param(torture, id=torture.name) for torture in (*RFC4475, *rfc5118.MESSAGES) if torture.answered]
# Whose Content-Length says something else than the length of the body: the RFC's intent, or (RFC 5118) its mistake.
WRONG_LENGTH = {"dblreq", "clerr", "ncl", "mcl01", "inv2543", "ipv6-in-sdp", "mult-ip-in-sdp", "ipv4-mapped-ipv6"}
# SHA-256 of the files in the archive of RFC 4475 appendix A.1, of those messages whose bytes no eye can check.
ARCHIVED = {
    "wsinv": "d6f6cdee99cd0a1f8e3d9a0fdd67c877700e19ab86d8186dada06f61260e3e61",
    "intmeth": "b957a8292c1c0a9851fe94705b90f94320738f43aacde64998e401f742ef688d",
    "longreq": "185739292bc676760e5b1cca77c87705aa570240171c506ad76f8c35af0ecdaa",
    "mpart01": "92147c8e24997bac59629e1b163767697d0d6d499af87f89e325d69968bec3ba",
    "unreason": "4f939d6ebf4817eea70f011d3209e83732872ffc20ffd304b244084dc392f4d7",
    "noreason": "07e11e470a69fffa3674de805e5165d1351a9439a91045ee70c9570ea24ab4fe",
}


def test_no_message_of_the_rfcs_is_missing() -> None:
    assert (len(RFC4475), len(rfc5118.MESSAGES)) == (49, 12)
    assert len({torture.name for torture in (*RFC4475, *rfc5118.MESSAGES)}) == 61


@pytest.mark.parametrize("torture", EVERY)
def test_a_message_stands_here_as_the_rfc_prints_it(torture: Torture) -> None:
    """Every line ends in CRLF, and Content-Length counts what the RFC says it counts."""
    head, _, body = torture.data.partition(b"\r\n\r\n")
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", head) is None
    assert b"<hex>" not in head and b"<repeat" not in head and b"<allOneLine>" not in head
    length = re.search(rb"(?im)^(?:l|content-length)[ ]*:[ ]*(-?[0-9]+)", head)
    said = None if length is None else int(length.group(1))
    assert (said != len(body)) == (torture.name in WRONG_LENGTH)
    assert ARCHIVED.get(torture.name) in (None, hashlib.sha256(torture.data).hexdigest())


@pytest.mark.parametrize("torture", EVERY)
def test_a_message_is_treated_as_its_table_says(torture: Torture) -> None:
    bench = Bench()
    answers = bench.receive(torture.data, SOURCE)
    event = bench.core.next_event()
    assert [answer.status for answer in answers] == ([torture.treatment] if torture.answered else [])
    assert isinstance(event, NewCall) == (torture.treatment is Treatment.CALL)
    if torture.treatment is Treatment.DROPPED:
        assert bench.core.malformed == 1
    if torture.treatment in (Treatment.CALL, Treatment.IGNORED):
        assert bench.core.malformed == 0
    if torture.treatment is not Treatment.CALL:
        assert not bench.core.transactions
        assert not bench.core.sessions


@pytest.mark.parametrize("torture", ANSWERED)
def test_an_answer_goes_back_with_what_its_request_brought(torture: Torture) -> None:
    """RFC 3261 8.2.6.2 and 18.2.2: Vias, From, Call-ID and CSeq are the request's, `received` is where it came from."""
    bench = Bench()
    (answer,) = bench.receive(torture.data, SOURCE)
    request = _unchecked(torture.data)
    assert bench.sent[0].path.hop.host == SOURCE[0]
    for name in ("From", "Call-ID", "CSeq"):
        assert answer.headers.get(name) == request.headers.get(name)
    assert len(answer.headers.all("Via")) == len(request.headers.all("Via"))
    assert answer.headers.all("Via")[1:] == request.headers.all("Via")[1:]
    assert f"received={SOURCE[0]}" in answer.headers.all("Via")[0]


@pytest.mark.parametrize("torture", EVERY)
def test_a_message_that_came_twice_is_treated_twice_the_same(torture: Torture) -> None:
    bench = Bench()
    first = [answer.encode() for answer in bench.receive(torture.data, SOURCE)]
    again = [answer.encode() for answer in bench.receive(torture.data, SOURCE)]
    assert first == again
    assert len(bench.core.sessions) <= 1


@pytest.mark.parametrize("torture", EVERY)
def test_a_message_from_a_source_that_gets_silence_gets_silence(torture: Torture) -> None:
    bench = Bench()
    bench.core.accept_source = lambda source: None
    assert bench.receive(torture.data, SOURCE) == []
    assert bench.core.next_event() is None


@pytest.mark.parametrize("torture", EVERY)
def test_a_message_cut_anywhere_breaks_nothing(torture: Torture) -> None:
    """RFC 4475 1: "must not break" holds for each of them also where the rest was lost."""
    bench = Bench()
    for end in range(0, len(torture.data), 7):
        bench.receive(torture.data[:end], SOURCE)


def test_two_calls_whose_branch_is_the_cookie_alone_are_two() -> None:
    """RFC 4475 3.2.1: such a branch identifies nothing, RFC 2543's matching counts."""
    bench = Bench()
    first = rfc4475_invalid.BADBRANCH.replace(b"OPTIONS", b"INVITE")
    second = first.replace(b"badbranch.", b"another.")
    for data in (first, second, first):
        bench.receive(data, SOURCE)
    assert len(bench.core.sessions) == 2


def test_the_sdp_of_rfc_5118_is_a_call_once_its_length_is_right() -> None:
    """The RFC prints 268 for a body of 251: 400 by RFC 3261 18.3, and with the right length what section 4.6 says."""
    bench = Bench()
    bench.receive(rfc5118.IPV6_IN_SDP.replace(b": 268", b": 251"), SOURCE)
    assert isinstance(bench.core.next_event(), NewCall)


def _unchecked(data: bytes) -> SipResponse:
    """The message read as if it were a response: nothing of its start line or framing counts."""
    head = data.partition(b"\r\n\r\n")[0].split(b"\r\n", 1)[1]
    fields = [field for field in head.split(b"\r\n") if not re.match(rb"(?i)(l|content-length)[ ]*:", field)]
    message = parse_message(b"SIP/2.0 200 OK\r\n" + b"\r\n".join(fields) + b"\r\n\r\n")
    assert isinstance(message, SipResponse)
    return message


def test_a_response_that_is_malformed_is_never_answered() -> None:
    """RFC 3261 18.1.2, RFC 4475 3.1.2.5 and 3.1.2.19."""
    with pytest.raises(SipParseError):
        parse_message(rfc4475_invalid.BIGCODE)
    assert Bench().receive(rfc4475_invalid.SCALARLG, SOURCE) == []
