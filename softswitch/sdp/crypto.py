"""SRTP keys in session descriptions (SDES): a=crypto read, chosen and written.

RFC 4568 (grammar 9, offer and answer 5.1 and 7.1, session parameters 6.3), RFC 7714 14 (AES-GCM). Called by
`offer_answer`, and by the call layer for fresh keys. Pure functions: random bytes are handed in, and no representation
and no error shows a key.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from softswitch.errors import SipParseError

PLAIN_PROFILE, SECURE_PROFILE = "RTP/AVP", "RTP/SAVP"

# Each suite with the length of its master key and salt.
SUITES = {"AEAD_AES_256_GCM": 44, "AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30}
LONGEST_LIFE = 1 << 48  # packets (RFC 3711 9.2)

_CRYPTO = re.compile(r"([0-9]{1,9}) +([^ ]+) +inline:([A-Za-z0-9+/]+)={0,2}((?:[|;][^ ]*)?)((?: +[!-~]+)*) *")
_MORE = re.compile(r"(?:\|(2\^)?([0-9]{1,15}))?(?:\|([0-9]{1,309}):([0-9]{1,3}))?")  # lifetime, MKI
LONGEST_MKI = 128  # bytes (RFC 4568 6.1)
_IGNORED = re.compile(r"WSH=[0-9]{1,9}|-.+")  # a hint, and what its writer calls optional (6.3.6, 6.3.7)
_OURS = re.compile(rb"a=crypto:([^\r\n]*)\r\n")


class Crypto(Struct, frozen=True, gc=False):
    """One a=crypto line: `key` is the master key with its salt behind it, of who wrote the line.

    `mki` stands in each packet under that key (RFC 3711 3.1), where it is not empty.
    """

    tag: int
    suite: str
    key: bytes
    mki: bytes = b""

    def __repr__(self) -> str:
        return f"Crypto({self.tag}, {self.suite!r})"

    @property
    def line(self) -> str:
        """As it stands in a description."""
        mki = f"|{int.from_bytes(self.mki, 'big')}:{len(self.mki)}" if self.mki else ""
        key = binascii.b2a_base64(self.key, newline=False).decode()
        return f"a=crypto:{self.tag} {self.suite} inline:{key}{mki}\r\n"


class Protection(Struct, frozen=True, gc=False):
    """What a stream may be: RTP as it is (`plain`), SRTP under one of `ours` (the best first), or either."""

    plain: bool = True
    ours: tuple[Crypto, ...] = ()

    @property
    def impossible(self) -> bool:
        """Neither: what is required can't be had."""
        return not (self.plain or self.ours)


NONE = Protection()


class Keys(Struct, frozen=True, gc=False):
    """What one exchange agreed on: a suite, our master key and salt, and theirs with its MKI behind it."""

    suite: str
    local: bytes
    remote: bytes

    def __repr__(self) -> str:
        return f"Keys({self.suite!r})"


class Settled(Struct, frozen=True, gc=False):
    """How one stream is protected: not at all where `keys` is None. `line`: what an answer has to say of it."""

    keys: Keys | None = None
    line: str = ""

    def __repr__(self) -> str:
        return f"Settled({self.keys!r})"


_IN_CLEAR = Settled()


def fresh(suites: Iterable[str], random: Callable[[int], bytes]) -> tuple[Crypto, ...]:
    """New keys for `suites`, tagged in their order; `random` makes so many unguessable bytes."""
    return tuple([Crypto(tag, suite, random(SUITES[suite])) for tag, suite in enumerate(suites, 1)])


def renewed(protection: Protection, random: Callable[[int], bytes]) -> Protection:
    """The same suites under new keys."""
    return replace(protection, ours=fresh([one.suite for one in protection.ours], random))


def preferring(protection: Protection, suite: str) -> tuple[Crypto, ...]:
    """Our keys, that of `suite` first."""
    return tuple(sorted(protection.ours, key=lambda one: one.suite != suite))


