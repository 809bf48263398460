"""RFC 3262: reliable provisional responses, sent and received."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.provisional import reliable_number
from softswitch.sip.server_session import ServerSession
from softswitch.sip.session import LeakRefused
from tests.support.peer import OFFER, Pairs, Peer
from tests.support.recorder import SWITCH, Recorder, Switch, hang_up, play
from tests.support.wire import Wire

ON: dict[str, Any] = {"supported": ["100rel"]}
SUPPORTED = [("Supported", "100rel")]
REQUIRED = [("Require", "100rel")]


async def called(switch: Switch, phone: Peer, headers: Pairs = SUPPORTED) -> tuple[ServerSession, Recorder]:
    phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER, headers=headers), to=SWITCH)
    return await switch.arrived()


def prack(phone: Peer, response: SipResponse, *, rack: str = "", body: bytes = b"") -> SipRequest:
    assert phone.invite_sent is not None
    rack = rack or f"{response.headers.get('RSeq')} {phone.invite_sent.cseq.number} INVITE"
    return phone.request("PRACK", headers=[("RAck", rack)], body=body)


async def answered(phone: Peer, session: ServerSession) -> None:
    """We accept, the phone acknowledges and hangs up."""
    session.accept(body=OFFER)
    await acknowledged(phone)


async def acknowledged(phone: Peer) -> None:
    phone.send(phone.ack(await phone.receive_response(200)))
    await asyncio.sleep(0.1)
    await hang_up(phone)


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        ([("Require", "timer, 100Rel"), ("RSeq", "7")], 7),
        ([("Require", "100rel")], None),
        ([("RSeq", "7")], None),
        ([("Require", "100rel"), ("RSeq", "x")], None),
    ],
)
def test_only_a_response_that_requires_100rel_and_is_numbered_wants_a_prack(headers: Pairs, number: int | None) -> None:
    response = SipResponse(180, "Ringing")
    for name, value in headers:
        response.headers.add(name, value)
    assert reliable_number(response) == number


# As UAS


@pytest.mark.parametrize(
    ("headers", "status", "body", "reliable"),
    [
        (SUPPORTED, 183, OFFER, True),
        (SUPPORTED, 180, b"", False),
        (REQUIRED, 180, b"", True),
        (REQUIRED, 183, OFFER, True),
        ([], 183, OFFER, False),
    ],
)
def test_what_must_or_had_better_not_get_lost_is_sent_reliably(
    headers: Pairs, status: int, body: bytes, reliable: bool
) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone, headers)
        session.trying()
        session.progress(status, body=body)
        assert "RSeq" not in (await phone.receive_response(100)).headers
        response = await phone.receive_response(status)
        assert response.body == body
        assert (response.headers.get("Require") == "100rel") == reliable
        assert (reliable_number(response) is not None) == reliable
        if reliable:
            assert "PRACK" in (response.headers.get("Allow") or "")
            phone.send(prack(phone, response))
            assert str((await phone.receive_response(200)).cseq).endswith("PRACK")
        await phone.silence(40)
        await answered(phone, session)

    play(story, **ON)


def test_without_the_extension_nothing_is_reliable_and_who_requires_it_is_refused() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.progress(183, body=OFFER)
        assert reliable_number(await phone.receive_response(183)) is None
        await answered(phone, session)
        phone.fresh()
        phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER, headers=REQUIRED))
        refused = await phone.receive_response(420)
        assert refused.headers.get("Unsupported") == "100rel"
        phone.send(phone.ack(refused))

    play(story)


def test_it_is_repeated_after_doubling_times_until_its_prack() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.progress(183, body=OFFER)
        first = await phone.receive_response(183)
        for pause in (0.5, 1, 2, 4):
            await phone.silence(pause - 0.1)
            again = await phone.receive_response(183)
            assert again.headers.get("RSeq") == first.headers.get("RSeq")
        phone.send(prack(phone, first))
        await phone.receive(200)
        await phone.silence(40)
        await answered(phone, session)

    play(story, **ON)


def test_without_any_prack_the_listener_hears_of_it_and_refuses() -> None:
    """3: 64*T1, then a 5xx."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await called(switch, phone)
        session.progress(183, body=OFFER)
        await asyncio.sleep(31.9)
        assert recorder.events == []
        await recorder.until("unacknowledged", 0.2)
        session.hang_up(status=504)
        phone.send(phone.ack(await phone.receive_response(504, ignoring=(183,))))

    play(story, **ON)


def test_the_next_reliable_one_waits_for_the_prack_and_others_do_not() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.progress(183, body=OFFER)
        session.progress(183, body=OFFER, headers=[("X-Y", "second")])
        session.progress(180)
        first = await phone.receive_response(183)
        assert reliable_number(await phone.receive_response(180)) is None
        phone.send(prack(phone, first))
        await phone.receive(200)
        second = await phone.receive_response(183)
        assert second.headers.get("X-Y") == "second"
        assert reliable_number(second) == (reliable_number(first) or 0) + 1
        phone.send(prack(phone, second))
        await phone.receive(200)
        await answered(phone, session)

    play(story, **ON)


