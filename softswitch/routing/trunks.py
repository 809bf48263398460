"""Trunks: who may send us calls, and which trunk a call leaves by, in which order.

RFC 2782 (priority and weight). Called by resolve.py and, for the source check, by the call layer; never counts calls
and never opens a socket: limits stand in the record, admission keeps them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from softswitch.interfaces import Target
from softswitch.routing.fields import Network
from softswitch.routing.numbers import NumberForm, NumberRules, to_form
from softswitch.routing.trunk import Trunk, numeric

if TYPE_CHECKING:
    from softswitch.routing.dialplan import Dialplan, RouteEntry, RouteTarget


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


def trunk_at(sources: Sequence[Source], source_ip: str, source_port: int, transport: str) -> Trunk | None:
    """The trunk that sends from this address, None for a stranger (or for what is no address).

    Who claims to be a TLS trunk by any other `transport` is a stranger: there addresses may be forged and words read.
    """
    address = numeric(source_ip)
    if address is None:
        return None
    for source in sources:
        if address in source.network and source.port in (None, source_port):
            return None if source.trunk.transport == "tls" != transport else source.trunk
    return None


def as_meant(trunk: Trunk | None, dialled: str, caller: str) -> tuple[str, str, NumberForm | None]:
    """What `trunk` dialled and who calls, without its technical prefixes, with what it leaves out; and their form.

    The form is None where it may be any. A number with a plus sign is whole.
    """
    if trunk is None:
        return dialled, caller, None
    if not dialled.startswith("+"):
        dialled = trunk.number_add_in + dialled.removeprefix(trunk.number_prefix_in)
    form = None if trunk.number_form_in == "any" else trunk.number_form_in
    return dialled, caller.removeprefix(trunk.caller_id_prefix_in), form


def select_targets(
    dialplan: Dialplan,
    entry: RouteEntry,
    callee: str,
    display: str,
    rng: random.Random,
    *,
    health: TrunkHealth | None = None,
) -> tuple[Target, ...]:
    """The attempts for a callee in their order: by priority, by weighted chance among equals, unusable trunks last.

    None is left out: a penalty is a guess, refusing the call is certain.
    """
    targets = entry.targets
    if len(targets) > 1:
        down = {target.trunk for target in targets if health is not None and not health.usable(target.trunk)}
        targets = tuple(sorted(targets, key=lambda one: (one.trunk in down, *_order(dialplan.trunks[one.trunk], rng))))
    return tuple([_target(dialplan, target, callee, display) for target in targets])


def _order(trunk: Trunk, rng: random.Random) -> tuple[int, float]:
    """Sort key: priority, then a weighted draw (Efraimidis and Spirakis: the largest u^(1/w) first)."""
    return trunk.priority, -(rng.random() ** (1 / trunk.weight)) if trunk.weight else 1.0


def _target(dialplan: Dialplan, target: RouteTarget, callee: str, display: str) -> Target:
    trunk, rules = dialplan.trunks[target.trunk], dialplan.numbers
    return replace(
        dialplan.targets[target.trunk],
        user=trunk.number_prefix + to_form(callee, trunk.number_form, rules).removeprefix(trunk.number_strip),
        display=_shown(trunk, display, rules),
        ring_s=target.ring_s or trunk.ring_s,
        to="" if trunk.to_form == "as_dialled" else to_form(callee, trunk.to_form, rules),
    )


def target_at(trunk: Trunk) -> Target:
    """An attempt by `trunk`, without the numbers of any call."""
    return Target(
        trunk=trunk.name,
        host=trunk.host,
        port=trunk.port,
        user="",
        display="",
        transport=trunk.transport,
        codecs=trunk.codecs,
        ring_s=trunk.ring_s,
        connect_s=trunk.connect_s,
        large_by_tcp=trunk.large_by_tcp,
        uri_host=trunk.uri_host,
        tls_name=trunk.tls_name,
        redirect_hosts=trunk.redirect_hosts,
        from_user=trunk.from_user,
        from_host=trunk.from_host,
        user_phone=trunk.user_phone,
        identity=trunk.identity,
        privacy=trunk.privacy,
        pass_headers=trunk.pass_headers,
        codec_order=trunk.codec_order,
        ptime_ms=trunk.ptime_ms,
        max_ptime_ms=trunk.max_ptime_ms,
        nat=trunk.nat,
        srtp=trunk.srtp,
        srtp_suites=trunk.srtp_suites,
    )


def _shown(trunk: Trunk, display: str, rules: NumberRules) -> str:
    shown = to_form(display, trunk.caller_id_form, rules).removeprefix(trunk.caller_id_strip)
    return trunk.caller_id_prefix + shown
