"""From a domain to addresses in their order: what to ask DNS, what to remember of it, which addresses to avoid.

RFC 3263 4, RFC 2782 (weights), RFC 8767 (serve-stale), RFC 6761 6.3 (localhost). Driven by resolver.py, which does the
asking; the call layer knows `Locating` only. It opens no socket, and is handed the clock and the chance.
"""

from __future__ import annotations

import bisect
import ipaddress
import itertools
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from softswitch.sip.addresses import DEFAULT_PORTS, Hop

ANY = "auto"  # as transport of a wanted hop: DNS chooses
SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}  # NAPTR services (RFC 3263 4.1)
SRV_PREFIXES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
FAMILIES = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}  # kinds of address records, and an address of each
MOST_SERVERS = 16  # SRV records of one name, and addresses in all, that are looked at
SHORTEST_TTL_S, LONGEST_TTL_S, NEGATIVE_TTL_S = 5.0, 86400.0, 30.0  # the last is the longest for "there is none"
HOSTS_TTL_S = 30.0  # how soon a change of the hosts file is seen
STALE_S = 86400.0  # an answer is used for so long after its end while DNS fails (RFC 8767 5)
LONGEST_NAME = 253  # characters (RFC 1035 2.3.4): what is longer is no name, and not remembered as one
PENALTY_S, LONGEST_PENALTY_S = 30.0, 300.0  # doubled with each failure in a row
_NEVER_FAILED = 0, 0.0, 0.0


class Naptr(NamedTuple):
    """A NAPTR record whose replacement is a name (flag "s")."""

    order: int
    preference: int
    service: str
    replacement: str


class Srv(NamedTuple):
    """An SRV record; target "." says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


Record = Naptr | Srv | str  # the last is an address
Records = tuple[Record, ...]


class Question(NamedTuple):
    """What is asked of DNS; `kind` is NAPTR, SRV, A or AAAA."""

    name: str
    kind: str


class Answer(NamedTuple):
    """Its records, none where DNS says that there are none, and for how many seconds that holds."""

    records: Records
    ttl_s: float


class Locating(Protocol):
    """What calls and trunks ask before they send, and tell afterwards."""

    async def locate(self, wanted: Hop) -> Sequence[Hop]:
        """Where to send, best first, none where nothing is known. Port 0: DNS or the default; transport "auto": DNS."""

    def answered(self, hop: Hop) -> None:
        """It is alive."""

    def failed(self, hop: Hop, why: str, for_s: float = 0, *, dead: bool = False) -> None:
        """It is dead or overloaded, for `for_s` seconds if it said so; `dead`: a call found nobody there."""

    def shuns(self, wanted: Hop) -> bool:
        """Whether all its addresses are dead, or have said for how long not to be asked (RFC 3261 21.5.4)."""


class AsGiven:
    """`Locating` without DNS: every hop is its own address."""

    async def locate(self, wanted: Hop) -> Sequence[Hop]:
        """The hop itself."""
        return [wanted]

    def answered(self, hop: Hop) -> None:
        """Nothing is remembered."""

    def failed(self, hop: Hop, why: str, for_s: float = 0, *, dead: bool = False) -> None:
        """Nothing is remembered."""

    def shuns(self, wanted: Hop) -> bool:
        """Never."""
        return False


@lru_cache(1024)
def is_numeric(host: str) -> bool:
    """Whether `host` is an address and DNS need not be asked."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# What to ask

Lookup = Generator[Question, Records, list[Hop]]


def look_up(wanted: Hop, serves: Callable[[Hop], bool], chance: Callable[[], float]) -> Lookup:
    """Yields questions, is sent their records, returns hops in their order (RFC 3263 4.1, 4.2).

    `serves` tells for a hop with a numeric host whether we can send there at all; `chance` gives [0, 1).
    """
    host = wanted.host
    if is_numeric(host):
        return at_address(wanted, serves)
    if len(host) > LONGEST_NAME:
        return []
    if wanted.port:
        return (yield from _addresses(host, wanted.port, _or_udp(wanted.transport), host, serves))
    if wanted.transport == ANY:
        services = yield from _services(host, serves)
    else:
        services = [(wanted.transport, SRV_PREFIXES[wanted.transport] + host)]
    served = False
    for transport, name in services:
        servers = [one for one in (yield Question(name, "SRV")) if isinstance(one, Srv)][:MOST_SERVERS]
        served = served or bool(servers)
        found = yield from _all_of(servers, transport, host, serves, chance)
        if found:
            return found
    return [] if served else (yield from _addresses(host, 0, _or_udp(wanted.transport), host, serves))


