"""RFC 4028: session timers in both roles."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.session_timer import MOST_RAISES, Interval, SessionTimer, is_too_small, knows_timer, read_interval
from softswitch.sip.timing import NEAR_S, Timing
from tests.sip.test_core import Bench
from tests.sip.test_core import request as incoming
from tests.support.peer import OFFER, Pairs, Peer
from tests.support.recorder import SWITCH, Recorder, Switch, hang_up, play
from tests.support.wire import Wire

TIMED: dict[str, Any] = {"supported": ["timer"], "timing": Timing(session_expires=1800)}
KNOWS = ("Supported", "timer")
TAKES_UPDATE = ("Allow", "INVITE, ACK, BYE, UPDATE")


def request(*headers: tuple[str, str]) -> SipRequest:
    made = SipRequest("INVITE", "sip:x")
    for name, value in headers:
        made.headers.add(name, value)
    return made


async def called(switch: Switch, phone: Peer, *headers: tuple[str, str]) -> tuple[SipResponse, Recorder]:
    """The phone called with these headers; our 200 and who listens."""
    phone.patience = 1000
    phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER, headers=headers), to=SWITCH)
    session, recorder = await switch.arrived()
    session.accept(body=OFFER)
    ok = await phone.receive_response(200)
    phone.send(phone.ack(ok))
    await recorder.until("ACK")
    return ok, recorder


async def calling(switch: Switch, phone: Peer, *headers: tuple[str, str]) -> tuple[SipRequest, Recorder]:
    """We called and the phone answered with these headers."""
    session = switch.call()
    recorder = Recorder(session)
    invite = await phone.receive_request("INVITE")
    phone.send(phone.response(invite, 200, body=OFFER, headers=headers))
    await recorder.until("answered 200")
    session.acknowledge()
    await phone.receive("ACK")
    switch.recorders.append(recorder)
    return invite, recorder


async def expires(switch: Switch, phone: Peer, recorder: Recorder, after: float) -> None:
    """So many seconds from now the listener hears that it is over, and no earlier."""
    await asyncio.sleep(after - 0.5)
    assert "expired" not in recorder.events
    await recorder.until("expired", 1)


async def end(switch: Switch, phone: Peer) -> None:
    """We hang up."""
    for session in list(switch.agent.core.sessions.values()):
        session.hang_up()
    phone.send(phone.response(await phone.receive_request("BYE"), 200))


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("1800", Interval(1800, "")),
        ("90;refresher=uac", Interval(90, "uac")),
        ("90 ; x=y ; Refresher = UAS ; z", Interval(90, "uas")),
        ("90;refresher=both", Interval(90, "")),
        ("90;xrefresher=uas", Interval(90, "")),
        ("soon", None),
        ("-1", None),
        ("99999999999", None),
    ],
)
def test_session_expires_is_read_or_counts_as_absent(value: str, meaning: Interval | None) -> None:
    assert read_interval(request(("x", value))) == meaning  # x: its compact form (RFC 4028 4)


def test_who_requires_or_supports_the_timer_knows_it() -> None:
    assert knows_timer(request(("k", "100rel, Timer")))
    assert knows_timer(request(("Require", "timer")))
    assert not knows_timer(request(("Supported", "replaces")))


def test_only_who_knows_422_can_be_told_that_its_interval_is_too_small() -> None:
    assert is_too_small(request(("Session-Expires", "89"), KNOWS), Timing())
    assert not is_too_small(request(("Session-Expires", "89")), Timing())
    assert not is_too_small(request(("Session-Expires", "90"), KNOWS), Timing())
    assert not is_too_small(request(KNOWS), Timing())


@pytest.mark.parametrize(
    ("headers", "answered", "required"),
    [
        ([KNOWS, ("Session-Expires", "600;refresher=uac")], "600;refresher=uac", "timer"),
        ([KNOWS, ("Session-Expires", "600;refresher=uas")], "600;refresher=uas", "timer"),
        ([KNOWS, ("Session-Expires", "600")], "600;refresher=uas", "timer"),
        ([KNOWS, ("Session-Expires", "7200;refresher=uac")], "1800;refresher=uac", "timer"),
        ([KNOWS, ("Session-Expires", "7200"), ("Min-SE", "3600")], "3600;refresher=uas", "timer"),
        ([KNOWS], "1800;refresher=uas", "timer"),
        ([("Session-Expires", "600;refresher=uac")], "600;refresher=uas", None),
        ([("Session-Expires", "10")], "90;refresher=uas", None),
        ([], "1800;refresher=uas", None),
    ],
)
def test_our_200_settles_interval_and_refresher(headers: Pairs, answered: str, required: str | None) -> None:
    """9, table 2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        ok, _ = await called(switch, phone, *headers)
        assert ok.headers.get("Session-Expires") == answered
        assert ok.headers.get("Require") == required
        assert ok.headers.get("Supported") == "timer"
        await hang_up(phone)

    play(story, **TIMED)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_interval_too_small_is_422_with_our_smallest(method: str) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        small = [KNOWS, ("Session-Expires", "30")]
        phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER, headers=small), to=SWITCH)
        refused = await phone.receive_response(422)
        assert refused.headers.get("Min-SE") == "90"
        phone.send(phone.ack(refused))
        assert not switch.calls
        phone.fresh()
        await called(switch, phone, KNOWS, ("Session-Expires", "90;refresher=uac"))
        phone.send(phone.request(method, headers=small))
        refused = await phone.receive_response(422)
        assert refused.headers.get("Min-SE") == "90"
        if method == "INVITE":
            phone.send(phone.ack(refused))
        await hang_up(phone)

    play(story, **TIMED)


