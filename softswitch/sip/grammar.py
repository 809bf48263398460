"""The primitives of the SIP grammar: tokens, quoted strings, %-escapes, lists and parameters.

RFC 3261 sections 7.3.1, 19.1.2 and 25.1. Called by `uri`, `headers` and `message`; pure text in, text out. It never
looks at what a header means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import TypeVar
from urllib.parse import quote as _percent_encode
from urllib.parse import unquote as _percent_decode

from softswitch.errors import SipParseError

LWS = " \t"
# How many parsed values of a kind are kept: a transaction's messages repeat each other's From, To, Via and CSeq. The
# results are frozen and shared.
REMEMBERED = 256
LONGEST_REMEMBERED = 512  # characters: of what is longer, one with thousands of parameters takes half a megabyte
TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
QUOTED_STRING = r'"(?:[^"\\]|\\.)*+"'
HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+"

_TOKEN = re.compile(TOKEN)
# A comma inside a quoted string or inside <> belongs to the element (RFC 3261 7.3.1, 20). A quote that is never closed
# reaches to the end: to try again behind it would cost the square of the length.
_QUOTED_OR_REST = rf"{QUOTED_STRING}?"
_COMMA_OR_OPAQUE = re.compile(rf",|{_QUOTED_OR_REST}|<[^<>]*+>", re.DOTALL)
_SEMICOLON_OR_OPAQUE = re.compile(rf";|{_QUOTED_OR_REST}", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)

Parsed = TypeVar("Parsed")


def remembered(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """`parse`, with the latest results kept, but those of long texts."""
    known = lru_cache(REMEMBERED)(parse)

    @wraps(parse)
    def read(text: str) -> Parsed:
        return known(text) if len(text) <= LONGEST_REMEMBERED else parse(text)

    return read


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 3261 25.1)."""
    return _TOKEN.fullmatch(text) is not None


def quote(text: str) -> str:
    """`text` as a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """What a quoted-string says; any other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner


def escape(text: str, safe: str) -> str:
    """`text` with every character but letters, digits, `_.-~` and those of `safe` %-escaped."""
    return _percent_encode(text, safe=safe, errors="surrogateescape")


def unescape(text: str) -> str:
    """`text` with its %-escapes decoded (RFC 3261 19.1.2); a `%` that begins no escape stands for itself."""
    return _percent_decode(text, errors="surrogateescape") if "%" in text else text


def split_commas(text: str) -> list[str]:
    """The elements of a comma-separated header, without LWS around them and without empty ones (RFC 3261 7.3.1)."""
    if "," not in text:
        parts = [text]
    elif '"' in text or "<" in text:
        parts = _split(text, ",", _COMMA_OR_OPAQUE)
    else:
        parts = text.split(",")
    return [element for part in parts if (element := part.strip(LWS))]


def split_params(text: str) -> dict[str, str | None]:
    """`;name=value;flag` as a mapping: names in lower case, values as written (quotes kept), None for a bare name.

    Of a name that stands twice the first counts; one `;` at the end may stand alone, as some peers write it. Raises
    SipParseError where `text` does not begin with `;` or a name is no token.
    """
    params: dict[str, str | None] = {}
    first, *parts = _split(text, ";", _SEMICOLON_OR_OPAQUE) if '"' in text else text.split(";")
    if first.strip(LWS):
        raise SipParseError(f"expected ';' before parameter at {first[:40]!r}")
    if parts and not parts[-1].strip(LWS):
        parts.pop()
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip(LWS).lower()
        if _TOKEN.fullmatch(name) is None:
            raise SipParseError(f"parameter name {name[:40]!r} is not a token")
        params.setdefault(name, value.strip(LWS) if equals else None)
    return params


def join_params(params: Mapping[str, str | None]) -> str:
    """The parameters as `;name=value;flag`."""
    return "".join(_param(name, value) for name, value in params.items())


def parse_number(text: str, *, name: str, largest: int) -> int:
    """A decimal number of at most `largest`; raises SipParseError that names the field `name`."""
    # Length first: int() of a hostile number of thousands of digits raises, and isdigit() alone takes other scripts.
    if len(text) <= 10 and text.isascii() and text.isdigit() and (number := int(text)) <= largest:
        return number
    raise SipParseError(f"{name}: expected a number of at most {largest}, got {text[:40]!r}")


def unbracket(host: str) -> str:
    """A host without the brackets of an IPv6 reference."""
    return host[1:-1] if host[:1] == "[" else host


def bracket(host: str) -> str:
    """A host, an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _param(name: str, value: str | None) -> str:
    return f";{name}" if value is None else f";{name}={value}"


def _split(text: str, separator: str, pattern: re.Pattern[str]) -> list[str]:
    """Split at the separators that `pattern` finds outside of what is opaque."""
    parts, start = [], 0
    for match in pattern.finditer(text):
        if match.group() == separator:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return parts
