"""The types of values in a dialplan file, each with the words that tell what was expected.

Used by the records of numbers.py, trunks.py and dialplan.py; pydantic checks them while a file is read and never after.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from softswitch.hosts import is_host

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RECORD = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


def _matching(pattern: str, expected: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {expected}")
        return value

    return check


def network(value: object) -> Network:
    """The network that `value` (an address or CIDR) names; raises ValueError with the expected form."""
    try:
        return ipaddress.ip_network(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ValueError(f"expected an address or CIDR such as 192.0.2.0/24 ({error})") from None


def _host(value: str) -> str:
    if not is_host(value):
        raise ValueError("expected an address or host name without port")
    return value


def _maybe_host(value: str) -> str:
    if value and not is_host(value):
        raise ValueError('expected an address or host name without port, or ""')
    return value


def _place(value: str) -> str:
    """A host name, an address or a network; raises ValueError for a network that is none."""
    if "/" in value:
        network(value)
    elif not is_host(value):
        raise ValueError("expected a host name, an address or CIDR such as 192.0.2.0/24")
    return value


def one_of(*words: str) -> BeforeValidator:
    """Tells all that may stand there in one sentence, where pydantic has one for each kind of a union."""

    def check(value: object) -> object:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return value

    return BeforeValidator(check)


@dataclass(frozen=True, slots=True)
class Secret:
    """A password; no representation shows it."""

    value: str = field(default="", repr=False)


NO_SECRET = Secret()


def secret(value: object) -> Secret:
    """The password that `value` is, or that `env:NAME` or `file:PATH` leads to; no error tells it."""
    if isinstance(value, Secret):
        return value
    text = value if isinstance(value, str) else ""
    kind, colon, place = text.partition(":")
    if colon and kind == "env":
        text = os.environ.get(place, "")
    elif colon and kind == "file":
        try:
            text = Path(place).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            text = ""
    if not text or "\n" in text:
        raise ValueError('expected a password, "env:NAME" of a variable that is set, or "file:PATH" of a readable file')
    return Secret(text)


# Headers that SIP itself needs, that say who or where somebody is, or that could: never passed on (call treatment).
_OURS_ALONE = re.compile(
    "additional-identity|alert-info|allow|allow-events|answer-mode|attestation-info|authentication-info|"
    "authorization|call-id|call-info|cellular-network-info|contact|cseq|date|diversion|error-info|event|"
    "expires|feature-caps|from|history-info|identity|identity-info|in-reply-to|info-package|join|max-"
    "breadth|max-forwards|mime-version|min-expires|min-se|organization|origination-id|path|priority-"
    "share|priv-answer-mode|privacy|rack|reason|record-route|recv-info|refer-to|referred-by|remote-"
    "party-id|replaces|reply-to|require|retry-after|route|rseq|security-client|security-server|security-"
    "verify|server|service-route|session-expires|session-id|subject|subscription-state|supported|target-"
    "dialog|timestamp|to|trigger-consent|unsupported|user-agent|via|warning|www-authenticate"
    "|encryption|flow-timer|permission-missing|refer-sub|reject-contact|request-disposition|suppress-if-match"
    "|(?:accept|content|geolocation|p|policy|proxy|sip)-.*|accept|geolocation",
    re.IGNORECASE,
)


def passed_header(value: str) -> str:
    """The name of a header that may be passed on; raises ValueError for all that it must not be."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]+", value) is None:
        raise ValueError('expected the whole name of a header, such as "User-to-User" or "X-Order"')
    if _OURS_ALONE.fullmatch(value):
        raise ValueError("expected a header that tells neither who somebody is nor what SIP needs to know")
    return value


Name = Annotated[str, AfterValidator(_matching(r"[A-Za-z0-9][\w.-]*", "a name of letters, digits, - . and _"))]
Digits = Annotated[str, AfterValidator(_matching(r"[0-9]+", 'digits in quotes, such as "86"'))]
MaybeDigits = Annotated[str, AfterValidator(_matching(r"[0-9]*", 'digits in quotes, or ""'))]
Prefix = Annotated[str, AfterValidator(_matching(r"\+[0-9]*", 'the first digits of E.164, such as "+86755"'))]
MaybePrefix = Annotated[str, AfterValidator(_matching(r"\+?[0-9]*", 'first digits such as "+86755", or ""'))]
Number = Annotated[str, AfterValidator(_matching(r"\+[0-9]{3,18}", 'an E.164 number, such as "+8613800000001"'))]
Host = Annotated[str, AfterValidator(_host)]
MaybeHost = Annotated[str, AfterValidator(_maybe_host)]
PassedHeader = Annotated[str, AfterValidator(passed_header)]
PacketTime = Annotated[int, Field(strict=True, ge=10, le=60, multiple_of=10)]
MaxPacketTime = Annotated[int, Field(strict=True, ge=0, le=200, multiple_of=10)]
Place = Annotated[str, AfterValidator(_place)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Count = Annotated[int, Field(strict=True, ge=0)]
Days = Annotated[int, Field(strict=True, ge=0, le=36500)]
Length = Annotated[int, Field(strict=True, ge=1, le=18)]
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
CheckedNetwork = Annotated[Network, BeforeValidator(network)]
CheckedSecret = Annotated[Secret, BeforeValidator(secret)]
MaybeSeconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Expiry = Annotated[int, Field(strict=True, ge=60, le=2**31 - 1)]
Word = Annotated[str, AfterValidator(_matching(r"[^\x00-\x20\x7f-\x9f\"\\]*", "text without spaces and quotes"))]
AppKey = Annotated[str, AfterValidator(_matching(r"(?s:.{1,128})", "an app's key, 1 to 128 characters"))]
Realm = Annotated[str, AfterValidator(_matching(r"[ -~]+", "printable ASCII characters"))]
