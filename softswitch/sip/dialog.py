"""A dialog: the tags, sequence numbers, route set and remote target that two user agents share.

RFC 3261 12. Sessions create dialogs, ask them for requests and show them what arrives. A dialog sends nothing and
knows no transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from softswitch.errors import SipParseError
from softswitch.sip.addresses import DEFAULT_PORTS, Hop, Path
from softswitch.sip.compose import closed
from softswitch.sip.grammar import REMEMBERED
from softswitch.sip.headers import parse_name_addr
from softswitch.sip.locating import is_numeric
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.uri import SipUri, parse_uri

Route = Callable[[Hop, Path], Path | None]  # None: a host name of which nothing is known yet


def by_same_listener(hop: Hop, near: Path) -> Path | None:
    """The way to `hop` for a dialog whose messages went by `near`, where there is nothing to choose and no DNS."""
    return near._replace(hop=hop, connection=0) if is_numeric(hop.host) else None


class Dialog:
    """One side's view of a dialog. `local` and `remote` are From and To of the requests we send, with their tags."""

    __slots__ = (
        "_head",
        "_next_hop",
        "_origin",
        "_path",
        "_peer",
        "_route",
        "_uri",
        "call_id",
        "local",
        "local_cseq",
        "named",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "route_set",
    )

    def __init__(
        self, call_id: str, local: str, remote: str, remote_tag: str, path: Path, route: Route = by_same_listener
    ) -> None:
        """`path` is where requests go while nothing better is known; `route` finds the listener for what is."""
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.remote_tag = remote_tag
        self.local_cseq = 0
        self.remote_cseq = -1  # of the latest request of the other side; -1: none yet (12.2.2)
        self.remote_target = ""
        self.route_set: Sequence[str] = ()
        self._path = self._origin = path
        self.named: Hop | None = None  # the next hop, where it is a host name
        self._next_hop = ""  # the URI, while nothing is known of its host name
        self._peer: tuple[str, int] | None = None  # who sits at the other end of the connection, by its own Via
        self._route = route
        self._head = self._uri = ""

    @classmethod
    def as_uas(cls, invite: SipRequest, local_tag: str, path: Path, route: Route = by_same_listener) -> Dialog:
        """The UAS side, from the request that creates the dialog (12.1.1); raises SipParseError naming the header."""
        headers = invite.headers
        from_, contact = invite.from_, invite.contact
        local = f"{headers.get('To')};tag={local_tag}"
        dialog = cls(invite.call_id, local, headers.get("From") or "", from_.tag or "", path, route)
        if path.connection:
            dialog._peer = invite.via.host, invite.via.port or DEFAULT_PORTS[path.hop.transport]
        dialog.remote_cseq = invite.cseq.number
        # Contact is mandatory (8.1.1.8), but the dialog of a peer that forgot it can still be ended.
        dialog._point(contact.uri if contact else from_.uri, headers.all("Record-Route"))
        return dialog

    @classmethod
    def as_uac(
        cls, local: str, cseq: int, uri: str, response: SipResponse, path: Path, route: Route = by_same_listener
    ) -> Dialog:
        """The UAC side, from a response to our request to `uri` (12.1.2). Unreadable routes count as none."""
        headers = response.headers
        dialog = cls(response.call_id, local, headers.get("To") or "", response.to.tag or "", path, route)
        dialog.local_cseq = cseq
        dialog.remote_target = uri
        dialog.update(response)
        return dialog

    @property
    def path(self) -> Path:
        """Where requests go now: to the next hop, or as the dialog came while its host name is not known (RFC 3263)."""
        if self._next_hop:
            self._path = self._way_to(self._next_hop)
        return self._path

    def know_peer(self, *, large_by_tcp: bool = False, tls_name: str = "") -> None:
        """Whether requests too long for UDP may go by TCP, and whom its certificate must name (empty: its host)."""
        if large_by_tcp != self._origin.large_by_tcp or tls_name:
            self._origin = known_as(self._origin, tls_name)._replace(large_by_tcp=large_by_tcp)
            self._path = known_as(self._path, tls_name)._replace(large_by_tcp=large_by_tcp)

    def update(self, response: SipResponse) -> None:
        """UAC: take target and route set anew from a further response, which counts until the 2xx (13.2.2.4)."""
        uri, routes = _contact_uri(response) or self.remote_target, response.headers.all("Record-Route")[::-1]
        if uri == self.remote_target and routes == self.route_set and self._is_settled:
            return
        try:
            self._point(uri, routes)
        except SipParseError:
            self._point(self.remote_target, ())

    @property
    def _is_settled(self) -> bool:
        """Whether the same target still leads where it led: to an address, and by no connection that may change."""
        return self._head != "" and self.named is None and not self._path.connection

    def refresh(self, message: SipRequest | SipResponse) -> None:
        """A target refresh: the Contact of a re-INVITE or UPDATE, or of its 2xx, is the new remote target (12.2)."""
        uri = _contact_uri(message)
        if uri is not None and uri != self.remote_target:
            self._point(uri, self.route_set)

    def follow(self, path: Path) -> None:
        """The other side now speaks by another connection: what went by the old one goes by this."""
        if self.path.connection and path.hop.transport == self._origin.hop.transport:
            self._path = self.path._replace(connection=path.connection)
            self._origin = known_as(path, self._origin.hop.name)

    def move(self, path: Path) -> None:
        """Requests go by `path`, another address of the name that the next hop is, until the next hop is another."""
        self._path, self._next_hop = path, ""

    def accepts(self, cseq: int) -> bool:
        """Whether a request of the other side is in order (12.2.2); remembers its number if so."""
        if cseq <= self.remote_cseq:
            return False
        self.remote_cseq = cseq
        return True

    def next_cseq(self) -> int:
        """The number of our next request."""
        self.local_cseq += 1
        return self.local_cseq

    def request(
        self,
        method: str,
        via: str,
        *,
        cseq: int | None = None,
        more: str = "",
        body: bytes = b"",
        content_type: str = "",
    ) -> bytes:
        """A request inside the dialog, with the next sequence number or (ACK) with `cseq`; `more` are header lines."""
        if cseq is None:
            cseq = self.next_cseq()
        head = f"{method} {self._uri} SIP/2.0\r\nVia: {via}\r\n{self._head}CSeq: {cseq} {method}\r\n{more}"
        return closed(head, body, content_type)

    def _point(self, remote_target: str, route_set: Sequence[str]) -> None:
        """Settle Request-URI, Route and next hop (12.2.1.1)."""
        routes, uri, next_hop = list(route_set), remote_target, remote_target
        if routes:
            first = parse_name_addr(routes[0]).uri
            next_hop = first
            if not _is_loose(first):  # a strict router wants itself in the Request-URI and the target as last Route
                uri, routes = first, [*routes[1:], f"<{remote_target}>"]
        self.remote_target, self.route_set, self._uri = remote_target, route_set, uri
        self._path = self._way_to(next_hop)
        through = "".join([f"Route: {route}\r\n" for route in routes]) if routes else ""
        ends = f"From: {self.local}\r\nTo: {self.remote}\r\nCall-ID: {self.call_id}\r\n"
        self._head = f"Max-Forwards: 70\r\n{through}{ends}"

    def _way_to(self, uri: str) -> Path:
        """The path to the next hop; by the connection that the dialog came by where that leads to the same peer."""
        origin, self._next_hop = self._origin, ""
        hop = hop_of(uri, origin.hop)
        self.named = None if is_numeric(hop.host) else hop
        if hop == origin.hop:
            return origin
        path = self._route(hop, origin)
        if path is None or path is origin:
            self._next_hop = uri if path is None else ""
            return origin
        same_peer = self._is_peer(hop) or self._is_peer(path.hop)
        if same_peer and path.hop.transport == origin.hop.transport:
            return path._replace(connection=origin.connection)
        return path

    def _is_peer(self, hop: Hop) -> bool:
        return (hop.host, hop.port or DEFAULT_PORTS[hop.transport]) == self._peer


