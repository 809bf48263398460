"""Closes the recordings that a crash left open: headers that tell what files hold, and what recovered CDRs say of them.

Call treatment, "Files". Called by `app.py` when the switch starts; never touches a file that somebody still writes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from media.recorder import hash_recording, mend_recording, recorded_so_far
from softswitch.interfaces import RecordingReport
from softswitch.recordings import SUFFIX, day_folder, folder_of

DAY_S = 86400.0
DAYS = 2  # whose folders are looked through: a call that a crash has cut began then

log = structlog.get_logger(__name__)


def _folders(directory: str, app: str, newest: float) -> Iterator[Path]:
    """Of the day of `newest` (UTC epoch seconds) and before: those of an `app` (a pattern) and those of none."""
    for day in (day_folder(newest, ago=ago) for ago in range(DAYS)):
        yield from Path(directory).glob(f"{app}/{day}")
        yield Path(directory) / day


def mend_recordings(directory: str, now: float, left: Callable[[], bool] = lambda: False) -> int:
    """How many recordings of today and yesterday told a length that they have not; now they do. No file is begun any
    more when it is `left`.
    """
    mended = 0
    paths = (path for folder in _folders(directory, "*", now) for path in sorted(folder.glob(f"*{SUFFIX}")))
    for path in itertools.takewhile(lambda path: not left(), paths):
        try:
            remains = mend_recording(str(path))
        except BlockingIOError:
            continue  # a media server of its own goes on with it
        except OSError as error:
            log.error("recording_not_mended", path=str(path), error=str(error))
            continue
        if remains.mended:
            mended += 1
            log.warning("recording_mended", path=str(path), seconds=round(remains.duration_s, 3))
    return mended


def recording_of(directory: str, app_key: str, call_id: str, called_at: float) -> RecordingReport | None:
    """What a crash left of the recording of a call that came at `called_at`; None where there is none. Where
    a media server of its own still writes it: what it holds by now, without a hash. Where the recording went on in
    another file (`…-2.wav`, its name was taken): what is in the newest, which the CDR would have named too.
    """
    app = folder_of(app_key)
    for folder in _folders(directory, app or "*", called_at + DAY_S):  # it may have been answered the next day
        found = [*folder.glob(f"*_{call_id}{SUFFIX}"), *folder.glob(f"*_{call_id}-*{SUFFIX}")]
        if found:
            return _report(str(max(found, key=_number)))
    return None


def _number(path: Path) -> int:
    """2 of `….-2.wav`, 1 of the first."""
    number = path.stem.rpartition("_")[2].rpartition("-")[2]
    return int(number) if "-" in path.stem and number.isdecimal() else 1


def _report(path: str) -> RecordingReport:
    try:
        try:
            remains, sha256 = mend_recording(path), hash_recording(path)
        except BlockingIOError:
            remains, sha256 = recorded_so_far(path), ""
    except OSError as error:
        log.warning("recording_not_closed", path=path, error=str(error))
        return RecordingReport(path, 0.0, 0, "", truncated=True)
    return RecordingReport(path, remains.duration_s, remains.size, sha256, truncated=True)
