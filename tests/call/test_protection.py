"""SRTP on the wire of whole calls (RFC 4568): which offers are taken and made, and what becomes of keys in the talk."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from softswitch.interfaces import SrtpKeys
from softswitch.media_drivers.null import NullEndpoint
from softswitch.sdp.crypto import Crypto, parse_crypto
from softswitch.sdp.description import parse_description
from softswitch.sip.message import SipRequest
from tests.call.test_session_timers import timed
from tests.support.calls import Lab, play, sdp
from tests.support.pair import Pair

CM, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"
KEY, OTHER, THIRD = bytes(range(30)), bytes(range(30, 60)), bytes(range(60, 90))


def srtp(
    host: str = "10.0.0.9", port: int = 40000, *, tag: int = 1, key: bytes = KEY, suite: str = CM, **options: Any
) -> bytes:
    """A description of one stream of SRTP."""
    line = f"a=crypto:{tag} {suite} inline:{base64.b64encode(key).decode()}|2^31\r\n"
    return sdp(host, port, **options).replace(b"RTP/AVP", b"RTP/SAVP") + line.encode()


def keys_in(body: bytes) -> list[Crypto]:
    """What a description of ours offers or answers."""
    (media,) = parse_description(body).media
    assert media.protocol == "RTP/SAVP"
    return [parse_crypto(value) for value in media.crypto]


def answer_to(invite: SipRequest, **options: Any) -> bytes:
    """The callee's answer: our line of the suite is taken."""
    (line,) = [one for one in keys_in(invite.body) if one.suite == CM]
    return srtp("10.0.0.21", 41000, tag=line.tag, **options)


def used(endpoint: NullEndpoint) -> SrtpKeys | None:
    """What the media were told."""
    assert endpoint.remote is not None
    return endpoint.remote.srtp


async def hung_up(lab: Lab) -> None:
    await lab.hang_up()
    assert (await lab.cdr()).failure == 0
    assert lab.metrics.leaks == []


# The caller


@pytest.mark.parametrize("setting", ["allowed", "required"])
def test_a_caller_with_srtp_is_answered_with_srtp_and_a_plain_callee_hears_it(setting: str) -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp=setting)
        lab.dial(body=srtp())
        invite = await lab.ring()
        assert b"RTP/AVP" in invite.body and b"crypto" not in invite.body  # each leg's keys are its own affair
        await lab.pick_up(invite)
        (line,) = keys_in((await lab.caller_answered()).body)
        caller, callee = lab.endpoints()
        assert (line.tag, used(caller), used(callee)) == (1, SrtpKeys(CM, line.key, KEY), None)
        await hung_up(lab)
        assert ((await lab.cdr()).a.srtp, (await lab.cdr()).b.srtp) == (CM, "")

    play(story)


def test_a_plain_offer_is_answered_plain_where_srtp_is_allowed() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp="allowed")
        await lab.establish()
        assert used(lab.endpoints()[0]) is None
        await hung_up(lab)

    play(story)


@pytest.mark.parametrize(
    ("setting", "body"),
    [
        ("off", srtp()),
        ("required", sdp("10.0.0.9")),
        ("required", srtp().replace(b"|2^31", b" KDR=1")),
        ("allowed", srtp(suite="AES_CM_128_HMAC_SHA1_32")),  # not among the suites of the trunk
        ("off", sdp("10.0.0.9").replace(b"RTP/AVP", b"RTP/AVPF")),  # RFC 4585 8: a profile that nobody has
    ],
)
def test_an_offer_that_does_not_fit_the_trunk_gets_488_and_nobody_is_rung(setting: str, body: bytes) -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp=setting)
        lab.dial(body=body)
        refused = await lab.refused(488)
        words = "RTP profile or SRTP that the caller's trunk may not use, or lacks"
        assert words in (refused.headers.get("Reason") or "")
        assert lab.callee.pending() == [] and (await lab.cdr()).failure == 7505

    play(story)


def test_no_codec_in_common_is_still_called_so() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp="required")
        lab.dial(body=srtp(codecs="18"))
        assert "no audio codec" in ((await lab.refused(488)).headers.get("Reason") or "")
        await lab.cdr()

    play(story)


