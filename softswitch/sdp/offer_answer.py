"""Offer and answer: one audio stream with telephone events, agreed between two sides.

RFC 3264 and RFC 8866; the formats of a stream are read and written by `formats`, its keys (RFC 4568) by `crypto`.
Called by the call layer with what the media endpoint offers. Pure functions: they never open a port and never remember
an earlier exchange.

What we write names nothing but our own media address: no tool, no session name, no line of the other leg.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from softswitch.errors import SipParseError
from softswitch.interfaces import Coding
from softswitch.sdp import formats
from softswitch.sdp.crypto import (
    NONE,
    PLAIN_PROFILE,
    SECURE_PROFILE,
    Crypto,
    Keys,
    Protection,
    Settled,
    settle,
    settle_answer,
    taken_out,
)
from softswitch.sdp.description import (
    Attribute,
    Connection,
    Description,
    Fleeting,
    Media,
    address_family,
    parse_description,
)
from softswitch.sdp.formats import Events, Formats, Numbers, Spoken, formats_of, read_stream

CODECS = formats.G711  # where nothing else is wished for

_BEFORE_FORMATS = {profile: f" {profile} ".encode() for profile in (PLAIN_PROFILE, SECURE_PROFILE)}
_OF_IPV6 = b"\r\nc=IN IP6 "

# (send, receive) of each direction attribute, as its writer means it.
_FLAGS = {"sendrecv": (True, True), "sendonly": (True, False), "recvonly": (False, True), "inactive": (False, False)}
_DIRECTION = {flags: direction for direction, flags in _FLAGS.items()}


class PacketTimes(NamedTuple):
    """What we ask the far end to put into a packet, in ms: a=ptime, and a=maxptime where that is not 0."""

    ptime: int = 20
    maxptime: int = 0


USUAL_PACKETS = PacketTimes()


class Offer(Struct, frozen=True, gc=False):
    """A parsed offer; it may hold nothing that we could take.

    `codecs` are ours that its first usable stream names, in its order of preference; () where there is none.
    `direction` is what the offerer wants of that stream, "inactive" where there is none: one of "sendrecv", "sendonly",
    "recvonly", "inactive"; 0.0.0.0 takes its receiving away (RFC 3264 8.4).
    """

    description: Description
    codecs: tuple[str, ...]
    direction: str
    connection: Connection | None = None  # of that stream
    formats: Formats = formats.NOTHING  # the same

    @property
    def likes(self) -> str:
        """What the offerer asks of who sends it Opus; empty where it does not speak that."""
        opus = self.formats.spoken.get("opus")
        return "" if opus is None else opus.likes

    @property
    def ipv6(self) -> bool:
        """Whether that stream wants RTP at an IPv6 address: then only one of ours can reach it."""
        return self.connection is not None and self.connection.family == "IP6"

    def reaches(self, address: str) -> bool:
        """Whether `address` has the family of that stream, or that is on hold and names no address."""
        at = self.connection
        return at is not None and (at.family == address_family(address) or at.unspecified)


class Negotiated(Struct, frozen=True, gc=False):
    """What one exchange agreed on, from our side: where to send, what to send and expect."""

    remote_address: str
    remote_port: int
    codec: str  # of `formats.CODECS`
    payload_type: int  # that we send
    telephone_event: int | None  # payload type to send events with
    telephone_event_in: int | None  # payload type that events come with
    sending: bool  # we may send towards it
    receiving: bool  # it may send towards us
    ptime_ms: int
    rtcp_port: int = 0  # RFC 3605; 0: the port after that of RTP
    rtcp_mux: bool = False  # RFC 5761: RTCP goes the way of RTP
    srtp: Keys | None = None  # None: plain RTP
    coding: Coding | None = None  # None: G.711
    likes: str = ""  # what it asks of who sends it Opus, for one whose packets may pass to it

    @property
    def far_direction(self) -> str:
        """The direction as the far end would write it."""
        return _DIRECTION[self.receiving, self.sending]


class Answer(Struct, frozen=True, gc=False):
    """Our answer as it goes on the wire, and what it agrees on."""

    body: bytes
    negotiated: Negotiated

    def __repr__(self) -> str:  # the body may hold a key
        return f"Answer({self.negotiated!r})"


def local_offer(
    address: str,
    port: int,
    *,
    session_id: int,
    version: int,
    codecs: Sequence[str] = CODECS,
    direction: str = "sendrecv",
    telephone_event: int | None = 101,
    packets: PacketTimes = USUAL_PACKETS,
    keys: Sequence[Crypto] = (),
    known: Formats = formats.NOTHING,
    liked: str = "",
) -> bytes:
    """An offer of one audio stream at `address`:`port` with `codecs` in order of preference, as SRTP where there are
    `keys`. `known`: the formats of the far end's last offer in the session. `liked`: how Opus should be sent to the one
    to whom what comes may pass (`Negotiated.likes`).

    `version` must grow by one whenever the description of a session changes (RFC 3264 8).
    """
    numbers, events = formats.offered(codecs, telephone_event, known)
    lines = "".join([key.line for key in keys]) if keys else ""
    audio = _audio(port, numbers, events, packets, direction, keys=lines, liked=liked)
    return _describe(address, session_id, version, audio)


def parse_offer(body: bytes, protection: Protection = NONE, *, codecs: Sequence[str] = CODECS) -> Offer:
    """Parse an offer to one who has this `protection` and these `codecs`; raises SipParseError.

    That it holds nothing usable is told by `answer`.
    """
    description = parse_description(body)
    for media in description.media:
        connection, stream = _target(description, media), formats_of(media)
        named = tuple(filter(codecs.__contains__, stream.codecs))
        if connection is not None and named and settle(media.protocol, media.crypto, protection) is not None:
            sends, receives = _FLAGS[stream.direction or description.direction]
            direction = _DIRECTION[sends, receives and not connection.unspecified]
            return Offer(description, named, direction, connection, stream)
    return Offer(description, (), "inactive")


def lacks_protection(offer: Offer, protection: Protection) -> bool:
    """Whether all its audio is refused for how it is protected, whatever its codecs."""
    audio = [media for media in offer.description.media if media.media.lower() == "audio" and media.port]
    return bool(audio) and all(settle(media.protocol, media.crypto, protection) is None for media in audio)


def answer(
    offer: Offer,
    address: str,
    port: int,
    *,
    session_id: int,
    version: int,
    codecs: Sequence[str] = CODECS,
    direction: str = "sendrecv",
    packets: PacketTimes = USUAL_PACKETS,
    codec: str | None = None,
    protection: Protection = NONE,
    liked: str = "",
) -> Answer | None:
    """Answer `offer` with one stream at `address`:`port`; None where there is no common codec, family or protection
    (488).

    The first audio stream with a codec of ours is taken, every other m-line refused with port 0 (RFC 3264 6). The
    answer names one codec, the first of `codecs` that was offered (or `codec` alone), under the offer's payload types.
    `direction` and `liked` are what we want; the answer never takes more than the offer gives (6.1). RTCP goes by the
    port of RTP where that was offered (RFC 5761 5.1.1).
    """
    family, wanted, lines = address_family(address), codecs if codec is None else (codec,), offer.description.media
    for index, line in enumerate(lines):
        protected = settle(line.protocol, line.crypto, protection)
        stream = formats_of(line)
        spoken = next(filter(None, map(stream.spoken.get, wanted)), None)
        agreed = _agree(offer.description, line, stream, spoken, protected, direction, family)
        if agreed is not None and spoken is not None and protected is not None:
            settled, keys, mux = _DIRECTION[agreed.sending, agreed.receiving], protected.line, agreed.rtcp_mux
            numbers = ((spoken.codec, spoken.payload_type),)
            events = () if spoken.event is None else ((spoken.event_clock, spoken.event),)
            audio = _audio(port, numbers, events, packets, settled, keys=keys, mux=mux, liked=liked)
            media = "".join([*map(_refused, lines[:index]), audio, *map(_refused, lines[index + 1 :])])
            return Answer(_describe(address, session_id, version, media), agreed)
    return None


def accept_answer(offer_body: bytes, answer_body: bytes) -> Negotiated | None:
    """What our offer of one stream and the far end's answer agree on; None where it was refused, or has no codec, not
    the address family or not the protection of it.

    Raises SipParseError where the answer is no SDP. M-lines beyond ours are passed over.
    """
    theirs = parse_description(answer_body)
    if not theirs.media:
        return None
    ours, protection = taken_out(offer_body)
    ours = ours.partition(_BEFORE_FORMATS[SECURE_PROFILE if protection.ours else PLAIN_PROFILE])[2]
    line = theirs.media[0]
    protected = settle_answer(line.protocol, line.crypto, protection)
    read = _read_answered if type(line.attributes) is Fleeting else _answered
    spoken, direction = read(ours, line.formats, line.attributes)
    family = "IP6" if offer_body.find(_OF_IPV6) >= 0 else "IP4"
    agreed = _agree(theirs, line, formats_of(line), spoken, protected, direction, family)
    return replace(agreed, rtcp_mux=False) if agreed is not None and agreed.rtcp_mux else agreed  # we never offer it


def read_answer(offer_body: bytes, answer_body: bytes) -> Negotiated | None:
    """The same for a body that may be anything: None also where there is none, or it is no SDP."""
    try:
        return accept_answer(offer_body, answer_body) if answer_body else None
    except SipParseError:
        return None


def _agree(
    description: Description,
    media: Media,
    stream: Formats,
    spoken: Spoken | None,
    protected: Settled | None,
    direction: str,
    family: str,
) -> Negotiated | None:
    """What one m-line of theirs, which says `stream`, and our wish come to; None where unusable."""
    connection = _target(description, media)
    if connection is None or spoken is None or protected is None:
        return None
    held = connection.unspecified
    if connection.family != family and not held:
        return None
    they_send, they_receive = _FLAGS[stream.direction or description.direction]
    we_send, we_receive = _FLAGS[direction]
    return Negotiated(
        remote_address=connection.address,
        remote_port=media.port,
        codec=spoken.codec,
        payload_type=spoken.payload_type,
        telephone_event=spoken.event,
        telephone_event_in=spoken.event_in,
        # 0.0.0.0 is hold as RFC 2543 knew it: nothing may be sent there (RFC 3264 8.4).
        sending=we_send and they_receive and not held,
        receiving=we_receive and they_send,
        ptime_ms=spoken.ptime_ms,
        rtcp_port=stream.rtcp_port,
        rtcp_mux=stream.rtcp_mux,
        srtp=protected.keys,
        coding=spoken.coding,
        likes=spoken.likes,
    )


def _target(description: Description, media: Media) -> Connection | None:
    """Where an m-line wants its RTP, None where it is not audio that we could take."""
    connection = media.connection or description.connection
    if connection is None or not media.port or media.media.lower() != "audio":
        return None
    return connection if connection.unicast else None


def _read_answered(
    ours: bytes, theirs: tuple[str, ...], attributes: tuple[Attribute, ...]
) -> tuple[Spoken | None, str]:
    """How we speak with who answers with `theirs` (its formats) and `attributes` an offer of ours, of which `ours` is
    what stands behind its profile; None where no codec is common. And the direction of the offer.
    """
    (offered, direction), answered = _offered(ours), read_stream(theirs, attributes)
    # The first format of the answer that we offered is the one to send with (RFC 3264 7).
    spoken = next((answered.spoken[name] for name in answered.codecs if name in offered.codecs), None)
    if spoken is None:
        return None, direction
    # What we send bears the answer's payload type, what they send the offer's (6.1).
    number_in, clock = offered.codecs[spoken.codec], spoken.event_clock
    events_in = offered.events.get(clock) if spoken.event is not None else None
    # What was offered may come, whatever the answer puts first (5.1).
    other = next((number for at, number in offered.events.items() if at != clock), 0) if events_in is not None else 0
    coding = spoken.coding and dataclasses.replace(spoken.coding, payload_type_in=number_in, event_in_other=other)
    event = None if events_in is None else spoken.event
    return spoken._replace(event=event, event_in=events_in, coding=coding), direction


_answered = lru_cache(256)(_read_answered)


def _offered(ours: bytes) -> tuple[Formats, str]:
    """The formats and the direction of an offer that `local_offer` wrote, from its formats on."""
    offer = parse_description(b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\nm=audio 0" + _BEFORE_FORMATS[PLAIN_PROFILE] + ours)
    return formats_of(offer.media[0]), offer.direction_of(offer.media[0])


def _refused(media: Media) -> str:
    """The m-line that refuses `media`: same media, protocol and formats, port 0 (RFC 3264 6)."""
    return f"m={media.media} 0 {media.protocol} {' '.join(media.formats)}\r\n"


def _audio(
    port: int,
    codecs: Numbers,
    events: Events,
    packets: PacketTimes,
    direction: str,
    *,
    keys: str = "",
    mux: bool = False,
    liked: str = "",
) -> str:
    above, below = _around_keys(codecs, events, packets, direction, mux, liked)
    return f"m=audio {port} {SECURE_PROFILE if keys else PLAIN_PROFILE} {above}{keys}{below}"


@lru_cache(512)  # few are ever written
def _around_keys(
    codecs: Numbers, events: Events, packets: PacketTimes, direction: str, mux: bool, liked: str
) -> tuple[str, str]:
    numbers, maps = formats.written(codecs, events, liked)
    most = f"a=maxptime:{packets.maxptime}\r\n" if packets.maxptime else ""
    rtcp = "a=rtcp-mux\r\n" if mux else ""
    return f"{numbers}\r\n{maps}", f"a=ptime:{packets.ptime}\r\n{most}{rtcp}a={direction}\r\n"


def _describe(address: str, session_id: int, version: int, media: str) -> bytes:
    here = f"IN {address_family(address)} {address}"
    text = f"v=0\r\no=- {session_id} {version} {here}\r\ns=-\r\nc={here}\r\nt=0 0\r\n{media}"
    return text.encode("utf-8", "surrogateescape")
