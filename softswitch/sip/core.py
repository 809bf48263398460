"""The sans-IO SIP endpoint: datagrams, timers and sessions in; datagrams, events and the next deadline out.

RFC 3261 8, 9.2, 17 and 18, RFC 3581, RFC 6026. Driven by the user agent, which tells it the time:
`receive_datagram(...)` or `handle_timers(now)`, then `datagrams_to_send()`, `next_event()` until None, and
`next_deadline()`. It finds the transaction or session that a message is for and answers alone what no call layer needs
to see. It never opens a socket, waits, or decides about a call.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from softswitch.errors import SipParseError
from softswitch.sip.acceptance import not_allowed, server_key, unacceptable
from softswitch.sip.addresses import LARGEST_BY_UDP, Hop, Listener, LocalAddresses, Path
from softswitch.sip.client_session import ClientSession
from softswitch.sip.compose import header_lines, lower_vias
from softswitch.sip.content import DESCRIBING, TAKEN, readable
from softswitch.sip.deadlines import Deadlines
from softswitch.sip.digest import Account
from softswitch.sip.digest_client import KnownNonces
from softswitch.sip.endpoint import Listening, PendingResponse
from softswitch.sip.labels import folded, folded_status
from softswitch.sip.locating import is_numeric
from softswitch.sip.message import SipRequest, SipResponse, UnacceptableRequest, parse_message, validate
from softswitch.sip.plain import plain
from softswitch.sip.server_session import ServerSession
from softswitch.sip.session import Guard, Pairs, Session
from softswitch.sip.stateless import Answer, Doubt, NoDoubt, answers, refusals, reply_to
from softswitch.sip.timing import Timing
from softswitch.sip.transaction import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Input,
    Machine,
    State,
    Told,
    Transaction,
    ignore,
)

ALLOWED = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK")
IN_DIALOG = frozenset({*ALLOWED, "REFER", "MESSAGE", "NOTIFY"})
OUT_OF_DIALOG = frozenset({"INVITE", "OPTIONS"})
ANSWERED = (State.COMPLETED, State.ACCEPTED)  # a client transaction that gets a final response again

# Of an INVITE outside dialogs, its source and the time: the answer that refuses or challenges it (a status, and header
# lines: all, then what would do in their place where the answer must be shorter), None where it may go on.
Authenticate = Callable[[SipRequest, Hop, float], tuple[int, Sequence[str]] | None]
AddressesOf = Callable[[Hop], Sequence[Hop]]  # of a host name as far as they are known now, best first; never waits
AddressFailed = Callable[[Hop, str], None]  # one of them, and why
CountKey = tuple[str, str, int]  # "in" or "out", method, status (0: a request)
Merged = tuple[str, str | None, int]  # Call-ID, From tag and CSeq
_NO_CALL: tuple[Merged, str] = (("", None, 0), "")


class Datagram(Struct, frozen=True):
    """Bytes to send; `sender` hears when that fails."""

    data: bytes
    path: Path
    sender: Transaction | None


class NewCall(Struct, frozen=True):
    """Event: an INVITE that starts a call."""

    session: ServerSession


class SessionEvent(Struct, frozen=True):
    """Event for a session's listener: `session.deliver(name, argument)`."""

    session: Listening
    name: str
    argument: object