def test_a_caller_without_offer_gets_ours_with_keys_where_srtp_is_required() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp="required")
        lab.dial(body=b"")
        await lab.pick_up(await lab.ring())
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        ours = keys_in(ok.body)
        assert [one.suite for one in ours] == [GCM, CM]
        lab.caller.send(lab.caller.ack(ok, body=srtp(tag=2)))
        await hung_up(lab)
        configured = [one.remote for one in lab.media.commands if one.verb == "configure" and one.remote is not None]
        assert SrtpKeys(CM, ours[1].key, KEY) in [one.srtp for one in configured]

    play(story)


def test_early_media_and_the_answer_have_one_key() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp="allowed")
        lab.dial(body=srtp())
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        early = await lab.caller.receive_response(183, ignoring=(100,))
        await lab.pick_up(invite)
        ok = await lab.caller_answered()
        assert keys_in(early.body) == keys_in(ok.body)
        await hung_up(lab)

    play(story)


# The callee


def test_a_callee_whose_trunk_requires_srtp_is_offered_it_and_a_plain_caller_hears_it() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("first", srtp="required")
        lab.dial()
        invite = await lab.ring()
        offered = {one.suite: one.key for one in keys_in(invite.body)}
        assert list(offered) == [GCM, CM]
        await lab.pick_up(invite, body=answer_to(invite))
        assert b"RTP/AVP" in (await lab.caller_answered()).body
        caller, callee = lab.endpoints()
        assert (used(caller), used(callee)) == (None, SrtpKeys(CM, offered[CM], KEY))
        await hung_up(lab)

    play(story)


def test_a_callee_whose_trunk_allows_srtp_is_offered_plain_rtp() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("first", srtp="allowed")
        lab.dial()
        invite = await lab.ring()
        assert b"RTP/AVP" in invite.body
        await lab.pick_up(invite)
        await lab.caller_answered()
        await hung_up(lab)

    play(story)


def test_both_sides_have_keys_of_their_own() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp="required")
        lab.set_trunk("first", srtp="required", srtp_suites=(CM,))
        lab.dial(body=srtp())
        invite = await lab.ring()
        await lab.pick_up(invite, body=answer_to(invite, key=OTHER))
        await lab.caller_answered()
        caller, callee = (used(one) for one in lab.endpoints())
        assert caller is not None and callee is not None
        assert (caller.receive, callee.receive) == (KEY, OTHER)
        assert len({caller.send, callee.send, KEY, OTHER}) == 4
        await hung_up(lab)
        cdr = await lab.cdr()
        assert (cdr.a.srtp, cdr.b.srtp) == (CM, CM)
        assert not any(base64.b64encode(key).decode() in repr(cdr) for key in (KEY, OTHER, caller.send, callee.send))

    play(story)


@pytest.mark.parametrize("body", [sdp("10.0.0.21", 41000), srtp("10.0.0.21", 41000, tag=9)])
def test_an_answer_without_one_of_our_keys_is_hung_up_and_the_next_target_tried(body: bytes) -> None:
    """RFC 4568 5.1.3."""

    async def story(lab: Lab) -> None:
        lab.set_trunk("first", srtp="required")
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 200, body=body))
        await lab.callee.receive("ACK")
        bye = await lab.answer_bye(lab.callee)
        assert "takes none of the SRTP keys" in (bye.headers.get("Reason") or "")
        second = await lab.second.receive_request("INVITE")
        await lab.pick_up(second, lab.second, body=sdp("10.0.0.22", 41000))
        await lab.caller_answered()
        await lab.hang_up(lab.second)
        await lab.cdr()

    play(story)


