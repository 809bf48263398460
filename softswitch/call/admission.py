"""Says yes or no to a new call: draining, calls per second, calls at once; per switch, trunk, app and X.

Call treatment, first row of "The life of an answered call". Called by the story; keeps counts, no clocks of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from types import TracebackType

from msgspec import Struct

from softswitch.errors import FAILURES, CallRejected, Failure

MOST_BUCKETS = 10_000  # of calls per second; sources may be many
DRAINING = Failure(7109, 503, 42, "the switch is draining")


class Limit(Struct, frozen=True):
    """At most `calls` at once and `calls_per_second` new ones; 0 means no limit. `failure` tells who was limited."""

    key: Hashable
    calls: int = 0
    calls_per_second: float = 0.0
    failure: Failure = FAILURES[7109]
    metered: bool = False  # calls that it refuses are counted in `Admission.refused`


class Counted:
    """What one call counts under, for as long as the block lasts."""

    __slots__ = ("_admission", "_keys")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._keys: tuple[Hashable, ...] = ()

    def __enter__(self) -> Counted:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._admission.release(self._keys)

    def arrived(self, limits: Sequence[Limit]) -> None:
        """As `admitted`, for a call that is new here: while draining none is taken, but those that are up go on."""
        self._admission.check_open()
        self.admitted(limits)

    def admitted(self, limits: Sequence[Limit]) -> None:
        """Count this call under every limit; raises CallRejected where one is full."""
        self._keys += self._admission.take(limits)


class Admission:
    """Counts calls against limits. `clock` is monotonic seconds, `retry_after_s` goes into the Retry-After header."""

    def __init__(self, clock: Callable[[], float], retry_after_s: int = 5) -> None:
        self.draining = False
        self._clock = clock
        self._retry_after_s = retry_after_s
        self._active: dict[Hashable, int] = {}  # none is kept at 0
        self.refused: Counter[Hashable] = Counter()  # by the key of metered limits
        self._buckets: dict[Hashable, tuple[float, float]] = {}  # key -> (tokens, at), least recently used first

    def active(self, key: Hashable) -> int:
        """Calls at once under `key`."""
        return self._active.get(key, 0)

    def counted(self) -> Counted:
        """Counts one call under the limits that it comes to, until the block ends."""
        return Counted(self)

    # For `Counted`, and for who counts under what he gives back himself

    def check_open(self) -> None:
        """Raises CallRejected while draining."""
        if self.draining:
            raise CallRejected(DRAINING, retry_after_s=self._retry_after_s)

    def take(self, limits: Sequence[Limit]) -> tuple[Hashable, ...]:
        """Count one more call under each of `limits`, or under none and raise CallRejected; returns their keys."""
        active, keys = self._active, []
        for limit in limits:
            if limit.calls or limit.calls_per_second:
                self._check(limit)
            keys.append(limit.key)
        for key in keys:
            active[key] = active.get(key, 0) + 1
        return tuple(keys)

    def release(self, keys: Iterable[Hashable]) -> None:
        """One call fewer under each of `keys`."""
        active = self._active
        for key in keys:
            left = active.pop(key) - 1
            if left:
                active[key] = left

    def _check(self, limit: Limit) -> None:
        full = limit.calls and self._active.get(limit.key, 0) >= limit.calls
        if full or (limit.calls_per_second and not self._take_token(limit)):
            self.refused.update([limit.key] if limit.metered else [])
            raise CallRejected(limit.failure, retry_after_s=self._retry_after_s)

    def _take_token(self, limit: Limit) -> bool:
        """A token bucket that holds one second's worth of calls (at least one)."""
        now, size = self._clock(), max(1.0, limit.calls_per_second)
        tokens, at = self._buckets.pop(limit.key, (size, now))
        tokens = min(size, tokens + (now - at) * limit.calls_per_second)
        taken = tokens >= 1.0
        self._buckets[limit.key] = (tokens - 1.0 if taken else tokens, now)
        if len(self._buckets) > MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return taken