class SipCore:
    """One SIP endpoint with its transactions and sessions. Implements `endpoint.Endpoint` for its sessions."""

    def __init__(
        self,
        local: Sequence[Listener | tuple[str, int]],
        tokens: Callable[[], str],
        *,
        clock: Callable[[], float],
        new_response: Callable[[], PendingResponse],
        on_output: Callable[[], None] = lambda: None,
        product: str = "softswitch",
        supported: Sequence[str] = (),
        timing: Timing | None = None,
    ) -> None:
        """`local`: each listener; a pair is one of UDP. `tokens` makes unguessable words for tags and branches.

        `clock` is read when the call layer acts through a session; `on_output` is called when it has acted.
        """
        self.timing = timing or Timing()
        self.tokens = tokens
        self.new_response = new_response
        self.now = 0.0
        self.draining = False  # new calls get 503
        self.accept_source: Callable[[Hop], bool | None] = lambda source: True
        self.authenticate: Authenticate = lambda request, source, now: None
        self.doubt: Doubt = NoDoubt()
        self.on_options: Callable[[SipRequest, Hop], int] = lambda request, source: 200
        self.addresses_of: AddressesOf = unknown
        self.address_failed: AddressFailed = unheard
        self.transactions: dict[object, Transaction] = {}
        self.sessions: dict[str, Session] = {}  # by our tag
        self.counts: defaultdict[CountKey, int] = defaultdict(int)
        self.retransmissions: defaultdict[CountKey, int] = defaultdict(int)
        self.nonces = KnownNonces()
        self.leaks_refused = 0
        self.malformed = 0
        self.response_lines = header_lines([("Server", product)])
        self.capability_lines = self.allow_line = header_lines([("Allow", ", ".join(ALLOWED))])
        if supported:
            self.capability_lines += header_lines([("Supported", ", ".join(supported))])
        self._user_agent_line = header_lines([("User-Agent", product)])
        self.extensions = frozenset(supported)
        self._clock, self._on_output = clock, on_output
        self._size = 0  # of the message that has come last, in bytes
        self.local = LocalAddresses([Listener(*one) for one in local])
        self.outgoing: list[Datagram] = []  # to be taken by `datagrams_to_send`
        self.events: deque[NewCall | SessionEvent] = deque()  # to be taken by `next_event`
        self.deadlines = Deadlines()
        self.arm = self.deadlines.arm
        self._calls: dict[object, tuple[Merged, str]] = {}  # INVITE transaction: what a merged copy shares, our tag
        self._merged: set[Merged] = set()

    # Driven by the user agent

    def receive_datagram(
        self, data: bytes, source: Hop | tuple[str, int], now: float, listener: int = 0, connection: int = 0
    ) -> None:
        """A datagram, or a message of a stream, has come: see `receive`."""
        self.receive(data, Path(source if isinstance(source, Hop) else Hop("udp", *source), listener, connection), now)

    def receive(self, data: bytes, path: Path, now: float) -> None:
        """A message has come by `path`. Whatever it holds, nothing is raised."""
        self.now, self._size = now, len(data)
        sound = plain(data)  # None: it is read by the whole grammar, and then looked through
        try:
            message = sound or parse_message(data)
        except UnacceptableRequest as error:
            self._refuse_malformed(error.request, error, path, error.status)
            return
        except SipParseError:
            self.malformed += 1
            return
        try:
            if sound is None:
                validate(message)
            if isinstance(message, SipRequest):
                self.counts["in", folded(message.method), 0] += 1
                self._receive_request(message, path)
            else:
                method = message.cseq.method
                self.counts["in", folded(method), folded_status(message.status)] += 1
                self._receive_response(message, method)
        except SipParseError as error:
            self._refuse_malformed(message, error, path)

    def datagrams_to_send(self) -> list[Datagram]:
        """What is to be sent now, in order; to be called until empty."""
        out, self.outgoing = self.outgoing, []
        return out

    def next_event(self) -> NewCall | SessionEvent | None:
        """The next thing to tell the call layer."""
        return self.events.popleft() if self.events else None

    def next_deadline(self) -> float | None:
        """When `handle_timers` is to be called next, or a little before; None where nothing waits."""
        return self.deadlines.next()

    def handle_timers(self, now: float) -> None:
        """Wake everything whose deadline has come."""
        self.now = now
        self.deadlines.wake(now)

    def transport_failed(self, datagram: Datagram, now: float) -> None:
        """The transport could not send (17.1.4, 17.2.4)."""
        self.now = now
        sender = datagram.sender
        if sender is not None and sender.fallback is not None and sender.waiting:
            sender.fall_back(now)
        elif sender is not None:
            sender.step(Input.TRANSPORT_ERROR, None, now)

    def invite(
        self,
        destination: Hop,
        *,
        request_uri: str,
        from_: str,
        to: str,
        headers: Pairs = (),
        body: bytes = b"",
        guard: Guard | None = None,
        listener: int | None = None,
        large_by_tcp: bool = False,
        account: Account | None = None,
    ) -> ClientSession:
        """Start a call; see `UserAgent.invite`."""
        self.begin()
        if listener is None:
            listener = self.local.listener_for(destination) or 0
        if destination.transport == "tls" and not destination.name:
            destination = destination._replace(name=destination.host)  # holds for the whole dialog, wherever it goes
        call_id = f"{self.tokens()}@{self.local.hosts[listener]}"
        path = Path(destination, listener, large_by_tcp=large_by_tcp)
        session = ClientSession(self, path, self.tokens(), call_id, guard)
        session.account = account
        more = self._user_agent_line + header_lines(headers)
        self.sessions[session.local_tag] = session
        session.start(request_uri, from_, to, more, body)
        self.finish()
        return session

    # For sessions and transactions (endpoint.Endpoint, transaction.Surroundings)

    def begin(self) -> float:
        """The call layer acts: read the clock once."""
        self.now = self._clock()
        return self.now

    def finish(self) -> None:
        """The call layer has acted."""
        self._on_output()

    def via(self, listener: int, branch: str) -> str:
        """A Via of ours, with rport (RFC 3581)."""
        return self.local.vias[listener] + branch

    def contact(self, listener: int) -> str:
        """Our Contact line."""
        return self.local.contacts[listener]

    def path_to(self, hop: Hop, near: Path) -> Path | None:
        """The way to `hop` for a dialog whose messages went by `near`; None while nothing is known of a host name.

        Where the name leads to the place that the dialog came from it stays there (RFC 3263 4: "stateful" elements do).
        """
        if is_numeric(hop.host):
            return self.local.path_to(hop, near)
        paths = self.paths_to(hop, near)
        if near.hop[:3] in [path.hop[:3] for path in paths]:
            return near
        return paths[0] if paths else None

    def paths_to(self, named: Hop, near: Path) -> list[Path]:
        """The ways to a host name, best first, as far as its addresses are known."""
        known = self.addresses_of(named)
        return [self.local.path_to(one._replace(name=near.hop.name or one.name), near) for one in known]

    def by_size(self, request: bytes, path: Path) -> tuple[bytes, Path]:
        """A request and its path: by TCP where it is too long for UDP and the path allows it (18.1.1)."""
        moved = self.local.by_tcp(request, path) if len(request) > LARGEST_BY_UDP and path.large_by_tcp else None
        return moved or (request, path)

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
        """Queue a datagram and count it."""
        key = "out", folded(method), status
        self.counts[key] += 1
        if again:
            self.retransmissions[key] += 1
        self.outgoing.append(Datagram(data, path, sender))

    def forget(self, transaction: Transaction) -> None:
        """The transaction is terminated."""
        self.transactions.pop(transaction.key, None)
        if transaction.machine is INVITE_SERVER:
            self._merged.discard(self._calls.pop(transaction.key, _NO_CALL)[0])

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
        """Start a client transaction, by TCP where the request is too long for UDP; there is a way back."""
        wanted = data, path
        data, path = self.by_size(data, path)
        fallback = None if path is wanted[1] else wanted
        transaction = Transaction(machine, self, (branch, method), path, method=method, tell=tell, guarded=guarded)
        transaction.fallback = fallback
        self.transactions[transaction.key] = transaction
        transaction.start(data, self.now)
        return transaction

    def abandon(self, branch: str, method: str) -> None:
        """See `Endpoint`."""
        transaction = self.transactions.get((branch, method))
        if transaction is not None:
            transaction.terminate()

    def emit(self, session: Listening, name: str, argument: object) -> None:
        """Queue an event."""
        self.events.append(SessionEvent(session, name, argument))

    def close(self, session: Listening) -> None:
        """The session is over."""
        self.sessions.pop(session.local_tag, None)

    # Responses

    def _receive_response(self, response: SipResponse, method: str) -> None:
        """To the transaction of its branch and method (17.1.3); a stray response is dropped (18.1.2).

        So is one with another Via below ours, for we forward nothing: it is misrouted or damaged (8.1.3.3).
        """
        transaction = self.transactions.get((response.via.branch, method))
        if transaction is None or transaction.machine not in (INVITE_CLIENT, CLIENT):
            return
        if lower_vias(response.headers):
            return
        if transaction.state in ANSWERED and response.status >= 200:
            self.retransmissions["in", folded(transaction.method), folded_status(response.status)] += 1
        if response.body and transaction.method in DESCRIBING:
            response.body = readable(response)
        transaction.receive_response(response, self.now)

    # Requests

    def _receive_request(self, request: SipRequest, path: Path) -> None:
        key = server_key(request)
        transaction = self.transactions.get(key)
        if transaction is not None and request.method != "CANCEL":
            if request.method != "ACK":
                self.retransmissions["in", folded(request.method), 0] += 1
            transaction.receive_request(request, self.now)
            return
        tag = request.to.tag
        session = self.sessions.get(tag) if tag else None
        if session is not None and not session.matches(request):
            session = None
        if request.method == "ACK":
            if session is not None:
                request.body = readable(request)
                session.receive_ack(request)
        elif request.method == "CANCEL":
            self._receive_cancel(request, transaction, path)
        elif session is not None:
            self._receive_inside(session, request, key, path)
        else:
            self._receive_outside(request, key, path)

    def _receive_cancel(self, request: SipRequest, invite: Transaction | None, path: Path) -> None:
        """CANCEL is answered by itself, whatever becomes of the INVITE (9.2)."""
        own_key = (*server_key(request)[:-1], "CANCEL")
        again = self.transactions.get(own_key)
        if again is not None:
            self.retransmissions["in", "CANCEL", 0] += 1
            again.receive_request(request, self.now)
        elif invite is None:
            if self.accept_source(path.hop) is not None:
                self._answer(request, path, 481)
        else:
            reply, back = reply_to(request, path)
            transaction = self._open_server(SERVER, own_key, request, back)
            tag = self._calls.get(invite.key, _NO_CALL)[1]  # the tag of the INVITE's own responses; a re-INVITE has it
            data = reply.encode(200, tag=tag, more=self.response_lines)
            transaction.respond(200, data, self.now)
            invite.tell(request)

    def _receive_inside(self, session: Session, request: SipRequest, key: object, path: Path) -> None:
        if request.method not in IN_DIALOG:
            self._answer(request, path, not_allowed(request.method), self.capability_lines)
        elif (refused := unacceptable(request, self.extensions, self.timing)) is not None:
            self._answer(request, path, *refused)
        else:
            reply, back = reply_to(request, path)
            if path.connection and (dialog := session.dialog_for(request)) is not None:
                dialog.follow(path)
            machine = INVITE_SERVER if request.method == "INVITE" else SERVER
            transaction = self._open_server(machine, key, request, back)
            session.receive_request(request, transaction, reply, path)

    def _receive_outside(self, request: SipRequest, key: object, path: Path) -> None:
        """A request outside any dialog of ours, in the order of 8.2."""
        method = request.method
        accepted = self.accept_source(path.hop)
        if not accepted:
            if accepted is not None:
                self._answer(request, path, 403)
        elif method == "INVITE" and (asked := self.authenticate(request, path.hop, self.now)) is not None:
            self._answer(request, path, asked[0], *asked[1])
        elif request.to.tag:
            self._answer(request, path, 481)
        elif method not in OUT_OF_DIALOG:
            self._answer(request, path, not_allowed(method), self.capability_lines, self.allow_line)
        elif request.uri.partition(":")[0].lower() not in ("sip", "tel"):  # sips: no promise that all hops are secure
            self._answer(request, path, 416)
        elif (refused := unacceptable(request, self.extensions, self.timing)) is not None:
            self._answer(request, path, *refused)
        elif method == "OPTIONS":
            self._answer(request, path, self.on_options(request, path.hop), TAKEN + self.capability_lines, "")
        else:
            self._receive_invite(request, key, path)

    def _receive_invite(self, request: SipRequest, key: object, path: Path) -> None:
        """A new call, unless it has come too far or is our own (16.3), came by two ways (8.2.2.2), or we are going."""
        shared = request.call_id, request.from_.tag, request.cseq.number
        if request.max_forwards == 0:
            self._answer(request, path, 483)
        elif shared in self._merged or self._has_come_back(request):
            self._answer(request, path, 482)
        elif self.draining:
            self._answer(request, path, 503, "Retry-After: 5\r\n")
        else:
            reply, back = reply_to(request, path)
            transaction = Transaction(INVITE_SERVER, self, key, back, method="INVITE", tell=ignore)
            session = ServerSession(self, request, path, transaction=transaction, reply=reply, local_tag=self.tokens())
            self.transactions[key] = transaction
            self._calls[key] = shared, session.local_tag
            self._merged.add(shared)
            self.sessions[session.local_tag] = session
            self.events.append(NewCall(session))

    def _has_come_back(self, request: SipRequest) -> bool:
        """Whether it is an INVITE of ours, to the same user still (16.3)."""
        own = self.sessions.get(request.from_.tag or "")
        return isinstance(own, ClientSession) and own.sip_call_id == request.call_id and own.calls(request.uri)

    def _open_server(self, machine: Machine, key: object, request: SipRequest, back: Path) -> Transaction:
        transaction = Transaction(machine, self, key, back, method=request.method, tell=ignore)
        self.transactions[key] = transaction
        return transaction

    # Answers without a transaction (8.2.7)

    def _answer(self, request: SipRequest, path: Path, status: int, *more: str) -> None:
        """`more`: header lines, and what would do in their place where the answer must be shorter."""
        self._say(answers(request, path, status, self.response_lines, more or ("",)), path.hop, request.method)

    def _refuse_malformed(
        self, message: SipRequest | SipResponse, error: SipParseError, path: Path, status: int = 400
    ) -> None:
        """What is wrong is told, but to who gets no answer at all."""
        self.malformed += 1
        if isinstance(message, SipRequest) and message.method != "ACK" and self.accept_source(path.hop) is not None:
            said = refusals(message, error, path, status, self.response_lines, self.capability_lines)
            self._say(said, path.hop, message.method)

    def _say(self, wordings: Iterator[Answer], source: Hop, method: str) -> None:
        """Send the fullest wording, to a source that may be forged the fullest that is no longer than what came."""
        first = next(wordings, None)
        if first is None:
            return
        if len(first.data) > self._size and self.doubt.may_be_forged(source, self.now):
            first = next((one for one in wordings if len(one.data) <= self._size), None)
        if first is None:
            self.doubt.unanswered(source, self.now)
        else:
            self.send(first.data, first.path, method, first.status)


def unknown(named: Hop) -> Sequence[Hop]:
    """`AddressesOf` without DNS."""
    return ()


def unheard(hop: Hop, why: str) -> None:
    """`AddressFailed` where nobody avoids addresses."""
