"""A trunk's far end as health checks and registrations speak to it.

RFC 3261 8.1. Made by `upkeep.py` from a trunk of the dialplan; it only addresses requests and sends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from softswitch.sip.addresses import Hop, bracketed
from softswitch.sip.digest import Account
from softswitch.sip.lone_request import Series
from softswitch.sip.message import SipResponse
from softswitch.sip.user_agent import UserAgent


@dataclass(frozen=True, slots=True)
class Peer:
    """`host` is also the domain of the identities there; `identity` is our own URI towards it."""

    name: str
    hop: Hop
    identity: str
    user_agent: UserAgent
    account: Account | None = None
    series: Series = field(default_factory=Series)

    @property
    def uri(self) -> str:
        """Its own URI, as Request-URI."""
        transport = "" if self.hop.transport == "udp" else f";transport={self.hop.transport}"
        return f"sip:{bracketed(self.hop.host)}:{self.hop.port}{transport}"

    async def request(
        self, method: str, *, headers: Sequence[tuple[str, str]] = (), contact_user: str | None = None
    ) -> SipResponse:
        """Send a request about ourselves (From and To differ only for OPTIONS) and return its final response."""
        to = self.identity if method == "REGISTER" else self.uri
        return await self.user_agent.request(
            self.hop,
            method,
            request_uri=self.uri,
            from_=f"<{self.identity}>",
            to=f"<{to}>",
            headers=headers,
            contact_user=contact_user,
            series=self.series if method == "REGISTER" else None,
            account=self.account,
        )