def parse_crypto(value: str) -> Crypto:
    """The a=crypto line with this value; raises SipParseError where it is none, or asks for what we don't do.

    We do: the suites of SUITES, one key, with an identifier (MKI) or without, no session parameter but what may be
    passed over. How long the key may serve is for the one to count who sends under it.
    """
    match = _CRYPTO.fullmatch(value)
    if match is None:
        raise SipParseError("SDP: expected a tag, a suite and an inline key in a=crypto")
    tag, suite, key, more, parameters = match.groups()
    if suite.upper() not in SUITES:
        raise SipParseError(f"SDP: a=crypto of a suite that we have not: {suite[:40]!r}")
    mki = _read_mki(more)
    for parameter in parameters.split():
        if _IGNORED.fullmatch(parameter) is None:
            name = parameter.partition("=")[0]  # FEC_KEY's value is a key (6.3.5)
            raise SipParseError(f"SDP: a=crypto with a session parameter that we don't do: {name[:40]!r}")
    return Crypto(int(tag), suite.upper(), _read_key(key, SUITES[suite.upper()]), mki)


def _read_mki(text: str) -> bytes:
    """The MKI, of what stands behind the one key (RFC 4568 6.1): how many packets it serves, and that."""
    match = _MORE.fullmatch(text)
    if match is None:
        raise SipParseError("SDP: expected one key in a=crypto, with a lifetime and an MKI at most")
    power, number, value, length = match.groups()
    if number and not (int(number) <= 48 if power else 0 < int(number) <= LONGEST_LIFE):
        raise SipParseError("SDP: expected a lifetime of 1 to 2^48 packets in a=crypto")
    if not value:
        return b""
    if not 0 < int(length) <= LONGEST_MKI or int(value) >> 8 * int(length):
        raise SipParseError("SDP: expected an MKI that has room in its 1 to 128 bytes in a=crypto")
    return int(value).to_bytes(int(length), "big")


def _read_key(text: str, length: int) -> bytes:
    try:
        key = binascii.a2b_base64(text + "=" * (-len(text) % 4))
    except binascii.Error:
        key = b""
    if len(key) != length:
        raise SipParseError(f"SDP: expected {length} bytes of key and salt in a=crypto") from None
    return key


def settle(profile: str, lines: Sequence[str], protection: Protection) -> Settled | None:
    """What a stream that was offered with this profile and these a=crypto values comes to; None: it is refused.

    Of the lines the first counts that we can do: the offerer has put them in order (RFC 4568 5.1.2). One that brings
    our own key back is none: with one for both ways only chance keeps numbers from being used twice (RFC 3711 9.1).
    """
    if profile.upper() == PLAIN_PROFILE:
        return _IN_CLEAR if protection.plain else None
    if profile.upper() != SECURE_PROFILE:
        return None
    for theirs in _usable(lines):
        for ours in protection.ours:
            if ours.suite == theirs.suite and ours.key != theirs.key:
                line = replace(ours, tag=theirs.tag).line
                return Settled(Keys(ours.suite, ours.key, theirs.key + theirs.mki), line)
    return None


def settle_answer(profile: str, lines: Sequence[str], offered: Protection) -> Settled | None:
    """What our offer of `offered` and the profile and lines of the answer come to; None where they are none to it.

    The answer must have the profile that was offered and one line, with tag and suite of ours (RFC 4568 5.1.3, 7.1.3).
    """
    if not offered.ours:
        return settle(profile, lines, offered)
    theirs = list(_usable(lines))
    if len(lines) != 1 or len(theirs) != 1:
        return None
    mine = [one for one in offered.ours if (one.tag, one.suite) == (theirs[0].tag, theirs[0].suite)]
    return settle(profile, lines, Protection(plain=False, ours=tuple(mine)))


def _usable(lines: Sequence[str]) -> Iterable[Crypto]:
    for value in lines:
        try:
            yield parse_crypto(value)
        except SipParseError:  # RFC 4568 7.1.2: it is passed over
            continue


def taken_out(offer: bytes) -> tuple[bytes, Protection]:
    """An offer of ours without its keys, and those."""
    lines = _OURS.findall(offer) if offer.find(b"a=crypto:") >= 0 else ()
    if not lines:
        return offer, NONE
    ours = tuple([parse_crypto(value.decode()) for value in lines])
    return _OURS.sub(b"", offer), Protection(plain=False, ours=ours)
