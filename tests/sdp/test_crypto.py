"""SRTP keys in session descriptions (RFC 4568, RFC 7714): lines read, chosen, written, and whole offers with them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sdp.crypto import (
    NONE,
    SUITES,
    Crypto,
    Keys,
    Protection,
    fresh,
    parse_crypto,
    preferring,
    renewed,
    settle,
)
from softswitch.sdp.description import parse_description
from softswitch.sdp.offer_answer import (
    Answer,
    Negotiated,
    accept_answer,
    answer,
    lacks_protection,
    local_offer,
    parse_offer,
    read_answer,
)

CM, SHORT, GCM = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_256_GCM"
THEIRS = bytes(range(30))
INLINE = base64.b64encode(THEIRS).decode()
WIDE = base64.b64encode(bytes(range(44))).decode()


def random(count: int) -> bytes:
    """What the tests' keys are made of."""
    return bytes([7]) * count


OURS = fresh((GCM, CM), random)
EITHER, REQUIRED = Protection(plain=True, ours=OURS), Protection(plain=False, ours=OURS)


def offer(*crypto: str, profile: str = "RTP/SAVP", port: int = 4000) -> bytes:
    """An offer of theirs."""
    lines = "".join(f"a=crypto:{one}\r\n" for one in crypto)
    return (
        "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
        f"m=audio {port} {profile} 8 0\r\n{lines}a=sendrecv\r\n"
    ).encode()


def take(body: bytes, protection: Protection = REQUIRED, **wishes: Any) -> Answer | None:
    read = parse_offer(body, protection)
    return answer(read, "192.0.2.1", 6000, session_id=1, version=1, protection=protection, **wishes)


# One line


@pytest.mark.parametrize(
    "value",
    [
        f"1 {CM} inline:{INLINE}",
        f"1 aes_cm_128_hmac_sha1_80 inline:{INLINE}",
        f"1  {CM}  inline:{INLINE} ",
        f"1 {CM} inline:{INLINE}|2^31",
        f"1 {CM} inline:{INLINE}|2^48",
        f"1 {CM} inline:{INLINE}|1048576",
        f"1 {CM} inline:{INLINE} WSH=64",  # 6.3.6: a hint
        f"1 {CM} inline:{INLINE} -later=x WSH=128",  # 6.3.7: what its writer calls optional
    ],
)
def test_a_line_that_we_can_do(value: str) -> None:
    line = parse_crypto(value)
    assert (line.tag, line.suite, line.key) == (1, CM, THEIRS)


