"""SDP session descriptions (RFC 8866)."""

from __future__ import annotations

import pytest

from softswitch.errors import SipParseError
from softswitch.sdp.description import (
    Connection,
    Description,
    Encoding,
    Media,
    Origin,
    address_family,
    parse_description,
)
from tests.support.sdp import written

BODY = (
    b"v=0\r\n"
    b"o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
    b"s=Call to John Smith\r\n"
    b"c=IN IP4 198.51.100.1\r\n"
    b"t=0 0\r\n"
    b"a=recvonly\r\n"
    b"m=audio 49170 RTP/AVP 0 8 97\r\n"
    b"a=rtpmap:97 telephone-event/8000\r\n"
    b"a=sendonly\r\n"
    b"m=video 51372/2 RTP/AVP 99\r\n"
    b"c=IN IP6 2001:db8::2\r\n"
    b"a=rtpmap:99 h263-1998/90000\r\n"
)
MINIMAL = b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\n"


def parse_media(*lines: bytes) -> Media:
    (media,) = parse_description(MINIMAL + b"".join(line + b"\r\n" for line in lines)).media
    return media


def test_every_field_is_found() -> None:
    audio = Media(
        "audio",
        49170,
        "RTP/AVP",
        ("0", "8", "97"),
        1,
        None,
        (("rtpmap", "97 telephone-event/8000"), ("sendonly", None)),
    )
    video = Media(
        "video", 51372, "RTP/AVP", ("99",), 2, Connection("IP6", "2001:db8::2"), (("rtpmap", "99 h263-1998/90000"),)
    )
    assert parse_description(BODY) == Description(
        Origin("jdoe", "3724394400", "3724394405", "IP4", "198.51.100.1"),
        (audio, video),
        Connection("IP4", "198.51.100.1"),
        (("recvonly", None),),
        "Call to John Smith",
        "0 0",
    )


def test_a_description_is_written_as_it_was_read() -> None:
    assert written(parse_description(BODY)) == BODY


def test_bytes_that_are_no_utf8_survive() -> None:
    body = BODY.replace(b"John", b"J\xffhn")
    assert written(parse_description(body)) == body


def test_lines_may_end_in_lf_alone_and_the_last_in_nothing() -> None:
    # RFC 8866 5: "parsers SHOULD be tolerant"
    assert parse_description(BODY.replace(b"\r\n", b"\n").rstrip()) == parse_description(BODY)


def test_fields_of_other_types_are_passed_over() -> None:
    body = BODY.replace(b"t=0 0\r\n", b"i=words\r\nb=AS:64\r\nt=0 0\r\nz=0 0\r\n").replace(
        b"\r\nc=IN IP6", b"\r\nk=x\r\nc=IN IP6"
    )
    assert parse_description(body) == parse_description(BODY)


def test_session_name_and_timing_may_be_missing() -> None:
    description = parse_description(MINIMAL)
    assert (description.session_name, description.timing, description.media) == ("-", "0 0", ())


def test_the_connection_of_a_stream_is_its_own_or_the_sessions() -> None:
    # RFC 8866 5.7
    description = parse_description(BODY)
    audio, video = description.media
    assert description.connection_of(audio) == Connection("IP4", "198.51.100.1")
    assert description.connection_of(video) == Connection("IP6", "2001:db8::2")


def test_the_direction_of_a_stream_is_its_own_or_the_sessions_or_both_ways() -> None:
    # RFC 8866 6.7
    description = parse_description(BODY)
    audio, video = description.media
    assert description.direction_of(audio) == "sendonly"
    assert description.direction_of(video) == "recvonly"
    assert parse_description(MINIMAL).direction_of(audio) == "sendonly"
    assert parse_description(MINIMAL).direction_of(video) == "sendrecv"


def test_a_multicast_time_to_live_is_no_part_of_the_address() -> None:
    connection = parse_media(b"m=audio 1 RTP/AVP 0", b"c=IN IP4 233.252.0.1/127").connection
    assert connection == Connection("IP4", "233.252.0.1")
    assert not connection.unicast


@pytest.mark.parametrize(
    ("address", "unicast", "unspecified"),
    [
        ("10.0.0.1", True, False),
        ("0.0.0.0", True, True),
        ("::", True, True),
        ("2001:db8::1", True, False),
        ("media.example.com", False, False),
        ("ff02::1", False, False),
    ],
)
def test_only_a_numeric_address_of_one_host_is_unicast(address: str, unicast: bool, unspecified: bool) -> None:
    connection = Connection(address_family(address), address)
    assert (connection.unicast, connection.unspecified) == (unicast, unspecified)


def test_rtpmaps_tell_what_payload_types_stand_for() -> None:
    media = parse_media(
        b"m=audio 1 RTP/AVP 96 97 98",
        b"a=rtpmap:96 opus/48000/2",
        b"a=rtpmap:97  pcma/8000",
        b"a=rtpmap:98",
        b"a=rtpmap:98 noclock",
        b"a=fmtp:97 x",
    )
    assert media.encodings() == {96: Encoding("OPUS", 48000, 2), 97: Encoding("PCMA", 8000)}


def test_the_family_of_an_address_is_told_by_its_looks() -> None:
    assert address_family("127.0.0.1") == "IP4"
    assert address_family("::1") == "IP6"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"o=- 1 1 IN IP4 10.0.0.1\r\n",
        b"m=audio 1 RTP/AVP 0\r\n",
        b"v=1\r\no=- 1 1 IN IP4 10.0.0.1\r\n",
        b"v=0\r\n",
        b"v=0\r\no=- 1 1 IN IP4\r\n",
        b"v=0\r\no=- 1 1 XX IP4 10.0.0.1\r\n",
        MINIMAL + b"\r\na=x\r\n",
        MINIMAL + b"words\r\n",
        MINIMAL + b"a=x\ry\r\n",
        MINIMAL + b"c=IN IP5 1.2.3.4\r\n",
        MINIMAL + b"c=XX IP4 1.2.3.4\r\n",
        MINIMAL + b"c=IN IP4\r\n",
        MINIMAL + b"c=IN IP4 /127\r\n",
        MINIMAL + b"m=audio\r\n",
        MINIMAL + b"m=audio 1 RTP/AVP\r\n",
        MINIMAL + b"m=audio x RTP/AVP 0\r\n",
        MINIMAL + b"m=audio 65536 RTP/AVP 0\r\n",
        MINIMAL + b"m=audio -1 RTP/AVP 0\r\n",
    ],
)
def test_what_is_no_description_is_refused(body: bytes) -> None:
    with pytest.raises(SipParseError, match="SDP"):
        parse_description(body)
