"""SDP session descriptions: bytes to data.

RFC 8866 (fields v, o, s, c, t, m, a; well-formed fields of other types are passed over). Called by `offer_answer`. It
never decides what a description means for a call and never resolves a host name.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from itertools import pairwise

from msgspec import Struct

from softswitch.errors import SipParseError

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

_FIELD = re.compile(r"^([a-z])=(.*)", re.MULTILINE)
_MEDIA = re.compile(r"(\S+) +([0-9]{1,5})(?:/([0-9]{1,5}))? +(\S+)((?: +\S+)+)")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([^\s/]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?")

Attribute = tuple[str, str | None]


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
        for name, _ in (*media.attributes, *self.attributes):
            if name in DIRECTIONS:
                return name
        return "sendrecv"


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


def parse_description(body: bytes) -> Description:
    """Parse a session description; raises SipParseError.

    Lines may end in LF alone (RFC 8866 5), s= and t= may be missing, the order inside a section is free.
    """
    fields = _fields(body)
    starts = [index for index, (kind, _) in enumerate(fields) if kind == "m"]
    session = fields[: starts[0]] if starts else fields
    if session[:1] != [("v", "0")]:
        raise SipParseError("SDP: expected v=0 first")
    first = dict(reversed(session))
    return Description(
        _parse_origin(first.get("o", "")),
        tuple([_parse_media(fields[start:end]) for start, end in pairwise([*starts, len(fields)])]),
        _parse_connection(first.get("c")),
        _without_keys(_attributes(session)),  # which have no place there (RFC 4568 9.1)
        first.get("s", "-"),
        first.get("t", "0 0"),
    )


def _fields(body: bytes) -> list[tuple[str, str]]:
    text = body.decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\n")
    if "\r" in text:
        raise SipParseError("SDP: expected CRLF or LF at the end of each line, got a lone CR")
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


def _parse_connection(value: str | None) -> Connection | None:
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
    attributes = _attributes(fields)
    crypto = tuple([value or "" for name, value in attributes if name == "crypto"])
    return Media(
        kind,
        int(port),
        protocol,
        tuple(formats.split()),
        int(count or 1),
        _parse_connection(dict(reversed(fields)).get("c")),
        _without_keys(attributes),
        crypto,
    )


def _without_keys(attributes: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    return tuple([one for one in attributes if one[0] != "crypto"])


def _attributes(fields: list[tuple[str, str]]) -> tuple[Attribute, ...]:
    parts = [value.partition(":") for kind, value in fields if kind == "a"]
    return tuple([(name, value if colon else None) for name, colon, value in parts])
