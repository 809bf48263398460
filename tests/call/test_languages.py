"""In which language a caller hears prompts: that of its call's treatment, else the switch's (`prompts.language`)."""

from __future__ import annotations

import asyncio

from softswitch.call.services import CallSettings
from tests.support.calls import STRANGER, SWITCH, X_AXB, X_AXE, Lab, play

ENGLISH = CallSettings(identity_host=SWITCH[0], language="en-US")


async def a_wrong_extension_then_the_right_one(lab: Lab) -> None:
    lab.dial(X_AXE, by=STRANGER)
    await lab.caller_answered()
    for keyed in ("9999", "1234"):
        await asyncio.sleep(4)
        lab.media.endpoints[0].press(keyed)
    await lab.pick_up(await lab.ring())
    await asyncio.sleep(5)
    await lab.hang_up()


async def a_call_with_an_announcement(lab: Lab) -> None:
    await lab.establish()
    await lab.hang_up()


async def a_call_by_nobody(lab: Lab) -> None:
    lab.dial(X_AXB, by=STRANGER)
    await lab.refused(404)


def test_where_no_treatment_names_a_language_it_is_that_of_the_switch() -> None:
    async def story(lab: Lab) -> None:
        for call in (a_call_with_an_announcement, a_call_by_nobody):
            await call(lab)
        assert {("announcement", "en-US"), ("no_binding", "en-US")} <= set(lab.prompts.asked)
        assert {language for _, language in lab.prompts.asked} == {"en-US"}

    play(story, settings=ENGLISH)


def test_who_keys_an_extension_hears_one_language_from_the_first_question_on() -> None:
    async def story(lab: Lab) -> None:
        await a_wrong_extension_then_the_right_one(lab)
        names = {"enter_extension", "invalid_extension", "connecting"}
        assert {asked for asked in lab.prompts.asked if asked[0] in names} == {(name, "en-US") for name in names}

    play(story, dialplan='[treatment.AXE]\nlanguage = "en-US"\n')


def test_a_refusal_speaks_the_language_of_its_mode() -> None:
    async def story(lab: Lab) -> None:
        await a_call_by_nobody(lab)
        assert ("no_binding", "en-US") in lab.prompts.asked

    play(story, dialplan='[treatment.default]\nlanguage = "en-US"\n')
