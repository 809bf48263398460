"""Where each leg's media come from and go to: families, NAT, RTCP, the codec that spares a conversion."""

from __future__ import annotations

import asyncio

from softswitch.interfaces import EndpointStatistics, RtpRemote
from tests.support.calls import CALLER, FIRST, STRANGER, SWITCH, X_AXE, Lab, play, sdp

SIX = "2001:db8::9"


async def up(lab: Lab, body: bytes, answer: bytes | None = None) -> tuple[bytes, bytes]:
    """A call with the caller's description `body`; our offer to the callee and our answer to the caller."""
    lab.dial(body=body)
    invite = await lab.ring()
    await lab.pick_up(invite, body=answer)
    return invite.body, (await lab.caller_answered()).body


def remotes(lab: Lab) -> tuple[RtpRemote, RtpRemote]:
    """What the caller's and the callee's endpoint were told."""
    a, b = (endpoint.remote for endpoint in lab.endpoints())
    assert a and b
    return a, b


def test_a_caller_over_ipv6_talks_to_a_callee_over_ipv4() -> None:
    async def story(lab: Lab) -> None:
        lab.media.ipv6 = True
        offered, answered = await up(lab, sdp(SIX))
        assert b"c=IN IP4 10.0.0.1\r\n" in offered and b"c=IN IP6 ::1\r\n" in answered
        assert [remote.address for remote in remotes(lab)] == [SIX, FIRST[0]]
        await lab.hang_up()

    play(story)


def test_a_caller_over_ipv6_is_refused_where_we_have_no_ipv6_media() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(body=sdp(SIX))
        assert (await lab.refused(488)).headers.all("Warning")[0].startswith("301 softswitch ")
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.words) == (7505, "the caller wants media over IPv6, of which we have none")
        assert lab.callee.pending() == []

    play(story)


def test_a_trunk_that_is_reached_over_ipv6_is_offered_ipv6_media() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        other = await lab.second.receive_request("INVITE")
        assert b"c=IN IP4 10.0.0.1\r\n" in other.body
        sent = next(one for one in lab.wire.trace if one.destination[0] == "2001:db8::21")
        assert "\r\nc=IN IP6 ::1\r\n" in sent.text
        lab.caller.send(lab.caller.cancel(), to=SWITCH)
        await lab.caller.receive(200, ignoring=(100,))
        await lab.refused(487)

    lab = Lab()
    lab.media.ipv6 = True
    lab.set_trunk("first", host="2001:db8::21", port=5070)
    play(story, lab)


def test_an_answer_in_the_other_family_is_of_no_use() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        await lab.pick_up(invite, body=sdp(SIX, 41000))
        await lab.answer_bye(lab.callee)
        other = await lab.second.receive_request("INVITE")
        lab.second.send(lab.second.response(other, 486))
        await lab.refused(486)

    play(story)


def test_a_reinvite_cannot_change_the_family_but_may_hold_without_an_address() -> None:
    """RFC 3264 8.4: 0.0.0.0 is the hold of old, whatever family the session has."""

    async def story(lab: Lab) -> None:
        lab.media.ipv6 = True
        await up(lab, sdp(SIX))
        await asyncio.sleep(10)
        lab.caller.send(lab.caller.request("INVITE", body=sdp("10.0.0.9", version=2)))
        lab.caller.send(lab.caller.ack(await lab.caller.receive_response(488, ignoring=(100,))))
        lab.caller.send(lab.caller.request("INVITE", body=sdp("0.0.0.0", version=3)))
        held = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(held, 200, body=sdp(FIRST[0], 41000, direction="sendonly")))
        await lab.callee.receive("ACK")
        lab.caller.send(lab.caller.ack(await lab.caller.receive_response(200, ignoring=(100,))))
        assert not remotes(lab)[0].sending
        await lab.hang_up()

    play(story)


def test_only_trunks_behind_nat_may_send_from_elsewhere() -> None:
    async def story(lab: Lab) -> None:
        await up(lab, sdp(CALLER[0]))
        assert [remote.nat for remote in remotes(lab)] == [nat == "in", nat == "first"]
        assert [remote.signalling for remote in remotes(lab)] == [CALLER[0], FIRST[0]]
        await lab.hang_up()

    for nat in ("in", "first"):
        lab = Lab()
        lab.set_trunk(nat, nat=True)
        play(story, lab)


def test_rtcp_goes_where_each_side_wants_it() -> None:
    """RFC 3605, RFC 5761 5.1.1: multiplexed only where it was offered to us."""

    async def story(lab: Lab) -> None:
        ported = sdp(FIRST[0], 41000) + b"a=rtcp:42001 IN IP4 10.0.0.21\r\na=rtcp-mux\r\n"
        offered, answered = await up(lab, sdp(CALLER[0]) + b"a=rtcp-mux\r\n", ported)
        assert b"a=rtcp-mux\r\n" in answered and b"rtcp" not in offered
        a, b = remotes(lab)
        assert (a.rtcp_mux, a.rtcp_port, b.rtcp_mux, b.rtcp_port) == (True, 0, False, 42001)
        await lab.hang_up()

    play(story)


def test_a_late_offer_has_the_family_of_the_callers_signalling() -> None:
    async def story(lab: Lab) -> None:
        lab.media.ipv6 = True
        lab.dial(body=b"")
        invite = await lab.ring()
        await lab.pick_up(invite)
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        assert b"c=IN IP4 10.0.0.1\r\n" in ok.body
        lab.caller.send(lab.caller.ack(ok, body=sdp(CALLER[0])))
        await asyncio.sleep(10)
        await lab.hang_up()

    play(story)


def test_a_callee_found_after_the_caller_was_answered_is_offered_what_the_caller_speaks() -> None:
    """A shared X answers to ask for the extension: by then the caller's codec stands."""

    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER, body=b"")
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        assert b" RTP/AVP 8 0 101" in ok.body
        lab.caller.send(lab.caller.ack(ok, body=sdp(CALLER[0], codecs="0 101")))
        await asyncio.sleep(3)
        lab.media.endpoints[0].press("1234")
        invite = await lab.ring()
        assert b" RTP/AVP 0 8 101" in invite.body
        await lab.pick_up(invite)
        await asyncio.sleep(10)
        await lab.hang_up()

    play(story)


def test_what_each_leg_heard_and_what_it_reported_is_in_the_cdr_and_the_metrics() -> None:
    """RFC 3550 6.4.1 and ITU-T G.107."""

    async def story(lab: Lab) -> None:
        await up(lab, sdp(CALLER[0]))
        a, b = lab.endpoints()
        a.told_statistics = EndpointStatistics(990, 1000, 10, 0, 2.0, 50, 12.0, 80.0, reported=True)
        b.told_statistics = EndpointStatistics(packets_sent=5)  # never heard
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.a.round_trip_ms, cdr.a.remote_lost, cdr.a.remote_jitter_ms) == (80.0, 50, 12.0)
        assert cdr.a.mos > cdr.a.remote_mos > 2
        assert (cdr.b.mos, cdr.b.remote_mos) == (0.0, 0.0)
        assert lab.metrics.qualities == [("in", cdr.a.mos)]

    play(story)
