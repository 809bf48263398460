"""Every check can fail: a good call passes it, and the one thing that is wrong with a bad call fails it."""

from __future__ import annotations

import dataclasses
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import soundfile

from demo import checks
from demo.cast import Party, free_cast
from demo.checks import Check
from demo.recognise import RATE, Samples, load
from demo.stage import Ear, Evidence, Stage
from demo.wire import Packet, RtpStream, read_a_law, streams

ROOT = Path(__file__).resolve().parent.parent.parent
ANNOUNCEMENT_FILE = ROOT / "prompts" / "zh-CN" / "connecting.wav"
ANNOUNCEMENT, ANNOUNCEMENT_BYTES = load(ANNOUNCEMENT_FILE), read_a_law(ANNOUNCEMENT_FILE)
CAST = free_cast()
A, B = CAST.driver, CAST.guest
SENTENCES = {party.name: party.voice.sentence() for party in (A, B)}
STAGE = cast("Stage", SimpleNamespace(sentences=SENTENCES))
ANSWERED_AT = 1_800_000_000.0
TALK_S = 6.0


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE))


def talk_of(party: Party, seconds: float = TALK_S) -> Samples:
    return np.asarray(np.tile(SENTENCES[party.name], 4)[: round(seconds * RATE)])


def heard_by(party: Party, sound: Samples, **more: Any) -> Ear:
    return Ear(party, sound, Path("heard.wav"), more.pop("arrived", None), **more)


def good_hearing(me: Party, other: Party) -> Ear:
    """Announcement, then the other's voice; its own voice went out from the first moment."""
    said = talk_of(me, 2.0 + len(ANNOUNCEMENT) / RATE + TALK_S)
    return heard_by(me, np.concatenate([ANNOUNCEMENT, talk_of(other)]), said=said, said_from=_monotonic(ANSWERED_AT))


def paused(sound: Samples, at_s: float, pause_s: float = 0.24) -> Samples:
    """With a pause in it, as a machine makes that stands still."""
    return np.asarray(np.insert(sound, round(at_s * RATE), silence(pause_s)))


def _monotonic(wall: float) -> float:
    return wall - (time.time() - time.monotonic())


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def recorded_call(
    folder: Path, *, shift_b_ms: float = 0.0, before: Samples | None = None, cut_s: float = 0.0
) -> Evidence:
    """A call whose recording holds the announcement and, from its end, both voices as they were said."""
    ears = [good_hearing(A, B), good_hearing(B, A)]
    length = len(ANNOUNCEMENT) + round(TALK_S * RATE)
    recording = np.zeros(length)
    for ear, shift_ms in zip(ears, (0.0, shift_b_ms), strict=True):
        shift = round(shift_ms * RATE / 1000)
        voice = np.concatenate([np.zeros(shift), ear.said])[:length]
        recording[len(ANNOUNCEMENT) :] += 0.5 * voice[len(ANNOUNCEMENT) :]
    recording[: len(ANNOUNCEMENT)] = ANNOUNCEMENT if before is None else before
    file = folder / "recording.wav"
    soundfile.write(file, recording[: length - round(cut_s * RATE)], RATE, format="WAV", subtype="ALAW")
    cdr = {
        "recording": str(file),
        "record_started_at": iso(ANSWERED_AT),
        "answered_at": iso(ANSWERED_AT),
        "ended_at": iso(ANSWERED_AT + length / RATE),
    }
    return Evidence("call", ears[0], ears[1], cdr, (), ())


def arriving(payloads: list[bytes]) -> RtpStream:
    here, there = ("127.0.0.1", 1), ("127.0.0.1", 2)
    head = [struct.pack(">BBHII", 0x80, 8, number, 160 * number, 7) for number in range(len(payloads))]
    return streams([Packet(1.0, here, there, first + rest) for first, rest in zip(head, payloads, strict=True)])[0]


def frames(sound: bytes) -> list[bytes]:
    return [sound[place : place + 160] for place in range(0, len(sound), 160)]


def test_a_whole_announcement_passes_and_one_without_its_beginning_or_end_fails() -> None:
    assert checks.heard_prompt(good_hearing(A, B), "announcement", ANNOUNCEMENT)
    second = RATE
    for sound in (ANNOUNCEMENT[second:], ANNOUNCEMENT[:-second], silence(5), talk_of(B)):
        assert not checks.heard_prompt(heard_by(A, sound), "announcement", ANNOUNCEMENT)


