"""The UAC side of digest: a request that is challenged goes out again with the proof of our password.

RFC 3261 22.2, 22.3 and 8.1.3.5, RFC 7616 3.3. Used by sessions and `lone_request` for every client transaction of a
peer that we have an account with. It never sends a password, and never answers a challenge that it has answered.
"""

from __future__ import annotations

from collections.abc import Callable

from softswitch.sip.addresses import Path
from softswitch.sip.compose import once_more
from softswitch.sip.digest import FIELDS, Account, answer, strongest
from softswitch.sip.endpoint import Endpoint
from softswitch.sip.message import SipResponse
from softswitch.sip.transaction import Machine, Told, Transaction

Guarded = Callable[[bytes], bytes | None]
Renewed = Callable[[Transaction, int, str], None]  # new transaction, its CSeq number, its credentials as header lines


def unnoted(transaction: Transaction, cseq: int, credentials: str) -> None:
    """Nothing follows that would need to know of the new transaction."""


MOST_CHALLENGES = 5  # of one request: proxies on the way, a nonce that grew old


class Proofs:
    """What one request has been asked for so far, and the credentials that go with it."""

    def __init__(self, account: Account, tokens: Callable[[], str]) -> None:
        self._account, self._tokens = account, tokens
        self._lines: dict[tuple[str, str], str] = {}  # by header and realm
        self._seen: set[str] = set()  # nonces that were answered
        self._asked = 0

    def lines(self, response: SipResponse, method: str, uri: str) -> str:
        """The header lines that answer a 401 or 407; "" where it is a refusal.

        A realm that has had an answer gets another only where it says that the nonce was stale, and gives a new one.
        """
        self._asked += 1
        asks, answers = FIELDS[response.status]
        challenges = strongest(response.headers.all(asks))
        if self._asked > MOST_CHALLENGES or not challenges:
            return ""
        for challenge in challenges:
            key = answers, challenge.realm
            if challenge.nonce in self._seen or (key in self._lines and not challenge.stale):
                return ""
            made = answer(challenge, self._account, method, uri, cnonce=self._tokens())
            self._lines[key] = f"{answers}: {made}\r\n"
        self._seen.update(challenge.nonce for challenge in challenges)
        return "".join(self._lines.values())


class _Proving:
    """One request and the transactions that it takes."""

    def __init__(
        self,
        core: Endpoint,
        account: Account,
        machine: Machine,
        data: bytes,
        path: Path,
        *,
        method: str,
        tell: Callable[[Told], None],
        guarded: Guarded,
        next_cseq: Callable[[], int | None],
        renewed: Renewed,
    ) -> None:
        self._core, self._machine, self._data, self._path, self._method = core, machine, data, path, method
        self._tell, self._guarded, self._next_cseq, self._renewed = tell, guarded, next_cseq, renewed
        self._proofs = Proofs(account, core.tokens)

    def open(self, data: bytes, branch: str) -> Transaction:
        """Start the next transaction."""
        return self._core.open_client(
            self._machine, data, branch, self._path, method=self._method, tell=self._told, guarded=self._guarded
        )

    def _told(self, what: Told) -> None:
        challenged = isinstance(what, SipResponse) and what.status in FIELDS
        if not (challenged and isinstance(what, SipResponse) and self._answered(what)):
            self._tell(what)

    def _answered(self, response: SipResponse) -> bool:
        """Whether the request is on its way again."""
        uri = self._data.split(b" ", 2)[1].decode("utf-8", "surrogateescape")
        lines = self._proofs.lines(response, self._method, uri)
        cseq = self._next_cseq() if lines else None
        if cseq is None:
            return False
        branch = f"z9hG4bK{self._core.tokens()}"
        via = self._core.via(self._path.listener, branch)
        data = self._guarded(once_more(self._data, via, cseq, lines))
        if data is None:
            return False
        self._renewed(self.open(data, branch), cseq, lines)
        return True


def open_proving(
    core: Endpoint,
    account: Account | None,
    machine: Machine,
    data: bytes,
    branch: str,
    path: Path,
    *,
    method: str,
    tell: Callable[[Told], None],
    guarded: Guarded,
    next_cseq: Callable[[], int | None],
    renewed: Renewed,
) -> Transaction:
    """Start a client transaction as `core.open_client` does; with an account, challenges to it are answered.

    The request is then sent again by a new transaction with the number that `next_cseq` gives (None: it is not wanted
    any more, and `tell` hears of the challenge); `renewed` is told of it.
    """
    if account is None:
        return core.open_client(machine, data, branch, path, method=method, tell=tell, guarded=guarded)
    proving = _Proving(
        core,
        account,
        machine,
        data,
        path,
        method=method,
        tell=tell,
        guarded=guarded,
        next_cseq=next_cseq,
        renewed=renewed,
    )
    return proving.open(data, branch)
