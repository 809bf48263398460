"""The hunt for the callee and what the caller hears meanwhile (call treatment, "second leg" and "before answer")."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from softswitch.call import b2bua
from softswitch.call.admission import Limit
from softswitch.call.inbound_leg import InboundLeg
from softswitch.interfaces import Decision, Route
from softswitch.media_drivers.null import NullDriver
from softswitch.sip.digest import Account, parse_credentials
from tests.support.calls import FIRST, SECOND, SWITCH, Lab, play, sdp


async def answered_by_second(lab: Lab) -> None:
    invite = await lab.ring(lab.second)
    await lab.pick_up(invite, lab.second)
    await lab.caller_answered()
    await asyncio.sleep(2)
    lab.caller.send(lab.caller.request("BYE"))
    await lab.caller.receive_response(200)
    await lab.answer_bye(lab.second)
    cdr = await lab.cdr()
    assert (cdr.failure, cdr.b.trunk, cdr.ended_by) == (0, "second", "caller")


def test_a_bye_that_overtakes_the_callees_lost_200_ends_the_call_at_once_and_rings_nobody_else() -> None:
    """RFC 3261 15: the callee has answered, whatever we have heard of it."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        lab.wire.lose("200", source=FIRST)
        lost = lab.callee.response(invite, 200, body=sdp("10.0.0.21", 41000))
        lab.callee.send(lost)
        lab.callee.send(lab.callee.request("BYE"))
        await lab.callee.receive(200)
        refused = await lab.refused(480)
        assert (refused.headers.get("Reason") or "").startswith("Q.850;cause=16;")
        assert asyncio.get_running_loop().time() == 0
        lab.callee.send(lost)  # it was not acknowledged
        await lab.callee.receive("ACK")
        await lab.second.silence(70)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.words) == (7506, "the callee hung up before its answer was heard")
        assert (cdr.answered_at, cdr.ended_by, cdr.b.cause) == (None, "callee", 16)

    play(story)


@pytest.mark.parametrize("status", [403, 408, 500, 502, 503, 488, 302])
def test_a_target_that_cannot_is_followed_by_the_next(status: int) -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, status, headers=[("Contact", "<sip:elsewhere@10.0.0.22>")]))
        await answered_by_second(lab)
        assert b"elsewhere" not in b"".join(sent.data for sent in lab.wire.trace if sent.source[0] == "10.0.0.1")

    play(story)


@pytest.mark.parametrize(("status", "to_caller"), [(302, 502), (403, 603), (408, 480), (500, 502), (503, 502)])
def test_a_target_that_fails_after_it_rang_is_not_followed_by_another(status: int, to_caller: int) -> None:
    """The same telephone would ring twice, by two ways (docs/decisions.md, "Nobody else is rung after ringing")."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await lab.caller.receive_response(180, ignoring=(100,))
        await asyncio.sleep(20)
        lab.callee.send(lab.callee.response(invite, status))
        await lab.refused(to_caller)
        await lab.second.silence(60)
        assert (await lab.cdr()).b.sip_status == status

    play(story)


@pytest.mark.parametrize("status", [408, 503])
def test_a_target_that_fails_in_the_middle_of_its_progress_is_followed_by_the_next(status: int) -> None:
    """A 183 is the network's, which may say so on the way to its failure."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183))
        await asyncio.sleep(1)
        lab.callee.send(lab.callee.response(invite, status))
        await answered_by_second(lab)

    play(story)


@pytest.mark.parametrize(
    ("status", "code", "to_caller", "cause"),
    [
        (486, 8102, 486, 17),
        (600, 8102, 486, 17),
        (603, 7503, 603, 21),
        (607, 7504, 603, 21),
        (404, 8100, 404, 1),
        (484, 8100, 404, 1),
        (480, 8103, 480, 20),
        (606, 7506, 502, 28),
    ],
)
def test_a_callee_that_says_no_ends_the_hunt(status: int, code: int, to_caller: int, cause: int) -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        lab.callee.send(lab.callee.response(invite, status))
        response = await lab.refused(to_caller)
        assert (response.headers.get("Reason") or "").startswith(f"Q.850;cause={cause};")
        await lab.second.silence(1)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status, cdr.cause, cdr.b.sip_status) == (code, to_caller, cause, status)

    play(story)


def test_when_all_targets_fail_the_last_ones_failure_stands() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        for phone, status in ((lab.callee, 503), (lab.second, 408)):
            invite = await phone.receive_request("INVITE")
            phone.send(phone.response(invite, status))
        await lab.refused(408)
        assert (await lab.cdr()).failure == 8035

    play(story)


def test_every_redirection_is_refused_with_502() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        for phone in (lab.callee, lab.second):
            invite = await phone.receive_request("INVITE")
            phone.send(phone.response(invite, 302, headers=[("Contact", "<sip:+8613900000002@10.0.0.99>")]))
        response = await lab.refused(502)
        assert response.headers.get("Contact") is None
        assert (await lab.cdr()).failure == 7508

    play(story)


