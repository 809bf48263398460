"""Messages cut out of a byte stream by their Content-Length, with bounded buffers.

RFC 3261 7.5 and 18.3, RFC 5626 3.5.1. Called by the stream transport for every piece of a TCP or TLS connection. It
never looks at a header but Content-Length and never does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from softswitch.errors import SipParseError

HEADER_LIMIT = 16 * 1024  # bytes of start line and header fields
BODY_LIMIT = 64 * 1024  # what a datagram could carry
PING = b"\r\n\r\n"  # keep-alive between messages, to be answered by PONG
PONG = b"\r\n"

_BLANK = b"\r\n\r\n"
# Line folding (7.3.1) may stand between the colon and the number.
_LENGTH = re.compile(rb"\r\n(?:Content-Length|l)[ \t]*:(?:[ \t]|\r\n[ \t])*([^\r]*?)[ \t]*(?=\r\n)", re.IGNORECASE)


class FramingError(SipParseError):
    """The stream can't be followed any further. `head` is the header block that may still be answered, or empty."""

    def __init__(self, message: str, head: bytes = b"") -> None:
        super().__init__(message)
        self.head = head


class Framer:
    """The receiving end of one connection."""

    __slots__ = ("_blank", "_body_limit", "_buffer", "_header_limit", "_need", "_searched")

    def __init__(self, header_limit: int = HEADER_LIMIT, body_limit: int = BODY_LIMIT) -> None:
        self._header_limit, self._body_limit = header_limit, body_limit
        self._buffer = bytearray()
        self._searched = 0  # so many bytes of the buffer are known to hold no end of a header block
        self._need = 0  # length of the message whose header block is there; 0: its end was not seen yet
        self._blank = False  # the stream stands behind a single CRLF between messages

    @property
    def unfinished(self) -> bool:
        """Whether a part of a message waits for the rest."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes, PING for each keep-alive; raises FramingError where it makes no sense.

        To be exhausted before the next call.
        """
        self._buffer += data
        while self._buffer:
            if not self._need:
                yield from self._keep_alives()
                self._need = self._measure()
            if not self._need or len(self._buffer) < self._need:
                return
            message = bytes(self._buffer[: self._need])
            del self._buffer[: self._need]
            self._need = self._searched = 0
            yield message

    def _keep_alives(self) -> Iterator[bytes]:
        """Take CRLFs off the front: two together are a ping (RFC 5626 3.5.1), a single one is its answer or nothing."""
        buffer = self._buffer
        while buffer.startswith(PONG):
            del buffer[:2]
            if self._blank:
                yield PING
            self._blank = not self._blank
        if buffer and buffer != b"\r":
            self._blank = False

    def _measure(self) -> int:
        """The length of the message at the front; 0 where its header block is not complete."""
        buffer = self._buffer
        line = buffer.find(b"\r\n", 0, self._header_limit)
        if line >= 0 and b"SIP/" not in buffer[:line].upper():
            raise FramingError(f"expected SIP, got {bytes(buffer[: min(line, 40)])!r}")
        end = buffer.find(_BLANK, max(0, self._searched - 3))
        self._searched = len(buffer)
        if (end if end >= 0 else len(buffer)) > self._header_limit:
            raise FramingError(f"expected at most {self._header_limit} bytes of header")
        if end < 0:
            return 0
        return end + 4 + self._content_length(bytes(buffer[: end + 4]))

    def _content_length(self, head: bytes) -> int:
        """Mandatory on streams (18.3). Where it is malformed the message can still be refused, but its end is lost."""
        lengths = _LENGTH.findall(head)
        if not lengths:
            raise FramingError("expected Content-Length")
        if len(lengths) > 1 or not lengths[0].isdigit():
            raise FramingError(f"expected one Content-Length, got {b', '.join(lengths)[:40]!r}", head)
        if len(lengths[0]) > 9 or (length := int(lengths[0])) > self._body_limit:
            raise FramingError(f"expected at most {self._body_limit} bytes of body")
        return length
