"""RFC 3261 22: calls of ours through a peer that challenges INVITE and what follows inside the dialog."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.sip.digest import Account, parse_credentials, proves
from softswitch.sip.message import SipRequest
from softswitch.sip.session import LeakRefused
from tests.support.peer import OFFER, Peer
from tests.support.recorder import SWITCH, Recorder, Switch, play
from tests.support.wire import Wire

ACCOUNT = Account("us", "secret")


def challenge(nonce: str = "1", *, stale: bool = False) -> list[tuple[str, str]]:
    words = ", stale=true" if stale else ""
    return [("Proxy-Authenticate", f'Digest realm="r", nonce="{nonce}", algorithm=MD5, qop="auth"{words}')]


def shown(request: SipRequest) -> str:
    """The nonce of a right proof, "" where there is none."""
    text = request.headers.get("Proxy-Authorization")
    if text is None:
        return ""
    credentials = parse_credentials(text)
    method = "INVITE" if request.method == "ACK" else request.method
    assert (credentials.response, credentials.uri) == (proves(credentials, ACCOUNT, method), credentials.uri)
    return credentials.nonce


async def refuse(phone: Peer, method: str, status: int = 407, nonce: str = "1", *, stale: bool = False) -> SipRequest:
    request = await phone.receive_request(method)
    phone.send(phone.response(request, status, headers=challenge(nonce, stale=stale)))
    if method == "INVITE":
        await phone.receive("ACK")
    return request


async def talking(switch: Switch, phone: Peer) -> tuple[Recorder, SipRequest]:
    """A call that was challenged, answered and acknowledged."""
    session = switch.call(account=ACCOUNT)
    recorder = Recorder(session)
    await refuse(phone, "INVITE")
    invite = await phone.receive_request("INVITE")
    phone.send(phone.response(invite, 200, body=OFFER))
    await recorder.until("answered 200")
    session.acknowledge()
    return recorder, invite


def test_a_challenged_invite_goes_out_again_and_its_ack_repeats_the_proof() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(account=ACCOUNT)
        recorder = Recorder(session)
        first = await refuse(phone, "INVITE")
        second = await phone.receive_request("INVITE")
        assert (shown(first), shown(second)) == ("", "1")
        assert (second.call_id, second.from_, second.uri) == (first.call_id, first.from_, first.uri)
        assert (first.cseq.number, second.cseq.number, second.body) == (1, 2, first.body)
        assert second.via.branch != first.via.branch
        phone.send(phone.response(second, 200, body=OFFER))
        await recorder.until("answered 200")
        session.acknowledge()
        ack = await phone.receive_request("ACK")
        assert (ack.cseq.number, shown(ack)) == (2, "1")  # 22.1: the ACK duplicates the INVITE's credentials
        session.hang_up()
        bye = await phone.receive_request("BYE")
        assert bye.cseq.number == 3
        phone.send(phone.response(bye, 200))
        assert recorder.events == ["answered 200"]

    play(story)


def test_a_stale_nonce_is_followed_by_its_successor() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call(account=ACCOUNT))
        await refuse(phone, "INVITE")
        await refuse(phone, "INVITE", nonce="2", stale=True)
        third = await phone.receive_request("INVITE")
        assert (shown(third), third.cseq.number) == ("2", 3)
        phone.send(phone.response(third, 486))
        await recorder.until("refused 486")

    play(story)


def test_a_wrong_password_is_the_refusal_that_it_is() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call(account=ACCOUNT))
        await refuse(phone, "INVITE")
        await refuse(phone, "INVITE", nonce="2")
        await recorder.until("refused 407")
        await phone.silence(40)

    play(story)


def test_without_an_account_a_challenge_is_a_refusal() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call())
        await refuse(phone, "INVITE")
        await recorder.until("refused 407")

    play(story)


def test_who_hung_up_before_the_challenge_is_not_called_again() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(account=ACCOUNT)
        await asyncio.sleep(0)
        session.hang_up()
        await refuse(phone, "INVITE")
        await phone.silence(40)

    play(story)


def test_after_a_challenge_cancel_waits_for_the_new_invite_to_ring_and_cancels_that() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(account=ACCOUNT)
        first = await phone.receive_request("INVITE")
        phone.send(phone.response(first, 183))
        phone.send(phone.response(first, 407, headers=challenge()))
        await phone.receive("ACK")
        second = await phone.receive_request("INVITE")
        assert second.cseq.number == 2
        session.hang_up()
        await phone.silence(0.1)
        phone.send(phone.response(second, 180))
        cancel = await phone.receive_request("CANCEL")
        assert (cancel.via.branch, cancel.cseq.number) == (second.via.branch, 2)
        phone.send(phone.response(cancel, 200))
        phone.send(phone.response(second, 487))
        await phone.receive("ACK")

    play(story)


@pytest.mark.parametrize("method", ["INFO", "UPDATE"])
def test_a_challenged_request_inside_the_dialog_is_proved_too(method: str) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, invite = await talking(switch, phone)
        await phone.receive("ACK")
        answer = switch.sessions[0].request(method)
        await refuse(phone, method, nonce="5")
        again = await phone.receive_request(method)
        assert (again.cseq.number, shown(again)) == (invite.cseq.number + 2, "5")
        phone.send(phone.response(again, 200))
        assert (await answer).status == 200
        switch.sessions[0].hang_up()
        await refuse(phone, "BYE", nonce="6")
        bye = await phone.receive_request("BYE")
        assert (shown(bye), bye.cseq.number) == ("6", invite.cseq.number + 4)
        phone.send(phone.response(bye, 200))

    play(story)


def test_a_challenged_reinvite_is_acknowledged_by_its_new_number() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        await talking(switch, phone)
        await phone.receive("ACK")
        (session,) = switch.sessions
        answer = session.request("INVITE", body=OFFER)
        await refuse(phone, "INVITE", nonce="7")
        again = await phone.receive_request("INVITE")
        phone.send(phone.response(again, 200, body=OFFER))
        ack = await phone.receive_request("ACK")
        assert (ack.cseq.number, shown(ack), again.cseq.number) == (again.cseq.number, "7", 4)
        assert (await answer).status == 200
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_a_challenged_reinvite_of_which_nothing_more_is_heard_has_its_own_time() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        await talking(switch, phone)
        await phone.receive("ACK")
        (session,) = switch.sessions
        answer = session.request("INVITE", body=OFFER)
        first = await phone.receive_request("INVITE")
        phone.send(phone.response(first, 100))
        await asyncio.sleep(100)
        phone.send(phone.response(first, 407, headers=challenge("7")))
        await phone.receive("ACK")
        phone.send(phone.response(await phone.receive_request("INVITE"), 100))
        await asyncio.sleep(190)
        assert not answer.done()
        assert (await answer).status == 408
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_nobody_waits_for_a_request_that_the_other_sides_bye_overtook() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder, _ = await talking(switch, phone)
        await phone.receive("ACK")
        answer = switch.sessions[0].request("INFO")
        info = await phone.receive_request("INFO")
        phone.send(phone.request("BYE"))
        await recorder.until("BYE")
        await phone.receive(200)
        assert (await answer).status == 481
        phone.send(phone.response(info, 401, headers=challenge()))
        await phone.silence(40)

    play(story)


def test_a_proof_that_the_guard_withholds_leaves_the_refusal() -> None:
    def guard(data: bytes) -> bytes:
        if b"Proxy-Authorization" in data:
            raise LeakRefused("no")
        return data

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call(account=ACCOUNT, guard=guard))
        await refuse(phone, "INVITE")
        await recorder.until("refused 407")

    play(story)


def test_a_caller_that_challenges_our_bye_gets_its_proof() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER), to=SWITCH)
        session, _ = await switch.arrived()
        session.account = ACCOUNT
        session.accept(body=OFFER)
        phone.send(phone.ack(await phone.receive_response(200)))
        await asyncio.sleep(0)
        session.hang_up()
        await refuse(phone, "BYE", nonce="8")
        bye = await phone.receive_request("BYE")
        assert (shown(bye), bye.cseq.number) == ("8", 2)
        phone.send(phone.response(bye, 200))

    play(story)


def count(request: SipRequest) -> int:
    """The nonce count of its proof."""
    return parse_credentials(request.headers.get("Proxy-Authorization") or "").count


def test_the_next_call_proves_itself_at_once_and_so_does_all_that_follows() -> None:
    """RFC 7616 3.3: one nonce serves many requests, each with the next count."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, invite = await talking(switch, phone)
        await phone.receive("ACK")
        switch.sessions[0].hang_up()
        bye = await phone.receive_request("BYE")
        assert (shown(bye), count(bye), bye.cseq.number) == ("1", 2, 3)
        phone.send(phone.response(bye, 200))
        session = switch.call(account=ACCOUNT)
        recorder = Recorder(session)
        second = await phone.receive_request("INVITE")
        assert (shown(second), count(second), second.cseq.number) == ("1", 3, 1)
        assert second.body == invite.body
        phone.send(phone.response(second, 200, body=OFFER))
        await recorder.until("answered 200")
        session.acknowledge()
        ack = await phone.receive_request("ACK")
        assert (shown(ack), count(ack)) == ("1", 3)
        answer = session.request("INVITE", body=OFFER)
        again = await phone.receive_request("INVITE")
        assert (shown(again), count(again), again.cseq.number) == ("1", 4, 2)
        phone.send(phone.response(again, 200, body=OFFER))
        assert count(await phone.receive_request("ACK")) == 4
        await answer
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


