"""How stories of the media tests are told: again where the machine stood still, and nothing of before is in the way."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path

import pytest

from tests.media.phone import Phone
from tests.media.support import STALL_S, anew, run


async def stall() -> None:
    """The machine stands still, and the watch sees it."""
    await asyncio.sleep(0.02)
    time.sleep(5 * STALL_S)  # noqa: ASYNC251 - the whole loop
    await asyncio.sleep(0.02)


def test_what_broke_off_while_the_machine_stood_still_is_told_again_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unseen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unseen.append)
    attempts: list[int] = []

    async def story() -> int:
        phone = Phone.bind()
        attempts.append(phone.port)
        if len(attempts) < 3:
            await stall()
            assert sum(attempts) == phone.port + 1 or len(attempts) > 1  # pytest keeps the locals of what failed
            raise IndexError("whatever kind of error")
        phone.close()
        return len(attempts)

    assert run(story) == 3
    gc.collect()
    assert unseen == []


def test_what_fails_while_the_machine_goes_on_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.media.support.STALL_S", 3600.0)
    attempts: list[int] = []

    async def story() -> None:
        attempts.append(1)
        raise AssertionError("wrong")

    with pytest.raises(AssertionError, match="wrong"):
        run(story)
    assert len(attempts) == 1


def test_each_attempt_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = [anew(tmp_path) for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.parent == tmp_path and not [*folder.iterdir()] for folder in folders)
