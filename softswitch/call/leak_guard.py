"""The last look at every message: does it carry a number or an address that this leg must never see?

Call treatment, "Neither side may ever learn the other's real number". One guard a session, called by the SIP session
with the bytes that are about to leave. It is the net under the allow-lists, not their replacement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from softswitch.sip.session import LeakRefused

SEPARATORS = b"-.() _/\t"
_NO_DIGITS = re.compile(r"[^0-9]++")
SHORTEST = 7  # fewer digits than this would match by chance

# What a peer reads back from its own messages cannot tell it anything new; checking it would only let a peer
# probe for numbers by watching which of its calls are refused.
ECHOED = frozenset({b"via", b"from", b"to", b"call-id", b"cseq", b"route", b"record-route"})
NEEDED = ECHOED | {b"contact", b"content-length", b"content-type", b"max-forwards"}


class LeakGuard:
    """Checks messages towards one leg for `numbers` (E.164) and `addresses` of the other.

    `on_hit(what, where)` is told of every hit: ("number" | "address", header name or "body").
    """

    __slots__ = ("_addresses", "_numbers", "_on_hit")

    def __init__(
        self, numbers: Iterable[str], addresses: Iterable[str] = (), on_hit: Callable[[str, str], None] | None = None
    ) -> None:
        self._numbers = tuple(needle for number in numbers if (needle := national_digits(number)) is not None)
        self._addresses = tuple(address.encode() for address in addresses)
        self._on_hit = on_hit

    def protect(self, addresses: Iterable[str]) -> None:
        """From now on these addresses too must not be seen."""
        self._addresses += tuple(address.encode() for address in addresses if address.encode() not in self._addresses)

    def __call__(self, data: bytes) -> bytes:
        """`data` as it may leave, without offending headers; raises LeakRefused where one of them is needed."""
        if not self._leaks(data):
            return data
        head, blank, body = data.partition(b"\r\n\r\n")
        if self._leaks(body):
            raise self._refused(body, "body")
        start, *lines = head.split(b"\r\n")
        initial = start.startswith(b"INVITE ") and b"\r\nTo:" in head and b";tag=" not in _line(lines, b"to")
        if (initial or start.startswith(b"SIP/2.0 ")) and self._leaks(start):
            raise self._refused(start, "start line")
        kept = [line for line in lines if self._passes(line, initial)]
        return b"\r\n".join([start, *kept]) + blank + body

    def _passes(self, line: bytes, initial: bool) -> bool:
        name = line.partition(b":")[0].strip().lower()
        if (name in ECHOED and not initial) or not self._leaks(line):
            return True
        if name in NEEDED:
            raise self._refused(line, name.decode("ascii", "replace"))
        self._tell(line, name.decode("ascii", "replace"))
        return False

    def _leaks(self, data: bytes) -> bool:
        if self._shows_number(data):
            return True
        for address in self._addresses:  # noqa: SIM110 - a generator costs more than the search
            if address in data and _names(address, data):
                return True
        return False

    def _shows_number(self, data: bytes) -> bool:
        if not self._numbers:
            return False
        digits = data.translate(None, SEPARATORS)
        if b"%" in digits:  # RFC 3261 25.1: any character may be escaped
            digits += _unescaped(digits)
        for number in self._numbers:  # noqa: SIM110 - as above
            if number in digits:
                return True
        return False

    def _refused(self, data: bytes, where: str) -> LeakRefused:
        self._tell(data, where)
        return LeakRefused(f"a protected number or address would leave in {where}")

    def _tell(self, data: bytes, where: str) -> None:
        if self._on_hit is not None:
            self._on_hit("number" if self._shows_number(data) else "address", where)


def national_digits(number: str) -> bytes | None:
    """The digits that all usual forms of `number` (+86…, 0086…, 86…, 0…, national) share; None if too few to tell."""
    digits = _NO_DIGITS.sub("", number)
    digits = digits[2:] if number.startswith("+86") else digits[-9:]  # country codes take 1 to 3 digits
    return digits.encode() if len(digits) >= SHORTEST else None


def _names(address: bytes, data: bytes) -> bool:
    """Does `data` name `address`, and not a longer one that only contains it (10.0.0.2 in 10.0.0.21)?"""
    return address in data and re.search(rb"(?<!\d)(?<!\d\.)" + re.escape(address) + rb"(?!\.?\d)", data) is not None


def _line(lines: list[bytes], name: bytes) -> bytes:
    return next((line for line in lines if line.lower().startswith(name + b":")), b"")


def _unescaped(data: bytes) -> bytes:
    first, *rest = data.split(b"%")
    parts = [first]
    for part in rest:
        try:
            parts.append(bytes([int(part[:2], 16)]) + part[2:])
        except ValueError:
            parts.append(b"%" + part)
    return b"".join(parts).translate(None, SEPARATORS)
