"""Starts and ends what each trunk of the dialplan asks for: health checks and registrations.

Called by app.py at the start, at every reload and at the end. It holds the tasks, and knows nothing of SIP itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from softswitch.interconnect.health import TrunkStates, check_health
from softswitch.interconnect.peer import AS_GIVEN, Peer
from softswitch.interconnect.registration import Registration
from softswitch.routing.trunk import Trunk
from softswitch.sip.addresses import Hop, bracketed
from softswitch.sip.digest import Account
from softswitch.sip.grammar import escape
from softswitch.sip.locating import Locating
from softswitch.sip.uri import USER_SAFE
from softswitch.sip.user_agent import Series, UserAgent

Place = tuple[str, str, int, str, str, str]  # what makes two registrations one: where, of whom, and our Contact's user

Spawn = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]


class Upkeep:
    """The trunks that are looked after. Implements `routing.trunks.TrunkHealth`; `states` are what their checks say."""

    def __init__(
        self,
        user_agent: UserAgent,
        chance: Callable[[], float],
        locating: Locating = AS_GIVEN,
        spawn: Spawn | None = None,
    ) -> None:
        """`spawn` starts a task and sees to it that one that dies is told of."""
        self.states = TrunkStates()
        self._spawn = spawn or _unwatched
        self._locating = locating
        self._user_agent, self._chance = user_agent, chance
        self._trunks: dict[str, Trunk] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._registrations: dict[str, Registration] = {}
        self._series: dict[Place, Series] = {}  # of each registration, from its first request to its farewell
        self._leaving: set[asyncio.Task[None]] = set()

    def follow(self, trunks: Mapping[str, Trunk], own_host: str) -> None:
        """From now on these are the trunks; those that did not change go on undisturbed.

        A registration that another trunk goes on with is refreshed by that: a farewell might arrive after it. Until the
        answer it holds, and is taken back like any other.
        """
        earlier = {_place(self._trunks[name]): one for name, one in self._registrations.items()}
        places = {_place(trunk) for trunk in trunks.values() if trunk.register}
        for name, trunk in list(self._trunks.items()):
            if trunks.get(name) != trunk:
                self._leave(name, farewell=_place(trunk) not in places)
        for name, trunk in trunks.items():
            if name not in self._trunks:
                self._keep(trunk, own_host, earlier)

    def usable(self, name: str) -> bool:
        """Whether a trunk is up by its checks, and calls have not found all its addresses dead."""
        trunk = self._trunks.get(name)
        if trunk is None:
            return True
        return self.states.usable(name) and not self._locating.shuns(Hop(trunk.transport, trunk.host, trunk.port))

    def registered(self) -> Mapping[str, bool]:
        """Every trunk that we register with."""
        return {name: one.registered for name, one in self._registrations.items()}

    async def stop(self) -> None:
        """End all checks and take all registrations back."""
        for name in list(self._trunks):
            self._leave(name, farewell=True)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _keep(self, trunk: Trunk, own_host: str, earlier: Mapping[Place, Registration]) -> None:
        self._trunks[trunk.name] = trunk
        peer = self._peer(trunk, own_host)
        if trunk.health_s:
            self._begin(trunk.name, "health of", check_health(peer, trunk.health_s, self.states))
        if trunk.register:
            registration = Registration(peer, _contact_user(trunk), trunk.register_expires_s, self._chance)
            if (before := earlier.get(_place(trunk))) is not None:
                registration.go_on_from(before)
            self._registrations[trunk.name] = registration
            self._begin(trunk.name, "registration with", registration.keep())

    def _leave(self, name: str, *, farewell: bool) -> None:
        place = _place(self._trunks.pop(name))
        for task in self._tasks.pop(name, []):
            task.cancel()
        self.states.forget(name)
        registration = self._registrations.pop(name, None)
        if registration is not None and farewell:
            self._series.pop(place, None)
            leaving = asyncio.get_running_loop().create_task(registration.leave())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def _peer(self, trunk: Trunk, own_host: str) -> Peer:
        account = account_of(trunk)
        user, host = (trunk.username, trunk.uri_host or trunk.host) if trunk.register else ("softswitch", own_host)
        hop = Hop(trunk.transport, trunk.host, trunk.port)
        identity = f"sip:{escape(user, USER_SAFE)}@{bracketed(host)}"
        return Peer(
            trunk.name,
            hop,
            identity,
            self._user_agent,
            account,
            self._series.setdefault(_place(trunk), Series()) if trunk.register else Series(),
            locating=self._locating,
            uri_host=trunk.uri_host,
            tls_name=trunk.tls_name,
        )

    def _begin(self, name: str, what: str, story: Coroutine[Any, Any, None]) -> None:
        self._tasks.setdefault(name, []).append(self._spawn(f"{what} {name}", story))


def _unwatched(name: str, story: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(story, name=name)


def _contact_user(trunk: Trunk) -> str:
    return trunk.register_user or trunk.username


def _place(trunk: Trunk) -> Place:
    return trunk.transport, trunk.host, trunk.port, trunk.uri_host, trunk.username, _contact_user(trunk)


def account_of(trunk: Trunk | None) -> Account | None:
    """Who we are to this trunk, None where it never asks."""
    return Account(trunk.username, trunk.password.value) if trunk is not None and trunk.username else None