def test_without_the_extension_nothing_is_said_and_nothing_expires() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        ok, recorder = await called(switch, phone, KNOWS, ("Session-Expires", "30"))
        assert "Session-Expires" not in ok.headers
        await phone.silence(7200)
        assert recorder.events == ["ACK"]
        await hang_up(phone)
        phone.fresh()
        invite, _ = await calling(switch, phone, ("Session-Expires", "90;refresher=uac"))
        assert "Session-Expires" not in invite.headers
        await phone.silence(7200)
        await hang_up(phone)

    play(story)


def test_a_caller_that_does_not_refresh_expires_32_s_or_a_third_before_the_end() -> None:
    """10."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        for seconds, after in ((90, 60), (1200, 1168)):
            _, recorder = await called(switch, phone, KNOWS, ("Session-Expires", f"{seconds};refresher=uac"))
            await expires(switch, phone, recorder, after)
            await end(switch, phone)
            phone.fresh()

    play(story, **TIMED)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_the_callers_refresh_starts_the_time_anew(method: str) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        timer = [KNOWS, ("Session-Expires", "90;refresher=uac")]
        _, recorder = await called(switch, phone, *timer)
        recorder.answer = lambda asked: asked.respond(200, body=OFFER)
        for _ in range(5):
            await asyncio.sleep(45)
            phone.send(phone.request(method, headers=timer))
            ok = await phone.receive_response(200)
            assert ok.headers.get("Session-Expires") == "90;refresher=uac"
            if method == "INVITE":
                phone.send(phone.ack(ok))
        await expires(switch, phone, recorder, 60)
        await end(switch, phone)

    play(story, **TIMED)


def test_a_refused_or_provisional_answer_to_a_refresh_is_no_refresh() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await called(switch, phone, KNOWS, ("Session-Expires", "90;refresher=uac"))
        recorder.answer = lambda asked: asked.respond(488)
        await asyncio.sleep(45)
        phone.send(phone.request("UPDATE", headers=[KNOWS, ("Session-Expires", "90;refresher=uac")]))
        assert "Session-Expires" not in (await phone.receive_response(488)).headers
        await expires(switch, phone, recorder, 15)
        await end(switch, phone)

    play(story, **TIMED)


def test_we_refresh_by_update_at_half_time_and_keep_the_role() -> None:
    """7.4."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        await called(switch, phone, KNOWS, TAKES_UPDATE, ("Session-Expires", "600;refresher=uas"))
        for _ in range(3):
            await phone.silence(299)
            update = await phone.receive_request("UPDATE")
            assert update.headers.get("Session-Expires") == "600;refresher=uac"
            assert update.body == b""
            phone.send(phone.response(update, 200, headers=[("Session-Expires", "600;refresher=uac")]))
        await hang_up(phone)
        await phone.silence(600)

    play(story, **TIMED)


