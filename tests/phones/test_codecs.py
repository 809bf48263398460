"""An announced, recorded call of a phone that speaks nothing but G.722 with one that speaks G.711 (call treatment)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from demo import checks
from demo.cast import dialplan, free_cast
from demo.recognise import CHIRP_SURE, find_all, load
from demo.stage import Evidence, Stage
from demo.story import answered_call
from media import _native
from tests.phones.conftest import must, seed
from tests.support.switch import RunningSwitch

pytestmark = [
    pytest.mark.phones,
    pytest.mark.skipif("G722" not in _native.CODECS, reason="the media core is built without G.722"),
]
SIDES = ("caller", "callee")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage of its own, on which the guest's phone and trunk speak G.722 alone."""
    folder = tmp_path_factory.mktemp("g722")
    cast = free_cast()
    cast = replace(cast, guest=replace(cast.guest, codec="G722"))
    switch = RunningSwitch(folder / "switch", dialplan=dialplan(cast.all))
    stage = Stage(switch, cast, folder, None)  # what is on the wire is no A-law: the phones' ears tell
    seed(stage)
    with switch:
        yield stage


@pytest.fixture(scope="module")
def talk(wide: Stage) -> Evidence:
    """The one with G.711 calls X, the one with G.722 answers, both talk, the caller hangs up."""
    return answered_call(wide, "g722", wide.cast.driver, wide.cast.guest)


@pytest.mark.parametrize("side", SIDES)
def test_both_sides_hear_the_announcement_whole(wide: Stage, talk: Evidence, side: str) -> None:
    must(checks.heard_prompt(getattr(talk, side), "announcement", wide.prompt("announcement")))


@pytest.mark.parametrize(("side", "other"), [SIDES, SIDES[::-1]])
def test_then_they_hear_each_other_and_not_themselves(wide: Stage, talk: Evidence, side: str, other: str) -> None:
    me, speaker = getattr(talk, side), getattr(talk, other).party
    must(checks.heard_voice(me, speaker.name, wide.sentences[speaker.name]))
    must(checks.heard_nothing_of(me, me.party.name, me.party.voice.chirp(), wide.sentences[me.party.name]))


def test_the_recording_begins_with_the_announcement_then_both_voices_are_in_it(wide: Stage, talk: Evidence) -> None:
    voices = {party.name: party.voice.chirp() for party in (wide.cast.driver, wide.cast.guest)}
    must(checks.recording_begins_with_announcement(talk, wide.prompt("announcement"), voices))
    assert talk.recording is not None
    recorded = load(talk.recording)
    for name, chirp in voices.items():
        assert find_all(recorded, chirp, sure=CHIRP_SURE), name
    must(checks.recording_is_complete(talk))


def test_the_cdr_names_the_codec_of_each_side(talk: Evidence) -> None:
    assert (talk.cdr["a"]["codec"], talk.cdr["b"]["codec"]) == ("PCMA", "G722")
    assert talk.cdr["a"]["mos"] > 4.0
    assert talk.cdr["b"]["mos"] == 0.0