def test_each_fork_brings_a_key_of_its_own() -> None:
    """RFC 4568 7.3: the one that answers is the one whose key counts."""

    async def story(lab: Lab) -> None:
        lab.set_trunk("first", srtp="required")
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        first_tag = lab.callee.tag
        lab.callee.send(lab.callee.response(invite, 183, body=answer_to(invite, key=OTHER)))
        await lab.caller.receive_response(183, ignoring=(100,))
        _, callee = lab.endpoints()
        early = used(callee)
        lab.callee.tag = f"{first_tag}-fork"
        await lab.pick_up(invite, body=answer_to(invite, key=THIRD))
        await lab.caller_answered()
        now = used(callee)
        assert early is not None and now is not None
        assert (early.receive, now.receive, early.send) == (OTHER, THIRD, now.send)
        await lab.hang_up()
        await lab.cdr()

    play(story)


# In the talk


async def talking(lab: Lab) -> tuple[NullEndpoint, SrtpKeys]:
    """A caller with SRTP talks to a plain callee; its endpoint and keys."""
    lab.set_trunk("in", srtp="allowed")
    lab.change(lab.axb, announcement=None)
    lab.dial(body=srtp())
    await lab.pick_up(await lab.ring())
    await lab.caller_answered()
    endpoint = lab.endpoints()[0]
    keys = used(endpoint)
    assert keys is not None
    return endpoint, keys


def test_hold_keeps_the_keys_of_both() -> None:
    async def story(lab: Lab) -> None:
        endpoint, keys = await talking(lab)
        pair = Pair(lab, "caller")
        lab.caller.send(lab.caller.request("INVITE", body=srtp(direction="sendonly", version=2)))
        await pair.tell("sendonly")
        ok = await pair.answered()
        assert [one.key for one in keys_in(ok.body)] == [keys.send] and used(endpoint) == keys
        await lab.hang_up()
        await lab.cdr()

    play(story)


@pytest.mark.parametrize("body", [srtp(key=OTHER, version=2), srtp(port=40002, version=2)])
def test_a_caller_with_another_key_or_address_gets_another_key_of_ours(body: bytes) -> None:
    """RFC 4568 7.1.4: who receives elsewhere can't know how often our numbers have gone round."""

    async def story(lab: Lab) -> None:
        endpoint, keys = await talking(lab)
        lab.caller.send(lab.caller.request("INVITE", body=body))
        ok = await lab.caller.receive_response(200, ignoring=(100,))
        lab.caller.send(lab.caller.ack(ok))
        (line,), now = keys_in(ok.body), used(endpoint)
        assert now is not None and line.key == now.send != keys.send
        assert now.receive == (OTHER if b"40002" not in body else KEY)
        await lab.hang_up()
        await lab.cdr()

    play(story)


def test_our_own_offer_to_a_caller_with_srtp_is_of_srtp_with_the_key_in_use() -> None:
    """The callee holds: the caller's trunk only allows SRTP, but SRTP is what it speaks."""

    async def story(lab: Lab) -> None:
        endpoint, keys = await talking(lab)
        lab.callee.send(lab.callee.request("INVITE", body=sdp("10.0.0.21", 41000, direction="sendonly", version=2)))
        told = await lab.caller.receive_request("INVITE")
        offered = keys_in(told.body)
        assert (offered[0].suite, offered[0].key) == (CM, keys.send)
        body = srtp(tag=offered[0].tag, direction="recvonly", version=2)
        lab.caller.send(lab.caller.response(told, 200, body=body))
        await lab.caller.receive("ACK")
        ok = await lab.callee.receive_response(200, ignoring=(100,))
        lab.callee.send(lab.callee.ack(ok))
        assert used(endpoint) == keys
        await lab.hang_up()
        await lab.cdr()

    play(story)


def test_a_plain_re_invite_is_refused_where_srtp_is_required_and_the_call_goes_on() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp="required")
        lab.dial(body=srtp())
        await lab.pick_up(await lab.ring())
        await lab.caller_answered()
        endpoint = lab.endpoints()[0]
        keys = used(endpoint)
        lab.caller.send(lab.caller.request("INVITE", body=sdp("10.0.0.9", version=2)))
        lab.caller.send(lab.caller.ack(await lab.caller.receive_response(488, ignoring=(100,))))
        assert used(endpoint) == keys
        await hung_up(lab)

    play(story)


