"""What a binding must satisfy before the store is asked: numbers, options, modes, extensions.

Provisioning interface sections 2.1, 3.1, 4.1 and the result codes of 8.5. Called by provisioning.py; pure. Uniqueness,
which needs the store, is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from softswitch.errors import BindingConflict
from softswitch.interfaces import App, Mode, PrivateNumber

INVALID = "1010002"
WRONG_MODE = "1010040"
NO_RECORDING = "1012012"
# X is not of this app: one code for AX (3.1), another for AXB and AXE.
X_UNKNOWN = {Mode.AX: "1011001", Mode.AXB: "1012001", Mode.AXE: "1012001"}
X_UNKNOWN_WORDS = {"1011001": "Account does not exist", "1012001": "Resource of number is not to be applied"}

MAX_LIFETIME_S = 7_776_000  # 90 days, 1.6 and section 12
MAX_DURATION_S = 1440 * 60
MAX_CALLEE_LIFETIME_S = 86400
_E164 = re.compile(r"\+[1-9]\d{2,29}")
_TEXT_LIMIT = 256
_TONE = re.compile(r"[0-9A-Za-z._@-]{1,128}")


@dataclass(frozen=True, slots=True)
class BindingOptions:
    """What a bind request may say beside the numbers; the fields mean what they mean in `interfaces.Binding`."""

    duration_s: int = 0  # 0: never expires
    call_direction: int = 0
    max_duration_s: int = 0
    last_minute_tone: str | None = None
    record: bool = False
    announcement: str | None = None
    caller_ringback: str | None = None
    callee_ringback: str | None = None
    turned_on: bool = True
    callback_tone: str | None = None
    callback_number: str | None = None
    callback_lifetime_s: int = 0
    user_data: str = ""


def invalid(words: str) -> BindingConflict:
    """1010002: the request itself is wrong."""
    return BindingConflict(INVALID, f"Invalid request. {words}")


def check_number(name: str, number: str) -> None:
    """Raise 1010002 unless `number` is E.164 with a `+`."""
    if not _E164.fullmatch(number):
        raise invalid(f"{name} {number!r} is not of the form +8613800000001")


def check_real(private: str | None) -> None:
    """Raise 1010002 where a party is a privacy number: what calls it would come back to us."""
    if private is not None:
        raise invalid(f"{private} is a privacy number of the pool, not a real number")


def check_unbound(x: str, bindings: Sequence[str]) -> None:
    """Raise 1012010 where a number that is to be private is real in `bindings` (their ids)."""
    if bindings:
        raise BindingConflict("1012010", f"{x} is A or B of binding {', '.join(bindings)}: unbind that first")


def check_ownership(number: PrivateNumber | None, x: str, app_key: str | None, mode: Mode) -> PrivateNumber:
    """X must be in the pool, of the app (where one is named), and of the mode that is asked for."""
    if number is None or app_key not in (None, number.app.key):
        code = X_UNKNOWN[mode]
        raise BindingConflict(code, f"{X_UNKNOWN_WORDS[code]}: {x} is not a number of the pool of this app")
    if number.app.mode is not mode:
        raise BindingConflict(WRONG_MODE, f"{x} belongs to app {number.app.key} of mode {number.app.mode}, not {mode}")
    return number


def check_options(app: App, options: BindingOptions) -> None:
    """Ranges and combinations of 2.1, 3.1 and 4.1."""
    _check_range("call_direction", options.call_direction, 2)
    _check_range("duration_s", options.duration_s, MAX_LIFETIME_S)
    _check_range("max_duration_s", options.max_duration_s, MAX_DURATION_S)
    _check_range("callback_lifetime_s", options.callback_lifetime_s, MAX_LIFETIME_S)
    check_user_data(options.user_data)
    for name in ("last_minute_tone", "announcement", "caller_ringback", "callee_ringback", "callback_tone"):
        tone = getattr(options, name)
        if tone is not None and not _TONE.fullmatch(tone):
            raise invalid(f"{name} {tone!r} is not the name of a tone file")
    if options.callback_tone is not None and options.callback_number is not None:
        raise invalid("callback_tone and callback_number exclude each other")
    if options.callback_number is not None:
        check_number("callback_number", options.callback_number)
    if options.record and not app.recording:
        raise BindingConflict(NO_RECORDING, f"Application does not open recording function: {app.key}")


def check_extension(app: App, extension: str) -> None:
    """As many digits as the app has, not all zero (4.1)."""
    if not re.fullmatch(r"[0-9]+", extension) or len(extension) != app.extension_digits:
        raise invalid(f"extension {extension!r} does not have the {app.extension_digits} digits of app {app.key}")
    if not extension.strip("0"):
        raise invalid(f"extension {extension!r} is zero")


def all_extensions(app: App) -> range:
    """The values an extension of `app` may have."""
    return range(1, 10**app.extension_digits)


def check_callee(callee: str, duration_s: int, user_data: str) -> None:
    """A temporary callee (3.5): also 400 and 95 numbers, for 1 s to a day."""
    check_number("callee", callee)
    if not 1 <= duration_s <= MAX_CALLEE_LIFETIME_S:
        raise invalid(f"duration_s {duration_s} is not within 1 to {MAX_CALLEE_LIFETIME_S}")
    check_user_data(user_data)


def check_another(a: str, other: str | None) -> None:
    """Raise 1010002 where A would call itself."""
    if a == other:
        raise invalid(f"{a} is A itself: it would call itself")


def check_user_data(text: str) -> None:
    """The customer's reference: raise 1010002 where it is too long, or has what separates the fields of a record."""
    if len(text) > _TEXT_LIMIT or set("^{}") & set(text):
        raise invalid(f"user_data has more than {_TEXT_LIMIT} characters or one of ^ {{ }}")


def check_app(app: App) -> None:
    """A key without space around it, and 1 to 4 digits of extension."""
    if not 1 <= len(app.key.strip()) <= 128 or not 1 <= app.extension_digits <= 4:
        raise invalid(f"app {app.key!r} needs a key of 1 to 128 characters and 1 to 4 extension digits")
    if app.key != app.key.strip():
        raise invalid(f"app {app.key!r} has space around its key")


def another_kind(app: App) -> BindingConflict:
    """What was to be added to `app` is of another mode, or has extensions of another length."""
    digits = f" with {app.extension_digits} extension digits" if app.mode is Mode.AXE else ""
    return BindingConflict(WRONG_MODE, f"app {app.key} is {app.mode}{digits} for good")


def _check_range(name: str, value: int, greatest: int) -> None:
    if not 0 <= value <= greatest:
        raise invalid(f"{name} {value} is not within 0 to {greatest}")
