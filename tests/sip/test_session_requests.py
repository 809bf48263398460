"""RFC 3261 12.2 and 14: requests of ours inside a dialog, whichever side made it."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.errors import RemoteProtocolError
from softswitch.sip.session import LeakRefused
from tests.support.peer import OFFER, Peer
from tests.support.recorder import Recorder, Switch, hang_up, play, talk
from tests.support.wire import Wire


def refuse_secrets(data: bytes) -> bytes:
    if b"SECRET" in data:
        raise LeakRefused("number")
    return data


def test_an_info_of_ours_is_answered() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INFO", body=b"Signal=5\r\n", content_type="application/dtmf-relay")
        info = await phone.receive_request("INFO")
        assert (info.body, info.content_type, str(info.cseq)) == (b"Signal=5\r\n", "application/dtmf-relay", "1 INFO")
        assert "Contact" not in info.headers
        phone.send(phone.response(info, 100))
        phone.send(phone.response(info, 200, headers=[("X-Y", "z")]))
        assert (await answer).headers.get("X-Y") == "z"
        await hang_up(phone)

    play(story)


def test_our_reinvite_is_acked_and_acked_again_when_its_200_comes_again() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INVITE", body=OFFER)
        assert session.invite_under_way
        invite = await phone.receive_request("INVITE")
        assert invite.headers.get("Contact") == "<sip:10.0.0.1:5060>"
        phone.send(phone.response(invite, 180))
        ok = phone.response(invite, 200, body=OFFER)
        phone.send(ok)
        assert (await answer).body == OFFER
        ack = await phone.receive_request("ACK")
        assert (str(ack.cseq), ack.body) == ("1 ACK", b"")
        phone.send(ok)
        await phone.receive("ACK")
        assert not session.invite_under_way
        await hang_up(phone)

    play(story)


def test_a_2xx_moves_the_remote_target() -> None:
    """12.2.1.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        moved = Peer(wire, ("10.0.0.8", 5070))
        answer = session.request("UPDATE")
        ok = phone.response(await phone.receive_request("UPDATE"), 200)
        ok.headers.set("Contact", "<sip:moved@10.0.0.8:5070>")
        phone.send(ok)
        await answer
        session.hang_up()
        bye = await moved.receive_request("BYE")
        assert bye.uri == "sip:moved@10.0.0.8:5070"
        moved.send(moved.response(bye, 200))

    play(story)


def test_only_one_reinvite_at_a_time() -> None:
    """14.1."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INVITE")
        with pytest.raises(RemoteProtocolError):
            session.request("INVITE")
        phone.send(phone.response(await phone.receive_request("INVITE"), 488))
        assert (await answer).status == 488
        await phone.receive("ACK")
        await hang_up(phone)

    play(story)


def test_no_request_inside_a_dialog_that_does_not_exist_yet() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        with pytest.raises(RemoteProtocolError):
            session.request("INFO")
        phone.send(phone.response(await phone.receive_request("INVITE"), 486))
        await phone.receive("ACK")
        assert (await session.request("INFO")).status == 481

    play(story)


def test_glare_each_side_refuses_the_others_reinvite_with_491() -> None:
    """14.1, 14.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        answer = session.request("INVITE", body=OFFER)
        phone.send(phone.request("INVITE", body=OFFER))
        ours = await phone.receive_request("INVITE")
        pending = await phone.receive_response(491)
        phone.send(phone.ack(pending))
        phone.send(phone.response(ours, 491))
        await phone.receive("ACK")
        assert (await answer).status == 491
        assert recorder.events == ["ACK"]
        await hang_up(phone)

    play(story)


