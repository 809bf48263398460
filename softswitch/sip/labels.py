"""Methods and statuses as they are counted: a bounded set, whatever anybody writes into a message.

Called by the core for each message in and out. It only names.
"""

from __future__ import annotations

from softswitch.sip.message import REASONS

KNOWN = frozenset(
    {
        *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK"),
        *("REFER", "MESSAGE", "NOTIFY", "REGISTER", "SUBSCRIBE", "PUBLISH"),
    }
)
OTHER = "other"


def folded(method: str) -> str:
    """The method, `other` where it is none that we know."""
    return method if method in KNOWN else OTHER


def folded_status(status: int) -> int:
    """The status, the first of its class (x00) where it is none that we know (RFC 3261 8.1.3.2)."""
    return status if status in REASONS else status // 100 * 100
