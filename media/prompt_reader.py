"""Prompts read for the engine by threads of their own (media/disk.py): a directory that hangs holds up nobody.

Called by media/playing.py on the event loop's thread. What was looked at a moment ago is there at once; of a disk that
stands still what was read before is played as it was, and what was not is told after a moment's patience.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from media.disk import Disk
from media.prompts import PromptAudio, PromptCache, PromptError
from media.tones import SCHEME

FRESH_S = 0.1  # a file is not looked at again within this time
PATIENCE_S = 0.5  # what a look may take, or for a file never read yet the next look that its directory brings

Told = Callable[[Sequence[bytes] | PromptError], None]


@dataclass(slots=True)
class _Look:
    """A file that is looked at, and who waits for that."""

    waiting: list[Callable[[], None]] = field(default_factory=list)
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What the last look brought, and until when it holds (by the loop's clock)."""

    outcome: PromptAudio | PromptError
    until: float


class PromptReader:
    """Reads prompts, each file by one thread at a time."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._cache = PromptCache()
        self._found: dict[str, _Found] = {}
        self._looks: dict[str, _Look] = {}
        self._brought: Counter[str] = Counter()  # looks that came to an end, by directory

    def read(self, paths: Sequence[str], told: Told) -> None:
        """`told` gets the samples of all `paths`, or the first PromptError: at once or later. Needs a running loop."""
        missing = {path for path in paths if not self._is_fresh(path)}
        if not missing:
            told(self._samples(paths))
            return

        def looked(path: str) -> None:
            missing.discard(path)
            if not missing:
                told(self._samples(paths))

        for path in sorted(missing):
            self._look(path, partial(looked, path))

    def _is_fresh(self, path: str) -> bool:
        found = self._found.get(path)
        return found is not None and asyncio.get_running_loop().time() < found.until

    def _samples(self, paths: Sequence[str]) -> Sequence[bytes] | PromptError:
        samples = []
        for path in paths:
            found = self._found.get(path)
            outcome = found.outcome if found else PromptError(f"{path}: the disk stands still")
            if isinstance(outcome, PromptError):
                return outcome
            samples.append(outcome.samples)
        return samples

    def _look(self, path: str, looked: Callable[[], None]) -> None:
        look = self._looks.get(path)
        if look is not None:
            if look.overdue:
                looked()
            else:
                look.waiting.append(looked)
            return
        look = self._looks[path] = _Look([looked])
        if path.startswith(SCHEME):  # is made, not read
            self._seen(path, look, _outcome(self._cache, path))
            return
        work = partial(_outcome, self._cache, path)
        self._disk.ask(f"prompts {os.path.dirname(path)}", work, partial(self._seen, path, look))
        if path in self._looks:
            self._wait(path, look)

    def _wait(self, path: str, look: _Look) -> None:
        before = self._brought[os.path.dirname(path)]
        asyncio.get_running_loop().call_later(PATIENCE_S, self._lose_patience, path, look, before)

    def _lose_patience(self, path: str, look: _Look, before: int) -> None:
        """But for a file that nothing is known of, while those in front of it are read."""
        if path not in self._found and look.waiting and self._brought[os.path.dirname(path)] != before:
            self._wait(path, look)
        else:
            self._tell(look, True)

    def _seen(self, path: str, look: _Look, outcome: PromptAudio | Exception) -> None:
        del self._looks[path]
        self._brought[os.path.dirname(path)] += 1
        if not isinstance(outcome, PromptAudio | PromptError):  # no thread to be had, no possible path
            outcome = PromptError(f"{path}: {outcome}")
        self._found[path] = _Found(outcome, asyncio.get_running_loop().time() + FRESH_S)
        self._tell(look)

    @staticmethod
    def _tell(look: _Look, overdue: bool = False) -> None:
        look.overdue = overdue
        waiting, look.waiting = look.waiting, []
        for looked in waiting:
            looked()


def _outcome(cache: PromptCache, path: str) -> PromptAudio | PromptError:
    try:
        return cache.load(path)
    except PromptError as error:
        return error
