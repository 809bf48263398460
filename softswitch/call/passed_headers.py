"""Headers that travel from one leg to the other: those that both trunks name, and that show nobody's number.

RFC 7433 (User-to-User) and whatever a carrier calls its own. Called by `dial.py` with the INVITE and with what answers
it, and by whoever ends the other leg with the BYE. Everything else that a leg sends is written anew. The leak guard
looks at these headers once more.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence

import structlog

from softswitch.call.cdr import CallRecord
from softswitch.call.identity import sender_names
from softswitch.call.leak_guard import LeakGuard, national_digits
from softswitch.call.leg import Leg
from softswitch.call.services import CallServices
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.session import LeakRefused

LONGEST = 1024  # bytes of one value
MOST = 2048  # of all together
_HEX = re.compile(r"[0-9A-Fa-f]{8,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{10,}={0,2}")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|(?<=\[)[0-9A-Fa-f:.]+(?=\])")
_MEDIA_ADDRESS = re.compile(rb"(?m)^c=IN IP[46] ([0-9A-Fa-f:.]+)")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

log = structlog.get_logger(__name__)

Pairs = list[tuple[str, str]]


def common(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """The names that pass between two trunks: those that both name."""
    if not ours or not theirs:  # nearly always
        return ()
    named = {name.lower() for name in theirs}
    return tuple(name for name in ours if name.lower() in named)


def farewell(left: Leg | None, other: Leg, number: str, record: CallRecord, services: CallServices) -> Pairs:
    """What of the BYE by which `left`, whose number is `number`, ended the call goes with ours to `other`."""
    if left is None or left.goodbye is None or not other.started:
        return []
    names = common(services.trunk(record.trunk_in).pass_headers, services.trunk(record.trunk_out).pass_headers)
    if not names:  # nearly always
        return []
    hidden = services.foreign(left.session.remote.host, other.session.remote.host)
    if left.negotiated is not None:  # reports of its media may name its end (X-RTP-Stat)
        hidden |= services.foreign(left.negotiated.remote_address, other.session.remote.host)
    return passed(left.goodbye, names, [number], hidden, call_id=record.call_id)


def passed(
    message: SipRequest | SipResponse,
    names: Sequence[str],
    numbers: Iterable[str],
    addresses: Iterable[str],
    *,
    call_id: str = "",
) -> Pairs:
    """The headers of `message` called `names` without those that show a number or address of its sender.

    `numbers` (E.164) and `addresses` are what the switch knows of the sender; what the message itself calls it, and
    where it says that it is, counts as well.
    """
    if not names or not any(name in message.headers for name in names):  # nearly always
        return []
    told = [name for name in sender_names(message) if national_digits(name) is not None]
    guard = LeakGuard([*numbers, *told], [*addresses, *_own_addresses(message)])
    found: Pairs = []
    room = MOST
    for name in names:
        for value in message.headers.all(name):
            room -= len(value)
            if len(value) <= LONGEST and room >= 0 and not _UNPRINTABLE.search(value) and _clean(value, guard):
                found.append((name, value))
            else:
                log.warning("header_withheld", call_id=call_id, header=name, characters=len(value))
    return found


def _own_addresses(message: SipRequest | SipResponse) -> set[str]:
    """Where its sender is reached: for the next request, for responses, for media."""
    names = ("Contact", "Via") if isinstance(message, SipRequest) else ("Contact",)  # Via of a response is ours
    text = " ".join([value for name in names for value in message.headers.all(name)])
    return {*_ADDRESS.findall(text), *[one.decode() for one in _MEDIA_ADDRESS.findall(message.body)]}


def _clean(value: str, guard: LeakGuard) -> bool:
    """Whether no reading of `value` shows what the guard protects."""
    for reading in _readings(value):
        try:
            guard(b"BODY\r\n\r\n" + reading)
        except LeakRefused:
            return False
    return True


def _readings(value: str) -> Iterator[bytes]:
    """The value as it stands, backwards, and what hexadecimal, semi-octets and base64 in it may mean."""
    plain = value.encode("utf-8", "surrogateescape")
    yield plain
    yield plain[::-1]
    for found in _HEX.finditer(value):
        for digits in (found[0], found[0][1:]):
            yield bytes.fromhex(digits[: len(digits) & ~1])
            yield "".join(digits[i + 1] + digits[i] for i in range(0, len(digits) - 1, 2)).encode()  # TS 23.040 9.1.2.3
    for found in _BASE64.finditer(value):
        text = found[0].rstrip("=").replace("-", "+").replace("_", "/")
        for start in range(4):
            yield _unbased(text[start:])


def _unbased(text: str) -> bytes:
    text = text[: len(text) - (len(text) % 4 == 1)]
    return base64.b64decode(text + "=" * (-len(text) % 4))
