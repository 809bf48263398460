"""SIP messages: bytes to data and back, headers parsed only when asked for.

RFC 3261 sections 7, 8.1.1, 8.2.6 and 18.3. Called by the core for every datagram, and by the user agent and the call
layer to read and make messages. It never decides what a message means and never does I/O.

Text is UTF-8 with surrogateescape, so that bytes of any other encoding survive a round trip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from softswitch.errors import SipParseError
from softswitch.sip.grammar import LWS, is_token, parse_number, split_commas
from softswitch.sip.headers import (
    LIST_HEADERS,
    USUAL_NAMES,
    CSeq,
    NameAddr,
    Via,
    canonical_name,
    parse_cseq,
    parse_name_addr,
    parse_via,
)
from softswitch.sip.uri import parse_uri, scheme_of

_usual_name = USUAL_NAMES.get  # bound once: a look-up in what is imported costs a method object each time
_SINGLE_HEADERS = ("From", "To", "Call-ID", "CSeq", "Max-Forwards")
_VERSION = "SIP/2.0"
_ANY_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE | re.DOTALL)
_FOLD = re.compile(r"\r\n[ \t]++")
_SECONDS = re.compile(r"([0-9]{1,9})(?![^ \t;(])")  # 31 years are enough
_CALL_ID = re.compile(r"[^\x00-\x20\x7f]+")


class UnacceptableRequest(SipParseError):
    """A request that can't be taken but can be answered: `request` is what could be read, `status` the answer."""

    def __init__(self, request: SipRequest, status: int, message: str) -> None:
        super().__init__(message)
        self.request = request
        self.status = status


class Headers:
    """An ordered multi-map of header fields on canonical names; Content-Length is no part of it (`encode` writes it).

    Every method but `read` takes a name in any spelling. Values are text without line breaks.
    """

    __slots__ = ("_pairs", "_texts", "known")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = [(canonical_name(name), value) for name, value in pairs]
        self._texts = dict(reversed(self._pairs))  # the first field of each name
        self.known: dict[str, Any] = {}  # what `read` has parsed, until a field of that name changes

    def get(self, name: str) -> str | None:
        """The value of the first field of this name."""
        return self._texts.get(_usual_name(name) or canonical_name(name))

    def all(self, name: str) -> list[str]:
        """Every value of this name; those of a list header split at their commas (RFC 3261 7.3.1)."""
        name = _usual_name(name) or canonical_name(name)
        text = self._texts.get(name)
        if text is None:
            return []
        values = [value for known, value in self._pairs if known == name] if self.repeated else [text]
        return [element for value in values for element in split_commas(value)] if name in LIST_HEADERS else values

    def read(self, name: str) -> Any:
        """The first field of a header that SIP itself reads, parsed; None where there is none. `name` is canonical.

        Raises SipParseError where it is malformed, or missing and mandatory.
        """
        text = self._texts.get(name)
        if text is None:
            if name in _MANDATORY:
                raise SipParseError(f"{name}: missing")
            return None
        if "," in text and name in LIST_HEADERS:
            text = next(iter(split_commas(text)), "")
        try:
            value = self.known[name] = _PARSERS[name](text)
        except SipParseError as error:
            raise (SipParseError(f"{name}: {error}") if _PARSERS[name] is parse_name_addr else error) from None
        return value

    def add(self, name: str, value: str) -> None:
        """Put a field behind all others."""
        name = canonical_name(name)
        self._become([*self._pairs, (name, value)], name)

    def set(self, name: str, value: str) -> None:
        """Replace the fields of this name by one, where the first of them stood (else at the end)."""
        name, pairs = canonical_name(name), self._pairs
        place = next((index for index, (known, _) in enumerate(pairs) if known == name), len(pairs))
        self._become([*pairs[:place], (name, value), *(pair for pair in pairs[place:] if pair[0] != name)], name)

    def remove(self, name: str) -> None:
        """Drop every field of this name."""
        name = canonical_name(name)
        self._become([pair for pair in self._pairs if pair[0] != name], name)

    def items(self) -> list[tuple[str, str]]:
        """The fields as (name, value) in wire order."""
        return list(self._pairs)

    @property
    def repeated(self) -> bool:
        """Whether any name stands more than once."""
        return len(self._pairs) > len(self._texts)

    def _become(self, pairs: list[tuple[str, str]], changed: str) -> None:
        self._pairs = pairs
        self._texts = dict(reversed(pairs))
        self.known.pop(changed, None)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._pairs == other._pairs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