def test_where_update_is_not_taken_the_call_layer_is_asked_for_a_reinvite() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await called(switch, phone, KNOWS, ("Session-Expires", "600;refresher=uas"))
        await phone.silence(299)
        await recorder.until("refresh due", 2)
        answer = switch.calls[0].request("INVITE", body=OFFER)
        invite = await phone.receive_request("INVITE")
        assert invite.headers.get("Session-Expires") == "600;refresher=uac"
        phone.send(phone.response(invite, 200, body=OFFER, headers=[("Session-Expires", "600;refresher=uac")]))
        await phone.receive("ACK")
        assert (await answer).status == 200
        await phone.silence(299)
        assert recorder.events.count("refresh due") == 1
        await hang_up(phone)

    play(story, **TIMED)


@pytest.mark.parametrize("status", [405, 501])
def test_an_update_that_was_promised_and_is_not_taken_is_followed_by_a_reinvite(status: int) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await called(switch, phone, TAKES_UPDATE, ("Session-Expires", "600"))
        phone.send(phone.response(await phone.receive_request("UPDATE"), status))
        await recorder.until("refresh due", 76)
        await hang_up(phone)

    play(story, **TIMED)


def test_a_refresh_that_meets_491_is_tried_again_until_the_session_expires() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await called(switch, phone, TAKES_UPDATE, ("Session-Expires", "800"))
        for _ in range(4):  # at 400, 500, 600 and 700 s
            phone.send(phone.response(await phone.receive_request("UPDATE"), 491))
        await expires(switch, phone, recorder, 100)
        await end(switch, phone)

    play(story, **TIMED)


@pytest.mark.parametrize(("status", "bye"), [(481, False), (None, True)])
def test_a_refresh_that_finds_the_dialog_dead_ends_it(status: int | None, bye: bool) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await called(switch, phone, TAKES_UPDATE, ("Session-Expires", "600"))
        await asyncio.sleep(299)
        update = await phone.receive_request("UPDATE")
        if status:
            phone.send(phone.response(update, status))
        await recorder.until("dead", 33)
        if bye:
            phone.send(phone.response(await phone.receive_request("BYE", ignoring=("UPDATE",)), 200))

    play(story, **TIMED)


def test_a_refresh_refused_with_422_is_sent_again_with_more() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        await called(switch, phone, TAKES_UPDATE, ("Session-Expires", "600"))
        await asyncio.sleep(299)
        update = await phone.receive_request("UPDATE")
        phone.send(phone.response(update, 422, headers=[("Min-SE", "1000")]))
        update = await phone.receive_request("UPDATE")
        assert update.headers.get("Session-Expires") == "1000;refresher=uac"
        assert update.headers.get("Min-SE") == "1000"
        phone.send(phone.response(update, 422, headers=[("Min-SE", "1000")]))  # makes no sense: not tried at once
        await phone.silence(70)
        await hang_up(phone)

    play(story, **TIMED)


