"""Keeps us registered with a trunk's registrar: refresh in time, back-off after failures, and a farewell.

RFC 3261 10.2, RFC 5626 4.5 (back-off). One task a trunk, started by `upkeep.py`. It answers challenges through the
peer's account and never stops trying: a registrar that refuses today may be mended tomorrow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from softswitch.errors import SipParseError
from softswitch.interconnect.peer import Peer
from softswitch.sip.grammar import parse_number
from softswitch.sip.headers import parse_name_addr
from softswitch.sip.message import SipResponse
from softswitch.sip.uri import parse_uri

REFRESHED_AT = 0.8  # of what was granted
SHORTEST_S = 5.0  # between two refreshes, whatever a registrar grants
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 1800.0  # after failures: doubled each time
FAREWELL_S = 2.0  # for the answer when we leave
LARGEST_EXPIRES = 2**31 - 1

log = structlog.get_logger(__name__)


class Registration:
    """One address of record at one registrar. `chance` gives 0 to 1 for the jitter of the back-off."""

    def __init__(self, peer: Peer, user: str, expires_s: int, chance: Callable[[], float]) -> None:
        """`user` stands in our Contact, `expires_s` is what we ask for."""
        self._peer, self._user, self._wanted, self._chance = peer, user, expires_s, chance
        self._failures = 0
        self.registered = False
        self._binding: tuple[Peer, float] | None = None  # who we were to the registrar that took it, and when it ends

    def go_on_from(self, earlier: Registration) -> None:
        """What `earlier` had of the same registrar holds until our first answer, and is ours to take back."""
        self.registered, self._binding = earlier.registered, earlier._binding

    async def keep(self) -> None:
        """Register and refresh for ever."""
        while True:
            wait = await self._once()
            await asyncio.sleep(wait)

    async def leave(self) -> None:
        """Take the binding back (RFC 3261 10.2.2), if one still stands; does not wait long for an answer.

        One whose refresh has failed (a registrar that is busy, a new password that is wrong) stands until it expires.
        """
        binding, self._binding, self.registered = self._binding, None, False
        if binding is None or binding[1] <= asyncio.get_running_loop().time():
            return
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._register(0, binding[0])
        except TimeoutError:
            log.warning("not_unregistered", trunk=self._peer.name)

    async def _once(self) -> float:
        """One attempt; seconds until the next."""
        response = await self._register(self._wanted, self._peer)
        shortest = response.seconds("Min-Expires")
        if response.status == 423 and shortest > self._wanted:
            self._wanted = shortest
            response = await self._register(self._wanted, self._peer)
        if 200 <= response.status < 300:
            return self._succeeded(self._granted(response))
        return self._failed(response)

    async def _register(self, expires: int, peer: Peer) -> SipResponse:
        return await peer.request("REGISTER", headers=[("Expires", str(expires))], contact_user=self._user)

    def _succeeded(self, granted: int) -> float:
        if not self.registered:
            log.info("registered", trunk=self._peer.name, expires_s=granted)
        self.registered, self._failures = True, 0
        self._binding = self._peer, asyncio.get_running_loop().time() + granted
        return max(granted * REFRESHED_AT, SHORTEST_S)

    def _failed(self, response: SipResponse) -> float:
        self.registered = False
        longest = min(FIRST_WAIT_S * 2.0 ** min(self._failures, 30), LONGEST_WAIT_S)
        self._failures += 1
        wait = max(longest * (0.5 + self._chance() / 2), min(response.seconds("Retry-After"), LONGEST_WAIT_S))
        log.warning("not_registered", trunk=self._peer.name, status=response.status, again_in_s=round(wait))
        return wait

    def _granted(self, response: SipResponse) -> int:
        """What the registrar says of our Contact, else of all, else what we asked for (10.2.4).

        The list may hold other phones of our account. Where none in it is at our address ours was rewritten on the way:
        then it may be any, and the one that ends first is believed. One that says nothing of itself has what is said of
        all (10.2.1.1).
        """
        of_all = response.seconds("Expires") or self._wanted
        ours, others = list[int](), list[int]()
        for text in response.headers.all("Contact"):
            try:
                contact = parse_name_addr(text)
                uri = parse_uri(contact.uri)
                if uri.user == self._user:
                    said = contact.params.get("expires")
                    expires = parse_number(said, name="expires", largest=LARGEST_EXPIRES) if said else of_all
                    (ours if self._peer.user_agent.is_at(uri.host, uri.port) else others).append(expires)
            except SipParseError:
                continue
        return min(ours or others, default=0) or of_all
