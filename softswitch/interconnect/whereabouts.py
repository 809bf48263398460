"""Which trunk an address belongs to: as a source of messages, or as the place where we reach it.

RFC 3263 4. Called by app.py for every message that comes, by calls and by traces. What DNS says counts for where we
send, never for whose word is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from softswitch.routing.dialplan import Dialplan
from softswitch.routing.trunk import NO_TRUNK, numeric
from softswitch.sip.addresses import Hop
from softswitch.sip.locating import is_numeric

SOURCES_KEPT = 4096  # addresses of which it is remembered whether they are a trunk's


class Whereabouts:
    """By the dialplan of the moment; `known` tells what is known of a name's addresses."""

    def __init__(self, dialplan: Callable[[], Dialplan], known: Callable[[Hop], Sequence[Hop]]) -> None:
        self._dialplan, self._known = dialplan, known
        self._asked: Dialplan | None = None  # the one that `_names` are of
        self._names: dict[Hop, str] = {}

    def trunk_of(self, hop: Hop) -> str:
        """Name of the trunk that sends from `hop`, "" for a stranger."""
        if self._dialplan() is self._asked:  # asked for every message, so remembered
            name = self._names.get(hop)
            if name is not None:
                return name
        return self._look_up(hop)

    def _look_up(self, hop: Hop) -> str:
        now = self._dialplan()
        if now is not self._asked or len(self._names) >= SOURCES_KEPT:
            self._asked, self._names = now, {}
        trunk = now.trunk_of(hop.host, hop.port, hop.transport)
        name = self._names[hop] = "" if trunk is None else trunk.name
        return name

    def admits(self, hop: Hop, names: frozenset[str] | None) -> bool:
        """Whether who connects by TLS from `hop` is whom its certificate names, None where it has shown none.

        A trunk with `tls_name` must show one for that; any other TLS trunk one for its `host`, where it shows one.
        """
        trunk = self._dialplan().trunks.get(self.trunk_of(hop), NO_TRUNK)
        if names is None:
            return not trunk.tls_name
        wanted = trunk.tls_name or (trunk.host if trunk.transport == "tls" else "")
        address = numeric(wanted)
        return not wanted or (wanted.lower() if address is None else str(address)) in names

    def trunk_at(self, hop: Hop) -> str:
        """Name of the trunk that we reach at `hop`, by its address or one that its name has now, else of `trunk_of`."""
        at = hop.host, hop.port
        for trunk in self._dialplan().trunks.values():
            place = Hop(trunk.transport, trunk.host, trunk.port)
            places = [place] if is_numeric(trunk.host) else self._known(place)
            if at in [(one.host, one.port) for one in places]:
                return trunk.name
        return self.trunk_of(hop)
