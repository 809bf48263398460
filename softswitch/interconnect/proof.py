"""Asks the INVITEs of a trunk with `auth = "digest"` for its password, and tells metrics and the log what came of it.

RFC 3261 22.4. Called by the user agent before anything else is done about an INVITE. The arithmetic and the memory are
`sip.digest_server`'s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog

from softswitch.routing.trunk import Trunk
from softswitch.sip.addresses import Hop
from softswitch.sip.digest import Account
from softswitch.sip.digest_server import Challenger, Protected
from softswitch.sip.message import SipRequest
from softswitch.sip.strangers import network_of

BELIEVED_S = 3600.0  # since the last right password
REMEMBERED = 4096  # addresses

log = structlog.get_logger(__name__)


class Proof:
    """Implements `sip.core.Authenticate`. `count` is told (trunk, verdict), `ban` who guessed `ban_after` times."""

    def __init__(
        self,
        trunk_at: Callable[[Hop], Trunk],
        challenger: Challenger,
        count: Callable[[str, str], None],
        *,
        ban: Callable[[str], None],
        ban_after: int = 0,
    ) -> None:
        """`ban_after` 0 bans nobody."""
        self._trunk_at, self._challenger, self._count = trunk_at, challenger, count
        self._ban, self._ban_after = ban, ban_after
        self._proved: OrderedDict[str, float] = OrderedDict()  # addresses, and when they last knew the password

    def __call__(self, request: SipRequest, source: Hop, now: float) -> tuple[int, Sequence[str]] | None:
        """The answer where the INVITE may not go on."""
        trunk = self._trunk_at(source)
        if trunk.auth != "digest":
            return None
        protected = Protected(Account(*trunk.proves), trunk.realm, trunk.auth_algorithms)
        network = network_of(source.host)  # of IPv6 one attacker has more addresses than anybody can remember
        outcome = self._challenger.judge(request, network, protected, now)
        self._count(trunk.name, outcome.verdict)
        if outcome.verdict == "accepted":
            self._remember(network, now)
        if outcome.verdict == "wrong":
            log.warning("digest_wrong", trunk=trunk.name, source=source.host, guesses=outcome.guesses)
        if 0 < self._ban_after <= outcome.guesses:
            self._count(trunk.name, "banned")
            log.warning("digest_banned", trunk=trunk.name, source=source.host, guesses=outcome.guesses)
            self._ban(source.host)
        return (outcome.status, outcome.lines) if outcome.status else None

    def unproved(self, source: Hop, now: float) -> bool:
        """Whether it has yet to show, for the first time or anew, that it is the trunk and nobody else."""
        if self._trunk_at(source).auth != "digest":
            return False
        return now - self._proved.get(network_of(source.host), -BELIEVED_S) >= BELIEVED_S

    def _remember(self, network: str, now: float) -> None:
        self._proved[network] = now
        self._proved.move_to_end(network)
        if len(self._proved) > REMEMBERED:
            self._proved.popitem(last=False)
