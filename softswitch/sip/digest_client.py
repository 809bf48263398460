"""The UAC side of digest: a request that is challenged goes out again with the proof of our password.

RFC 3261 22.2, 22.3 and 8.1.3.5, RFC 7616 3.3. Used by sessions and `lone_request` for every client transaction of a
peer that we have an account with. It never sends a password, and never answers a challenge that it has answered. What
a peer asked for once is proved at once with later requests, its nonce counted up (RFC 7616 3.3).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from softswitch.sip.addresses import Path
from softswitch.sip.compose import once_more, sequence_number, with_credentials
from softswitch.sip.digest import FIELDS, Account, Challenge, Credentials, answer, strongest
from softswitch.sip.endpoint import Endpoint
from softswitch.sip.message import SipResponse
from softswitch.sip.transaction import CLIENT, INVITE_CLIENT, Told, Transaction

Tell = Callable[[Told], None]
Guarded = Callable[[bytes], bytes | None]
Renewed = Callable[[Transaction, int, str], None]  # new transaction, its CSeq number, its credentials as header lines

MOST_CHALLENGES = 5  # of one request: proxies on the way, a nonce that grew old
MOST_REALMS = 4  # of one peer that are answered before they ask
REMEMBERED = 1024  # peers

Peer = tuple[str, int, str]  # host, port, our name there
Key = tuple[str, str]  # header that answers, and realm


def unnoted(transaction: Transaction, cseq: int, credentials: str) -> None:
    """Nothing follows that would need to know of the new transaction."""


class Asking(NamedTuple):
    """A request's method and what its sender has to do with it, whichever transaction it is in.

    `tell` hears of responses and failures, `guarded` sees what leaves, `next_cseq` gives the number of another try
    (None: it is not wanted any more), `renewed` is told of one, as of proof without challenge.
    """

    method: str
    tell: Tell
    guarded: Guarded
    next_cseq: Callable[[], int | None]
    renewed: Renewed = unnoted


class Proved(NamedTuple):
    """What credentials speak for."""

    method: str
    uri: str
    body: bytes


@dataclass(slots=True)
class NonceUse:
    """A challenge that is answered again and again: one cnonce, as `-sess` wants it, and the count of its uses."""

    challenge: Challenge
    cnonce: str
    count: int = 0

    def answer(self, account: Account, request: Proved) -> Credentials:
        """The credentials of one more use."""
        self.count += 1
        method, uri, body = request
        return answer(self.challenge, account, method, uri, cnonce=self.cnonce, count=self.count, body=body)


class KnownNonces:
    """The latest challenges of each peer, so that a request need not be refused first; bounded.

    A challenge without qop is not kept: its nonce has no count, so that a second use looks like a replay.
    """

    def __init__(self, room: int = REMEMBERED) -> None:
        self._room = room
        self._uses: OrderedDict[Peer, dict[Key, NonceUse]] = OrderedDict()  # least recently used first

    def of(self, peer: Peer) -> dict[Key, NonceUse]:
        """What `peer` is known to ask."""
        if peer not in self._uses:
            return {}
        self._uses.move_to_end(peer)
        return dict(self._uses[peer])

    def keep(self, peer: Peer, uses: Mapping[Key, NonceUse]) -> None:
        """`peer` has asked for these."""
        latest = [(key, use) for key, use in uses.items() if use.challenge.qop][-MOST_REALMS:]
        self._uses[peer] = dict(latest)
        self._uses.move_to_end(peer)
        if len(self._uses) > self._room:
            self._uses.popitem(last=False)

    def forget(self, peer: Peer) -> None:
        """`peer` did not like what it was shown."""
        self._uses.pop(peer, None)


class Proofs:
    """What one request has been asked for so far, and the credentials that go with it.

    `peer` is who asks; what it asked of earlier requests is proved before it asks again (RFC 7616 3.3, 3.6).
    """

    def __init__(self, account: Account, tokens: Callable[[], str], known: KnownNonces, peer: Peer) -> None:
        self._account, self._tokens, self._known, self._peer = account, tokens, known, peer
        self._uses: dict[Key, NonceUse] = known.of(peer)
        self._answered: set[Key] = set()  # realms that had their answer to a challenge
        self._seen: set[str] = set()  # nonces that were answered
        self._asked = 0

    def lines(self, response: SipResponse, request: Proved) -> str:
        """The header lines that answer a 401 or 407; "" where it is a refusal.

        A realm that has had an answer gets another only where it says that the nonce was stale, and gives a new one.
        """
        self._asked += 1
        asks, answers = FIELDS[response.status]
        challenges = strongest(response.headers.all(asks))
        if self._asked > MOST_CHALLENGES or not challenges:
            return self._refused()
        for challenge in challenges:
            key = answers, challenge.realm
            if challenge.nonce in self._seen or (key in self._answered and not challenge.stale):
                return self._refused()
            self._answered.add(key)
            use = self._uses.get(key)
            if use is None or use.challenge.nonce != challenge.nonce:
                self._uses[key] = NonceUse(challenge, self._tokens())
        self._seen.update(challenge.nonce for challenge in challenges)
        self._known.keep(self._peer, self._uses)
        return self.unasked(request)

    def unasked(self, request: Proved) -> str:
        """The header lines for what is known to be asked, each nonce counted once more; "" where nothing is."""
        return "".join(
            f"{answers}: {use.answer(self._account, request)}\r\n" for (answers, _), use in self._uses.items()
        )

    def _refused(self) -> str:
        self._known.forget(self._peer)
        return ""


class _Proving:
    """One request and the transactions that it takes."""

    def __init__(self, core: Endpoint, account: Account, data: bytes, path: Path, asking: Asking) -> None:
        self._core, self._data, self._path, self._asking = core, data, path, asking
        peer = path.hop.host, path.hop.port, account.username
        self._proofs = Proofs(account, core.tokens, core.nonces, peer)

    def begin(self, branch: str) -> Transaction:
        """Start the first transaction, with proof of what the peer is known to ask."""
        lines = self._proofs.unasked(self._proved)
        data = self._asking.guarded(with_credentials(self._data, lines)) if lines else None
        if data is None:
            return self._open(self._data, branch)
        first = self._open(data, branch)
        self._asking.renewed(first, sequence_number(self._data), lines)
        return first

    @property
    def _proved(self) -> Proved:
        uri = self._data.split(b" ", 2)[1].decode("utf-8", "surrogateescape")
        return Proved(self._asking.method, uri, self._data.partition(b"\r\n\r\n")[2])

    def _open(self, data: bytes, branch: str) -> Transaction:
        return _open(self._core, data, branch, self._path, self._asking, self._told)

    def _told(self, what: Told) -> None:
        challenged = isinstance(what, SipResponse) and what.status in FIELDS
        if not (challenged and isinstance(what, SipResponse) and self._answered(what)):
            self._asking.tell(what)

    def _answered(self, response: SipResponse) -> bool:
        """Whether the request is on its way again."""
        lines = self._proofs.lines(response, self._proved)
        cseq = self._asking.next_cseq() if lines else None
        if cseq is None:
            return False
        branch = f"z9hG4bK{self._core.tokens()}"
        via = self._core.via(self._path.listener, branch)
        data = self._asking.guarded(once_more(self._data, via, cseq, lines))
        if data is None:
            return False
        self._asking.renewed(self._open(data, branch), cseq, lines)
        return True


def open_proving(
    core: Endpoint, account: Account | None, data: bytes, branch: str, path: Path, asking: Asking
) -> Transaction:
    """Start a client transaction; with an account, challenges to it are answered by another one.

    Where the request is not wanted any more by then, its sender hears of the challenge.
    """
    if account is None:
        return _open(core, data, branch, path, asking, asking.tell)
    return _Proving(core, account, data, path, asking).begin(branch)


def _open(core: Endpoint, data: bytes, branch: str, path: Path, asking: Asking, tell: Tell) -> Transaction:
    machine = INVITE_CLIENT if asking.method == "INVITE" else CLIENT
    return core.open_client(machine, data, branch, path, method=asking.method, tell=tell, guarded=asking.guarded)
