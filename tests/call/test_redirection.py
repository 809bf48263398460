"""3xx: refused, or followed to where the trunk's `redirect_hosts` allows (RFC 3261 8.1.3.4, 21.3)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from softswitch.call.redirection import allows, redirected
from softswitch.interfaces import Target
from softswitch.routing.dialplan import parse_dialplans
from softswitch.sip.message import Headers, SipResponse
from tests.support.calls import CHINA, DIALPLAN, Lab, play
from tests.support.peer import Peer

HOSTS = ("10.0.0.0/24", "2001:db8::/32", "SBC.carrier.example")
NUMBER = "+8613900000002"


def target(**changes: object) -> Target:
    settings: dict[str, object] = {"trunk": "t", "host": "10.0.0.21", "port": 5060, "user": NUMBER, "display": "1"}
    return Target(**{**settings, "redirect_hosts": HOSTS, **changes})  # type: ignore[arg-type]


def places(*contacts: str, status: int = 302, of: Target | None = None) -> list[tuple[str, int, str]]:
    response = SipResponse(status, "Moved", Headers([("Contact", one) for one in contacts]))
    found = redirected(of or target(), response)
    assert all(one.user == NUMBER for one in found)
    return [(one.host, one.port, one.transport) for one in found]


def test_only_the_hosts_of_the_setting_are_followed() -> None:
    inside, outside = f"<sip:{NUMBER}@10.0.0.30>", f"<sip:{NUMBER}@192.0.2.1>"
    assert places(inside, outside) == [("10.0.0.30", 5060, "udp")]
    assert places(inside, of=target(redirect_hosts=())) == []
    assert places(f"<sip:{NUMBER}@sbc.Carrier.example>", "<sip:sbc.other.example>") == [
        ("sbc.Carrier.example", 0, "udp")
    ]
    assert allows(HOSTS, "2001:db8::7") and not allows(HOSTS, "2001:db9::7")


@pytest.mark.parametrize(("status", "followed"), [(300, 1), (301, 1), (302, 1), (305, 0), (380, 0), (404, 0)])
def test_statuses_that_name_another_place_are_followed(status: int, followed: int) -> None:
    assert len(places("<sip:10.0.0.30>", status=status)) == followed


def test_another_number_is_never_called() -> None:
    """Who is bound is reached, or nobody: a redirection to another telephone is for no trunk to decide."""
    assert places("<sip:+8613700000009@10.0.0.30>") == []
    assert len(places("<sip:8613900000002;npdi@10.0.0.30>", "<sip:10.0.0.31>")) == 2


def test_the_order_is_that_of_q_and_then_of_the_header() -> None:
    """20.10: "q" from 0 to 1, without it 1."""
    found = places("<sip:10.0.0.30>;q=0.2, <sip:10.0.0.31>;q=0.9", "<sip:10.0.0.32>", "<sip:10.0.0.33>;q=high")
    assert [host for host, _, _ in found] == ["10.0.0.32", "10.0.0.33", "10.0.0.31", "10.0.0.30"]


def test_of_very_many_places_the_best_are_followed() -> None:
    found = places(*(f"<sip:10.0.0.30:{port}>;q=0.{port % 100:02}" for port in range(5000, 5100)))
    assert [port for _, port, _ in found] == [*range(5099, 5091, -1)]


def test_the_transport_is_the_trunks_unless_the_contact_says_so_and_tls_is_never_left() -> None:
    assert places("<sip:10.0.0.30;transport=TCP>") == [("10.0.0.30", 5060, "tcp")]
    assert places("<sips:10.0.0.30>") == [("10.0.0.30", 5061, "tls")]
    assert places("<sip:10.0.0.30:5070>", "<sip:10.0.0.31;transport=udp>", of=target(transport="tls")) == [
        ("10.0.0.30", 5070, "tls")
    ]
    assert places("<sip:10.0.0.30;transport=sctp>") == []


def test_a_maddr_is_where_to_go_and_the_host_is_still_whom_the_request_is_for() -> None:
    """RFC 3261 19.1.1. A proxy that we may be sent to serves no host that we may not."""
    response = SipResponse(302, "Moved", Headers([("Contact", "<sip:sbc.carrier.example:5070;maddr=10.0.0.30>")]))
    (there,) = redirected(target(), response)
    assert (there.host, there.port, there.uri_host, there.tls_name) == (
        ("10.0.0.30", 5070, "sbc.carrier.example", "sbc.carrier.example")
    )
    assert places("<sip:10.0.0.31;maddr=sbc.carrier.example>") == [("sbc.carrier.example", 0, "udp")]
    assert places("<sip:10.0.0.31;maddr=192.0.2.1>", "<sip:192.0.2.1;maddr=10.0.0.31>") == []


def test_what_can_not_be_read_is_passed_over() -> None:
    assert places("<mailto:a@10.0.0.30>", "nonsense", "*", "<tel:+8613900000002>") == []


# In a call


def lab(hosts: Sequence[str] = ("10.0.0.22", "10.0.0.23")) -> Lab:
    made = Lab()
    setting = f'host = "10.0.0.21"\nredirect_hosts = {list(hosts)}'
    plan = DIALPLAN.replace('host = "10.0.0.21"', setting).replace("'", '"').replace('"first", "second"', '"first"')
    made.dialplan = parse_dialplans({"10-china.toml": CHINA.read_text(), "lab.toml": plan})
    return made


async def redirect(lab: Lab, at: Peer, *contacts: str) -> None:
    invite = await at.receive_request("INVITE")
    at.send(at.response(invite, 302, headers=[("Contact", one) for one in contacts]))
    await at.receive("ACK")


def test_a_redirected_call_is_a_new_invite_to_the_same_number_elsewhere() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(headers=[])
        await redirect(lab, lab.callee, f"<sip:{NUMBER}@10.0.0.22?Subject=hello>;q=1")
        invite = await lab.ring(lab.second)
        assert invite.uri == f"sip:{NUMBER}@10.0.0.22"
        assert "Subject" not in invite.headers
        live = next(iter(lab.registry))
        assert live.a is not None and live.a.session.guard is not None
        told = b"SIP/2.0 200 OK\r\nWarning: 399 10.0.0.22 x\r\nContent-Length: 0\r\n\r\n"
        assert b"Warning" not in live.a.session.guard(told)  # the caller must not see where the callee is
        await lab.pick_up(invite, lab.second)
        await lab.caller_answered()
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive(200)
        await lab.answer_bye(lab.second)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.b.trunk) == (0, "first")

    play(story, lab())


def test_a_redirection_is_followed_after_ringing_too() -> None:
    """A call is forwarded because nobody answers."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        away = lab.callee.response(invite, 302, headers=[("Contact", f"<sip:{NUMBER}@10.0.0.22>")])
        lab.callee.send(away)
        invite = await lab.ring(lab.second)
        lab.second.send(lab.second.response(invite, 486))
        await lab.refused(486)

    play(story, lab())


