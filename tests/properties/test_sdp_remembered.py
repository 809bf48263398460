"""What is remembered of descriptions changes nothing: read cold, warm or line by line they are the same, and no key is
kept (RFC 8866, RFC 3264).
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sdp import description, formats, offer_answer
from softswitch.sdp.description import parse_description
from softswitch.sdp.formats import CODECS, offered
from softswitch.sdp.offer_answer import PacketTimes, accept_answer, answer, local_offer, parse_offer
from tests.properties.test_sdp import EITHER, bodies

MODULES: tuple[ModuleType, ...] = (description, formats, offer_answer)
REMEMBERING = [
    one for module in MODULES for one in vars(module).values() if isinstance(one, functools._lru_cache_wrapper)
]
ANY_CODECS = st.permutations(sorted(CODECS)).flatmap(lambda names: st.integers(1, 4).map(lambda many: names[:many]))
DIRECTIONS = st.sampled_from(description.DIRECTIONS)
PACKETS = st.builds(PacketTimes, st.sampled_from([10, 20, 30]), st.sampled_from([0, 40]))
LIKES = st.sampled_from(["", "stereo=1"])


def outcome(read: Callable[[], Any]) -> Any:
    """What comes of it, also where that is a refusal."""
    try:
        return read()
    except SipParseError as error:
        return str(error)


def cold(read: Callable[[], Any]) -> Any:
    """The same where nothing is remembered."""
    forget()
    return outcome(read)


def by_lines(body: bytes) -> list[tuple[str, list[tuple[str, str]]]] | None:
    """The sections of a description, each its m= and the lines below, as RFC 8866 9 has them; None where it is none."""
    text = body.decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\n")
    sections: list[tuple[str, list[tuple[str, str]]]] = [("", [])]
    for line in text.split("\n"):
        if "\r" in line or len(line) < 2 or line[1] != "=" or not ("a" <= line[0] <= "z"):
            return None
        if line[0] == "m":
            sections.append((line[2:], []))
        else:
            sections[-1][1].append((line[0], line[2:]))
    return sections


@given(bodies())
def test_what_is_read_is_what_stands_in_the_lines(body: bytes) -> None:
    sections = by_lines(body)
    try:
        read = parse_description(body)
    except SipParseError:
        return
    assert sections is not None
    assert sections[0][1][0] == ("v", "0")
    for (value, fields), media in zip(sections[1:], read.media, strict=True):
        port = str(media.port) if media.port_count == 1 else f"{media.port}/{media.port_count}"
        numbers = value.split()
        assert [numbers[0], numbers[2], *numbers[3:]] == [media.media, media.protocol, *media.formats]
        assert numbers[1].partition("/")[0].lstrip("0") == port.partition("/")[0].lstrip("0")
        attributes = [text.partition(":") for kind, text in fields if kind == "a"]
        told = tuple((name, text if colon else None) for name, colon, text in attributes if name != "crypto")
        assert media.attributes == told
        assert media.crypto == tuple(text for name, _, text in attributes if name == "crypto")
        assert (media.connection is None) == ("c" not in dict(fields))


@given(bodies())
def test_a_description_is_the_same_read_again_or_for_the_first_time(body: bytes) -> None:
    first, again = outcome(lambda: parse_description(body)), outcome(lambda: parse_description(body))
    assert first == again == cold(lambda: parse_description(body))


@given(bodies(), ANY_CODECS, DIRECTIONS, PACKETS, LIKES)
def test_an_answer_is_the_same_whatever_is_remembered(
    body: bytes, codecs: list[str], direction: str, packets: PacketTimes, liked: str
) -> None:
    def read() -> Any:
        wishes: Any = {"codecs": codecs, "direction": direction, "packets": packets, "liked": liked}
        offer = parse_offer(body, EITHER, codecs=codecs)
        answered = answer(offer, "10.0.0.1", 4002, session_id=2, version=1, protection=EITHER, **wishes)
        ours = local_offer("10.0.0.1", 4002, session_id=2, version=1, known=offer.formats, **wishes)
        return offer, answered and (answered.body, answered.negotiated), ours, accept_answer(ours, body)

    assert outcome(read) == outcome(read) == cold(read)


def forget() -> None:
    """Nothing is remembered."""
    for one in REMEMBERING:
        one.cache_clear()


def seen_by_both(body: bytes) -> None:
    """An offer is answered, an answer taken."""
    answer(parse_offer(body, EITHER), "10.0.0.1", 4002, session_id=2, version=1, protection=EITHER)
    accept_answer(local_offer("10.0.0.1", 4002, session_id=2, version=1), body)


def all_that_is_kept() -> str:
    """What the caches hold: their keys and what was made of them."""
    return repr([gc.get_referents(one) for one in REMEMBERING])


@given(ANY_CODECS)
def test_offers_where_nothing_is_known_are_those_where_none_of_ours_is(codecs: list[str]) -> None:
    nothing = formats.Formats({}, {}, {})
    assert offered(codecs, 101) == offered(codecs, 101, nothing)


@pytest.mark.parametrize(
    "secret",
    [
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'QUJD' * 10}",
        "a=key-mgmt:mikey QUJDQUJD",
        "a=ice-pwd:QUJDQUJDQUJDQUJDQUJDQUJD",
        "k=base64:QUJDQUJD",
    ],
)
def test_no_key_is_remembered(secret: str) -> None:
    head = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\nc=IN IP4 10.0.0.9\r\nm=audio 4000 RTP/SAVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
    body = f"{head}{secret}\r\na=sendonly\r\n".encode()
    forget()
    read = parse_description(body)
    assert read.media[0].formats == ("8",)
    assert description._below.cache_info().currsize == 0
    seen_by_both(body)
    assert "QUJD" not in all_that_is_kept()


def test_what_is_longer_than_any_telephone_writes_is_not_remembered() -> None:
    head = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\nm=audio 4000 RTP/AVP 8\r\n"
    body = (head + "a=x\r\n" * 1000).encode()
    forget()
    assert parse_description(body).media[0].attributes == (("x", None),) * 1000
    assert description._below.cache_info().currsize == 0
    seen_by_both(body)
    assert len(all_that_is_kept()) < 10_000


def test_an_address_that_is_longer_than_any_is_none() -> None:
    read = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\nc=IN IP4 {}\r\nm=audio 4000 RTP/AVP 8\r\n".format
    assert parse_description(read("a" * 255).encode()).connection is not None
    with pytest.raises(SipParseError):
        parse_description(read("a" * 300).encode())
