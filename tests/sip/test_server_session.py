"""RFC 3261 9.2 and 13.3: the UAS side of a call and its races, seen by a scripted caller."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.sip.server_session import ServerSession
from softswitch.sip.session import LeakRefused
from tests.support.peer import OFFER, Peer
from tests.support.recorder import SWITCH, Recorder, Switch, hang_up, play, talk
from tests.support.wire import Wire

URI = "sip:100@10.0.0.1"


async def arrive(switch: Switch, phone: Peer) -> tuple[ServerSession, Recorder]:
    """The phone calls."""
    phone.send(phone.invite(URI, body=OFFER), to=SWITCH)
    return await switch.arrived()


async def answered(switch: Switch, phone: Peer) -> tuple[ServerSession, Recorder]:
    """The phone called, we answered, the ACK is here."""
    session, recorder = await arrive(switch, phone)
    session.accept(body=OFFER)
    phone.send(phone.ack(await phone.receive_response(200)))
    await recorder.until("ACK")
    return session, recorder


@pytest.mark.parametrize("timestamp", ["54", "54.21 0.3", None])
def test_100_repeats_the_callers_timestamp(timestamp: str | None) -> None:
    """8.2.6.1: it "MUST be copied into this 100"; no other response bears it."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        headers = [] if timestamp is None else [("Timestamp", timestamp)]
        phone.send(phone.invite("sip:100@10.0.0.1", headers=headers, body=OFFER), to=SWITCH)
        session, _ = await switch.arrived()
        session.trying()
        assert (await phone.receive_response(100)).headers.get("Timestamp") == timestamp
        session.reject(486)
        refused = await phone.receive_response(486)
        assert refused.headers.get("Timestamp") is None
        phone.send(phone.ack(refused))

    play(story)


def test_a_call_rings_is_answered_and_hung_up_by_the_caller() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        assert session.invite.body == OFFER
        assert (session.source.host, session.sip_call_id) == ("10.0.0.9", phone.call_id)
        session.trying()
        session.progress(183, headers=[("X-Early", "yes")], body=b"v=0\r\n")
        session.accept(headers=[("X-Late", "yes")], body=OFFER)
        session.accept()
        session.progress(180)
        session.reject(486)
        trying = await phone.receive_response(100)
        assert trying.to.tag is None
        early = await phone.receive_response(183)
        assert (early.body, early.headers.get("X-Early")) == (b"v=0\r\n", "yes")
        ok = await phone.receive_response(200)
        assert ok.to.tag == early.to.tag == session.local_tag
        assert (ok.body, ok.headers.get("X-Late"), ok.headers.get("Contact")) == (OFFER, "yes", "<sip:10.0.0.1:5060>")
        assert ok.headers.all("Allow")
        phone.send(phone.ack(ok))
        await recorder.until("ACK")
        phone.send(phone.request("BYE", headers=[("Reason", "Q.850;cause=16")]))
        await phone.receive(200)
        assert session.ended
        assert recorder.events == ["ACK", "BYE"]
        session.hang_up()
        await phone.silence(40)

    play(story)


def test_a_rejected_call_is_repeated_until_its_ack() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.reject(486, "Busy", headers=[("Retry-After", "7")])
        refused = await phone.receive_response(486)
        assert (refused.reason, refused.headers.get("Retry-After")) == ("Busy", "7")
        await phone.receive(486)
        phone.send(phone.ack(refused))
        phone.send(phone.ack(refused))
        await phone.silence(40)
        assert session.ended
        assert recorder.events == []

    play(story)


def test_a_rejection_nobody_acks_is_given_up() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.hang_up(status=404, reason="No Such Number")
        session.hang_up()
        await asyncio.sleep(40)
        assert len(wire.sent("404")) == 11
        assert recorder.events == []
        phone.pending()

    play(story)


def test_the_same_invite_twice_is_one_call() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        invite = phone.invite(URI)
        for _ in range(3):
            phone.send(invite, to=SWITCH)
        session, _ = await switch.arrived()
        await asyncio.sleep(0.1)
        session.progress(180)
        phone.send(invite)
        assert await phone.receive(180)
        assert await phone.receive(180)
        assert len(switch.calls) == 1
        assert switch.agent.retransmissions["in", "INVITE", 0] == 3
        session.reject(480)
        phone.send(phone.ack(await phone.receive_response(480)))

    play(story)


