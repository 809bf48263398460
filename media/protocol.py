"""The typed messages between a controller and the media server: length-prefixed MessagePack on a Unix stream socket.

Each frame is a 4-byte big-endian length and one MessagePack map with its type's name under `type`. The controller gives
every endpoint, playback and recording an id of its own, so that no command but opening waits for a reply. Used by
media/server.py and by drivers; never touches a socket.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated

import msgspec

VERSION = 2
MAX_FRAME = 1 << 20
MOST_LISTENERS = 4
LONGEST_RECORDING_S = 268_000.0  # 74 h, for which a WAV file in stereo has room
_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The other side's bytes are not frames of this protocol."""


class Message(msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True):
    """Root of all messages; the class's name is the tag."""


# Commands: controller to server


class Hello(Message, frozen=True):
    """First message of a controller; another version is refused."""

    version: int = VERSION


class OpenEndpoint(Message, frozen=True):
    """Bind a port pair; answered by EndpointOpened or EndpointFailed. `port` is wanted when re-opening.

    What belongs to one `call` is handled by one worker: only such endpoints can be connected, played to and recorded
    together.
    """

    endpoint: int
    port: int | None = None
    call: str = ""
    ipv6: bool = False


class Coding(msgspec.Struct, frozen=True):
    """How a far end speaks a `codec` that is not G.711: the payload type that it sends, the clock of telephone-events
    in Hz, the most bit/s that it takes (0: it does not say), whether it can use what later packets hold of lost ones,
    whether it wants packets of one size, whether it wants next to nothing in pauses (RFC 7587 6.1), and under which
    payload type it may send telephone-events in the other clock, of 8 and 48 kHz (0: none).
    """

    codec: str
    payload_type_in: int
    event_clock: int = 8000
    bitrate: int = 0
    fec: bool = False
    cbr: bool = False
    dtx: bool = False
    event_in_other: int = 0


class ConfigureEndpoint(Message, frozen=True):
    """The far end of an endpoint: address, payload types and directions by SDP. `nat`: a sender at another address may
    count, at the hosts of SDP and SIP (`signalling`: an IP address, empty: not known) rather than at others; without it
    only SDP's address does. RTCP goes to `rtcp_port` (0: the next after `port`), or with `rtcp_mux` (RFC 5761) the way
    of RTP. `ptime_ms`: how long the packets last that it is sent, 10 to 60 in tens. With an `srtp_suite`
    (RFC 4568, RFC 7714) its packets are SRTP, under one master key with its salt each way (the received one with the
    MKI behind it, if there is one); a suite that is not among those of Welcome is refused. No `coding`: G.711.
    """

    endpoint: int
    address: str
    port: int
    payload_type: int
    telephone_event: int | None = None
    telephone_event_in: int | None = None
    sending: bool = True
    receiving: bool = True
    nat: bool = False
    ptime_ms: int = 20
    rtcp_port: int = 0
    rtcp_mux: bool = False
    signalling: str = ""
    srtp_suite: str = ""
    srtp_send: bytes = b""
    srtp_receive: bytes = b""
    coding: Coding | None = None

    def __repr__(self) -> str:
        """Without the keys."""
        return f"ConfigureEndpoint({self.endpoint}, {self.address!r}, {self.port}, srtp_suite={self.srtp_suite!r})"


class CloseEndpoint(Message, frozen=True):
    """Release an endpoint; answered by EndpointClosed."""

    endpoint: int


class Connect(Message, frozen=True):
    """Relay between two endpoints."""

    a: int
    b: int
    digits: bool = True


class Disconnect(Message, frozen=True):
    """Stop relaying between two endpoints."""

    a: int
    b: int


class Play(Message, frozen=True):
    """Play WAV files and tones (media/tones.py) in order to 1 to 4 endpoints; answered by Played when over.

    A `loop` begins again behind the first `once` files.
    """

    playback: int
    endpoints: tuple[int, ...]
    files: tuple[str, ...]
    loop: bool = False
    mix: bool = False
    once: int = 0


class StopPlay(Message, frozen=True):
    """End a playback now."""

    playback: int


class Record(Message, frozen=True):
    """Record two endpoints to `path`; answered by Recorded when over. `elapsed_s` > 0 resumes an earlier file."""

    recording: int
    path: str
    left: int
    right: int
    stereo: bool = False
    voices: bool = False
    elapsed_s: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_RECORDING_S)] = 0.0


class Voices(Message, frozen=True):
    """From now on the parties' own voices are recorded."""

    recording: int


class Ping(Message, frozen=True):
    """Answered by Pong, unless a worker stands still."""


class CloseRecording(Message, frozen=True):
    """Finalise a recording."""

    recording: int


Command = (
    Hello
    | OpenEndpoint
    | ConfigureEndpoint
    | CloseEndpoint
    | Connect
    | Disconnect
    | Play
    | StopPlay
    | Record
    | Voices
    | CloseRecording
    | Ping
)

# Events: server to controller


