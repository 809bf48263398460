"""What must be true of a finished call, each as a check that says what it found in figures.

Called by the demo's story, which prints them, and by the phone tests, which assert them. A check never raises for a bad
call: it says what is wrong. Call treatment: "The life of an answered call", "Files".
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from demo.recognise import (
    CHIRP_SURE,
    FRAME_S,
    PAUSE_S,
    RATE,
    SENTENCE_SHARE,
    SILENCE_RMS,
    WORD_S,
    Hearing,
    Samples,
    find_all,
    listen_for,
    load,
    rms,
    spoken_s,
)
from demo.stage import Ear, Evidence, Stage
from demo.wire import RtpStream

FRAME = int(FRAME_S * RATE)
HEARD_SHARE = 0.7  # of a prompt's sounding pieces, which may be four: what tears one must not fail a whole prompt
ALIGNED_MS = 40.0
LENGTH_S = 0.04


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that should be so: `what`, whether it is, and what was `found`."""

    what: str
    good: bool
    found: str

    def __bool__(self) -> bool:
        return self.good


def heard_prompt(ear: Ear, name: str, prompt: Samples, *, sure: float = 0.5) -> Check:
    """The party heard the whole prompt, from its first piece to its last."""
    what = f"{ear.party.name} hears {name}"
    hearing = listen_for(ear.heard, prompt, sure=sure, piece_s=WORD_S, pause_s=PAUSE_S)
    if hearing is None:
        return Check(what, False, f"not in the {len(ear.heard) / RATE:.1f} s that it heard")
    return Check(what, _whole(hearing), _hearing(hearing))


def whole(heard: Samples, prompt: Samples) -> bool:
    """Whether a whole prompt stands in what was heard, maybe so far."""
    hearing = listen_for(heard, prompt, piece_s=WORD_S, pause_s=PAUSE_S)
    return hearing is not None and _whole(hearing)


def _whole(hearing: Hearing) -> bool:
    return hearing.share >= HEARD_SHARE and hearing.first_piece and hearing.last_piece


def _hearing(hearing: Hearing) -> str:
    return f"{hearing.share:.0%} of it, alike {hearing.score:.2f}, from {hearing.from_s:.2f} s to {hearing.to_s:.2f} s"


def heard_voice(ear: Ear, other: str, sentence: Samples) -> Check:
    """The party heard the other one speak."""
    hearing = listen_for(ear.heard, sentence, pause_s=PAUSE_S)
    good = hearing is not None and hearing.share >= SENTENCE_SHARE
    return Check(f"{ear.party.name} hears {other} speak", good, _hearing(hearing) if hearing else "not at all")


def heard_nothing_of(ear: Ear, other: str, chirp: Samples, sentence: Samples) -> Check:
    """The party heard nothing of a voice."""
    hearing = listen_for(ear.heard, sentence)
    calls = find_all(ear.heard, chirp, sure=CHIRP_SURE)
    good = not calls and (hearing is None or hearing.share < 0.3)
    return Check(f"{ear.party.name} hears nothing of {other}", good, "nothing" if good else f"{calls or hearing}")


def announced_from_first_packet(ear: Ear, prompt: bytes, *, early_media: bool = False) -> Check:
    """The first packets to this leg are the announcement's own bytes, frame for frame, with nothing mixed in.

    With `early_media` there may be other packets before it (ringback from before the answer).
    """
    what = f"{ear.party.name} gets the announcement from the first packet, nothing else until it ends"
    if ear.arrived is None:
        return Check(what, False, "no RTP arrived")
    frames = _frames(prompt)
    start = _announcement_start(ear.arrived, frames, early_media=early_media)
    if start is None:
        return Check(what, False, "the first packet is not the announcement's first frame")
    got = [packet.payload for packet in ear.arrived.voice[start : start + len(frames)]]
    same = sum(1 for mine, theirs in zip(frames, got, strict=False) if mine == theirs[: len(mine)])
    return Check(what, same == len(frames), f"{same} of {len(frames)} frames are the announcement's, byte for byte")


