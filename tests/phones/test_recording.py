"""A stereo recording of a real call: the caller left, the callee right, both in time (call treatment, "recording")."""

from __future__ import annotations

import pytest

from demo import checks
from demo.cast import AXE_X, EXTENSION
from demo.recognise import CHIRP_SURE, find_all, load
from demo.stage import Stage
from tests.phones.conftest import must

pytestmark = pytest.mark.phones


def test_a_stereo_recording_has_the_caller_left_and_the_callee_right(stage: Stage) -> None:
    caller, callee = stage.cast.stranger, stage.cast.driver
    with stage.call("stereo", caller, callee) as scene:
        scene.a.call(stage.uri(f"{AXE_X}{EXTENSION}"))  # X and E dialled in one
        scene.answer()
        scene.a.wait_for("media", hearing=True)
        scene.talk()
        scene.end(scene.a)
    evidence = scene.evidence()
    must(checks.cdr_says(evidence, mode="AXE", extendNum=EXTENSION, ulFailReason=0))
    must(checks.recording_is_complete(evidence))
    assert evidence.recording is not None
    for channel, speaker, silent in ((0, caller, callee), (1, callee, caller)):
        heard = load(evidence.recording, channel=channel)
        assert find_all(heard, speaker.voice.chirp(), sure=CHIRP_SURE)
        assert not find_all(heard, silent.voice.chirp(), sure=CHIRP_SURE)