def test_the_same_invite_by_two_ways_is_one_call() -> None:
    """8.2.2.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await arrive(switch, phone)
        merged = phone.request("INVITE", cseq=1)
        phone.send(merged, to=SWITCH)
        await phone.receive(482)
        session.reject(480)
        phone.send(phone.ack(await phone.receive_response(480)))

    play(story)


def test_a_cancelled_call_gets_200_for_the_cancel_and_487_for_the_invite() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.progress(180)
        await phone.receive(180)
        for _ in range(2):
            phone.send(phone.cancel([("Reason", "SIP;cause=200")]))
        ok = await phone.receive_response(200)
        assert ok.cseq.method == "CANCEL"
        gone = await phone.receive_response(487)
        await phone.receive(200)
        phone.send(phone.ack(gone))
        cancel = await recorder.until("cancelled")
        assert cancel.headers.get("Reason") == "SIP;cause=200"
        assert recorder.events == ["cancelled"]
        assert session.ended
        session.accept()
        session.hang_up()
        await phone.silence(40)

    play(story)


def test_cancel_crossing_our_200_changes_nothing() -> None:
    """9.2: the caller will ACK and BYE."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.accept()
        phone.send(phone.cancel(), to=SWITCH)
        ok = await phone.receive_response(200)
        assert ok.cseq.method == "INVITE"
        assert (await phone.receive_response(200)).cseq.method == "CANCEL"
        phone.send(phone.ack(ok))
        await recorder.until("ACK")
        phone.send(phone.request("BYE"))
        await phone.receive(200)
        assert recorder.events == ["ACK", "BYE"]

    play(story)


def test_a_cancel_after_the_task_hung_up_is_not_told() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.hang_up()
        phone.send(phone.cancel(), to=SWITCH)
        refused = await phone.receive_response(480)
        assert (await phone.receive_response(200)).cseq.method == "CANCEL"
        phone.send(phone.ack(refused))
        await phone.silence(1)
        assert recorder.events == []

    play(story)


def test_a_200_is_repeated_until_its_ack_comes() -> None:
    """13.3.1.4: T1 doubling to T2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.accept()
        ok = await phone.receive_response(200)
        await asyncio.sleep(8)
        assert [round(sent.at, 3) for sent in wire.sent("200")] == [0, 0.5, 1.5, 3.5, 7.5]
        assert switch.agent.retransmissions["out", "INVITE", 200] == 4
        phone.pending()
        phone.send(phone.ack(ok))
        phone.send(phone.ack(ok))
        await phone.silence(10)
        assert recorder.events == ["ACK"]
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_without_any_ack_the_listener_hears_of_it_and_hangs_up() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.accept()
        await recorder.until("unacknowledged")
        assert asyncio.get_running_loop().time() == pytest.approx(32)
        phone.pending()
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_hang_up_before_the_ack_waits_for_it_and_then_sends_bye() -> None:
    """15: no BYE before the ACK for the 2xx or its time-out."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.accept()
        ok = await phone.receive_response(200)
        session.hang_up(headers=[("Reason", "Q.850;cause=16")])
        assert session.ended
        await phone.silence(0.4)
        phone.send(phone.ack(ok))
        bye = await phone.receive_request("BYE")
        assert bye.headers.get("Reason") == "Q.850;cause=16"
        phone.send(phone.response(bye, 200))
        assert recorder.events == []

    play(story)


def test_hang_up_without_any_ack_sends_bye_after_64_t1() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await arrive(switch, phone)
        session.accept()
        session.hang_up()
        bye = await phone.receive_request("BYE", ignoring=[200])
        assert asyncio.get_running_loop().time() == pytest.approx(32)
        phone.send(phone.response(bye, 200))

    play(story)


def test_requests_after_hang_up_before_the_ack_get_481() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await arrive(switch, phone)
        session.accept()
        ok = await phone.receive_response(200)
        session.hang_up()
        phone.send(phone.request("INFO"))
        await phone.receive(481)
        phone.send(phone.request("BYE"))
        await phone.receive(200)
        phone.send(phone.ack(ok))
        await phone.silence(40)

    play(story)


def test_a_bye_before_the_ack_ends_the_call_and_the_repetition_of_the_200() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.accept()
        ok = await phone.receive_response(200)
        phone.send(phone.request("BYE"))
        assert (await phone.receive_response(200)).cseq.method == "BYE"
        phone.send(phone.ack(ok))
        await phone.silence(40)
        assert recorder.events == ["BYE"]

    play(story)


