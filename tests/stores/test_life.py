"""A sign of life outlives the switch, tells no other clock's time, and stops nobody where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from softswitch.stores.life import SignsOfLife

NOW = 1_700_000_000.0


def test_the_last_sign_of_the_run_before_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "s.db")
    first = SignsOfLife(path)
    assert first.last_sign(NOW) == 0.0
    for second in range(3):
        first.note(NOW + second, 50.0 + second)
    assert first.last_sign(NOW) == 0.0  # its own are not asked for
    second_run = SignsOfLife(path)
    assert second_run.last_sign(NOW) == NOW + 2
    second_run.note(NOW + 9, 1.0)
    assert second_run.last_sign(NOW) == NOW + 2


def test_a_call_that_an_earlier_crash_has_cut_was_not_up_in_a_later_run(tmp_path: Path) -> None:
    """That one crashed too, before the call's record was closed."""
    path = str(tmp_path / "s.db")
    SignsOfLife(path).note(NOW, 50.0)
    SignsOfLife(path).note(NOW + 3600, 1.0)
    third = SignsOfLife(path)
    assert (third.last_sign(NOW), third.last_sign(NOW + 3600)) == (0.0, NOW + 3600)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_call_that_is_older_than_a_step_of_the_clock_has_no_sign_by_its_own_clock(
    tmp_path: Path, step: float
) -> None:
    """An hour that nobody talked would be billed else."""
    signs = SignsOfLife(str(tmp_path / "s.db"))
    signs.note(NOW, 50.0)
    signs.note(NOW + 1.2, 51.0)  # slewed, or held up
    signs.note(NOW + 2 + step, 52.0)
    signs.note(NOW + 3 + step, 53.0)
    after = SignsOfLife(str(tmp_path / "s.db"))
    assert after.last_sign(NOW + 2 + step) == NOW + 3 + step  # begun by the new clock
    assert after.last_sign(min(NOW, NOW + step)) == 0.0


def test_the_clock_may_drift_as_far_as_it_will(tmp_path: Path) -> None:
    signs = SignsOfLife(str(tmp_path / "s.db"))
    for second in range(100):
        signs.note(NOW + 1.1 * second, 50.0 + second)
    assert SignsOfLife(str(tmp_path / "s.db")).last_sign(NOW) == NOW + 108.9


@pytest.mark.parametrize("left", ["", "0", "17 soon", "\xff\xff", "1 2 3"])
def test_half_a_sign_is_none(tmp_path: Path, left: str) -> None:
    (tmp_path / "s.db.alive").write_text(left, encoding="latin-1")
    assert SignsOfLife(str(tmp_path / "s.db")).last_sign(NOW) == 0.0


def test_a_disk_that_takes_none_stops_nobody(tmp_path: Path) -> None:
    signs = SignsOfLife(str(tmp_path / "gone" / "s.db"))
    signs.note(NOW, 1.0)
    assert not (tmp_path / "gone").exists()
