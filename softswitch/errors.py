"""Exceptions by blame, and the failure codes that a call can end with.

Sources: provisioning interface section 8.1 (codes and their meaning), call treatment (SIP status and Q.850 cause).
Everyone may import this module; it imports nothing of the project.
"""

from __future__ import annotations

from dataclasses import dataclass

BUSY, CONGESTION = "busy", "congestion"  # made by media/tones.py
LAST_NORMAL_CAUSE = 31  # Q.850: the classes above are those of networks without resources, services or sense


class SoftswitchError(Exception):
    """Root of everything this product raises on purpose."""


class SipParseError(SoftswitchError):
    """The peer's bytes are not SIP or SDP: says where and what was expected."""


class RemoteProtocolError(SoftswitchError):
    """The peer's messages are well formed but break the protocol."""


class MediaError(SoftswitchError):
    """The media server could not do what it was told."""


class StoreError(SoftswitchError):
    """The store could not be read or written."""


class BindingConflict(StoreError):
    """A binding would break a uniqueness rule; `resultcode` is the provisioning interface's (section 8.5)."""

    def __init__(self, resultcode: str, message: str) -> None:
        super().__init__(message)
        self.resultcode = resultcode


class ConfigError(SoftswitchError):
    """A setting or dialplan entry is wrong: `place` is file and key, the message says what was expected."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call ended: the interface's `code`, the SIP `status` for the caller, the Q.850 `cause`, and `words`."""

    code: int
    status: int
    cause: int
    words: str

    @property
    def progress_tone(self) -> str:
        """What a caller hears who was answered and gets no status any more: is it the callee, or a network?"""
        return BUSY if self.cause <= LAST_NORMAL_CAUSE else CONGESTION


def _table(*rows: tuple[int, int, int, str]) -> dict[int, Failure]:
    return {row[0]: Failure(*row) for row in rows}


NORMAL = Failure(0, 200, 16, "normal clearing")
INTERNAL_FAULT = Failure(8040, 500, 41, "internal fault")

# One row a code: (code, SIP status, Q.850 cause, words).
FAILURES = _table(
    (0, 200, 16, "normal clearing"),
    (7001, 503, 42, "developer call rate exceeded"),
    (7002, 503, 42, "app call rate exceeded"),
    (7004, 403, 21, "callee is on the black list"),
    (7005, 403, 21, "caller is on the black list"),
    (7107, 500, 31, "mandated announcement missing or not approved"),
    (7109, 503, 42, "all ports in use"),
    (7500, 403, 21, "number prefix is barred"),
    (7501, 487, 16, "caller hung up before the callee rang"),
    (7502, 487, 16, "caller hung up while the callee rang"),
    (7503, 603, 21, "callee rejected the call"),
    (7504, 603, 21, "call rejected"),
    (7505, 502, 38, "network fault on the caller's side"),
    (7506, 502, 28, "callee's number is malformed or unroutable"),
    (7507, 500, 31, "tone file missing"),
    (7508, 502, 3, "no route to the callee"),
    (7516, 487, 16, "caller hung up before keying the extension"),
    (8010, 200, 102, "maximum duration reached"),
    (8013, 480, 20, "no temporary callee is set"),
    (8014, 404, 1, "no binding for this caller"),
    (8016, 403, 21, "direction not allowed"),
    (8018, 403, 21, "no permission"),
    (8019, 480, 20, "no call-back record"),
    (8022, 404, 1, "extension unknown or expired"),
    (8023, 403, 21, "a fixed line may not call X"),
    (8024, 403, 21, "showing the real caller is barred"),
    (8025, 404, 1, "X does not exist"),
    (8033, 404, 1, "no extension keyed"),
    (8035, 408, 102, "connect time-out"),
    (8041, 200, 41, "recording failed"),
    (8042, 403, 21, "international callers are barred"),
    (8043, 403, 21, "international callees are barred"),
    (8047, 503, 42, "caller rate exceeded"),
    (8048, 503, 42, "callee rate exceeded"),
    (8049, 503, 42, "service number rate exceeded"),
    (8057, 403, 21, "direction control"),
    (8100, 404, 1, "number does not exist"),
    (8101, 480, 19, "no answer"),
    (8102, 486, 17, "callee is busy"),
    (8103, 480, 20, "callee has no signal"),
    (8104, 480, 20, "callee is switched off"),
    (8040, 500, 41, "internal fault"),
)


class CallRejected(SoftswitchError):
    """A decision: this call can't go on. `tone` is a prompt name that the caller hears first, if any, in `language`."""

    def __init__(
        self, failure: Failure, *, tone: str | None = None, language: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(f"{failure.code} {failure.words}")
        self.failure = failure
        self.tone, self.language = tone, language
        self.retry_after_s = retry_after_s
