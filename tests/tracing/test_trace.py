"""What a trace keeps: the calls that are wanted, both legs together, and never more than its bounds."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context

import pytest

from softswitch.sip.addresses import Hop
from softswitch.tracing.trace import CALL_COST, MESSAGE_COST, Trace, TracedMessage, TraceLimits, Wanted
from tests.tracing.messages import CALLEE, CALLER, SWITCH, invite, text

A, B = Hop("udp", *CALLER), Hop("tcp", *CALLEE)


class Watched:
    """A trace with a clock, dice, and our id "ours" for the call whose caller's leg is "a"."""

    def __init__(self, limits: TraceLimits | None = None) -> None:
        self.now, self.dice, self.attached = 1000.0, 0.0, False
        self.trace = Trace(
            lambda: self.now,
            attach=self._attach,
            local_address=lambda listener: SWITCH,
            trunk_of=lambda hop: "carrier" if hop.port == CALLEE[1] else "phones",
            call_id_of=lambda leg: "ours" if leg == "a" else "",
            chance=lambda: self.dice,
            limits=limits,
        )

    def _attach(self, on: bool) -> None:
        self.attached = on

    def comes(self, data: bytes, hop: Hop = A) -> None:
        self.trace.note(data, hop, 0, received=True)

    def goes(self, data: bytes, hop: Hop = B) -> None:
        self.trace.note(data, hop, 0, received=False)


def in_task_of(watched: Watched, leg: str, *steps: Callable[[], None]) -> None:
    """What the task of a call does, in a context of its own as a task's is."""

    def work() -> None:
        watched.trace.work_for(leg)
        for step in steps:
            step()

    copy_context().run(work)


def test_both_legs_of_a_call_are_kept_together_under_our_id() -> None:
    watched = Watched()
    trace, seen = watched.trace, list[tuple[TracedMessage, str]]()
    trace.on_message = lambda message, leg: seen.append((message, leg))
    trace.want(Wanted())
    watched.comes(invite("a"))
    in_task_of(watched, "a", lambda: watched.goes(invite("b")), lambda: watched.goes(invite("b")))
    watched.comes(text("SIP/2.0 180 Ringing", "b"), B)
    (call,) = trace.calls()
    assert call.legs == ["a", "b"]
    assert [(one.leg, one.received, one.transport) for one in call.messages] == [
        ("a", True, "udp"),
        ("b", False, "tcp"),
        ("b", False, "tcp"),
        ("b", True, "tcp"),
    ]
    assert (call.messages[0].source, call.messages[0].destination) == (CALLER, SWITCH)
    assert (call.messages[1].source, call.messages[1].destination) == (SWITCH, CALLEE)
    assert trace.find("ours") is trace.find("a") is trace.find("b") is call
    assert trace.find("c") is trace.find("") is None
    assert seen == [(one, "a") for one in call.messages]


def test_what_belongs_to_no_traced_call_is_left_alone() -> None:
    watched = Watched()
    watched.trace.want(Wanted())
    watched.comes(text("OPTIONS sip:h SIP/2.0", "o", cseq="1 OPTIONS"))
    watched.comes(text("INVITE sip:h SIP/2.0", "r", to="<sip:x@h>;tag=1"))
    watched.comes(b"INVITE sip:h SIP/2.0\r\n\r\n")
    watched.comes(text("SIP/2.0 200 OK", "x"))
    assert watched.trace.calls() == ()


def test_the_callers_task_does_not_lend_its_call_to_what_comes_in() -> None:
    watched = Watched()
    watched.trace.want(Wanted())
    in_task_of(watched, "a", lambda: watched.comes(invite("z")))
    assert [call.legs for call in watched.trace.calls()] == [["z"]]
    assert watched.trace.find("z") is not None


@pytest.mark.parametrize(
    ("number", "found"),
    [("13800001234", True), ("+8613800001234", True), ("008613800001234", True), ("13800009999", False)],
)
def test_a_number_is_found_in_whatever_form_the_invite_has_it(number: str, found: bool) -> None:
    watched = Watched()
    watched.trace.want(Wanted("number", number))
    watched.comes(invite("a"))
    assert (watched.trace.find("a") is not None) == found


