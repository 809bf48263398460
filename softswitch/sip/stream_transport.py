"""TCP and TLS on asyncio: connections accepted within limits, opened on demand, used again, and closed in time.

RFC 3261 18, RFC 5626 3.5.1, RFC 5922. Called by the transport. It moves messages and never looks into one.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.connection import Connection
from softswitch.sip.core import Datagram
from softswitch.sip.log_pace import LogPace
from softswitch.sip.strangers import network_of
from softswitch.sip.tls import Tls

log = logging.getLogger(__name__)

PONG_S = 10.0  # for the answer to a keep-alive (RFC 5626 4.4.1)
SWEEP_S = 1.0  # how often time limits are looked at
BACKLOG = 1024
ACCEPTS_PER_WAKE = 64  # then timers and tasks get their turn
PAUSE_S = 1.0  # without accepting, when the system has no room for a connection
EVERYWHERE = ("0.0.0.0", "::")  # listeners that leave the local address of a connection to the system


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What connections may cost: their number in all and of one source (accepted ones), and times in seconds."""

    connections: int = 1000
    per_source: int = 100
    idle_s: float = 900.0  # without a message or keep-alive
    message_s: float = 10.0  # from a message's first byte to its last, for the first message and the TLS handshake
    connect_s: float = 4.0
    keep_alive_s: float = 0.0  # without a message, then those that we opened get a keep-alive; 0: never