def test_a_redirection_elsewhere_is_refused_as_any() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await redirect(lab, lab.callee, f"<sip:{NUMBER}@10.0.0.99>")
        response = await lab.refused(502)
        assert response.headers.get("Contact") is None
        assert (await lab.cdr()).failure == 7508

    play(story, lab())


def test_a_redirection_in_a_circle_ends() -> None:
    """8.1.3.4: no URI is tried more than once."""

    async def story(lab: Lab) -> None:
        lab.dial()
        await redirect(lab, lab.callee, "<sip:10.0.0.22>", "<sip:10.0.0.22;x=y>")
        await redirect(lab, lab.second, "<sip:10.0.0.21>", "<sip:10.0.0.22>")
        await lab.refused(502)

    play(story, lab(["10.0.0.0/24"]))


def test_redirections_without_end_are_given_up() -> None:
    async def story(lab: Lab) -> None:
        phones = [Peer(lab.wire, (f"10.0.0.{last}", 5060)) for last in range(30, 36)]
        lab.dial()
        for phone, following in zip([lab.callee, *phones], phones, strict=False):
            if following is phones[-1]:
                break
            await redirect(lab, phone, f"<sip:{following.address[0]}>")
        await redirect(lab, phones[-2], f"<sip:{phones[-1].address[0]}>")
        await lab.refused(502)
        assert phones[-1].pending() == []

    play(story, lab(["10.0.0.0/24"]))


def test_the_next_contact_is_tried_when_the_first_refuses() -> None:
    async def story(lab: Lab) -> None:
        third = Peer(lab.wire, ("10.0.0.23", 5060))
        lab.dial()
        await redirect(lab, lab.callee, "<sip:10.0.0.22>;q=0.5, <sip:10.0.0.23>;q=0.6")
        invite = await third.receive_request("INVITE")
        third.send(third.response(invite, 500))
        invite = await lab.second.receive_request("INVITE")
        lab.second.send(lab.second.response(invite, 486))
        await lab.refused(486)

    play(story, lab())
