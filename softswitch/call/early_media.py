"""P-Early-Media: who may be heard before the answer.

RFC 5009. Called by the legs and by `dial.py`. Directions are as the side of the callee writes them: "sendonly" and
"sendrecv" let the caller hear it. Nothing is copied from one leg to the other.
"""

from __future__ import annotations

from softswitch.sip.message import SipRequest, SipResponse

SUPPORTED = ("P-Early-Media", "supported")  # of our INVITEs
AUDIBLE = frozenset({"sendrecv", "sendonly"})
DIRECTIONS = AUDIBLE | {"recvonly", "inactive"}


def _words(message: SipRequest | SipResponse) -> set[str]:
    return {value.partition(";")[0].strip().lower() for value in message.headers.all("P-Early-Media")}


def may_be_heard(response: SipResponse) -> bool:
    """Whether early media of this provisional response may be relayed: unless its network says no (RFC 5009 8)."""
    directions = _words(response) & DIRECTIONS
    return not directions or bool(directions & AUDIBLE)


def authorisation(invite: SipRequest, direction: str) -> list[tuple[str, str]]:
    """The header of our 183 with early media, for a caller whose network asks for it (RFC 5009 8)."""
    return [("P-Early-Media", direction)] if "supported" in _words(invite) else []
