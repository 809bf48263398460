"""Joins two legs until something ends the call: announcement, recording, talk, hold, digits, the last minute.

Call treatment, "The life of an answered call". Called by the story when the callee has answered.

    B answered        announcement ends                          60 s left        time is up
    |--- both hear the announcement ---|--- talk, relayed in C ---|~ prompt over talk ~|
    |--- recording: announcement ------|--- recording: voices ---------------------|
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import structlog

from softswitch.call.cdr import CallRecord
from softswitch.call.dtmf import info_body
from softswitch.call.hangup import Ending, hangup_scope
from softswitch.call.inbound_leg import InboundLeg
from softswitch.call.leg import Leg
from softswitch.call.outbound_leg import OutboundLeg
from softswitch.call.renegotiate import Partner, Renegotiations
from softswitch.call.services import CallServices
from softswitch.call.supervision import Supervision
from softswitch.errors import FAILURES, CallRejected
from softswitch.interfaces import MediaEndpoint, PlayReport, Prompt, Recording, Treatment
from softswitch.recordings import recording_path

ANNOUNCEMENT_TRIES = 2  # a media restart in the middle of the announcement: it is played again from its start
MEDIA_BACK_WITHIN_S = 5.0  # as long as that may take; nobody is kept in silence for longer

log = structlog.get_logger(__name__)


async def bridge(
    a: InboundLeg,
    b: OutboundLeg,
    treatment: Treatment,
    announcement: Prompt | None,
    record: CallRecord,
    services: CallServices,
) -> None:
    """Answer the caller and run the talk between `a` and `b`; never returns, ends with CallEnded."""
    talk = Talk(a, b, treatment, announcement, record, services)
    supervision = Supervision(
        a,
        b,
        answered_at=b.answered_at,
        max_duration_s=treatment.max_duration_s,
        warning_s=services.settings.warning_s,
        warn=talk.warn,
    )
    with supervision, talk, hangup_scope(supervision, talk):
        a.liked = b.likes
        await a.answer(b.negotiated.codec if b.negotiated else None)
        _caller_answered(record, services)
        talk.begin()
        await _renegotiations(a, b).run()


def _caller_answered(record: CallRecord, services: CallServices) -> None:
    record.moment("answered_in_at")
    services.metrics.setup_time(record.get("answered_in_at") - record.get("call_in_at"))
    log.info("call_answered", call_id=record.call_id, trunk=record.trunk_out)


def _renegotiations(a: InboundLeg, b: OutboundLeg) -> Renegotiations:
    """From now on there is somebody to tell what a leg wishes, and what it wished before."""
    renegotiations = Renegotiations()
    for leg, other in ((a, b), (b, a)):
        leg.on_digit = functools.partial(_pass_digit, other)
        leg.partner = Partner(renegotiations, leg, other)
        leg.believe_any_digits()
        if leg.wish != "sendrecv":
            renegotiations.tell(leg, other)
    return renegotiations


class Talk(Ending):
    """The media side of the talk: the announcement first, then the relay; the recording around both.

    Ends (`ended`) only where the announcement could not be played.
    """

    name = "switch"

    def __init__(
        self,
        a: InboundLeg,
        b: OutboundLeg,
        treatment: Treatment,
        announcement: Prompt | None,
        record: CallRecord,
        services: CallServices,
    ) -> None:
        super().__init__()
        self._a, self._b = a, b
        self._treatment, self._announcement = treatment, announcement
        self._record, self._services = record, services
        self._recording: Recording | None = None
        self._tries = 0
        self._joined = self._last_minute = self._over = False

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        if self._recording is not None:
            self._recording.close()

    def begin(self) -> None:
        """Start the recording and the announcement; the parties are joined when it ends."""
        if self._treatment.record:
            self._start_recording()
        if self._announcement is None:
            self._join()
        else:
            self._services.media.disconnect(*self._endpoints())  # early media may have joined them
            self._announce(self._announcement)

    def warn(self) -> None:
        """The last minute has begun: both hear it over the talk, which must have begun for that."""
        self._last_minute = True
        if not self._joined:
            return
        prompt = self._services.prompt(self._treatment.last_minute, self._treatment.language)
        if prompt is not None:
            self._services.media.play(self._endpoints(), [prompt.path], mix=True)

    def _endpoints(self) -> tuple[MediaEndpoint, MediaEndpoint]:
        assert self._a.endpoint is not None
        assert self._b.endpoint is not None
        return self._a.endpoint, self._b.endpoint

    def _start_recording(self) -> None:
        a, b = self._endpoints()
        directory, record = self._services.settings.recording_directory, self._record
        path = recording_path(directory, record.get("app_key", ""), record.call_id, record.wall_clock())
        stereo = self._treatment.stereo or self._services.settings.stereo
        self._recording = self._services.media.record(path, a, b, stereo=stereo)
        self._record.recording = self._recording.finished
        self._record.note(record_started_at=self._record.wall_clock(), recording=path)

    def _announce(self, prompt: Prompt) -> None:
        self._tries += 1
        playback = self._services.media.play(self._endpoints(), [prompt.path])
        self._record.announced(prompt, playback.finished)
        patience_s = prompt.duration_s + MEDIA_BACK_WITHIN_S
        patience = asyncio.get_running_loop().call_later(patience_s, self.end, FAILURES[7107])
        playback.finished.add_done_callback(functools.partial(self._announced, prompt, patience))

    def _announced(
        self, prompt: Prompt, patience: asyncio.TimerHandle, played: asyncio.Future[tuple[PlayReport, ...]]
    ) -> None:
        patience.cancel()
        if self._over or played.cancelled():
            return
        if played.exception() is None and all(report.completed for report in played.result()):
            self._record.note(announcement_to=self._record.wall_clock())
            self._join()
        elif self._tries < ANNOUNCEMENT_TRIES:
            self._announce(prompt)
        else:
            self.end(FAILURES[7107])

    def _join(self) -> None:
        self._services.media.connect(*self._endpoints())
        self._record.state = "talking"
        if self._recording is not None:
            self._recording.voices()
        self._joined = True
        if self._last_minute:
            self.warn()


def find_announcement(treatment: Treatment, find: Callable[[str | None, str], Prompt | None]) -> Prompt | None:
    """The announcement; no call is placed whose mandated one is missing or not approved: raises CallRejected (7107).

    `find` knows prompts by name and language. Also asked by `softswitch explain`.
    """
    prompt = find(treatment.announcement, treatment.language)
    named = treatment.announcement is not None
    if (named or treatment.announcement_mandatory) and (prompt is None or not prompt.approved):
        raise CallRejected(FAILURES[7107])
    return prompt


def _pass_digit(other: Leg, digit: str, via: str) -> None:
    """Pass a digit that came by INFO as an INFO made anew; RFC 4733 events travel with the media."""
    if via == "info":
        other.session.request("INFO", body=info_body(digit), content_type="application/dtmf-relay")