def test_the_200_waits_for_the_prack_of_a_description() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.progress(183, body=OFFER)
        session.progress(183, body=OFFER)
        session.accept(body=OFFER, headers=[("X-Y", "z")])
        for _ in range(2):
            response = await phone.receive_response(183)
            await phone.silence(0.3)
            phone.send(prack(phone, response))
            assert str((await phone.receive_response(200)).cseq).endswith("PRACK")
        ok = await phone.receive_response(200)
        assert (str(ok.cseq), ok.headers.get("X-Y"), ok.body) == ("1 INVITE", "z", OFFER)
        phone.send(phone.ack(ok))
        await asyncio.sleep(0.1)
        await hang_up(phone)

    play(story, **ON)


def test_the_200_does_not_wait_for_the_prack_of_a_bare_180_which_is_welcome_later() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone, REQUIRED)
        session.progress(180)
        session.progress(182)
        session.accept(body=OFFER)
        session.progress(180)
        ringing = await phone.receive_response(180)
        phone.send(phone.ack(await phone.receive_response(200)))
        phone.send(prack(phone, ringing))
        assert str((await phone.receive_response(200)).cseq).endswith("PRACK")
        await phone.silence(3)
        await hang_up(phone)

    play(story, **ON)


@pytest.mark.parametrize("end", ["reject", "CANCEL", "BYE", "hang up"])
def test_a_call_that_ends_while_a_200_waits_for_its_prack_is_refused(end: str) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.progress(183, body=OFFER)
        session.accept(body=OFFER)
        progress = await phone.receive_response(183)
        if end == "reject":
            session.reject(486)
        elif end == "CANCEL":
            phone.send(phone.cancel())
        elif end == "BYE":
            phone.send(phone.request("BYE"))
        else:
            session.hang_up(status=486)
        if end in ("CANCEL", "BYE"):
            await phone.receive(200)
        refused = await phone.receive_response(486 if end in ("reject", "hang up") else 487)
        phone.send(phone.ack(refused))
        phone.send(prack(phone, progress))
        await phone.receive(481)
        await phone.silence(40)

    play(story, **ON)


@pytest.mark.parametrize("rack", ["1 1 INVITE", "{rseq} 9 INVITE", "{rseq} 1 BYE", "{rseq}", "x", " "])
def test_a_prack_for_nothing_we_sent_is_481(rack: str) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.progress(183, body=OFFER)
        progress = await phone.receive_response(183)
        number = progress.headers.get("RSeq") or ""
        phone.send(prack(phone, progress, rack=rack.format(rseq=number)))
        await phone.receive(481)
        phone.send(prack(phone, progress))
        await phone.receive(200)
        phone.send(prack(phone, progress))
        await phone.receive(481)
        await answered(phone, session)

    play(story, **ON)


def test_a_prack_in_a_call_of_ours_is_481() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        phone.send(phone.response(await phone.receive_request("INVITE"), 200, body=OFFER))
        await recorder.until("answered 200")
        session.acknowledge()
        await phone.receive("ACK")
        phone.send(phone.request("PRACK", headers=[("RAck", "1 1 INVITE")]))
        await phone.receive(481)
        await hang_up(phone)

    play(story, **ON)


def test_an_offer_in_a_prack_is_answered_by_the_call_layer_before_the_200_of_the_invite() -> None:
    """5."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, recorder = await called(switch, phone)
        session.progress(183, body=OFFER)
        session.accept(body=OFFER)
        phone.send(prack(phone, await phone.receive_response(183), body=OFFER))
        request = await recorder.until("PRACK")
        await phone.silence(0.1)
        request.respond(200, body=b"v=0\r\n")
        assert (await phone.receive_response(200)).body == b"v=0\r\n"
        await acknowledged(phone)

    play(story, **ON)


def test_after_the_final_response_nothing_more_is_sent() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.reject(486)
        phone.send(phone.ack(await phone.receive_response(486)))
        session._provisionals.put(183, "", OFFER)  # whoever comes too late
        await phone.silence(1)

    play(story, **ON)


def test_a_provisional_response_withheld_by_the_guard_is_not_waited_for() -> None:
    def guard(data: bytes) -> bytes:
        if b"SECRET" in data:
            raise LeakRefused("number")
        return data

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        session.guard = guard
        session.progress(183, body=b"SECRET")
        await answered(phone, session)

    play(story, **ON)


def test_once_the_final_response_is_out_nothing_more_is_sent() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session, _ = await called(switch, phone)
        await answered(phone, session)
        session._provisionals.put(183, "", OFFER)
        assert not session._provisionals.holds_answer
        assert phone.pending() == []

    play(story, **ON)


# As UAC


def reliable(phone: Peer, invite: SipRequest, number: int, status: int = 183, tag: str | None = None) -> SipResponse:
    headers = [("Require", "100rel"), ("RSeq", str(number))]
    return phone.response(invite, status, headers=headers, body=OFFER, tag=tag)


async def talked(switch: Switch, phone: Peer, invite: SipRequest, session: Any, recorder: Recorder) -> None:
    """The phone answers, is acknowledged and hung up."""
    phone.send(phone.response(invite, 200, body=OFFER))
    await recorder.until("answered 200")
    session.acknowledge()
    await phone.receive("ACK", ignoring=("PRACK",))
    session.hang_up()
    phone.send(phone.response(await phone.receive_request("BYE"), 200))


def test_each_reliable_response_gets_its_prack_in_order_and_once() -> None:
    """4."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        assert invite.headers.get("Supported") == "100rel"
        for number, cseq in ((41, 2), (42, 3)):
            phone.send(reliable(phone, invite, number))
            prack = await phone.receive_request("PRACK")
            assert prack.headers.get("RAck") == f"{number} 1 INVITE"
            assert str(prack.cseq) == f"{cseq} PRACK"
            assert prack.to.tag == phone.tag
            phone.send(phone.response(prack, 200))
        for number in (42, 41, 44, 1):  # again, an old one, one too far, nonsense
            phone.send(reliable(phone, invite, number))
        phone.send(phone.response(invite, 180))
        await phone.silence(1)
        assert recorder.events == ["183", "183", "180"]
        await talked(switch, phone, invite, session, recorder)

    play(story, **ON)