def test_padding_of_a_key_may_be_missing() -> None:
    """RFC 4568 6.1: base64 of 44 bytes ends in one "=", which some leave away."""
    assert WIDE.endswith("=")
    assert parse_crypto(f"999999999 {GCM} inline:{WIDE.rstrip('=')}").key == bytes(range(44))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "expected a tag, a suite and an inline key"),
        (f"x {CM} inline:{INLINE}", "expected a tag"),
        (f"1234567890 {CM} inline:{INLINE}", "expected a tag"),
        (f"1 {CM}", "expected a tag"),
        (f"1 {CM} kms:{INLINE}", "expected a tag"),
        (f"1 {CM} inline:", "expected a tag"),
        (f"1 {CM} inline:{INLINE}x?", "expected a tag"),
        (f"1 F8_128_HMAC_SHA1_80 inline:{INLINE}", "suite that we have not: 'F8_128_HMAC_SHA1_80'"),
        (f"1 {CM} inline:{INLINE}|2^20|256:1", "an MKI that has room"),
        (f"1 {CM} inline:{INLINE}|1:0", "an MKI that has room"),
        (f"1 {CM} inline:{INLINE}|1:129", "an MKI that has room"),
        (f"1 {CM} inline:{INLINE}|1:4|2^20", "expected one key"),
        (f"1 {CM} inline:{INLINE}|", "expected one key"),
        (f"1 {CM} inline:{INLINE}|0", "lifetime"),
        (f"1 {CM} inline:{INLINE}|2^49", "lifetime"),
        (f"1 {CM} inline:{INLINE}|281474976710657", "lifetime"),
        (f"1 {CM} inline:{INLINE};inline:{INLINE}", "expected one key"),
        (f"1 {CM} inline:{INLINE} KDR=1", "session parameter that we don't do: 'KDR'"),
        (f"1 {CM} inline:{INLINE} UNENCRYPTED_SRTP", "'UNENCRYPTED_SRTP'"),
        (f"1 {CM} inline:{INLINE} UNENCRYPTED_SRTCP", "'UNENCRYPTED_SRTCP'"),
        (f"1 {CM} inline:{INLINE} UNAUTHENTICATED_SRTP", "'UNAUTHENTICATED_SRTP'"),
        (f"1 {CM} inline:{INLINE} FEC_ORDER=SRTP_FEC", "'FEC_ORDER'"),
        (f"1 {CM} inline:{INLINE} FEC_KEY=inline:{INLINE}", "'FEC_KEY'"),  # 6.3.5
        (f"1 {CM} inline:{INLINE} unknown", "'unknown'"),  # 6.3.7: mandatory where it is not known
        (f"1 {CM} inline:{INLINE} -", "'-'"),
        (f"1 {CM} inline:{INLINE[:-4]}", "expected 30 bytes of key and salt"),
        (f"1 {GCM} inline:{INLINE}", "expected 44 bytes"),
        (f"1 {CM} inline:{INLINE[:-3]}", "expected 30 bytes"),  # no base64
    ],
)
def test_a_line_that_we_can_not_do_is_refused_and_its_key_not_told(value: str, words: str) -> None:
    with pytest.raises(SipParseError, match="SDP: ") as refused:
        parse_crypto(value)
    assert words in str(refused.value)
    assert INLINE[:8] not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "mki"), [("|1:4", b"\0\0\0\1"), ("|2^20|1:32", bytes(31) + b"\1"), ("|255:1", b"\xff")]
)
def test_a_key_may_have_an_identifier(more: str, mki: bytes) -> None:
    """RFC 4568 6.1: its value, and in how many bytes of each packet it stands."""
    line = parse_crypto(f"1 {CM} inline:{INLINE}{more}")
    assert (line.key, line.mki) == (THEIRS, mki)
    made = take(offer(f"1 {CM} inline:{INLINE}{more}"))
    assert made is not None and made.negotiated.srtp == Keys(CM, OURS[1].key, THEIRS + mki)
    assert b"a=crypto:1 " in made.body and b":4" not in made.body.partition(b"inline")[2]  # ours has none


@pytest.mark.parametrize(
    ("example", "suite", "mki"),
    [
        ("1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:32", CM, 32),
        ("1 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|1:32", SHORT, 32),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4", CM, 4),
    ],
)
def test_the_examples_of_rfc_4568_are_read(example: str, suite: str, mki: int) -> None:
    line = parse_crypto(example)
    assert (line.suite, len(line.key), len(line.mki)) == (suite, 30, mki)


def test_what_is_written_is_read_again() -> None:
    for line in (*OURS, Crypto(3, CM, THEIRS, b"\0\7")):
        assert line.line.startswith("a=crypto:") and line.line.endswith("\r\n")
        assert parse_crypto(line.line.removeprefix("a=crypto:").rstrip()) == line


@given(st.text(max_size=120) | st.from_regex(r"[0-9]{1,3} [A-Z_0-9]{3,30} inline:[A-Za-z0-9+/=|:;^]{0,80}( [!-~]+)*"))
def test_any_text_is_a_line_or_refused(value: str) -> None:
    try:
        line = parse_crypto(value)
    except SipParseError:
        return
    assert len(line.key) == SUITES[line.suite]
    assert parse_crypto(line.line.removeprefix("a=crypto:").rstrip()) == line


def test_keys_are_as_long_as_their_suites_want_and_tagged_in_order() -> None:
    made = fresh(SUITES, random)
    assert [(one.tag, one.suite, len(one.key)) for one in made] == [(1, GCM, 44), (2, CM, 30), (3, SHORT, 30)]


def test_renewed_keys_are_new_ones_of_the_same_suites() -> None:
    again = renewed(EITHER, bytes)
    assert again.plain and [one.suite for one in again.ours] == [GCM, CM]
    assert [one.key for one in again.ours] == [bytes(44), bytes(30)]


