"""Asks DNS, keeps what calls will need ahead of them, and remembers which addresses failed.

RFC 3263, by dnspython. Called by the call layer before an INVITE, by the checks of trunks, and by app.py, which says
what to keep known. The order, the memory and the penalties are locating.py's; this is its clock, tasks and sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.resolver
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from softswitch.sip.addresses import Hop
from softswitch.sip.locating import (
    LONGEST_TTL_S,
    NEGATIVE_TTL_S,
    Answer,
    Memory,
    Naptr,
    PenaltyBox,
    Question,
    Record,
    Records,
    Srv,
    answer_of,
    at_address,
    is_numeric,
    look_up,
    read_hosts,
)

log = logging.getLogger(__name__)

HOSTS_FILE = "/etc/hosts"
ASK_S = 3.0  # for one question, all repetitions and servers included
SHORTEST_WAIT_S = 1.0  # between two looks at a name that is kept known
MOST_LOOK_UPS = 64  # ahead of dialogs, at once
FIRST_CALL_S = 1.5  # that a call waits for a name that nobody has asked for before

Ask = Callable[[Question], Awaitable[Answer]]


class DnsFailed(Exception):
    """DNS gave no answer: neither records nor that there are none."""


class Dns:
    """The hosts file, then DNS itself. `servers` are (address, port); none: those of the system."""

    def __init__(
        self, servers: Sequence[tuple[str, int]] = (), *, timeout_s: float = ASK_S, hosts: str = HOSTS_FILE
    ) -> None:
        self._hosts = hosts
        self._servers, self._timeout_s = servers, timeout_s
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def __call__(self, question: Question) -> Answer:
        """Raises DnsFailed."""
        written = answer_of(self._read_hosts(), question)
        if written is not None:
            return written
        try:
            found = await self._configured().resolve(
                question.name, question.kind, raise_on_no_answer=False, lifetime=self._timeout_s, search=False
            )
        except dns.resolver.NXDOMAIN:
            return Answer((), NEGATIVE_TTL_S)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise DnsFailed(str(error) or type(error).__name__) from error
        records = [_record(one) for one in found.rrset or ()]
        return Answer(tuple(one for one in records if one is not None), float(found.chaining_result.minimum_ttl))

    def _read_hosts(self) -> dict[str, tuple[str, ...]]:
        """The file as it is now; questions are rare."""
        try:
            return read_hosts(Path(self._hosts).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return {}

    def _configured(self) -> dns.asyncresolver.Resolver:
        """The resolver; the system's settings are read when there is something to ask."""
        if self._resolver is None:
            self._resolver = resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                resolver.nameservers = [dns.nameserver.Do53Nameserver(*one) for one in self._servers]
        return self._resolver


def _record(data: dns.rdata.Rdata) -> Record | None:
    """What we use of a record; None for a NAPTR record that leads to no SRV name."""
    if isinstance(data, NAPTR):
        if data.flags.lower() != b"s":
            return None
        return Naptr(data.order, data.preference, data.service.decode("ascii", "replace"), _name(data.replacement))
    if isinstance(data, SRV):
        return Srv(data.priority, data.weight, data.port, _name(data.target))
    return data.to_text()


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=len(name) > 1)


