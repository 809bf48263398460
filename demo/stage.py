"""Where calls are placed: one switch, the wire, the cast with its voices; and the evidence that a call leaves.

Called by the demo's story and the phone tests. A scene starts fresh phones, so nothing of one call reaches the next.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from demo.cast import Cast, Party
from demo.ladder import rungs
from demo.phone import Phone, PhoneFailed
from demo.phone_log import read_logs
from demo.recognise import (
    CHIRP_SURE,
    PAUSE_S,
    SENTENCE_SHARE,
    Samples,
    find_all,
    listen_for,
    load,
    load_unfinished,
    spoken_s,
)
from demo.switch_process import SwitchProcess
from demo.wire import Packet, RtpStream, Wire, read_a_law, stream_from, stream_to
from softswitch.cli.ladder import Rung

LISTENS_EVERY_S = 0.25
HEARING_S = 20.0  # then a call goes on without, and its checks tell what is missing
SETTLE_S = 0.3  # after the last BYE: the phones close their files, the last packets are counted


@dataclass(frozen=True, slots=True)
class Ear:
    """One party's side of a finished call: what its phone recorded, and what went over the wire to it and from it."""

    party: Party
    heard: Samples
    file: Path
    arrived: RtpStream | None  # from the switch
    said: Samples = field(default_factory=lambda: np.zeros(0))
    said_from: float = 0.0  # CLOCK_MONOTONIC; exact by the wire, to about 20 ms by the phone's own word
    messages: tuple[str, ...] = ()  # SIP that the phone received


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a finished call left behind."""

    name: str
    caller: Ear
    callee: Ear | None
    cdr: dict[str, Any]
    packets: tuple[Packet, ...]
    ladder: tuple[Rung, ...]

    @property
    def recording(self) -> Path | None:
        """The recording that the CDR names."""
        return Path(self.cdr["recording"]) if self.cdr.get("recording") else None


@dataclass
class Stage:
    """The place of all scenes. `wire` is None where packet sockets are not permitted; phones' logs tell SIP then."""

    switch: SwitchProcess
    cast: Cast
    folder: Path
    wire: Wire | None
    sentences: dict[str, Samples] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for party in self.cast.all:
            self.sentences[party.name] = party.voice.write(self.voice_file(party))

    def voice_file(self, party: Party) -> Path:
        """What a party says."""
        return self.folder / f"voice-{party.name}.wav"

    def prompt_file(self, name: str) -> Path:
        """A built-in prompt in the language that callers hear."""
        return self.switch.prompts / "zh-CN" / f"{name}.wav"

    def prompt(self, name: str) -> Samples:
        """How a prompt sounds."""
        return load(self.prompt_file(name))

    def prompt_bytes(self, name: str) -> bytes:
        """A prompt as it goes over the wire."""
        return read_a_law(self.prompt_file(name))

    def uri(self, number: str) -> str:
        """The URI that reaches `number` (or text in its place) through the switch."""
        return f"sip:{number.removeprefix('+86')}@127.0.0.1:{self.switch.sip_port}"

    @contextlib.contextmanager
    def call(self, name: str, caller: Party, callee: Party | None, *, speak: bool = True) -> Iterator[CallScene]:
        """Phones for one call named `name`; when the block ends, they do."""
        scene = CallScene(self, name, caller, callee)
        with contextlib.ExitStack() as phones:
            scene.a = phones.enter_context(self._phone(caller, scene, "caller", speak))
            if callee is not None:
                scene.b = phones.enter_context(self._phone(callee, scene, "callee", speak))
                scene.b.wait_for("ready")
            scene.a.wait_for("ready")
            try:
                yield scene
            except PhoneFailed as failure:
                failure.add_note(scene.so_far())
                raise

    def _phone(self, party: Party, scene: CallScene, side: str, speak: bool) -> Phone:
        return Phone(
            party.national,
            sip_port=party.sip_port,
            rtp_port=party.rtp_ports.start,
            speak=self.voice_file(party) if speak else None,
            hear=self.folder / f"{scene.name}-{side}-{party.name}-heard.wav",
            codec=party.codec,
        )


