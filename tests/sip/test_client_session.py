"""RFC 3261 9.1 and 13.2: the UAC side of a call and its races, seen by a scripted callee."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.sip.client_session import FORKS
from softswitch.sip.message import SipRequest
from tests.support.peer import OFFER, Peer
from tests.support.recorder import PHONE, SWITCH, Recorder, Switch, play
from tests.support.wire import Wire


async def answered(switch: Switch, phone: Peer) -> tuple[Recorder, SipRequest]:
    """A call answered and acknowledged; its recorder and the INVITE."""
    session = switch.call()
    recorder = Recorder(session)
    invite = await phone.receive_request("INVITE")
    phone.send(phone.response(invite, 200, body=OFFER))
    await recorder.until("answered 200")
    session.acknowledge()
    await phone.receive("ACK")
    return recorder, invite


def test_a_call_is_answered_talks_and_is_hung_up_by_us() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(headers=[("P-Asserted-Identity", "<sip:x@10.0.0.1>")])
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        assert invite.headers.get("P-Asserted-Identity") == "<sip:x@10.0.0.1>"
        assert (invite.max_forwards, invite.body, invite.content_type) == (70, OFFER, "application/sdp")
        assert invite.contact is not None
        assert invite.headers.all("Allow")
        for status in (100, 180, 200):
            phone.send(phone.response(invite, status))
        await recorder.until("answered 200")
        session.acknowledge()
        session.acknowledge()
        ack = await phone.receive_request("ACK")
        assert (ack.uri, str(ack.cseq), ack.to.tag) == (f"sip:peer@{PHONE[0]}:5060", "1 ACK", phone.tag)
        session.hang_up(headers=[("Reason", "Q.850;cause=16")])
        session.hang_up()
        assert session.ended
        bye = await phone.receive_request("BYE")
        assert bye.headers.get("Reason") == "Q.850;cause=16"
        assert str(bye.cseq) == "2 BYE"
        phone.send(phone.response(bye, 200))
        assert recorder.events == ["100", "180", "answered 200"]
        assert session.remote.host == PHONE[0]

    play(story)


def test_max_forwards_of_the_call_layer_replaces_ours() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        switch.call(headers=[("Max-Forwards", "5")])
        invite = await phone.receive_request("INVITE")
        assert invite.headers.all("Max-Forwards") == ["5"]
        phone.send(phone.response(invite, 486))

    play(story)


def test_a_refused_call_is_acked_and_over() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 486))
        ack = await phone.receive_request("ACK")
        assert ack.via.branch == invite.via.branch
        assert session.ended
        session.hang_up()
        session.acknowledge()
        await phone.silence(40)
        assert recorder.events == ["refused 486"]

    play(story)


def test_nobody_answers_and_the_call_is_refused_with_408() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call())
        await recorder.until("refused 408")
        assert asyncio.get_running_loop().time() == pytest.approx(32)
        assert wire.labels() == ["INVITE"] * 7
        phone.pending()

    play(story)


def test_a_transport_error_refuses_the_call_with_503() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        wire.refused.add(PHONE)
        recorder = Recorder(switch.call())
        await recorder.until("refused 503")

    play(story)


def test_hang_up_before_a_provisional_waits_with_its_cancel_until_one_comes() -> None:
    """9.1: no CANCEL before a provisional response."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        session.hang_up(headers=[("Reason", "SIP;cause=487")])
        session.hang_up()
        await phone.silence(0.3)
        phone.send(phone.response(invite, 100))
        cancel = await phone.receive_request("CANCEL")
        assert cancel.via.branch == invite.via.branch
        assert (cancel.uri, str(cancel.cseq), cancel.to.tag) == (invite.uri, "1 CANCEL", None)
        assert cancel.headers.get("Reason") == "SIP;cause=487"
        phone.send(phone.response(invite, 180))
        phone.send(phone.response(cancel, 200))
        phone.send(phone.response(invite, 487))
        await phone.receive("ACK")
        await phone.silence(1)
        assert recorder.events == []

    play(story)


def test_hang_up_before_a_provisional_and_a_refusal_first_needs_no_cancel() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        invite = await phone.receive_request("INVITE")
        session.hang_up()
        phone.send(phone.response(invite, 486))
        await phone.receive("ACK")
        await phone.silence(40)

    play(story)


def test_hang_up_before_a_provisional_and_a_2xx_first_is_acked_and_byed() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        invite = await phone.receive_request("INVITE")
        session.hang_up()
        phone.send(phone.response(invite, 200))
        await phone.receive("ACK")
        phone.send(phone.response(await phone.receive_request("BYE"), 200))
        await phone.silence(40)

    play(story)