def test_a_voice_that_is_heard_passes_and_another_one_fails() -> None:
    assert checks.heard_voice(good_hearing(A, B), "B", SENTENCES["B"])
    assert not checks.heard_voice(good_hearing(A, A), "B", SENTENCES["B"])
    assert checks.heard_nothing_of(good_hearing(A, B), "A", A.voice.chirp(), SENTENCES["A"])
    assert not checks.heard_nothing_of(good_hearing(A, B), "B", B.voice.chirp(), SENTENCES["B"])


def test_an_announcement_on_the_wire_must_be_first_and_unmixed() -> None:
    def announced(payloads: list[bytes], *, early_media: bool = False) -> bool:
        ear = heard_by(A, silence(1), arrived=arriving(payloads))
        return bool(checks.announced_from_first_packet(ear, ANNOUNCEMENT_BYTES, early_media=early_media))

    good, talk = frames(ANNOUNCEMENT_BYTES), [bytes([code]) * 160 for code in range(10)]
    mixed = [*good[:30], talk[0], *good[31:]]
    assert announced([*good, *talk])
    assert not announced([*talk[:1], *good])
    assert announced([*talk, *good, *talk], early_media=True)
    assert not announced(mixed)
    assert not announced(good[:-3])
    assert not checks.announced_from_first_packet(heard_by(A, silence(1)), ANNOUNCEMENT_BYTES)


def test_talk_that_leaks_into_the_announcement_fails() -> None:
    def check(heard: Samples) -> Check:
        me, chirp = heard_by(A, heard), B.voice.chirp()
        return checks.no_voice_before_announcement_ends(me, "B", chirp, SENTENCES["B"], ANNOUNCEMENT)

    good = good_hearing(A, B).heard
    assert check(good)
    assert check(paused(good, 1.3))
    for leak in (B.voice.chirp(), SENTENCES["B"][RATE : 2 * RATE]):
        leaking = good.copy()
        leaking[RATE : RATE + len(leak)] += leak
        assert not check(leaking)
    assert not check(talk_of(B))
    assert not check(ANNOUNCEMENT)


def test_one_who_is_heard_only_between_two_chirps_is_heard() -> None:
    words = SENTENCES["B"][RATE : 3 * RATE]
    heard = heard_by(A, np.concatenate([ANNOUNCEMENT, words]))
    assert checks.no_voice_before_announcement_ends(heard, "B", B.voice.chirp(), SENTENCES["B"], ANNOUNCEMENT)


def test_what_paused_for_a_machine_that_stood_still_was_heard_and_what_is_missing_was_not() -> None:
    good = good_hearing(A, B).heard
    late, behind = paused(good, 1.1), len(ANNOUNCEMENT) / RATE + 1.0
    assert checks.heard_prompt(heard_by(A, late), "announcement", ANNOUNCEMENT)
    assert not checks.heard_prompt(heard_by(A, paused(good, 1.1, 3.0)), "announcement", ANNOUNCEMENT)
    assert not checks.heard_prompt(heard_by(A, np.delete(good, slice(RATE, 2 * RATE))), "announcement", ANNOUNCEMENT)
    once = np.concatenate([ANNOUNCEMENT, SENTENCES["B"]])
    assert checks.heard_voice(heard_by(A, paused(once, behind)), "B", SENTENCES["B"])


def test_a_recording_has_the_pause_of_a_machine_that_stood_still(tmp_path: Path) -> None:
    chirps = {party.name: party.voice.chirp() for party in (A, B)}

    def begins_well(recorded: Samples) -> bool:
        soundfile.write(str(evidence.recording), recorded, RATE, format="WAV", subtype="ALAW")
        return bool(checks.recording_begins_with_announcement(evidence, ANNOUNCEMENT, chirps))

    evidence = recorded_call(tmp_path)
    recorded = load(str(evidence.recording))
    assert begins_well(paused(recorded, 1.1))
    assert begins_well(paused(recorded, 0.0))
    assert not begins_well(paused(recorded, 0.0, 3.0))
    assert not begins_well(np.concatenate([0.1 * SENTENCES["A"][RATE : 2 * RATE], recorded]))  # words, no chirp


