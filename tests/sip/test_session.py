"""RFC 3261 12.2 and 14: what happens inside a confirmed dialog, whichever side made it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from softswitch.errors import RemoteProtocolError
from softswitch.sip.addresses import Hop
from softswitch.sip.message import SipResponse
from softswitch.sip.session import MOST_UNANSWERED, InDialogRequest, Session, local_response
from tests.support.peer import OFFER, Peer
from tests.support.recorder import SWITCH, Recorder, Switch, hang_up, play, talk
from tests.support.wire import Wire

# Requests of the other side


def test_the_callee_may_reinvite_once_it_has_answered_and_not_before() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        phone.send(phone.request("INVITE", body=OFFER))
        phone.send(phone.ack(await phone.receive_response(500)))
        phone.send(phone.request("UPDATE"))
        (await recorder.until("UPDATE")).respond(200)
        await phone.receive(200)
        phone.send(phone.response(invite, 200))
        await recorder.until("answered 200")
        session.acknowledge()
        await phone.receive("ACK")
        phone.send(phone.request("INVITE", body=OFFER))
        (await recorder.until("INVITE")).respond(200)
        phone.send(phone.ack(await phone.receive_response(200)))
        await hang_up(phone)

    play(story)


def test_an_ack_with_a_wrong_number_does_not_stop_the_200() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.send(phone.invite("sip:100@10.0.0.1"), to=SWITCH)
        session, recorder = await switch.arrived()
        session.accept()
        ok = await phone.receive_response(200)
        wrong = phone.ack(ok)
        wrong.headers.set("CSeq", "99 ACK")
        phone.send(wrong)
        await phone.receive(200)
        assert recorder.events == []
        phone.send(phone.ack(ok))
        await recorder.until("ACK")
        await hang_up(phone)

    play(story)


def test_a_reinvite_is_asked_answered_and_its_200_repeated_until_the_ack() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        phone.send(phone.request("INVITE", body=OFFER))
        asked: InDialogRequest = await recorder.until("INVITE")
        assert session.invite_under_way
        with pytest.raises(RemoteProtocolError):
            session.request("INVITE")
        asked.respond(180)
        asked.respond(200, headers=[("X-Y", "z")], body=OFFER)
        asked.respond(500)
        await phone.receive(180)
        ok = await phone.receive_response(200)
        assert session.unacknowledged
        with pytest.raises(RemoteProtocolError):  # RFC 3261 14.1: not before the ACK
            session.request("INVITE")
        assert (ok.body, ok.headers.get("X-Y"), ok.headers.get("Contact")) == (OFFER, "z", "<sip:10.0.0.1:5060>")
        await phone.receive(200)
        phone.send(phone.ack(ok, body=b"v=0\r\n"))
        await asyncio.sleep(1)
        assert recorder.events == ["ACK", "INVITE", "ACK"]
        await hang_up(phone)

    play(story)


def test_a_reinvite_never_acked_is_told() -> None:
    """14.2: a BYE is due then."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        phone.send(phone.request("INVITE"))
        (await recorder.until("INVITE")).respond(200)
        await recorder.until("unacknowledged")
        phone.pending()
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_a_refused_reinvite_leaves_the_call_up() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        phone.send(phone.request("INVITE"))
        (await recorder.until("INVITE")).respond(488, reason="No")
        refused = await phone.receive_response(488)
        assert refused.reason == "No"
        phone.send(phone.ack(refused))
        assert not session.ended
        await hang_up(phone)

    play(story)


