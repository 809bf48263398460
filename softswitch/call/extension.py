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

from msgspec.structs import replace

from softswitch.call.cdr import CallRecord
from softswitch.call.inbound_leg import InboundLeg
from softswitch.call.services import CallServices
from softswitch.errors import FAILURES, CallRejected
from softswitch.interfaces import NeedExtension, Playback, Rejection, Route

TERMINATOR = "#"
UNKNOWN_EXTENSION = 8022


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
    playback: Playback | None = None
    patience_s = services.settings.first_digit_s
    if prompts:
        playback = services.media.play([a.endpoint], [prompt.path for prompt in prompts])
        patience_s += sum(prompt.duration_s for prompt in prompts)
    keyed = ""
    while len(keyed) < need.digits:
        try:
            async with asyncio.timeout(patience_s):
                digit = await digits.get()
        except TimeoutError:
            break
        if digit == TERMINATOR and not keyed:
            continue  # it belongs to the try before: the last of its digits had ended that one already
        if playback is not None:
            playback.stop()
        if digit == TERMINATOR:
            break
        keyed += digit
        patience_s = services.settings.inter_digit_s
    return keyed
