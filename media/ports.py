"""RTP/RTCP port pairs (RFC 3550 section 11: even and the next odd port) of one address and range.

Called by the engine. A port that was given back is the last to be given out again, so that stragglers of an old call do
not reach a new one.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import OrderedDict
from dataclasses import dataclass

log = logging.getLogger(__name__)
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # of Linux; the socket module does not name them
BUFFERS = {
    socket.SO_RCVBUF: (SO_RCVBUFFORCE, "receive", "net.core.rmem_max"),
    socket.SO_SNDBUF: (SO_SNDBUFFORCE, "send", "net.core.wmem_max"),
}


class PortsExhausted(Exception):
    """No pair of the range can be bound."""


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """What every socket is given: DSCP of what it sends (RFC 2474; 46 is EF), bytes of its buffers (0: as
    the system has them)."""

    dscp: int = 0
    buffer: int = 0


class PortPool:
    """Binds pairs out of `first` to `last` on `address`, of either family."""

    def __init__(self, address: str, first: int, last: int, options: SocketOptions | None = None) -> None:
        self.address = address
        self._range = f"{first}-{last}"
        self._options = options or SocketOptions()
        self._free = OrderedDict.fromkeys(range(first + first % 2, last, 2))  # after a crash each wants its own
        self.pairs = len(self._free)
        self._refusal = ""  # which port the system refused last, and why
        self._told_of: set[int] = set()  # buffers that are smaller than asked for

    @property
    def free(self) -> int:
        """Pairs that are not given out."""
        return len(self._free)

    def bind(self, wanted: int | None = None) -> tuple[int, socket.socket, socket.socket]:
        """The RTP port and both sockets; raises PortsExhausted. `wanted` is bound or refused, others are skipped."""
        if wanted is not None:
            return self._bind_wanted(wanted)
        for _ in range(len(self._free)):
            port, _ = self._free.popitem(last=False)
            pair = self._bind_pair(port)
            if pair:
                return port, *pair
            self._free[port] = None
        ours = f"{self.pairs - len(self._free)} of {self.pairs} are ours"
        theirs = f", the last that was not: {self._refusal}" if self._free else ""
        raise PortsExhausted(f"no free RTP port pair in {self._range} on {self.address}: {ours}{theirs}")

    def give_back(self, port: int) -> None:
        """The sockets of `port` are closed."""
        self._free[port] = None

    def _bind_wanted(self, port: int) -> tuple[int, socket.socket, socket.socket]:
        pair = self._bind_pair(port) if port in self._free else None
        if not pair:
            theirs = f": {self._refusal}" if port in self._free else ""
            raise PortsExhausted(f"RTP port {port} on {self.address} is in use or outside {self._range}{theirs}")
        del self._free[port]
        return port, *pair

    def _bind_pair(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        rtp = self._bind(port)
        if not rtp:
            return None
        rtcp = self._bind(port + 1)
        if not rtcp:
            rtp.close()
            return None
        return rtp, rtcp

    def _bind(self, port: int) -> socket.socket | None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        try:
            with contextlib.ExitStack() as unfinished:
                bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
                unfinished.enter_context(bound)
                self._prepare(bound)
                bound.bind((self.address, port))
                unfinished.pop_all()
        except OSError as error:  # also where the process has no descriptor left
            self._refusal = f"port {port}: {error.strerror}"
            return None
        return bound

    def _prepare(self, unbound: socket.socket) -> None:
        traffic_class = self._options.dscp << 2
        if unbound.family == socket.AF_INET6:
            unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, traffic_class)
        else:
            unbound.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, traffic_class)
        for option in BUFFERS if self._options.buffer else ():
            self._size(unbound, option, self._options.buffer)

    def _size(self, unbound: socket.socket, option: int, size: int) -> None:
        """As the system allows, which cuts in silence what is above its limit; CAP_NET_ADMIN is above that."""
        force, name, limit = BUFFERS[option]
        unbound.setsockopt(socket.SOL_SOCKET, option, size)
        if _buffer(unbound, option) >= size:
            return
        with contextlib.suppress(PermissionError):
            unbound.setsockopt(socket.SOL_SOCKET, force, size)
        if (granted := _buffer(unbound, option)) < size and option not in self._told_of:
            self._told_of.add(option)
            log.warning("%s buffers are of %d bytes, not %d: %s is less", name, granted, size, limit)


def _buffer(bound: socket.socket, option: int) -> int:
    """Its size as one asks for it: the kernel doubles that, for its own needs (socket(7))."""
    return bound.getsockopt(socket.SOL_SOCKET, option) // 2