def test_hang_up_without_any_answer_ends_by_timer_b() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        switch.call().hang_up()
        await asyncio.sleep(33)
        assert not switch.agent.core.sessions
        assert set(wire.labels()) == {"INVITE"}

    play(story)


def test_200_crossing_our_cancel_is_acked_and_byed() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        phone.send(phone.response(invite, 200))
        session.hang_up(headers=[("Reason", "Q.850;cause=16")])
        cancel = await phone.receive_request("CANCEL")
        phone.send(phone.response(cancel, 200))
        await phone.receive("ACK")
        bye = await phone.receive_request("BYE")
        assert bye.headers.get("Reason") == "Q.850;cause=16"
        phone.send(phone.response(bye, 200))
        await phone.silence(40)
        assert recorder.events == ["180"]

    play(story)


def test_a_2xx_long_after_our_cancel_is_still_acked_and_byed() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("CANCEL"), 481))
        await asyncio.sleep(20)
        phone.send(phone.response(invite, 200))
        await phone.receive("ACK")
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_an_unanswered_cancel_is_repeated_and_given_up_after_64_t1() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        session.hang_up()
        await asyncio.sleep(33)
        assert len(wire.sent("CANCEL")) == 11
        assert not switch.agent.core.sessions
        phone.pending()
        phone.send(phone.response(invite, 200))  # a stray by now
        await phone.silence(1)

    play(story)


def test_487_after_cancel_is_acked_each_time_it_comes() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("CANCEL"), 200))
        for _ in range(3):
            phone.send(phone.response(invite, 487))
            await phone.receive("ACK")
        assert switch.agent.retransmissions["in", "INVITE", 487] == 2

    play(story)