def test_a_refresh_by_the_caller_keeps_the_keys_also_by_update() -> None:
    """RFC 4028 7.4, RFC 3311: the same description again."""

    async def story(lab: Lab) -> None:
        endpoint, keys = await talking(lab)
        for method in ("INVITE", "UPDATE"):
            lab.caller.send(lab.caller.request(method, body=srtp()))
            ok = await lab.caller.receive_response(200, ignoring=(100,))
            if method == "INVITE":
                lab.caller.send(lab.caller.ack(ok))
            assert [one.key for one in keys_in(ok.body)] == [keys.send] and used(endpoint) == keys
        await lab.hang_up()
        await lab.cdr()

    play(story)


def test_a_refresh_of_ours_is_the_offer_from_before() -> None:
    """RFC 3264 8: with the same version in o=, so that nothing is negotiated anew."""

    async def story(lab: Lab) -> None:
        lab.set_trunk("first", srtp="required", srtp_suites=(CM,))
        timer = [("Supported", "timer"), ("Session-Expires", "600;refresher=uac")]
        lab.dial()
        invite = await lab.ring()
        lab.callee.send(lab.callee.response(invite, 200, body=answer_to(invite), headers=timer))
        await lab.callee.receive("ACK")
        await lab.caller_answered()
        keys = used(lab.endpoints()[1])
        lab.callee.patience = 1000
        again = await lab.callee.receive_request("INVITE")
        assert again.body == invite.body
        lab.callee.send(lab.callee.response(again, 200, body=answer_to(again), headers=timer))
        await lab.callee.receive("ACK")
        assert used(lab.endpoints()[1]) == keys
        await lab.hang_up()
        await lab.cdr()

    play(story, timed())


def test_a_re_invite_without_offer_gets_ours_with_the_key_in_use() -> None:
    """RFC 3261 14.2; the trunk only allows SRTP."""

    async def story(lab: Lab) -> None:
        endpoint, keys = await talking(lab)
        lab.caller.send(lab.caller.request("INVITE"))
        ok = await lab.caller.receive_response(200, ignoring=(100,))
        (line, *_) = keys_in(ok.body)
        assert (line.suite, line.key) == (CM, keys.send)
        lab.caller.send(lab.caller.ack(ok, body=srtp(tag=line.tag, key=OTHER, version=2)))
        await asyncio.sleep(0.1)
        assert used(endpoint) == SrtpKeys(CM, keys.send, OTHER)
        await lab.hang_up()
        await lab.cdr()

    play(story)


def test_an_answer_in_the_ack_without_a_key_ends_the_call() -> None:
    async def story(lab: Lab) -> None:
        lab.set_trunk("in", srtp="required")
        lab.dial(body=b"")
        await lab.pick_up(await lab.ring())
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        lab.caller.send(lab.caller.ack(ok, body=sdp("10.0.0.9")))
        assert "no usable answer from the caller" in ((await lab.answer_bye(lab.caller)).headers.get("Reason") or "")
        await lab.answer_bye(lab.callee)
        await lab.cdr()

    play(story)


# A media server that lacks it


def test_without_srtp_in_the_media_server_a_required_one_refuses_callers_and_passes_over_callees() -> None:
    async def story(lab: Lab) -> None:
        lab.media.srtp = ()
        lab.set_trunk("in", srtp="required")
        for body in (srtp(), b""):
            lab.caller.fresh()
            lab.dial(body=body)
            assert "which the media server lacks" in ((await lab.refused(488)).headers.get("Reason") or "")
        lab.set_trunk("in", srtp="off")
        lab.set_trunk("first", srtp="required")
        lab.caller.fresh()
        lab.dial()
        await lab.pick_up(await lab.ring(lab.second), lab.second)
        await lab.caller_answered()
        assert lab.callee.pending() == []
        await lab.hang_up(lab.second)

    play(story)


def test_without_srtp_in_the_media_server_an_allowed_one_is_as_if_it_were_off() -> None:
    async def story(lab: Lab) -> None:
        lab.media.srtp = ()
        lab.set_trunk("in", srtp="allowed")
        lab.dial(body=srtp())
        await lab.refused(488)
        lab.caller.fresh()
        await lab.establish()
        await lab.hang_up()

    play(story)
