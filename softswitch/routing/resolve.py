"""Who called what becomes a decision: a Route, a question for the extension, or a Rejection with its failure code.

Call treatment "Who reaches whom" and its treatment rows; provisioning interface 2.5, 3.6, 4.5. Called by the call's
story and by `softswitch explain`, which both get the same answer; never writes to the store.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec import Struct, structs

from softswitch.interfaces import (
    Binding,
    BindingStore,
    Decision,
    Mode,
    NeedExtension,
    PrivateNumber,
    Rejection,
    Route,
    Treatment,
)
from softswitch.routing import ax, axb, axe
from softswitch.routing.attempt import SILENT, Attempt, Reached, Trace
from softswitch.routing.dialplan import Dialplan, RouteEntry, TreatmentRule
from softswitch.routing.numbers import INTERNATIONAL, Dialled, classify, normalise, splits, with_extension
from softswitch.routing.trunks import TrunkHealth, as_meant, select_targets


class Resolver:
    """Implements `interfaces.Router`.

    `dialplan` is asked at every call, so that a reload takes effect at once; `clock` gives UTC seconds;
    `max_duration_s` caps every call, 0 none. With `explain` decisions carry their `steps`.
    """

    def __init__(
        self,
        store: BindingStore,
        dialplan: Callable[[], Dialplan],
        clock: Callable[[], float],
        rng: random.Random,
        *,
        health: TrunkHealth | None = None,
        max_duration_s: int = 0,
        explain: bool = False,
    ) -> None:
        self._store = store
        self._dialplan = dialplan
        self._clock = clock
        self._rng = rng
        self._health = health
        self._max_duration_s = max_duration_s
        self._explain = explain

    def resolve(
        self, dialled: str, caller: str, *, digits: str | None = None, trunk: str | None = None
    ) -> Coroutine[Any, Any, Decision]:
        """Decide a call from `caller` to `dialled`; `digits` were keyed, `trunk` (its name) brought the call.

        Bad numbers are a Rejection; StoreError passes through.
        """
        if self._explain:
            return self._explained(dialled, caller, digits, trunk)
        return self._decide(dialled, caller, digits, trunk, SILENT)

    async def _explained(self, dialled: str, caller: str, digits: str | None, trunk: str | None) -> Decision:
        trace = Trace()
        decision = await self._decide(dialled, caller, digits, trunk, trace)
        return structs.replace(decision, steps=tuple(trace.steps))

    async def _decide(self, dialled: str, caller: str, digits: str | None, trunk: str | None, trace: Trace) -> Decision:
        dialplan = self._dialplan()
        dialled, caller, form = as_meant(dialplan.trunks.get(trunk) if trunk else None, dialled, caller)
        calling = normalise(caller, dialplan.numbers, form).number
        caller_class = classify(calling, dialplan.numbers)
        trace.note("Caller {}, that is {} ({}).", caller, calling or "not a number", caller_class)
        number, extension = await self._find_x(normalise(dialled, dialplan.numbers, form), dialled, dialplan, trace)
        if number is None:
            return Rejection(8025, caller=calling)
        if digits is not None and number.app.mode is Mode.AXE:
            extension = digits.rstrip("#")
            trace.note("The caller keyed '{}'.", extension)
        attempt = Attempt(number.app, number.x, calling, caller_class, extension, self._clock(), trace)
        if failure := _barred_caller(attempt, dialplan):
            return attempt.rejected(failure)
        reached = await self._ask_mode(attempt)
        if not isinstance(reached, Reached):
            return structs.replace(reached, language=str(dialplan.treatment_for(number.app.mode).language))
        placement = _Placement(attempt, reached, dialplan, trunk, self._rng, self._health, self._max_duration_s)
        return placement.decide()

    async def _find_x(
        self, beside: Dialled, dialled: str, dialplan: Dialplan, trace: Trace
    ) -> tuple[PrivateNumber | None, str | None]:
        """The X that was dialled, and the extension dialled with it."""
        trace.note("Dialled {}, that is {}.", dialled, beside.number or "not a number")
        for x, behind in splits(beside.number, dialplan.numbers) if beside.number else ():
            number = await self._store.private_number(x)
            # Digits behind an X that has no extensions make it another number.
            if number is None or (behind and number.app.mode is not Mode.AXE):
                continue
            trace.note("X is {}, of app {}, mode {}.", x, number.app.key, number.app.mode)
            extension = (behind or beside.extension) if number.app.mode is Mode.AXE else None
            trace.note("The extension dialled with it: {}.", extension)
            return number, extension
        trace.note("No app owns this number.")
        return None, None

    def _ask_mode(self, attempt: Attempt) -> Awaitable[Reached | NeedExtension | Rejection]:
        if attempt.app.mode is Mode.AXB:
            return axb.decide(attempt, self._store)
        if attempt.app.mode is Mode.AX:
            return ax.decide(attempt, self._store)
        return axe.decide(attempt, self._store)


class _Placement(Struct, frozen=True):
    """The last part: whom the mode reaches is known, may and can we call that number, and how?"""

    attempt: Attempt
    reached: Reached
    dialplan: Dialplan
    trunk: str | None
    rng: random.Random
    health: TrunkHealth | None
    max_duration_s: int

    def decide(self) -> Route | Rejection:
        trace, callee = self.attempt.trace, self.reached.callee
        callee_class = classify(callee, self.dialplan.numbers)
        trace.note("The callee {} is {}.", callee, callee_class)
        if failure := _barred_callee(callee, callee_class, self.dialplan):
            trace.note("The dialplan bars this callee.")
            return self._rejected(failure)
        entry = self.dialplan.route_for(callee, callee_class, self.trunk)
        if entry is None:
            trace.note("No route of the dialplan takes this callee.")
            return self._rejected(7508)
        treatment = self._treatment(entry)
        if treatment.announcement_mandatory and not treatment.announcement:
            trace.note("Route {} mandates an announcement and neither binding nor dialplan has one.", entry.name)
            return self._rejected(7107)
        return self._route(entry, treatment)

    def _rejected(self, failure_code: int) -> Rejection:
        return self.attempt.rejected(failure_code, self.reached.binding, direction=self.reached.direction)

    def _treatment(self, entry: RouteEntry) -> Treatment:
        attempt, binding = self.attempt, self.reached.binding
        rule = self.dialplan.treatment_for(attempt.app.mode, entry.treatment)
        limits = binding.max_duration_s, rule.max_duration_s, self.max_duration_s
        return Treatment(
            announcement=binding.announcement or rule.announcement or None,
            announcement_mandatory=bool(rule.announcement_mandatory),
            ringback=self.reached.ringback,
            connecting=rule.connecting or None if attempt.app.mode is Mode.AXE else None,
            max_duration_s=min(filter(None, limits), default=0),
            last_minute=_last_minute(binding, rule),
            record=attempt.app.recording and (binding.record or bool(rule.record)),
            stereo=bool(rule.stereo),
            language=str(rule.language),
        )

    def _route(self, entry: RouteEntry, treatment: Treatment) -> Route:
        attempt, reached = self.attempt, self.reached
        display = attempt.x
        if attempt.app.mode is Mode.AXE:
            display = with_extension(attempt.x, reached.binding.extension, self.dialplan.numbers)
        targets = select_targets(self.dialplan, entry, reached.callee, display, self.rng, health=self.health)
        attempt.trace.note("Route {} takes the call; the callee sees {}.", entry.name, display)
        attempt.trace.note(
            "Announcement {} (mandatory: {}), ringback {}, recording {}, at most {} s (0: no limit).",
            treatment.announcement,
            treatment.announcement_mandatory,
            treatment.ringback,
            treatment.record,
            treatment.max_duration_s,
        )
        return Route(
            mode=attempt.app.mode,
            direction=reached.direction,
            app_key=attempt.app.key,
            x=attempt.x,
            caller=attempt.caller,
            callee=reached.callee,
            display=display,
            binding=reached.binding,
            targets=targets,
            treatment=treatment,
            extension=reached.extension,
        )


def _last_minute(binding: Binding, rule: TreatmentRule) -> str | None:
    return binding.last_minute_tone or rule.last_minute or None


def _barred_caller(attempt: Attempt, dialplan: Dialplan) -> int:
    """The failure code that keeps this caller out, 0 where none does."""
    barring, failure = dialplan.barring, 0
    if attempt.caller in barring.callers:
        failure = 7005
    elif barring.caller_prefixes and attempt.caller.startswith(barring.caller_prefixes):
        failure = 7500
    elif barring.international_callers and attempt.caller_class == INTERNATIONAL:
        failure = 8042
    if failure:
        attempt.trace.note("The dialplan bars this caller.")
    return failure


def _barred_callee(callee: str, callee_class: str, dialplan: Dialplan) -> int:
    barring = dialplan.barring
    if callee in barring.callees:
        return 7004
    if barring.callee_prefixes and callee.startswith(barring.callee_prefixes):
        return 7500
    return 8043 if barring.international_callees and callee_class == INTERNATIONAL else 0
