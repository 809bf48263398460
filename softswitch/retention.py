"""Deletes recordings whose time is over, and says so in the audit log.

Call treatment, "Files": kept for `recording.keep_days`, or as the dialplan says of their app. Called once an hour by
`app.py`, in a thread. It tells a recording's app by its folder alone (`recordings.py`), looks into no folder in which
nothing can be due yet, and never touches what a switch with these apps can't have written: files of other names,
folders of other apps.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import structlog

from softswitch.recordings import day_begun_at, folder_of, is_recording_of

DAY_S = 86400.0

audit = structlog.get_logger("softswitch.audit")


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days recordings are kept, 0 for ever: those of the apps in `of_apps`, and those of any other in `apps`.

    Files from before apps had folders are kept as long as what is kept the longest. Those of an app that is not named
    here are left alone: they are another switch's, or were put aside by somebody.
    """

    keep_days: int
    of_apps: Mapping[str, int]
    apps: Collection[str]

    def days(self) -> dict[str, int]:
        """The days of each app's folder."""
        known = dict.fromkeys(self.apps, self.keep_days) | dict(self.of_apps)
        return {folder_of(app): days for app, days in known.items()}

    def longest(self) -> int:
        """The days of what is of none."""
        return max([self.keep_days, *self.of_apps.values()], key=lambda days: days or math.inf)


def sweep(directory: str, retention: Retention, now: float, left: Callable[[], bool] = lambda: False) -> int:
    """Delete what was written last longer ago than it is kept; returns how many recordings that were.

    No file is begun any more when it is `left`.
    """
    days, longest = retention.days(), retention.longest()
    deleted = 0
    for folder in _folders(directory):
        if day_begun_at(folder.name) is not None:  # of no app
            deleted += _sweep_day(folder, longest, now, left)
        if folder.name in days:
            deleted += sum(_sweep_day(day, days[folder.name], now, left) for day in _folders(folder.path))
        elif any(_may_be_due(day.name, longest, now) for day in _folders(folder.path)):
            audit.info("recordings_left_alone", path=folder.path)
    return deleted


def _may_be_due(day: str, keep_days: int, now: float) -> bool:
    """Whether the folder of a day may have files that are due: those that began with the day are."""
    begun_at = day_begun_at(day)
    return bool(keep_days) and begun_at is not None and begun_at < now - keep_days * DAY_S


def _sweep_day(folder: os.DirEntry[str], keep_days: int, now: float, left: Callable[[], bool]) -> int:
    """A folder is opened only where something may be due; millions of others cost nothing."""
    if not _may_be_due(folder.name, keep_days, now):
        return 0
    due, ours = now - keep_days * DAY_S, is_recording_of(folder.name)
    files = itertools.takewhile(lambda file: not left(), _entries(folder.path))
    deleted = sum(_delete(file, keep_days) for file in files if ours(file.name) and _is_due(file, due))
    _remove_empty(folder.path)
    return deleted


def _is_due(file: os.DirEntry[str], due: float) -> bool:
    try:
        return file.is_file() and file.stat().st_mtime < due
    except OSError as error:
        audit.error("recording_not_deleted", path=file.path, error=str(error))
        return False


def _delete(file: os.DirEntry[str], keep_days: int) -> bool:
    try:
        os.unlink(file.path)
    except OSError as error:
        audit.error("recording_not_deleted", path=file.path, error=str(error))
        return False
    audit.info("recording_deleted", path=file.path, keep_days=keep_days)
    return True


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # something is left in it
        os.rmdir(folder)


def _folders(path: str) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in _entries(path) if os.path.isdir(entry.path))  # false too of a link to itself


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except FileNotFoundError:
        return  # nothing was recorded yet
    except OSError as error:
        audit.error("recordings_not_swept", path=path, error=str(error))
