"""What a message gives away. Called by the tests that read what really went over the wire."""

from __future__ import annotations


def shows(number: str, text: str) -> bool:
    """Whether the national digits of `number` stand in a line of `text`, with whatever between them."""
    digits = number.removeprefix("+86")
    return any(digits in "".join(filter(str.isdigit, line)) for line in text.splitlines())
