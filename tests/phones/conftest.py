"""One real switch for all phone tests of a run, seeded through the command line; every call has phones of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from demo.cast import AXB_X, AXE_X, EXTENSION, SHORT_X, dialplan, free_cast
from demo.checks import Check
from demo.stage import Stage
from demo.wire import Wire
from tests.support.switch import RunningSwitch

RINGBACK_X = "+8617000000004"
STEREO_AXE = """
[treatment.AXE]
stereo = true
"""


def must(check: Check) -> None:
    """A check of the demo as an assertion, with its own words."""
    assert check, f"{check.what}: {check.found}"


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage; its switch must end clean after the last call."""
    folder = tmp_path_factory.mktemp("phones")
    cast = free_cast()
    switch = RunningSwitch(
        folder / "switch",
        dialplan=dialplan(cast.all, STEREO_AXE),
        settings={"call": {"warning_s": 3.6}},  # last_minute lasts 3.1 s
    )
    with ExitStack() as open_things:
        try:
            listening: Wire | None = open_things.enter_context(Wire(cast.ports))
        except PermissionError:
            listening = None
        stage = Stage(switch, cast, folder, listening)
        seed(stage)
        open_things.enter_context(switch)
        yield stage


def seed(stage: Stage) -> None:
    """X numbers and bindings of the tests."""
    cast, cli = stage.cast, stage.switch.cli
    driver, guest = cast.driver.number, cast.guest.number
    cli("number", "add", AXB_X, SHORT_X, RINGBACK_X, "--app", "courier", "--mode", "AXB")
    cli("number", "add", AXE_X, "--app", "shop", "--mode", "AXE", "--digits", str(len(EXTENSION)))
    cli("bind", "axb", AXB_X, driver, guest, "--record")
    cli("bind", "axb", SHORT_X, driver, guest, "--max-duration", "8")
    cli("bind", "axb", RINGBACK_X, driver, guest, "--caller-ringback", "connecting")
    cli("bind", "axe", AXE_X, driver, "--extension", EXTENSION, "--record")


@pytest.fixture
def wire(stage: Stage) -> Wire:
    """For tests that look at packets."""
    if stage.wire is None:
        pytest.skip("packet sockets are not permitted here")
    return stage.wire
