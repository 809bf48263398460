"""The question that a binding mode answers (`Attempt`), its good answer (`Reached`) and the trace of the way there.

Call treatment, "Who reaches whom". Used by resolve.py and the three modes; decides nothing itself.
"""

from __future__ import annotations

from msgspec import Struct

from softswitch.interfaces import App, Binding, Rejection
from softswitch.routing.numbers import FIXED

ABNORMAL = 2  # CDR direction where no binding tells it (provisioning interface 6.2)

# What the caller hears with a failure, where it is always the same (provisioning interface 6.5).
TONES = {8014: "no_binding", 8018: "no_permission", 8022: "invalid_extension", 8104: "powered_off"}


def _in_words(value: object) -> object:
    if value is None:
        return "none"
    return ("no", "yes")[value] if isinstance(value, bool) else value


class Trace:
    """Collects the sentences that tell how a decision was reached."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[str] = []

    def note(self, sentence: str, *values: object) -> None:
        """Add a sentence; its `{}` are filled here, so that nothing is formatted when nobody reads it."""
        self.steps.append(sentence.format(*(_in_words(value) for value in values)))


class SilentTrace(Trace):
    """The trace of a call that nobody asked to explain."""

    __slots__ = ()

    def note(self, sentence: str, *values: object) -> None:
        """Forget it."""


SILENT = SilentTrace()


class Attempt(Struct, frozen=True):
    """One call as the modes see it: numbers in E.164, `extension` None where none was dialled or asked for yet.

    `extension` is "" where the caller was asked and keyed nothing.
    """

    app: App
    x: str
    caller: str
    caller_class: str
    extension: str | None
    now: float
    trace: Trace

    @property
    def from_fixed_line(self) -> bool:
        """Whether a fixed line calls: one that is itself protected may only be called."""
        return self.caller_class == FIXED

    def rejected(
        self, failure_code: int, binding: Binding | None = None, *, direction: int = ABNORMAL, tone: str | None = None
    ) -> Rejection:
        """A refusal with all that is known of the call."""
        return Rejection(
            failure_code,
            tone=tone or TONES.get(failure_code),
            mode=self.app.mode,
            app_key=self.app.key,
            x=self.x,
            caller=self.caller,
            extension=self.extension or None,
            binding_id=binding.id if binding else "",
            direction=direction,
        )


class Reached(Struct, frozen=True):
    """Whom the mode says the call reaches, by which binding and in which direction (CDR)."""

    binding: Binding
    callee: str
    direction: int
    ringback: str | None = None
    extension: str | None = None
