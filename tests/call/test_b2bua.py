"""The story of a call, end to end: call treatment's tables over a real SIP core, under virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.calls import STRANGER, X_AXB, X_AXE, A, B, Lab, play


def test_an_answered_call_that_the_caller_ends() -> None:
    async def story(lab: Lab) -> None:
        invite = await lab.establish()
        assert invite.uri == f"sip:{B}@10.0.0.21"
        assert invite.from_.uri == f"sip:{X_AXB}@10.0.0.1"
        assert invite.headers.get("P-Asserted-Identity") == f"<sip:{X_AXB}@10.0.0.1>"
        await asyncio.sleep(30)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.mode, cdr.direction) == (0, "caller", "AXB", 1)
        assert cdr.answered_at is not None and cdr.ended_at is not None
        assert cdr.ended_at - cdr.answered_at == pytest.approx(31.6, abs=0.01)
        assert (cdr.caller, cdr.x, cdr.destination, cdr.display) == (A, X_AXB, B, X_AXB)
        assert cdr.recording.endswith(f"_{cdr.call_id}.wav") and cdr.recording_s == pytest.approx(31.6, abs=0.01)
        assert (cdr.announcement, cdr.announcement_sha256) == ("announcement", "sha-announcement")
        assert cdr.a.announcement_frames == cdr.b.announcement_frames == 75
        assert cdr.user_data == "order-7"

    play(story)


def test_the_caller_hears_x_ring_and_sees_nothing_of_the_callee() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        await lab.hang_up(lab.callee)
        await lab.cdr()
        for sent in lab.wire.trace:
            if sent.destination == ("10.0.0.9", 5060):
                assert b"13900000002" not in sent.data and b"10.0.0.21" not in sent.data
            if sent.destination == ("10.0.0.21", 5060):
                assert b"13800000001" not in sent.data and b"10.0.0.9" not in sent.data

    play(story)


def test_an_unknown_caller_hears_no_binding_and_gets_404() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(by=STRANGER)
        await lab.caller.receive(183, ignoring=(100,))
        response = await lab.refused(404)
        assert response.headers.get("Reason") == 'Q.850;cause=1;text="no binding for this caller"'
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status, cdr.cause) == (8014, 404, 1)

    play(story)


def test_axe_collects_by_rfc_4733_and_reaches_a() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        await asyncio.sleep(1)
        lab.media.endpoints[0].press("1234")
        invite = await lab.ring()
        assert invite.uri == f"sip:{A}@10.0.0.21"
        await lab.pick_up(invite)
        await asyncio.sleep(5)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.mode, cdr.extension, cdr.failure, cdr.destination) == ("AXE", "1234", 0, A)
        record = await lab.store.latest_caller(X_AXE, A)
        assert record is not None and record.caller == STRANGER

    play(story)


def test_cancel_while_ringing_is_7502() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.ring()
        await lab.caller.receive(180, ignoring=(100,))
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)
        cancel = await lab.callee.receive_request("CANCEL")
        lab.callee.send(lab.callee.response(cancel, 200))
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status, cdr.ended_by) == (7502, 487, "caller")

    play(story)
