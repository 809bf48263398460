"""Messages out of a stream: RFC 3261 18.3 (Content-Length), RFC 5626 3.5.1 (keep-alives), and bounds for the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.sip.framing import PING, Framer, FramingError

START = b"OPTIONS sip:a@b SIP/2.0\r\n"


def message(body: bytes = b"", name: bytes = b"Content-Length: ") -> bytes:
    return START + b"Call-ID: x\r\n" + name + str(len(body)).encode() + b"\r\n\r\n" + body


def feed(*pieces: bytes, framer: Framer | None = None) -> list[bytes]:
    framer = framer or Framer()
    return [one for piece in pieces for one in framer.feed(piece)]


def refused(data: bytes, framer: Framer | None = None) -> FramingError:
    with pytest.raises(FramingError) as caught:
        feed(data, framer=framer)
    return caught.value


def test_messages_end_where_content_length_says() -> None:
    first, second = message(b"v=0\r\n\r\nmore"), message()
    framer = Framer()
    assert feed(first + second + first[:-1], framer=framer) == [first, second]
    assert framer.unfinished
    assert feed(first[-1:], framer=framer) == [first]
    assert not framer.unfinished


@given(st.lists(st.integers(1, 60), max_size=12))
def test_the_pieces_a_stream_comes_in_make_no_difference(cuts: list[int]) -> None:
    whole = message(b"\r\n\r\n") + PING + message() + b"\r\n" + message(b"body")
    pieces, rest = [], whole
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert feed(*pieces, rest) == [message(b"\r\n\r\n"), PING, message(), message(b"body")]


@pytest.mark.parametrize("name", [b"content-length : ", b"l:", b"L:\r\n  ", b"Content-Length:\t "])
def test_content_length_may_be_compact_folded_or_spaced(name: bytes) -> None:
    assert feed(message(b"12", name)) == [message(b"12", name)]


def test_two_crlfs_between_messages_are_a_ping_one_is_nothing() -> None:
    """RFC 5626 3.5.1; RFC 3261 7.5: CRLF before a start line is ignored."""
    assert feed(b"\r\n\r\n") == [PING]
    assert feed(b"\r", b"\n\r", b"\n") == [PING]
    assert feed(b"\r\n" * 5) == [PING, PING]
    assert feed(b"\r\n" + message() + b"\r\n" + message()) == [message(), message()]


def test_a_single_crlf_is_no_unfinished_message() -> None:
    framer = Framer()
    assert feed(b"\r\n", framer=framer) == []
    assert not framer.unfinished


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\r\nhello\r\n", b"\rX\r\n", b"\n" + message()[:0] + b"x\r\n"]
)
def test_what_is_no_sip_is_told_by_its_first_line(data: bytes) -> None:
    error = refused(data)
    assert "expected SIP" in str(error)
    assert error.head == b""


def test_without_content_length_there_is_no_telling_where_the_message_ends() -> None:
    """18.3: it MUST be there on a stream."""
    assert str(refused(START + b"Call-ID: x\r\n\r\n")) == "expected Content-Length"


@pytest.mark.parametrize(
    "lines", [b"Content-Length: -9\r\n", b"Content-Length: x\r\n", b"l: \r\n", b"l: 1\r\nContent-Length: 1\r\n"]
)
def test_a_malformed_content_length_leaves_the_header_block_to_be_answered(lines: bytes) -> None:
    head = START + lines + b"\r\n"
    assert refused(head + b"12345").head == head


def test_header_block_and_body_are_bounded() -> None:
    assert "100 bytes of header" in str(refused(START + b"A: " + b"x" * 100, Framer(100)))
    assert "100 bytes of header" in str(refused(START + b"A: " + b"x" * 100 + b"\r\n\r\n", Framer(100)))
    assert "50 bytes of body" in str(refused(message(b"x" * 51), Framer(100, 50)))
    assert "bytes of body" in str(refused(START + b"l: 99999999999999999999999\r\n\r\n"))
    assert feed(message(b"x" * 50), framer=Framer(100, 50)) == [message(b"x" * 50)]


def test_a_line_without_end_is_bounded_too() -> None:
    framer = Framer(100)
    assert feed(b"x" * 100, framer=framer) == []
    assert "100 bytes of header" in str(refused(b"x", framer))


def test_a_header_block_that_comes_byte_by_byte_is_found() -> None:
    whole = message(b"abc")
    assert feed(*[whole[i : i + 1] for i in range(len(whole))]) == [whole]
