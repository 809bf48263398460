"""RFC 3261 13.3.1: an INVITE whose Expires is over gets 487."""

from __future__ import annotations

import gc

import pytest

from softswitch.sip.core import SipCore
from softswitch.sip.deadlines import SWEEP_FROM
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.invite_expiry import InviteExpiry, expires_s
from softswitch.sip.message import Headers, SipRequest
from tests.sip.test_core import Bench, request


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
    assert bench.responses() == []
    bench.pass_time(100.0)
    (answer,) = bench.responses()
    assert answer.status == 487


def test_little_is_kept_of_calls_that_are_over_however_long_their_invites_were_to_live() -> None:
    """136 years; see test_deadlines.py."""
    bench = Bench()
    for number in range(2 * SWEEP_FROM):
        fields = {"Call-ID": f"c{number}", "Via": f"SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK-{number};rport"}
        session = bench.call(request(Expires="4294967295", **fields)).session
        if number:
            session.hang_up()
        bench.now += 1.0
        bench.core.handle_timers(bench.now)
    del session
    gc.collect()
    assert sum(type(one) is InviteExpiry for one in gc.get_objects()) <= SWEEP_FROM


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
    expiry = InviteExpiry(core, 5, lambda: told.append(1))
    expiry.stop()
    expiry.wake(5.0)
    assert told == []