class CallScene:
    """One call being played: the phones `a` (who calls) and `b`, and what is known when it is over."""

    a: Phone
    b: Phone

    def __init__(self, stage: Stage, name: str, caller: Party, callee: Party | None) -> None:
        self.stage, self.name, self.caller, self.callee = stage, name, caller, callee
        self._began_at = time.monotonic()
        self._cdrs_before = len(stage.switch.cdrs())

    def connect(self, dialled: str, *, ring_s: float = 0.4) -> None:
        """A dials, B rings and answers; returns when both have media."""
        self.a.call(self.stage.uri(dialled))
        self.answer(ring_s=ring_s)
        self.a.wait_for("answered")
        self.a.wait_for("media", hearing=True)

    def answer(self, *, ring_s: float = 0.4) -> None:
        """B rings and answers."""
        self.b.wait_for("incoming")
        self.b.answer(180)
        self.b.answer(200, after=ring_s)
        self.b.wait_for("answered")
        self.b.wait_for("media", hearing=True)

    def until_heard(self, phone: Phone, look: Callable[[Samples], object]) -> None:
        """Go on once `look` finds what it seeks in what a phone has heard so far."""
        assert phone.heard is not None
        deadline = time.monotonic() + HEARING_S
        while not look(load_unfinished(phone.heard)) and time.monotonic() < deadline:
            time.sleep(LISTENS_EVERY_S)

    def until_spoken(self, phone: Phone, by: Party) -> None:
        """Go on once a phone has heard somebody's voice: the two are joined."""
        chirp, sentence = by.voice.chirp(), self.stage.sentences[by.name]
        self.until_heard(phone, lambda heard: spoken_s(heard, chirp, sentence) is not None)

    def talk(self, least_s: float = 0.0) -> None:
        """They talk for so long at least, and until each knows the other's voice: a chirp and most of a sentence."""
        time.sleep(least_s)
        for phone, other in ((self.a, self.callee), (self.b, self.caller)):
            assert other is not None
            knows = partial(_knows, chirp=other.voice.chirp(), sentence=self.stage.sentences[other.name])
            self.until_heard(phone, knows)

    def end(self, who: Phone) -> None:
        """One side hangs up, the other is told."""
        who.hang_up()
        for phone in self._phones():
            phone.wait_for("disconnected")

    def so_far(self) -> str:
        """What both phones told, and the switch's last words: for a call that went wrong."""
        told = [f"phone {phone.name} told: {phone.in_short()}" for phone in self._phones()]
        return "\n".join([*told, self.stage.switch.log_tail()])

    def evidence(self) -> Evidence:
        """What the call left, once its CDR is written."""
        cdr = self.stage.switch.wait_for_cdrs(self._cdrs_before + 1)[self._cdrs_before]
        time.sleep(SETTLE_S)
        packets = self.packets()
        lanes = _lanes(self.caller, 0) | (_lanes(self.callee, 1) if self.callee else {})
        numbers = [party.number for party in self.stage.cast.all]
        return Evidence(
            self.name,
            self._ear(self.a, self.caller, packets),
            self._ear(self.b, self.callee, packets) if self.callee else None,
            cdr,
            tuple(packets),
            tuple(rungs(packets, lanes, numbers)),
        )

    def packets(self) -> list[Packet]:
        """What went over the wire since this call's phones started; without a wire, the SIP in their logs."""
        if self.stage.wire is None:
            return read_logs((phone.log, phone.sip_port) for phone in self._phones() if phone.log)
        return [packet for packet in self.stage.wire.packets if packet.at >= self._began_at]

    def _phones(self) -> list[Phone]:
        return [self.a, self.b] if self.callee else [self.a]

    def _ear(self, phone: Phone, party: Party, packets: list[Packet]) -> Ear:
        assert phone.heard is not None
        said, said_from = self._said(phone, party, packets)
        return Ear(
            party,
            load(phone.heard) if phone.heard.exists() else np.zeros(0),  # a phone that had no media kept nothing
            phone.heard,
            stream_to(packets, party.rtp_ports),
            said,
            said_from,
            tuple(_text(packet) for packet in packets if packet.is_sip and packet.destination[1] == party.sip_port),
        )

    def _said(self, phone: Phone, party: Party, packets: list[Packet]) -> tuple[Samples, float]:
        """What the phone sent and when it began, by the wire; else what it was given to say since it had media."""
        sent = stream_from(packets, party.rtp_ports)
        if sent is not None:
            return sent.sound(), sent.begins_at
        media = phone.all("media")
        return (load(self.stage.voice_file(party)), media[0].at) if media else (np.zeros(0), 0.0)


def _knows(heard: Samples, chirp: Samples, sentence: Samples) -> bool:
    hearing = listen_for(heard, sentence, pause_s=PAUSE_S)
    return bool(hearing and hearing.share >= SENTENCE_SHARE and find_all(heard, chirp, sure=CHIRP_SURE))


def _lanes(party: Party, lane: int) -> dict[int, int]:
    return dict.fromkeys([party.sip_port, *party.rtp_ports], lane)


def _text(packet: Packet) -> str:
    return packet.payload.decode("utf-8", "replace")
