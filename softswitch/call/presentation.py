"""How a call looks to the trunk that it leaves by: whom the Request-URI, From, To and identity headers name, and how.

RFC 3261 8.1.1, RFC 3323 4.1, RFC 3325 9, draft-ietf-sip-privacy-04 (Remote-Party-ID). Called by `dial.py`. It writes X
and the callee's own number only: what it is given holds nothing of the caller.
"""

from __future__ import annotations

from msgspec import Struct

from softswitch.interfaces import Target
from softswitch.sip.addresses import bracketed
from softswitch.sip.grammar import escape
from softswitch.sip.uri import USER_SAFE

ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323 4.1.1.3


class Presentation(Struct, frozen=True, gc=False):
    """What an INVITE says of the two ends; `from_` and `to` are name-addrs without tag."""

    request_uri: str
    from_: str
    to: str
    headers: tuple[tuple[str, str], ...]


def present(target: Target, own_host: str, *, withheld: bool) -> Presentation:
    """The call as `target` wants to read it; `withheld` tells that the caller asked for its number not to be shown."""
    phone = ";user=phone" if target.user_phone else ""
    there, host = bracketed(target.uri_host or target.host), bracketed(target.from_host or own_host)
    port = "" if target.uri_host or target.port in (0, 5060) else f":{target.port}"
    shown = f"<sip:{target.display}@{host}{phone}>"
    hidden = target.privacy == "always" or (withheld and target.privacy == "caller")
    from_ = f"<sip:{escape(target.from_user, USER_SAFE)}@{host}>" if target.from_user else shown
    return Presentation(
        request_uri=f"sip:{target.user}@{there}{port}{phone}",
        from_=ANONYMOUS if hidden else from_,
        to=f"<sip:{target.to or target.user}@{there}{phone}>",
        headers=(*_identity(target.identity, shown, hidden=hidden), *([("Privacy", "id")] if hidden else [])),
    )


def _identity(wanted: str, shown: str, *, hidden: bool) -> list[tuple[str, str]]:
    """The headers that vouch for X; the trunk itself may read them even where the callee may not (RFC 3325 9.1)."""
    headers = []
    if wanted in ("pai", "both"):
        headers.append(("P-Asserted-Identity", shown))
    if wanted in ("rpid", "both"):
        privacy = "full" if hidden else "off"
        headers.append(("Remote-Party-ID", f"{shown};party=calling;screen=yes;privacy={privacy}"))
    return headers