def test_a_nonce_that_grew_old_between_calls_costs_one_challenge() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        Recorder(switch.call(account=ACCOUNT))
        await refuse(phone, "INVITE")
        phone.send(phone.response(await phone.receive_request("INVITE"), 486))
        await phone.receive("ACK")
        recorder = Recorder(switch.call(account=ACCOUNT))
        assert shown(await refuse(phone, "INVITE", nonce="2", stale=True)) == "1"
        renewed = await phone.receive_request("INVITE")
        assert (shown(renewed), count(renewed), renewed.cseq.number) == ("2", 1, 2)
        phone.send(phone.response(renewed, 486))
        await recorder.until("refused 486")

    play(story)


def test_a_proof_without_challenge_that_the_guard_withholds_is_left_out() -> None:
    refusing = False

    def guard(data: bytes) -> bytes:
        if refusing and b"Proxy-Authorization" in data:
            raise LeakRefused("no")
        return data

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        nonlocal refusing
        Recorder(switch.call(account=ACCOUNT))
        await refuse(phone, "INVITE")
        phone.send(phone.response(await phone.receive_request("INVITE"), 486))
        await phone.receive("ACK")
        refusing = True
        recorder = Recorder(switch.call(account=ACCOUNT, guard=guard))
        invite = await phone.receive_request("INVITE")
        assert shown(invite) == ""
        phone.send(phone.response(invite, 486))
        await recorder.until("refused 486")

    play(story)
