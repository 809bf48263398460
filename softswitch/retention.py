"""Deletes recordings whose time is over, and says so in the audit log.

Call treatment, "Files": kept for `recording.keep_days`. Called once an hour by `app.py`; never touches other files.
"""

from __future__ import annotations

from pathlib import Path

import structlog

DAY_S = 86400.0

audit = structlog.get_logger("softswitch.audit")


def sweep(directory: str, keep_days: int, now: float) -> list[str]:
    """Delete `*.wav` under `directory` last written more than `keep_days` ago (0: never); returns their paths."""
    if keep_days <= 0:
        return []
    deleted = []
    for path in sorted(Path(directory).glob("*/*.wav")):
        try:
            if path.stat().st_mtime < now - keep_days * DAY_S:
                path.unlink()
                deleted.append(str(path))
                audit.info("recording_deleted", path=str(path), keep_days=keep_days)
        except OSError as error:
            audit.error("recording_not_deleted", path=str(path), error=str(error))
    return deleted
