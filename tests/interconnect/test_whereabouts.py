"""Which trunk an address belongs to, as a source and as a destination."""

from __future__ import annotations

import pytest

from softswitch.interconnect.whereabouts import SOURCES_KEPT, Whereabouts
from softswitch.routing.dialplan import Dialplan, parse_dialplans
from softswitch.sip.addresses import Hop
from tests.support.calls import CHINA

PLAN = """
[[trunk]]
name = "carrier"
host = "carrier.example"
sources = ["192.0.2.0/24"]
[[trunk]]
name = "pbx"
host = "10.0.0.5"
port = 5070
sources = ["10.0.0.0/24"]
"""
FIRST, SECOND = Hop("udp", "198.51.100.1", 5060), Hop("udp", "198.51.100.2", 5062)


def plan(text: str = PLAN) -> Dialplan:
    return parse_dialplans({"10-china.toml": CHINA.read_text(), "20.toml": text})


def test_a_trunk_is_found_by_the_addresses_that_its_name_has_now() -> None:
    known = {Hop("udp", "carrier.example", 0): [FIRST, SECOND]}
    whereabouts = Whereabouts(plan, lambda hop: known.get(hop, []))
    assert [whereabouts.trunk_at(hop) for hop in (FIRST, SECOND)] == ["carrier", "carrier"]
    assert whereabouts.trunk_at(Hop("udp", "10.0.0.5", 5070)) == "pbx"
    known.clear()
    assert whereabouts.trunk_at(FIRST) == ""


def test_what_dns_says_makes_nobody_a_source() -> None:
    whereabouts = Whereabouts(plan, lambda hop: [FIRST])
    assert whereabouts.trunk_of(FIRST) == ""
    assert whereabouts.trunk_of(Hop("tcp", "192.0.2.9", 40000)) == "carrier"
    assert whereabouts.trunk_at(Hop("udp", "10.0.0.6", 5060)) == "pbx"  # it sends from there


def test_sources_are_remembered_until_the_dialplan_changes_and_not_without_end() -> None:
    plans = [plan(), plan(PLAN.replace("192.0.2.0", "203.0.113.0"))]
    whereabouts = Whereabouts(lambda: plans[0], lambda hop: [])
    hop = Hop("udp", "192.0.2.9", 5060)
    assert whereabouts.trunk_of(hop) == whereabouts.trunk_of(hop) == "carrier"
    del plans[0]
    assert whereabouts.trunk_of(hop) == ""
    for port in range(SOURCES_KEPT + 1):
        whereabouts.trunk_of(hop._replace(port=port))
    assert whereabouts.trunk_of(hop) == ""


def test_a_tls_trunk_is_believed_by_tls_alone() -> None:
    """By UDP the address may be anybody's; neither may a wider trunk stand in for it."""
    text = PLAN + '[[trunk]]\nname = "safe"\nhost = "192.0.2.7"\ntransport = "tls"\nsources = ["192.0.2.7/32"]\n'
    safe = plan(text)
    whereabouts = Whereabouts(lambda: safe, lambda hop: [])
    assert [whereabouts.trunk_of(Hop(kind, "192.0.2.7", 5061)) for kind in ("udp", "tcp", "tls")] == ["", "", "safe"]
    assert [whereabouts.trunk_of(Hop(kind, "192.0.2.8", 5061)) for kind in ("udp", "tls")] == ["carrier", "carrier"]


@pytest.mark.parametrize(
    ("options", "names", "admitted"),
    [
        ('transport = "tls"', {"192.0.2.7", "sbc.example"}, True),
        ('transport = "tls"', {"sbc.example"}, False),
        ('transport = "tls"', None, True),
        ('transport = "tls"\ntls_name = "SBC.example"', {"sbc.example"}, True),
        ('transport = "tls"\ntls_name = "sbc.example"', {"192.0.2.7", "*.example"}, False),
        ('transport = "tls"\ntls_name = "sbc.example"', None, False),
        ('transport = "udp"', {"whoever.example"}, True),
        ('transport = "udp"\ntls_name = "sbc.example"', {"whoever.example"}, False),
        ('transport = "tls"\ntls_name = "2001:DB8::1"', {"2001:db8::1"}, True),
    ],
)
def test_a_certificate_must_name_the_trunk_that_it_comes_from(
    options: str, names: set[str] | None, admitted: bool
) -> None:
    """RFC 5922 7.3; wildcards never match (7.2)."""
    named = plan(PLAN + f'[[trunk]]\nname = "t"\nhost = "192.0.2.7"\nsources = ["192.0.2.7/32"]\n{options}\n')
    whereabouts = Whereabouts(lambda: named, lambda hop: [])
    shown = None if names is None else frozenset(names)
    assert whereabouts.admits(Hop("tls", "192.0.2.7", 40000), shown) is admitted
    assert whereabouts.admits(Hop("tls", "198.51.100.99", 40000), shown), "strangers are turned away elsewhere"
