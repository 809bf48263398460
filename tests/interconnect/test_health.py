"""OPTIONS to trunks (RFC 3261 11): what counts as a sign of life, and how many checks change the state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
import structlog.testing

from softswitch.interconnect.health import PATIENCE_S, TrunkStates, answers, check_health
from softswitch.interconnect.peer import Peer as Trunk
from softswitch.sip.addresses import Hop
from tests.support.peer import Peer
from tests.support.recorder import PHONE, Switch, play
from tests.support.wire import Wire


def trunk(switch: Switch) -> Trunk:
    return Trunk("carrier", Hop("udp", *PHONE), "sip:softswitch@10.0.0.1", switch.agent)


def test_a_trunk_that_nobody_checks_is_up_and_on_no_list() -> None:
    states = TrunkStates()
    assert states.usable("any")
    assert states.all() == {}


def test_one_lost_check_changes_nothing_two_in_a_row_do_and_so_with_answers() -> None:
    states, seen = TrunkStates(), []
    with structlog.testing.capture_logs() as logs:
        for alive in (True, False, True, False, False, True, False, True, True):
            states.seen("carrier", alive)
            seen.append(states.usable("carrier"))
    assert seen == [True, True, True, True, False, False, False, False, True]
    assert [(entry["event"], entry["log_level"], entry["trunk"]) for entry in logs] == [
        ("trunk_down", "warning", "carrier"),
        ("trunk_up", "info", "carrier"),
    ]


def test_a_forgotten_trunk_is_as_new() -> None:
    states = TrunkStates()
    states.seen("carrier", False)
    states.seen("carrier", False)
    assert states.all() == {"carrier": False}
    states.forget("carrier")
    assert states.usable("carrier") and states.all() == {}


@pytest.mark.parametrize(
    ("status", "alive"), [(200, True), (404, True), (405, True), (403, True), (500, True), (503, False), (408, False)]
)
def test_any_answer_but_one_that_says_that_nobody_is_there_is_life(status: int, alive: bool) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        asked = asyncio.create_task(answers(trunk(switch)))
        options = await phone.receive_request("OPTIONS")
        assert (options.uri, options.from_.uri, options.to.uri) == (
            "sip:10.0.0.9:5060",
            "sip:softswitch@10.0.0.1",
            "sip:10.0.0.9:5060",
        )
        phone.send(phone.response(options, status))
        assert await asked is alive

    play(story)


def test_silence_is_no_life_and_is_not_waited_for_longer_than_it_takes() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert not await answers(trunk(switch))
        assert loop.time() - started == pytest.approx(PATIENCE_S)
        phone.pending()

    play(story)


def checking(story: Callable[[Switch, Peer, TrunkStates], Awaitable[None]]) -> None:
    """Play a story while the phone is checked every 30 seconds."""

    async def whole(switch: Switch, phone: Peer, wire: Wire) -> None:
        states = TrunkStates()
        task = asyncio.create_task(check_health(trunk(switch), 30.0, states))
        await story(switch, phone, states)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(1)
        phone.pending()

    play(whole)


def test_checks_go_on_at_intervals_through_silence_and_back() -> None:
    async def story(switch: Switch, phone: Peer, states: TrunkStates) -> None:
        loop = asyncio.get_running_loop()
        phone.send(phone.response(await phone.receive_request("OPTIONS"), 200))
        assert loop.time() == 0  # the first one at once
        second = await phone.receive_request("OPTIONS")
        assert loop.time() == pytest.approx(30)
        assert second.via.branch
        await asyncio.sleep(PATIENCE_S + 1)
        assert states.usable("carrier")
        await asyncio.sleep(30 + PATIENCE_S)
        assert states.all() == {"carrier": False}
        phone.pending()
        calls = set()
        while not states.usable("carrier"):
            options = await phone.receive_request("OPTIONS")
            calls.add(options.call_id)
            phone.send(phone.response(options, 200))
            await asyncio.sleep(0)
        assert loop.time() < 30 + 2 * (30 + PATIENCE_S) + 2 * 30 + 1

    checking(story)
