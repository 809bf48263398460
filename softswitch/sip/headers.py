"""Header names and the typed values of the headers that SIP itself reads: Via, name-addr headers, CSeq.

RFC 3261 sections 7.3, 8.1.1, 20 and 25.1, RFC 3581. Called by `message` (lazily, on first use) and by the core when it
writes headers of its own. It never looks inside a URI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

from softswitch.errors import SipParseError
from softswitch.sip.grammar import (
    HOST,
    LWS,
    QUOTED_STRING,
    TOKEN,
    bracket,
    is_token,
    join_params,
    parse_number,
    quote,
    remembered,
    split_params,
    unbracket,
    unquote,
)

# Names whose canonical spelling is not each-word-capitalised.
_ODD_NAMES = (
    "Call-ID",
    "CSeq",
    "WWW-Authenticate",
    "MIME-Version",
    "RAck",
    "RSeq",
    "Min-SE",
    "SIP-ETag",
    "SIP-If-Match",
)

_COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}

# Headers whose value is a comma-separated list, so that one line of many is the same as many lines (RFC 3261 7.3.1).
LIST_HEADERS = frozenset(
    {
        "Accept",
        "Accept-Contact",
        "Accept-Encoding",
        "Accept-Language",
        "Accept-Resource-Priority",
        "Alert-Info",
        "Allow",
        "Allow-Events",
        "Call-Info",
        "Contact",
        "Content-Encoding",
        "Content-Language",
        "Diversion",
        "Error-Info",
        "Geolocation",
        "History-Info",
        "In-Reply-To",
        "P-Asserted-Identity",
        "P-Associated-URI",
        "P-Early-Media",
        "P-Preferred-Identity",
        "Path",
        "Proxy-Require",
        "Reason",
        "Record-Route",
        "Reject-Contact",
        "Require",
        "Resource-Priority",
        "Route",
        "Security-Client",
        "Security-Server",
        "Security-Verify",
        "Service-Route",
        "Supported",
        "Unsupported",
        "Via",
        "Warning",
    }
)

_LOWER = {name.lower(): name for name in (*_ODD_NAMES, *LIST_HEADERS)} | _COMPACT
# Spellings seen on nearly every wire, found by one look-up; `parse_message` uses it directly.
USUAL_NAMES = {
    name: name
    for name in (
        *_ODD_NAMES,
        *LIST_HEADERS,
        *_COMPACT.values(),
        *("Max-Forwards", "User-Agent", "Server", "Date", "Expires", "Timestamp", "Privacy", "Authorization"),
        *("Content-Disposition", "Proxy-Authorization", "Proxy-Authenticate", "Organization", "Priority", "Replaces"),
        *("Retry-After", "P-Charging-Vector", "P-Access-Network-Info", "Min-Expires", "Subscription-State"),
    )
} | _COMPACT
USUAL_NAMES |= {"Call-Id": "Call-ID", "Remote-Party-ID": "Remote-Party-Id"}

_URI = r"[A-Za-z][A-Za-z0-9+.\-]*+:"
# Control characters, space and DEL never stand in a URI; without <> a comma, "?" or ";" ends it (RFC 3261 20.10).
_NAME_ADDR = re.compile(rf'(?:({QUOTED_STRING})[ \t]*+|([^"<>,;\\]*+))<({_URI}[^\x00-\x20\x7f<>"]++)>(.*+)', re.DOTALL)
_ADDR_SPEC = re.compile(rf'({_URI}[^\x00-\x20\x7f<>",;?]++)[ \t]*+((?:;.*+)?)', re.DOTALL)
_VIA = re.compile(
    rf"SIP[ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+({TOKEN})[ \t]++({HOST})(?:[ \t]*+:[ \t]*+([0-9]++))?[ \t]*+((?:;.*+)?)",
    re.IGNORECASE | re.DOTALL,
)
_CSEQ = re.compile(rf"([0-9]+)[ \t]+({TOKEN})")


class Via(Struct, frozen=True):
    """One Via value: `transport` in upper case, `host` without brackets."""

    transport: str
    host: str
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def branch(self) -> str:
        """The transaction's branch, empty where the peer sent none (RFC 2543)."""
        return self.params.get("branch") or ""

    @property
    def received(self) -> str | None:
        """The address that the next hop saw the request come from; some write brackets (RFC 5118 4.5)."""
        text = self.params.get("received")
        return text and unbracket(text)

    @property
    def rport(self) -> int | None:
        """The source port told by the next hop; `"rport" in params` alone asks for it (RFC 3581)."""
        text = self.params.get("rport")
        return parse_number(text, name="rport", largest=65535) if text else None

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {bracket(self.host)}{port}{join_params(self.params)}"


class NameAddr(Struct, frozen=True):
    """The value of From, To, Contact, Route and their like: `display` unquoted, `uri` as written."""

    display: str
    uri: str
    params: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        """The dialog tag, None where there is none."""
        return self.params.get("tag")

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{join_params(self.params)}"


class CSeq(Struct, frozen=True, gc=False):
    """Sequence number and method of a request (RFC 3261 8.1.1.5)."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def canonical_name(name: str) -> str:
    """The one spelling this package keeps a header name in: compact forms expanded, case settled.

    Raises SipParseError where it is no token.
    """
    known = USUAL_NAMES.get(name)
    if known is not None:
        return known
    lower = name.rstrip(LWS).lower()
    if not is_token(lower):
        raise SipParseError(f"header name {name[:40]!r} is not a token")
    return _LOWER.get(lower) or "-".join(word.capitalize() for word in lower.split("-"))


@remembered
def parse_via(text: str) -> Via:
    """Parse one Via value (RFC 3261 20.42); raises SipParseError."""
    match = _VIA.fullmatch(text)
    if match is None:
        raise SipParseError(f"Via: expected SIP/2.0/transport host, got {text[:60]!r}")
    transport, host, port, params = match.groups()
    return Via(
        transport.upper(),
        unbracket(host),
        None if port is None else parse_number(port, name="Via port", largest=65535),
        split_params(params),
    )


@remembered
def parse_name_addr(text: str) -> NameAddr:
    """Parse one name-addr or addr-spec with its parameters (RFC 3261 20.10); raises SipParseError."""
    match = _NAME_ADDR.fullmatch(text)
    if match is not None:
        quoted, plain, uri, params = match.groups()
        display = plain.strip(LWS) if quoted is None else unquote(quoted)
        return NameAddr(display, uri, split_params(params))
    match = _ADDR_SPEC.fullmatch(text)
    if match is None:
        raise SipParseError(f"expected an address, got {text[:60]!r}")
    return NameAddr("", match.group(1), split_params(match.group(2)))


@remembered
def parse_cseq(text: str) -> CSeq:
    """Parse a CSeq value; the number is less than 2**31 (RFC 3261 8.1.1.5). Raises SipParseError."""
    match = _CSEQ.fullmatch(text)
    if match is None:
        raise SipParseError(f"CSeq: expected number and method, got {text[:60]!r}")
    return CSeq(parse_number(match.group(1), name="CSeq", largest=2**31 - 1), match.group(2))
