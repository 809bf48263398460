"""What the dialplan says of a trunk, seen on the wire of whole calls: identity, headers, codecs, packet times."""

from __future__ import annotations

from typing import Any

import pytest

from softswitch.call.presentation import ANONYMOUS
from softswitch.interfaces import Coding, EndpointStatistics
from softswitch.routing.fields import passed_header
from softswitch.sip.message import SipRequest, parse_message
from tests.support.calls import STRANGER, SWITCH, X_AXB, A, B, Lab, play, sdp

ASSERTED = ("P-Asserted-Identity", f"<sip:{A}@10.0.0.9>")
ORDER = passed_header("X-Order")


async def refused_callee(lab: Lab) -> SipRequest:
    """The callee's INVITE; the callee is busy."""
    invite = await lab.callee.receive_request("INVITE")
    lab.callee.send(lab.callee.response(invite, 486))
    await lab.refused(486)
    return invite


def test_an_assertion_counts_where_the_trunk_is_trusted_and_from_alone_where_not() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", trusted=False)
        lab.dial(by=STRANGER, headers=[ASSERTED])
        await lab.refused(404)
        cdr = await lab.cdr()
        assert (cdr.caller, cdr.failure) == (STRANGER, 8014)

    play(story)


def test_a_caller_that_withholds_its_number_is_known_by_the_trunks_assertion() -> None:
    """RFC 3325 9.3: Privacy "id" is for those outside the trust domain, which we are in."""

    async def story(lab: Lab) -> None:
        lab.dial(by="anonymous", headers=[ASSERTED, ("Privacy", "id")])
        invite = await refused_callee(lab)
        assert invite.headers.get("From") != ANONYMOUS and "Privacy" not in invite.headers
        assert (await lab.cdr()).caller == A

    play(story)


def test_a_trunk_may_want_clir_kept() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("first", privacy="caller")
        lab.dial(headers=[ASSERTED, ("Privacy", "id")])
        invite = await refused_callee(lab)
        assert (invite.headers.get("From") or "").startswith(ANONYMOUS)
        assert invite.headers.get("Privacy") == "id"
        assert X_AXB in (invite.headers.get("P-Asserted-Identity") or "")
        assert A[3:] not in str(invite.headers)

    play(story)


def test_headers_that_both_trunks_name_pass_in_both_directions_and_no_others_do() -> None:
    async def story(lab: Lab) -> None:
        for name in ("in", "first"):
            lab.set_trunk(name, pass_headers=(ORDER,))
        lab.dial(headers=[(ORDER, "17"), ("X-Else", "18"), (ORDER, f"of {A}")])
        invite = await lab.callee.receive_request("INVITE")
        assert [invite.headers.all(ORDER), invite.headers.get("X-Else")] == [["17"], None]
        theirs = [(ORDER, "taken"), ("X-Else", "19"), (ORDER, f"by {B}")]
        lab.callee.send(lab.callee.response(invite, 180, headers=theirs))
        ringing = await lab.caller.receive_response(180, ignoring=(100,))
        assert [ringing.headers.all(ORDER), ringing.headers.get("X-Else")] == [["taken"], None]
        lab.callee.send(lab.callee.response(invite, 200, body=sdp("10.0.0.21", 41000), headers=[(ORDER, "given")]))
        await lab.callee.receive("ACK")
        answered = await lab.caller_answered()
        assert answered.headers.all(ORDER) == ["given"]
        await lab.hang_up()
        assert lab.metrics.leaks == []

    play(story)


@pytest.mark.parametrize("by_callee", [False, True])
def test_headers_of_the_bye_that_ends_the_call_pass_too(by_callee: bool) -> None:
    """RFC 7433 3: User-to-User may stand in a BYE."""

    async def story(lab: Lab) -> None:
        for name in ("in", "first"):
            lab.set_trunk(name, pass_headers=(ORDER,))
        await lab.establish()
        one, other, number = (lab.callee, lab.caller, B) if by_callee else (lab.caller, lab.callee, A)
        one.send(one.request("BYE", headers=[(ORDER, "done"), (ORDER, f"by {number}"), ("X-Else", "1")]))
        await one.receive_response(200)
        bye = await lab.answer_bye(other)
        assert (bye.headers.all(ORDER), bye.headers.get("X-Else")) == (["done"], None)
        assert lab.metrics.leaks == []

    play(story)