def test_a_broken_stream_fails() -> None:
    whole = arriving([b"\xd5" * 160] * 5)
    assert checks.continuous(heard_by(A, silence(1), arrived=whole))
    torn = dataclasses.replace(whole, packets=whole.packets[:2] + whole.packets[3:])
    assert not checks.continuous(heard_by(A, silence(1), arrived=torn))
    assert not checks.continuous(heard_by(A, silence(1)))


@pytest.mark.parametrize(("shift_ms", "good"), [(0.0, True), (25.0, True), (60.0, False), (200.0, False)])
def test_voices_apart_by_more_than_40_ms_in_the_recording_fail(tmp_path: Path, shift_ms: float, good: bool) -> None:
    check = checks.recording_has_both_voices(recorded_call(tmp_path, shift_b_ms=shift_ms), STAGE)
    assert check.good is good, check.found


def test_a_recording_without_one_of_the_voices_fails(tmp_path: Path) -> None:
    evidence = recorded_call(tmp_path)
    soundfile.write(str(evidence.recording), ANNOUNCEMENT, RATE, format="WAV", subtype="ALAW")
    assert not checks.recording_has_both_voices(evidence, STAGE)


def test_a_recording_must_begin_with_the_announcement_and_without_voices(tmp_path: Path) -> None:
    chirps = {party.name: party.voice.chirp() for party in (A, B)}
    assert checks.recording_begins_with_announcement(recorded_call(tmp_path), ANNOUNCEMENT, chirps)
    leaking = ANNOUNCEMENT.copy()
    leaking[: len(chirps["A"])] += chirps["A"]
    bad = recorded_call(tmp_path, before=leaking)
    assert "too early: A" in checks.recording_begins_with_announcement(bad, ANNOUNCEMENT, chirps).found
    silent = recorded_call(tmp_path, before=np.zeros(len(ANNOUNCEMENT)))
    assert not checks.recording_begins_with_announcement(silent, ANNOUNCEMENT, chirps)


def test_a_recording_that_is_50_ms_short_fails(tmp_path: Path) -> None:
    assert checks.recording_is_complete(recorded_call(tmp_path, cut_s=0.03))
    assert not checks.recording_is_complete(recorded_call(tmp_path, cut_s=0.05))


def test_a_call_without_a_recording_fails_all_that_is_asked_of_one(tmp_path: Path) -> None:
    evidence = dataclasses.replace(recorded_call(tmp_path), cdr={"recording": ""})
    assert not checks.recording_is_complete(evidence)
    assert not checks.recording_has_both_voices(evidence, STAGE)
    assert not checks.recording_begins_with_announcement(evidence, ANNOUNCEMENT, {})


def test_a_cdr_that_says_something_else_fails_and_tells_what(tmp_path: Path) -> None:
    evidence = recorded_call(tmp_path)
    assert checks.cdr_says(evidence, answered_at=iso(ANSWERED_AT), failed_at=None)
    check = checks.cdr_says(evidence, ulFailReason=0)
    assert not check
    assert "it says {'ulFailReason': None}" in check.found


@pytest.mark.parametrize(
    "line",
    [
        "From: <sip:{}@127.0.0.1>",
        "X-Note: +86 {}",
        "a=note:{}",
        "Contact: <tel:+86-{}>",
        "Call-ID: 1{}2@here",
    ],
)
def test_a_message_with_the_other_ones_number_in_any_form_fails(tmp_path: Path, line: str) -> None:
    spaced = f"{B.national[:3]}-{B.national[3:7]} {B.national[7:]}"
    for number in (B.national, spaced):
        told = f"INVITE sip:x SIP/2.0\r\n{line.format(number)}\r\n\r\n"
        evidence = recorded_call(tmp_path)
        a = dataclasses.replace(evidence.caller, messages=("BYE sip:x SIP/2.0\r\n", told))
        leaking = dataclasses.replace(evidence, caller=a)
        assert not checks.nobody_learns(leaking, (a,))
    own = dataclasses.replace(evidence.caller, messages=(line.format(A.national),))
    assert checks.nobody_learns(dataclasses.replace(evidence, caller=own), (own,))
