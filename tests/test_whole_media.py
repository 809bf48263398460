"""Talk through the whole switch and its media server: two sides as different as they can be understand each other."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from softswitch.app import Switch
from softswitch.sdp.offer_answer import PacketTimes, local_offer
from tests.media.phone import Packet, alaw, loudness, tone, wait_for_seconds, wait_until
from tests.media.phone import Phone as RtpPhone
from tests.test_app import ROOT, TRUNK, Phone, ask, run

pytestmark = pytest.mark.real_time
PCMU, PCMA = 0, 8


def describe(phone: RtpPhone, codec: str, ptime_ms: int, *, port: int | None = None) -> bytes:
    """What the phone's SDP says; it may name another port than it has."""
    return local_offer(
        phone.host, port or phone.port, session_id=1, version=1, codecs=[codec], packets=PacketTimes(ptime_ms)
    )


def aim(phone: RtpPhone, description: bytes) -> None:
    """Talk to whom the switch's description names."""
    host = re.search(rb"c=IN IP[46] (\S+)", description)
    port = re.search(rb"m=audio (\d+)", description)
    assert host and port
    phone.target = (host.group(1).decode(), int(port.group(1)))


async def talk(phone: RtpPhone, codes: bytes, payload_type: int, ptime_ms: int) -> None:
    """In packets of that length, on their grid."""
    start, samples = asyncio.get_running_loop().time(), 8 * ptime_ms
    for at in range(0, len(codes), samples):
        await wait_until(start + at / 8000)
        phone.send(phone.frame(codes[at : at + samples], payload_type=payload_type))


async def converse(switch: Switch, phone: Phone, caller: RtpPhone, callee: RtpPhone) -> None:
    """A call in which both talk for 0.6 s; the caller in PCMU of 30 ms, the callee in PCMA of 20 ms."""
    phone.call(switch.sip_addresses[0])
    assert await phone.outcome == 200
    aim(caller, phone.answered)
    aim(callee, phone.offered)
    await wait_for_seconds(0.3)  # the media server is told at the same time as the phones
    await asyncio.gather(talk(caller, bytes([0xFF]) * 4800, PCMU, 30), talk(callee, tone(900, 0.6), PCMA, 20))
    await callee.wait_for(lambda: len(callee.heard) >= 27)
    await caller.wait_for(lambda: bool(caller.heard))
    await wait_for_seconds(0.3)
    assert phone.session is not None
    phone.session.hang_up()
    await switch.registry.wait_empty()
    await switch.cdrs.drain()


def as_linear(packets: Sequence[Packet]) -> NDArray[np.int16]:
    """Linear samples of PCMU (ITU-T G.711)."""
    codes = ~np.frombuffer(b"".join(packet.payload for packet in packets), np.uint8)
    magnitudes = (((codes & 15).astype(np.int32) << 3) + 0x84 << (codes >> 4 & 7)) - 0x84
    return np.where(codes & 0x80, -magnitudes, magnitudes).astype(np.int16)


def usual_length(packets: Sequence[Packet]) -> int:
    """Of most; where somebody stood still, what waited to be joined went out short."""
    ((length, _),) = Counter(len(packet.payload) for packet in packets).most_common(1)
    return length


@pytest.mark.parametrize("nat", [False, True])
def test_both_hear_each_other_across_families_laws_packet_lengths_and_nat(tmp_path: Path, nat: bool) -> None:
    heard: dict[str, RtpPhone] = {}

    async def story(switch: Switch, phone: Phone) -> None:
        caller, callee = heard["caller"], heard["callee"] = RtpPhone.bind(host="::1"), RtpPhone.bind()
        phone.offer = describe(caller, "PCMU", 30, port=9 if nat else None)
        phone.answer = describe(callee, "PCMA", 20)
        try:
            await converse(switch, phone, caller, callee)
        finally:
            caller.close()
            callee.close()
        trunks = switch.metrics.registry.get_sample_value("softswitch_leg_mos_count", {"trunk": "phone"})
        assert trunks == 2

    media: dict[str, object] = {
        "driver": "server", "socket": str(tmp_path / "m.sock"), "ports": "31420-31439", "bind6": "::1", "workers": 2,
    }  # fmt: skip
    plan = TRUNK.replace("sources", "nat = true\nsources") if nat else TRUNK
    (cdr,) = run(tmp_path, story, plan=plan, media=media)
    caller, callee = heard["caller"], heard["callee"]
    assert {packet.payload_type for packet in caller.heard} == {PCMU}
    assert usual_length(caller.heard) == 240
    assert usual_length(callee.heard) == 160
    assert {packet.payload_type for packet in callee.heard} == {PCMA}
    assert loudness(alaw(as_linear(caller.heard)), 900) > 7000
    assert b"".join(packet.payload for packet in callee.heard).strip(b"\xd5") == b""  # what silence is in A-law
    assert nat or sum(len(packet.payload) for packet in caller.heard) == 4800  # until it was found it heard nothing
    assert cdr["a"]["packets_received"] == (18 if nat else 20)  # two had to prove the third
    assert cdr["b"]["packets_received"] == 30
    assert cdr["a"]["mos"] > 4 and cdr["b"]["mos"] > 4


def test_every_metric_is_in_the_operations_guide_and_nothing_else_is(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(softswitch_\w+)[`{]", guide))
    told: list[str] = []

    async def story(switch: Switch, phone: Phone) -> None:
        told.append((await ask(switch, "/metrics")).text)

    media: dict[str, object] = {"driver": "server", "socket": str(tmp_path / "m.sock"), "ports": "31440-31449"}
    run(tmp_path, story, media=media)
    there = {name for name in re.findall(r"^# TYPE (\w+)", told[0], re.M) if not name.endswith("_created")}
    assert named == there
