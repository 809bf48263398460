"""Standard output that may be closed, a pipe that nobody reads on, or a file on a full disk.

Called by cli/__init__.py around every command. What is printed is decided elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

READER_GONE = 141  # what a shell says of `cat` in `cat file | head -1`: 128 and SIGPIPE

_T = TypeVar("_T")


class _Unwritten(Exception):
    """Standard output took no more; no OSError, which rich and typer would end in their own ways."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


class _Watched:
    """A stream whose failures to write are told apart from those of all other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return _tried(lambda: self._stream.write(text))

    def flush(self) -> None:
        _tried(self._stream.flush)


def open_closed_streams() -> None:
    """Of a program started with `>&-`: what it prints goes nowhere, and no file takes the place of 0, 1 or 2."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (as long as the process)


@contextmanager
def standard_output() -> Iterator[None]:
    """Ends the program silently where nobody reads on, with one line on standard error where it can't be written."""
    real = sys.stdout
    sys.stdout = watched = _Watched(real)
    try:
        try:
            yield
        finally:
            watched.flush()
    except _Unwritten as unwritten:
        _forget(real)
        if isinstance(unwritten.why, BrokenPipeError):
            raise SystemExit(READER_GONE) from None
        reason = f"standard output can't be written: {unwritten.why.strerror}; what was done stands"
        print(f"softswitch: {reason}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        sys.stdout = real


def _tried(write: Callable[[], _T]) -> _T:
    try:
        return write()
    except OSError as error:
        raise _Unwritten(error) from None


def _forget(stream: TextIO) -> None:
    """What is left in its buffer goes nowhere, else Python would try once more at its end and say so."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