def test_a_second_update_before_the_first_is_answered_gets_500_with_retry_after() -> None:
    """RFC 3311 5.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("UPDATE", body=OFFER))
        asked = await recorder.until("UPDATE")
        phone.send(phone.request("UPDATE", body=OFFER))
        assert (await phone.receive_response(500)).headers.get("Retry-After") is not None
        asked.respond(200)
        await phone.receive(200)
        await hang_up(phone)

    play(story)


def test_an_offer_in_an_update_is_500_while_a_reinvites_offer_is_unanswered() -> None:
    """RFC 3311 5.2; an UPDATE without an offer is none of that."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("INVITE", body=OFFER))
        asked = await recorder.until("INVITE")
        phone.send(phone.request("UPDATE", body=OFFER))
        assert (await phone.receive_response(500)).headers.get("Retry-After") is not None
        phone.send(phone.request("UPDATE"))
        (await recorder.until("UPDATE")).respond(200)
        await phone.receive(200)
        asked.respond(488)
        phone.send(phone.ack(await phone.receive_response(488)))
        await hang_up(phone)

    play(story)


def test_an_offer_in_an_update_is_491_while_ours_in_a_reinvite_is_unanswered() -> None:
    """RFC 3311 5.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        session.request("INVITE", body=OFFER)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.request("UPDATE", body=OFFER))
        await phone.receive_response(491)
        phone.send(phone.request("UPDATE"))
        (await recorder.until("UPDATE")).respond(200)
        await phone.receive(200)
        phone.send(phone.response(invite, 200, body=OFFER))
        await phone.receive("ACK")
        await hang_up(phone)

    play(story)


def test_a_flood_of_requests_inside_a_dialog_does_not_pile_up() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        for _ in range(1000):
            phone.send(phone.request("INFO", body=b"x"))
        for _ in range(1000 - MOST_UNANSWERED):
            await phone.receive(500)
        assert recorder.events.count("INFO") == MOST_UNANSWERED
        for asked in recorder.requests:
            asked.respond(200)
            await phone.receive(200)
        phone.send(phone.request("INFO", body=b"x"))
        await phone.silence(0.1)
        recorder.requests[-1].respond(200)
        await phone.receive(200)
        await hang_up(phone)

    play(story)


def test_how_long_to_wait_is_chosen_at_random() -> None:
    """14.2: "a randomly chosen value of between 0 and 10 seconds"; two who wait as long would meet again."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("UPDATE"))
        asked = await recorder.until("UPDATE")
        waits = set[int]()
        for _ in range(200):
            phone.send(phone.request("UPDATE"))
            waits.add(int((await phone.receive_response(500)).headers.get("Retry-After") or ""))
        assert waits == set(range(11))
        asked.respond(200)
        await phone.receive(200)
        await hang_up(phone)

    play(story)


def test_a_second_reinvite_before_the_first_is_answered_gets_500_with_retry_after() -> None:
    """14.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("INVITE"))
        asked = await recorder.until("INVITE")
        first = phone.request("INVITE")
        phone.send(first)
        busy = await phone.receive_response(500)
        assert busy.headers.get("Retry-After") is not None
        phone.send(phone.ack(busy))
        asked.respond(200)
        phone.send(phone.ack(await phone.receive_response(200)))
        await hang_up(phone)

    play(story)


def test_a_cancelled_reinvite_gets_487_and_the_call_stays_up() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        phone.invite_sent = phone.request("INVITE")
        phone.send(phone.invite_sent)
        await recorder.until("INVITE")
        phone.send(phone.cancel())
        assert (await phone.receive_response(200)).cseq.method == "CANCEL"
        phone.send(phone.ack(await phone.receive_response(487)))
        recorder.requests[0].respond(200)
        await phone.silence(5)
        assert not session.ended
        await hang_up(phone)

    play(story)


def test_an_ack_for_a_reinvite_on_its_own_branch_counts_too() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("INVITE"))
        (await recorder.until("INVITE")).respond(200)
        ok = await phone.receive_response(200)
        ack = phone.ack(ok)
        ack.headers.set("Via", f"SIP/2.0/UDP 10.0.0.9:5060;branch={ok.via.branch};rport")
        phone.send(ack)
        await phone.silence(1)
        assert recorder.events == ["ACK", "INVITE", "ACK"]
        await hang_up(phone)

    play(story)


def test_a_reinvite_refused_and_never_acked_ends_with_its_transaction() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("INVITE"))
        (await recorder.until("INVITE")).respond(488)
        await asyncio.sleep(40)
        phone.pending()
        await hang_up(phone)

    play(story)


def test_options_inside_the_dialog_is_answered_without_asking() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("OPTIONS"))
        answer = await phone.receive_response(200)
        assert answer.headers.all("Allow")
        assert answer.headers.all("Accept") == ["application/sdp"]  # 11: as outside the dialog
        assert recorder.events == ["ACK"]
        await hang_up(phone)

    play(story)


def test_a_request_out_of_order_gets_500_and_changes_nothing() -> None:
    """12.2.2: also what a stranger who guesses the sequence number wrong would get."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        phone.cseq = 10
        phone.send(phone.request("OPTIONS"))
        await phone.receive(200)
        for number in (5, 11):
            phone.send(phone.request("BYE", cseq=number))
            await phone.receive(500)
        assert not session.ended
        phone.cseq = 11
        await hang_up(phone)
        assert recorder.events == ["ACK", "BYE"]

    play(story)