class Locator:
    """Implements `locating.Locating` for one switch. Names that `follow` was told are known before anybody asks.

    `serves` tells whether we have a listener for a hop, `counts` is filled with what happens.
    """

    def __init__(
        self,
        ask: Ask,
        serves: Callable[[Hop], bool],
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
        first_call_s: float = FIRST_CALL_S,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.memory = Memory(clock)
        self.penalties = PenaltyBox(clock)
        self._ask, self._serves, self._chance, self._first_call_s = ask, serves, chance, first_call_s
        self._followed: dict[Hop, asyncio.Task[None]] = {}
        self._ahead: dict[Hop, asyncio.Task[tuple[list[Hop], float]]] = {}
        self._asking: dict[Question, asyncio.Task[Records]] = {}

    async def locate(self, wanted: Hop) -> Sequence[Hop]:
        """See `Locating`. Waits only where nothing is known, and never for long."""
        if is_numeric(wanted.host):  # nothing to ask, nothing to wait for
            hops = at_address(wanted, self._serves)
        else:
            try:
                async with asyncio.timeout(self._first_call_s):
                    hops, _ = await self._look_up(wanted)
            except TimeoutError:
                self.counts["late"] += 1
                log.warning("DNS is too slow: a call to %s does not wait longer", wanted.host)
                return []
            hops = self.penalties.last(hops)
        if not hops:
            self.counts["unknown"] += 1
        return hops

    def known(self, wanted: Hop) -> list[Hop]:
        """What is known now, best first, without waiting; what is not is asked for, to be known the next time."""
        look, records = look_up(wanted, self._serves, self._chance), None
        while True:
            try:
                question = next(look) if records is None else look.send(records)
            except StopIteration as found:
                return self.penalties.last(found.value)
            known = self.memory.recall(question)
            if known is None:
                self._look_up_ahead(wanted)
                return []
            if known[1] <= 0:
                self._asks(question)
            records = known[0]

    def _look_up_ahead(self, wanted: Hop) -> None:
        if wanted not in self._ahead and len(self._ahead) < MOST_LOOK_UPS:
            task = self._ahead[wanted] = asyncio.get_running_loop().create_task(self._look_up(wanted))
            task.add_done_callback(lambda _: self._ahead.pop(wanted))

    def answered(self, hop: Hop) -> None:
        """See `Locating`."""
        if self.penalties.release(hop):
            self.counts["recovered"] += 1
            log.info("%s:%d answers again", hop.host, hop.port)

    def shuns(self, wanted: Hop) -> bool:
        """See `Locating`. Asked for each call that may go elsewhere, so nothing is waited for."""
        if self.penalties.is_empty:  # nearly always
            return False
        known = self.known(wanted)
        return bool(known) and all(map(self.penalties.shuns, known))

    def failed(self, hop: Hop, why: str, for_s: float = 0, *, dead: bool = False) -> None:
        """See `Locating`."""
        known = self.penalties.holds(hop)
        seconds = self.penalties.put(hop, for_s, dead=dead)
        self.counts["penalised"] += 1
        level = logging.INFO if known else logging.WARNING
        log.log(level, "%s:%d fails (%s): used last for %d s", hop.host, hop.port, why, seconds)

    def follow(self, wanted: Iterable[Hop]) -> None:
        """From now on these are the names to keep known, no others."""
        named = {one for one in wanted if not is_numeric(one.host)}
        for gone in self._followed.keys() - named:
            self._followed.pop(gone).cancel()
        for new in named - self._followed.keys():
            self._followed[new] = asyncio.get_running_loop().create_task(self._keep_known(new))

    async def stop(self) -> None:
        """Ask nothing more."""
        self.follow([])
        tasks = [*self._ahead.values(), *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_known(self, wanted: Hop) -> None:
        before: set[Hop] | None = None
        while True:
            hops, holds_s = await self._look_up(wanted, ahead=True)
            if set(hops) != before:
                before = set(hops)
                where = ", ".join(f"{hop.transport}:{hop.host}:{hop.port}" for hop in hops)
                log.log(logging.INFO if hops else logging.ERROR, "%s is at %s", wanted.host, where or "no address")
            await asyncio.sleep(holds_s)

    async def _look_up(self, wanted: Hop, *, ahead: bool = False) -> tuple[list[Hop], float]:
        """The hops, and for how many seconds all that was asked for them holds."""
        look, holds_s, records = look_up(wanted, self._serves, self._chance), LONGEST_TTL_S, None
        while True:
            try:
                question = next(look) if records is None else look.send(records)
            except StopIteration as found:
                return found.value, holds_s
            records = await self._records(question, ahead)
            known = self.memory.recall(question)
            holds_s = min(holds_s, max(known[1], SHORTEST_WAIT_S)) if known else holds_s

    async def _records(self, question: Question, ahead: bool) -> Records:
        """What is known, else what DNS says. Where what is known is stale, only `ahead` waits for DNS."""
        known = self.memory.recall(question)
        if known is not None and (known[1] > 0 or not ahead):
            if known[1] <= 0:
                self.counts["stale"] += 1
                self._asks(question)
            return known[0]
        return await asyncio.shield(self._asks(question))

    def _asks(self, question: Question) -> asyncio.Task[Records]:
        """The task that asks it: one, however many want to know."""
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.get_running_loop().create_task(self._ask_dns(question))
            task.add_done_callback(lambda _: self._asking.pop(question))
        return task

    async def _ask_dns(self, question: Question) -> Records:
        self.counts["asked"] += 1
        try:
            answer = await self._ask(question)
        except DnsFailed as error:
            self.counts["failed"] += 1
            log.warning("DNS fails for %s %s: %s", question.name, question.kind, error)
            self.memory.put_off(question)
            known = self.memory.recall(question)
            return known[0] if known else ()
        self.memory.keep(question, answer)
        return answer.records