def test_481_kills_the_dialog_without_bye() -> None:
    """12.2.1.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        answer = session.request("INFO")
        phone.send(phone.response(await phone.receive_request("INFO"), 481))
        assert (await answer).status == 481
        await recorder.until("dead")
        assert session.ended
        session.hang_up()
        await phone.silence(40)

    play(story)


def test_silence_kills_the_dialog_and_a_bye_says_so() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        assert (await session.request("OPTIONS")).status == 408
        await recorder.until("dead")
        assert session.ended
        bye = await phone.receive_request("BYE", ignoring=["OPTIONS"])
        phone.send(phone.response(bye, 200))

    play(story)


def test_silence_behind_the_first_word_about_a_reinvite_kills_the_dialog_too() -> None:
    """No timer of the transaction runs then (17.1.1.2); each word but 100 gives as long again (16.7)."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        answer = session.request("INVITE", body=OFFER)
        invite = await phone.receive_request("INVITE")
        for status in (100, 183, 100):
            phone.send(phone.response(invite, status))
            await asyncio.sleep(90)
        assert not answer.done()
        assert (await answer).status == 408
        await recorder.until("dead")
        phone.send(phone.response(await phone.receive_request("BYE"), 200))
        phone.send(phone.response(invite, 200, body=OFFER))  # nobody's any more
        await phone.silence(1)

    play(story)


@pytest.mark.parametrize("late", [False, True])
def test_a_reinvite_that_a_bye_overtook_is_not_kept_for_ever_where_nobody_ends_it(late: bool) -> None:
    """15.1.2 recommends a 487."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        answer = session.request("INVITE", body=OFFER)
        trying = phone.response(await phone.receive_request("INVITE"), 100)
        if not late:
            phone.send(trying)
        await hang_up(phone)
        if late:
            phone.send(trying)
        assert (await answer).status == 481
        await phone.silence(34)
        assert not switch.agent.core.transactions
        switch.agent.core.abandon("gone", "INVITE")
        assert recorder.events == ["ACK", "BYE"]

    play(story)


def test_two_requests_answered_481_kill_the_dialog_once() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        answers = [session.request("INFO"), session.request("INFO")]
        for _ in range(2):
            phone.send(phone.response(await phone.receive_request("INFO"), 481))
        assert [(await answer).status for answer in answers] == [481, 481]
        await phone.silence(1)
        assert recorder.events == ["ACK", "dead"]

    play(story)


def test_a_transport_error_answers_with_503() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        wire.refused.add(phone.address)
        answer = session.request("INFO")
        assert (await answer).status == 503
        wire.refused.clear()
        await hang_up(phone)
        assert recorder.events == ["ACK", "BYE"]

    play(story)


def test_a_bye_resolves_what_we_asked_and_answers_what_we_owe() -> None:
    """15.1.2: pending requests get 487."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await talk(switch, phone)
        answer = session.request("INFO")
        info = await phone.receive_request("INFO")
        phone.send(phone.request("UPDATE"))
        await recorder.until("UPDATE")
        phone.send(phone.request("BYE"))
        assert (await phone.receive_response(200)).cseq.method == "BYE"
        assert (await phone.receive_response(487)).cseq.method == "UPDATE"
        assert (await answer).status == 481
        phone.send(phone.response(info, 200))
        recorder.requests[0].respond(200)
        await phone.silence(40)

    play(story)


def test_who_stops_waiting_leaves_the_reinvite_to_be_acked() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INVITE", body=OFFER)
        other = session.request("INFO")
        answer.cancel()
        other.cancel()
        phone.send(phone.response(await phone.receive_request("INVITE"), 200, body=OFFER))
        await phone.receive_request("INFO")
        await phone.receive("ACK")
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("BYE"), 200))
        await asyncio.sleep(33)
        phone.pending()

    play(story)


def test_a_request_withheld_by_the_guard_is_answered_500_here() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await talk(switch, phone)
        session.guard = refuse_secrets
        answer = await session.request("INFO", body=b"SECRET")
        assert (answer.status, answer.reason) == (500, "Withheld")
        await phone.silence(1)
        await hang_up(phone)

    play(story)


def test_481_in_the_early_dialog_is_told_and_hang_up_still_cancels() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        answer = session.request("UPDATE")
        phone.send(phone.response(await phone.receive_request("UPDATE"), 481))
        assert (await answer).status == 481
        await recorder.until("dead")
        assert not session.ended
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("CANCEL"), 200))
        phone.send(phone.response(invite, 487))
        await phone.receive("ACK")

    play(story)
