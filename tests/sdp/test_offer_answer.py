"""Offer and answer (RFC 3264) with G.711 and telephone events (RFC 3551, RFC 4733)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sdp.description import Media, parse_description
from softswitch.sdp.formats import PAYLOAD_TYPES
from softswitch.sdp.offer_answer import (
    Answer,
    Negotiated,
    PacketTimes,
    accept_answer,
    answer,
    local_offer,
    parse_offer,
    read_answer,
)

HEAD = b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
AUDIO = b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
OURS = local_offer("192.0.2.1", 6000, session_id=7, version=1)


def take(offer: bytes, **wishes: Any) -> Answer | None:
    return answer(parse_offer(offer), "192.0.2.1", 6000, session_id=7, version=3, **wishes)


def taken(offer: bytes, **wishes: Any) -> Negotiated:
    answered = take(offer, **wishes)
    assert answered is not None
    return answered.negotiated


def lines(body: bytes) -> list[str]:
    return body.decode().split("\r\n")[:-1]


# Our own offer


def test_our_offer_names_g711_telephone_events_and_nothing_else() -> None:
    assert lines(OURS) == [
        "v=0",
        "o=- 7 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 6000 RTP/AVP 8 0 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]


def test_our_offer_takes_every_wish() -> None:
    offer = local_offer(
        "::1",
        1,
        session_id=1,
        version=2,
        codecs=("PCMU",),
        direction="inactive",
        telephone_event=None,
        packets=PacketTimes(30),
    )
    assert lines(offer)[3:] == [
        "c=IN IP6 ::1",
        "t=0 0",
        "m=audio 1 RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:30",
        "a=inactive",
    ]


# Answering


def test_our_answer_names_one_codec_by_our_preference_and_the_offers_events() -> None:
    answered = take(HEAD + AUDIO.replace(b"101", b"96"))
    assert answered is not None
    assert lines(answered.body) == [
        "v=0",
        "o=- 7 3 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 6000 RTP/AVP 8 96",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]
    assert answered.negotiated == Negotiated("10.0.0.1", 4000, "PCMA", 8, 96, 96, True, True, 20)


def test_preference_and_force_choose_the_codec() -> None:
    assert taken(HEAD + AUDIO, codecs=("PCMU", "PCMA")).codec == "PCMU"
    assert taken(HEAD + AUDIO, codec="PCMU").codec == "PCMU"
    assert take(HEAD + b"m=audio 4000 RTP/AVP 8\r\n", codec="PCMU") is None


def test_an_offer_without_events_gets_none() -> None:
    answered = take(HEAD + b"m=audio 4000 RTP/AVP 8\r\n")
    assert answered is not None
    assert b"telephone-event" not in answered.body
    assert answered.negotiated.telephone_event is None
    assert answered.negotiated.telephone_event_in is None


def test_g711_counts_under_its_static_payload_type_alone() -> None:
    formats = b"a=rtpmap:99 PCMA/8000\r\na=rtpmap:0 pcmu/8000/1\r\n"
    assert taken(HEAD + b"m=audio 4000 RTP/AVP 99 0\r\n" + formats).payload_type == 0
    assert take(HEAD + b"m=audio 4000 RTP/AVP 99\r\n" + formats) is None


def test_a_static_payload_type_that_is_mapped_to_something_else_is_not_g711() -> None:
    assert take(HEAD + b"m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/16000\r\n") is None


def test_formats_that_are_no_payload_types_are_passed_over() -> None:
    assert taken(HEAD + b"m=audio 4000 RTP/AVP x 128 0008 8 8\r\n").payload_type == 8


@pytest.mark.parametrize(
    "media",
    [
        b"",
        b"m=audio 4000 RTP/AVP 18\r\n",
        b"m=audio 0 RTP/AVP 8\r\n",
        b"m=audio 4000 RTP/SAVP 8\r\n",
        b"m=video 4000 RTP/AVP 8\r\n",
        b"m=audio 4000 RTP/AVP 8\r\nc=IN IP4 media.example.com\r\n",
        b"m=audio 4000 RTP/AVP 8\r\nc=IN IP4 233.252.0.1/127\r\n",
    ],
)
def test_an_offer_with_nothing_for_us_is_not_answered(media: bytes) -> None:
    # 488 (RFC 3261 13.3.1.3)
    assert take(HEAD + media) is None
    offer = parse_offer(HEAD + media)
    assert (offer.codecs, offer.direction) == ((), "inactive")


def test_an_offer_without_any_address_is_not_answered() -> None:
    assert take(b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 8\r\n") is None


def test_every_other_stream_is_refused_in_its_place() -> None:
    # RFC 3264 6: as many m-lines as the offer, in the same order, port 0 refuses.
    others = b"m=audio 1 RTP/AVP 18\r\nm=video 2/2 RTP/SAVP 99 98\r\na=x\r\nm=application 3 TCP *\r\n"
    answered = take(HEAD + others[:22] + AUDIO + others[22:] + AUDIO)
    assert answered is not None
    assert [line for line in lines(answered.body) if line[:2] == "m="] == [
        "m=audio 0 RTP/AVP 18",
        "m=audio 6000 RTP/AVP 8 101",
        "m=video 0 RTP/SAVP 99 98",
        "m=application 0 TCP *",
        "m=audio 0 RTP/AVP 0 8 101",
    ]
    assert "a=x" not in lines(answered.body)


def test_an_offer_may_speak_of_itself_in_any_case_and_in_ipv6() -> None:
    offer = parse_offer(HEAD + b"m=AUDIO 4000 rtp/avp 8\r\nc=IN IP6 2001:db8::5\r\n")
    answered = answer(offer, "2001:db8::1", 6000, session_id=7, version=3)
    assert answered is not None
    assert answered.negotiated.remote_address == "2001:db8::5"
    assert lines(answered.body)[3] == "c=IN IP6 2001:db8::1"


def test_only_an_address_of_its_own_family_reaches_a_stream_unless_it_is_on_hold_without_one() -> None:
    six, held = (parse_offer(HEAD + AUDIO + line) for line in (b"c=IN IP6 2001:db8::5\r\n", b"c=IN IP4 0.0.0.0\r\n"))
    assert (six.ipv6, held.ipv6, parse_offer(HEAD).ipv6) == (True, False, False)
    assert (six.reaches("::1"), six.reaches("192.0.2.1"), held.reaches("::1")) == (True, False, True)
    assert not parse_offer(HEAD).reaches("::1")
    assert answer(six, "192.0.2.1", 6000, session_id=7, version=3) is None
    assert answer(held, "::1", 6000, session_id=7, version=3) is not None
    assert accept_answer(OURS, HEAD + AUDIO + b"c=IN IP6 2001:db8::5\r\n") is None


@pytest.mark.parametrize(
    ("attribute", "port"),
    [
        (b"a=rtcp:5005\r\n", 5005),
        (b"a=rtcp:5005 IN IP4 10.0.0.9\r\n", 5005),
        (b"a=rtcp:70000\r\n", 0),
        (b"a=rtcp:123456\r\n", 0),
        (b"a=rtcp\r\n", 0),
        (b"a=rtcp:x\r\n", 0),
        ("a=rtcp:\u0665\r\n".encode(), 0),
        (b"", 0),
    ],
)
def test_reports_may_be_wanted_at_a_port_of_their_own(attribute: bytes, port: int) -> None:
    """RFC 3605 2.1."""
    assert taken(HEAD + AUDIO + attribute).rtcp_port == port


def test_reports_share_the_port_of_rtp_where_that_was_offered() -> None:
    """RFC 5761 5.1.1: an answer has a=rtcp-mux only where the offer had it; ours never offer it."""
    answered = take(HEAD + AUDIO + b"a=rtcp-mux\r\n")
    assert answered is not None
    assert answered.negotiated.rtcp_mux and "a=rtcp-mux" in lines(answered.body)
    plain = take(HEAD + AUDIO)
    assert plain is not None
    assert not plain.negotiated.rtcp_mux and b"rtcp" not in plain.body + OURS
    agreed = accept_answer(OURS, HEAD + AUDIO + b"a=rtcp-mux\r\n")
    assert agreed is not None and not agreed.rtcp_mux


@pytest.mark.parametrize(("asked", "ptime_ms"), [(b"a=maxptime:10\r\n", 10), (b"a=ptime:40\r\na=maxptime:30\r\n", 30)])
def test_packets_are_never_longer_than_the_far_end_can_take(asked: bytes, ptime_ms: int) -> None:
    """RFC 8866 6.5."""
    assert taken(HEAD + AUDIO + asked).ptime_ms == ptime_ms


@pytest.mark.parametrize(
    ("offered", "wanted", "settled", "sending", "receiving"),
    [
        ("sendrecv", "sendrecv", "sendrecv", True, True),
        ("sendrecv", "sendonly", "sendonly", True, False),
        ("sendrecv", "recvonly", "recvonly", False, True),
        ("sendrecv", "inactive", "inactive", False, False),
        ("sendonly", "sendrecv", "recvonly", False, True),
        ("sendonly", "sendonly", "inactive", False, False),
        ("recvonly", "sendrecv", "sendonly", True, False),
        ("recvonly", "recvonly", "inactive", False, False),
        ("inactive", "sendrecv", "inactive", False, False),
    ],
)
def test_the_direction_is_what_both_want(
    offered: str, wanted: str, settled: str, sending: bool, receiving: bool
) -> None:
    # RFC 3264 6.1
    answered = take(HEAD + AUDIO + f"a={offered}\r\n".encode(), direction=wanted)
    assert answered is not None
    assert lines(answered.body)[-1] == f"a={settled}"
    assert (answered.negotiated.sending, answered.negotiated.receiving) == (sending, receiving)
    mirrored = {"sendonly": "recvonly", "recvonly": "sendonly"}
    assert answered.negotiated.far_direction == mirrored.get(settled, settled)


@pytest.mark.parametrize("connection", [b"c=IN IP4 0.0.0.0\r\n", b"c=IN IP6 ::\r\n"])
def test_the_old_hold_takes_nothing_from_us(connection: bytes) -> None:
    # RFC 3264 8.4, RFC 2543 B.5
    offer = HEAD + AUDIO + connection
    answered = take(offer)
    assert answered is not None
    assert not answered.negotiated.sending
    assert lines(answered.body)[-1] == "a=recvonly"
    assert parse_offer(offer).direction == "sendonly"


@pytest.mark.parametrize(("asked", "ptime_ms"), [(b"40", 40), (b"20", 20), (b"25", 20), (b"200", 20), (b"x", 20)])
def test_the_packet_time_is_the_offers_where_we_can_keep_it(asked: bytes, ptime_ms: int) -> None:
    assert taken(HEAD + AUDIO + b"a=ptime:" + asked + b"\r\n").ptime_ms == ptime_ms


def test_our_own_packet_time_is_written_in_the_answer() -> None:
    answered = take(HEAD + AUDIO, packets=PacketTimes(30, 60))
    assert answered is not None
    assert lines(answered.body)[-3:-1] == ["a=ptime:30", "a=maxptime:60"]


@pytest.mark.parametrize("body", [b"", b"nonsense", HEAD + b"m=audio 0 RTP/AVP 8\r\n"])
def test_an_answer_that_is_of_no_use_is_none_whatever_it_is(body: bytes) -> None:
    assert read_answer(local_offer("192.0.2.1", 1, session_id=1, version=1), body) is None


def test_an_offer_tells_its_codecs_in_its_order_and_its_direction() -> None:
    refused_first = HEAD + b"m=audio 0 RTP/AVP 8\r\n" + AUDIO + b"a=sendonly\r\n"
    offer = parse_offer(refused_first)
    assert (offer.codecs, offer.direction) == (("PCMU", "PCMA"), "sendonly")


def test_a_body_that_is_no_sdp_is_refused() -> None:
    with pytest.raises(SipParseError):
        parse_offer(b"hello")


# The answer to our offer


def test_our_offer_is_agreed_with_the_answers_payload_types() -> None:
    # RFC 3264 6.1: each side sends with the payload types that the other one named.
    theirs = HEAD + b"m=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\n"
    assert accept_answer(OURS, theirs) == Negotiated("10.0.0.1", 4000, "PCMU", 0, 96, 101, True, True, 30)


def test_the_first_codec_of_the_answer_is_used() -> None:
    agreed = accept_answer(OURS, HEAD + b"m=audio 4000 RTP/AVP 18 0 8\r\n")
    assert agreed is not None
    assert (agreed.codec, agreed.telephone_event, agreed.telephone_event_in) == ("PCMU", None, None)


def test_events_that_we_did_not_offer_are_not_agreed() -> None:
    agreed = accept_answer(local_offer("192.0.2.1", 1, session_id=1, version=1, telephone_event=None), HEAD + AUDIO)
    assert agreed is not None
    assert (agreed.telephone_event, agreed.telephone_event_in) == (None, None)


@pytest.mark.parametrize(
    "media",
    [b"", b"m=audio 0 RTP/AVP 8\r\n", b"m=audio 4000 RTP/AVP 18\r\n", b"m=video 4000 RTP/AVP 8\r\n"],
)
def test_an_answer_that_refuses_our_stream_agrees_on_nothing(media: bytes) -> None:
    assert accept_answer(OURS, HEAD + media) is None


def test_a_codec_that_we_did_not_offer_is_not_agreed() -> None:
    assert (
        accept_answer(
            local_offer("192.0.2.1", 1, session_id=1, version=1, codecs=["PCMA"]), HEAD + b"m=audio 1 RTP/AVP 0\r\n"
        )
        is None
    )


def test_an_answer_of_more_streams_than_we_offered_is_taken_at_its_first() -> None:
    assert accept_answer(OURS, HEAD + AUDIO + b"m=video 1 RTP/AVP 99\r\n") is not None


@pytest.mark.parametrize(
    ("offered", "answered", "sending", "receiving"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendrecv", "recvonly", True, False),
        ("sendrecv", "sendonly", False, True),
        ("sendonly", "recvonly", True, False),
        ("inactive", "inactive", False, False),
        ("sendonly", "sendrecv", True, False),
    ],
)
def test_the_direction_of_our_offer_bounds_the_answer(
    offered: str, answered: str, sending: bool, receiving: bool
) -> None:
    offer = local_offer("192.0.2.1", 1, session_id=1, version=1, direction=offered)
    agreed = accept_answer(offer, HEAD + AUDIO + f"a={answered}\r\n".encode())
    assert agreed is not None
    assert (agreed.sending, agreed.receiving) == (sending, receiving)


def test_an_answer_with_the_old_hold_takes_nothing_from_us() -> None:
    agreed = accept_answer(OURS, HEAD + AUDIO + b"c=IN IP4 0.0.0.0\r\n")
    assert agreed is not None
    assert not agreed.sending


def test_an_answer_that_is_no_sdp_is_refused() -> None:
    with pytest.raises(SipParseError):
        accept_answer(OURS, b"hello")


# Properties

DIRECTIONS = st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"])
SENDS = {"sendrecv", "sendonly"}
RECEIVES = {"sendrecv", "recvonly"}
STREAMS = st.builds(
    lambda kind, port, protocol, formats, direction: (
        f"m={kind} {port} {protocol} {' '.join(formats)}\r\na=rtpmap:96 telephone-event/8000\r\n"
        f"a=rtpmap:97 PCMU/8000\r\na={direction}\r\n"
    ).encode(),
    st.sampled_from(["audio", "audio", "video", "application"]),
    st.sampled_from([0, 4000, 65535]),
    st.sampled_from(["RTP/AVP", "RTP/AVP", "RTP/SAVPF", "TCP"]),
    st.lists(st.sampled_from(["0", "8", "18", "96", "97", "101", "*"]), min_size=1, max_size=5),
    DIRECTIONS,
)


def shape(media: Media) -> tuple[str, str]:
    return media.media, media.protocol


@given(st.lists(STREAMS, max_size=5), DIRECTIONS)
def test_any_answer_mirrors_the_streams_and_grants_no_more_than_offered(streams: list[bytes], wanted: str) -> None:
    offer = HEAD + b"".join(streams)
    answered = take(offer, direction=wanted)
    if answered is None:
        return
    theirs, ours = parse_description(offer), parse_description(answered.body)
    assert [shape(media) for media in ours.media] == [shape(media) for media in theirs.media]
    taken_streams = [(one, other) for one, other in zip(theirs.media, ours.media, strict=True) if other.port]
    assert len(taken_streams) == 1
    ((one, other),) = taken_streams
    assert set(other.formats) <= set(one.formats)
    offered, settled = theirs.direction_of(one), ours.direction_of(other)
    assert (settled in SENDS) == (wanted in SENDS and offered in RECEIVES)
    assert (settled in RECEIVES) == (wanted in RECEIVES and offered in SENDS)


@given(DIRECTIONS, DIRECTIONS, st.permutations(list(PAYLOAD_TYPES)), st.none() | st.integers(96, 127))
def test_both_sides_of_an_exchange_agree(offered: str, wanted: str, codecs: list[str], events: int | None) -> None:
    offer = local_offer(
        "10.0.0.1", 4000, session_id=1, version=1, codecs=codecs, direction=offered, telephone_event=events
    )
    answered = take(offer, direction=wanted)
    assert answered is not None
    them, us = accept_answer(offer, answered.body), answered.negotiated
    assert them is not None
    assert (them.codec, them.payload_type, them.sending, them.receiving) == (
        us.codec,
        us.payload_type,
        us.receiving,
        us.sending,
    )
    assert them.telephone_event == them.telephone_event_in == us.telephone_event == us.telephone_event_in == events
    assert (them.remote_address, them.remote_port) == ("192.0.2.1", 6000)


@given(st.binary(max_size=80).map(lambda tail: HEAD + AUDIO + tail) | st.binary(max_size=80))
def test_any_bytes_are_an_offer_or_refused(body: bytes) -> None:
    with contextlib.suppress(SipParseError):
        take(body)
    with contextlib.suppress(SipParseError):
        accept_answer(OURS, body)
