"""The formats of an audio stream: codecs that are ours, their payload types and parameters, the events beside them.

RFC 3551 (static payload types, G.722), RFC 7587 (Opus), RFC 4733 (telephone-event). Called by `offer_answer`. Pure
functions that never choose: what both sides want is not known here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from softswitch.interfaces import Coding
from softswitch.sdp.description import Attribute, Encoding, Fleeting, Media, direction_among, encodings_of

G711 = ("PCMA", "PCMU")
EVENT_CLOCKS = (8000, 48000)  # Hz, of the audio that telephone-events are sent amid (RFC 4733 2.1)

_FIRST_DYNAMIC = 96  # RFC 3551 3
_EVENT = "TELEPHONE-EVENT"
_EVENTS = "0-15"  # the sixteen DTMF keys
_PASSED_ON = ("maxplaybackrate", "maxaveragebitrate", "stereo", "cbr", "usedtx")
_PAYLOAD_TYPE_TEXTS = frozenset(str(number) for number in range(128))
_PTIMES_MS = {str(ptime): ptime for ptime in range(10, 61, 10)}
_OPUS_PTIMES_MS = {30: 20, 50: 40}  # one packet of ours is one frame of Opus: the next shorter one

Numbers = tuple[tuple[str, int], ...]  # payload types of codecs, in their order
Events = tuple[tuple[int, int], ...]  # of telephone-events, by clock


class Codec(NamedTuple):
    """One that we may speak. `payload_type`: in our offers; where `static`, in theirs too."""

    payload_type: int
    encoding: str  # as a=rtpmap writes it
    clock_rate: int  # Hz, of RTP timestamps
    static: bool = True
    parameters: str = ""  # a=fmtp: how we should like to be sent it


CODECS = {
    "PCMA": Codec(8, "PCMA/8000", 8000),
    "PCMU": Codec(0, "PCMU/8000", 8000),
    "G722": Codec(9, "G722/8000", 8000),  # though it samples at 16 kHz (RFC 3551 4.5.2)
    # Two channels whatever is sent (RFC 7587 7). Nothing limits what we are sent: it may pass to one who wants it all.
    "opus": Codec(96, "opus/48000/2", 48000, static=False, parameters="useinbandfec=1"),
}
STATIC = frozenset(name for name, codec in CODECS.items() if codec.static)
PAYLOAD_TYPES = {name: codec.payload_type for name, codec in CODECS.items()}

_STATIC = {codec.payload_type: Encoding(name, 8000) for name, codec in CODECS.items() if codec.static}
_NAMES = {**{encoding: encoding.name for encoding in _STATIC.values()}, Encoding("OPUS", 48000, 2): "opus"}


class Spoken(NamedTuple):
    """How one codec is spoken with who wrote an m-line, under whose numbers."""

    codec: str
    payload_type: int  # that we send
    event: int | None  # payload type to send telephone-events with
    event_in: int | None  # payload type that they come with
    event_clock: int
    ptime_ms: int
    coding: Coding | None  # None for G.711
    likes: str


class Formats(NamedTuple):
    """What an m-line says of its stream: payload types of ours by codec, in its order, and of telephone-events by
    their clock; how each codec is spoken; the direction ("": the session's), and where its writer wants RTCP.
    """

    codecs: Mapping[str, int]
    events: Mapping[int, int]
    spoken: Mapping[str, Spoken]
    direction: str = ""
    rtcp_port: int = 0  # RFC 3605; 0: none is told
    rtcp_mux: bool = False  # RFC 5761


NOTHING = Formats({}, {}, {})


def formats_of(media: Media) -> Formats:
    """What `media` says; a payload type that is named twice counts as it is named first."""
    return (read_stream if type(media.attributes) is Fleeting else _stream)(media.formats, media.attributes)


def read_stream(formats: tuple[str, ...], attributes: tuple[Attribute, ...]) -> Formats:
    """The same of an m-line's formats and attributes."""
    codecs, events = _numbers(formats, attributes)
    parameters = _parameters(attributes)
    values = {name: value or "" for name, value in reversed(attributes)}
    spoken = {
        name: _spoken(name, number, events, parameters.get(number, ""), values) for name, number in codecs.items()
    }
    rtcp_port = _port(values.get("rtcp", "").partition(" ")[0])
    return Formats(codecs, events, spoken, direction_among(attributes), rtcp_port, "rtcp-mux" in values)


_stream = lru_cache(256)(read_stream)  # a peer writes the same call after call, and each is asked about several times


def _spoken(codec: str, number: int, events: Mapping[int, int], parameters: str, values: Mapping[str, str]) -> Spoken:
    """The events that go with a codec have its own clock, else (some peers know no other) 8 kHz."""
    clock = next((clock for clock in (CODECS[codec].clock_rate, 8000) if clock in events), None)
    ptime_ms = _packet_ms(codec, values.get("ptime", ""), values.get("maxptime", ""))
    coding = _coding(codec, number, clock, parameters)
    event = None if clock is None else events[clock]
    return Spoken(codec, number, event, event, clock or 8000, ptime_ms, coding, _likes(codec, parameters))


def _port(text: str) -> int:
    """A port as SDP writes it, 0 where it is none."""
    usable = text.isdecimal() and text.isascii() and len(text) <= 5 and int(text) <= 65535
    return int(text) if usable else 0


def _numbers(formats: tuple[str, ...], attributes: tuple[Attribute, ...]) -> tuple[dict[str, int], dict[int, int]]:
    """Payload types of ours by codec, and of telephone-events by clock."""
    encodings = _STATIC | encodings_of(attributes)
    codecs: dict[str, int] = {}
    events: dict[int, int] = {}
    for payload_type in (int(text) for text in formats if text in _PAYLOAD_TYPE_TEXTS):
        encoding = encodings.get(payload_type)
        if encoding is None:
            continue
        name = _NAMES.get(encoding)
        if name is not None and _may_be(payload_type, CODECS[name]):
            codecs.setdefault(name, payload_type)
        elif encoding.name == _EVENT and encoding.clock_rate in EVENT_CLOCKS:
            events.setdefault(encoding.clock_rate, payload_type)
    return codecs, events


def _may_be(payload_type: int, codec: Codec) -> bool:
    """A static codec counts under its number alone: RFC 3551 6 gives it one."""
    return payload_type == codec.payload_type if codec.static else payload_type >= _FIRST_DYNAMIC


def _parameters(attributes: Iterable[Attribute]) -> dict[int, str]:
    parts = [(value or "").partition(" ") for name, value in attributes if name == "fmtp"]
    return {int(number): text for number, _, text in reversed(parts) if number in _PAYLOAD_TYPE_TEXTS}


def _likes(codec: str, parameters: str) -> str:
    """What who wrote `parameters` asks of whoever sends it `codec`, where that may be another than us (RFC 7587 7)."""
    if codec != "opus":
        return ""
    values = dict(reversed([_parameter(one) for one in parameters.split(";")]))
    return ";".join([f"{name}={values[name]}" for name in _PASSED_ON if _is_count(values.get(name, ""))])


def _coding(codec: str, payload_type_in: int, event_clock: int | None, parameters: str) -> Coding | None:
    """How media speaks `codec` with who wrote `parameters` (RFC 7587 6.1); None for G.711."""
    if codec in G711:
        return None
    values = dict(reversed([_parameter(one) for one in parameters.split(";")]))
    bitrate = values.get("maxaveragebitrate", "")
    fec, cbr, dtx = (values.get(name) == "1" for name in ("useinbandfec", "cbr", "usedtx"))
    return Coding(codec, payload_type_in, event_clock or 8000, int(bitrate) if _is_count(bitrate) else 0, fec, cbr, dtx)


def _is_count(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= 6  # bit/s: 6000 to 510000


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip()


def _packet_ms(codec: str, ptime: str, maxptime: str) -> int:
    """How long our packets of `codec` are for who wrote a=ptime and a=maxptime: 20 ms where it asks for none that we
    can keep.
    """
    wanted = min(_PTIMES_MS.get(ptime, 20), _PTIMES_MS.get(maxptime, 60))
    return _OPUS_PTIMES_MS.get(wanted, wanted) if codec == "opus" else wanted


def written(codecs: Numbers, events: Events, liked: str = "") -> tuple[str, str]:
    """The formats of an m-line, and the a=rtpmap and a=fmtp lines below it. `liked`: what `Spoken.likes` of another."""
    numbers, lines = [], ""
    for name, number in codecs:
        numbers.append(str(number))
        lines += f"a=rtpmap:{number} {CODECS[name].encoding}\r\n"
        if CODECS[name].parameters:
            lines += f"a=fmtp:{number} {CODECS[name].parameters}{liked and f';{liked}'}\r\n"
    for clock, number in events:
        numbers.append(str(number))
        lines += f"a=rtpmap:{number} telephone-event/{clock}\r\na=fmtp:{number} {_EVENTS}\r\n"
    return " ".join(numbers), lines


def offered(codecs: Iterable[str], first: int | None, known: Formats = NOTHING) -> tuple[Numbers, Events]:
    """The payload types of our offer: of `codecs`, and of telephone-events by clock: `first` (None: none) of 8 kHz,
    which some know alone whatever they speak, and the next of any other clock of `codecs`.

    Where one of `codecs` has a dynamic number, all that is `known` in the session keeps its own and nothing else gets
    that: no number may change its meaning (RFC 3264 8.3.2).
    """
    usual = _usual(tuple(codecs), first)
    return usual if known is NOTHING else _keeping(known, *usual)


@lru_cache(256)
def _usual(codecs: tuple[str, ...], first: int | None) -> tuple[Numbers, Events]:
    codecs = tuple(dict.fromkeys(codecs))  # a dialplan may name one twice
    clocks = sorted({8000, *(CODECS[name].clock_rate for name in codecs)})
    events = () if first is None else tuple([(clock, first + place) for place, clock in enumerate(clocks)])
    return tuple([(name, CODECS[name].payload_type) for name in codecs]), events


def _keeping(known: Formats, numbers: Numbers, events: Events) -> tuple[Numbers, Events]:
    dynamic = {name: number for name, number in numbers if name not in STATIC}
    if not dynamic:
        return numbers, events
    taken = {*known.codecs.values(), *known.events.values()}
    free = iter(sorted({*range(_FIRST_DYNAMIC, 128)} - taken - {*dynamic.values(), *dict(events).values()}))
    ours = {name: _number(known.codecs.get(name), number, taken, free) for name, number in dynamic.items()}
    heard = [(clock, _number(known.events.get(clock), number, taken, free)) for clock, number in events]
    return tuple([(name, ours.get(name, number)) for name, number in numbers]), tuple(heard)


def _number(known: int | None, usual: int, taken: Container[int], free: Iterator[int]) -> int:
    if known is not None:
        return known
    return next(free) if usual in taken else usual
