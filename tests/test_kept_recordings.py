"""A running switch keeps recordings as the dialplan in use says of their apps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from softswitch.app import Switch
from softswitch.errors import StoreError
from softswitch.retention import Retention
from tests.test_app import TRUNK, Phone, run


def keep(folder: Path, app: str, days: int) -> None:
    plan = folder / "dialplans" / "90-apps.toml"
    plan.parent.mkdir(exist_ok=True)
    plan.write_text(f'[[app]]\nname = "{app}"\nrecording_keep_days = {days}\n')


def test_days_that_an_app_has_of_its_own_count_from_the_reload_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    swept: asyncio.Queue[tuple[str, Retention]] = asyncio.Queue()

    def sweep(directory: str, retention: Retention, now: float, left: object) -> int:
        if loops:
            loops[0].call_soon_threadsafe(swept.put_nowait, (directory, retention))
        return 0

    async def story(switch: Switch, phone: Phone) -> None:
        loops.append(asyncio.get_running_loop())
        assert await swept.get() == (str(tmp_path / "recordings"), Retention(7, {"app": 183}, ["app"]))
        keep(tmp_path, "app", 10)
        await switch.reload()
        while (await swept.get())[1] != Retention(7, {"app": 10}, ["app"]):
            """One was under way."""

    monkeypatch.setattr("softswitch.app.SWEEP_EVERY_S", 0.01)
    monkeypatch.setattr("softswitch.app.sweep", sweep)
    keep(tmp_path, "app", 183)
    run(tmp_path, story, plan=TRUNK)


def test_an_app_of_the_dialplan_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        with capture_logs() as lines:
            assert switch._retention() == Retention(7, {"bank": 183}, ["app"])
        assert lines == [{"event": "apps_not_there", "apps": ["bank"], "log_level": "warning"}]

    keep(tmp_path, "bank", 183)
    run(tmp_path, story, plan=TRUNK)


def test_a_store_that_cannot_be_asked_leaves_no_app_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is deleted before it is certain that it may be."""

    def fails(path: str) -> list[str]:
        raise StoreError(f"{path}: disk I/O error")

    async def story(switch: Switch, phone: Phone) -> None:
        with capture_logs() as lines:
            assert switch._retention() == Retention(7, {}, [])
        assert [line["event"] for line in lines] == ["apps_not_read"]

    monkeypatch.setattr("softswitch.app.app_keys", fails)
    run(tmp_path, story)