def test_the_suite_in_use_comes_first() -> None:
    assert [one.suite for one in preferring(EITHER, CM)] == [CM, GCM]


def test_what_is_required_and_can_not_be_had_is_told() -> None:
    assert Protection(plain=False).impossible
    assert not (NONE.impossible or EITHER.impossible or REQUIRED.impossible)


def test_no_representation_shows_a_key() -> None:
    theirs = offer(f"1 {CM} inline:{INLINE}")
    of_the_session = theirs.replace(
        b"t=0 0\r\n", b"t=0 0\r\na=crypto:1 %b inline:%b\r\n" % (CM.encode(), INLINE.encode())
    )
    settled = settle("RTP/SAVP", [f"1 {CM} inline:{INLINE}"], EITHER)
    descriptions = parse_description(theirs), parse_description(of_the_session)
    for shown in (OURS[0], EITHER, Keys(CM, b"local", b"remote"), *descriptions, settled, take(theirs)):
        assert "inline" not in repr(shown) and "local'" not in repr(shown) and "\\x07" not in repr(shown)


def test_no_error_of_a_malformed_line_shows_its_key() -> None:
    with pytest.raises(SipParseError, match="expected a field") as refused:
        parse_description(offer() + f"crypto:1 {SHORT[:3]} inline:{INLINE}\r\n".encode())
    assert INLINE[:4] not in str(refused.value)


# Their offer


def test_an_offer_of_srtp_is_answered_with_its_tag_and_a_key_of_ours() -> None:
    """RFC 4568 5.1.2: the answer has the tag and suite of the line that was taken."""
    made = take(
        offer(f"1 F8_128_HMAC_SHA1_80 inline:{INLINE}", f"7 {CM} inline:{INLINE}|2^20", f"8 {GCM} inline:{WIDE}")
    )
    assert made is not None
    (media,) = parse_description(made.body).media
    assert media.protocol == "RTP/SAVP"
    assert [parse_crypto(value) for value in media.crypto] == [Crypto(7, CM, OURS[1].key)]
    assert made.negotiated.srtp == Keys(CM, OURS[1].key, THEIRS)


def test_the_suite_that_the_offerer_likes_best_is_taken() -> None:
    made = take(offer(f"1 {CM} inline:{INLINE}", f"2 {GCM} inline:{WIDE}"))
    assert made is not None and made.negotiated.srtp is not None
    assert made.negotiated.srtp.suite == CM


@pytest.mark.parametrize(
    ("body", "plain", "required"),
    [
        (offer(profile="RTP/AVP"), True, False),
        (offer(f"1 {CM} inline:{INLINE}", profile="RTP/AVP"), True, False),  # RFC 4568 5.1: no SRTP by that profile
        (offer(f"1 {CM} inline:{INLINE}"), True, True),
        (offer(f"1 {CM} inline:{INLINE}", profile="rtp/savp"), True, True),
        (offer(), False, False),
        (offer(f"1 {SHORT} inline:{INLINE}"), False, False),  # not among the trunk's
        (offer(f"1 {CM} inline:{INLINE} KDR=1"), False, False),
        (offer(f"1 {CM} inline:{INLINE}", profile="RTP/SAVPF"), False, False),
        (offer(f"1 {CM} inline:{INLINE}", profile="UDP/TLS/RTP/SAVP"), False, False),
    ],
)
def test_what_is_taken_follows_from_what_the_trunk_allows(body: bytes, plain: bool, required: bool) -> None:
    for protection, takes in ((EITHER, plain), (REQUIRED, required)):
        assert (take(body, protection) is not None) is takes
        assert bool(parse_offer(body, protection).codecs) is takes
        assert lacks_protection(parse_offer(body, protection), protection) is not takes


def test_an_offer_of_srtp_is_not_for_a_trunk_without() -> None:
    body = offer(f"1 {CM} inline:{INLINE}")
    assert take(body, NONE) is None and parse_offer(body).codecs == ()
    assert lacks_protection(parse_offer(body), NONE)


