"""What is remembered of sources that are no trunk's: how often each may ask, and who is banned, for how long and why.

No RFC; RFC 3261 26.3.2 and RFC 5390 tell why. Called by the entrance with the time. IPv6 sources count by their /64,
since that is what one attacker has. Its tables are bounded. It never sees a configured trunk's messages; a trunk's
source is shut out only by who knows more than an address: the check of passwords, and the operator.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

# Programs that exist to find and abuse switches; what people and carriers use as well is not named here.
_SCANNERS = (
    b"friendly-scanner", b"friendly-request", b"sipvicious", b"sundayddr", b"sip-scan", b"sipcli", b"sipbomber",
    b"iwar", b"vaxsipuseragent", b"pplsip", b"smap 0", b"sivus", b"gulp", b"sipv/",
)  # fmt: skip
_NAMES = re.compile(rb"\r\n(?:User-Agent|Server|From|f)[ \t]*:[^\r\n]*", re.IGNORECASE)
_CREDENTIALS = re.compile(rb"\n(?:proxy-)?authorization[ \t]*:", re.IGNORECASE)
PROVING = " with credentials"  # behind a source: the room of what has some
CONNECTED = " by connection"  # the room of connections and of what a trunk sends by them: there no address is forged
ROOMS = ("", PROVING, CONNECTED, CONNECTED + PROVING)


@dataclass(frozen=True, slots=True)
class StrangerLimits:
    """What one unknown source may do, and how many of them are remembered. Times in seconds."""

    per_second: float = 2.0  # messages that are looked at, in the long run
    burst: float = 10.0
    ban_after: int = 20  # messages turned away within `window_s`
    window_s: float = 60.0
    ban_s: float = 600.0
    remembered: int = 10_000  # sources; the same number of bans


class Ban(NamedTuple):
    """One banned source: the address, or the /64 of an IPv6 address; until when; and why.

    `scanner`, `persistent`: strangers. `password`, `operator`: whoever it is.
    """

    source: str
    until: float
    why: str


@dataclass(slots=True)
class _Visitor:
    tokens: float
    at: float
    turned_away: int = 0
    since: float = 0.0


class Strangers:
    """All unknown sources of late."""

    def __init__(self, limits: StrangerLimits | None = None) -> None:
        self._limits = limits or StrangerLimits()
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()  # least recently seen first
        self._bans: OrderedDict[str, Ban] = OrderedDict()
        self._shut_out: OrderedDict[str, Ban] = OrderedDict()  # trunks' sources too

    def judge(self, head: bytes, host: str, now: float, *, connected: bool = False) -> str:
        """Why a message with this head is to be dropped unread: `banned`, `scanner`, `rate`; empty where it is not."""
        if self.is_banned(host, now, connected=connected):
            return "banned"
        if _is_scanner(head):
            self._ban(host, "scanner", now, connected)
            return "scanner"
        if not self._has_room(network_of(host), now):
            self.turned_away(host, now, connected=connected)
            return "rate"
        return ""

    def may_connect(self, host: str, now: float) -> bool:
        """Whether a stranger gets one more connection; who comes too often earns a ban, as by messages."""
        if self._has_room(network_of(host) + CONNECTED, now):
            return True
        self.turned_away(host, now, connected=True)
        return False

    def give_back(self, host: str) -> None:
        """What came by a connection of `host` belongs to a call: that connection was worth its room.

        There are far ends that open one for each request, and not all from the address that brought the call.
        """
        visitor = self._visitors.get(network_of(host) + CONNECTED)
        if visitor is not None:
            visitor.tokens = min(self._limits.burst, visitor.tokens + 1.0)

    def bears(self, head: bytes, host: str, now: float, *, connected: bool = False) -> bool:
        """Whether a message in the name of a trunk that has proved nothing yet is looked at; empty: a connection.

        What is not is held against nobody: the address may be forged, unless it is `connected`: then what others send
        in its name takes nothing from it. Credentials have room of their own: a trunk that sends many calls at once
        before the first has come back with its proof must not lock that out.
        """
        own = (CONNECTED if connected else "") + (PROVING if _CREDENTIALS.search(head) else "")
        return not _is_scanner(head) and self._has_room(network_of(host) + own, now)

    def _has_room(self, source: str, now: float) -> bool:
        visitor = self._visitor(source, now)
        taken = visitor.tokens >= 1.0
        visitor.tokens -= taken
        return taken

    def turned_away(self, host: str, now: float, *, connected: bool = False) -> None:
        """A message of `host`, or a connection, was refused or dropped: too many in too short a time earn a ban."""
        limits = self._limits
        visitor = self._visitor(network_of(host) + (CONNECTED if connected else ""), now)
        if now - visitor.since > limits.window_s:
            visitor.since, visitor.turned_away = now, 0
        visitor.turned_away += 1
        if visitor.turned_away >= limits.ban_after:
            self._ban(host, "persistent", now, connected)

    def is_banned(self, host: str, now: float, *, connected: bool) -> bool:
        """Whether nothing of the stranger `host` is looked at, or no connection with it is kept.

        What came by UDP may have been anybody's: it bans nobody's connections, by which a call may be up.
        """
        source = network_of(host)
        if _in_force(self._bans, source + CONNECTED, now) or _in_force(self._shut_out, source, now):
            return True
        return not connected and _in_force(self._bans, source, now)

    def shut_out(self, host: str, why: str, now: float, seconds: float = 0.0) -> None:
        """Ban `host` (or an IPv6 network, as `bans` names it) whoever it is; 0 seconds: for as long as any ban."""
        source = network_of(host)
        self._shut_out[source] = Ban(source, now + (seconds or self._limits.ban_s), why)
        if len(self._shut_out) > self._limits.remembered:
            self._shut_out.popitem(last=False)

    def is_shut_out(self, host: str, now: float) -> bool:
        """Whether nothing of `host` is looked at, be it a trunk's."""
        return bool(self._shut_out) and _in_force(self._shut_out, network_of(host), now)

    def lift(self, host: str) -> bool:
        """End the ban of `host`, and forget what it did; False where there is none."""
        source = network_of(host)
        for room in ROOMS:
            self._visitors.pop(source + room, None)
        lifted = (
            self._bans.pop(source, None),
            self._bans.pop(source + CONNECTED, None),
            self._shut_out.pop(source, None),
        )
        return any(lifted)

    def bans(self, now: float) -> list[Ban]:
        """Those in force; of a source that is banned twice for the same the one that lasts longer."""
        latest: dict[tuple[str, str], Ban] = {}
        for ban in (*self._bans.values(), *self._shut_out.values()):
            if ban.until > latest.get((ban.source, ban.why), ban._replace(until=now)).until:
                latest[ban.source, ban.why] = ban
        return list(latest.values())

    def __len__(self) -> int:
        """Sources remembered, banned or not."""
        return len(self._visitors) + len(self._bans) + len(self._shut_out)

    def _ban(self, host: str, why: str, now: float, connected: bool) -> None:
        source, by = network_of(host), CONNECTED if connected else ""
        self._visitors.pop(source + by, None)
        self._bans[source + by] = Ban(source, now + self._limits.ban_s, why)
        if len(self._bans) > self._limits.remembered:
            self._bans.popitem(last=False)

    def _visitor(self, source: str, now: float) -> _Visitor:
        limits, visitor = self._limits, self._visitors.get(source)
        if visitor is None:
            visitor = self._visitors[source] = _Visitor(limits.burst, now, since=now)
            if len(self._visitors) > limits.remembered:
                self._visitors.popitem(last=False)
            return visitor
        self._visitors.move_to_end(source)
        visitor.tokens = min(limits.burst, visitor.tokens + (now - visitor.at) * limits.per_second)
        visitor.at = now
        return visitor


def _is_scanner(head: bytes) -> bool:
    """Whether it names itself one. In two steps, each of which passes over the bytes once, whatever they are."""
    named = b"".join(_NAMES.findall(head)).lower()
    return any(word in named for word in _SCANNERS)


def _in_force(table: OrderedDict[str, Ban], source: str, now: float) -> bool:
    ban = table.get(source)
    if ban is not None and ban.until <= now:
        del table[source]
        return False
    return ban is not None


@functools.lru_cache(4096)
def network_of(host: str) -> str:
    """What one source is counted by: an IPv4 address, the /64 of an IPv6 address."""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.partition("%")[0].partition("/")[0], 64), strict=False))
    except ValueError:
        return host
