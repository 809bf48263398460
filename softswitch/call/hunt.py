"""Which address is tried next: the addresses of each target in their order, until one of them says more than "dead".

RFC 3263 4.3 and RFC 3261 21.5.4 (503 with Retry-After). Called by `dial.py`, which does the ringing; it sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from softswitch.call.redirection import redirected
from softswitch.interfaces import Target
from softswitch.sip.addresses import Hop
from softswitch.sip.locating import Locating
from softswitch.sip.message import SipResponse

MOST_REDIRECTIONS = 5  # of one call

Place = tuple[str, int, str]  # nobody is sent twice to the same by redirections

log = structlog.get_logger(__name__)


class Hunt:
    """The attempts of one call: (target, where to send it)."""

    def __init__(self, targets: Iterable[Target], locating: Locating, call_id: str = "") -> None:
        self._targets, self._locating, self._call_id = list(targets), locating, call_id
        self._target: Target | None = None
        self._hops: list[Hop] = []
        self._hop: Hop | None = None
        self._tried: list[Place] = []
        self._redirections = 0

    async def next(self) -> tuple[Target, Hop] | None:
        """The next attempt; None where all was tried. A target without an address is passed over."""
        while not self._hops and self._targets:
            self._target = target = self._targets.pop(0)
            self._tried.append(_place(target))
            self._hops += await self._locating.locate(Hop(target.transport, target.host, target.port))
            if not self._hops:
                log.warning("trunk_not_located", call_id=self._call_id, trunk=target.trunk, host=target.host)
        if self._target is None or not self._hops:
            return None
        self._hop = self._hops.pop(0)
        return self._target, self._hop

    def answered(self) -> None:
        """The address is alive, whatever it says."""
        if self._hop is not None:
            self._locating.answered(self._hop)

    def dead(self, why: str, response: SipResponse | None = None) -> None:
        """The address is dead or overloaded: the next one of the same target is tried first."""
        assert self._hop is not None
        assert self._target is not None
        silent = response is None or "Via" not in response.headers  # else it is no word of our own core
        for_s = 0 if response is None else response.seconds("Retry-After")
        self._locating.failed(self._hop, why, for_s, dead=silent)
        if self._hops:
            log.warning("next_address", call_id=self._call_id, trunk=self._target.trunk, after=self._hop.host, why=why)

    def redirect(self, response: SipResponse) -> bool:
        """A 3xx: the places that the target may send us to come before the other targets (RFC 3261 8.1.3.4).

        Whether there are any.
        """
        assert self._target is not None
        found = {_place(one): one for one in redirected(self._target, response)}
        there = [one for place, one in found.items() if place not in self._tried]
        if not there or self._redirections >= MOST_REDIRECTIONS:
            return False
        self._redirections += 1
        self._targets[:0] = there
        log.info("redirected", call_id=self._call_id, trunk=self._target.trunk, hosts=[one.host for one in there])
        return True

    def next_target(self) -> None:
        """Another address of the same target would say the same."""
        self._hops.clear()


def _place(target: Target) -> Place:
    return target.host, target.port, target.transport
