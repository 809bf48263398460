"""Recordings lie in a folder of their app and in one of their day, whatever an app is called."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from softswitch.recordings import day_begun_at, day_folder, folder_of, recording_path

NOON = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC).timestamp()


def test_a_recording_lies_in_the_folders_of_its_app_and_day() -> None:
    assert recording_path("var/rec", "shop", "5d41", NOON) == "var/rec/shop/20260301/20260301120001_5d41.wav"
    assert recording_path("var/rec", "", "5d41", NOON) == "var/rec/20260301/20260301120001_5d41.wav"


@pytest.mark.parametrize(
    ("app_key", "folder"),
    [
        ("a1d1f50cad21409e", "a1d1f50cad21409e"),
        ("shop-2_b.c", "shop-2_b.c"),
        ("..", "%2E."),
        (".", "%2E"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("/", "%2F"),
        ("a b*?[c]\0\n", "a%20b%2A%3F%5Bc%5D%00%0A"),
        ("%2E", "%252E"),
        ("快递", "%E5%BF%AB%E9%80%92"),
    ],
)
def test_no_app_key_leads_out_of_the_directory_or_to_another_apps_folder(app_key: str, folder: str) -> None:
    assert folder_of(app_key) == folder


def test_folders_of_long_keys_have_names_that_file_systems_take_and_share_with_nobody(tmp_path: Path) -> None:
    keys = ["快" * 128, "快" * 127 + "递", "x" * 128, "/" * 128, "/" * 127 + "\\"]
    for key in keys:
        (tmp_path / folder_of(key)).mkdir()
    assert len(list(tmp_path.iterdir())) == len(keys)


def test_a_day_is_told_by_its_folder() -> None:
    assert (day_folder(NOON), day_folder(NOON, ago=1)) == ("20260301", "20260228")
    assert day_begun_at("20260301") == NOON - 43201
    assert [day_begun_at(name) for name in ("20260230", "2026030", "shop", "２０２６０３０１")] == [None] * 4
