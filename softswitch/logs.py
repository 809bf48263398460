"""Structured logs: one line a call event, JSON or for the console, phone numbers masked unless asked otherwise.

Set up once by `app.py` and the command line. Lines go to standard error; the wire is only logged at DEBUG.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any

import msgspec
import structlog

from softswitch.moments import to_microsecond

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ENCODER = msgspec.json.Encoder(enc_hook=str)
_NUMBER = re.compile(r"(?<!\d)(\+?\d{2,6}?)(\d{4})(\d{2,6})(?!\d)")
_MASKED_KEYS = frozenset(
    {"x", "caller", "callee", "display", "destination", "error", "cdr", "known", "number", "exception"}
)


def masked(text: str) -> str:
    """`text` with four digits of every phone number starred: +8613800001234 becomes +86138****1234."""
    return _NUMBER.sub(_star, text) if text else text


def _star(match: re.Match[str]) -> str:
    number = match[0]
    return f"{number[:-8]}****{number[-4:]}" if len(number) >= 10 else f"{number[:2]}****{number[-2:]}"


def _complete(logger: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
    """One function in the place of structlog's processors: three lines a call pass here."""
    event["level"] = level
    event["timestamp"] = to_microsecond(time.time())
    if "exc_info" in event:
        structlog.processors.format_exc_info(logger, level, event)
    return event


def _mask(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    for key in _MASKED_KEYS & event.keys():
        value = event[key]
        if isinstance(value, str):
            event[key] = masked(value)
        elif isinstance(value, dict):
            event[key] = {k: masked(v) if isinstance(v, str) else v for k, v in value.items()}
    return event


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


def configure_logging(level: str = "info", style: str = "json", mask_numbers: bool = True) -> None:
    """Send log lines of `level` and above to standard error as `json` or `console` lines."""
    processors: list[Any] = [_complete]
    if mask_numbers:
        processors.append(_mask)
    as_json = style == "json"
    processors.append(_to_json if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer)
        if as_json
        else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(LEVELS[level], logging.INFO), handlers=[_Foreign(mask_numbers)])
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it listens our own line tells
