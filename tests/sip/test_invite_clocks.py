"""RFC 3261 13.3.1: an INVITE whose Expires is over gets 487; 13.3.1.1: one that waits hears of us every minute."""

from __future__ import annotations

import gc

import pytest

from softswitch.sip.core import SipCore
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.invite_clocks import Countdown, expires_s
from softswitch.sip.message import Headers, SipRequest
from softswitch.sip.timing import NEAR_S
from tests.sip.test_core import Bench, request, statuses


@pytest.mark.parametrize(("value", "seconds"), [("180", 180), (" 5 ", 5), ("0", 0), ("", 0), ("soon", 0), ("-1", 0)])
def test_expires_is_read_or_counts_as_none(value: str, seconds: int) -> None:
    assert expires_s(SipRequest("INVITE", "sip:a@b", Headers([("Expires", value)]))) == seconds
    assert expires_s(SipRequest("INVITE", "sip:a@b")) == 0


def test_an_invite_that_has_expired_is_as_cancelled() -> None:
    bench = Bench()
    session = bench.call(request(Expires="30")).session
    session.progress(180)
    bench.responses()
    bench.pass_time(29.9)
    assert bench.responses() == []
    bench.pass_time(30.0)
    (answer,) = bench.responses()
    assert answer.status == 487
    event = bench.core.next_event()
    assert event is not None
    assert (event.session, getattr(event, "name", "")) == (session, "on_cancelled")


def test_long_ones_are_exact() -> None:
    bench = Bench()
    bench.call(request(Expires="100"))
    bench.pass_time(99.9)
    assert statuses(bench.responses()) == [183]  # the reminder
    bench.pass_time(100.0)
    (answer,) = bench.responses()
    assert answer.status == 487


def test_little_is_kept_of_calls_that_are_over_however_long_their_invites_were_to_live() -> None:
    """136 years; see timing.py."""
    bench = Bench()
    for number in range(20 * NEAR_S):
        fields = {"Call-ID": f"c{number}", "Via": f"SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK-{number};rport"}
        session = bench.call(request(Expires="4294967295", **fields)).session
        if number:
            session.hang_up()
        bench.now += 1.0
        bench.core.handle_timers(bench.now)
    del session
    gc.collect()
    assert sum(type(one) is Countdown for one in gc.get_objects()) <= 2 * (NEAR_S + 1)  # each has its reminder too


def test_an_answer_in_time_is_not_taken_back() -> None:
    bench = Bench()
    session = bench.call(request(Expires="30")).session
    session.accept()
    bench.receive(request("ACK", To=f"<sip:100@10.0.0.1>;tag={session.local_tag}"))
    bench.core.next_event()
    bench.pass_time(100.0)
    assert bench.core.next_event() is None


def test_one_that_is_stopped_tells_nobody() -> None:
    def no_future() -> PendingResponse:
        raise AssertionError

    core = SipCore([("10.0.0.1", 5060)], str, clock=lambda: 0.0, new_response=no_future)
    told: list[int] = []
    expiry = Countdown(core, 5, lambda: told.append(1))
    expiry.stop()
    expiry.wake(5.0)
    assert told == []


@pytest.mark.parametrize("progress", [0, 180, 183])
def test_a_caller_that_waits_long_is_told_every_minute_that_we_go_on(progress: int) -> None:
    """13.3.1.1: "a non-100 provisional response at every minute", or a proxy's timer C ends the call."""
    bench = Bench()
    session = bench.call().session
    session.trying()
    bench.pass_time(10.0)
    if progress:
        session.progress(progress)
    bench.responses()
    heard: list[tuple[float, int]] = []
    for second in range(11, 200):
        bench.pass_time(float(second))
        heard += [(second, answer.status) for answer in bench.responses()]
    expected = [60, 120, 180] if not progress else [70, 130, 190]
    assert heard == [(at, progress or 183) for at in expected]
    session.reject(486)
    bench.responses()
    bench.receive(request("ACK", To=f"<sip:100@10.0.0.1>;tag={session.local_tag}"))
    bench.pass_time(400.0)
    assert bench.responses() == []


def test_whoever_wants_reliable_responses_gets_its_reminders_so_each_with_a_number_of_its_own() -> None:
    """RFC 3262 3: it was acknowledged, so it is not sent again but followed by another."""
    bench = Bench(supported=["100rel"])
    session = bench.call(request(Require="100rel")).session
    session.progress(180)
    (ringing,) = bench.responses()
    number = int(ringing.headers.get("RSeq") or "")
    tagged = f"<sip:100@10.0.0.1>;tag={session.local_tag}"
    via = "SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK2;rport"
    bench.receive(request("PRACK", Via=via, CSeq="2 PRACK", To=tagged, RAck=f"{number} 1 INVITE"))
    bench.pass_time(59.9)
    assert bench.responses() == []
    bench.pass_time(60.0)
    (again,) = bench.responses()
    assert (again.status, again.headers.get("RSeq")) == (180, str(number + 1))


@pytest.mark.parametrize(("required", "reminded"), [("100rel", []), ("", [183])])
def test_no_reminder_is_the_first_reliable_response_to_a_caller_that_awaits_our_offer(
    required: str, reminded: list[int]
) -> None:
    """13.2.1: that "MUST" bring the offer, which is not a reminder's to make."""
    bench = Bench(supported=["100rel"])
    session = bench.call(request(Require=required)).session
    bench.pass_time(60.0)
    assert statuses(bench.responses()) == reminded
    session.progress(180, body=b"v=0\r\n")
    (ringing,) = bench.responses()
    assert (ringing.status, ringing.body) == (180, b"v=0\r\n")
    number, tagged = ringing.headers.get("RSeq"), f"<sip:100@10.0.0.1>;tag={session.local_tag}"
    if required:
        via = "SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK2;rport"
        bench.receive(request("PRACK", Via=via, CSeq="2 PRACK", To=tagged, RAck=f"{number} 1 INVITE"))
    bench.pass_time(120.0)
    assert statuses(bench.responses()) == [180]