def test_what_is_no_audio_lacks_nothing() -> None:
    assert not lacks_protection(parse_offer(offer(port=0)), NONE)
    assert not lacks_protection(parse_offer(offer(profile="RTP/AVP").replace(b"audio", b"video")), REQUIRED)


def test_the_first_stream_that_fits_is_taken_and_the_other_refused_under_its_own_profile() -> None:
    """RFC 3264 6: of a plain stream and a protected one side by side."""
    both = offer(profile="RTP/AVP") + f"m=audio 4002 RTP/SAVP 8\r\na=crypto:1 {CM} inline:{INLINE}\r\n".encode()
    made = take(both)
    assert made is not None and made.negotiated.remote_port == 4002
    assert [(one.port, one.protocol) for one in parse_description(made.body).media] == [
        (0, "RTP/AVP"),
        (6000, "RTP/SAVP"),
    ]


# Our offer


def ours(keys: tuple[Crypto, ...] = OURS) -> bytes:
    return local_offer("192.0.2.1", 6000, session_id=1, version=1, keys=keys)


def test_our_offer_names_a_key_for_each_suite() -> None:
    (media,) = parse_description(ours()).media
    assert media.protocol == "RTP/SAVP"
    assert [parse_crypto(value) for value in media.crypto] == list(OURS)
    assert b"RTP/AVP" in ours(()) and b"crypto" not in ours(())


def test_their_answer_takes_one_of_our_keys_and_brings_theirs() -> None:
    agreed = accept_answer(ours(), offer(f"2 {CM} inline:{INLINE}"))
    assert agreed is not None
    assert agreed.srtp == Keys(CM, OURS[1].key, THEIRS)
    assert (agreed.codec, agreed.remote_port) == ("PCMA", 4000)


@pytest.mark.parametrize(
    "body",
    [
        offer(profile="RTP/AVP"),  # 5.1.3: not the profile that was offered
        offer(f"2 {CM} inline:{INLINE}", profile="RTP/AVP"),
        offer(),
        offer(f"1 {CM} inline:{INLINE}"),  # the tag of another suite
        offer(f"3 {CM} inline:{INLINE}"),
        offer(f"3 {SHORT} inline:{INLINE}"),
        offer(f"2 {CM} inline:{INLINE} UNENCRYPTED_SRTP"),
        offer(f"1 {GCM} inline:{WIDE}", f"2 {CM} inline:{INLINE}"),  # 5.1.2: one it must be
        offer(f"2 {CM} inline:{INLINE}", port=0),
        offer(OURS[1].line.removeprefix("a=crypto:").strip()),  # our own key: one for both ways
    ],
)
def test_an_answer_that_does_not_fit_our_offer_is_of_no_use(body: bytes) -> None:
    assert read_answer(ours(), body) is None


def test_an_answer_of_srtp_to_our_plain_offer_is_of_no_use() -> None:
    assert read_answer(ours(()), offer(f"1 {CM} inline:{INLINE}")) is None


def test_both_sides_of_us_come_to_the_same_keys() -> None:
    far = Protection(plain=False, ours=fresh((CM, GCM), lambda count: bytes([9]) * count))
    made = take(ours(), far)
    assert made is not None and made.negotiated.srtp is not None
    agreed: Negotiated | None = accept_answer(ours(), made.body)
    assert agreed is not None and agreed.srtp is not None
    mirrored = Keys(agreed.srtp.suite, agreed.srtp.remote, agreed.srtp.local)
    assert (made.negotiated.srtp, agreed.srtp.suite) == (mirrored, GCM)  # the offerer's first


@given(st.lists(st.sampled_from([f"1 {CM} inline:{INLINE}", f"2 {GCM} inline:{WIDE}", "x", ""]), max_size=4))
def test_of_whatever_lines_there_are_one_is_settled_on_or_none(values: list[str]) -> None:
    settled = settle("RTP/SAVP", values, REQUIRED)
    usable = [value for value in values if "inline" in value]
    assert (settled is None) is (not usable)
    if settled is not None and settled.keys is not None:
        assert settled.line.split()[1] == settled.keys.suite == usable[0].split()[1]