def test_a_request_that_lacks_our_tag_or_bears_a_strange_one_is_not_of_this_dialog() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        for header, value, status in (
            ("To", "<sip:100@10.0.0.1>", 405),
            ("To", "<sip:100@10.0.0.1>;tag=other", 481),
            ("From", "<sip:peer@10.0.0.9>;tag=other", 481),
            ("From", "<sip:peer@10.0.0.9>", 481),
            ("Call-ID", "other", 481),
        ):
            bye = phone.request("BYE")
            bye.headers.set(header, value)
            phone.send(bye)
            await phone.receive(status)
        assert not session.ended
        await hang_up(phone)

    play(story)


def test_a_listener_that_raises_hurts_nobody_and_its_request_gets_500(caplog: pytest.LogCaptureFixture) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)

        def broken(request: InDialogRequest) -> None:
            raise ZeroDivisionError

        recorder.answer = broken
        with caplog.at_level(logging.CRITICAL + 1):
            phone.send(phone.request("INFO"))
            await phone.receive(500)
        recorder.until = recorder.on_bye = None  # type: ignore[assignment, method-assign]
        await hang_up(phone)

    play(story)


def test_what_happens_before_a_listener_is_set_is_told_on_setting_it() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        invite = await phone.receive_request("INVITE")
        for status in (100, 180, 200):
            phone.send(phone.response(invite, status))
        await asyncio.sleep(0.1)
        session.listener = None
        recorder = Recorder(session)
        assert recorder.events == ["100", "180", "answered 200"]
        assert session.listener is recorder
        session.hang_up()
        await phone.receive("ACK")
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_remote_is_where_the_last_request_came_from() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        moved = Peer(wire, ("10.0.0.8", 5070))
        moved.send(phone.request("OPTIONS"), to=SWITCH)
        await moved.receive(200)
        assert session.remote == Hop("udp", "10.0.0.8", 5070)
        await hang_up(phone)

    play(story)


def test_header_values_can_not_smuggle_in_a_line() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        for value in ("a\r\nX: y", "a\nX: y", "a\rX: y"):
            with pytest.raises(ValueError, match="line break"):
                session.request("INFO", headers=[("X", value)])
        await hang_up(phone)

    play(story)


def test_a_local_response_says_what_it_stands_for() -> None:
    response = local_response(408)
    assert isinstance(response, SipResponse)
    assert (response.status, response.reason, len(response.headers)) == (408, "Request Timeout", 0)


def test_a_bare_session_does_not_know_its_side() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        with pytest.raises(NotImplementedError):
            Session.hang_up(session)
        with pytest.raises(NotImplementedError):
            _ = Session.confirmed.fget(session)  # type: ignore[attr-defined]
        await hang_up(phone)

    play(story)
