"""The plug points: the frozen records that the parts exchange and the Protocols they meet each other through.

Everyone may import this module; it imports nothing of the project but its part about media. Times are UTC epoch
seconds (float) unless a name says otherwise; phone numbers are E.164 text with a leading `+`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from softswitch.media_interfaces import (
    Coding,
    EndpointStatistics,
    MediaDriver,
    MediaEndpoint,
    Playback,
    PlayReport,
    Recording,
    RecordingReport,
    RtpRemote,
    SrtpKeys,
)

__all__ = [  # what stands in `media_interfaces` is found here too
    "Coding",
    "EndpointStatistics",
    "MediaDriver",
    "MediaEndpoint",
    "PlayReport",
    "Playback",
    "Recording",
    "RecordingReport",
    "RtpRemote",
    "SrtpKeys",
]

# Numbers, bindings, pools: what stores hold and routing decides on


class Mode(enum.StrEnum):
    """Binding mode of an app and of every X it owns."""

    AXB = "AXB"
    AX = "AX"
    AXE = "AXE"


class App(Struct, frozen=True, gc=False):
    """A customer application: one mode, and for AXE the fixed number of extension digits (1 to 4)."""

    key: str
    mode: Mode
    extension_digits: int = 4
    recording: bool = True


class PrivateNumber(Struct, frozen=True, gc=False):
    """One X of the pool: whose it is and which city's."""

    x: str
    app: App
    area_code: str = ""
    city: str = ""


class Binding(Struct, frozen=True, gc=False):
    """One binding of any mode, with the options the provisioning interface gives it.

    AXB: `a`, `b`. AX: `a`. AXE: `a`, `extension`. Tones are prompt names; `None` means "not set".
    """

    id: str
    app_key: str
    mode: Mode
    x: str
    a: str
    b: str | None = None
    extension: str | None = None
    call_direction: int = 0  # 0 both; AXB: 1 A to B only, 2 B to A only; AX: 1 only A calls X, 2 only others call X
    created_at: float = 0.0
    expires_at: float | None = None
    max_duration_s: int = 0  # 0: no limit
    last_minute_tone: str | None = None
    record: bool = False
    announcement: str | None = None  # recordHintTone
    caller_ringback: str | None = None  # preVoice.callerHintTone: heard by A when A calls X
    callee_ringback: str | None = None  # preVoice.calleeHintTone: heard by the other side when it calls X
    turned_on: bool = True  # AX turnFlag
    callback_tone: str | None = None  # AXE
    callback_number: str | None = None  # AXE
    callback_lifetime_s: int = 0  # AXE: 0 = records never expire
    user_data: str = ""


class TemporaryCallee(Struct, frozen=True, gc=False):
    """AX: whom the next A -> X call reaches."""

    binding_id: str
    callee: str
    expires_at: float
    user_data: str = ""


class CallbackRecord(Struct, frozen=True, gc=False):
    """AXE: who last tried to reach A through X, and when."""

    x: str
    a: str
    caller: str
    at: float


class BindingStore(Protocol):
    """What routing reads, and the call layer writes, while a call is set up. Expired bindings are never returned.

    Coroutines, so that a networked store can wait; an embedded one answers without suspending. All raise StoreError.
    """

    async def private_number(self, x: str) -> PrivateNumber | None:
        """The pool entry of `x`, or None where no app owns it."""

    async def axb_binding(self, x: str, party: str, now: float) -> Binding | None:
        """The AXB binding on `x` in which `party` is A or B."""

    async def ax_binding(self, x: str, now: float) -> Binding | None:
        """The AX binding of `x`."""

    async def axe_binding(self, x: str, extension: str, now: float) -> Binding | None:
        """The AXE binding of (`x`, `extension`)."""

    async def axe_binding_of(self, x: str, a: str, now: float) -> Binding | None:
        """The newest AXE binding on `x` whose A is `a`."""

    async def latest_caller(self, x: str, a: str) -> CallbackRecord | None:
        """The newest call-back record of (`x`, `a`), whatever its age."""

    async def remember_caller(self, record: CallbackRecord) -> None:
        """Replace the call-back record of (x, a)."""

    async def temporary_callee(self, binding_id: str, now: float) -> TemporaryCallee | None:
        """The unexpired temporary callee of an AX binding."""

    async def consume_temporary_callee(self, binding_id: str, callee: str) -> None:
        """`callee` was reached: it is used up, unless another one has been set meanwhile."""


# Decisions of routing


class Treatment(Struct, frozen=True, gc=False):
    """What binding and dialplan impose on a call. Tones are prompt names."""

    announcement: str | None = None
    announcement_mandatory: bool = False
    ringback: str | None = None  # replaces the callee's early media
    connecting: str | None = None  # played to a caller who was answered already (AXE)
    max_duration_s: int = 0
    last_minute: str | None = "last_minute"
    record: bool = False
    stereo: bool = False
    language: str = ""  # of prompts; empty: the switch's


