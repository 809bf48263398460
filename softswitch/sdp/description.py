"""SDP session descriptions: bytes to data.

RFC 8866 (fields v, o, s, c, t, m, a; well-formed fields of other types are passed over). Called by `offer_answer`. It
never decides what a description means for a call and never resolves a host name.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from msgspec import Struct

from softswitch.errors import SipParseError

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

_FIELD = re.compile(r"^([a-z])=(.*)", re.MULTILINE)
_MEDIA = re.compile(r"(\S+) +([0-9]{1,5})(?:/([0-9]{1,5}))? +(\S+)(?: +\S+)+ *(?![^\n])")
_SECRETS = re.compile(r"\n(?:k=|a=(?:crypto|key-mgmt|ice-pwd)\b)")
_SECRET = ("key-mgmt", "ice-pwd")  # attributes that are not set apart as `crypto` is
_LONGEST_KEPT = 2048  # characters of what stands below an m-line
_LONGEST_ADDRESS = 300  # characters of a c= field; a domain has 255 at most (RFC 1035 2.3.4)
_RTPMAP = re.compile(r"([0-9]{1,3}) +([^\s/]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?")

Attribute = tuple[str, str | None]


class Fleeting(tuple[Attribute, ...]):
    """Attributes that nothing remembers: there is a key among them, or they are longer than any telephone's."""

    __slots__ = ()


class Origin(Struct, frozen=True, gc=False):
    """The o= field: who made the session, its id and version (kept as text: they may be of any length)."""

    username: str
    session_id: str
    version: str
    family: str
    address: str


class Connection(Struct, frozen=True, gc=False):
    """A c= field: `family` "IP4" or "IP6", `address` without time-to-live; it may be a host name."""

    family: str
    address: str

    @property
    def unicast(self) -> bool:
        """Whether the address is a numeric one that a single host can have (0.0.0.0 included)."""
        return _told(self.address)[0]

    @property
    def unspecified(self) -> bool:
        """Whether this is 0.0.0.0 or ::, the hold of RFC 2543 (RFC 3264 8.4)."""
        return _told(self.address)[1]


class Encoding(Struct, frozen=True, gc=False):
    """What a payload type stands for: `name` in upper case, clock rate in Hz."""

    name: str
    clock_rate: int
    channels: int = 1


class Media(Struct, frozen=True, gc=False):
    """One media description: the m= field with the c= and a= fields that belong to it."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()  # but those of `crypto`
    crypto: tuple[str, ...] = ()  # values of a=crypto (RFC 4568): they hold keys, and nothing else should

    def __repr__(self) -> str:
        return f"Media({self.media!r}, {self.port}, {self.protocol!r}, {self.formats}, {self.attributes})"

    def encodings(self) -> dict[int, Encoding]:
        """The RTP payload types with an a=rtpmap, in the order of the attributes; malformed ones are passed over."""
        return encodings_of(self.attributes)


def encodings_of(attributes: tuple[Attribute, ...]) -> dict[int, Encoding]:
    """The RTP payload types among an m-line's attributes: what `Media.encodings` tells."""
    matches = (_RTPMAP.fullmatch(value or "") for name, value in attributes if name == "rtpmap")
    return {
        int(match.group(1)): Encoding(match.group(2).upper(), int(match.group(3)), int(match.group(4) or 1))
        for match in matches
        if match is not None
    }


class Description(Struct, frozen=True, gc=False):
    """A session description. `session_name` is s=, `timing` t=."""

    origin: Origin
    media: tuple[Media, ...] = ()
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    session_name: str = "-"
    timing: str = "0 0"

    def connection_of(self, media: Media) -> Connection | None:
        """The c= field that counts for `media`: its own, else the session's (RFC 8866 5.7)."""
        return media.connection or self.connection

    def direction_of(self, media: Media) -> str:
        """The direction that counts for `media`: its own, else the session's, else sendrecv (RFC 8866 6.7)."""
        return direction_among(media.attributes) or self.direction

    @property
    def direction(self) -> str:
        """That of an m-line which has none of its own."""
        return (direction_among(self.attributes) if self.attributes else "") or "sendrecv"


@lru_cache(1024)
def _told(address: str) -> tuple[bool, bool]:
    """Whether it is a numeric address of one host, and whether it is the unspecified one."""
    try:
        numeric = ipaddress.ip_address(address)
    except ValueError:
        return False, False
    return not numeric.is_multicast, numeric.is_unspecified


