"""One switch between two Kamailios for all interoperability tests, and phones that stay for more than one call."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest

from demo.phone import Phone
from tests.interop.collector import AGENT, KEY, PORT, Collector
from tests.interop.kamailio import Kamailio
from tests.interop.rig import Rig
from tests.interop.world import A, Network, bind_all, national
from tests.scenarios.world import reserve_network
from tests.support.certificates import Authority
from tests.support.switch import RunningSwitch


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The switch, which listens by every transport and asks those who connect by TLS for a certificate."""
    folder = tmp_path_factory.mktemp("interop")
    octet, lock = reserve_network()
    network = Network(octet)
    authority = Authority(folder)
    ours = authority.issue("switch", f"IP:{network.switch}")
    theirs = authority.issue("others", *(f"IP:{address}" for address in network.with_tls))
    tls = {"certificate": theirs.certificate, "key": theirs.key, "authorities": authority.file}
    listeners = [f"{network.switch}:5060", f"tcp:{network.switch}:5060", f"tls:{network.switch}:5061"]
    settings: dict[str, dict[str, object]] = {
        "sip": {
            "listen": listeners,
            "tls_certificate": ours.certificate,
            "tls_key": ours.key,
            "tls_authorities": authority.file,
            "tls_clients": "required",
        },
        "log": {"level": "info", "format": "json"},
        "trace": {"enabled": True, "hep": f"{network.collector}:{PORT}", "hep_id": AGENT, "hep_key": KEY},
    }
    switch = RunningSwitch(folder / "switch", dialplan=network.dialplan(), settings=settings)
    bind_all(str(folder / "switch" / "softswitch.db"))
    places = {"switch": network.switch, "callee": network.callee, "rival": network.rival, "nobody": network.nobody}
    with closing(lock), ExitStack() as running:
        front, behind = (
            running.enter_context(Kamailio(name, address, folder / name, {**places, **tls, "other": other}))
            for name, address, other in (
                ("front", network.front, network.behind),
                ("behind", network.behind, network.front),
            )
        )
        collector = running.enter_context(Collector(network.collector, folder / "collector"))
        running.enter_context(switch)
        yield Rig(network, switch, front, behind, collector, tls)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tests failed, for `phones`."""
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@dataclass(slots=True)
class Phones:
    """A's phone and B's, while they run."""

    running: ExitStack
    pair: tuple[Phone, Phone] | None = None


@pytest.fixture(scope="session")
def phones_of_all_tests() -> Iterator[Phones]:
    """Phones last from test to test."""
    with ExitStack() as running:
        yield Phones(running)


@pytest.fixture
def phones(rig: Rig, phones_of_all_tests: Phones, request: pytest.FixtureRequest) -> Iterator[tuple[Phone, Phone]]:
    """A's phone and B's, which know nothing but UDP and the proxies; others after a test that failed."""
    lasting = phones_of_all_tests
    if lasting.pair is None:
        a = Phone(national(A), address=rig.network.caller, sip_port=5060)
        b = Phone("b", address=rig.network.callee, sip_port=5060, reliable=True)
        lasting.pair = lasting.running.enter_context(a), lasting.running.enter_context(b)
        for phone in lasting.pair:
            phone.wait_for("ready")
    yield lasting.pair
    if request.node.stash.get(FAILED, False):
        lasting.running.close()
        lasting.pair = None