def test_no_response_at_all_goes_on_to_the_next_target() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.callee.receive_request("INVITE")
        await lab.second.receive_request("INVITE")
        assert asyncio.get_running_loop().time() == pytest.approx(8.0)
        await lab.refused(408)
        assert asyncio.get_running_loop().time() == pytest.approx(16.0)
        assert (await lab.cdr()).failure == 8035

    play(story)


def test_a_target_that_only_tries_is_given_the_whole_ring_time() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 100))
        await lab.second.silence(59)
        await lab.second.receive_request("INVITE", ignoring=())
        cancel = await lab.callee.receive_request("CANCEL")
        lab.callee.send(lab.callee.response(cancel, 200))
        lab.callee.send(lab.callee.response(invite, 487))
        await lab.callee.receive("ACK")
        await lab.refused(408)

    play(story)


def test_ringing_out_at_the_last_target_is_8101() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 503))
        await lab.callee.receive("ACK")
        invite = await lab.ring(lab.second)
        response = await lab.refused(480)
        assert (response.headers.get("Reason") or "").startswith("Q.850;cause=19;")
        assert asyncio.get_running_loop().time() == pytest.approx(60.0)
        cancel = await lab.second.receive_request("CANCEL")
        assert (cancel.headers.get("Reason") or "").startswith("Q.850;cause=19;")
        lab.second.send(lab.second.response(cancel, 200))
        lab.second.send(lab.second.response(invite, 487))
        assert (await lab.cdr()).failure == 8101

    play(story)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        sdp("10.0.0.21", 0),
        sdp("10.0.0.21", 41000, codecs="18"),
        b"v=0\r\no=- 1 1 IN IP4 10.0.0.21\r\ns=-\r\nt=0 0\r\n",
    ],
)
def test_an_answer_without_usable_media_is_hung_up_and_the_next_target_tried(body: bytes) -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 200, body=body))
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        await answered_by_second(lab)

    play(story)


def test_an_answer_without_usable_media_after_ringing_is_hung_up_and_nobody_else_is_rung() -> None:
    """Somebody has taken the call: by the next trunk the same telephone would ring again."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        lab.callee.send(lab.callee.response(invite, 200, body=b"nonsense"))
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        await lab.refused(502)
        await lab.second.silence(60)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.answered_at, cdr.b.sip_status) == (7506, None, 200)

    play(story)


def test_a_408_after_ringing_is_told_as_no_answer() -> None:
    """A proxy that lost its patience (timer C) says of a telephone that rang what our own clock would."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await asyncio.sleep(20)
        lab.callee.send(lab.callee.response(invite, 408))
        response = await lab.refused(480)
        assert (response.headers.get("Reason") or "").startswith("Q.850;cause=19;")
        assert (await lab.cdr()).failure == 8101

    play(story)


def test_a_carriers_480_of_no_answer_is_told_as_no_answer() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await asyncio.sleep(50)
        reason = [("Reason", 'SIP;cause=480, Q.850 ;cause=19;text="No answer"')]
        lab.callee.send(lab.callee.response(invite, 480, headers=reason))
        response = await lab.refused(480)
        assert (response.headers.get("Reason") or "").startswith("Q.850;cause=19;")
        await lab.second.silence(60)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.cause, cdr.b.sip_status, cdr.b.cause) == (8101, 19, 480, 19)

    play(story)


def test_an_answer_in_the_183_stands_for_a_200_without_one() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await lab.caller.receive_response(183, ignoring=(100,))
        await lab.pick_up(invite, body=b"")
        await lab.caller_answered()
        await asyncio.sleep(2)
        _, callee = lab.endpoints()
        assert callee.remote is not None and callee.remote.port == 41000
        await lab.hang_up()

    play(story)


def test_no_media_port_left_refuses_with_503_and_rings_nobody() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        response = await lab.refused(503)
        assert response.headers.get("Retry-After") == "5"
        assert lab.callee.pending() == []
        assert (await lab.cdr()).failure == 7109

    lab = Lab()
    lab.media = NullDriver(pairs=0)
    play(story, lab)


def test_no_media_port_left_for_the_callee_refuses_with_503() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.refused(503)
        assert (await lab.cdr()).failure == 7109
        assert lab.callee.pending() == []

    lab = Lab()
    lab.media = NullDriver(pairs=1)
    play(story, lab)


def test_a_full_trunk_is_passed_over() -> None:
    async def story(lab: Lab) -> None:
        lab.limits["first"] = Limit("first", calls=1)
        with lab.admission.counted() as other:
            other.admitted([lab.limits["first"]])
            lab.dial()
            await answered_by_second(lab)
        assert lab.callee.pending() == []

    play(story)


