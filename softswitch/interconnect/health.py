"""Whether a trunk answers: OPTIONS at intervals, and a state that one lost message does not change.

RFC 3261 11. One task a trunk, started by `upkeep.py`; routing asks `TrunkStates.usable` and tries a trunk that is
down only where no other is left. It never looks at calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from softswitch.interconnect.peer import Peer

DOWN_AFTER = 2  # checks in a row without an answer
UP_AFTER = 2  # answers in a row, once down
PATIENCE_S = 8.0  # for one answer of one address; retransmissions have been lost by then
# Answers that say that the peer, or what is behind it, is not there; every other final answer is a sign of life.
DEAD = frozenset({408, 502, 503, 504})

log = structlog.get_logger(__name__)


class TrunkStates:
    """Which trunks are up. Implements `routing.trunks.TrunkHealth`: a trunk that nobody checks is up."""

    def __init__(self) -> None:
        self._up: dict[str, bool] = {}
        self._against: dict[str, int] = {}  # checks in a row that contradict the state

    def usable(self, name: str) -> bool:
        """False while the trunk is down."""
        return self._up.get(name, True)

    def seen(self, name: str, alive: bool) -> None:
        """The outcome of one check; a change is logged."""
        up = self._up.setdefault(name, True)
        if alive == up:
            self._against[name] = 0
            return
        self._against[name] = self._against.get(name, 0) + 1
        if self._against[name] >= (DOWN_AFTER if up else UP_AFTER):
            self._up[name], self._against[name] = alive, 0
            (log.info if alive else log.warning)("trunk_up" if alive else "trunk_down", trunk=name)

    def forget(self, name: str) -> None:
        """Nobody checks it any more."""
        self._up.pop(name, None)
        self._against.pop(name, None)

    def all(self) -> Mapping[str, bool]:
        """Every trunk that is checked."""
        return dict(self._up)


async def check_health(peer: Peer, every_s: float, states: TrunkStates) -> None:
    """Check for ever, `every_s` seconds between the end of a check and the next."""
    while True:
        states.seen(peer.name, await answers(peer))
        await asyncio.sleep(every_s)


async def answers(peer: Peer) -> bool:
    """One OPTIONS: whether the peer gives a sign of life."""
    response = await peer.request("OPTIONS", headers=[("Accept", "application/sdp")], patience_s=PATIENCE_S)
    return response.status not in DEAD