def announcement_s(ear: Ear, prompt: bytes) -> tuple[float, float] | None:
    """From when to when the announcement stands in what arrived, by its bytes; in seconds of `arrived.sound()`."""
    start = _announcement_start(ear.arrived, _frames(prompt), early_media=True) if ear.arrived else None
    if ear.arrived is None or start is None:
        return None
    first, here = ear.arrived.voice[0].timestamp, ear.arrived.voice[start].timestamp
    begin_s = ((here - first) & 0xFFFFFFFF) / RATE
    return begin_s, begin_s + len(prompt) / RATE


def _frames(prompt: bytes) -> list[bytes]:
    return [prompt[place : place + FRAME] for place in range(0, len(prompt), FRAME)]


def _announcement_start(stream: RtpStream, frames: Sequence[bytes], *, early_media: bool) -> int | None:
    """Index of the packet with the announcement's first frame; frames of its lead-in silence may all be the same."""
    payloads = [packet.payload for packet in stream.voice]
    if not early_media:
        return 0 if payloads and payloads[0] == frames[0] else None
    for start in range(len(payloads)):
        if payloads[start : start + 5] == list(frames[:5]):
            return start
    return None


def no_voice_before_announcement_ends(
    ear: Ear, other: str, chirp: Samples, sentence: Samples, prompt: Samples
) -> Check:
    """In what the phone itself recorded, the other's voice begins only after the announcement."""
    what = f"{ear.party.name} hears {other} only after the announcement"
    announced = listen_for(ear.heard, prompt, piece_s=WORD_S, pause_s=PAUSE_S)
    if announced is None:
        return Check(what, False, "no announcement heard")
    until = f"announcement until {announced.to_s:.2f} s, {other}"
    end = round((announced.to_s - FRAME_S) * RATE)
    before, after = spoken_s(ear.heard[:end], chirp, sentence), spoken_s(ear.heard[end:], chirp, sentence)
    if before is not None:
        return Check(what, False, f"{until} from {before:.2f} s")
    found = "not heard at all" if after is None else f"from {after + end / RATE:.2f} s"
    return Check(what, after is not None, f"{until} {found}")


def continuous(ear: Ear) -> Check:
    """Towards the phone: one SSRC, one sequence and one timestamp line, whatever was played or bridged in between."""
    what = f"{ear.party.name} gets one unbroken RTP stream"
    if ear.arrived is None:
        return Check(what, False, "no RTP arrived")
    breaks = ear.arrived.breaks()
    return Check(what, not breaks, breaks[0] if breaks else f"{len(ear.arrived.packets)} packets, one SSRC, no gap")


# The recording


def recording_begins_with_announcement(evidence: Evidence, prompt: Samples, chirps: Mapping[str, Samples]) -> Check:
    """The announcement is the recording's first sound, and no voice is in it before the announcement ends."""
    what = "the recording begins with the announcement, then the voices"
    if evidence.recording is None:
        return Check(what, False, "the CDR names no recording")
    recorded = load(evidence.recording)
    hearing = listen_for(recorded, prompt, piece_s=WORD_S, pause_s=PAUSE_S)
    if hearing is None:
        return Check(what, False, "the announcement is not in it")
    early = [
        name
        for name, chirp in chirps.items()
        if (found := find_all(recorded, chirp, sure=CHIRP_SURE)) and found[0].at_s < hearing.to_s - FRAME_S
    ]
    before = rms(recorded[: max(0, int(hearing.from_s * RATE))])  # silent, for as long as a machine may stand still
    first = hearing.from_s <= PAUSE_S and before < SILENCE_RMS
    good = hearing.share >= HEARD_SHARE and first and not early
    return Check(
        what, good, f"announcement {_hearing(hearing)}" + (f"; too early: {', '.join(early)}" if early else "")
    )


