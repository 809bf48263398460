"""Trunks: who may send us calls, and which trunk a call leaves by, in which order.

RFC 2782 (priority and weight). Called by resolve.py and, for the source check, by the call layer; never counts calls
and never opens a socket: limits stand in the record, admission keeps them.
"""

from __future__ import annotations

import functools
import ipaddress
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

from pydantic import ConfigDict

from softswitch.interfaces import Target
from softswitch.routing.fields import (
    NO_SECRET,
    RECORD,
    CheckedNetwork,
    CheckedSecret,
    Count,
    Expiry,
    Flag,
    Host,
    MaybeDigits,
    MaybeSeconds,
    Name,
    Network,
    Port,
    Realm,
    Seconds,
    Word,
)
from softswitch.routing.numbers import NumberForm, to_form

if TYPE_CHECKING:
    from softswitch.routing.dialplan import Dialplan, RouteEntry, RouteTarget


class Login(NamedTuple):
    """A name and its password."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Trunk:
    """One `[[trunk]]` of the dialplan: a peer that we send calls to, take calls from, or both.

    `sources` and `source_ports`: who may send (no ports: any). `priority`: lower first; `weight`: share among equals,
    0 keeps the order of the route. `max_calls`, `calls_per_second`: 0 no limit. `number_prefix_in` is taken off what
    the trunk dials, `number_prefix` and `caller_id_prefix` are put before what it gets. `large_by_tcp`: of a UDP trunk,
    whether it takes requests of more than 1300 bytes by TCP.

    `username` and `password` are ours there, for whatever it challenges. `auth` "digest": its INVITEs must prove
    `auth_username` and `auth_password` (where not given: ours) in `realm`. `health_s`: seconds between OPTIONS, 0 none.
    `register`: keep us registered there, `register_user` (`username`) being the user part of our Contact.
    """

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    name: Name
    host: Host
    port: Port = 0  # of an address: 5060, with TLS 5061; of a name: what DNS says
    transport: Literal["udp", "tcp", "tls", "auto"] = "udp"  # auto: what DNS says
    large_by_tcp: Flag = True
    sources: tuple[CheckedNetwork, ...] = ()
    source_ports: tuple[Port, ...] = ()
    codecs: tuple[Literal["PCMA", "PCMU"], ...] = ("PCMA", "PCMU")
    max_calls: Count = 0
    calls_per_second: Count = 0
    number_form: NumberForm = NumberForm.E164
    number_prefix: MaybeDigits = ""
    number_prefix_in: MaybeDigits = ""
    caller_id_form: NumberForm = NumberForm.E164
    caller_id_prefix: MaybeDigits = ""
    priority: Count = 1
    weight: Count = 0
    ring_s: Seconds = 60.0
    connect_s: Seconds = 8.0
    username: Word = ""
    password: CheckedSecret = NO_SECRET
    auth: Literal["sources", "digest"] = "sources"
    auth_username: Word = ""
    auth_password: CheckedSecret = NO_SECRET
    auth_algorithms: tuple[Literal["SHA-512-256", "SHA-256", "MD5"], ...] = ("SHA-256", "MD5")
    realm: Realm = "softswitch"
    health_s: MaybeSeconds = 0.0
    register: Flag = False
    register_user: Word = ""
    register_expires_s: Expiry = 3600

    def problems(self) -> list[tuple[str, str]]:
        """What does not fit together, as (key, what was expected)."""
        found = []
        if bool(self.username) != bool(self.password.value):
            found.append(("password" if self.username else "username", "expected: username and password go together"))
        if bool(self.auth_username) != bool(self.auth_password.value):
            found.append(("auth_username", "expected: auth_username and auth_password go together"))
        if self.auth == "digest" and not (self.proves.username and self.auth_algorithms and self.sources):
            found.append(("auth", "expected with digest: sources, a username with its password, and an algorithm"))
        if self.register and not self.username:
            found.append(("register", "expected with it: username and password"))
        return found

    @property
    def proves(self) -> Login:
        """What its INVITEs must prove where `auth` is digest."""
        if self.auth_username:
            return Login(self.auth_username, self.auth_password.value)
        return Login(self.username, self.password.value)

    def __post_init__(self) -> None:
        """Fill in the port that goes with an address and its transport (RFC 3261 19.1.2)."""
        if not self.port and _numeric(self.host) is not None:
            object.__setattr__(self, "port", 5061 if self.transport == "tls" else 5060)


class TrunkHealth(Protocol):
    """Tells which trunks are worth a try now."""

    def usable(self, name: str) -> bool:
        """False while the trunk is penalised."""


@dataclass(frozen=True, slots=True)
class Source:
    """One network that a trunk sends from; port None means any."""

    network: Network
    port: int | None
    trunk: Trunk


def sources_of(trunks: Iterable[Trunk]) -> tuple[Source, ...]:
    """The sources of all trunks, the most particular first: narrow networks before wide, a port before any port."""
    sources = [
        Source(net, port, trunk)
        for trunk in trunks
        for net in trunk.sources
        for port in (trunk.source_ports or (None,))
    ]
    return tuple(sorted(sources, key=lambda source: (-source.network.prefixlen, source.port is None)))


def trunk_at(sources: Sequence[Source], source_ip: str, source_port: int) -> Trunk | None:
    """The trunk that sends from this address, None for a stranger (or for what is no address)."""
    address = _numeric(source_ip)
    if address is None:
        return None
    for source in sources:
        if address in source.network and source.port in (None, source_port):
            return source.trunk
    return None


@functools.lru_cache(1024)
def _numeric(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def without_prefix(trunk: Trunk, user: str) -> str:
    """What `trunk` dialled, without the technical prefix it puts before every number."""
    return user.removeprefix(trunk.number_prefix_in)


def select_targets(
    dialplan: Dialplan,
    entry: RouteEntry,
    callee: str,
    display: str,
    rng: random.Random,
    *,
    health: TrunkHealth | None = None,
) -> tuple[Target, ...]:
    """The attempts for a callee in their order: by priority, by weighted chance among equals, unusable trunks left out.

    Where no trunk is usable all are tried: a penalty is a guess, refusing the call is certain.
    """
    targets = entry.targets
    if len(targets) > 1:
        if health is not None:
            targets = tuple(target for target in targets if health.usable(target.trunk)) or targets
        targets = tuple(sorted(targets, key=lambda target: _order(dialplan.trunks[target.trunk], rng)))
    return tuple(_target(dialplan, target, callee, display) for target in targets)


def _order(trunk: Trunk, rng: random.Random) -> tuple[int, float]:
    """Sort key: priority, then a weighted draw (Efraimidis and Spirakis: the largest u^(1/w) first)."""
    return trunk.priority, -(rng.random() ** (1 / trunk.weight)) if trunk.weight else 1.0


def _target(dialplan: Dialplan, target: RouteTarget, callee: str, display: str) -> Target:
    trunk = dialplan.trunks[target.trunk]
    return Target(
        trunk=trunk.name,
        host=trunk.host,
        port=trunk.port,
        user=trunk.number_prefix + to_form(callee, trunk.number_form, dialplan.numbers),
        display=trunk.caller_id_prefix + to_form(display, trunk.caller_id_form, dialplan.numbers),
        transport=trunk.transport,
        codecs=trunk.codecs,
        ring_s=target.ring_s or trunk.ring_s,
        connect_s=trunk.connect_s,
        large_by_tcp=trunk.large_by_tcp,
    )
