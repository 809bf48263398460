"""Ordinary messages at a seventh of the cost: `plain` parses and validates in C what is written as nearly all is.

RFC 3261 7, 8.1.1, 20. Called by the core for each message before anything else; None where a message is not plain, then
`message.parse_message` and `validate` have the word: they know the whole grammar. What `plain` returns is what these
two would have made, with the headers that the core reads parsed already. It never raises and never decides anything.
"""

from __future__ import annotations

from softswitch.sip._plain import learn, plain
from softswitch.sip.headers import USUAL_NAMES, CSeq, NameAddr, Via, canonical_name
from softswitch.sip.labels import KNOWN, REASONS
from softswitch.sip.message import Headers, SipRequest, SipResponse

__all__ = ["plain"]

_PARAMS = (
    "branch",
    "rport",
    "received",
    "tag",
    "transport",
    "lr",
    "user",
    "ob",
    "maddr",
    "ttl",
    "alias",
    "expires",
    "q",
)
_WORDS = (*_PARAMS, *KNOWN, *REASONS.values(), "UDP", "TCP", "TLS", "application/sdp")

learn(Headers, SipRequest, SipResponse, Via, NameAddr, CSeq, canonical_name, USUAL_NAMES, _WORDS)