def at_address(wanted: Hop, serves: Callable[[Hop], bool]) -> list[Hop]:
    """What `look_up` comes to where the host is numeric, so that nothing is asked."""
    transport = _or_udp(wanted.transport)
    name = wanted.host if transport == "tls" else ""  # that a certificate must name
    hop = Hop(transport, wanted.host, wanted.port or DEFAULT_PORTS[transport], name)
    return [hop] if serves(hop) else []


def _or_udp(transport: str) -> str:
    return "udp" if transport == ANY else transport


def _services(host: str, serves: Callable[[Hop], bool]) -> Generator[Question, Records, list[tuple[str, str]]]:
    """Transports and SRV names in the order to try them: by NAPTR, or where there is none all transports of ours."""
    ours = {one for one in SRV_PREFIXES if any(serves(Hop(one, example, 0)) for example in FAMILIES.values())}
    records = yield Question(host, "NAPTR")
    offered = sorted(one for one in records if isinstance(one, Naptr) and SERVICES.get(one.service.upper()) in ours)
    named = [(SERVICES[one.service.upper()], one.replacement) for one in offered]
    return named or [(one, prefix + host) for one, prefix in SRV_PREFIXES.items() if one in ours]


def _all_of(
    servers: Sequence[Srv], transport: str, domain: str, serves: Callable[[Hop], bool], chance: Callable[[], float]
) -> Lookup:
    found: list[Hop] = []
    for one in in_order(servers, chance):
        if one.target != "." and len(found) < MOST_SERVERS:
            found += yield from _addresses(one.target, one.port, transport, domain, serves)
    return found[:MOST_SERVERS]


def _addresses(host: str, port: int, transport: str, domain: str, serves: Callable[[Hop], bool]) -> Lookup:
    """The addresses of one host that we have a listener for, IPv4 first; `domain` is what a certificate must name."""
    addresses: list[str] = []
    if is_numeric(host):
        addresses = [host]
    elif host.lower().rstrip(".") == "localhost":
        addresses = ["127.0.0.1", "::1"]
    else:
        for kind, example in FAMILIES.items():
            if serves(Hop(transport, example, 0)):
                addresses += [one for one in (yield Question(host, kind)) if isinstance(one, str)]
    name = domain if transport == "tls" else ""
    hops = [Hop(transport, one, port or DEFAULT_PORTS[transport], name) for one in addresses]
    return [hop for hop in hops if serves(hop)][:MOST_SERVERS]


def in_order(servers: Iterable[Srv], chance: Callable[[], float]) -> list[Srv]:
    """By priority, and among equals by weighted chance, those of weight 0 having the smallest (RFC 2782)."""
    waiting = sorted(servers, key=lambda one: (one.priority, one.weight))
    ordered = []
    while waiting:
        equals = [one for one in waiting if one.priority == waiting[0].priority]
        sums = list(itertools.accumulate(one.weight for one in equals))
        drawn = equals[bisect.bisect_left(sums, int(chance() * (sums[-1] + 1)))]
        waiting.remove(drawn)
        ordered.append(drawn)
    return ordered


# What to believe before DNS


