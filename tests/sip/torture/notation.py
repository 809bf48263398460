"""The notation in which RFC 4475 and RFC 5118 print their messages (section 2 of each), expanded to bytes.

Used by the message modules of this package. A message is written as in the RFC, one line of text a line of the
message; `<allOneLine>`, `<hex>` and `<repeat count=N>` mean what the RFC says of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_HEX = re.compile(rb"<hex>([0-9A-F]+)</hex>")
_REPEAT = re.compile(r"<repeat count=([0-9]+)>(.*?)</repeat>")
_ONE_LINE = re.compile(r"<allOneLine>\n(.*?)\n</allOneLine>", re.DOTALL)


class Treatment(Enum):
    """What becomes of a message that is not simply answered."""

    CALL = "an INVITE that is handed to the call layer"
    IGNORED = "well formed, and not meant for anything of ours: no answer, not counted as malformed"
    DROPPED = "malformed and not answered"


@dataclass(frozen=True)
class Torture:
    """One message of the RFCs: `treatment` is the status we answer it with, or what else becomes of it."""

    name: str  # the name the RFC gives its file
    section: str
    treatment: int | Treatment
    says: str  # what the RFC asks of who receives it
    data: bytes

    @property
    def answered(self) -> bool:
        """Whether the core answers it by itself."""
        return isinstance(self.treatment, int)


def wire(text: str) -> bytes:
    """The bytes of a message in the RFCs' notation: CRLF behind each line; the text may open with a newline."""
    text = _ONE_LINE.sub(lambda match: match.group(1).replace("\n", ""), text.removeprefix("\n"))
    text = _REPEAT.sub(lambda match: match.group(2) * int(match.group(1)), text)
    data = text.replace("\n", "\r\n").encode("ascii")
    return _HEX.sub(lambda match: bytes.fromhex(match.group(1).decode()), data)
