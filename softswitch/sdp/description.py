"""SDP session descriptions: bytes to data and back.

RFC 8866 (fields v, o, s, c, t, m, a; well-formed fields of other types are passed over). Called by `offer_answer`. It
never decides what a description means for a call and never resolves a host name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from softswitch.errors import SipParseError

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

_MEDIA = re.compile(r"(\S+) +([0-9]{1,5})(?:/([0-9]{1,5}))? +(\S+)((?: +\S+)+)")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([^\s/]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?")

Attribute = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= field: who made the session, its id and version (kept as text: they may be of any length)."""

    username: str
    session_id: str
    version: str
    family: str
    address: str

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.version} IN {self.family} {self.address}"


@dataclass(frozen=True, slots=True)
class Connection:
    """A c= field: `family` "IP4" or "IP6", `address` without time-to-live; it may be a host name."""

    family: str
    address: str

    @property
    def unicast(self) -> bool:
        """Whether the address is a numeric one that a single host can have (0.0.0.0 included)."""
        numeric = _numeric(self.address)
        return numeric is not None and not numeric.is_multicast

    @property
    def unspecified(self) -> bool:
        """Whether this is 0.0.0.0 or ::, the hold of RFC 2543 (RFC 3264 8.4)."""
        numeric = _numeric(self.address)
        return numeric is not None and numeric.is_unspecified

    def __str__(self) -> str:
        return f"IN {self.family} {self.address}"


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a payload type stands for: `name` in upper case, clock rate in Hz."""

    name: str
    clock_rate: int
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Media:
    """One media description: the m= field with the c= and a= fields that belong to it."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Description:
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
        for name, _ in (*media.attributes, *self.attributes):
            if name in DIRECTIONS:
                return name
        return "sendrecv"


@lru_cache(1024)
def _numeric(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address read, None for a host name."""
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def address_family(address: str) -> str:
    """The SDP address type of a numeric address: "IP4" or "IP6"."""
    return "IP6" if ":" in address else "IP4"


def parse_description(body: bytes) -> Description:
    """Parse a session description; raises SipParseError.

    Lines may end in LF alone (RFC 8866 5), s= and t= may be missing, the order inside a section is free.
    """
    sections: list[list[tuple[str, str]]] = [[]]
    for kind, value in _fields(body):
        if kind == "m":
            sections.append([])
        sections[-1].append((kind, value))
    session, *media = sections
    if not session or session[0] != ("v", "0"):
        raise SipParseError("SDP: expected v=0 first")
    values = {kind: value for kind, value in reversed(session) if kind in "ost"}
    return Description(
        _parse_origin(values.get("o", "")),
        tuple(_parse_media(fields) for fields in media),
        _parse_connection(session),
        _attributes(session),
        values.get("s", "-"),
        values.get("t", "0 0"),
    )


def format_description(description: Description) -> bytes:
    """The description as bytes, fields in the order of RFC 8866 5."""
    lines = ["v=0", f"o={description.origin}", f"s={description.session_name}"]
    lines += _connection_lines(description.connection)
    lines.append(f"t={description.timing}")
    lines += _attribute_lines(description.attributes)
    for media in description.media:
        count = f"/{media.port_count}" if media.port_count != 1 else ""
        lines.append(f"m={media.media} {media.port}{count} {media.protocol} {' '.join(media.formats)}")
        lines += _connection_lines(media.connection)
        lines += _attribute_lines(media.attributes)
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _fields(body: bytes) -> Iterator[tuple[str, str]]:
    text = body.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    if "\r" in text:
        raise SipParseError("SDP: expected CRLF or LF at the end of each line, got a lone CR")
    for line in text.rstrip("\n").split("\n"):
        if line[1:2] != "=" or not "a" <= line[0] <= "z":
            raise SipParseError(f"SDP: expected a field, got {line[:60]!r}")
        yield line[0], line[2:]


def _parse_origin(value: str) -> Origin:
    parts = value.split()
    if len(parts) != 6 or parts[3] != "IN":
        raise SipParseError(f"SDP: expected six values in o=, got {value[:60]!r}")
    username, session_id, version, _, family, address = parts
    return Origin(username, session_id, version, family, address)


def _parse_connection(fields: list[tuple[str, str]]) -> Connection | None:
    """The section's first c= field."""
    value = next((value for kind, value in fields if kind == "c"), None)
    if value is None:
        return None
    parts = value.split()
    address = parts[2].partition("/")[0] if len(parts) == 3 else ""
    if not address or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise SipParseError(f"SDP: expected IN IP4 or IN IP6 and an address in c=, got {value[:60]!r}")
    return Connection(parts[1], address)


def _parse_media(fields: list[tuple[str, str]]) -> Media:
    value = fields[0][1]
    match = _MEDIA.fullmatch(value.rstrip(" "))
    if match is None or int(match.group(2)) > 65535:
        raise SipParseError(f"SDP: expected media, port, protocol and formats in m=, got {value[:60]!r}")
    kind, port, count, protocol, formats = match.groups()
    return Media(
        kind,
        int(port),
        protocol,
        tuple(formats.split()),
        int(count or 1),
        _parse_connection(fields),
        _attributes(fields),
    )


def _attributes(fields: list[tuple[str, str]]) -> tuple[Attribute, ...]:
    parts = [value.partition(":") for kind, value in fields if kind == "a"]
    return tuple((name, value if colon else None) for name, colon, value in parts)


def _connection_lines(connection: Connection | None) -> list[str]:
    return [] if connection is None else [f"c={connection}"]


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]
