"""Structured logs: one line a call event, JSON or for the console, phone numbers masked unless asked otherwise.

Set up once by `serving.py` and the command line. Lines go to standard error; the wire is only logged at DEBUG. A line
that can't be written (a full disk, a pipe whose reader is gone) is lost and counted: no call and no task ends by it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import IO, Any

import msgspec
import structlog

from softswitch.moments import to_microsecond

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ENCODER = msgspec.json.Encoder(enc_hook=str)
# No number, though the digits would do: a whole UUID (RFC 9562), unless its last group has ten digits in a row or three
# groups have nothing else; and a day, also with the time (RFC 3339) to the microsecond.
_UUID = (
    r"(?<![0-9A-Za-z])(?![0-9-]{18}|[0-9A-Fa-f-]{24,26}[0-9]{10})[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-"
    r"[1-8][0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z]|[*_-]{1,2}\d)"
)
_MOMENT = (
    r"(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?(?:[+-][0-9]{2}:?[0-9]{2})?)?(?![*_-]{0,2}\d)"
)
# With what may stand between digits (an address has dots); spaces, dots and brackets only where a `+` tells what it is.
_SPELLED = rf"(?P<kept>{_UUID}|{_MOMENT})|\d(?:[*_-]{{0,2}}\d){{6,}}"
_NUMBER = re.compile(rf"\+\(?\d(?:[ .()*_/-]{{0,3}}\d){{6,}}|{_SPELLED}")
_BESIDE = re.compile(_SPELLED)  # a number that needs no other's digits to be one
_ALONE = re.compile(r"(\d{7,})")
FEWEST_DIGITS = 7  # of a number that is masked, as the patterns have it
LONGEST_NUMBER = 15  # digits of E.164: where there are more in groups nobody knows which are a number's
# What is ours and tells no number, however many digits it has. All else is looked through.
_PLAIN = frozenset(
    {"event", "level", "timestamp", "logger", "call_id", "call_ids", "calls", "path", "wanted", "socket"}
    | {"app_key", "apps", "trunk", "binding_id", "recording", "recording_sha256", "announcement_sha256", "host"}
)

_WITHOUT_TEXT = frozenset({int, float, bool, type(None)})


def masked(text: str) -> str:
    """`text` with four digits of every phone number starred: +8613800001234 becomes +86138****1234."""
    if len(text) < FEWEST_DIGITS:
        return str(text)  # also of a `StrEnum`, as `sub` does
    digits = text.removeprefix("+")
    if digits.isdecimal():  # a number and nothing else, as most are
        shown = text[: len(text) - len(digits)]
        return shown + _star_digits(digits) if len(digits) >= FEWEST_DIGITS else text
    return _NUMBER.sub(_star, text)


def _star(match: re.Match[str]) -> str:
    parts = _ALONE.split(match[0])
    if match["kept"] or len(parts) == 1:
        return _star_group(match)
    return "".join(_star_digits(part) if at % 2 else _BESIDE.sub(_star_group, part) for at, part in enumerate(parts))


def _star_group(match: re.Match[str]) -> str:
    return match[0] if match["kept"] else _star_digits(match[0])


def _star_digits(number: str) -> str:
    if number.isdecimal():  # nothing between its digits
        last = 4 if len(number) >= 10 else 2  # as below
        return f"{number[: -4 - last]}****{number[-last:]}"
    digits = [at for at, character in enumerate(number) if character.isdecimal()]
    last = -4 if len(digits) >= 10 else -2  # what is shown behind the stars; of a short one as much before them
    several = len(digits) > LONGEST_NUMBER and len(digits) < len(number)
    hidden = set(digits[4 if several else last - 4 : last])
    return "".join("*" if at in hidden else character for at, character in enumerate(number))


def _complete(logger: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
    """One function in the place of structlog's processors: three lines a call pass here."""
    event["level"] = level
    event["timestamp"] = to_microsecond(time.time())
    if "exc_info" in event:
        structlog.processors.format_exc_info(logger, level, event)
    return event


def _mask(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    for key, value in event.items():
        if key not in _PLAIN and type(value) not in _WITHOUT_TEXT:
            event[key] = _masked_value(value)
    return event


def _masked_value(value: Any) -> Any:
    """A record or list is shown as what it holds."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        return {key: one if key in _PLAIN else _masked_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_value(one) for one in value]
    return value


def _to_json(_: Any, __: str, event: dict[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:  # a peer's bytes that were no UTF-8
        return json.dumps(event, default=str).encode()


class _Foreign(logging.Handler):
    """What the standard library's loggers are told (SIP, uvicorn, asyncio) becomes a line like the others."""

    def __init__(self, mask_numbers: bool) -> None:
        super().__init__()
        self._shown = masked if mask_numbers else str

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = next((name for name in reversed(LEVELS) if record.levelno >= LEVELS[name]), "debug")
            more = {"exc_info": record.exc_info} if record.exc_info else {}
            getattr(structlog.get_logger(), level)(self._shown(record.getMessage()), logger=record.name, **more)
        except Exception:
            self.handleError(record)


class _Lines:
    """What structlog hands its lines to. Failures end nobody who writes one: a full disk, a closed pipe or stream.

    One write of the stream a line, which keeps those of several threads apart.
    """

    lost = 0  # lines of this process

    def __init__(self, stream: IO[Any], end: str | bytes) -> None:
        self._write, self._flush, self._end = stream.write, stream.flush, end

    def tell(self, line: Any) -> None:
        """What can't be written now stays in the stream's buffer, as long as that has room."""
        try:
            self._write(line + self._end)
            self._flush()
        except (OSError, ValueError):
            _Lines.lost += 1

    debug = info = warning = error = critical = tell


def _lean(bound_logger: type[Any]) -> type[Any]:
    """`bound_logger` of structlog without the copies of a line's fields that bound values need: nobody binds any."""

    class Lean(bound_logger):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **line: Any) -> None:
            line["event"] = event
            told: Any = line
            try:
                for process in self._processors:
                    told = process(self._logger, method_name, told)
                getattr(self._logger, method_name)(told)
            except structlog.DropEvent:
                return

    return Lean


def lines_lost() -> int:
    """Log lines that could not be written, so far; one may count twice."""
    return _Lines.lost


def configure_logging(level: str = "info", style: str = "json", mask_numbers: bool = True) -> None:
    """Send log lines of `level` and above to standard error as `json` or `console` lines."""
    processors: list[Any] = [_complete]
    if mask_numbers:
        processors.append(_mask)
    as_json = style == "json"
    processors.append(_to_json if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    structlog.configure(
        processors=processors,
        wrapper_class=_lean(structlog.make_filtering_bound_logger(LEVELS[level])),
        logger_factory=lambda *_: _Lines(sys.stderr.buffer, b"\n") if as_json else _Lines(sys.stderr, "\n"),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(LEVELS[level], logging.INFO), handlers=[_Foreign(mask_numbers)])
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it listens our own line tells
