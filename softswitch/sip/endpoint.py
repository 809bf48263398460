"""What sessions need of the core, and what they hand back for an answer to come.

Implemented by `core.SipCore` and asyncio; used by the session modules, so that they know neither. Nothing runs here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from softswitch.sip.addresses import Hop, Path
from softswitch.sip.message import SipResponse
from softswitch.sip.timing import Timed, Timing
from softswitch.sip.transaction import Machine, Told, Transaction

if TYPE_CHECKING:
    from softswitch.sip.digest_client import KnownNonces


class PendingResponse(Protocol):
    """The answer to come of `Session.request`: an asyncio.Future, made by the user agent."""

    def __await__(self) -> Generator[Any, None, SipResponse]:
        """Wait for it."""

    def done(self) -> bool:
        """Whether it is there, or nobody waits any more."""

    def set_result(self, result: SipResponse, /) -> None:
        """Here it is."""

    def cancel(self) -> bool:
        """Nobody waits any more."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call `callback` when it is there."""

    def result(self) -> SipResponse:
        """The answer, once done."""


class Listening(Protocol):
    """A session, as far as the core must know it."""

    local_tag: str

    def deliver(self, name: str, argument: object) -> None:
        """Tell the listener of an event."""


class Endpoint(Protocol):
    """What a session needs of the core."""

    timing: Timing
    now: float
    leaks_refused: int
    response_lines: str  # Server
    capability_lines: str  # Allow, Supported
    nonces: KnownNonces  # what peers asked us to prove
    extensions: frozenset[str]  # option tags of what we support
    address_failed: Callable[[Hop, str], None]  # is told of one that did not answer, and why
    new_response: Callable[[], PendingResponse]
    tokens: Callable[[], str]

    def begin(self) -> float:
        """The call layer acts: note the time."""

    def finish(self) -> None:
        """The call layer has acted: send what is queued."""

    def via(self, listener: int, branch: str) -> str:
        """A Via of ours."""

    def contact(self, listener: int) -> str:
        """Our Contact, as a header line."""

    def path_to(self, hop: Hop, near: Path) -> Path | None:
        """The way to `hop` for a dialog whose messages went by `near`; None while a host name is not known."""

    def paths_to(self, named: Hop, near: Path) -> Sequence[Path]:
        """The ways to a host name, best first, as far as its addresses are known."""

    def by_size(self, request: bytes, path: Path) -> tuple[bytes, Path]:
        """A request and its path: by TCP where it is too long for UDP."""

    def send(
        self,
        data: bytes,
        path: Path,
        method: str,
        status: int,
        sender: Transaction | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Queue a datagram."""

    def arm(self, timed: Timed) -> None:
        """Wake `timed` at its deadline."""

    def open_client(
        self,
        machine: Machine,
        data: bytes,
        branch: str,
        path: Path,
        *,
        method: str,
        tell: Callable[[Told], None],
        guarded: Callable[[bytes], bytes | None] | None = None,
    ) -> Transaction:
        """Start a client transaction."""

    def abandon(self, branch: str, method: str) -> None:
        """Nobody waits for the answer of this client transaction any more."""

    def emit(self, session: Listening, name: str, argument: object) -> None:
        """Queue an event for the session's listener."""

    def close(self, session: Listening) -> None:
        """The session needs no more of what arrives."""