def address_family(address: str) -> str:
    """The SDP address type of a numeric address: "IP4" or "IP6"."""
    return "IP6" if ":" in address else "IP4"


def direction_among(attributes: tuple[Attribute, ...]) -> str:
    """The first direction of these; "" where there is none."""
    return next((name for name, _ in attributes if name in DIRECTIONS), "")


def parse_description(body: bytes) -> Description:
    """Parse a session description; raises SipParseError.

    Lines may end in LF alone (RFC 8866 5), s= and t= may be missing, the order inside a section is free.
    """
    session, *sections = _text(body).split("\nm=")
    fields = _fields(session)
    if fields[0] != ("v", "0"):
        raise SipParseError("SDP: expected v=0 first")
    first = dict(reversed(fields))
    return Description(
        _parse_origin(first.get("o", "")),
        tuple([_parse_media(section) for section in sections]),
        _parse_connection(first["c"]) if "c" in first else None,
        _attributes(fields)[0] if "a" in first else (),  # keys have no place there (RFC 4568 9.1)
        first.get("s", "-"),
        first.get("t", "0 0"),
    )


def _text(body: bytes) -> str:
    text = body.decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\n")
    if "\r" in text:
        raise SipParseError("SDP: expected CRLF or LF at the end of each line, got a lone CR")
    return text


def _fields(text: str) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = _FIELD.findall(text)
    if len(fields) != text.count("\n") + 1:
        line = next(line for line in text.split("\n") if _FIELD.match(line) is None)
        shown = line.partition("inline:")[0]  # a key is nobody's to read
        raise SipParseError(f"SDP: expected a field, got {shown[:60]!r}")
    return fields


def _parse_origin(value: str) -> Origin:
    parts = value.split()
    if len(parts) != 6 or parts[3] != "IN":
        raise SipParseError(f"SDP: expected six values in o=, got {value[:60]!r}")
    username, session_id, version, _, family, address = parts
    return Origin(username, session_id, version, family, address)


@lru_cache(1024)  # gateways are few
def _parse_connection(value: str) -> Connection:
    parts = value.split() if len(value) <= _LONGEST_ADDRESS else []
    address = parts[2].partition("/")[0] if len(parts) == 3 else ""
    if not address or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise SipParseError(f"SDP: expected IN IP4 or IN IP6 and an address in c=, got {value[:60]!r}")
    return Connection(parts[1], address)


def _parse_media(section: str) -> Media:
    """A media description, of what stands behind its "m="."""
    match = _MEDIA.match(section)
    if match is None or int(match[2]) > 65535:
        value = section.partition("\n")[0]
        raise SipParseError(f"SDP: expected media, port, protocol and formats in m=, got {value[:60]!r}")
    kind, port, count, protocol = match.groups()
    below = section[match.end(4) :]
    kept = len(below) <= _LONGEST_KEPT and _SECRETS.search(below) is None
    formats, connection, attributes, crypto = _below(below) if kept else _read_below(below)
    if len(below) > _LONGEST_KEPT or (not kept and any(name in _SECRET for name, _ in attributes)):
        attributes = Fleeting(attributes)
    return Media(kind, int(port), protocol, formats, int(count or 1), connection, attributes, crypto)


_Below = tuple[tuple[str, ...], Connection | None, tuple[Attribute, ...], tuple[str, ...]]


def _read_below(text: str) -> _Below:
    """The formats of an m-line and the c= and a= fields under it, those of `crypto` apart."""
    formats, more, lines = text.partition("\n")
    fields = _fields(lines) if more else []
    first = dict(reversed(fields))
    connection = _parse_connection(first["c"]) if "c" in first else None
    return tuple(formats.split()), connection, *_attributes(fields)


_below = lru_cache(512)(_read_below)  # a peer writes the same call after call


def _attributes(fields: list[tuple[str, str]]) -> tuple[tuple[Attribute, ...], tuple[str, ...]]:
    """The attributes but those of `crypto`, and the values of these."""
    parts = [value.partition(":") for kind, value in fields if kind == "a"]
    attributes = tuple([(name, value if colon else None) for name, colon, value in parts if name != "crypto"])
    return attributes, tuple([value for name, _, value in parts if name == "crypto"])
