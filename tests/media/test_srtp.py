"""SRTP at the real media server, against packets made from the RFCs (srtp_reference.py, held to their vectors)."""

from __future__ import annotations

import asyncio

import pytest

from media import _native, protocol
from softswitch.interfaces import RtpRemote, SrtpKeys
from tests.media.phone import Packet, rtp, tone
from tests.media.srtp_reference import Aes, Sender, derived, gcm
from tests.media.support import obeyed, room, run

pytestmark = pytest.mark.real_time
SUITES = {"AEAD_AES_256_GCM": 44, "AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30}
KEY = bytes(range(44))
OTHER_KEY = bytes(range(100, 144))

needs_srtp = pytest.mark.skipif(not _native.SRTP_SUITES, reason="a build without libsrtp2")


def test_the_reference_has_the_key_stream_of_rfc_3711_appendix_b_2() -> None:
    aes = Aes(bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"))
    stream = aes.stream(int("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000", 16), 48).hex().upper()
    assert stream[:32] == "E03EAD0935C95E80E166B16DD92B4EB4"
    assert stream[32:64] == "D23513162B02D0F72A43A2FE4A5F97AB"
    assert stream[64:] == "41E95B3BB0A2E8DD477901E4FCA894C0"


def test_the_reference_derives_the_keys_of_rfc_3711_appendix_b_3() -> None:
    aes, salt = Aes(bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")), bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    assert derived(aes, salt, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derived(aes, salt, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert derived(aes, salt, 1, 20).hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"


def test_the_reference_seals_the_packet_of_rfc_7714_16_2_1() -> None:
    header = bytes.fromhex("8040f17b8041f8d35501a0b2")
    nonce = bytes.fromhex("51753c6580c2726f20718414")  # 8.1: SSRC, ROC and SEQ with the salt
    sealed = gcm(Aes(bytes(range(32))), nonce, b"Gallia est omnis divisa in partes tres", header)
    assert sealed.hex() == (
        "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"
    )


def sealed(packet: Packet, key: bytes, suite: str, rollovers: int = 0) -> bytes:
    """What follows the header of a packet that was heard, if it was protected as it should be."""
    plain = rtp(packet.sequence, packet.timestamp, tone(900, 0.02), ssrc=packet.ssrc, marker=packet.marker)
    return Sender(suite, key).seal(plain, rollovers)[12:]


@needs_srtp
@pytest.mark.parametrize("io", ["epoll", "auto"])
@pytest.mark.parametrize("suite", SUITES)
def test_one_side_speaks_srtp_and_the_other_hears_it_plain_and_back(suite: str, io: str) -> None:
    async def story() -> None:
        keys = SrtpKeys(suite, OTHER_KEY[: SUITES[suite]], KEY[: SUITES[suite]])
        async with room(io=io) as place:
            assert suite in place.driver.srtp
            (anna, a), (bert, b) = await place.leg(srtp=keys), await place.leg()
            await place.connect(a, b)
            far_end = Sender(suite, keys.receive)
            anna.sequence = 65534  # it goes round
            for number in range(4):
                anna.send(far_end.seal(anna.frame(tone(400, 0.02)), rollovers=int(number > 1)))
                bert.send(bert.frame(tone(900, 0.02)))
                await asyncio.sleep(0.01)
            await bert.wait_for(lambda: len(bert.heard) == 4)
            assert {packet.payload for packet in bert.heard} == {tone(400, 0.02)}
            await anna.wait_for(lambda: len(anna.heard) == 4)
            assert [packet.payload for packet in anna.heard] == [
                sealed(packet, keys.send, suite) for packet in anna.heard
            ]

    run(story)


@needs_srtp
def test_what_is_forged_or_replayed_is_dropped_and_told() -> None:
    async def story() -> None:
        suite = "AES_CM_128_HMAC_SHA1_80"
        async with room() as place:
            anna, a = await place.leg(srtp=SrtpKeys(suite, OTHER_KEY[:30], KEY[:30]))
            bert, b = await place.leg()
            await place.connect(a, b)
            good = Sender(suite, KEY[:30]).seal(anna.frame(tone(400, 0.02)))
            for data in (anna.frame(tone(400, 0.02)), good[:-1] + bytes([good[-1] ^ 1]), good, good):
                anna.send(data)
            await bert.wait_for(lambda: len(bert.heard) == 1)
            await obeyed(place.driver, place.folder)
            a.close()
            told = await a.statistics
            counted = told.packets_received, told.packets_dropped, told.packets_forged, told.packets_replayed
            assert counted == (1, 3, 2, 1)

    run(story)


@needs_srtp
def test_both_sides_may_speak_srtp_each_with_keys_of_its_own() -> None:
    async def story() -> None:
        first = SrtpKeys("AEAD_AES_256_GCM", KEY, OTHER_KEY)
        second = SrtpKeys("AES_CM_128_HMAC_SHA1_32", KEY[5:35], OTHER_KEY[5:35])
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(srtp=first), await place.leg(srtp=second)
            await place.connect(a, b)
            anna.send(Sender(first.suite, first.receive).seal(anna.frame(tone(900, 0.02))))
            await bert.wait_for(lambda: len(bert.heard) == 1)
            assert bert.heard[0].payload == sealed(bert.heard[0], second.send, second.suite)

    run(story)


def test_a_suite_that_the_build_lacks_is_refused_in_words_without_the_key() -> None:
    async def story() -> None:
        async with room() as place:
            heard: list[protocol.Refused] = []
            place.driver._dispatch[protocol.Refused] = heard.append
            endpoint = await place.driver.open_endpoint("call")
            endpoint.configure(RtpRemote("127.0.0.1", 9, 8, None, srtp=SrtpKeys("F8_128_HMAC_SHA1_80", KEY, KEY)))
            await obeyed(place.driver, place.folder)
            assert [one.command for one in heard] == ["ConfigureEndpoint"]
            assert heard[0].reason.startswith("no SRTP by F8_128_HMAC_SHA1_80 with a key of 44 bytes")

    run(story)


def test_no_representation_shows_a_key() -> None:
    keys = SrtpKeys("AEAD_AES_256_GCM", KEY, KEY)
    told = protocol.ConfigureEndpoint(1, "127.0.0.1", 9, 8, srtp_suite=keys.suite, srtp_send=KEY, srtp_receive=KEY)
    for shown in (repr(keys), repr(told), repr(RtpRemote("127.0.0.1", 9, 8, None, srtp=keys))):
        assert keys.suite in shown
        assert "\\x" not in shown
