"""Whatever the bytes of a session description: parsed or SipParseError, and what was parsed is written and read again
the same (RFC 8866 5, RFC 3264).
"""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sdp.crypto import SUITES, Protection, fresh
from softswitch.sdp.description import Description, parse_description
from softswitch.sdp.offer_answer import accept_answer, answer, local_offer, parse_offer
from tests.support.sdp import written

EITHER = Protection(plain=True, ours=fresh(SUITES, bytes))
OURS = local_offer("10.0.0.1", 4000, session_id=1, version=1)
ADDRESSES = st.sampled_from(
    [
        "IN IP4 10.0.0.9",
        "IN IP4 0.0.0.0",
        "IN IP6 2001:db8::9",
        "IN IP4 224.2.1.1/127",
        "IN IP4 h.example",
        "IN IP4",
        "",
    ]
)
PORTS = st.sampled_from(["40000", "0", "9", "65535", "65536", "-1", "49170/2", "1/0", "x", "٣"])
FORMATS = st.lists(st.sampled_from(["0", "8", "18", "96", "101", "127", "128", "*", "t38"]), max_size=4).map(" ".join)
ATTRIBUTES = st.sampled_from(
    [
        *("rtpmap:96 PCMU/8000", "rtpmap:8 pcma/8000/1", "rtpmap:101 telephone-event/8000", "rtpmap:0 opus/48000/2"),
        *("rtpmap:96", "rtpmap:999 x/1", "rtpmap:96 x/9999999", "rtpmap: ", "fmtp:101 0-15", "fmtp:", "ptime:20"),
        *("ptime:x", "ptime:-1", "ptime:99999999999", "ptime:20.5", "sendonly", "recvonly", "inactive", "sendrecv"),
        *("sendrecv:x", "rtcp-mux", "rtcp:5 IN IP4 1.2.3.4", "", ":", "a:b:c", "ice-ufrag:x", "maxptime:0", "ptime:٣"),
        *(
            "crypto:",
            "crypto",
            f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}",
            "crypto:1 AES_CM inline:A|2^1|1:1",
        ),
    ]
)
LINES = st.one_of(
    ADDRESSES.map(lambda value: f"c={value}"),
    ADDRESSES.map(lambda value: f"o=- 1 1 {value}"),
    st.tuples(st.sampled_from(["audio", "video", "image", "text", "AUDIO"]), PORTS, FORMATS).map(
        lambda it: f"m={it[0]} {it[1]} RTP/AVP {it[2]}"
    ),
    st.sampled_from(
        ["m=audio 4000 RTP/SAVP 8", "m=image 4000 udptl t38", "m=audio", "m=", "v=0", "v=1", "s=", "t=0 0"]
    ),
    ATTRIBUTES.map(lambda value: f"a={value}"),
    st.sampled_from(["b=AS:64", "k=x", "z=1", "Z=1", "x", "=", "a", " a=x", "s=\x00", "i=ü", "e=a@b"]),
)
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\n\n"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A description of plausible lines in any order behind, mostly, a right beginning."""
    start = draw(st.sampled_from(["v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nt=0 0\r\n"] * 3 + ["v=0\r\n", ""]))
    lines = draw(st.lists(st.tuples(LINES, ENDS).map("".join), max_size=12))
    return (start + "".join(lines)).encode()


@given(bodies() | st.binary(max_size=80))
def test_a_description_survives_being_written_or_is_refused(body: bytes) -> None:
    try:
        description = parse_description(body)
    except SipParseError:
        return
    assert parse_description(written(description)) == description
    read_everything(description)


@given(bodies())
def test_any_description_is_an_offer_and_an_answer_or_refused(body: bytes) -> None:
    with contextlib.suppress(SipParseError):
        offer = parse_offer(body, EITHER)
        answered = answer(offer, "10.0.0.1", 4002, session_id=2, version=1, protection=EITHER)
        if answered is not None:
            assert len(parse_description(answered.body).media) == len(parse_description(body).media)
            assert answered.negotiated.remote_port in range(1, 65536)
    with contextlib.suppress(SipParseError):
        accept_answer(OURS, body)


def read_everything(description: Description) -> None:
    """Nothing that is asked of a parsed description raises."""
    for media in description.media:
        assert all(0 <= payload_type <= 999 for payload_type in media.encodings())
        description.direction_of(media)
        connection = description.connection_of(media)
        if connection is not None:
            assert not (connection.unspecified and not connection.unicast)
