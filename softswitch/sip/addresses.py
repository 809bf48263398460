"""Where messages go, and our own addresses: which listener a message leaves by and what we write of it.

RFC 3261 8.1.1.7, 8.1.1.8, 18.1.1 and 19.1.2. Used by everything in this package that sends. It resolves no name and
opens no socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LARGEST_BY_UDP = 1300  # bytes of a request; longer ones want a transport with congestion control (18.1.1)
DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


class Hop(NamedTuple):
    """Where one message goes to or came from."""

    transport: str  # "udp"; "tcp" and "tls" are reliable
    host: str
    port: int
    name: str = ""  # domain that a TLS certificate must name; empty: `host`


class Path(NamedTuple):
    """A hop and the index of the local listener that is used to reach it.

    `connection` is the open connection to use first, the hop is for when it is gone; 0 is none. `large_by_tcp` lets
    requests too long for UDP go by TCP.
    """

    hop: Hop
    listener: int = 0
    connection: int = 0
    large_by_tcp: bool = False


class Listener(NamedTuple):
    """A local address, and what peers are told instead of it (empty: the address itself, 0: its port)."""

    host: str
    port: int
    transport: str = "udp"
    advertised_host: str = ""
    advertised_port: int = 0


class LocalAddresses:
    """All listeners, by index, as Via, Contact and Call-ID show them."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        """Of several listeners for the same kind of peer the first is used."""
        told = [(bracketed(one.advertised_host or one.host), one.advertised_port or one.port) for one in listeners]
        self._told = frozenset(told)
        self.hosts = [host for host, _ in told]
        self.vias: list[str] = []  # a Via up to its branch, with rport (RFC 3581)
        self.contacts: list[str] = []  # header lines
        for one, (host, port) in zip(listeners, told, strict=True):
            mark = "" if one.transport == "udp" else f";transport={one.transport}"
            self.vias.append(f"SIP/2.0/{one.transport.upper()} {host}:{port};rport;branch=")
            self.contacts.append(f"Contact: <sip:{host}:{port}{mark}>\r\n")
        self._kinds = [_kind(one.transport, one.host) for one in listeners]
        self._first: dict[tuple[str, bool], int] = {}
        for index, kind in enumerate(self._kinds):
            self._first.setdefault(kind, index)

    def listener_for(self, hop: Hop) -> int | None:
        """The listener that requests to `hop` leave by: of its transport and address family; None where we have none.

        A host name may turn out to be of either family, IPv4 first.
        """
        found = self._first.get(_kind(hop.transport, hop.host))
        if found is None and ":" not in hop.host and not hop.host.rpartition(".")[2].isdigit():
            return self._first.get((hop.transport, True))
        return found

    def has(self, host: str, port: int | None) -> bool:
        """Whether a URI with this host and port is one that we tell peers to reach us at."""
        return (bracketed(host), port or DEFAULT_PORTS["udp"]) in self._told

    def path_to(self, hop: Hop, near: Path) -> Path:
        """The way to `hop` for a dialog whose messages went by `near`: by the same listener where that can be.

        Where we have no listener of the hop's transport the dialog stays with its own.
        """
        if self._kinds[near.listener] == _kind(hop.transport, hop.host):
            return near._replace(hop=hop, connection=0)
        listener = self.listener_for(hop)
        if listener is None:
            hop = hop._replace(transport=near.hop.transport)
            listener = self.listener_for(hop)
        return near._replace(hop=hop, listener=near.listener if listener is None else listener, connection=0)

    def by_tcp(self, request: bytes, path: Path) -> tuple[bytes, Path] | None:
        """A request written for UDP as it goes by TCP instead (18.1.1); None where that can't be."""
        hop = path.hop._replace(transport="tcp")
        listener = self.listener_for(hop)
        if path.hop.transport != "udp" or listener is None:
            return None
        old, new = self.vias[path.listener].encode(), self.vias[listener].encode()
        return request.replace(old, new, 1), Path(hop, listener)


def bracketed(host: str) -> str:
    """`host` as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _kind(transport: str, host: str) -> tuple[str, bool]:
    """Transport and whether the address is IPv6."""
    return transport, ":" in host