def test_a_bye_in_the_early_dialog_gets_200_and_the_invite_487() -> None:
    """15.1.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.progress(180)
        await phone.receive(180)
        invite = phone.invite_sent
        phone.send(phone.request("BYE"))
        assert (await phone.receive_response(200)).cseq.method == "BYE"
        phone.invite_sent = invite
        phone.send(phone.ack(await phone.receive_response(487)))
        assert recorder.events == ["BYE"]
        assert session.ended

    play(story)


def test_we_hang_up_an_answered_call() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await answered(switch, phone)
        session.hang_up(headers=[("Reason", "Q.850;cause=102")])
        bye = await phone.receive_request("BYE")
        assert bye.headers.get("Reason") == "Q.850;cause=102"
        assert bye.to.tag == phone.tag
        phone.send(phone.response(bye, 100))
        phone.send(phone.response(bye, 200))
        phone.send(phone.response(bye, 200))
        assert recorder.events == ["ACK"]

    play(story)


def test_byes_that_cross_are_both_answered_and_end_one_call() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await answered(switch, phone)
        session.hang_up()
        phone.send(phone.request("BYE"))
        bye = await phone.receive_request("BYE")
        assert (await phone.receive_response(200)).cseq.method == "BYE"
        phone.send(phone.response(bye, 200))
        assert recorder.events == ["ACK"]

    play(story)


def test_a_bye_nobody_answers_ends_by_timer_f() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await answered(switch, phone)
        session.hang_up()
        await asyncio.sleep(33)
        assert not switch.agent.core.sessions
        assert len(wire.sent("BYE")) == 11

    play(story)


def test_a_late_offer_is_answered_in_the_ack() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.send(phone.invite(URI), to=SWITCH)
        session, recorder = await switch.arrived()
        session.accept(body=OFFER)
        phone.send(phone.ack(await phone.receive_response(200), body=b"v=0\r\n"))
        assert (await recorder.until("ACK")).body == b"v=0\r\n"
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def test_an_ack_on_the_branch_of_the_invite_counts_too() -> None:
    """RFC 6026 7.1: such an ACK reaches the transaction in Accepted, which passes it up."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.accept()
        ok = await phone.receive_response(200)
        ack = phone.ack(ok)
        ack.headers.set("Via", f"SIP/2.0/UDP 10.0.0.9:5060;branch={ok.via.branch};rport")
        phone.send(ack)
        await recorder.until("ACK")
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


def refuse_secrets(data: bytes) -> bytes:
    if b"SECRET" in data:
        raise LeakRefused("number")
    return data


def test_an_answer_withheld_by_the_guard_becomes_500_and_the_call_dies() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.guard = refuse_secrets
        session.progress(183, body=b"SECRET")
        session.accept(body=b"SECRET")
        phone.send(phone.ack(await phone.receive_response(500)))
        assert session.ended
        await recorder.until("dead")

    play(story)


def test_a_refusal_withheld_by_the_guard_becomes_a_bare_500() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await arrive(switch, phone)
        session.guard = refuse_secrets
        session.reject(486, headers=[("Reason", "SECRET")])
        refused = await phone.receive_response(500)
        assert "Reason" not in refused.headers
        phone.send(phone.ack(refused))
        assert recorder.events == []

    play(story)


def test_a_guard_that_refuses_even_the_bare_500_leaves_silence_and_nothing_behind() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        def nothing(data: bytes) -> bytes:
            raise LeakRefused("number")

        session, _ = await arrive(switch, phone)
        session.guard = nothing
        session.hang_up()
        await phone.silence(40)
        assert switch.agent.core.leaks_refused == 2

    play(story)


def test_an_answer_that_gets_lost_and_an_ack_that_gets_lost_are_repaired() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        wire.lose("200")
        wire.lose("ACK")
        session, recorder = await arrive(switch, phone)
        session.accept()
        for _ in range(2):
            phone.send(phone.ack(await phone.receive_response(200)))
        await recorder.until("ACK")
        phone.send(phone.request("BYE"))
        await phone.receive(200)

    play(story)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO"])
def test_an_unknown_extension_required_inside_the_dialog_is_named_and_the_call_goes_on(method: str) -> None:
    """8.2.2.3."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request(method, headers=[("Require", "x-never, x-heard")]))
        refused = await phone.receive_response(420)
        assert refused.headers.get("Unsupported") == "x-never, x-heard"
        if method == "INVITE":
            phone.send(phone.ack(refused))
        assert recorder.events == ["ACK"]
        await hang_up(phone)

    play(story)


def test_ack_and_cancel_are_not_asked_what_they_require() -> None:
    """8.2.2.3: a Require on them is to be ignored."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER), to=SWITCH)
        session, recorder = await switch.arrived()
        session.progress(180)
        phone.send(phone.cancel(headers=[("Require", "x-never")]))
        await phone.receive(200, ignoring=(180,))
        refused = await phone.receive_response(487)
        ack = phone.ack(refused)
        ack.headers.add("Require", "x-never")
        phone.send(ack)
        await phone.silence(1)
        assert recorder.events == ["cancelled"]

    play(story)
