"""A trunk with several addresses: which one is tried, and when the next (RFC 3263 4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from softswitch.call.cdr import TOGETHER_S
from softswitch.call.hunt import Hunt
from softswitch.interfaces import Target
from softswitch.sip.addresses import Hop
from tests.support.calls import Lab, play
from tests.support.virtual_time import run

FIRST, SECOND = Hop("udp", "10.0.0.21", 5060), Hop("udp", "10.0.0.22", 5060)


class Known:
    """`Locating` by a table; `told` is what it heard."""

    def __init__(self, **hosts: Sequence[Hop]) -> None:
        self.hosts, self.told = hosts, list[str]()
        self.wanted: list[Hop] = []
        self.delay_s = 0.0

    async def locate(self, wanted: Hop) -> Sequence[Hop]:
        self.wanted.append(wanted)
        await asyncio.sleep(self.delay_s)
        return self.hosts.get(wanted.host, ())

    def answered(self, hop: Hop) -> None:
        self.told.append(f"{hop.host} answered")

    def failed(self, hop: Hop, why: str, for_s: float = 0, *, dead: bool = False) -> None:
        self.told.append(f"{hop.host} {why} {for_s:g}{' dead' * dead}")

    def shuns(self, wanted: Hop) -> bool:
        return False


def target(name: str) -> Target:
    return Target(trunk=name, host=name, port=0, user="1", display="2", transport="auto")


def test_all_addresses_of_a_target_come_before_the_next_target() -> None:
    async def story() -> None:
        known = Known(a=[FIRST, SECOND], c=[FIRST])
        hunt = Hunt([target("a"), target("b"), target("c")], known)
        hunt.answered()  # nobody was tried yet
        assert [await hunt.next() for _ in range(4)] == [
            (target("a"), FIRST), (target("a"), SECOND), (target("c"), FIRST), None,
        ]  # fmt: skip
        assert known.wanted == [Hop("auto", name, 0) for name in "abc"]
        hunt.answered()
        assert known.told == ["10.0.0.21 answered"]
        assert await Hunt([], known).next() is None

    run(story())


def lab_of(**hosts: Sequence[Hop]) -> tuple[Lab, Known]:
    """A lab whose trunk `first` has two addresses and whose trunk `second` has none."""
    lab, known = Lab(), Known(**{"10.0.0.21": [FIRST, SECOND], **hosts})
    lab.locating = known
    return lab, known


async def answered_at_the_second_address(lab: Lab) -> None:
    invite = await lab.ring(lab.second)
    await lab.pick_up(invite, lab.second)
    await lab.caller_answered()
    lab.caller.send(lab.caller.request("BYE"))
    await lab.caller.receive(200)
    await lab.answer_bye(lab.second)
    cdr = await lab.cdr()
    assert (cdr.failure, cdr.b.trunk) == (0, "first")


def test_503_leads_to_the_next_address_and_its_retry_after_is_heeded() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        assert "@10.0.0.21" in invite.uri  # the trunk's name, not the address, stands in the request (RFC 3263 4)
        lab.callee.send(lab.callee.response(invite, 503, headers=[("Retry-After", "90")]))
        await answered_at_the_second_address(lab)

    lab, known = lab_of()
    play(story, lab)
    assert known.told[:2] == ["10.0.0.21 503 90", "10.0.0.22 answered"]


def test_an_address_that_is_silent_is_followed_by_the_next_when_connect_s_is_over() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.callee.receive_request("INVITE")
        await answered_at_the_second_address(lab)
        assert asyncio.get_running_loop().time() == pytest.approx(8.0, abs=2 * TOGETHER_S)

    lab, known = lab_of()
    play(story, lab)
    assert known.told[0] == "10.0.0.21 no answer 0 dead"


def test_an_address_that_cannot_be_reached_is_followed_by_the_next() -> None:
    """RFC 3263 4.3: "a failure of the transport layer"."""

    async def story(lab: Lab) -> None:
        lab.wire.refused.add(("10.0.0.21", 5060))
        lab.dial()
        await answered_at_the_second_address(lab)

    lab, known = lab_of()
    play(story, lab)
    assert known.told[0] == "10.0.0.21 503 0 dead"


@pytest.mark.parametrize("status", [403, 500, 302])
def test_any_other_refusal_holds_for_the_whole_trunk(status: int) -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, status))
        await lab.second.silence(10)
        await lab.cdr()

    lab, known = lab_of()
    play(story, lab)
    assert known.told == ["10.0.0.21 answered"]


def test_when_no_trunk_has_an_address_the_call_fails_as_without_connection() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.refused(408)
        assert (await lab.cdr()).failure == 8035

    play(story, lab_of(**{"10.0.0.21": ()})[0])


def test_a_caller_may_hang_up_while_the_callee_is_being_located() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await asyncio.sleep(0.5)
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200, ignoring=(100,))
        await lab.refused(487)
        await lab.callee.silence(2)

    lab, known = lab_of()
    known.delay_s = 1.0
    play(story, lab)


def test_the_address_that_was_found_is_kept_from_the_caller() -> None:
    """It stands in no dialplan, so the guard can only know it from here."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring(lab.second)
        live = next(iter(lab.registry))
        assert live.a is not None
        assert live.a.session.guard is not None
        told = b"SIP/2.0 200 OK\r\nWarning: 399 %s x\r\nContent-Length: 0\r\n\r\n"
        assert live.a.session.guard(told % b"10.0.0.34") == told % b"10.0.0.34"
        assert b"Warning" not in live.a.session.guard(told % b"10.0.0.33")
        lab.second.send(lab.second.response(invite, 486))
        await lab.refused(486)

    lab = Lab()
    lab.locating = Known(**{"10.0.0.21": [FIRST._replace(host="10.0.0.33")], "10.0.0.22": [SECOND]})
    play(story, lab)


@pytest.mark.parametrize("name", ["sip", "a", "udp"])
def test_a_trunk_whose_name_is_a_word_of_sip_gets_its_calls(name: str) -> None:
    """The leak guard hides the trunk's name from the caller; "sip:" and "a=ptime" are not that name."""

    async def story(lab: Lab) -> None:
        lab.set_trunk("first", host=name, port=0)
        await lab.establish()
        await lab.hang_up()
        assert lab.metrics.leaks == []

    lab = Lab()
    lab.locating = Known(**{name: [FIRST]})
    play(story, lab)
