"""Who may send, and in which order trunks are tried (RFC 2782: priority and weight)."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from softswitch.interfaces import Target
from softswitch.routing.dialplan import Dialplan
from softswitch.routing.numbers import NumberForm
from softswitch.routing.trunks import as_meant, select_targets, sources_of, trunk_at
from tests.routing.scene import FIXED_LINE, A, X, plan


def trunks(*options: str) -> Dialplan:
    """A plan with trunks t0, t1 … of these options and one route to all of them in that order."""
    tables = [f'[[trunk]]\nname = "t{i}"\nhost = "192.0.2.{i}"\n{text}\n' for i, text in enumerate(options)]
    names = ", ".join(f'"t{i}"' for i in range(len(options)))
    return plan("".join(tables) + f'[[route]]\nname = "all"\ntargets = [{names}]\n')


def order(dialplan: Dialplan, seed: int = 1, penalised: str = "") -> list[str]:
    class Health:
        def usable(self, name: str) -> bool:
            return name not in penalised

    entry = dialplan.routes[0]
    targets = select_targets(dialplan, entry, A, X, random.Random(seed), health=Health() if penalised else None)
    return [target.trunk for target in targets]


def test_without_priorities_and_weights_the_route_gives_the_order() -> None:
    assert all(order(trunks("", "", ""), seed) == ["t0", "t1", "t2"] for seed in range(20))


def test_the_port_follows_the_transport() -> None:
    """RFC 3261 19.1.2."""
    dialplan = trunks("", 'transport = "tcp"', 'transport = "tls"', 'transport = "tls"\nport = 5070')
    assert [dialplan.trunks[f"t{i}"].port for i in range(4)] == [5060, 5060, 5061, 5070]
    targets = select_targets(dialplan, dialplan.routes[0], A, X, random.Random(1))
    assert [target.transport for target in targets] == ["udp", "tcp", "tls", "tls"]


def test_a_name_without_port_leaves_the_port_to_dns() -> None:
    """RFC 3263 4.2: a port that is given would forbid SRV."""
    named = 'host = "sip.example.com"\n'
    text = f'[[trunk]]\nname = "a"\n{named}transport = "auto"\n[[trunk]]\nname = "b"\n{named}port = 5060\n'
    dialplan = plan(text)
    assert [(one.transport, one.port) for one in dialplan.trunks.values()] == [("auto", 0), ("udp", 5060)]


def test_a_trunk_may_keep_long_requests_from_tcp() -> None:
    """RFC 3261 18.1.1."""
    dialplan = trunks("", "large_by_tcp = false")
    targets = select_targets(dialplan, dialplan.routes[0], A, X, random.Random(1))
    assert [target.large_by_tcp for target in targets] == [True, False]


def test_a_trunk_may_name_the_places_that_it_redirects_to() -> None:
    """RFC 3261 21.3: none by default."""
    dialplan = trunks("", 'redirect_hosts = ["192.0.2.0/24", "sbc.example"]')
    targets = select_targets(dialplan, dialplan.routes[0], A, X, random.Random(1))
    assert [target.redirect_hosts for target in targets] == [(), ("192.0.2.0/24", "sbc.example")]


def test_lower_priority_goes_first() -> None:
    assert order(trunks("priority = 3", "priority = 1", "priority = 2")) == ["t1", "t2", "t0"]


def test_weights_share_the_first_place_among_equals() -> None:
    dialplan = trunks("weight = 1", "weight = 3")
    rng = random.Random(7)
    first = Counter(select_targets(dialplan, dialplan.routes[0], A, X, rng)[0].trunk for _ in range(4000))
    assert 2850 <= first["t1"] <= 3150  # three quarters of 4000 is 3000, its standard deviation 27


def test_a_trunk_without_weight_comes_after_the_weighted_of_its_priority() -> None:
    assert all(order(trunks("", "weight = 1", "priority = 2"), seed) == ["t1", "t0", "t2"] for seed in range(20))


def test_a_penalised_trunk_is_tried_last_whatever_its_priority() -> None:
    assert order(trunks("", "", ""), penalised="t0 t2") == ["t1", "t0", "t2"]
    assert order(trunks("priority = 1", "priority = 2", "priority = 1"), penalised="t0") == ["t2", "t1", "t0"]


def test_when_all_are_penalised_all_are_tried() -> None:
    assert order(trunks("", ""), penalised="t0 t1") == ["t0", "t1"]


def test_numbers_are_dressed_as_the_trunk_wants_them() -> None:
    dialplan = trunks(
        'number_form = "national"\nnumber_prefix = "9"\ncaller_id_form = "e164-digits"\ncaller_id_prefix = "8"\n'
        'port = 5080\ntransport = "udp"\ncodecs = ["PCMU"]\nring_s = 45\nconnect_s = 3'
    )
    targets = select_targets(dialplan, dialplan.routes[0], FIXED_LINE, X, random.Random(1))
    dressed = {"user": "9075528880001", "display": "88617000000001"}
    times = {"ring_s": 45.0, "connect_s": 3.0}
    assert targets == (Target("t0", "192.0.2.0", 5080, codecs=("PCMU",), **dressed, **times),)  # type: ignore[arg-type]


def test_a_route_may_let_a_trunk_ring_shorter() -> None:
    text = '[[trunk]]\nname = "t"\nhost = "h"\n[[route]]\nname = "r"\ntargets = [{ trunk = "t", ring_s = 20 }]'
    dialplan = plan(text)
    assert select_targets(dialplan, dialplan.routes[0], A, X, random.Random(1))[0].ring_s == 20.0


@pytest.mark.parametrize(
    ("ip", "port", "name"),
    [
        ("192.0.2.1", 5060, "wide"),
        ("192.0.2.7", 5060, "one"),
        ("192.0.2.7", 5070, "port"),
        ("2001:db8::1", 5060, "six"),
        ("198.51.100.1", 5060, None),
        ("not-an-address", 5060, None),
    ],
)
def test_the_narrowest_source_tells_the_trunk(ip: str, port: int, name: str | None) -> None:
    text = "".join(
        f'[[trunk]]\nname = "{trunk}"\nhost = "h"\nsources = ["{network}"]\n{ports}\n'
        for trunk, network, ports in (
            ("wide", "192.0.2.0/24", ""),
            ("one", "192.0.2.7", ""),
            ("port", "192.0.2.7/32", "source_ports = [5070, 5071]"),
            ("six", "2001:db8::/32", ""),
        )
    )
    dialplan = plan(text)
    found = trunk_at(sources_of(dialplan.trunks.values()), ip, port, "udp")
    assert (found.name if found else None) == name
    assert dialplan.trunk_of(ip, port, "udp") == found


def test_every_wish_of_a_trunk_goes_with_the_target() -> None:
    dialplan = trunks(
        'number_form = "national"\nnumber_strip = "0"\nnumber_prefix = "9"\nto_form = "e164"\n'
        'caller_id_form = "e164-digits"\ncaller_id_strip = "86"\ncaller_id_prefix = "0"\nuser_phone = true\n'
        'identity = "both"\nprivacy = "caller"\nfrom_user = "us"\nfrom_host = "carrier.example"\n'
        'uri_host = "ims.example"\npass_headers = ["User-to-User"]\ntls_name = "sbc.example"\ncodec_order = "trunk"\n'
        "ptime_ms = 30\nmax_ptime_ms = 60"
    )
    (target,) = select_targets(dialplan, dialplan.routes[0], FIXED_LINE, X, random.Random(1))
    assert (target.user, target.to, target.display) == ("975528880001", FIXED_LINE, "017000000001")
    assert (target.from_user, target.from_host, target.user_phone) == ("us", "carrier.example", True)
    assert (target.identity, target.privacy, target.pass_headers) == ("both", "caller", ("User-to-User",))
    assert (target.uri_host, target.tls_name) == ("ims.example", "sbc.example")
    assert (target.codec_order, target.ptime_ms, target.max_ptime_ms) == ("trunk", 30, 60)


def test_the_technical_prefixes_of_a_trunk_are_taken_off() -> None:
    trunk = trunks('number_prefix_in = "9"\ncaller_id_prefix_in = "8"').trunks["t0"]
    assert as_meant(trunk, "917000000001", "813800000001") == ("17000000001", "13800000001", None)
    assert as_meant(trunk, "17000000001", "13800000001") == ("17000000001", "13800000001", None)
    assert as_meant(None, "917000000001", "8138") == ("917000000001", "8138", None)


def test_what_a_trunk_leaves_out_of_numbers_is_put_before_those_that_are_not_whole() -> None:
    trunk = trunks('number_prefix_in = "9"\nnumber_add_in = "+8617000"\nnumber_form_in = "national"').trunks["t0"]
    assert as_meant(trunk, "9000001", A) == ("+8617000000001", A, NumberForm.NATIONAL)
    assert as_meant(trunk, X, A) == (X, A, NumberForm.NATIONAL)
