"""What memory processes take, from /proc. Used by the benches to tell what calls cost and whether something grows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r"^(Rss|Pss|Private_Dirty): +(\d+) kB$", re.M)


class Memory(NamedTuple):
    """KB of one process: resident, its share of what is shared (PSS), and what nobody else has.

    PSS changes when other processes that use the same libraries begin and end.
    """

    resident: int
    proportional: int
    own: int


def memory_of(pid: int) -> Memory:
    """The memory of `pid` now."""
    found = dict(_LINE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")))
    return Memory(*(int(found[name]) for name in ("Rss", "Pss", "Private_Dirty")))