def test_reports_of_media_in_a_bye_do_not_pass_with_the_address_of_the_media() -> None:
    async def story(lab: Lab) -> None:
        for name in ("in", "first"):
            lab.set_trunk(name, pass_headers=("X-RTP-Stat",))
        lab.dial(body=sdp("10.99.0.9"))
        await lab.pick_up(await lab.ring())
        await lab.caller_answered()
        reports = [("X-RTP-Stat", "PS=50;IP=10.99.0.9:40000"), ("X-RTP-Stat", "PR=50;PL=0")]
        lab.caller.send(lab.caller.request("BYE", headers=reports))
        await lab.caller.receive_response(200)
        assert (await lab.answer_bye(lab.callee)).headers.all("X-RTP-Stat") == ["PR=50;PL=0"]

    play(story)


def test_headers_of_a_bye_pass_also_where_it_overtakes_the_answer() -> None:
    """RFC 3261 15: the callee's 200 was lost, so nothing is known of its media."""

    async def story(lab: Lab) -> None:
        for name in ("in", "first"):
            lab.set_trunk(name, pass_headers=(ORDER,))
        lab.dial()
        await lab.ring()
        lab.callee.send(lab.callee.request("BYE", headers=[(ORDER, "done")]))
        await lab.callee.receive(200)
        assert (await lab.refused(480)).headers.all(ORDER) == ["done"]

    play(story)


@pytest.mark.parametrize("naming", ["in", "first"])
def test_a_header_that_one_trunk_alone_names_does_not_pass(naming: str) -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk(naming, pass_headers=(ORDER,))
        lab.dial(headers=[(ORDER, "17")])
        assert ORDER not in (await refused_callee(lab)).headers

    play(story)


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ({"codecs": ("PCMU", "PCMA")}, b"RTP/AVP 8 0 101"),
        ({"codecs": ("PCMU", "PCMA"), "codec_order": "trunk"}, b"RTP/AVP 0 8 101"),
        ({"codecs": ("PCMU",)}, b"RTP/AVP 0 101"),
        ({"codecs": ("opus", "G722", "PCMA")}, b"RTP/AVP 8 96 9 101 102"),
        ({"codecs": ("opus", "G722", "PCMA"), "codec_order": "trunk"}, b"RTP/AVP 96 9 8 101 102"),
        ({"codecs": ("G722",)}, b"RTP/AVP 9 101\r\na=rtpmap:9 G722/8000"),
        ({"codecs": ("opus",)}, b"RTP/AVP 96 101 102\r\na=rtpmap:96 opus/48000/2"),
    ],
)
def test_a_trunk_is_offered_its_codecs_in_its_own_order_or_the_callers(options: dict[str, Any], offered: bytes) -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("first", **options)
        lab.dial(body=sdp("10.0.0.9", codecs="8 101"))
        assert offered in (await refused_callee(lab)).body

    play(story)


def test_a_callee_may_speak_a_codec_that_the_callers_trunk_does_not_take() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", codecs=("PCMA",))
        lab.set_trunk("first", codecs=("PCMU", "PCMA"))
        lab.dial(body=sdp("10.0.0.9", codecs="8 0 101"))
        assert b"RTP/AVP 8 0 101" in (await refused_callee(lab)).body

    play(story)


def test_what_the_callee_speaks_is_not_answered_where_the_callers_trunk_does_not_take_it() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", codecs=("PCMA",))
        lab.set_trunk("first", codecs=("PCMU",))
        lab.dial(body=sdp("10.0.0.9", codecs="0 8"))
        await lab.pick_up(await lab.ring(), body=sdp("10.0.0.21", 41000, codecs="0"))
        ok = await lab.caller_answered()
        assert b" RTP/AVP 8\r\n" in ok.body
        await lab.hang_up()

    play(story)


def test_what_a_trunk_may_not_speak_is_refused_before_anybody_is_rung() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", codecs=("PCMU",))
        lab.dial(body=sdp("10.0.0.9", codecs="8 101"))
        await lab.refused(488)
        assert lab.callee.pending() == []

    play(story)


def test_each_trunk_is_asked_for_packets_of_its_own_length() -> None:
    """RFC 8866 6.4 and 6.5."""

    async def story(lab: Lab) -> None:
        lab.set_trunk("in", ptime_ms=30)
        lab.set_trunk("first", ptime_ms=40, max_ptime_ms=60)
        lab.dial()
        invite = await lab.ring()
        assert b"a=ptime:40\r\na=maxptime:60\r\n" in invite.body
        await lab.pick_up(invite)
        answered = await lab.caller_answered()
        assert b"a=ptime:30\r\n" in answered.body and b"maxptime" not in answered.body
        lab.caller.send(lab.caller.request("BYE"), to=SWITCH)
        await lab.caller.receive_response(200)
        await lab.answer_bye(lab.callee)

    play(story)


