"""Moments as text: UTC, for logs and records. Called many times a call, so a second is put into words once.

Called by `logs` and the CDR sinks. It reads no clock.
"""

from __future__ import annotations

import time
from functools import lru_cache


def to_second(moment: float) -> str:
    """`yyyy-MM-ddTHH:mm:ss` of UTC epoch seconds; what is left of the second is cut off."""
    return _second(int(moment // 1))


def to_millisecond(moment: float) -> str:
    """`yyyy-MM-ddTHH:mm:ss.mmmZ` of UTC epoch seconds, rounded."""
    second, rest = divmod(int(moment * 1000 + 0.5), 1000)
    return f"{_second(second)}.{rest:03d}Z"


def to_microsecond(moment: float) -> str:
    """`yyyy-MM-ddTHH:mm:ss.mmmmmmZ` of UTC epoch seconds, rounded."""
    second, rest = divmod(int(moment * 1_000_000 + 0.5), 1_000_000)
    return f"{_second(second)}.{rest:06d}Z"


@lru_cache(64)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
