"""One switch and one run of all scenarios for the whole session; the tests read the outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.runner import Outcome, run_all
from tests.scenarios.scenario import load_scenarios
from tests.scenarios.world import (
    LANGUAGE,
    Place,
    bind_all,
    dialplan,
    free_ports6,
    has_ipv6,
    reserve_network,
    switch_address,
    write_prompts,
)
from tests.support.programs import program
from tests.support.switch import RunningSwitch


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcomes, and the switch, which still runs."""

    outcomes: dict[str, Outcome]
    switch: RunningSwitch


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Batch]:
    """Run the scenarios whose tests were selected."""
    program("sipp", "sip-tester")
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if hasattr(item, "callspec") and "name" in item.callspec.params
    }
    folder = tmp_path_factory.mktemp("scenarios")
    network, lock = reserve_network()
    scenarios = [scenario for scenario in load_scenarios() if has_ipv6() or not scenario.call.ipv6]
    (port6,) = free_ports6(1) if has_ipv6() else (0,)
    places = [
        Place(one, index, network, free_ports6(1 + len(one.call.callees)) if one.call.ipv6 else ())
        for index, one in enumerate(scenarios, 1)
    ]
    write_prompts(folder / "prompts")
    switch = RunningSwitch(folder / "switch", dialplan=dialplan(places), settings=settings(folder, network, port6))
    try:
        bind_all(str(folder / "switch" / "softswitch.db"), places)
        with switch:
            wanted_places = [place for place in places if place.scenario.name in wanted]
            outcomes = asyncio.run(
                run_all(
                    wanted_places,
                    lambda place: f"[::1]:{port6}" if place.scenario.call.ipv6 else switch_address(network),
                    str(folder / "switch" / "softswitch.db"),
                    folder,
                )
            )
            yield Batch(outcomes, switch)
    finally:
        lock.close()


def settings(folder: Path, network: int, port6: int) -> dict[str, dict[str, object]]:
    """Short clocks where a scenario waits for one to run out, long ones where none may."""
    listen = [switch_address(network), f"tcp:{switch_address(network)}"]
    listen += [f"udp:[::1]:{port6}", f"tcp:[::1]:{port6}"] if port6 else []
    return {
        "sip": {"listen": listen, "unknown_source": "refuse"},
        "media": {"silence_s": 600.0},
        "prompts": {"directory": str(folder / "prompts"), "language": LANGUAGE},
        "extension": {"first_digit_s": 1.2, "inter_digit_s": 1.0, "tries": 2},
        "log": {"level": "info", "format": "json"},
    }
