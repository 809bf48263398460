"""SIP's base timer values and what it means to be woken by the core.

RFC 3261 17.1.1.1, 17.1.2.2 and table 4. Used by transactions, sessions and the core; no clock is read here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

NEVER = math.inf
NEAR_S = 32  # 64*T1: what is left of a call that is over lives as long


@dataclass(frozen=True, slots=True)
class Timing:
    """Base values of RFC 3261 17.1.1.1 and 17.1.2.2 and of RFC 4028, in seconds, and what follows from them."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    session_expires: int = 1800  # the session interval that we ask for (RFC 4028 4)
    min_se: int = 90  # the smallest that we take (RFC 4028 5)
    timeout: float = field(init=False)  # 64*T1: timers B, F, H, J, L, M, and how long a 2xx waits for its ACK

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout", 64 * self.t1)


class Timed(Protocol):
    """Something the core wakes: `deadline` is when, `armed` is the core's own note of when it will look."""

    deadline: float
    armed: float

    def wake(self, now: float) -> None:
        """The deadline has come: act, and set the next one."""


def near(deadline: float, now: float) -> float:
    """When to look at what is due at `deadline`, perhaps a quarter of an hour ahead: `NEAR_S` from `now` at most.

    The core's note of it stays until then, whether or not its call is over. Whole seconds: many are looked at together.
    """
    return min(deadline, math.floor(now) + NEAR_S)
