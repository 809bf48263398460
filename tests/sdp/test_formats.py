"""Codecs in session descriptions: payload types, Opus and its parameters (RFC 7587), events by clock (RFC 4733)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.interfaces import Coding
from softswitch.sdp.formats import CODECS, Formats, formats_of
from softswitch.sdp.offer_answer import Answer, Negotiated, accept_answer, answer, local_offer, parse_offer
from tests.sdp.test_offer_answer import HEAD, lines

ALL = ("opus", "G722", "PCMA", "PCMU")
OPUS = b"a=rtpmap:111 opus/48000/2\r\n"
EVENTS = b"a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n"
THEIRS = HEAD + b"m=audio 4000 RTP/AVP 111 9 8 110 126\r\n" + OPUS + EVENTS


def take(body: bytes, codecs: tuple[str, ...] = ALL, **wishes: Any) -> Answer | None:
    """Our answer to an offer."""
    return answer(
        parse_offer(body, codecs=codecs), "192.0.2.1", 6000, session_id=7, version=3, **{"codecs": codecs, **wishes}
    )


def taken(body: bytes, codecs: tuple[str, ...] = ALL, **wishes: Any) -> Negotiated:
    answered = take(body, codecs, **wishes)
    assert answered is not None
    return answered.negotiated


def coding_of(body: bytes) -> Coding:
    coding = taken(body, ("opus",)).coding
    assert coding is not None
    return coding


def offered(*codecs: str, **wishes: Any) -> bytes:
    return local_offer("192.0.2.1", 6000, session_id=7, version=1, codecs=codecs, **wishes)


# What we offer


def test_each_codec_is_offered_as_its_document_says_with_events_of_its_clock() -> None:
    """RFC 7587 7: two channels, 48 kHz. RFC 3551 4.5.2: G.722 has a clock of 8 kHz. RFC 4733 2.1: so have events."""
    assert lines(offered("opus", "G722", "PCMA"))[5:] == [
        "m=audio 6000 RTP/AVP 96 9 8 101 102",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:102 telephone-event/48000",
        "a=fmtp:102 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]


def test_opus_alone_is_offered_with_events_of_8_khz_too_for_those_who_know_no_other() -> None:
    assert lines(offered("opus"))[5] == "m=audio 6000 RTP/AVP 96 101 102"
    assert b"a=rtpmap:101 telephone-event/8000" in offered("opus")
    assert b"a=rtpmap:102 telephone-event/48000" in offered("opus")
    assert b"telephone-event" not in offered("opus", "PCMA", telephone_event=None)


def known(theirs: bytes) -> Formats:
    return parse_offer(theirs, codecs=ALL).formats


def test_what_is_offered_anew_keeps_the_numbers_that_the_session_knows() -> None:
    """RFC 3264 8.3.2: FreeSWITCH has Opus where our events of 48 kHz are. What is left finds a free number."""
    again = lines(offered("opus", "G722", "PCMA", known=known(THEIRS.replace(b"111", b"102"))))
    assert again[5] == "m=audio 6000 RTP/AVP 102 9 8 126 110"
    assert {"a=rtpmap:102 opus/48000/2", "a=rtpmap:110 telephone-event/48000"} <= {*again}
    again = lines(offered("opus", "PCMA", known=known(THEIRS.replace(b"110", b"96").replace(b"opus", b"x"))))
    assert again[5] == "m=audio 6000 RTP/AVP 97 8 126 96"
    assert {"a=rtpmap:97 opus/48000/2", "a=rtpmap:96 telephone-event/48000"} <= {*again}
    silent = known(THEIRS.replace(b"telephone-event", b"x"))
    assert lines(offered("opus", known=silent))[5] == "m=audio 6000 RTP/AVP 111 101 102"


def test_events_of_8_khz_beside_opus_alone_are_offered_again() -> None:
    theirs = THEIRS.replace(b"a=rtpmap:110 telephone-event/48000\r\n", b"")
    assert lines(offered("opus", known=known(theirs)))[5] == "m=audio 6000 RTP/AVP 111 126 102"


def test_a_codec_that_is_named_twice_is_offered_once() -> None:
    assert offered("opus", "PCMA", "opus") == offered("opus", "PCMA")


def test_offers_without_a_dynamic_codec_are_the_same_at_all_times() -> None:
    for codecs in (("PCMA", "PCMU"), ("G722", "PCMA")):
        assert offered(*codecs, known=known(THEIRS.replace(b"126", b"96"))) == offered(*codecs)


# What we answer


def test_opus_is_answered_under_the_offers_numbers_with_events_of_its_clock() -> None:
    answered = take(THEIRS)
    assert answered is not None
    assert lines(answered.body)[5:] == [
        "m=audio 6000 RTP/AVP 111 110",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1",
        "a=rtpmap:110 telephone-event/48000",
        "a=fmtp:110 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]
    coding = Coding("opus", 111, 48000)
    assert answered.negotiated == Negotiated("10.0.0.1", 4000, "opus", 111, 110, 110, True, True, 20, coding=coding)


def test_g722_is_answered_with_events_of_8_khz() -> None:
    agreed = taken(THEIRS, ("G722", "opus"))
    assert (agreed.codec, agreed.payload_type, agreed.telephone_event) == ("G722", 9, 126)
    assert agreed.coding == Coding("G722", 9, 8000)


def test_a_peer_that_has_events_of_8_khz_beside_opus_is_taken_at_its_word() -> None:
    answered = take(THEIRS.replace(b"a=rtpmap:110 telephone-event/48000\r\n", b""), ("opus",))
    assert answered is not None
    assert answered.negotiated.telephone_event == 126
    assert answered.negotiated.coding == Coding("opus", 111, 8000)
    assert b"a=rtpmap:126 telephone-event/8000" in answered.body


def test_events_of_48_khz_are_of_no_use_beside_g711() -> None:
    body = HEAD + b"m=audio 4000 RTP/AVP 8 110\r\na=rtpmap:110 telephone-event/48000\r\n"
    assert taken(body).telephone_event is None
    none = taken(HEAD + b"m=audio 4000 RTP/AVP 111\r\n" + OPUS)
    assert (none.telephone_event, none.coding) == (None, Coding("opus", 111))


def test_codecs_that_were_not_wished_for_are_not_taken() -> None:
    assert take(THEIRS, ("PCMU",)) is None
    assert parse_offer(THEIRS, codecs=("PCMU",)).codecs == ()
    assert parse_offer(THEIRS).codecs == ("PCMA",)
    assert taken(THEIRS, ("PCMA", "PCMU")).coding is None


def test_the_first_line_with_a_codec_that_was_wished_for_is_the_one_that_counts() -> None:
    body = HEAD + b"m=audio 4000 RTP/AVP 111\r\n" + OPUS + b"m=audio 4002 RTP/AVP 8\r\na=sendonly\r\n"
    assert parse_offer(body).direction == "sendonly"
    assert taken(body, ("PCMA",)).remote_port == 4002
    assert taken(body, ALL).remote_port == 4000


@pytest.mark.parametrize(
    "format_lines",
    [
        b"RTP/AVP 111\r\na=rtpmap:111 opus/48000\r\n",  # RFC 7587 7: MUST be 2
        b"RTP/AVP 111\r\na=rtpmap:111 opus/16000/2\r\n",
        b"RTP/AVP 13\r\na=rtpmap:13 opus/48000/2\r\n",  # the number of comfort noise
        b"RTP/AVP 97\r\na=rtpmap:97 G722/8000\r\n",
        b"RTP/AVP 9\r\na=rtpmap:9 G722/16000\r\n",
        b"RTP/AVP 200 x 111\r\n",
    ],
)
def test_what_is_not_written_as_its_document_says_is_not_ours(format_lines: bytes) -> None:
    assert take(HEAD + b"m=audio 4000 " + format_lines) is None


@pytest.mark.parametrize(
    ("parameters", "bitrate", "fec"),
    [
        (b"useinbandfec=1", 0, True),
        (b"minptime=10;useinbandfec=1;maxaveragebitrate=12000", 12000, True),
        (b"MaxAverageBitrate = 8000 ; stereo=1", 8000, False),
        (b"maxaveragebitrate=fast;useinbandfec=yes", 0, False),
        (b"maxaveragebitrate=99999999999999", 0, False),
        (b"useinbandfec=1;useinbandfec=0", 0, True),
        (b";;=;x", 0, False),
        (b"", 0, False),
    ],
)
def test_parameters_of_opus_are_read_as_far_as_they_make_sense(parameters: bytes, bitrate: int, fec: bool) -> None:
    """RFC 7587 6.1."""
    coding = coding_of(THEIRS + b"a=fmtp:111 " + parameters + b"\r\n")
    assert (coding.bitrate, coding.fec) == (bitrate, fec)


def test_how_opus_is_liked_is_read() -> None:
    """RFC 7587 6.1."""
    coding = coding_of(THEIRS + b"a=fmtp:111 cbr=1; usedtx=0\r\n")
    assert (coding.cbr, coding.dtx) == (True, False)
    coding = coding_of(THEIRS + b"a=fmtp:111 usedtx=1;CBR=0\r\n")
    assert (coding.cbr, coding.dtx) == (False, True)


def test_what_somebody_asks_of_opus_is_passed_on_and_nothing_else_of_it() -> None:
    """RFC 7587 7: whose packets pass is the sender that it is said to."""
    asked = b"a=fmtp:111 x-who=anna;usedtx=1;maxaveragebitrate=20000;stereo=1;sprop-stereo=1;maxplaybackrate=16 kHz\r\n"
    likes = "maxaveragebitrate=20000;stereo=1;usedtx=1"
    assert parse_offer(THEIRS + asked, codecs=ALL).likes == likes
    assert taken(THEIRS + asked).likes == likes
    assert (
        taken(THEIRS + asked, ("G722", "PCMA")).likes == parse_offer(HEAD + b"m=audio 4000 RTP/AVP 8\r\n").likes == ""
    )
    line = b"a=fmtp:96 useinbandfec=1;maxaveragebitrate=20000;stereo=1;usedtx=1\r\n"
    assert line in offered("opus", "PCMA", liked=likes)
    answered = take(THEIRS, liked=likes)
    assert answered is not None
    assert line.replace(b"96", b"111") in answered.body


def test_parameters_belong_to_their_payload_type_and_the_first_line_counts() -> None:
    assert not coding_of(THEIRS + b"a=fmtp:110 0-15\r\na=fmtp:9 useinbandfec=1\r\na=fmtp:x y\r\na=fmtp\r\n").fec
    assert coding_of(THEIRS + b"a=fmtp:111 useinbandfec=1\r\na=fmtp:111 useinbandfec=0\r\n").fec


@pytest.mark.parametrize(("asked", "opus", "g722"), [(10, 10, 10), (30, 20, 30), (50, 40, 50), (60, 60, 60)])
def test_packets_are_as_long_as_was_asked_or_the_next_shorter_frame_of_opus(asked: int, opus: int, g722: int) -> None:
    body = THEIRS + f"a=ptime:{asked}\r\n".encode()
    assert (taken(body, ("opus",)).ptime_ms, taken(body, ("G722",)).ptime_ms) == (opus, g722)
    assert taken(THEIRS + b"a=ptime:60\r\na=maxptime:30\r\n", ("opus",)).ptime_ms == 20


# Answers to our offer


def test_what_is_sent_bears_the_answers_number_and_what_comes_the_offers() -> None:
    """RFC 3264 6.1, where an answerer has numbers of its own."""
    agreed = accept_answer(offered("opus", "PCMA"), THEIRS)
    assert agreed is not None
    assert (agreed.codec, agreed.payload_type, agreed.telephone_event, agreed.telephone_event_in) == (
        "opus",
        111,
        110,
        102,
    )
    assert agreed.coding == Coding("opus", 96, 48000, event_in_other=101)


def test_an_answer_with_a_codec_that_we_did_not_offer_comes_to_the_next() -> None:
    agreed = accept_answer(offered("G722", "PCMA"), THEIRS)
    assert agreed is not None
    assert (agreed.codec, agreed.coding) == ("G722", Coding("G722", 9))
    assert accept_answer(offered("PCMU"), THEIRS) is None


def test_an_answer_with_events_of_8_khz_beside_opus_is_taken_at_its_word_and_unoffered_ones_are_none() -> None:
    body = HEAD + b"m=audio 4000 RTP/AVP 111 126\r\n" + OPUS + b"a=rtpmap:126 telephone-event/8000\r\n"
    agreed = accept_answer(offered("opus"), body)
    assert agreed is not None
    assert (agreed.telephone_event, agreed.telephone_event_in, agreed.coding) == (
        126,
        101,
        Coding("opus", 96, event_in_other=102),
    )
    agreed = accept_answer(offered("opus", telephone_event=None), body)
    assert agreed is not None
    assert (agreed.telephone_event, agreed.telephone_event_in, agreed.coding) == (None, None, Coding("opus", 96))


CHOICE = st.lists(st.sampled_from(sorted(CODECS)), min_size=1, unique=True)


@given(CHOICE, CHOICE, st.booleans())
def test_two_of_us_agree_on_what_both_have_and_on_nothing_else(
    mine: list[str], theirs: list[str], events: bool
) -> None:
    body = offered(*mine, telephone_event=101 if events else None)
    answered = take(body, tuple(theirs))
    if answered is None:
        assert not set(mine) & set(theirs)
        return
    far, near = answered.negotiated, accept_answer(body, answered.body)
    assert near is not None
    assert near.codec == far.codec == next(codec for codec in theirs if codec in mine)
    assert near.payload_type == far.payload_type
    other = 203 - near.telephone_event_in if near.telephone_event_in and near.coding and "opus" in mine else 0
    fec, number = near.codec == "opus", far.payload_type
    assert near.coding == (
        near.coding and Coding(near.codec, number, near.coding.event_clock, fec=fec, event_in_other=other)
    )
    assert (near.telephone_event is not None) == events
    assert near.telephone_event == near.telephone_event_in == far.telephone_event
    clock = CODECS[near.codec].clock_rate
    assert near.coding is None or near.coding.event_clock == (clock if events else 8000)


@given(st.binary(max_size=80), st.lists(st.integers(0, 300), max_size=6))
def test_formats_of_anything_are_numbers_of_ours(noise: bytes, numbers: list[int]) -> None:
    text = " ".join(map(str, numbers)) or "8"
    value = noise.decode("latin-1").replace("\n", "").replace("\r", "")
    body = HEAD.decode() + f"m=audio 4000 RTP/AVP {text}\r\na=fmtp:111 {value}\r\na=rtpmap:111 {value}\r\n"
    (media,) = parse_offer(body.encode("utf-8"), codecs=ALL).description.media
    named = formats_of(media)
    assert set(named.codecs) <= set(CODECS)
    assert {*named.codecs.values(), *named.events.values()} <= set(numbers) | {8}
