"""What every call is given to work with, and the few settings that shape its story.

Built once by `app.py` (and by tests), read by every chapter of a call. Holds no state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from softswitch.call.admission import Admission, Limit
from softswitch.call.cdr import CdrWriter
from softswitch.call.registry import CallRegistry
from softswitch.errors import FAILURES
from softswitch.interfaces import BindingStore, CallMetrics, MediaDriver, Prompt, PromptCatalogue, Route, Router
from softswitch.routing.trunk import NO_TRUNK, Trunk
from softswitch.sip.addresses import Hop
from softswitch.sip.locating import AsGiven, Locating
from softswitch.sip.strangers import network_of
from softswitch.sip.user_agent import Account, UserAgent

AS_GIVEN = AsGiven()


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Times in seconds. `identity_host` is the host part of our own SIP identities towards either side."""

    identity_host: str = "127.0.0.1"
    host_name: str = ""
    first_digit_s: float = 10.0
    inter_digit_s: float = 4.0
    extension_tries: int = 3
    warning_s: float = 60.0
    recording_directory: str = "var/recordings"
    language: str = "zh-CN"
    stereo: bool = False
    max_calls: int = 0  # 0: no limit, here and below
    calls_per_second: float = 0.0
    max_calls_per_app: int = 0
    max_calls_per_x: int = 0
    max_calls_per_source: int = 0
    calls_per_second_per_source: float = 0.0


@dataclass(frozen=True, slots=True)
class CallServices:
    """The parts of the switch that calls use, behind their Protocols where they are exchangeable."""

    user_agent: UserAgent
    router: Router
    store: BindingStore
    media: MediaDriver
    prompts: PromptCatalogue
    cdrs: CdrWriter
    admission: Admission
    registry: CallRegistry
    metrics: CallMetrics
    wall_clock: Callable[[], float]
    trunk_of: Callable[[Hop], str]  # name of the trunk that a hop belongs to, "" where unknown
    limits_of: Callable[[str], Sequence[Limit]]  # limits that a call over this trunk counts against
    own_hosts: frozenset[str] = frozenset()  # our own addresses: both legs may see them
    settings: CallSettings = CallSettings()
    account_of: Callable[[str], Account | None] = lambda trunk: None  # who we are to a trunk that challenges
    trunk: Callable[[str], Trunk] = lambda trunk: NO_TRUNK  # what the dialplan says of a trunk
    locating: Locating = AS_GIVEN  # where trunks are

    def foreign(self, host: str, towards: str) -> frozenset[str]:
        """The address of one leg's far end as the other leg, whose far end is `towards`, must not see it.

        A domain that we have a name in ourselves is no secret.
        """
        if host == towards or host in self.own_hosts:
            return frozenset()
        if not host[-1:].isdigit() and any(own.lower().endswith(f".{host.lower()}") for own in self.own_hosts):
            return frozenset()
        return frozenset({host})

    def foreign_of(self, hosts: Iterable[str], towards: str) -> frozenset[str]:
        """Those of `hosts` that `foreign` would hide."""
        return frozenset([host for host in hosts if self.foreign(host, towards)])

    def arrival_limits(self, trunk: str, source: Hop) -> list[Limit]:
        """What a call that came in by `trunk` from `source` counts against at once."""
        settings = self.settings
        limits = [Limit("switch", settings.max_calls, settings.calls_per_second), *self.limits_of(trunk)]
        if settings.max_calls_per_source or settings.calls_per_second_per_source:
            key = "source", network_of(source.host)
            limits.append(Limit(key, settings.max_calls_per_source, settings.calls_per_second_per_source))
        return limits

    def route_limits(self, route: Route) -> list[Limit]:
        """What it counts against when its app and X are known."""
        return [
            Limit(("app", route.app_key), self.settings.max_calls_per_app, failure=FAILURES[7002]),
            Limit(("x", route.x), self.settings.max_calls_per_x, failure=FAILURES[8049]),
        ]

    def prompt(self, name: str | None, language: str = "") -> Prompt | None:
        """The prompt called `name`, None where there is none or none is named."""
        return None if not name else self.prompts.find(name, language or self.settings.language)