class Target(Struct, frozen=True, gc=False):
    """One attempt at the second leg: where to send it and in which clothes."""

    trunk: str
    host: str
    port: int
    user: str  # user part of the Request-URI, in the trunk's number form
    display: str  # user part of From and P-Asserted-Identity, in the trunk's number form
    transport: str = "udp"
    codecs: tuple[str, ...] = ("PCMA", "PCMU")
    ring_s: float = 60.0
    connect_s: float = 8.0  # no provisional within this time: next target
    large_by_tcp: bool = True  # requests too long for UDP go by TCP, where the switch has a TCP listener
    uri_host: str = ""  # host of its URIs; empty: `host`
    tls_name: str = ""  # that its certificate must name; empty: `host`
    to: str = ""  # user part of To; empty: that of the Request-URI
    from_user: str = ""  # user part of From; empty: `display`
    from_host: str = ""  # host of our identities; empty: our own
    user_phone: bool = False  # `;user=phone` stands behind numbers
    identity: str = "pai"  # which header names `display`: pai, rpid, both, none
    privacy: str = "never"  # of whose calls `display` is hidden from the callee: never, caller (who asks so), always
    pass_headers: tuple[str, ...] = ()  # headers that it may get from the caller, and the caller from it
    codec_order: str = "caller"  # whose order an offer follows: caller, trunk
    ptime_ms: int = 20  # asked of it
    max_ptime_ms: int = 0  # 0: nothing is said
    redirect_hosts: tuple[str, ...] = ()  # names and networks that a 3xx may send the call to
    nat: bool = False  # its media may come from elsewhere than its SDP says
    srtp: str = "off"  # its RTP: off (plain), allowed (SRTP where it asks for it), required (SRTP)
    srtp_suites: tuple[str, ...] = ("AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80")  # the best first


class Route(Struct, frozen=True):
    """Yes: who is reached, how, and with which treatment."""

    mode: Mode
    direction: int  # CDR: AXB 1 A to B, 0 B to A; AX 1 A to others, 0 others to A; AXE 1 call-back, 0 others to A
    app_key: str
    x: str
    caller: str
    callee: str
    display: str  # E.164 shown to the callee (X, or X + E on a 700 number)
    binding: Binding
    targets: tuple[Target, ...]
    treatment: Treatment
    extension: str | None = None
    steps: tuple[str, ...] = ()  # how the decision was reached, for `softswitch explain`


class NeedExtension(Struct, frozen=True):
    """Perhaps: X is shared, the caller must key an extension of `digits` digits."""

    app_key: str
    x: str
    caller: str
    digits: int
    prompt: str = "enter_extension"
    invalid_prompt: str = "invalid_extension"
    language: str = ""
    steps: tuple[str, ...] = ()


class Rejection(Struct, frozen=True):
    """No: the interface's failure code and the prompt the caller hears, if any. What is known goes to the CDR."""

    failure_code: int
    tone: str | None = None
    mode: Mode | None = None
    app_key: str = ""
    x: str = ""
    caller: str = ""
    extension: str | None = None
    binding_id: str = ""
    direction: int = 2
    language: str = ""  # of the tone
    steps: tuple[str, ...] = ()


Decision = Route | NeedExtension | Rejection


class Router(Protocol):
    """Turns who called what into a decision."""

    async def resolve(
        self, dialled: str, caller: str, *, digits: str | None = None, trunk: str | None = None
    ) -> Decision:
        """Decide a call from `caller` to `dialled` (as `trunk` wrote them), with keyed `digits` if collected.

        Never raises for bad numbers (that is a Rejection); StoreError passes through.
        """


# Prompts


@dataclass(frozen=True, slots=True)
class Prompt:
    """One playable file of the catalogue."""

    name: str
    language: str
    path: str
    duration_s: float
    sha256: str
    approved: bool = True
    words: str = ""


class PromptCatalogue(Protocol):
    """Finds prompts by name."""

    def find(self, name: str, language: str) -> Prompt | None:
        """The prompt in `language`, else in the catalogue's default language, else None. `name` may end in `.wav`."""


# The call detail record


class LegReport(Struct, frozen=True, gc=False, omit_defaults=True):
    """One leg of a call in its CDR."""

    trunk: str = ""
    sip_call_id: str = ""
    codec: str = ""
    srtp: str = ""  # the suite that protected it at the end, empty for plain RTP
    sip_status: int = 0
    cause: int = 0  # Q.850
    packets_received: int = 0
    packets_sent: int = 0
    packets_lost: int = 0
    jitter_ms: float = 0.0
    mos: float = 0.0  # ITU-T G.107, of what it sent us; 0 where nothing was received
    round_trip_ms: float = 0.0  # by RTCP, as all `remote_…`, 0 where it sent none: between us and it
    remote_lost: int = 0  # of what we sent it
    remote_jitter_ms: float = 0.0
    remote_mos: float = 0.0
    announcement_frames: int = 0
    announcement_first_timestamp: int = 0
    announcement_last_timestamp: int = 0
    announcement_remote_lost: int = 0


