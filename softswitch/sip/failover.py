"""A request inside a dialog, and where the dialog's next hop is a host name, its way to the name's next address.

RFC 3263 4.3, RFC 3261 8.1.3.1. Used by sessions for all but ACK, which has no transaction that could tell. What counts
as failure is silence (timers B and F), a transport error and 503: the request goes out once more with another branch,
and the dialog stays with the address that answers. Nobody waits: what is not known of the name by then is not tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from softswitch.sip.compose import once_more, sequence_number
from softswitch.sip.dialog import Dialog
from softswitch.sip.digest_client import Asking, open_proving
from softswitch.sip.message import SipResponse
from softswitch.sip.transaction import Failure, Told, Transaction

if TYPE_CHECKING:
    from softswitch.sip.session import Session

MOST_ADDRESSES = 4  # of one request: each that is silent takes 64*T1

Wanted = Callable[[], bool]


def open_inside(session: Session, dialog: Dialog, data: bytes, branch: str, asking: Asking, wanted: Wanted) -> None:
    """Start a transaction of `dialog`; a challenge or a dead address is answered by another while it is `wanted`."""
    if dialog.named is not None:
        asking = _Failover(session, dialog, data, asking, wanted).asking
    open_proving(session.core, session.account, data, branch, dialog.path, asking)


class _Failover:
    """One request and the addresses that it went to."""

    __slots__ = ("_cseq", "_data", "_dialog", "_sender", "_session", "_tried", "_wanted")

    def __init__(self, session: Session, dialog: Dialog, data: bytes, sender: Asking, wanted: Wanted) -> None:
        self._session, self._dialog, self._data = session, dialog, data
        self._sender, self._wanted = sender, wanted
        self._cseq = sequence_number(data)
        self._tried = [dialog.path.hop]  # the dialog may go elsewhere meanwhile, by another request

    @property
    def asking(self) -> Asking:
        """The request with us between its transactions and its sender."""
        return self._sender._replace(tell=self.told, renewed=self.noted)

    def noted(self, transaction: Transaction, cseq: int, credentials: str) -> None:
        """It was challenged and has another number now."""
        self._cseq = cseq
        self._sender.renewed(transaction, cseq, credentials)

    def told(self, what: Told) -> None:
        """What its transaction tells."""
        status = what.status if isinstance(what, SipResponse) else what if isinstance(what, Failure) else 0
        dead = isinstance(what, Failure) or status == 503
        if not (dead and self._wanted() and self._moved(status) and self._sent()):
            self._sender.tell(what)

    def _moved(self, status: int) -> bool:
        """Whether the dialog has another address, where it is from now on."""
        core, dialog = self._session.core, self._dialog
        named, path = dialog.named, dialog.path
        if named is None or len(self._tried) >= MOST_ADDRESSES:
            return False
        tried = [hop[:3] for hop in self._tried]
        others = [one for one in core.paths_to(named, path) if one.hop[:3] not in tried]
        if not others:
            return False
        core.address_failed(self._tried[-1], f"{self._sender.method}: {status:d}")
        dialog.move(others[0])
        self._tried.append(others[0].hop)
        return True

    def _sent(self) -> bool:
        """Whether it is on its way again (RFC 3263 4.3: identical but for the branch)."""
        core, dialog = self._session.core, self._dialog
        branch = self._session.new_branch()
        via = core.via(dialog.path.listener, branch)
        data = self._session.guarded(once_more(self._data, via, self._cseq, ""))
        if data is None:
            return False
        open_proving(core, self._session.account, data, branch, dialog.path, self.asking)
        return True
