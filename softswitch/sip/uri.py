"""SIP, SIPS and tel URIs: taken apart, put together, compared.

RFC 3261 section 19.1, RFC 3966. Called by the core (routing of requests), the user agent and the call layer (who was
dialled). It never resolves a host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

from softswitch.errors import SipParseError
from softswitch.sip.grammar import (
    HOST,
    bracket,
    escape,
    is_token,
    join_params,
    parse_number,
    remembered,
    split_params,
    unbracket,
    unescape,
)

# What may stand unescaped in the user part beside letters and digits: unreserved and user-unreserved (25.1).
USER_SAFE = "-_.!~*'()&=+$,;?/"
_PASSWORD_SAFE = "-_.!~*'()&=+$,"

_TEXT = r"""[^@:\x00-\x20\x7f-\U0010ffff<>"]"""
_SIP = re.compile(
    rf"(?:({_TEXT}++)(?::({_TEXT}*+))?@)?({HOST})(?::([0-9]+))?((?:;[^;?@\x00-\x20\x7f-\U0010ffff<>\"]*+)*+)"
    r"(?:\?([^?@\x00-\x20\x7f-\U0010ffff<>\"]*+))?"
)
_HOST = re.compile(HOST)
_TEL = re.compile(r"([0-9A-Fa-f*#+().\-]+)((?:;[^;\x00-\x20\x7f-\U0010ffff<>\"]*+)*+)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:(?=.)")


class SipUri(Struct, frozen=True):
    """A URI. `scheme` is "sip", "sips" or "tel"; `user` and `password` are unescaped; `host` has no brackets.

    Of a tel URI `user` is the number as written and `host` is empty. Parameter names are unescaped where that leaves
    them names; parameter and header values stay as written.
    """

    scheme: str
    user: str | None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The host that a request to it is sent to: `maddr` in the place of `host` (19.1.1), where that is a host."""
        maddr = self.params.get("maddr") or ""
        return unbracket(maddr) if _HOST.fullmatch(maddr) else self.host

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user}{join_params(self.params)}"
        port = "" if self.port is None else f":{self.port}"
        headers = "&".join(f"{name}={value}" for name, value in self.headers.items())
        mark = "?" if headers else ""
        return f"{self.scheme}:{_userinfo(self)}{bracket(self.host)}{port}{join_params(self.params)}{mark}{headers}"


def scheme_of(text: str) -> str:
    """The scheme of any URI in lower case; raises SipParseError where `text` is no URI at all."""
    match = _SCHEME.match(text)
    if match is None:
        raise SipParseError(f"expected a URI, got {text[:60]!r}")
    return match.group()[:-1].lower()


@remembered
def parse_uri(text: str) -> SipUri:
    """Parse a sip, sips or tel URI; raises SipParseError for anything else."""
    scheme = scheme_of(text)
    rest = text[len(scheme) + 1 :]
    if scheme == "tel":
        return _parse_tel(rest)
    match = _SIP.fullmatch(rest) if scheme in ("sip", "sips") else None
    if match is None:
        raise SipParseError(f"expected a SIP or tel URI, got {text[:60]!r}")
    user, password, host, port, params, headers = match.groups()
    return SipUri(
        scheme,
        None if user is None else unescape(user),
        None if password is None else unescape(password),
        unbracket(host),
        None if port is None else parse_number(port, name="port", largest=65535),
        _parse_params(params) if params else {},
        _parse_headers(headers) if headers else {},
    )


def _userinfo(uri: SipUri) -> str:
    if uri.user is None:
        return ""
    password = "" if uri.password is None else f":{escape(uri.password, _PASSWORD_SAFE)}"
    return f"{escape(uri.user, USER_SAFE)}{password}@"


def _parse_tel(text: str) -> SipUri:
    match = _TEL.fullmatch(text)
    if match is None:
        raise SipParseError(f"expected a telephone number, got {text[:60]!r}")
    return SipUri("tel", match.group(1), params=split_params(match.group(2)))


def _parse_params(text: str) -> dict[str, str | None]:
    """`%6C%72` is `lr` (19.1.4, RFC 4475 3.1.1.3); what would be another name when it is read again stays as it is."""
    params = split_params(text)
    if "%" not in text:
        return params
    plain: dict[str, str | None] = {}
    for name, value in params.items():
        unescaped = unescape(name).lower()
        plain.setdefault(unescaped if is_token(unescaped) and "%" not in unescaped else name, value)
    return plain


def _parse_headers(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split("&"))
    return {name: value for name, _, value in pairs}