def test_when_all_trunks_are_full_the_caller_is_told_to_try_later() -> None:
    async def story(lab: Lab) -> None:
        lab.limits.update(first=Limit("out", calls=1), second=Limit("out", calls=1))
        with lab.admission.counted() as other:
            other.admitted([lab.limits["first"]])
            lab.dial()
            response = await lab.refused(503)
        assert response.headers.get("Retry-After") == "5"
        assert (await lab.cdr()).failure == 7109

    play(story)


def test_a_trunk_is_free_again_after_a_refusal() -> None:
    async def story(lab: Lab) -> None:
        lab.limits["first"] = Limit("first", calls=1)
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        assert lab.admission.active("first") == 1
        lab.callee.send(lab.callee.response(invite, 486))
        await lab.refused(486)
        assert lab.admission.active("first") == 0

    play(story)


def test_the_callees_own_codecs_are_offered_the_callers_first() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(body=sdp("10.0.0.9", codecs="0 101"))
        invite = await lab.callee.receive_request("INVITE")
        assert b"m=audio" in invite.body and b" RTP/AVP 0 8 101" in invite.body
        lab.callee.send(lab.callee.response(invite, 486))
        await lab.refused(486)

    play(story)


def test_a_trunk_at_another_port_and_over_ipv6_is_written_right() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.second.receive_request("INVITE")
        sent = next(one for one in lab.wire.trace if one.label == "INVITE" and one.source[0] == "10.0.0.1")
        assert sent.destination == ("2001:db8::21", 5070)
        assert sent.text.startswith("INVITE sip:+8613900000002@[2001:db8::21]:5070 SIP/2.0\r\n")
        assert "To: <sip:+8613900000002@[2001:db8::21]>\r\n" in sent.text
        lab.caller.send(lab.caller.cancel(), to=SWITCH)
        await lab.caller.receive(200, ignoring=(100,))
        await lab.refused(487)

    lab = Lab()
    trunks = lab.dialplan.trunks
    six = replace(trunks["first"], host="2001:db8::21", port=5070)
    lab.dialplan = replace(lab.dialplan, trunks={**trunks, "first": six})
    play(story, lab)


def test_a_target_that_cannot_be_reached_goes_on_to_the_next() -> None:
    async def story(lab: Lab) -> None:
        lab.wire.refused.add(FIRST)
        lab.dial()
        await answered_by_second(lab)
        assert SECOND in {sent.destination for sent in lab.wire.trace}

    play(story)


def test_a_route_without_targets_is_7508() -> None:
    async def story(lab: Lab) -> None:
        router = lab.services.router

        class Nowhere:
            async def resolve(
                self, dialled: str, caller: str, *, digits: str | None = None, trunk: str | None = None
            ) -> Decision:
                route = await router.resolve(dialled, caller, digits=digits, trunk=trunk)
                assert isinstance(route, Route)
                return structs.replace(route, targets=())

        object.__setattr__(lab.services, "router", Nowhere())
        lab.dial()
        await lab.refused(502)
        assert (await lab.cdr()).failure == 7508

    play(story)


def test_no_leg_outlives_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    async def short(a: InboundLeg, *_: object) -> None:
        await a.answer()
        await asyncio.sleep(1)

    async def story(lab: Lab) -> None:
        await lab.establish(talk=False)
        await lab.answer_bye(lab.callee)
        await lab.answer_bye(lab.caller)
        assert lab.media.endpoints == []
        await lab.second.silence(1)

    monkeypatch.setattr(b2bua, "bridge", short)
    play(story)


CHALLENGE = [("WWW-Authenticate", 'Digest realm="carrier", nonce="1", qop="auth"')]


def test_a_target_that_challenges_hears_our_proof_and_one_that_refuses_it_is_passed_over() -> None:
    async def story(lab: Lab) -> None:
        lab.accounts["first"] = Account("us", "secret")
        lab.dial()
        for proof in (None, "us"):
            invite = await lab.callee.receive_request("INVITE")
            shown = invite.headers.get("Authorization")
            assert (parse_credentials(shown).username if shown else None) == proof
            lab.callee.send(lab.callee.response(invite, 401, headers=CHALLENGE))
            await lab.callee.receive("ACK")
        await answered_by_second(lab)

    play(story)


def test_the_callers_trunk_may_challenge_our_bye() -> None:
    async def story(lab: Lab) -> None:
        lab.accounts["in"] = Account("us", "secret")
        await lab.establish()
        lab.callee.send(lab.callee.request("BYE"))
        await lab.callee.receive_response(200)
        bye = await lab.caller.receive_request("BYE")
        lab.caller.send(lab.caller.response(bye, 401, headers=CHALLENGE))
        proved = await lab.caller.receive_request("BYE")
        assert parse_credentials(proved.headers.get("Authorization") or "").username == "us"
        lab.caller.send(lab.caller.response(proved, 200))
        assert (await lab.cdr()).ended_by == "callee"

    play(story)