def test_a_reinvite_refused_with_422_is_asked_for_again_with_more() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await called(switch, phone, KNOWS, ("Session-Expires", "600;refresher=uas"))
        await recorder.until("refresh due", 301)
        answer = switch.calls[0].request("INVITE", body=OFFER)
        phone.send(phone.response(await phone.receive_request("INVITE"), 422, headers=[("Min-SE", "1000")]))
        await phone.receive("ACK")
        assert (await answer).status == 422
        assert recorder.events.count("refresh due") == 2
        assert "Min-SE: 1000\r\n" in switch.calls[0].timer.request_lines
        await hang_up(phone)

    play(story, **TIMED)


def test_a_peer_that_wants_ever_more_is_not_followed_for_ever() -> None:
    """RFC 4028 7.3: a few proxies on the way may each want more; one second more each time is a loop."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        await called(switch, phone, TAKES_UPDATE, ("Session-Expires", "600"))
        await asyncio.sleep(299)
        for least in range(601, 601 + MOST_RAISES):
            update = await phone.receive_request("UPDATE")
            phone.send(phone.response(update, 422, headers=[("Min-SE", str(least))]))
        phone.send(phone.response(await phone.receive_request("UPDATE"), 422, headers=[("Min-SE", "900")]))
        await phone.silence(70)
        phone.send(phone.response(await phone.receive_request("UPDATE"), 200, headers=[("Session-Expires", "800")]))
        await phone.silence(398)
        phone.send(phone.response(await phone.receive_request("UPDATE"), 422, headers=[("Min-SE", "1000")]))
        update = await phone.receive_request("UPDATE")  # it was content meanwhile
        assert update.headers.get("Min-SE") == "1000"
        phone.send(phone.response(update, 200))
        await hang_up(phone)

    play(story, **TIMED)


def test_our_invite_asks_for_a_timer_and_a_200_without_one_settles_none() -> None:
    """7.1, 7.2."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        invite, recorder = await calling(switch, phone)
        assert invite.headers.get("Session-Expires") == "1800"
        assert invite.headers.get("Supported") == "timer"
        await phone.silence(7200)
        assert recorder.events == ["answered 200"]
        await hang_up(phone)

    play(story, **TIMED)


@pytest.mark.parametrize(("refresher", "ours"), [(";refresher=uac", True), ("", True), (";refresher=uas", False)])
def test_the_200_to_our_invite_says_who_refreshes(refresher: str, ours: bool) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await calling(switch, phone, TAKES_UPDATE, ("Session-Expires", f"300{refresher}"))
        if ours:
            await phone.silence(149)
            await phone.receive("UPDATE")
            await hang_up(phone)
        else:
            await expires(switch, phone, recorder, 268)
            await end(switch, phone)

    play(story, **TIMED)


