"""What the caller hears while the callee rings (call treatment, "before answer"): `CallerHears` of dial.py."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.calls import STRANGER, X_AXE, Lab, play, sdp


def played(lab: Lab) -> list[tuple[str, bool]]:
    return [(" ".join(command.files), command.loop) for command in lab.media.commands if command.verb == "play"]


def once(lab: Lab) -> list[int]:
    return [command.once for command in lab.media.commands if command.verb == "play"]


def test_ringing_is_passed_on_and_counted_once() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await asyncio.sleep(0.4)
        invite = await lab.ring()
        await asyncio.sleep(1)
        lab.callee.send(lab.callee.response(invite, 180))
        lab.callee.send(lab.callee.response(invite, 181))
        for _ in range(2):
            ringing = await lab.caller.receive_response(180, ignoring=(100,))
            assert ringing.body == b""
        assert lab.metrics.delays == [pytest.approx(0.4)]
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert cdr.alerting_at == pytest.approx(cdr.call_in_at + 0.4)

    play(story)


def test_early_media_is_relayed_and_parted_for_the_announcement() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        early = await lab.caller.receive_response(183, ignoring=(100,))
        caller, callee = lab.endpoints()
        assert caller.peer is callee
        lab.callee.send(lab.callee.response(invite, 180))  # it is heard already
        await lab.caller.silence(0.1)
        await lab.pick_up(invite)
        ok = await lab.caller_answered(ignoring=(100,))
        assert ok.body == early.body
        assert caller.peer is None
        await asyncio.sleep(2)
        assert caller.peer is callee
        assert lab.verbs("connect", "disconnect", "record", "play", "voices") == [
            "connect", "record", "disconnect", "play", "connect", "voices"
        ]  # fmt: skip
        await lab.hang_up()

    play(story)


def test_useless_early_media_is_only_ringing() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 180, body=b"nonsense"))
        await lab.caller.receive_response(180, ignoring=(100,))
        lab.callee.send(lab.callee.response(invite, 183, body=b"nonsense"))
        await lab.caller.silence(0.1)
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)


def test_a_custom_ringback_replaces_early_media() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, caller_ringback="waiting")
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await lab.caller.receive_response(183, ignoring=(100,))
        lab.callee.send(lab.callee.response(invite, 180))
        await asyncio.sleep(10)
        assert played(lab) == [("waiting.wav", True)]
        assert lab.verbs("connect") == []
        await lab.pick_up(invite)
        assert lab.verbs("stop", "play") == ["play", "stop", "play"]  # before the announcement
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)


def test_a_caller_without_an_offer_hears_180_though_a_ringback_is_set() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, caller_ringback="waiting")
        lab.dial(body=b"")
        await lab.ring()
        await lab.caller.receive_response(180, ignoring=(100,))
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)
        assert played(lab) == []

    play(story)


def test_a_caller_without_an_offer_gets_no_early_media() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(body=b"")
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 180, body=sdp("10.0.0.21", 41000)))
        ringing = await lab.caller.receive_response(180, ignoring=(100,))
        assert ringing.body == b""
        assert lab.verbs("connect") == []
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)

    play(story)


@pytest.mark.parametrize(
    ("missing", "heard"),
    [
        (set(), [("enter_extension.wav", False), ("connecting.wav ringback.wav", True)]),
        ({"ringback"}, [("enter_extension.wav", False), ("connecting.wav", True)]),
        ({"connecting"}, [("enter_extension.wav", False), ("ringback.wav", True)]),
        ({"connecting", "ringback"}, [("enter_extension.wav", False)]),
    ],
)
def test_an_answered_caller_hears_connecting_then_our_ringback(
    missing: set[str], heard: list[tuple[str, bool]]
) -> None:
    async def story(lab: Lab) -> None:
        lab.prompts.missing = missing
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        await asyncio.sleep(1)
        lab.media.endpoints[0].press("1234")
        invite = await lab.ring()
        await asyncio.sleep(10)
        assert played(lab) == heard
        assert once(lab)[1:] == [0 if missing else 1] * (len(heard) - 1)
        lab.callee.send(lab.callee.response(invite, 180))
        await lab.pick_up(invite)
        await asyncio.sleep(1)
        assert lab.endpoints()[0].playback is None
        assert lab.endpoints()[0].peer is lab.endpoints()[1]
        await lab.hang_up()

    play(story)


def test_an_answered_caller_hears_the_custom_ringback_after_connecting() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axe, callee_ringback="waiting")
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.media.endpoints[0].press("1234")
        await lab.ring()
        await asyncio.sleep(10)
        assert played(lab)[1:] == [("connecting.wav waiting.wav", True)]
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)

    play(story)


def test_early_media_ends_the_connecting_tone() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.media.endpoints[0].press("1234")
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await asyncio.sleep(10)
        caller, callee = lab.endpoints()
        assert caller.playback is None and caller.peer is callee
        assert played(lab)[1:] == [("connecting.wav ringback.wav", True)]
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by) == (7502, "caller")

    play(story)


def test_hanging_up_under_the_connecting_tone_starts_no_other() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.media.endpoints[0].press("1234")
        await lab.callee.receive_request("INVITE")
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)
        cdr = await lab.cdr()
        await asyncio.sleep(10)
        assert played(lab)[1:] == [("connecting.wav ringback.wav", True)]
        assert cdr.failure == 7501

    play(story)


@pytest.mark.parametrize("missing", [set(), {"ringback"}])
def test_when_early_media_fell_silent_with_its_target_the_next_ringing_is_heard(missing: set[str]) -> None:
    async def story(lab: Lab) -> None:
        lab.prompts.missing = missing
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await lab.caller.receive_response(183, ignoring=(100,))
        lab.callee.send(lab.callee.response(invite, 503))
        invite = await lab.ring(lab.second)
        await asyncio.sleep(0.1)
        assert played(lab) == ([] if missing else [("ringback.wav", True)])
        await lab.pick_up(invite, lab.second)
        await lab.caller_answered()
        await asyncio.sleep(2)
        assert lab.endpoints()[0].peer is lab.endpoints()[1]
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)
        await lab.answer_bye(lab.second)

    play(story)