class StreamTransport:
    """All connections of all TCP and TLS listeners.

    `receive(data, source, listener, connection)` gets each message; `on_lost` hears of what could not be sent.
    """

    def __init__(
        self,
        receive: Callable[[bytes, Hop, int, int], None],
        on_lost: Callable[[Datagram], None],
        *,
        tls: Tls | None = None,
        limits: StreamLimits | None = None,
        counts: Counter[str] | None = None,
        welcome: Callable[[Hop], bool] = lambda source: True,
        room_for: Callable[[Hop], float] = lambda source: 1.0,
    ) -> None:
        """`welcome` tells whether a peer may connect, and again and again whether it may stay.

        `room_for` is asked once for each connection that comes: how large a part of all that may be accepted may be in
        use with this one.
        """
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._welcome_here, self._room_for = welcome, room_for
        self._pace = LogPace()
        self._receive, self._on_lost = receive, on_lost
        self._tls, self._limits = tls, limits or StreamLimits()
        self._listeners: dict[int, Listener] = {}
        self._doors: list[socket.socket] = []
        self._connections: dict[int, Connection] = {}
        self._by_target: dict[tuple[Hop, int], Connection] = {}
        self._per_source: Counter[str] = Counter()  # by the address, or the /64 of an IPv6 address, as `_admit` has it
        self._tasks: set[asyncio.Task[None]] = set()
        self._serial = itertools.count(1)
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._sweeping: asyncio.TimerHandle | None = None

    def listen(self, index: int, listener: Listener) -> tuple[str, int]:
        """Accept connections at one more address; returns what was bound. Raises OSError where that can't be."""
        if listener.transport == "tls" and (self._tls is None or self._tls.server is None):
            raise OSError("TLS needs a certificate")
        family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
        sock = socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)  # IPv6 alone
        sock.setblocking(False)
        self._doors.append(sock)
        self._listeners[index] = listener
        self._loop.add_reader(sock, self._accept, sock, index)
        host, port = sock.getsockname()[:2]
        return host, port

    def send(self, datagram: Datagram, *, again: bool = False) -> None:
        """Send by the connection that the path names, by one that leads there, or by a new one.

        Raises OSError where that is known to fail at once; else `on_lost` tells.
        """
        path = datagram.path
        connection = self._connections.get(path.connection) or self._by_target.get((path.hop, path.listener))
        if connection is None or not connection.usable:
            connection = self._open(path)
        connection.send(datagram, again=again)

    def close(self) -> None:
        """Accept nothing more, write out what waits, close everything."""
        self._closed = True
        for sock in self._doors:
            self._loop.remove_reader(sock)
            sock.close()
        self._doors.clear()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections.values()):
            connection.close("the switch stops", at_once=connection.secure)  # no waiting for the peer's close_notify
        if self._sweeping is not None:
            self._sweeping.cancel()

    def sweep(self, now: float) -> None:
        """Close what is idle or dead, and what lets us wait for the rest of a message; keep the others alive."""
        limits = self._limits
        for connection in list(self._connections.values()):
            if now - connection.begun > limits.message_s:
                self.count("slow", f"no whole message of {connection.source.host} in time")
                connection.close("too slow", at_once=True)
            elif connection.accepted and not self._welcome_here(connection.source):
                self.count("banned")
                connection.close("banned", at_once=True)
            elif now - connection.last_used > limits.idle_s:
                self._end_idle(connection, now)
            elif connection.is_dead(now, PONG_S):
                self.count("silent")
                connection.close("a keep-alive was not answered", at_once=True)
            elif self._needs_ping(connection, now):
                connection.ping(now)

    def _end_idle(self, connection: Connection, now: float) -> None:
        """What waits is written out first, but nobody keeps a place by not reading it."""
        if not connection.closing:
            self.count("idle")
            connection.close("idle")
        elif now - connection.last_used > self._limits.idle_s + self._limits.message_s:
            connection.close("unread", at_once=True)

    def _needs_ping(self, connection: Connection, now: float) -> bool:
        every_s, quiet_s = self._limits.keep_alive_s, now - max(connection.last_used, connection.pinged)
        return not connection.accepted and 0 < every_s <= quiet_s

    # For connections

    def received(self, connection: Connection, message: bytes) -> None:
        """A message has come."""
        self._receive(message, connection.source, connection.listener, connection.identity)

    def opened(self, connection: Connection) -> bool:
        """A connection is open: from now on it serves whoever wants to reach its other end."""
        if self._closed or not self._is_admitted(connection):
            return False
        self.count("accepted" if connection.accepted else "opened")
        self._connections[connection.identity] = connection
        self._by_target.setdefault((connection.source, connection.listener), connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep_again)
        return True

    def _is_admitted(self, connection: Connection) -> bool:
        """Whether who has come is whom its certificate names; who was called has been checked by then."""
        if self._tls is None or not connection.accepted or not connection.secure:
            return True
        names = connection.certificate_names()
        admitted = self._tls.admits(connection.source, names)
        if not admitted:
            shown = ", ".join(sorted(names or ())) or "none"
            self.count("misnamed", f"the certificate of {connection.source.host} is for {shown}")
        return admitted

    def ended(self, connection: Connection, why: str) -> None:
        """A connection is closed. Requests that nobody has answered yet go out once more, by a new one."""
        self._connections.pop(connection.identity, None)
        self._leave(connection)
        for key in ((connection.hop, connection.listener), (connection.source, connection.listener)):
            if self._by_target.get(key) is connection:
                del self._by_target[key]
        for datagram, again in connection.sent:
            if datagram.sender is not None and datagram.sender.waiting:
                self._rescue(datagram, again)

    def count(self, what: str, told: str = "") -> None:
        """Something worth counting has happened; `told` goes to the log, as long as there are few."""
        self.counts[what] += 1
        if told and (new := self._pace.since(what, self.counts[what], self._loop.time())):
            log.warning("%s (connections %s: %d since the last line)", told, what, new)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    # Accepting

    def _accept(self, sock: socket.socket, index: int) -> None:
        """Take who has come, or turn them away before they cost anything."""
        for _ in range(ACCEPTS_PER_WAKE):
            try:
                peer, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor is left: the reader would be called without end
                log.error("can't accept connections for %s s: %s", PAUSE_S, error)
                self._loop.remove_reader(sock)
                self._loop.call_later(PAUSE_S, self._accept_again, sock, index)
                return
            hop = Hop(self._listeners[index].transport, *address[:2])
            if admitted := self._admit(hop):
                peer.setblocking(False)
                self._spawn(self._welcome(peer, hop, index, admitted))
            else:
                peer.close()

    def _accept_again(self, sock: socket.socket, index: int) -> None:
        if not self._closed:
            self._loop.add_reader(sock, self._accept, sock, index)

    def _admit(self, hop: Hop) -> str:
        """Take one more connection of a peer, unless that is too many (empty); returns whose place it has.

        Who may not use all of the room takes no place of a trunk in the same network.
        """
        limits, source = self._limits, network_of(hop.host)
        if not self._welcome_here(hop):
            self.count("banned")
            return ""
        share = self._room_for(hop)
        if share < 1.0:
            source += " as a stranger"
        if self._per_source.total() >= share * limits.connections or self._per_source[source] >= limits.per_source:
            self.count("refused", f"too many connections, or too many of {source}")
            return ""
        self._per_source[source] += 1
        return source

    def _leave(self, connection: Connection) -> None:
        if not (source := connection.admitted):
            return
        connection.admitted = ""
        self._per_source[source] -= 1
        if not self._per_source[source]:
            del self._per_source[source]

    async def _welcome(self, peer: socket.socket, hop: Hop, index: int, admitted: str) -> None:
        """Make it a connection; TLS by the certificate in use now."""
        connection = Connection(self, next(self._serial), hop, index, accepted=True)
        connection.admitted = admitted
        tls = self._tls.server if self._tls is not None and hop.transport == "tls" else None
        patience = None if tls is None else self._limits.message_s
        try:
            await self._loop.connect_accepted_socket(lambda: connection, peer, ssl=tls, ssl_handshake_timeout=patience)
        except OSError as error:  # TLS errors and time-outs too
            self.count("failed", f"no {hop.transport} connection with {hop.host}: {error}")
        finally:
            if connection.identity not in self._connections:
                self._leave(connection)

    # Opening

    def _open(self, path: Path) -> Connection:
        listener = self._listeners.get(path.listener)
        if listener is None or listener.transport != path.hop.transport:
            raise OSError(f"no listener for {path.hop.transport}")
        connection = Connection(self, next(self._serial), path.hop, path.listener, accepted=False)
        self._by_target[path.hop, path.listener] = connection
        self._spawn(self._connect(connection, listener))
        return connection

    async def _connect(self, connection: Connection, listener: Listener) -> None:
        hop = connection.hop
        local = None if listener.host in EVERYWHERE else (listener.host, 0)
        tls = self._tls if hop.transport == "tls" else None
        name = hop.name or hop.host
        try:
            name.encode("idna")  # asyncio leaves an open socket behind where TLS refuses the name
            async with asyncio.timeout(self._limits.connect_s):
                await self._loop.create_connection(
                    lambda: connection,
                    hop.host,
                    hop.port,
                    local_addr=local,
                    ssl=None if tls is None else tls.client,
                    server_hostname=None if tls is None else name,
                )
        except (OSError, ValueError) as error:  # TimeoutError and TLS errors too; ValueError: what is no host name
            self._give_up(connection, str(error) or "no connection in time")

    def _give_up(self, connection: Connection, why: str) -> None:
        """It could not be opened: what waits for it is lost."""
        hop = connection.hop
        log.warning("no %s connection to %s:%d: %s", hop.transport, hop.name or hop.host, hop.port, why)
        self.count("failed")
        connection.closing = True
        queue, connection.queue = connection.queue, []
        self.ended(connection, why)
        for datagram, _ in queue:
            self._on_lost(datagram)

    def _rescue(self, datagram: Datagram, again: bool) -> None:
        """The connection broke under a request: perhaps the peer was only restarted. Once."""
        if self._closed:
            return
        try:
            if again:
                raise OSError("lost twice")
            self.send(datagram, again=True)
        except OSError:
            self._on_lost(datagram)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _sweep_again(self) -> None:
        self._sweeping = None
        self.sweep(self._loop.time())
        if self._connections:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep_again)
