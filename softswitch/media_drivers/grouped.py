"""Objects by their number, of which those of one group are found without a look at all others.

Used by server.py for endpoints (by call), playbacks and recordings (by endpoint): thousands live when a media server
crashes, and what happens to each may not cost a walk over all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, MutableMapping
from typing import TypeVar

Item = TypeVar("Item")


class Grouped(MutableMapping[int, Item]):
    """A dictionary by number; `groups` tells the groups of an item, which must stay the same while it is in here."""

    def __init__(self, groups: Callable[[Item], Iterable[Hashable]]) -> None:
        self._groups = groups
        self._items: dict[int, Item] = {}
        self._members: dict[Hashable, dict[int, Item]] = {}

    def of(self, group: Hashable) -> list[Item]:
        """The items of `group`, oldest first; a copy."""
        return list(self._members.get(group, {}).values())

    def __getitem__(self, number: int) -> Item:
        return self._items[number]

    def __setitem__(self, number: int, item: Item) -> None:
        if number in self._items:
            del self[number]
        self._items[number] = item
        for group in self._groups(item):
            self._members.setdefault(group, {})[number] = item

    def __delitem__(self, number: int) -> None:
        item = self._items.pop(number)
        for group in set(self._groups(item)):
            members = self._members[group]
            del members[number]
            if not members:
                del self._members[group]

    def __iter__(self) -> Iterator[int]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