def test_our_invite_refused_with_422_is_sent_again_with_more_as_one_call() -> None:
    """7.3."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        first = await phone.receive_request("INVITE")
        phone.send(phone.response(first, 180))
        phone.send(phone.response(first, 422, headers=[("Min-SE", "3600")]))
        assert str((await phone.receive_request("ACK")).cseq) == "1 ACK"
        again = await phone.receive_request("INVITE")
        assert (again.call_id, again.from_.tag, str(again.cseq)) == (first.call_id, first.from_.tag, "2 INVITE")
        assert again.via.branch != first.via.branch
        assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("3600", "3600")
        phone.send(phone.response(again, 200, body=OFFER, headers=[("Session-Expires", "3600;refresher=uas")]))
        await recorder.until("answered 200")
        session.acknowledge()
        assert str((await phone.receive_request("ACK")).cseq) == "2 ACK"
        assert recorder.events == ["180", "answered 200"]
        session.hang_up()
        bye = await phone.receive_request("BYE")
        assert str(bye.cseq) == "3 BYE"
        phone.send(phone.response(bye, 200))

    play(story, **TIMED)


@pytest.mark.parametrize("headers", [[], [("Min-SE", "90")], [("Min-SE", "999999999")], [("Min-SE", "more")]])
def test_a_422_that_asks_for_nothing_sensible_is_a_refusal(headers: Pairs) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        recorder = Recorder(switch.call())
        phone.send(phone.response(await phone.receive_request("INVITE"), 422, headers=headers))
        await recorder.until("refused 422")
        await phone.receive("ACK")

    play(story, **TIMED)


@pytest.mark.parametrize("by", ["us", "phone"])
def test_a_call_given_up_before_a_422_is_not_tried_again(by: str) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await asyncio.sleep(0.1)
        if by == "us":
            session.hang_up()
            phone.send(phone.response(await phone.receive_request("CANCEL"), 200))
        else:
            await hang_up(phone)
        phone.send(phone.response(invite, 422, headers=[("Min-SE", "3600")]))
        await phone.receive("ACK")

    play(story, **TIMED)


def test_a_refresh_that_crosses_a_bye_is_answered_and_hurts_nobody() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        await called(switch, phone, TAKES_UPDATE, ("Session-Expires", "600"))
        await asyncio.sleep(299)
        update = await phone.receive_request("UPDATE")
        await hang_up(phone)
        phone.send(phone.response(update, 481))
        await phone.silence(600)

    play(story, **TIMED)


@pytest.mark.parametrize("by", ["us", "the peer"])
def test_a_refresh_that_is_answered_after_a_bye_starts_no_clock(by: str) -> None:
    """The 200 to the refresh may come after the BYE that crossed it: the timer of a call that is over stays at rest."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        await called(switch, phone, TAKES_UPDATE, ("Session-Expires", "1800"))
        await asyncio.sleep(899)
        update = await phone.receive_request("UPDATE")
        if by == "us":
            switch.calls[0].hang_up()
            bye = await phone.receive_request("BYE")
            phone.send(phone.response(update, 200, headers=[("Session-Expires", "1800;refresher=uac")]))
            phone.send(phone.response(bye, 200))
        else:
            await hang_up(phone)
            phone.send(phone.response(update, 200, headers=[("Session-Expires", "1800;refresher=uac")]))
        await asyncio.sleep(130)
        switch.assert_quiet()

    play(story, **TIMED)


def test_a_session_that_is_hung_up_before_its_ack_does_not_expire() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER, headers=[TAKES_UPDATE]), to=SWITCH)
        session, recorder = await switch.arrived()
        session.accept(body=OFFER)
        session.accept(body=OFFER)
        session.hang_up()
        bye = await phone.receive_request("BYE", ignoring=(200,))
        phone.send(phone.response(bye, 200))
        assert recorder.events == []

    play(story, supported=["timer"], timing=Timing(session_expires=30, min_se=20))


def test_little_is_kept_of_the_timers_of_calls_that_are_over() -> None:
    """3,000 calls, one a second, each over at once: what they leave does not wait for the end of their interval."""
    bench = Bench(**TIMED)
    for number in range(3000):
        fields = {"Call-ID": f"c{number}", "From": f"<sip:a@10.0.0.9>;tag=f{number}", "Supported": "timer"}
        via = f"SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK-{number}"
        session = bench.call(incoming(Via=via, **fields)).session
        session.accept(body=OFFER)
        fields["To"] = f"<sip:100@10.0.0.1>;tag={session.local_tag}"
        bench.receive(incoming("ACK", Via=f"{via}-ack", **fields))
        bench.receive(incoming("BYE", Via=f"{via}-bye", CSeq="2 BYE", **fields))
        bench.core.events.clear()
        bench.pass_time(bench.now + 1.0)
    assert not bench.core.sessions
    notes, calls = bench.core.deadlines, NEAR_S + 1
    assert len(notes) <= len(bench.core.transactions) + 2 * calls  # a session timer and a reminder (13.3.1.1) each
    del session
    gc.collect()
    assert sum(type(one) is SessionTimer for one in gc.get_objects()) <= calls
    bench.pass_time(bench.now + calls)
    assert len(notes) == 0
