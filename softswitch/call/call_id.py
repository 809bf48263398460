"""The name of a call in logs, CDRs, recordings and `/calls`: 24 hexadecimal digits that nobody can guess.

Called by b2bua.py for each call, with the time. Later calls have names that sort behind: in the store,
where it is the key, records of one time lie beside each other, in pages that are in memory. The Call-IDs of SIP are
others.
"""

from __future__ import annotations

import secrets

_TIME_DIGITS, _CHANCE_DIGITS = 13, 11  # microseconds until the year 2112, and 44 bits


def new_call_id(now: float) -> str:
    """A new name at `now` (epoch seconds)."""
    return f"{int(now * 1_000_000):0{_TIME_DIGITS}x}{secrets.token_hex(_CHANCE_DIGITS // 2 + 1)[:_CHANCE_DIGITS]}"
