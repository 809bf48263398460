"""The session description in a message's body, alone or as a part of several, and what to say of any other body.

RFC 3261 8.2.3, 20.1 and 20.11, RFC 2046 5.1, RFC 5621. Called by the core for whatever may carry an offer or an
answer, so that what lies behind it sees descriptions only. It does not read the description.
"""

from __future__ import annotations

from softswitch.errors import SipParseError
from softswitch.sip.grammar import is_token, split_params
from softswitch.sip.message import SipRequest, SipResponse

SDP = "application/sdp"
DESCRIBING = frozenset({"INVITE", "UPDATE", "PRACK", "ACK"})  # who may carry a description, and whose responses may
TAKEN = f"Accept: {SDP}\r\n"  # of an answer to OPTIONS
ACCEPTED = f"{TAKEN}Accept-Encoding: identity\r\n"  # of a 415
_RANGES = {"*/*": 0, "application/*": 1, SDP: 2}  # of Accept: those that hold ours, the wider first
_SEVERAL = ("multipart/mixed", "multipart/alternative")

Fields = dict[str, str]  # header fields of a body or a part, by name in lower case


def description(message: SipRequest | SipResponse) -> bytes | None:
    """What the body describes: b"" for nothing, or nothing that must be understood; None for what we can't take.

    Raises SipParseError for a Content-Type that can't be read.
    """
    if not message.body:
        return b""
    if message.content_type == SDP and "Content-Encoding" not in message.headers:
        return message.body
    fields = {name.lower(): value for name, value in message.headers if name.startswith("Content-")}
    if message.content_type not in _SEVERAL:
        return _sole(fields, message.body)
    _, _, params = fields["content-type"].partition(";")
    boundary = split_params(f";{params}").get("boundary")
    return (
        None if not boundary else _one_of(_parts(message.body, boundary.strip('"').encode("utf-8", "surrogateescape")))
    )


def readable(message: SipRequest | SipResponse) -> bytes:
    """The same of what nobody may refuse, an ACK or a response; b"" also for what we can't take or can't read."""
    try:
        return description(message) or b""
    except SipParseError:
        return b""


def takes_description(request: SipRequest) -> bool:
    """Whether its Accept leaves room for an answer of ours (20.1): without one it does, an empty one takes nothing.

    Of several ranges that hold our type the narrowest counts, "q=0" rules it out. What can't be read rules out nothing.
    """
    accept = request.headers.get("Accept")
    if accept is None or accept == SDP:  # nearly always
        return True
    narrowest, taken = -1, False
    for text in request.headers.all("Accept"):
        span, *params = text.split(";")
        kind, _, subtype = (word.strip() for word in span.lower().partition("/"))
        if not is_token(kind) or not is_token(subtype or "*"):
            return True
        width = _RANGES.get(f"{kind}/{subtype or '*'}", -1)
        if width > narrowest or (width == narrowest >= 0 and not taken):
            narrowest, taken = width, not any(map(_is_zero, params))
    return taken


def _is_zero(param: str) -> bool:
    """Whether a parameter of a range is a "q" of nought (0, 0.0 …)."""
    name, _, value = param.partition("=")
    return name.strip().lower() == "q" and value.strip() in ("0", "0.", "0.0", "0.00", "0.000")


def _sole(fields: Fields, body: bytes) -> bytes | None:
    """A body that is no container. One without a type is taken at its word: what else could it be?"""
    plain = fields.get("content-encoding", "identity").strip().lower() == "identity"
    if plain and _type_of(fields) == SDP:
        return body
    return b"" if _handling(fields) == "optional" else None


def _one_of(parts: list[tuple[Fields, bytes]]) -> bytes | None:
    """The first description. Beside one, others are passed over unless they say that they must be understood."""
    if not parts or any(_type_of(fields) != SDP and _handling(fields) == "required" for fields, _ in parts):
        return None
    read = [_sole(fields, body) for fields, body in parts]
    found = [one for one in read if one]
    if found:
        return found[0]
    return None if None in read else b""


def _parts(body: bytes, boundary: bytes) -> list[tuple[Fields, bytes]]:
    """The parts between the boundaries (RFC 2046 5.1.1); what stands before the first and behind the last is none."""
    _, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    parts = []
    for piece in pieces:
        if piece.startswith(b"--"):
            break
        head, _, content = piece.partition(b"\r\n\r\n")
        lines = [line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n")]
        parts.append(({name.strip().lower(): value.strip() for name, _, value in lines}, content))
    return parts


def _type_of(fields: Fields) -> str:
    return fields.get("content-type", SDP).partition(";")[0].strip().lower()


def _handling(fields: Fields) -> str:
    """The handling parameter of Content-Disposition, "" where nothing is said."""
    for param in fields.get("content-disposition", "").split(";")[1:]:
        name, _, value = param.partition("=")
        if name.strip().lower() == "handling":
            return value.strip().strip('"').lower()
    return ""
