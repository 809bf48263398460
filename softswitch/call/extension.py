"""Answers the caller of a shared X, asks for the extension and collects it.

Call treatment, row "AXE collection"; provisioning interface section 12 (digit count or `#`, 10 s to the first digit,
4 s between digits, 3 tries). Called by the story; digits come by RFC 4733 or SIP INFO.

    caller            switch
      |     INVITE      |
      |---------------->|
      | 200, prompt     |   digits cut the prompt short; enough of them, `#` or a pause end the try
      |<----------------|
      | 1 2 3 4         |
      |---------------->|   unknown: invalid_extension and the prompt again
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from softswitch.call.cdr import CallRecord
from softswitch.call.inbound_leg import InboundLeg
from softswitch.call.services import CallServices
from softswitch.errors import FAILURES, CallRejected
from softswitch.interfaces import (
    MediaDriver,
    MediaEndpoint,
    NeedExtension,
    Playback,
    PlayReport,
    Rejection,
    Route,
)

TERMINATOR = "#"
UNKNOWN_EXTENSION = 8022
QUESTION_TRIES = 2  # a media restart in the middle of it


async def collect_extension(a: InboundLeg, need: NeedExtension, record: CallRecord, services: CallServices) -> Route:
    """The route that the keyed extension leads to; raises CallRejected after the last try."""
    record.collecting, record.state = True, "collecting"
    await a.answer()
    record.moment("answered_in_at")
    digits: asyncio.Queue[str] = asyncio.Queue()
    a.on_digit = lambda digit, via: digits.put_nowait(digit)
    prompts = [need.prompt]
    left = services.settings.extension_tries
    while True:
        left -= 1
        keyed = await _one_try(a, digits, prompts, need, services)
        decision = await services.router.resolve(need.x, need.caller, digits=keyed, trunk=record.trunk_in)
        if isinstance(decision, Route):
            record.collecting = False
            return decision
        assert isinstance(decision, Rejection)
        retry = left > 0 and (not keyed or decision.failure_code == UNKNOWN_EXTENSION)
        if not retry:
            record.decided(replace(decision, app_key=need.app_key, x=need.x, caller=need.caller))
            record.collecting = False
            raise CallRejected(FAILURES[decision.failure_code], tone=decision.tone, language=decision.language)
        prompts = [need.invalid_prompt, need.prompt] if keyed else [need.prompt]


async def _one_try(
    a: InboundLeg, digits: asyncio.Queue[str], names: list[str], need: NeedExtension, services: CallServices
) -> str:
    """Play the prompts and collect as many digits as are needed; "" where none was keyed."""
    prompts = [prompt for name in names if (prompt := services.prompt(name, need.language)) is not None]
    assert a.endpoint is not None
    patience_s = services.settings.first_digit_s + sum(prompt.duration_s for prompt in prompts)
    keyed = ""
    with _Question(services.media, a.endpoint, [prompt.path for prompt in prompts]) as question:
        while len(keyed) < need.digits:
            try:
                async with asyncio.timeout(patience_s):
                    digit = await digits.get()
            except TimeoutError:
                break
            if digit == TERMINATOR and not keyed:
                continue  # it belongs to the try before: the last of its digits had ended that one already
            question.stop()
            if digit == TERMINATOR:
                break
            keyed += digit
            patience_s = services.settings.inter_digit_s
    return keyed


class _Question:
    """The prompts of one try; asked once more where media has died and come back in the middle of them."""

    def __init__(self, media: MediaDriver, endpoint: MediaEndpoint, paths: Sequence[str]) -> None:
        self._media, self._endpoint, self._paths = media, endpoint, paths
        self._playback: Playback | None = None
        self._left = QUESTION_TRIES if paths else 0

    def __enter__(self) -> _Question:
        self._ask()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """A key was pressed, or the try is over."""
        self._left = 0
        if self._playback is not None:
            self._playback.stop()

    def _ask(self) -> None:
        if self._left:
            self._left -= 1
            self._playback = self._media.play([self._endpoint], self._paths)
            self._playback.finished.add_done_callback(self._asked)

    def _asked(self, played: asyncio.Future[tuple[PlayReport, ...]]) -> None:
        unheard = played.cancelled() or played.exception() is not None  # nor would it be, another time
        if not unheard and not all(report.completed for report in played.result()):
            self._ask()