def read_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """The addresses of each name in a hosts file (hosts(5)), in its order; names in lower case."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if is_numeric(address):
            for name in names:
                found.setdefault(name.lower().rstrip("."), []).append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}


def answer_of(hosts: Mapping[str, Sequence[str]], question: Question) -> Answer | None:
    """What a hosts file says: of a name that stands in it, its addresses and that there is nothing else."""
    addresses = hosts.get(question.name.lower().rstrip("."))
    if addresses is None:
        return None
    colon = {"A": False, "AAAA": True}.get(question.kind)
    return Answer(tuple(one for one in addresses if (":" in one) is colon), HOSTS_TTL_S)


# What to remember


class Memory:
    """Answers of DNS until their time is over, and longer while DNS fails; full, it forgets what nobody uses."""

    def __init__(self, clock: Callable[[], float], *, most: int = 4096) -> None:
        self._clock, self._most = clock, most
        self._answers: OrderedDict[Question, tuple[Records, float]] = OrderedDict()
        self._put_off: dict[Question, float] = {}  # stale ones: until when not to ask again

    def keep(self, question: Question, answer: Answer) -> None:
        """Remember it: never so briefly that DNS is asked all the time, and a "none" never for long."""
        longest = LONGEST_TTL_S if answer.records else NEGATIVE_TTL_S
        self._answers[question] = answer.records, self._clock() + min(max(answer.ttl_s, SHORTEST_TTL_S), longest)
        self._answers.move_to_end(question)
        self._put_off.pop(question, None)
        if len(self._answers) > self._most:
            self._forget(next(iter(self._answers)))

    def put_off(self, question: Question) -> None:
        """DNS failed: what was known goes on to hold, else "none" does, until it is asked again."""
        if question in self._answers:
            self._put_off[question] = self._clock() + SHORTEST_TTL_S
        else:
            self.keep(question, Answer((), SHORTEST_TTL_S))

    def recall(self, question: Question) -> tuple[Records, float] | None:
        """The records and for how many seconds not to ask again, 0 or less: now. None where nothing is known."""
        known = self._answers.get(question)
        if known is None:
            return None
        records, until = known
        now = self._clock()
        if now - until >= (STALE_S if records else 0.0):
            self._forget(question)
            return None
        self._answers.move_to_end(question)
        return records, max(until, self._put_off.get(question, 0.0)) - now

    def _forget(self, question: Question) -> None:
        del self._answers[question]
        self._put_off.pop(question, None)

    def __len__(self) -> int:
        return len(self._answers)


class PenaltyBox:
    """Addresses that failed: used last, not never, and after a while like any other."""

    def __init__(self, clock: Callable[[], float], *, most: int = 1024) -> None:
        self._clock, self._most = clock, most
        # In a row, until when it sits, and until when what stands beside it goes before it.
        self._failures: OrderedDict[Hop, tuple[int, float, float]] = OrderedDict()

    def put(self, hop: Hop, for_s: float = 0, *, dead: bool = False) -> float:
        """One more failure; returns how many seconds are left, which is `for_s` (within bounds) if that is more.

        Who is `dead` is shunned for as long as it sits, anybody else for as long as it said.

        While it sits a failure is none more in a row: calls that were on their way together fail together.
        """
        now, key = self._clock(), hop._replace(name="")
        failures, until, shunned = self._failures.pop(key, _NEVER_FAILED)
        if now - until > LONGEST_PENALTY_S:
            failures = 0  # long ago
        left = until - now
        if left <= 0:
            failures, left = failures + 1, PENALTY_S * 2.0 ** min(failures, 10)
        seconds = min(max(left, for_s), LONGEST_PENALTY_S)
        shunned = max(shunned, now + (seconds if dead else min(for_s, LONGEST_PENALTY_S)))
        self._failures[key] = failures, now + seconds, shunned
        if len(self._failures) > self._most:
            self._failures.popitem(last=False)
        return seconds

    def release(self, hop: Hop) -> bool:
        """It has answered; whether it had failed before."""
        return bool(self._failures) and self._failures.pop(hop._replace(name=""), None) is not None

    def holds(self, hop: Hop) -> bool:
        """Whether it is to be avoided now."""
        return self._failures.get(hop._replace(name=""), _NEVER_FAILED)[1] > self._clock()

    def shuns(self, hop: Hop) -> bool:
        """Whether it is to be avoided wherever there is anybody else."""
        return self._failures.get(hop._replace(name=""), _NEVER_FAILED)[2] > self._clock()

    @property
    def is_empty(self) -> bool:
        """Whether nobody has failed of late."""
        return not self._failures

    def last(self, hops: Iterable[Hop]) -> list[Hop]:
        """The hops, those in the box behind the others, else in their order."""
        return sorted(hops, key=self.holds) if self._failures else list(hops)

    def __len__(self) -> int:
        return sum(self.holds(hop) for hop in self._failures)
