"""The plug points of media: records and Protocols through which the call layer and a media driver meet.

Imported by `interfaces.py`, where everyone finds them with the others. Imports nothing of the project.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What protects the packets of one leg (RFC 4568): a suite, and a master key with its salt for each direction.

    Behind `receive` stands the MKI that its packets bear (RFC 3711 3.1), if they do.
    """

    suite: str
    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Coding:
    """How a far end speaks a codec that is not G.711."""

    codec: str  # as the media driver's `codecs` names it
    payload_type_in: int  # that it sends
    event_clock: int = 8000  # Hz, of RFC 4733 events
    bitrate: int = 0  # the most bit/s that it takes, 0: it does not say
    fec: bool = False  # it can use what later packets hold of lost ones
    cbr: bool = False  # it wants packets of one size
    dtx: bool = False  # it wants next to nothing in pauses
    event_in_other: int = 0  # payload type of events that it may send in the other clock, of 8 and 48 kHz; 0: none


class RtpRemote(Struct, frozen=True, gc=False):
    """Where an endpoint sends to and what it may send and expect: the outcome of offer/answer for one leg."""

    address: str
    port: int
    payload_type: int  # that we send: 8 PCMA, 0 PCMU, or as agreed on
    telephone_event: int | None  # RFC 4733 payload type, None where not negotiated
    sending: bool = True  # we may send towards it
    receiving: bool = True  # it may send towards us
    ptime_ms: int = 20  # how long the packets last that it asked for, 10 to 60 in tens
    telephone_event_in: int | None = None  # payload type it sends events with (the one we offered or answered)
    rtcp_port: int = 0  # where it wants RTCP (RFC 3605), 0: the port after `port`
    rtcp_mux: bool = False  # RFC 5761: RTCP goes the way of RTP
    nat: bool = False  # it may send from elsewhere: whose packets keep coming may be taken for it
    signalling: str = ""  # where its SIP comes from: behind NAT its RTP most likely too; no IP address: not known
    srtp: SrtpKeys | None = None  # None: plain RTP
    coding: Coding | None = None  # None: G.711


class EndpointStatistics(Struct, frozen=True, gc=False):
    """RTP as one endpoint saw it. Times in ms; loss is of what the far end sent, `remote_*` of what its RTCP told."""

    packets_received: int = 0
    packets_sent: int = 0
    packets_lost: int = 0
    packets_dropped: int = 0  # from strangers, more than a port takes, garbage, SRTP forged or replayed
    jitter_ms: float = 0.0
    remote_lost: int = 0
    remote_jitter_ms: float = 0.0
    round_trip_ms: float = 0.0
    packets_from_strangers: int = 0
    packets_excess: int = 0
    reported: bool = False  # its RTCP told of what we sent
    packets_forged: int = 0  # SRTP that its keys did not make
    packets_replayed: int = 0  # SRTP that had come before


class PlayReport(Struct, frozen=True, gc=False):
    """What one endpoint was played: proof for the CDR. Frames are 20 ms."""

    frames: int
    first_timestamp: int
    last_timestamp: int
    completed: bool
    remote_lost: int = 0  # packets the endpoint's RTCP reported lost while it played


@dataclass(frozen=True, slots=True)
class RecordingReport:
    """A closed recording. `truncated`: the disk did not keep up or failed, or the server crashed. An empty `path`:
    there is no file at all.
    """

    path: str
    duration_s: float
    bytes: int
    sha256: str
    truncated: bool = False


class Playback(Protocol):
    """Prompts playing to one or more endpoints."""

    finished: asyncio.Future[tuple[PlayReport, ...]]  # one an endpoint, also when stopped or the endpoint closed

    def stop(self) -> None:
        """Stop playing now; synchronous and idempotent. `finished` still resolves."""


class Recording(Protocol):
    """A recording of two endpoints: first only what is played, with `voices()` also what they say."""

    finished: asyncio.Future[RecordingReport]

    def voices(self) -> None:
        """From now on the parties' own voices are recorded too."""

    def close(self) -> None:
        """Finalise the file; synchronous and idempotent. `finished` resolves when it is complete."""


class MediaEndpoint(Protocol):
    """One RTP/RTCP port pair of one leg."""

    address: str
    port: int
    on_digit: Callable[[str], None] | None  # one key press (RFC 4733; in-band where that was not agreed)
    on_silence: Callable[[bool], None] | None  # True: nothing for the silence time; False: RTP is back, or awaited anew
    silent: bool  # what on_silence told last, or would have told had anybody listened
    silent_since: float  # while silent: loop time at which the silence time had begun
    statistics: asyncio.Future[EndpointStatistics]  # resolves once, after close()

    def configure(self, remote: RtpRemote) -> None:
        """Set or change the far end; synchronous."""

    def close(self) -> None:
        """Release the ports; synchronous and idempotent. Ends playing and recording on it."""


class MediaDriver(Protocol):
    """The media plane as the call layer sees it. Commands are synchronous and ordered; only opening waits.

    Only endpoints of one call can be connected, played to and recorded together.
    """

    ipv6: bool  # whether there are ports of IPv6
    srtp: tuple[str, ...]  # the suites that its endpoints can have; none where it was built without
    codecs: tuple[str, ...]  # that it speaks beside G.711

    async def open_endpoint(self, call_id: str, *, ipv6: bool = False) -> MediaEndpoint:
        """A new port pair; raises MediaError where no port is free or the media server is away."""

    def connect(self, a: MediaEndpoint, b: MediaEndpoint, *, digits: bool = True) -> None:
        """Relay RTP between the two from now on (`digits`: also RFC 4733 events)."""

    def disconnect(self, a: MediaEndpoint, b: MediaEndpoint) -> None:
        """Stop relaying between the two."""

    def play(
        self,
        endpoints: Sequence[MediaEndpoint],
        files: Sequence[str],
        *,
        loop: bool = False,
        mix: bool = False,
        once: int = 0,
    ) -> Playback:
        """Play WAVs and tones in order, on one tick; `mix`: over the talk. A `loop` goes on behind `once` files."""

    def record(self, path: str, left: MediaEndpoint, right: MediaEndpoint, *, stereo: bool = False) -> Recording:
        """Record the two (caller left) to a WAV file at `path`."""