def recording_has_both_voices(evidence: Evidence, stage: Stage) -> Check:
    """Both voices are in the recording, no more than 40 ms apart from when they were really said.

    Each voice's chirps have a time in the recording and a time when they were sent; the difference of the two must be
    the same for both voices.
    """
    what = f"both voices are in the recording, within ±{ALIGNED_MS:.0f} ms of each other"
    if evidence.recording is None or evidence.callee is None:
        return Check(what, False, "there is no recording of two parties")
    recorded = load(evidence.recording)
    began_at = _moment(evidence.cdr, "record_started_at") - (time.time() - time.monotonic())
    starts = []
    for ear in (evidence.caller, evidence.callee):
        lags = chirp_lags(recorded, ear, stage, began_at)
        if not lags:
            return Check(what, False, f"no chirp of {ear.party.name} in both the recording and what it sent")
        starts.append(np.asarray(lags))
    apart_ms = float(np.median(starts[0]) - np.median(starts[1])) * 1000
    spread_ms = max(float(np.ptp(lags)) for lags in starts) * 1000
    good = abs(apart_ms) <= ALIGNED_MS and spread_ms <= ALIGNED_MS
    count = sum(len(lags) for lags in starts)
    return Check(what, good, f"{apart_ms:+.1f} ms apart, drift {spread_ms:.1f} ms, by {count} chirps")


def chirp_lags(recorded: Samples, ear: Ear, stage: Stage, began_at: float) -> list[float]:
    """For each chirp in the recording: when it was sent minus where it stands, which is when the recording began.

    `began_at` is when it began by the CDR: good enough to tell one chirp of the same voice from the next.
    """
    chirp, half_a_period_s = ear.party.voice.chirp(), len(stage.sentences[ear.party.name]) / RATE / 2
    sent = [ear.said_from + match.at_s for match in find_all(ear.said, chirp, sure=CHIRP_SURE)]
    stands = [match.at_s for match in find_all(recorded, chirp, sure=CHIRP_SURE)]
    lags = [moment - at_s for at_s in stands for moment in sent]
    return [lag for lag in lags if abs(lag - began_at) < half_a_period_s]


def recording_is_complete(evidence: Evidence) -> Check:
    """The recording is as long as the call was answered, ±40 ms."""
    what = f"the recording is as long as the call was answered, ±{LENGTH_S * 1000:.0f} ms"
    if evidence.recording is None:
        return Check(what, False, "the CDR names no recording")
    length = len(load(evidence.recording)) / RATE
    answered = seconds(evidence.cdr, "answered_at", "ended_at")
    if answered is None:
        return Check(what, False, "the CDR says the call was not answered")
    good = abs(length - answered) <= LENGTH_S
    return Check(what, good, f"{length:.3f} s recorded, {answered:.3f} s answered")


# The CDR and the signalling


def seconds(cdr: Mapping[str, Any], earlier: str, later: str) -> float | None:
    """Time between two moments of a CDR, None where one never came."""
    if not cdr.get(earlier) or not cdr.get(later):
        return None
    return _moment(cdr, later) - _moment(cdr, earlier)


def _moment(cdr: Mapping[str, Any], name: str) -> float:
    """A time of a CDR in UTC epoch seconds."""
    return datetime.fromisoformat(str(cdr[name])).timestamp()


def cdr_says(evidence: Evidence, **expected: object) -> Check:
    """The CDR carries these values."""
    wrong = {name: evidence.cdr.get(name) for name, value in expected.items() if evidence.cdr.get(name) != value}
    facts = ", ".join(f"{name}={value}" for name, value in expected.items())
    return Check("the CDR tells the same story", not wrong, f"it says {wrong}, not {facts}" if wrong else facts)


def nobody_learns(evidence: Evidence, ears: Iterable[Ear]) -> Check:
    """No message to a phone holds the digits of the other party's real number."""
    what = "neither side is told the other's number"
    sides = [ear for ear in (evidence.caller, evidence.callee) if ear is not None]
    leaks, read = [], 0
    for ear in ears:
        for other in sides:
            if other is ear:
                continue
            leaks += [message for message in ear.messages if other.party.national in re.sub(r"[^\d\n]", "", message)]
        read += len(ear.messages)
    return Check(
        what, not leaks, f"{len(leaks)} of {read} messages hold it" if leaks else f"in none of {read} messages"
    )


def sound_in(ear: Ear, begin_s: float, end_s: float) -> float:
    """How loud it was in a part of what the phone heard (rms)."""
    return rms(ear.heard[int(begin_s * RATE) : int(end_s * RATE)])