class Cdr(Struct, frozen=True, gc=False, omit_defaults=True):
    """One call attempt, however it ended: provisioning interface 6.2 plus what call treatment adds.

    Times are UTC epoch seconds with millisecond precision, None where the moment never came. As JSON (the store's) it
    leaves out what is at its default: that is three quarters of most.
    """

    call_id: str
    host: str = ""
    mode: Mode | None = None
    direction: int = 2
    app_key: str = ""
    x: str = ""  # bindNum
    binding_id: str = ""
    extension: str = ""
    caller: str = ""
    callee: str = ""  # called number of leg 1: X, or what was dialled; who was reached is `destination`
    display: str = ""
    destination: str = ""  # fwdDstNum
    call_in_at: float = 0.0
    forward_at: float | None = None
    alerting_at: float | None = None
    answered_in_at: float | None = None  # the caller's leg was answered (AXE: before the extension was keyed)
    answered_at: float | None = None  # fwdAnswerTime
    ended_at: float | None = None
    failed_at: float | None = None
    failure: int = 0  # ulFailReason
    sip_status: int = 0  # sipStatusCode, 0 for a call that was answered
    cause: int = 0  # fwdUnaswRsn, Q.850
    words: str = ""
    ended_by: str = ""  # "caller", "callee", "switch"
    announcement: str = ""
    announcement_sha256: str = ""
    announcement_from: float | None = None
    announcement_to: float | None = None
    record: bool = False
    record_started_at: float | None = None
    recording: str = ""  # file
    recording_sha256: str = ""
    recording_s: float = 0.0
    recording_truncated: bool = False
    user_data: str = ""
    a: LegReport = LegReport()
    b: LegReport = LegReport()


class CdrStore(Protocol):
    """Keeps attempts from their first moment, so that a crash loses none."""

    async def open_attempt(self, cdr: Cdr) -> None:
        """Remember an attempt that has begun."""

    async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
        """Attempts are over: keep their final records (also of one that was never opened), all of them or none."""

    async def unfinished_attempts(self) -> list[Cdr]:
        """Attempts that an earlier run of this process left open."""


class CdrSink(Protocol):
    """Somewhere else that finished records go."""

    def write(self, cdr: Cdr) -> None:
        """Write one record; raises StoreError."""

    def close(self) -> None:
        """Flush and release."""


class FilePlace(Struct, frozen=True):
    """How far a file that is only appended to was written; its name may be another by now."""

    path: str = ""
    file: str = ""  # device and inode
    size: int = 0
    ending: str = ""  # of what was written: tells it from a file that was given the same inode later


class Filed(Struct):
    """What the lines of a CDR file tell: of which calls they are, and the records of those that were asked for."""

    calls: set[str]
    wanted: dict[str, Cdr]


class CdrFile(CdrSink, Protocol):
    """A sink that can be read again. All raise StoreError."""

    def place(self) -> FilePlace:
        """Where the next line goes."""

    def to_be_synced(self) -> Callable[[], None]:
        """What has the disk take all that was written by now: waits, so it is called in a thread."""

    def filed_since(self, place: FilePlace, wanted: Container[str]) -> Filed | None:
        """What stands behind `place`, None where that file is gone. Waits for the disk; any thread may ask."""


class FiledStore(Protocol):
    """Numbers records as they are finished, and keeps how far a CDR file has them. All raise StoreError."""

    @property
    def last_ordinal(self) -> int:
        """The number of the record that was finished last."""

    def filed(self) -> tuple[int, FilePlace] | None:
        """What `mark_filed` was told last; None where it never was."""

    def mark_filed(self, ordinal: int, place: FilePlace) -> None:
        """The CDR file has all up to `ordinal`, and lines of later ones only behind `place`."""

    def finished_since(self, after: int, upto: int, *, without: Container[str]) -> list[Cdr]:
        """Records finished after ordinal `after`, but for the calls `without`, in their order; any thread may ask."""


class CallMetrics(Protocol):
    """What the call layer counts and times; seconds throughout."""

    def call_ended(self, mode: str, direction: int, outcome: str, talk_s: float | None) -> None:
        """One attempt is over: `outcome` is the failure code in words' place ("0" for a normal end)."""

    def post_dial_delay(self, seconds: float) -> None:
        """From the caller's INVITE to the first ringing."""

    def setup_time(self, seconds: float) -> None:
        """From the caller's INVITE to its 200."""

    def leak(self, what: str, where: str) -> None:
        """The leak guard hit."""

    def quality(self, trunk: str, statistics: EndpointStatistics, mos: float) -> None:
        """A leg by `trunk` that was heard is over."""

    def recorded(self, size: int) -> None:
        """A recording of `size` bytes was closed."""
