"""What every call is given: limits it counts against, addresses it must hide, prompts by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softswitch.call.admission import Limit
from softswitch.call.services import CallSettings
from softswitch.sip.addresses import Hop
from tests.support.calls import SWITCH, X_AXB, A, Lab, play, sdp
from tests.support.peer import Peer

FROM = Hop("udp", "10.0.0.9", 5060)


def test_each_side_may_see_its_own_address_and_ours_only() -> None:
    async def story(lab: Lab) -> None:
        assert lab.services.foreign("10.0.0.21", "10.0.0.9") == {"10.0.0.21"}
        assert lab.services.foreign("10.0.0.9", "10.0.0.9") == frozenset()
        assert lab.services.foreign(SWITCH[0], "10.0.0.9") == frozenset()
        assert lab.services.foreign_of(["10.0.0.21", "10.0.0.9", SWITCH[0]], "10.0.0.9") == {"10.0.0.21"}

    play(story)


def test_a_domain_that_we_are_in_ourselves_is_hidden_from_nobody() -> None:
    """A carrier's IMS domain, in which the switch has a name too: that name stands in every Contact of ours."""

    async def story(lab: Lab) -> None:
        services = replace(lab.services, own_hosts=frozenset({"10.0.0.1", "SW1.ims.example"}))
        assert services.foreign("ims.example", "10.0.0.9") == frozenset()
        assert services.foreign("IMS.example", "10.0.0.9") == frozenset()
        assert services.foreign("s.example", "10.0.0.9") == {"s.example"}
        assert services.foreign("sw2.ims.example", "10.0.0.9") == {"sw2.ims.example"}

    play(story)


def test_a_call_counts_against_the_switch_its_trunk_its_app_and_its_x() -> None:
    async def story(lab: Lab) -> None:
        lab.limits["in"] = Limit("in", calls=7)
        assert [limit.key for limit in lab.services.arrival_limits("in", FROM)] == ["switch", "in"]
        assert [limit.key for limit in lab.services.arrival_limits("unknown", FROM)] == ["switch"]
        route = await lab.services.router.resolve(X_AXB, A)
        limits = lab.services.route_limits(route)  # type: ignore[arg-type]
        assert [(limit.key, limit.calls, limit.failure.code) for limit in limits] == [
            (("app", "app-AXB"), 11, 7002),
            (("x", X_AXB), 12, 8049),
        ]

    play(story, settings=CallSettings(max_calls_per_app=11, max_calls_per_x=12))


@pytest.mark.parametrize("settings", [{"max_calls_per_source": 3}, {"calls_per_second_per_source": 3.0}])
def test_one_address_may_be_limited_and_of_ipv6_one_network(settings: dict[str, int]) -> None:
    async def story(lab: Lab) -> None:
        (*_, limit) = lab.services.arrival_limits("in", FROM)
        assert (limit.key, max(limit.calls, limit.calls_per_second)) == (("source", FROM.host), 3)
        (*_, limit) = lab.services.arrival_limits("in", Hop("udp", "2001:db8::9", 5060))
        assert limit.key == ("source", "2001:db8::/64")

    play(story, settings=CallSettings(**settings))  # type: ignore[arg-type]


def test_an_address_that_has_its_share_of_calls_is_told_to_try_later_while_others_are_served() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        again = Peer(lab.wire, ("10.0.0.9", 5080))
        again.send(again.invite(f"sip:{X_AXB}@10.0.0.1", from_=f"<sip:{A}@h>", body=sdp("10.0.0.9")), to=SWITCH)
        refused = await again.receive_response(503, ignoring=(100,))
        assert refused.headers.get("Retry-After") == "5"
        again.send(again.ack(refused))
        await lab.hang_up()

    play(story, settings=CallSettings(identity_host=SWITCH[0], max_calls_per_source=1))


def test_a_prompt_that_nobody_named_is_none() -> None:
    async def story(lab: Lab) -> None:
        assert lab.services.prompt(None) is None
        assert lab.services.prompt("") is None
        assert lab.services.prompt("nonsense") is None
        found = lab.services.prompt("no_binding")
        assert found is not None and found.language == "zh-CN"
        english = lab.services.prompt("no_binding", "en-US")
        assert english is not None and english.language == "en-US"

    play(story)