def known_as(path: Path, tls_name: str) -> Path:
    """The path to a peer whose certificate must name `tls_name`; the same over any transport but TLS, or for none."""
    if not tls_name or path.hop.transport != "tls":
        return path
    return path._replace(hop=path.hop._replace(name=tls_name))


@lru_cache(REMEMBERED)
def hop_of(uri: str, otherwise: Hop) -> Hop:
    """Where a request to `uri` goes: its host (port 0: a name without port), else (a tel URI, nonsense) `otherwise`.

    `maddr` stands for the host (RFC 3261 19.1.1, RFC 3263 4); one that is no host stands for nothing.
    A URI that names no transport is reached as `otherwise` is: what works is not exchanged for a guess.
    """
    target = _read(uri)
    if target is None or not target.host:
        return otherwise
    transport = "tls" if target.scheme == "sips" else (target.params.get("transport") or "").lower()
    if transport not in DEFAULT_PORTS:
        transport = otherwise.transport
    host = target.place
    port = target.port or (DEFAULT_PORTS[transport] if is_numeric(host) else 0)
    return Hop(transport, host, port, otherwise.name)


def _is_loose(uri: str) -> bool:
    target = _read(uri)
    return target is None or "lr" in target.params


def _read(uri: str) -> SipUri | None:
    try:
        return parse_uri(uri)
    except SipParseError:
        return None


def _contact_uri(message: SipRequest | SipResponse) -> str | None:
    """The Contact's URI, None where there is none that can be read."""
    try:
        contact = message.contact
    except SipParseError:
        return None
    return contact.uri if contact else None
