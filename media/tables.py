"""Whose each native object is: what controllers name by ids of their own, the core by handles.

Used by media/engine.py and media/playing.py. Tells the core nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from media import protocol


class CommandRefused(Exception):
    """A command names something that does not exist or asks for what can't be."""


class Session(Protocol):
    """Whose an endpoint, playback or recording is."""

    orphaned: bool  # its controller has gone: another may take its endpoints over

    def deliver(self, event: protocol.Event) -> None:
        """Tell the controller."""


@dataclass(slots=True)
class Owned:
    """One native object and the controller's name for it."""

    session: Session
    id: int
    handle: int


Kind = TypeVar("Kind", bound=Owned)


class Table(Generic[Kind]):
    """All native objects of one `kind`, by handle and by their controllers' names."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._by_handle: dict[int, Kind] = {}
        self._by_name: dict[tuple[Session, int], Kind] = {}

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._by_handle.values()))

    def __getitem__(self, handle: int) -> Kind:
        return self._by_handle[handle]

    def find(self, handle: int) -> Kind | None:
        """By its handle; None where it is gone."""
        return self._by_handle.get(handle)

    def add(self, owned: Kind) -> None:
        """From now on it is found."""
        self._by_handle[owned.handle] = owned
        self._by_name[owned.session, owned.id] = owned

    def remove(self, handle: int) -> Kind:
        """It is gone."""
        owned = self._by_handle.pop(handle)
        self._by_name.pop((owned.session, owned.id), None)
        return owned

    def check_new(self, session: Session, name: int) -> None:
        """Raise CommandRefused for a name that is in use."""
        if (session, name) in self._by_name:
            raise CommandRefused(f"{self._kind} {name} is in use")

    def handle(self, session: Session, name: int) -> int:
        """Of what must exist."""
        try:
            return self._by_name[session, name].handle
        except KeyError:
            raise CommandRefused(f"{self._kind} {name} does not exist") from None

    def handle_or_none(self, session: Session, name: int) -> int:
        """Ends cross on the way: what is gone already has handle 0, for which the core does nothing."""
        owned = self._by_name.get((session, name))
        return owned.handle if owned else 0


Key = TypeVar("Key")
Member = TypeVar("Member")


class Groups(Generic[Key, Member]):
    """What belongs to each key, in the order of its coming: found without a look at all the rest."""

    def __init__(self) -> None:
        self._groups: dict[Key, dict[int, Member]] = {}

    def add(self, key: Key, member: Member) -> None:
        """From now on it belongs there."""
        self._groups.setdefault(key, {})[id(member)] = member

    def discard(self, key: Key, member: Member) -> None:
        """It belongs there no more, if it did."""
        group = self._groups.get(key, {})
        if group.pop(id(member), None) is not None and not group:
            del self._groups[key]

    def of(self, key: Key) -> list[Member]:
        """All that belong to `key`."""
        return list(self._groups.get(key, {}).values())

    def pop(self, key: Key) -> list[Member]:
        """The same, and none belongs there any more."""
        return list(self._groups.pop(key, {}).values())
