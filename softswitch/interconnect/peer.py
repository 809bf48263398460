"""A trunk's far end as health checks and registrations speak to it.

RFC 3261 8.1. Made by `upkeep.py` from a trunk of the dialplan; it only addresses requests and sends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from softswitch.sip.addresses import Hop, bracketed
from softswitch.sip.digest import Account
from softswitch.sip.locating import AsGiven, Locating
from softswitch.sip.lone_request import Series
from softswitch.sip.message import SipResponse
from softswitch.sip.session import local_response
from softswitch.sip.user_agent import UserAgent

AS_GIVEN = AsGiven()


@dataclass(frozen=True, slots=True)
class Peer:
    """`host` is also the domain of the identities there; `identity` is our own URI towards it."""

    name: str
    hop: Hop
    identity: str
    user_agent: UserAgent
    account: Account | None = None
    series: Series = field(default_factory=Series)
    locating: Locating = AS_GIVEN
    uri_host: str = ""  # host of its URI; empty: the hop's
    tls_name: str = ""  # that its certificate must name; empty: the host

    @property
    def uri(self) -> str:
        """Its own URI, as Request-URI."""
        if self.uri_host:
            return f"sip:{bracketed(self.uri_host)}"
        transport = "" if self.hop.transport in ("udp", "auto") else f";transport={self.hop.transport}"
        port = f":{self.hop.port}" if self.hop.port else ""
        return f"sip:{bracketed(self.hop.host)}{port}{transport}"

    async def request(
        self,
        method: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        contact_user: str | None = None,
        patience_s: float | None = None,
    ) -> SipResponse:
        """Send a request about ourselves (From and To differ only for OPTIONS) and return its final response.

        Goes to the trunk's next address after 503 and 408, which an address that is silent for `patience_s` gets from
        us; a trunk without any address gets 503.
        """
        response = local_response(503, "No Address")
        for hop in await self.locating.locate(self.hop):
            try:
                async with asyncio.timeout(patience_s):
                    response = await self._request(hop, method, headers, contact_user)
            except TimeoutError:
                response = local_response(408)
            if response.status not in (408, 503):
                self.locating.answered(hop)
                break
            self.locating.failed(hop, f"{method}: {response.status}", response.seconds("Retry-After"))
        return response

    async def _request(
        self, hop: Hop, method: str, headers: Sequence[tuple[str, str]], contact_user: str | None
    ) -> SipResponse:
        to = self.identity if method == "REGISTER" else self.uri
        return await self.user_agent.request(
            hop._replace(name=self.tls_name or hop.name),
            method,
            request_uri=self.uri,
            from_=f"<{self.identity}>",
            to=f"<{to}>",
            headers=headers,
            contact_user=contact_user,
            series=self.series if method == "REGISTER" else None,
            account=self.account,
        )
