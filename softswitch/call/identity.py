"""Who called whom, as the trunk wrote it: the texts that routing normalises, and whether the caller is to stay hidden.

RFC 3261 8.1.1, RFC 3323 4.2, RFC 3325 (P-Asserted-Identity), draft-ietf-sip-privacy-04 (Remote-Party-ID), RFC 3966 and
the `ext` and `isub` parameters. Called by the story.
"""

from __future__ import annotations

from softswitch.errors import SipParseError
from softswitch.sip.headers import NameAddr, parse_name_addr
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.uri import SipUri, parse_uri

EXTENSION_PARAMETERS = ("ext", "isub")
_CALLED_IN = {"to": "To", "p_called_party_id": "P-Called-Party-ID"}  # else in the Request-URI
HIDING = frozenset({"id", "user", "header"})  # privacy types that concern who calls (RFC 3323 4.2, RFC 3325 9.3)
# Where a message may name its sender; what these say is the sender's secret towards the other side.
NAMING = (
    *("From", "Contact", "P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"),
    *("Diversion", "History-Info", "Referred-By", "Reply-To"),
)


def called_text(invite: SipRequest, where: str = "request_uri") -> str:
    """The dialled user part with its `;ext=` or `;isub=`: of the Request-URI, or of the header in its place.

    `where` is "request_uri", "to" or "p_called_party_id" (RFC 7315 4.2): who registers with a trunk may be called by
    its Contact.
    """
    header = _CALLED_IN.get(where)
    try:
        address = invite.uri if header is None else parse_name_addr(invite.headers.get(header) or "").uri
        uri = parse_uri(address)
    except SipParseError:
        return ""
    user = uri.user or ""
    if not uri.params:  # nearly always
        return user
    return user + "".join([f";{name}={uri.params[name]}" for name in EXTENSION_PARAMETERS if uri.params.get(name)])


def calling_text(invite: SipRequest, *, trusted: bool = True) -> str:
    """The caller's user part: of a `trusted` trunk what that asserts before the phone's own From, else From alone.

    A sip URI may stand beside a tel URI (RFC 3325 9.1): of several the first that is a number, else the first.
    """
    if trusted:
        asserted = [*invite.headers.all("P-Asserted-Identity"), *_callers_parties(invite)]
        users = [user for value in asserted if (user := _user(value))]
        if users:
            return next(filter(_is_number, users), users[0])
    uri = _from(invite)
    return "" if uri is None else uri.user or ""


def withholds(invite: SipRequest) -> bool:
    """Whether the caller asked that its number be shown to nobody."""
    for value in invite.headers.all("Privacy"):
        if HIDING & {word.strip().lower() for word in value.split(";")}:
            return True
    for value in _callers_parties(invite):
        if (_params(value).get("privacy") or "off").lower() != "off":
            return True
    uri = _from(invite)
    return uri is not None and (uri.host.lower() == "anonymous.invalid" or (uri.user or "").lower() == "anonymous")


def sender_names(message: SipRequest | SipResponse) -> list[str]:
    """Every display name and user part by which a message names its sender, or whom the call was diverted from."""
    names = NAMING if isinstance(message, SipRequest) else NAMING[1:]  # From of a response is ours
    values = [value for name in names for value in message.headers.all(name)]
    return [text for value in values for text in (_display(value), _user(value)) if text]


def _callers_parties(invite: SipRequest) -> list[str]:
    """Remote-Party-ID of the calling party, which is what it means where it says nothing."""
    parties = invite.headers.all("Remote-Party-ID")
    if not parties:  # nearly always
        return parties
    return [value for value in parties if (_params(value).get("party") or "calling").lower() == "calling"]


def _from(invite: SipRequest) -> SipUri | None:
    try:
        return parse_uri(invite.from_.uri)
    except SipParseError:
        return None


def _params(value: str) -> dict[str, str | None]:
    address = _name_addr(value)
    return {} if address is None else dict(address.params)


def _display(value: str) -> str:
    address = _name_addr(value)
    return "" if address is None else address.display


def _is_number(user: str) -> bool:
    return user.lstrip("+(")[:1].isdecimal()


def _user(value: str) -> str:
    uri = _uri(value)
    return "" if uri is None else uri.user or ""


def _uri(value: str) -> SipUri | None:
    address = _name_addr(value)
    try:
        return None if address is None else parse_uri(address.uri)
    except SipParseError:
        return None


def _name_addr(value: str) -> NameAddr | None:
    try:
        return parse_name_addr(value)
    except SipParseError:
        return None
