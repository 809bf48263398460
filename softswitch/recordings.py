"""Where the recordings of calls lie: a folder an app, in it a folder a day, so that each file's path tells its app.

Call treatment, "Files". The call layer names files by it, `retention.py` and `repair.py` look for them by it. It opens
nothing and asks nobody: names alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

LONGEST_NAME = 200  # bytes; file systems have 255
SUFFIX = ".wav"
_DAY = re.compile(r"\d{8}", re.ASCII)


def recording_path(directory: str, app_key: str, call_id: str, begun_at: float) -> str:
    """`<directory>/<app>/<day>/<start UTC>_<call id>.wav`; without a folder of an app where there is none."""
    start = datetime.fromtimestamp(begun_at, UTC)
    name = f"{start:%Y%m%d%H%M%S}_{call_id}{SUFFIX}"
    return str(Path(directory) / folder_of(app_key) / f"{start:%Y%m%d}" / name)


@lru_cache(1024)
def folder_of(app_key: str) -> str:
    """The name of an app's folder: its key, but for what file names can't have or begin with; empty for no app."""
    name = quote(app_key, safe="", errors="replace")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > LONGEST_NAME:
        return f"{name[: LONGEST_NAME // 2]}~{sha256(app_key.encode(errors='replace')).hexdigest()}"
    return name


def day_folder(moment: float, *, ago: int = 0) -> str:
    """The name of the folder of the day of `moment` (UTC epoch seconds), or of one so many days before."""
    return f"{datetime.fromtimestamp(moment, UTC) - timedelta(days=ago):%Y%m%d}"


def is_recording_of(day: str) -> Callable[[str], bool]:
    """Whether a file name is one that `recording_path` gives a call that began in the folder's `day`."""
    ours = re.compile(rf"{re.escape(day)}\d{{6}}_.+{re.escape(SUFFIX)}", re.ASCII | re.DOTALL).fullmatch
    return lambda name: ours(name) is not None


def day_begun_at(folder: str) -> float | None:
    """When the day of a folder began (UTC epoch seconds), None where its name is none of a day."""
    if not _DAY.fullmatch(folder):
        return None
    try:
        return datetime.strptime(folder, "%Y%m%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