class Welcome(Message, frozen=True):
    """Answer to Hello: the server's version, bind addresses, silence time in seconds, how it handles
    packets, the SRTP suites that it has (none: its build lacks libsrtp2), and what it speaks beside G.711.
    """

    version: int
    address: str
    silence_s: float
    io: str = ""
    workers: int = 1
    address6: str = ""
    srtp: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()


class EndpointOpened(Message, frozen=True):
    """The port pair of an endpoint; `resumed` where it was taken over with its state."""

    endpoint: int
    address: str
    port: int
    resumed: bool = False


class EndpointFailed(Message, frozen=True):
    """An endpoint could not be opened."""

    endpoint: int
    reason: str


class EndpointClosed(Message, frozen=True):
    """Final statistics of an endpoint. Times in ms. Dropped is what came from `strangers`, what was more than a port
    takes (`excess`), what failed SRTP's authentication (`forged`) or had come before (`replayed`), and what nobody
    could use. `reported`: the far end's RTCP told what `remote_…` say.
    """

    endpoint: int
    packets_received: int = 0
    packets_sent: int = 0
    packets_lost: int = 0
    packets_dropped: int = 0
    jitter_ms: float = 0.0
    remote_lost: int = 0
    remote_jitter_ms: float = 0.0
    round_trip_ms: float = 0.0
    strangers: int = 0
    excess: int = 0
    reported: bool = False
    forged: int = 0
    replayed: int = 0


class Digit(Message, frozen=True):
    """One key press: by RFC 4733, or by its tones where no telephone-event was agreed."""

    endpoint: int
    digit: str


class Silence(Message, frozen=True):
    """Nothing was received for the silence time (True), or RTP is back (False)."""

    endpoint: int
    silent: bool


class Report(msgspec.Struct, frozen=True):
    """What one endpoint was played."""

    frames: int = 0
    first_timestamp: int = 0
    last_timestamp: int = 0
    completed: bool = False
    remote_lost: int = 0


class Played(Message, frozen=True):
    """A playback is over: one report per endpoint, or the `error` why it never began."""

    playback: int
    reports: tuple[Report, ...] = ()
    error: str = ""


class Recorded(Message, frozen=True):
    """A recording is complete on disk, or the `error` why there is no file."""

    recording: int
    duration_s: float = 0.0
    bytes: int = 0
    sha256: str = ""
    truncated: bool = False
    error: str = ""


class RecordingMoved(Message, frozen=True):
    """The file was there already, and none is written over: this recording is at `path`, also when it is resumed."""

    recording: int
    path: str


class Truncated(Message, frozen=True):
    """A recording has a hole and why: told once. The call goes on, and so does the recording if it can."""

    recording: int
    reason: str = ""


class Totals(Message, frozen=True):
    """Server-wide counters since start, each second; endpoints, playbacks and recordings are those of now.

    Dropped packets by reason: from strangers; no RTP, or a payload type that was not agreed on (unusable); more than an
    endpoint takes (excess); by SRTP not authentic (forged), or not for the first time (replayed). `storms`: times that
    a flooded port was not read for a moment. `packets_late`: audio that came while a worker stood still, too old to be
    passed on (a recording has it; not among the dropped). `packets_kernel`: those of the packets in and out that the
    kernel passed on by itself, in `kernel_streams` now. `ports_exhausted`: endpoints that got no port; `ports_free`:
    pairs of now.
    """

    packets_in: int = 0
    packets_out: int = 0
    packets_dropped: int = 0
    packets_lost: int = 0
    bytes_recorded: int = 0
    events: int = 0
    events_lost: int = 0
    endpoints: int = 0
    playbacks: int = 0
    recordings: int = 0
    packets_from_strangers: int = 0
    packets_unusable: int = 0
    packets_excess: int = 0
    storms: int = 0
    packets_forged: int = 0
    packets_replayed: int = 0
    packets_late: int = 0
    packets_kernel: int = 0
    kernel_streams: int = 0
    recordings_truncated: int = 0
    ports_exhausted: int = 0
    ports_free: int = 0


class Pong(Message, frozen=True):
    """The server is well, all its workers included."""


class Refused(Message, frozen=True):
    """A command made no sense: its name and why."""

    command: str
    reason: str


Event = (
    Welcome
    | EndpointOpened
    | EndpointFailed
    | EndpointClosed
    | Digit
    | Silence
    | Played
    | Recorded
    | RecordingMoved
    | Truncated
    | Totals
    | Pong
    | Refused
)

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_events: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def encode(message: Message) -> bytes:
    """One frame."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def decode_command(body: bytes) -> Command:
    """The command in a frame's body; raises ProtocolError."""
    try:
        return _commands.decode(body)
    except _UNREADABLE as error:
        raise ProtocolError(str(error)) from error


def decode_event(body: bytes) -> Event:
    """The event in a frame's body; raises ProtocolError."""
    try:
        return _events.decode(body)
    except _UNREADABLE as error:
        raise ProtocolError(str(error)) from error


class FrameBuffer:
    """Cuts a byte stream into the bodies of frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that `data` completes; raises ProtocolError for a frame above MAX_FRAME."""
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if length > MAX_FRAME:
                raise ProtocolError(f"frame of {length} bytes, at most {MAX_FRAME}")
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            body = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield body
