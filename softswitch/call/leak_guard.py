"""The last look at every message: does it carry a number or an address that this leg must never see?

Call treatment, "Neither side may ever learn the other's real number". One guard a session, called by the SIP session
with the bytes that are about to leave. It is the net under the allow-lists, not their replacement.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from softswitch.sip.session import LeakRefused

SEPARATORS = b"-.() _/\t"
PERCENT = ord("%")
_NO_DIGITS = re.compile(r"[^0-9]++")
SHORTEST = 7  # fewer digits than this would match by chance
_ESCAPED = rb"(?<=%[0-9a-f]{2})"  # an escape (RFC 3261 25.1) is no part of what stands behind it
# A name without a dot may be any word of SIP ("sip", "a", "timer"): it counts where a host stands, and nowhere else.
_SIGNS_OF_HOSTS = rb"@|%40|sip:|sips:|//|/udp |/tcp |/tls |ip4 |ip6 |received=|maddr=|warning: \d{3} "
_WHERE_HOSTS_STAND = b"|".join(rb"(?<=%s)" % sign for sign in _SIGNS_OF_HOSTS.split(b"|"))
# What a peer reads back from its own messages cannot tell it anything new; checking it would only let a peer
# probe for numbers by watching which of its calls are refused.
ECHOED = frozenset({b"via", b"from", b"to", b"call-id", b"cseq", b"route", b"record-route"})
NEEDED = ECHOED | {b"contact", b"content-length", b"content-type", b"max-forwards"}


class LeakGuard:
    """Checks messages towards one leg for `numbers` (E.164) and `addresses` (and host names) of the other.

    `on_hit(what, where)` is told of every hit: ("number" | "address", header name or "body").
    """

    __slots__ = ("_addresses", "_lettered", "_numbers", "_on_hit")

    def __init__(
        self, numbers: Iterable[str], addresses: Iterable[str] = (), on_hit: Callable[[str, str], None] | None = None
    ) -> None:
        self._numbers = tuple([needle for number in numbers if (needle := national_digits(number)) is not None])
        self._addresses: tuple[bytes, ...] = ()
        self._lettered = False  # whether the case of letters matters not
        self._on_hit = on_hit
        self.protect(addresses)

    def protect(self, addresses: Iterable[str]) -> None:
        """From now on these addresses too must not be seen."""
        for address in addresses:
            needle, lettered = _needle(address)
            if needle not in self._addresses:
                self._addresses += (needle,)
                self._lettered = self._lettered or lettered

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
        lower = data.lower() if self._lettered else data
        for address in self._addresses:
            if lower.find(address) >= 0 and _pattern(address).search(lower) is not None:
                return True
        return False

    def _shows_number(self, data: bytes) -> bool:
        if not self._numbers:
            return False
        digits = data.translate(None, SEPARATORS)
        if PERCENT in digits:  # RFC 3261 25.1: any character may be escaped
            digits += _unescaped(digits)
        for number in self._numbers:  # noqa: SIM110 - a generator costs more than the search
            if digits.find(number) >= 0:  # `in` tries it as a number first, and throws the TypeError away
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


@functools.lru_cache(1024)
def _needle(address: str) -> tuple[bytes, bool]:
    """What to look for, and whether the case of its letters matters not."""
    needle = address.lower().encode()
    return needle, needle.upper() != needle


@functools.lru_cache(1024)
def _pattern(address: bytes) -> re.Pattern[bytes]:
    """Finds `address`, and not a longer one that only contains it: 10.0.0.2 in 10.0.0.21, "a" in "a=ptime"."""
    needle = re.escape(address)
    if b":" in address:
        return re.compile(rb"(?:(?<![0-9a-f])(?<![0-9a-f]:)|%s)%s(?!:?[0-9a-f]|\.\d)" % (_ESCAPED, needle))
    if b"." in address and not address.strip(b"0123456789."):
        return re.compile(rb"(?:(?<!\d)(?<!\d\.)|%s)%s(?!\.?\d)" % (_ESCAPED, needle))
    before = rb"(?<![\w-])|" + _ESCAPED if b"." in address.strip(b".") else _WHERE_HOSTS_STAND
    return re.compile(rb"(?:%s)%s(?!\.?[\w-]|@)" % (before, needle))


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