def test_a_callees_number_brings_the_callers_leg_from_there_on() -> None:
    watched = Watched()
    watched.trace.want(Wanted("number", "13900002345"))
    watched.comes(invite("a"))
    in_task_of(watched, "a", lambda: watched.goes(invite("b", "+8613900002345")))
    watched.goes(text("SIP/2.0 180 Ringing", "a"), A)
    (call,) = watched.trace.calls()
    assert (call.legs, [one.leg for one in call.messages]) == (["a", "b"], ["b", "a"])


def test_a_call_id_that_is_no_utf_8_is_one_leg_whoever_names_it() -> None:
    """Ours hold lone surrogates for such bytes, which neither JSON nor HEP takes."""
    watched = Watched()
    watched.trace.want(Wanted("number", "13900002345"))
    in_task_of(
        watched, b"\xffa".decode("utf-8", "surrogateescape"), lambda: watched.goes(invite("b", "+8613900002345"))
    )
    watched.goes(text("SIP/2.0 180 Ringing", "CUT").replace(b"CUT", b"\xffa"), A)
    (call,) = watched.trace.calls()
    assert (call.legs, [one.leg for one in call.messages]) == (["\ufffda", "b"], ["b", "\ufffda"])


def test_a_trunk_is_meant_in_either_direction() -> None:
    watched = Watched()
    watched.trace.want(Wanted("trunk", "carrier"))
    watched.comes(invite("a"), A)
    watched.comes(invite("c"), B)
    watched.goes(invite("d"), B)
    assert [call.legs for call in watched.trace.calls()] == [["c"], ["d"]]


def test_a_ratio_takes_its_share() -> None:
    watched = Watched()
    watched.trace.want(Wanted(ratio=0.5))
    for leg, watched.dice in (("a", 0.49), ("b", 0.5)):
        watched.comes(invite(leg))
    assert [call.legs for call in watched.trace.calls()] == [["a"]]


def test_the_tap_is_there_only_while_something_is_wanted() -> None:
    watched = Watched()
    trace = watched.trace
    assert not watched.attached
    trace.want(Wanted("trunk", "carrier", until=1010.0))
    trace.want(Wanted("trunk", "carrier", until=1005.0))
    trace.want(Wanted("number", "13800001234", until=1020.0))
    assert [(one.what, one.until) for one in trace.wanted()] == [("trunk", 1005.0), ("number", 1020.0)]
    watched.now = 1005.0
    assert [one.what for one in trace.wanted()] == ["number"]
    assert watched.attached
    watched.now = 1020.0
    trace.expire()
    assert not watched.attached
    trace.want(Wanted())
    trace.stop()
    assert not watched.attached
    assert trace.wanted() == ()


def test_a_call_is_forgotten_when_its_time_is_over() -> None:
    watched = Watched(TraceLimits(keep_s=60.0))
    watched.trace.want(Wanted())
    watched.comes(invite("a"))
    watched.now += 30
    watched.comes(invite("b"))
    watched.now += 30
    assert [call.legs for call in watched.trace.calls()] == [["b"]]
    assert watched.trace.find("a") is None
    watched.now += 30
    assert (watched.trace.calls(), watched.trace.size, watched.trace.forgotten) == ((), 0, 0)


def test_memory_is_bounded_and_the_oldest_calls_go_first() -> None:
    size = CALL_COST + MESSAGE_COST + len(invite("a"))
    watched = Watched(TraceLimits(memory=2 * size))
    watched.trace.want(Wanted())
    for leg in "abc":
        watched.comes(invite(leg))
    assert [call.legs for call in watched.trace.calls()] == [["b"], ["c"]]
    assert (watched.trace.size, watched.trace.forgotten) == (2 * size, 1)


def test_a_call_without_end_takes_no_more_than_its_share() -> None:
    watched = Watched(TraceLimits(messages=2))
    watched.trace.want(Wanted())
    for _ in range(5):
        watched.comes(invite("a"))
    (call,) = watched.trace.calls()
    assert (len(call.messages), call.left_off) == (2, 3)


def test_no_srtp_key_is_ever_kept() -> None:
    watched, seen = Watched(), list[bytes]()
    watched.trace.on_message = lambda message, leg: seen.append(message.data)
    watched.trace.want(Wanted())
    message = invite("a") + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\n"
    watched.comes(message)
    (call,) = watched.trace.calls()
    assert [call.messages[0].data] == seen == [message.replace(b"c2VjcmV0", b"********")]
