"""One switch and one run of all scenarios for the whole session; the tests read the outcomes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from softswitch.sip.tls import TlsFiles
from tests.scenarios.runner import Outcome, Site, run_all
from tests.scenarios.scenario import load_scenarios
from tests.scenarios.world import (
    LANGUAGE,
    OUTSIDE,
    PORT,
    TLS_PORT,
    Place,
    behind_nat,
    bind_all,
    dialplan,
    free_ports6,
    has_ipv6,
    reserve_network,
    switch_address,
    switch_host,
    write_prompts,
)
from tests.support.certificates import Authority
from tests.support.name_server import serving
from tests.support.programs import program
from tests.support.stalls import STOOD_STILL
from tests.support.switch import RunningSwitch


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcomes by name, those of `switch` alone, and the switch, which still runs."""

    outcomes: dict[str, Outcome]  # but those that are to be told again
    of_this_switch: dict[str, Outcome]
    switch: RunningSwitch

    def warnings(self, outcome: Outcome) -> list[str]:
        """What the switch said of a scenario's calls that should not be, such as why they had no port."""
        lines = self.switch.log_file.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if '"warning"' in line and any(cdr.call_id in line for cdr in outcome.cdrs)]


OUTCOMES = pytest.StashKey[dict[str, Outcome]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Forget the outcome of a scenario that failed: if it is told again (tests/conftest.py), then it alone."""
    report = yield
    if report.failed and hasattr(item, "callspec"):
        failed = item.session.stash.get(OUTCOMES, {}).pop(item.callspec.params["name"], None)
        item.stash[STOOD_STILL] = failed.stood_still if failed else None
    return report


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Batch]:
    """Run the scenarios whose tests were selected and whose outcome is not known."""
    program("sipp", "sip-tester")
    outcomes = request.session.stash.setdefault(OUTCOMES, {})
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
    authority = Authority(folder)
    ours = authority.issue("switch", f"IP:{switch_host(network)}")
    secure = [place for place in places if place.scenario.trunk.transport == "tls"]
    names = [f"IP:{address}" for place in secure for address in place.targets]
    names += [f"DNS:{place.domain}" for place in secure if place.scenario.trunk.domain]
    theirs = authority.issue("others", *names)

    def reached(place: Place) -> str:
        if place.scenario.call.by_ipv6[0]:
            return f"[::1]:{port6}"
        if place.scenario.call.nat:
            return behind_nat(network)
        return switch_address(network, TLS_PORT if place.scenario.call.transport == "tls" else PORT)

    with contextlib.ExitStack() as held:
        held.callback(lock.close)
        dns = held.enter_context(serving("".join(place.zone for place in places)))
        files = TlsFiles(ours.certificate, ours.key, authority.file)
        settled = settings(folder, network, port6, dns, files)
        database = str(folder / "switch" / "softswitch.db")
        switch = RunningSwitch(folder / "switch", dialplan=dialplan(places), settings=settled)
        bind_all(database, places)
        held.enter_context(switch)
        wanted_places = [place for place in places if place.scenario.name in wanted - outcomes.keys()]
        site = Site(reached, database, folder, theirs, authority.file)
        told = run_all(wanted_places, site)
        outcomes |= told
        yield Batch(outcomes, told, switch)
        assert "call_crashed" not in switch.log_file.read_text(encoding="utf-8")


def settings(
    folder: Path, network: int, port6: int, dns: tuple[str, int], files: TlsFiles
) -> dict[str, dict[str, object]]:
    """Short clocks where a scenario waits for one to run out, long ones where none may."""
    listen = [switch_address(network), f"tcp:{switch_address(network)}"]
    listen += [f"tls:{switch_address(network, TLS_PORT)}", f"{behind_nat(network)} as {OUTSIDE}"]
    listen += [f"udp:[::1]:{port6}", f"tcp:[::1]:{port6}"] if port6 else []
    return {
        "sip": {
            "listen": listen,
            "unknown_source": "refuse",
            "dns_servers": [f"{dns[0]}:{dns[1]}"],
            "tls_certificate": files.certificate,
            "tls_key": files.key,
            "tls_authorities": files.authorities,
            "tls_clients": "required",
        },
        "media": {"silence_s": 600.0, "bind": switch_host(network)},
        "prompts": {"directory": str(folder / "prompts"), "language": LANGUAGE},
        "extension": {"first_digit_s": 1.2, "inter_digit_s": 1.0, "tries": 2},
        "log": {"level": "info", "format": "json"},
    }