class SipMessage:
    """What requests and responses share: the typed headers, each parsed on first use.

    The accessors of mandatory headers raise SipParseError where the header is missing or malformed.
    """

    __slots__ = ()
    headers: Headers
    body: bytes

    @property
    def via(self) -> Via:
        """The topmost Via."""
        headers = self.headers
        via: Via = headers.known.get("Via") or headers.read("Via")
        return via

    @property
    def from_(self) -> NameAddr:
        """From."""
        headers = self.headers
        from_: NameAddr = headers.known.get("From") or headers.read("From")
        return from_

    @property
    def to(self) -> NameAddr:
        """To."""
        headers = self.headers
        to: NameAddr = headers.known.get("To") or headers.read("To")
        return to

    @property
    def cseq(self) -> CSeq:
        """CSeq."""
        headers = self.headers
        cseq: CSeq = headers.known.get("CSeq") or headers.read("CSeq")
        return cseq

    @property
    def call_id(self) -> str:
        """Call-ID."""
        headers = self.headers
        call_id: str = headers.known.get("Call-ID") or headers.read("Call-ID")
        return call_id

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact, None where there is none; `*` raises SipParseError."""
        headers = self.headers
        contact: NameAddr | None = headers.known.get("Contact") or headers.read("Contact")
        return contact

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, None where there is none."""
        headers = self.headers
        number: int | None = headers.known.get("Max-Forwards") or headers.read("Max-Forwards")
        return number

    def seconds(self, name: str) -> int:
        """The number that a header begins with (after Retry-After words may follow), 0 where there is none."""
        match = _SECONDS.match(self.headers.get(name) or "")
        return int(match.group(1)) if match else 0

    @property
    def content_type(self) -> str:
        """The media type in lower case without parameters, empty where there is none."""
        headers = self.headers
        media_type: str | None = headers.known.get("Content-Type") or headers.read("Content-Type")
        return media_type or ""


@dataclass(slots=True)
class SipRequest(SipMessage):
    """A request; `uri` is the Request-URI as written."""

    method: str
    uri: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def encode(self) -> bytes:
        """The request as it goes to the wire; raises ValueError where a value would break a line."""
        return _encode(f"{self.method} {self.uri} {_VERSION}", self)