def test_a_repeated_200_is_acked_again_with_the_same_ack() -> None:
    """13.2.2.4."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder, invite = await answered(switch, phone)
        phone.send(phone.response(invite, 200))
        await phone.receive("ACK")
        first, second = wire.sent("ACK")
        assert first.data == second.data
        assert recorder.events == ["answered 200"]
        assert switch.agent.retransmissions["out", "ACK", 0] == 1
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_a_repeated_200_before_the_call_layer_acked_waits_for_it() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(body=b"")
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 200, body=OFFER))
        phone.send(phone.response(invite, 200, body=OFFER))
        await phone.silence(0.2)
        assert recorder.events == ["answered 200"]
        session.acknowledge(b"v=0\r\n")
        ack = await phone.receive_request("ACK")
        assert (ack.body, ack.content_type) == (b"v=0\r\n", "application/sdp")
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_a_repeated_200_after_our_bye_is_still_acked() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 200))
        await recorder.until("answered 200")
        session.hang_up()
        await phone.receive("ACK")
        phone.send(phone.response(await phone.receive_request("BYE"), 200))
        await asyncio.sleep(1)
        phone.send(phone.response(invite, 200))
        await phone.receive("ACK")

    play(story)


def test_a_second_fork_that_answers_is_acked_and_byed_and_its_repetitions_acked() -> None:
    """13.2.2.4: a forked INVITE may bring several 2xx."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder, invite = await answered(switch, phone)
        phone.send(phone.response(invite, 200, tag="fork"))
        assert (await phone.receive_request("ACK")).to.tag == "fork"
        bye = await phone.receive_request("BYE")
        assert (bye.to.tag, str(bye.cseq)) == ("fork", "2 BYE")
        phone.send(phone.response(bye, 200))
        phone.send(phone.response(invite, 200, tag="fork"))
        assert (await phone.receive_request("ACK")).to.tag == "fork"
        await phone.silence(5)
        assert recorder.events == ["answered 200"]
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_a_flood_of_forks_that_answer_makes_us_neither_keep_nor_send_more() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, invite = await answered(switch, phone)
        for number in range(1000):
            phone.send(phone.response(invite, 200, tag=f"fork-{number}"))
        await asyncio.sleep(40)
        told = phone.pending()
        assert told.count("ACK") == FORKS
        assert len(switch.agent.core.transactions) == 0
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_a_fork_that_rang_loses_against_one_that_answers() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180, tag="fork"))
        phone.send(phone.response(invite, 183))
        phone.send(phone.response(invite, 200))
        await recorder.until("answered 200")
        session.acknowledge()
        assert (await phone.receive_request("ACK")).to.tag == phone.tag
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_what_each_fork_asks_before_the_answer_is_heard_in_its_own_dialog() -> None:
    """12.1, 12.2.2: each has numbers of its own; a BYE of one must not end what another may answer."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        recorder.answer = lambda request: request.respond(200)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 183))
        phone.send(phone.response(invite, 180, tag="fork"))
        phone.send(phone.response(invite, 183, tag="fork"))
        await asyncio.sleep(0.1)
        own = phone.local
        for local, cseq in ((own, 70), (own.replace(phone.tag, "fork"), 7)):
            phone.local = local
            phone.send(phone.request("UPDATE", cseq=cseq))
            await phone.receive(200)
        phone.send(phone.request("BYE"))
        await phone.receive(481)
        phone.send(phone.response(invite, 200, tag="fork"))
        await recorder.until("answered 200")
        session.acknowledge()
        assert (await phone.receive_request("ACK")).to.tag == "fork"
        phone.local = own
        phone.send(phone.request("UPDATE", cseq=71))
        await phone.receive(481)  # that one has lost
        phone.local = own.replace(phone.tag, "fork")
        phone.send(phone.request("UPDATE", cseq=7))
        await phone.receive(500)  # it has had that number
        phone.send(phone.request("BYE", cseq=8))
        await phone.receive(200)

    play(story)


@pytest.mark.parametrize("refresher", ["uas", "uac"])
def test_what_one_fork_says_of_session_timers_before_the_answer_is_no_others_affair(refresher: str) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call())
        recorder.answer = lambda request: request.respond(200)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 183))
        phone.send(phone.response(invite, 180, tag="fork"))
        timed = [("Supported", "timer"), ("Session-Expires", f"90;refresher={refresher}"), ("Allow", "UPDATE")]
        own, phone.local = phone.local, phone.local.replace(phone.tag, "fork")
        phone.send(phone.request("UPDATE", headers=timed))
        await phone.receive(200)
        await phone.silence(100)
        phone.local = own
        phone.send(phone.response(invite, 603))
        await recorder.until("refused 603")
        assert recorder.events == ["183", "180", "UPDATE", "refused 603"]

    play(story, supported=["timer"])


def test_the_same_fork_ringing_and_answering_is_one_dialog() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180, headers=[("Record-Route", "<sip:10.0.0.9:5060;lr>")]))
        phone.send(phone.response(invite, 200, headers=[("Record-Route", "<sip:10.0.0.9:5060;lr;late>")]))
        await recorder.until("answered 200")
        session.acknowledge()
        assert (await phone.receive_request("ACK")).headers.all("Route") == ["<sip:10.0.0.9:5060;lr;late>"]
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_a_bye_in_the_early_dialog_ends_the_call_and_gives_the_invite_up_in_the_end() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call())
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        phone.send(phone.request("BYE"))
        await phone.receive(200)
        assert recorder.events == ["180", "BYE"]

    play(story)


def test_a_bye_that_overtakes_its_200_ends_the_call_and_the_200_is_acked_only() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call())
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        ok = phone.response(invite, 200)
        phone.send(phone.request("BYE"))
        await phone.receive(200)
        phone.send(ok)
        await phone.receive("ACK")
        await phone.silence(40)
        assert recorder.events == ["180", "BYE"]

    play(story)


def test_a_bye_in_the_early_dialog_followed_by_a_refusal_is_told_once() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call())
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        phone.send(phone.request("BYE"))
        await phone.receive(200)
        phone.send(phone.response(invite, 487))
        await phone.receive("ACK")
        assert recorder.events == ["180", "BYE"]

    play(story)


def test_byes_that_cross_are_both_answered() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder, _ = await answered(switch, phone)
        session = next(iter(switch.agent.core.sessions.values()))
        session.hang_up()
        phone.send(phone.request("BYE"))
        bye = await phone.receive_request("BYE")
        await phone.receive(200)
        phone.send(phone.response(bye, 481))
        assert recorder.events == ["answered 200"]

    play(story)


def test_stray_responses_are_dropped() -> None:
    """18.1.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, invite = await answered(switch, phone)
        stray = phone.response(invite, 200)
        stray.headers.set("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKother")
        phone.send(stray)
        await phone.silence(1)
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_lost_invite_and_lost_200_are_repaired() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        wire.lose("INVITE")
        recorder, _ = await answered(switch, phone)
        assert recorder.events == ["answered 200"]
        assert switch.agent.retransmissions["out", "INVITE", 0] == 1
        wire.lose("BYE")
        next(iter(switch.agent.core.sessions.values())).hang_up()
        phone.send(phone.response(await phone.receive_request("BYE"), 200))
        assert wire.sent("BYE", source=SWITCH)[0].copies == 0

    play(story)
