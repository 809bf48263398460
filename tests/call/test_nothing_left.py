"""Five hundred calls that end in every way: not one object of a call is left, even with the collector off.

What reference counts alone do not free waits for a full collection, which a busy switch runs once in hours: memory
would grow until then. Issue "SIP that carriers trust", "no task, port or transaction left".
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from softswitch.call.bridge import Talk
from softswitch.call.cdr import CallRecord
from softswitch.call.dial import CallerHears
from softswitch.call.inbox import Inbox
from softswitch.call.leak_guard import LeakGuard
from softswitch.call.leg import Leg
from softswitch.call.renegotiate import Partner, Renegotiations
from softswitch.call.supervision import Supervision
from softswitch.interfaces import Route
from softswitch.media_drivers.null import NullEndpoint, NullPlayback, NullRecording
from softswitch.sip.answer_repeater import AnswerRepeater
from softswitch.sip.compose import Reply
from softswitch.sip.dialog import Dialog
from softswitch.sip.in_dialog import InDialogRequest, OutgoingRequest
from softswitch.sip.provisional import EarlyDialog, ReliableProvisionals
from softswitch.sip.session import Session
from softswitch.sip.session_timer import SessionTimer
from softswitch.sip.transaction import Transaction
from tests.support.calls import SWITCH, Lab, play, sdp

OF_SIP = (Session, Transaction, Dialog, Reply, SessionTimer, AnswerRepeater, InDialogRequest, OutgoingRequest)
RELIABLE = (ReliableProvisionals, EarlyDialog)
OF_THE_STORY = (Leg, CallRecord, Talk, Supervision, CallerHears, LeakGuard, Route, Inbox, Partner, Renegotiations)
OF_MEDIA = (NullEndpoint, NullPlayback, NullRecording)
OF_A_CALL = (*OF_SIP, *RELIABLE, *OF_THE_STORY, *OF_MEDIA, asyncio.Task, asyncio.TimerHandle)
ALL_OVER_S = 100.0  # every timer of every transaction, and of the session


def of_calls() -> Counter[str]:
    """How many objects there are that belong to one call each."""
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, OF_A_CALL))


async def talked_and_ended_by_the_caller(lab: Lab) -> None:
    await lab.establish()
    await lab.hang_up()


async def talked_held_and_ended_by_the_callee(lab: Lab) -> None:
    await lab.establish()
    lab.caller.send(lab.caller.request("INVITE", body=sdp(lab.caller.address[0], direction="sendonly", version=2)))
    held = await lab.callee.receive_request("INVITE")
    lab.callee.send(lab.callee.response(held, 200, body=sdp(lab.callee.address[0], direction="recvonly", version=2)))
    await lab.callee.receive("ACK")
    await lab.caller_answered()
    await lab.hang_up(lab.callee)


async def cancelled(lab: Lab) -> None:
    lab.dial()
    invite = await lab.ring()
    await lab.caller.receive_response(180, ignoring=(100,))
    lab.caller.send(lab.caller.cancel())
    await lab.caller.receive_response(200, ignoring=(487,))
    lab.callee.send(lab.callee.response(await lab.callee.receive_request("CANCEL"), 200))
    lab.callee.send(lab.callee.response(invite, 487))


async def cancelled_and_nobody_acknowledges(lab: Lab) -> None:
    lab.dial()
    await lab.ring()
    await lab.caller.receive_response(180, ignoring=(100,))
    lab.caller.send(lab.caller.cancel())


async def busy(lab: Lab) -> None:
    lab.dial()
    lab.callee.send(lab.callee.response(await lab.callee.receive_request("INVITE"), 486))
    await lab.callee.receive("ACK")
    await lab.refused(486)


async def answered_by_the_second_target(lab: Lab) -> None:
    lab.dial()
    lab.callee.send(lab.callee.response(await lab.callee.receive_request("INVITE"), 503))
    await lab.callee.receive("ACK")
    await lab.pick_up(await lab.ring(lab.second), lab.second)
    await lab.caller_answered()
    await asyncio.sleep(2.0)
    lab.caller.send(lab.caller.request("BYE"))
    await lab.answer_bye(lab.second)


async def unknown_number(lab: Lab) -> None:
    lab.dial("+8617000009999")
    await asyncio.sleep(3.0)
    lab.caller.send(lab.caller.cancel())


async def silent_callee(lab: Lab) -> None:
    lab.dial()


async def rung_in_vain(lab: Lab) -> None:
    lab.dial()
    invite = await lab.ring()
    lab.callee.send(lab.callee.response(await lab.callee.receive_request("CANCEL"), 200))
    lab.callee.send(lab.callee.response(invite, 487))


async def never_acknowledged(lab: Lab) -> None:
    lab.dial()
    await lab.pick_up(await lab.ring())


async def useless_answer(lab: Lab) -> None:
    lab.dial()
    await lab.pick_up(await lab.ring(), body=b"nonsense")


async def no_codec(lab: Lab) -> None:
    lab.dial(body=sdp(lab.caller.address[0], codecs="96"))


KINDS: list[Callable[[Lab], Awaitable[None]]] = [
    talked_and_ended_by_the_caller,
    talked_held_and_ended_by_the_callee,
    cancelled,
    cancelled_and_nobody_acknowledges,
    busy,
    answered_by_the_second_target,
    unknown_number,
    silent_callee,
    rung_in_vain,
    never_acknowledged,
    useless_answer,
    no_codec,
]


async def _call(lab: Lab, kind: Callable[[Lab], Awaitable[None]]) -> None:
    """One call, and the time until all of it is over; the peers forget it too."""
    await kind(lab)
    await asyncio.sleep(2 * ALL_OVER_S)
    for phone in (lab.caller, lab.callee, lab.second):
        phone.pending()
        phone.fresh()
        phone.source = SWITCH
    for told in (lab.records.opened, lab.records.closed, lab.records.written, lab.media.commands, lab.metrics.ended):
        told.clear()


def _is_all_quiet(lab: Lab) -> bool:
    core = lab.user_agent.core
    return not (core.transactions or core.sessions or lab.media.endpoints or len(lab.registry))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nothing_is_left_of_a_call(kind: Callable[[Lab], Awaitable[None]]) -> None:
    async def story(lab: Lab) -> None:
        await _call(lab, kind)
        gc.collect()
        before = of_calls()
        gc.disable()
        try:
            for _ in range(500 // len(KINDS)):
                await _call(lab, kind)
            left = of_calls() - before
        finally:
            gc.enable()
        assert _is_all_quiet(lab)
        assert not {name: count for name, count in left.items() if count > 1}, left

    play(story)
