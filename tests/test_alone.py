"""One switch a store: who comes second changes nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest

from softswitch.app import Switch
from softswitch.errors import StoreError
from softswitch.stores.alone import StoreLock
from tests.test_app import Phone, config, run

pytestmark = pytest.mark.real_time


def test_a_second_switch_on_the_same_store_does_not_start_and_closes_nobodys_records(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        with pytest.raises(StoreError, match="another switch works with it"):
            Switch(switch.config)
        assert phone.session is not None
        phone.session.hang_up()
        await switch.registry.wait_empty()
        await switch.cdrs.drain()

    (cdr,) = run(tmp_path, story)
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (0, "caller")


def test_a_switch_migrates_no_store_that_another_works_with(tmp_path: Path) -> None:
    other = StoreLock(str(tmp_path / "switch.db"))
    with pytest.raises(StoreError, match="another switch works with it"):
        Switch(config(tmp_path))
    assert not (tmp_path / "switch.db").exists()
    other.close()


def test_a_switch_that_can_not_open_its_store_lets_go_of_it(tmp_path: Path) -> None:
    (tmp_path / "switch.db").mkdir()
    with pytest.raises(StoreError, match="unable to open database file"):
        Switch(config(tmp_path))
    StoreLock(str(tmp_path / "switch.db")).close()
