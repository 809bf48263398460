"""What real phones hear of an unrecorded call whose talk the kernel passes on (`media.kernel_relay`), and its CDR.

With a switch of its own; skipped where the kernel takes no streams. What is passed on is on no packet socket of
loopback, so the phones' ears alone judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from demo import checks
from demo.cast import SHORT_X, dialplan, free_cast
from demo.stage import Stage
from tests.media.test_kernel_relay import refusal
from tests.phones.conftest import must
from tests.support.switch import RunningSwitch

pytestmark = [pytest.mark.phones, pytest.mark.skipif(bool(refusal()), reason=refusal())]
MAXIMUM_S = 8
PACKETS = 50 * MAXIMUM_S  # from and to each side


@pytest.fixture
def kernel_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose switch has the kernel's relay, and one X."""
    folder = tmp_path_factory.mktemp("kernel")
    cast = free_cast()
    settings: dict[str, Any] = {"call": {"warning_s": 3.6}, "media": {"kernel_relay": True}}
    switch = RunningSwitch(folder / "switch", dialplan=dialplan(cast.all), settings=settings)
    with ExitStack() as open_things:
        stage = Stage(switch, cast, folder, None)
        switch.cli("number", "add", SHORT_X, "--app", "courier", "--mode", "AXB")
        switch.cli("bind", "axb", SHORT_X, cast.driver.number, cast.guest.number, "--max-duration", str(MAXIMUM_S))
        open_things.enter_context(switch)
        yield stage


def test_announcement_talk_and_last_minute_are_heard_and_counted_whoever_passes_them_on(kernel_stage: Stage) -> None:
    stage = kernel_stage
    with stage.call("kernel", stage.cast.driver, stage.cast.guest) as scene:
        scene.connect(SHORT_X)
        scene.a.wait_for("disconnected")
        scene.b.wait_for("disconnected")
    evidence = scene.evidence()
    assert evidence.recording is None
    assert evidence.callee is not None
    must(checks.cdr_says(evidence, ulFailReason=8010, ended_by="switch"))
    for me, other in ((evidence.caller, evidence.callee), (evidence.callee, evidence.caller)):
        must(checks.heard_prompt(me, "announcement", stage.prompt("announcement")))
        must(checks.heard_prompt(me, "last_minute", stage.prompt("last_minute"), sure=0.4))
        must(checks.heard_voice(me, other.party.name, stage.sentences[other.party.name]))
    for leg in (evidence.cdr["a"], evidence.cdr["b"]):
        for figure in ("packets_received", "packets_sent"):
            assert 0.9 * PACKETS < leg[figure] < 1.1 * PACKETS, leg
        assert (leg["packets_lost"], leg["remote_lost"]) == (0, 0)
    assert stage.switch.metric("softswitch_media_packets_kernel_total") > PACKETS / 2