@dataclass(slots=True)
class SipResponse(SipMessage):
    """A response."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def encode(self) -> bytes:
        """The response as it goes to the wire; raises ValueError where a value would break a line."""
        return _encode(f"{_VERSION} {self.status} {self.reason}", self)


def parse_message(data: bytes) -> SipRequest | SipResponse:
    """Parse one datagram: start line, header fields, body.

    Bytes behind Content-Length are dropped; without it the body is the rest of the datagram (RFC 3261 18.3). Raises
    SipParseError, as UnacceptableRequest where a request can still be answered. What header values say is not looked
    at: see `validate`.
    """
    # "Implementations processing SIP messages over stream-oriented transports MUST ignore any CRLF appearing
    # before the start-line" (7.5); datagrams get the same kindness.
    head, blank, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not blank:
        raise SipParseError("expected an empty line behind the headers")
    text = head.decode("utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = " ".join(part.rstrip(LWS) for part in _FOLD.split(text))
    start, *lines = text.split("\r\n")
    # A lone CR or LF would be a line break to some other implementation: never let one in.
    if text.count("\r") != len(lines) or text.count("\n") != len(lines):
        raise SipParseError("expected CRLF at the end of each line, got a lone CR or LF")
    headers, lengths = _parse_fields(lines)
    if start[:4].upper() == "SIP/":
        status, reason = _parse_status_line(start)
        return SipResponse(status, reason, headers, _cut_body(body, lengths))
    return _build_request(start, headers, body, lengths)


def validate(message: SipRequest | SipResponse) -> None:
    """Check what every message must carry (RFC 3261 8.1.1); raises SipParseError naming the header at fault.

    Via, From, To, Call-ID and CSeq are there and well formed, nothing that stands once stands twice; of a request also
    the Request-URI, Max-Forwards and the method in CSeq.
    """
    if message.headers.repeated:
        names = [name for name, _ in message.headers]
        for name in _SINGLE_HEADERS:
            if names.count(name) > 1:
                raise SipParseError(f"{name}: stands more than once")
    read = message.headers.read
    _ = read("Via").rport, read("From"), read("To"), read("Call-ID"), read("Max-Forwards")
    method: str = read("CSeq").method
    if isinstance(message, SipResponse):
        return
    if method != message.method:
        raise SipParseError(f"CSeq: expected method {message.method}, got {method[:40]}")
    # Headers in the Request-URI are forbidden (19.1.1); other schemes are for the core to refuse (8.2.2.1).
    if scheme_of(message.uri) in ("sip", "sips", "tel") and parse_uri(message.uri).headers:
        raise SipParseError(f"Request-URI: expected no headers, got {message.uri[:60]!r}")


def _parse_fields(lines: list[str]) -> tuple[Headers, list[str]]:
    """The header fields and, apart, the values of Content-Length."""
    pairs: list[tuple[str, str]] = []
    lengths: list[str] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise SipParseError(f"expected a header field, got {line[:60]!r}")
        known = _usual_name(name) or canonical_name(name)
        if known == "Content-Length":
            lengths.append(value.strip(LWS))
        else:
            pairs.append((known, value.strip(LWS)))
    return _headers_of(pairs), lengths


def _headers_of(pairs: list[tuple[str, str]]) -> Headers:
    """Of canonical names."""
    headers = Headers.__new__(Headers)
    headers._pairs = pairs
    headers._texts = dict(reversed(pairs))
    headers.known = {}
    return headers


def _parse_status_line(line: str) -> tuple[int, str]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise SipParseError(f"expected a status line, got {line[:60]!r}")
    return int(match.group(1)), match.group(2) or ""


def _build_request(line: str, headers: Headers, body: bytes, lengths: list[str]) -> SipRequest:
    method, _, rest = line.rstrip(" ").partition(" ")
    uri, _, version = rest.rpartition(" ")
    if not is_token(method) or _ANY_VERSION.fullmatch(version) is None:
        raise SipParseError(f"expected a request line, got {line[:60]!r}")
    request = SipRequest(method, uri, headers, body)
    if version.upper() != _VERSION:
        raise UnacceptableRequest(request, 505, f"expected {_VERSION}, got {version[:20]}")
    if not uri or " " in uri or line[-1] == " ":
        raise UnacceptableRequest(request, 400, f"request line: expected single spaces, got {line[:60]!r}")
    try:
        request.body = _cut_body(body, lengths)
    except SipParseError as error:
        raise UnacceptableRequest(request, 400, str(error)) from None
    return request


def _cut_body(body: bytes, lengths: list[str]) -> bytes:
    if not lengths:
        return body
    length = parse_number(lengths[0], name="Content-Length", largest=len(body))
    if lengths.count(lengths[0]) != len(lengths):
        raise SipParseError("Content-Length: stands more than once, with different values")
    return body[:length]


def _parse_call_id(text: str) -> str:
    if _CALL_ID.fullmatch(text) is None:
        raise SipParseError(f"Call-ID: expected one word, got {text[:60]!r}")
    return text


def _parse_max_forwards(text: str) -> int:
    return parse_number(text, name="Max-Forwards", largest=255)


def _parse_media_type(text: str) -> str:
    return text.partition(";")[0].strip(LWS).lower()


_MANDATORY = frozenset({"Via", "From", "To", "Call-ID", "CSeq"})
_PARSERS: dict[str, Callable[[str], Any]] = {
    "Via": parse_via,
    "From": parse_name_addr,
    "To": parse_name_addr,
    "Call-ID": _parse_call_id,
    "CSeq": parse_cseq,
    "Contact": parse_name_addr,
    "Max-Forwards": _parse_max_forwards,
    "Content-Type": _parse_media_type,
}


def _encode(start: str, message: SipRequest | SipResponse) -> bytes:
    lines = [start]
    lines += [f"{name}: {value}" for name, value in message.headers.items() if name != "Content-Length"]
    lines.append(f"Content-Length: {len(message.body)}\r\n\r\n")
    text = "\r\n".join(lines)
    # One line more than it should have is a header smuggled in through a value.
    if text.count("\r") != len(lines) + 1 or text.count("\n") != len(lines) + 1:
        raise ValueError("a header value contains a line break")
    return text.encode("utf-8", "surrogateescape") + message.body
