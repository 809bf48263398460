"""What stands before the core: strangers, messages too large, and calls too many are turned away before they cost.

RFC 3261 8.2.7, 18.1.2 and 21.5.4. Asked by the user agent for every message that has come, with the time. Whoever is
turned away gets nothing, or one refusal written from the raw bytes; a stranger never more bytes than it sent, for its
address may be somebody else's. It parses a whole message only of a trunk that writes as RFC 2543 has it, and opens no
transaction.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from softswitch.errors import SipParseError
from softswitch.sip.acceptance import server_key
from softswitch.sip.addresses import Hop, Path
from softswitch.sip.glance import (
    begins_call,
    ends_refusal,
    excess,
    head_of,
    is_response,
    quick_refusal,
    to_tag,
    transaction_key,
)
from softswitch.sip.log_pace import LogPace
from softswitch.sip.message import SipRequest, parse_message
from softswitch.sip.overload import Overload
from softswitch.sip.strangers import Strangers

log = logging.getLogger(__name__)

STRANGERS_SHARE = 0.5  # of the room for connections: the rest is for trunks, however many strangers come
MOST_TRANSACTIONS = 300_000  # beyond, no request that would open one more comes in, not even inside a dialog
KEEP_ALIVE = 4  # bytes: CRLF CRLF, or less, of a phone behind NAT


class Transacting(Protocol):
    """A transaction, as far as the entrance must know it."""

    path: Path


class Conversing(Protocol):
    """A session, as far as the entrance must know it."""

    @property
    def remote(self) -> Hop:
        """The far end, where its latest message came from."""

    @property
    def target(self) -> Hop:
        """Where it wants our next request."""


class Inside(Protocol):
    """The core, as far as the entrance must know it."""

    @property
    def transactions(self) -> Mapping[object, Transacting]:
        """Those at work."""

    @property
    def sessions(self) -> Mapping[str, Conversing]:
        """Those that live, by our tag."""

    def send(self, data: bytes, path: Path, method: str, status: int) -> None:
        """Queue a message."""


class Entrance:
    """Turns away or lets in. `counts` tells how many were turned away, by reason (a bounded set)."""

    def __init__(
        self,
        accept_source: Callable[[Hop], bool | None],
        *,
        strangers: Strangers | None = None,
        overload: Overload | None = None,
    ) -> None:
        """`accept_source`: True for a trunk; of strangers False gets 403, None nothing. None bounds no strangers."""
        self.counts: Counter[str] = Counter()
        self.strangers, self.overload = strangers, overload
        self.unproved: Callable[[Hop, float], bool] | None = None  # whether a trunk owes us a password; None: none does
        self._accept_source = accept_source
        self._pace = LogPace()

    def admits(self, data: bytes, path: Path, now: float, core: Inside) -> bool:
        """Whether the core shall see a message; where not, a refusal may have been queued at `core`."""
        accepted = self._accept_source(path.hop)
        if not accepted and self.strangers is not None:
            return self._admits_stranger(data, path, now, core, self.strangers, silent=accepted is None)
        if self.strangers is not None and (why := self._doubt(data, path.hop, now, core, self.strangers)):
            told = why == "unproved" and path.connection  # it would not send again, and its address is no forgery
            return self._turn_away(why, data, path, now, core, 503 if told else 0, "Retry-After: 1\r\n" if told else "")
        if len(data) <= KEEP_ALIVE or ends_refusal(data):
            return False
        if (status := excess(data)) != 0:
            return self._turn_away("too_large", data, path, now, core, status)
        if len(core.transactions) >= MOST_TRANSACTIONS and not is_response(data) and not _is_known(data, core):
            return self._turn_away("memory", data, path, now, core, 503)
        if self.overload is not None and begins_call(data):
            if _is_known(data, core):
                return True
            why = self.overload.reason(len(core.sessions), len(core.transactions), now)
            if why:
                return self._turn_away(why, data, path, now, core, 503, self.overload.retry_after)
        return True

    def room_for(self, hop: Hop, now: float) -> float:
        """How much of the room for connections may be in use where `hop` gets one more: 1.0 is all, 0.0 is none.

        A connection costs more than a message (a TLS handshake far more), so it counts as one.
        """
        strangers = self.strangers
        if strangers is None:
            return 1.0
        if not self._accept_source(hop):
            return STRANGERS_SHARE if strangers.may_connect(hop.host, now) else 0.0
        if self.unproved is None or not self.unproved(hop, now):
            return 1.0
        return STRANGERS_SHARE if strangers.bears(b"", hop.host, now, connected=True) else 0.0

    # What the core asks before it answers without a transaction (`stateless.Doubt`)

    def may_be_forged(self, hop: Hop, now: float) -> bool:
        """Whether a message in the name of `hop` may be anybody's: by UDP, of a stranger or of who owes a password."""
        if hop.transport != "udp":
            return False
        return not self._accept_source(hop) or (self.unproved is not None and self.unproved(hop, now))

    def unanswered(self, hop: Hop, now: float) -> None:
        """Count a request that got no answer because none is as short."""
        self._note("short", hop, now)

    def _doubt(self, data: bytes, hop: Hop, now: float, core: Inside, strangers: Strangers) -> str:
        """Why a message from a trunk's address is not looked at, calls that are up apart; empty where it is."""
        banned = strangers.is_shut_out(hop.host, now)
        if not banned and (self.unproved is None or not self.unproved(hop, now)):
            return ""
        head = head_of(data)
        # A carrier may send what belongs to a call from another of its addresses, one that never sends an INVITE.
        connected = hop.transport != "udp"
        if not excess(data) and _is_with(hop.host if banned else None, head, core):
            if connected:
                strangers.give_back(hop.host)
            return ""
        if banned:
            return "banned"
        return "" if strangers.bears(head, hop.host, now, connected=connected) else "unproved"

    def _admits_stranger(
        self, data: bytes, path: Path, now: float, core: Inside, strangers: Strangers, *, silent: bool
    ) -> bool:
        """Nothing but what belongs to a transaction or dialog with this very address comes in."""
        host, head, large = path.hop.host, head_of(data), excess(data)
        connected = path.hop.transport != "udp"
        if not large and _is_with(host, head, core):
            if connected:
                strangers.give_back(host)
            return True
        why = strangers.judge(head, host, now, connected=connected)
        if why:
            return self._turn_away(why, data, path, now, core)
        strangers.turned_away(host, now, connected=connected)
        if large:
            return self._turn_away("too_large", data, path, now, core)
        if is_response(head) or to_tag(head):
            return self._turn_away("spoofed", data, path, now, core)
        return self._turn_away("stranger", data, path, now, core, 0 if silent else 403)

    def _turn_away(
        self,
        why: str,
        data: bytes,
        path: Path,
        now: float,
        core: Inside,
        status: int = 0,
        more: str = "",
    ) -> bool:
        """Count it, answer it with `status` (0: not at all; nor with more than came where that may be forged)."""
        hop = path.hop
        self._note(why, hop, now)
        refused = quick_refusal(data, status, (hop.host, hop.port), more) if status else None
        if refused is not None and (len(refused[0]) <= len(data) or not self.may_be_forged(hop, now)):
            answer, port = refused
            method = data.partition(b" ")[0].decode("ascii", "replace")
            back = path if port == hop.port else path._replace(hop=hop._replace(port=port))
            core.send(answer, back, method, status)
        return False

    def _note(self, why: str, hop: Hop, now: float) -> None:
        self.counts[why] += 1
        if new := self._pace.since(why, self.counts[why], now):
            log.warning("turned away %s (%s): %d since the last line", hop.host, why, new)


def _is_known(request: bytes, core: Inside) -> bool:
    """Whether a request is the repetition of one that was taken, its ACK or CANCEL; what can't be read may be."""
    key = transaction_key(request) or _whole_key(request)
    return key is None or key in core.transactions


def _whole_key(request: bytes) -> tuple[object, ...] | None:
    """That of a request of RFC 2543, or with a folded Via: many headers make it (RFC 3261 17.2.3). Both are rare."""
    try:
        message = parse_message(request)
        return server_key(message) if isinstance(message, SipRequest) else None
    except SipParseError:
        return None


def _is_with(host: str | None, data: bytes, core: Inside) -> bool:
    """Whether a message belongs to a transaction or dialog of ours with `host`: what is guessed or spoofed does not.

    None: with whomever; then it is our branch or tag alone, which nobody can guess, that tells.
    """
    key = transaction_key(data)
    transaction = None if key is None else core.transactions.get(key)
    if transaction is not None:
        return host is None or transaction.path.hop.host == host
    session = None if is_response(data) else core.sessions.get(to_tag(data))
    return session is not None and (host is None or host in (session.remote.host, session.target.host))
