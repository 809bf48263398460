"""Kamailio as the collector that the switch sends its HEP3 to: an independent reader of every chunk.

HEP3 specification, revision 12. Called by conftest.py. What it does with a packet, `collector.cfg` says; here stands
the reading of its log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.interop.kamailio import Kamailio
from tests.interop.message import Seen

CONFIGURATION = Path(__file__).with_name("collector.cfg")
PORT, AGENT, KEY = 9060, 2001, "homer"  # where it listens; what the switch says of itself

_READ = re.compile(
    r"ALERT: <script>: hep (\d) (\d+) (\d+) (\S+) (\S+) (\d+) (\d+) (\d+) (\d+) (\S+) (\S+) ([0-9a-f]+)$", re.M
)


@dataclass(frozen=True, slots=True)
class Captured(Seen):
    """One packet, as Kamailio read it. Addresses are `host:port`; `at` is in UTC epoch seconds."""

    version: int
    family: int
    protocol: int
    source: str
    destination: str
    at: float
    kind: int
    agent: int
    key: str
    correlation: str


class Collector:
    """`with Collector(...) as collector:` reads HEP3 at port 9060 of `address` until the block ends."""

    def __init__(self, address: str, folder: Path) -> None:
        database = folder / "database"
        database.mkdir(parents=True)
        places = {"folder": str(database)}
        self._kamailio = Kamailio("collector", address, folder / "kamailio", places, configuration=CONFIGURATION)

    def __enter__(self) -> Self:
        self._kamailio.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kamailio.__exit__(kind, error, trace)

    def captured(self, correlation: str) -> list[Captured]:
        """Every packet so far of the call whose caller's leg has this Call-ID."""
        return [one for one in map(_captured, _READ.findall(self._kamailio.said())) if one.correlation == correlation]


def _captured(fields: tuple[str, ...]) -> Captured:
    version, family, protocol, source, destination, seconds, microseconds, kind, agent, key, correlation, digits = (
        fields
    )
    text = bytes.fromhex(digits).decode("utf-8", "replace")
    numbers = int(version), int(family), int(protocol)
    at = int(seconds) + int(microseconds) / 1e6
    return Captured(text, *numbers, source, destination, at, int(kind), int(agent), key, correlation)
