"""A task that dies of a bug is told, and the health page says so; one that ends or is cancelled is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from softswitch.app import Switch
from softswitch.background import Background
from tests.support.virtual_time import run
from tests.test_app import Phone, ask
from tests.test_app import run as run_switch


async def bug() -> None:
    raise KeyError("who")


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_a_task_that_dies_is_told_with_its_name_and_why() -> None:
    async def story() -> None:
        background = Background()
        with capture_logs() as logs:
            task = background.spawn("sweep", bug())
            await asyncio.wait([task])
            await asyncio.sleep(0)
        assert [(line["event"], line["task"], line["log_level"]) for line in logs] == [
            ("task_died", "sweep", "critical")
        ]
        assert isinstance(logs[0]["exc_info"], KeyError)
        assert not background.whole

    run(story())


def test_a_task_that_ends_or_is_stopped_is_no_trouble() -> None:
    async def story() -> None:
        background = Background()
        with capture_logs() as logs:
            background.spawn("drain", asyncio.sleep(1))
            stopped = background.spawn("cdrs", for_ever())
            await asyncio.sleep(2)
            await background.stop()
            await background.stop()
        assert stopped.cancelled()
        assert (logs, background.whole) == ([], True)

    run(story())


@pytest.mark.real_time
def test_a_whole_switch_without_one_of_its_tasks_says_that_it_is_not_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        answer = await ask(switch, "/health/ready")
        assert (answer.status_code, answer.json()["checks"]["tasks"]) == (503, False)

    monkeypatch.setattr(Switch, "_live", lambda switch: bug())
    with capture_logs() as logs:
        run_switch(tmp_path, story)
    assert [line["task"] for line in logs if line["event"] == "task_died"] == ["signs of life"]
