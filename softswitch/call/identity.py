"""Who called whom, as the trunk wrote it: the texts that routing normalises.

RFC 3261 8.1.1, RFC 3325 (P-Asserted-Identity), RFC 3966 and the `ext` and `isub` parameters. Called by the story.
"""

from __future__ import annotations

from softswitch.errors import SipParseError
from softswitch.sip.headers import parse_name_addr
from softswitch.sip.message import SipRequest
from softswitch.sip.uri import parse_uri

EXTENSION_PARAMETERS = ("ext", "isub")


def called_text(invite: SipRequest) -> str:
    """The dialled user part with its `;ext=` or `;isub=`, from the Request-URI."""
    try:
        uri = parse_uri(invite.uri)
    except SipParseError:
        return ""
    extra = "".join(f";{name}={uri.params[name]}" for name in EXTENSION_PARAMETERS if uri.params.get(name))
    return (uri.user or "") + extra


def calling_text(invite: SipRequest) -> str:
    """The caller's user part: the trunk's P-Asserted-Identity before the phone's own From."""
    candidates = [*invite.headers.all("P-Asserted-Identity"), invite.headers.get("From") or ""]
    for value in candidates:
        try:
            user = parse_uri(parse_name_addr(value).uri).user
        except SipParseError:
            continue
        if user:
            return user
    return ""
