"""Scopes that end with a leg; Reason headers (RFC 3326); what refusals mean."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.call.hangup import (
    NO_COMMON_CODEC,
    NO_IPV6,
    OTHER_PROTECTION,
    CallEnded,
    Ending,
    given_up,
    hangup_scope,
    q850_cause,
    reason_headers,
    refusal,
    warning_headers,
)
from softswitch.errors import FAILURES, NORMAL, Failure
from softswitch.sip.message import Headers, SipResponse
from tests.support.virtual_time import run


class Side(Ending):
    """Something that can end."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def end_in(self, seconds: float, failure: Failure = NORMAL) -> None:
        asyncio.get_running_loop().call_later(seconds, self.end, failure)


def test_the_scope_is_left_when_what_it_watches_ends() -> None:
    async def story() -> None:
        side = Side("caller")
        side.end_in(3, FAILURES[7505])
        with pytest.raises(CallEnded) as ended, hangup_scope(side):
            await asyncio.sleep(10)
        assert (ended.value.who, ended.value.failure) == (side, FAILURES[7505])
        assert asyncio.get_running_loop().time() == 3
        await asyncio.sleep(1)  # the task is not cancelled any more

    run(story())


def test_a_body_that_ends_first_is_left_alone() -> None:
    async def story() -> None:
        side = Side("caller")
        with hangup_scope(side):
            await asyncio.sleep(1)
        side.end(NORMAL)
        await asyncio.sleep(1)

    run(story())


def test_what_ended_before_the_scope_ends_it_at_its_first_wait() -> None:
    async def story() -> None:
        side = Side("caller")
        side.end(NORMAL)
        with pytest.raises(CallEnded), hangup_scope(side):
            await asyncio.sleep(10)
        assert asyncio.get_running_loop().time() == 0

    run(story())


def test_two_that_end_at_once_give_one_end_to_the_outer_scope() -> None:
    async def story() -> None:
        outer, inner = Side("caller"), Side("callee")
        outer.end_in(1)
        inner.end_in(1)
        with pytest.raises(CallEnded) as ended, hangup_scope(outer), hangup_scope(inner):
            await asyncio.sleep(10)
        assert ended.value.who is outer
        await asyncio.sleep(1)

    run(story())


def test_of_two_watched_the_first_is_told() -> None:
    async def story() -> None:
        one, two = Side("caller"), Side("callee")
        one.end_in(1)
        two.end_in(1)
        with pytest.raises(CallEnded) as ended, hangup_scope(two, one):
            await asyncio.sleep(10)
        assert ended.value.who is one

    run(story())


def test_another_error_of_the_body_stands() -> None:
    async def story() -> None:
        async def fail_when_cancelled() -> None:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise RuntimeError from None

        side = Side("caller")
        side.end_in(1)
        with pytest.raises(RuntimeError), hangup_scope(side):
            await fail_when_cancelled()
        await asyncio.sleep(1)

    run(story())


def test_a_cancelled_task_stays_cancelled() -> None:
    async def story() -> None:
        side = Side("caller")

        async def call() -> None:
            with hangup_scope(side):
                await asyncio.sleep(10)

        task = asyncio.create_task(call())
        await asyncio.sleep(1)
        task.cancel()
        side.end(NORMAL)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())


def test_an_end_in_the_turn_of_the_loop_that_leaves_the_scope_does_not_cancel_what_follows() -> None:
    async def story() -> None:
        side = Side("caller")
        with hangup_scope(side):
            side.end(NORMAL)
        await asyncio.sleep(1)

    run(story())


def test_an_end_overtakes_what_has_woken_the_task_in_the_same_turn_of_the_loop() -> None:
    async def story() -> None:
        side, answers, seen = Side("caller"), asyncio.Queue[str](), []

        def one_batch() -> None:
            answers.put_nowait("200")
            side.end(NORMAL)

        asyncio.get_running_loop().call_later(1, one_batch)
        with pytest.raises(CallEnded), hangup_scope(side):
            seen.append(await answers.get())
        assert seen == []

    run(story())


def test_the_first_reason_of_an_end_stands() -> None:
    side = Side("caller")
    side.end(FAILURES[7505])
    side.end(NORMAL)
    assert side.ended is FAILURES[7505]


def answer(*reasons: str) -> SipResponse:
    return SipResponse(486, "Busy Here", Headers([("Reason", reason) for reason in reasons]), b"")


@pytest.mark.parametrize(("failure", "code"), [(NO_IPV6, "301"), (NO_COMMON_CODEC, "305"), (OTHER_PROTECTION, "399")])
def test_a_488_is_explained_by_a_warning(failure: Failure, code: str) -> None:
    """RFC 3261 13.3.1.3, 20.43."""
    assert warning_headers(failure) == [("Warning", f'{code} softswitch "{failure.words}"')]
    assert warning_headers(FAILURES[8102]) == []


def test_our_reason_can_be_read_back() -> None:
    [(name, value)] = reason_headers(FAILURES[8102])
    assert (name, value) == ("Reason", 'Q.850;cause=17;text="callee is busy"')
    assert q850_cause(answer(value)) == 17


@pytest.mark.parametrize(
    ("reasons", "cause"),
    [
        ([], None),
        (["SIP;cause=200"], None),
        (["SIP;cause=200", "q.850 ; Cause = 31"], 31),
        (["Q.850"], None),
        (['Q.850;text="busy"'], None),
        (["Q.850;cause=x"], None),
        (["Q.850;cause=128"], None),
        (["Q.850;cause=127"], 127),
        (["Q.850;cause=" + "9" * 5000], None),  # int() itself refuses so many digits
    ],
)
def test_the_far_ends_cause(reasons: list[str], cause: int | None) -> None:
    assert q850_cause(answer(*reasons)) == cause


@pytest.mark.parametrize(
    ("status", "code", "go_on"),
    [
        (301, 7508, True),
        (302, 7508, True),
        (403, 7504, True),
        (404, 8100, False),
        (408, 8035, True),
        (480, 8103, False),
        (486, 8102, False),
        (488, 7506, True),
        (500, 7506, True),
        (503, 7506, True),
        (600, 8102, False),
        (603, 7503, False),
        (606, 7506, False),
    ],
)
def test_what_a_refusal_means(status: int, code: int, go_on: bool) -> None:
    failure, may_go_on = refusal(status)
    assert (failure.code, may_go_on) == (code, go_on)


def test_a_time_out_is_no_connection_before_the_callee_was_alerted_and_no_answer_after() -> None:
    assert [refusal(408, alerting=alerting)[0].code for alerting in (False, True)] == [8035, 8101]
    assert refusal(486, alerting=True) == refusal(486)


@pytest.mark.parametrize(("cause", "code"), [(0, 8103), (18, 8103), (19, 8101), (20, 8103), (127, 8103)])
def test_a_480_that_says_no_answer_is_told_as_that(cause: int, code: int) -> None:
    """The failure table: 8101 is cause 19, 8103 cause 20. By RFC 3398 8.2.6.1 both come as 480."""
    assert refusal(480, cause=cause) == (FAILURES[code], False)
    assert refusal(486, cause=cause) == refusal(486)


def test_a_caller_who_gives_up() -> None:
    assert given_up(collecting=False, alerting=False).code == 7501
    assert given_up(collecting=False, alerting=True).code == 7502
    assert given_up(collecting=True, alerting=False).code == 7516