def test_a_prack_is_repeated_by_its_transaction_and_its_failure_ends_nothing() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(reliable(phone, invite, 1))
        first = await phone.receive_request("PRACK")
        again = await phone.receive_request("PRACK")
        assert again.via.branch == first.via.branch
        await asyncio.sleep(33)
        phone.pending()
        await talked(switch, phone, invite, session, recorder)

    play(story, **ON)


def test_an_invite_that_is_sent_again_has_a_number_above_those_of_its_pracks() -> None:
    """RFC 4028 7.3, RFC 3261 12.2.1.1."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180, tag="other"))
        phone.send(reliable(phone, invite, 1))
        phone.send(phone.response(await phone.receive_request("PRACK"), 200))
        phone.send(phone.response(invite, 422, headers=[("Min-SE", "3600")]))
        await phone.receive("ACK")
        invite = await phone.receive_request("INVITE")
        assert str(invite.cseq) == "3 INVITE"
        phone.send(reliable(phone, invite, 1))  # the numbers begin anew
        prack = await phone.receive_request("PRACK")
        assert (str(prack.cseq), prack.headers.get("RAck")) == ("4 PRACK", "1 3 INVITE")
        phone.send(phone.response(prack, 200))
        await talked(switch, phone, invite, session, recorder)

    play(story, supported=["100rel", "timer"])


def test_each_fork_has_its_own_numbers_and_the_winner_its_own_sequence() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(reliable(phone, invite, 1, tag="fork"))
        one = await phone.receive_request("PRACK")
        phone.send(phone.response(one, 200))
        phone.send(reliable(phone, invite, 77))
        other = await phone.receive_request("PRACK")
        phone.send(phone.response(other, 200))
        assert (one.to.tag, other.to.tag) == ("fork", phone.tag)
        assert (str(one.cseq), str(other.cseq)) == ("2 PRACK", "2 PRACK")
        phone.send(phone.response(invite, 200, body=OFFER))
        await recorder.until("answered 200")
        session.acknowledge()
        await phone.receive("ACK")
        phone.send(phone.response(invite, 200, body=OFFER, tag="fork"))  # too late: ACK and BYE
        ack = await phone.receive_request("ACK")
        bye = await phone.receive_request("BYE")
        assert (ack.to.tag, bye.to.tag, str(bye.cseq)) == ("fork", "fork", "3 BYE")
        phone.send(phone.response(bye, 200))
        session.hang_up()
        bye = await phone.receive_request("BYE")
        assert (bye.to.tag, str(bye.cseq)) == (phone.tag, "3 BYE")
        phone.send(phone.response(bye, 200))

    play(story, **ON)


def test_forks_without_end_are_not_followed() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        for fork in range(30):
            phone.send(reliable(phone, invite, 1, tag=f"fork-{fork}"))
        await asyncio.sleep(0.4)
        assert phone.pending() == ["PRACK"] * 16
        assert recorder.events == ["183"] * 16
        await asyncio.sleep(33)
        phone.pending()
        await talked(switch, phone, invite, session, recorder)

    play(story, **ON)


def test_without_the_extension_a_reliable_response_is_as_any_other() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(reliable(phone, invite, 1))
        phone.send(reliable(phone, invite, 1))
        await phone.silence(1)
        assert recorder.events == ["183", "183"]
        await talked(switch, phone, invite, session, recorder)

    play(story)


def test_a_prack_withheld_by_the_guard_is_not_sent() -> None:
    def guard(data: bytes) -> bytes:
        if data.startswith(b"PRACK"):
            raise LeakRefused("number")
        return data

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(guard=guard)
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(reliable(phone, invite, 1))
        await phone.silence(1)
        assert recorder.events == ["183"]
        await talked(switch, phone, invite, session, recorder)

    play(story, **ON)
