"""A message that a program of others has seen, and what is asked of it.

Called by kamailio.py and collector.py, which read them out of Kamailio's log.
"""

from __future__ import annotations

from dataclasses import dataclass

from demo.phone import header_values


@dataclass(frozen=True, slots=True)
class Seen:
    """The whole of it, as it was on the wire."""

    text: str

    @property
    def name(self) -> str:
        """Method of a request, status of a response."""
        first = self.text.split(None, 2)
        return first[1] if first[0] == "SIP/2.0" else first[0]

    @property
    def uri(self) -> str:
        """The Request-URI."""
        return self.text.split(None, 2)[1]

    @property
    def method(self) -> str:
        """The method of its transaction."""
        return self.header("CSeq")[0].split()[1]

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        return self.header("Call-ID")[0]

    @property
    def within_dialog(self) -> bool:
        """Whether it has a To tag, as later requests and most responses do."""
        return ";tag=" in self.header("To")[0]

    def header(self, name: str) -> list[str]:
        """The values of a header, one for each line of it."""
        return header_values(self.text, name)
