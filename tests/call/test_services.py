"""What every call is given: limits it counts against, addresses it must hide, prompts by name."""

from __future__ import annotations

from softswitch.call.admission import Limit
from softswitch.call.services import CallSettings
from tests.support.calls import SWITCH, X_AXB, A, Lab, play


def test_each_side_may_see_its_own_address_and_ours_only() -> None:
    async def story(lab: Lab) -> None:
        assert lab.services.foreign("10.0.0.21", "10.0.0.9") == {"10.0.0.21"}
        assert lab.services.foreign("10.0.0.9", "10.0.0.9") == frozenset()
        assert lab.services.foreign(SWITCH[0], "10.0.0.9") == frozenset()

    play(story)


def test_a_call_counts_against_the_switch_its_trunk_its_app_and_its_x() -> None:
    async def story(lab: Lab) -> None:
        lab.limits["in"] = Limit("in", calls=7)
        assert [limit.key for limit in lab.services.arrival_limits("in")] == ["switch", "in"]
        assert [limit.key for limit in lab.services.arrival_limits("unknown")] == ["switch"]
        route = await lab.services.router.resolve(X_AXB, A)
        limits = lab.services.route_limits(route)  # type: ignore[arg-type]
        assert [(limit.key, limit.calls, limit.failure.code) for limit in limits] == [
            (("app", "app-AXB"), 11, 7002),
            (("x", X_AXB), 12, 8049),
        ]

    play(story, settings=CallSettings(max_calls_per_app=11, max_calls_per_x=12))


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
