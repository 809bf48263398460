"""Digits in SIP INFO bodies: `application/dtmf-relay` (Signal=, Duration=) and `application/dtmf` (the bare digit).

No RFC defines either; both are what gateways have sent since RFC 2976 days. Called by the legs. Never raises.
"""

from __future__ import annotations

DIGITS = "0123456789*#ABCD"
DEFAULT_DURATION_MS = 160
_NAMED = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}


def info_digit(content_type: str, body: bytes) -> str | None:
    """The digit that an INFO request carries, or None where it carries none."""
    text = body.decode("ascii", "replace").strip()
    if content_type == "application/dtmf":
        return _digit(text.partition("=")[2] if "=" in text else text)
    if content_type != "application/dtmf-relay":
        return None
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name.strip().lower() == "signal":
            return _digit(value)
    return None


def _digit(text: str) -> str | None:
    text = text.strip().upper()
    text = _NAMED.get(text, text)
    return text if len(text) == 1 and text in DIGITS else None


def info_body(digit: str) -> bytes:
    """The `application/dtmf-relay` body that passes `digit` on: made anew, so that nothing else travels with it."""
    return f"Signal={digit}\r\nDuration={DEFAULT_DURATION_MS}\r\n".encode()