def test_what_is_dialled_may_stand_in_to_and_a_trunk_may_be_a_proxy_of_its_domain() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", dialled_in="to")
        lab.set_trunk("first", uri_host="ims.example", host="10.0.0.21")
        invite = lab.caller.invite("sip:us@10.0.0.1", from_=f"<sip:{A}@h>", to=f"<sip:{X_AXB}@h>", body=sdp("10.0.0.9"))
        lab.caller.send(invite, to=SWITCH)
        got = await lab.callee.receive_request("INVITE")
        assert got.uri == f"sip:{B}@ims.example"
        lab.callee.send(lab.callee.response(got, 486))
        await lab.refused(486)

    play(story)


def test_no_header_that_we_write_ourselves_may_be_named_as_one_to_pass() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("first", identity="both", privacy="always")
        await lab.establish()
        await lab.hang_up()
        lab.dial("+8617000009999")
        await lab.refused(404)
        ours = [one.data for one in lab.wire.trace if one.source == SWITCH]
        names = {name for data in ours for name, _ in parse_message(data).headers.items()}
        assert {"Via", "Privacy", "P-Asserted-Identity", "User-Agent", "Server", "Reason", "P-Early-Media"} <= names
        for name in names:
            with pytest.raises(ValueError, match="expected"):
                passed_header(name)

    play(story)


def test_opus_meets_g711_and_each_side_is_told_of_its_own_alone() -> None:
    """RFC 3551 and RFC 7587: media converts, each leg has a codec and payload types of its own."""

    async def story(lab: Lab) -> None:
        lab.set_trunk("first", codecs=("opus",))
        lab.dial(body=sdp("10.0.0.9", codecs="8 101"))
        await lab.pick_up(await lab.ring(), body=sdp("10.0.0.21", 41000, codecs="111"))
        ok = await lab.caller_answered()
        assert b" RTP/AVP 8 101\r\n" in ok.body
        assert b"opus" not in ok.body
        a, b = (endpoint.remote for endpoint in lab.endpoints())
        assert a is not None
        assert b is not None
        assert (a.payload_type, a.coding, b.payload_type, b.coding) == (8, None, 111, Coding("opus", 96))
        for endpoint in lab.endpoints():
            endpoint.told_statistics = EndpointStatistics(990, 1000, 10, 0, 2.0, 5, 3.0, 80.0, reported=True)
        lab.caller.send(lab.caller.request("BYE"))
        await lab.answer_bye(lab.callee)
        cdr = await lab.cdr()
        assert (cdr.a.codec, cdr.b.codec, cdr.b.packets_lost) == ("PCMA", "opus", 10)
        assert (cdr.a.mos > 3, cdr.a.remote_mos > 3, cdr.b.mos, cdr.b.remote_mos) == (True, True, 0.0, 0.0)

    play(story)


def test_a_caller_with_opus_is_answered_with_what_the_callee_took_where_it_can_pass() -> None:
    async def story(lab: Lab) -> None:
        for name in ("in", "first"):
            lab.set_trunk(name, codecs=("PCMA", "opus"))
        lab.dial(body=sdp("10.0.0.9", codecs="111 8 101"))
        invite = await lab.ring()
        assert b"RTP/AVP 8 96 101 102" in invite.body
        await lab.pick_up(invite, body=sdp("10.0.0.21", 41000, codecs="111"))
        assert b" RTP/AVP 111 101\r\na=rtpmap:111 opus/48000/2" in (await lab.caller_answered()).body

    play(story)


def test_each_side_is_told_how_the_other_would_like_its_opus() -> None:
    """RFC 7587 7.1: maxaveragebitrate is for who sends, and that is the other side where packets pass."""

    async def story(lab: Lab) -> None:
        for name in ("in", "first"):
            lab.set_trunk(name, codecs=("opus", "PCMA"))
        lab.dial(body=sdp("10.0.0.9", codecs="111 8 101") + b"a=fmtp:111 maxaveragebitrate=20000;sprop-stereo=1\r\n")
        invite = await lab.ring()
        assert b"a=fmtp:96 useinbandfec=1;maxaveragebitrate=20000\r\n" in invite.body
        await lab.pick_up(invite, body=sdp("10.0.0.21", 41000, codecs="111") + b"a=fmtp:111 cbr=1\r\n")
        answer = await lab.caller_answered()
        assert b"a=fmtp:111 useinbandfec=1;cbr=1\r\n" in answer.body
        a, b = (endpoint.remote for endpoint in lab.endpoints())
        assert a is not None
        assert b is not None
        assert (a.coding, b.coding) == (Coding("opus", 111, bitrate=20000), Coding("opus", 96, cbr=True))

    play(story)


def test_a_caller_with_nothing_but_opus_is_refused_where_its_trunk_may_not_speak_it() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("first", codecs=("opus",))
        lab.dial(body=sdp("10.0.0.9", codecs="111"))
        assert (await lab.refused(488)).status == 488

    play(story)
