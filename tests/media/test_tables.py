"""What controllers name and what the core names, in one table."""

from __future__ import annotations

import pytest

from media.tables import CommandRefused, Groups, Owned, Table
from tests.media.scripted_core import Listener


def test_each_controller_has_names_of_its_own() -> None:
    table: Table[Owned] = Table("thing")
    one, other = Listener(), Listener()
    table.add(Owned(one, 1, 101))
    table.add(Owned(other, 1, 102))
    assert (table.handle(one, 1), table.handle(other, 1)) == (101, 102)
    assert [owned.handle for owned in table] == [101, 102]


def test_a_name_is_free_again_when_what_it_named_is_gone() -> None:
    table: Table[Owned] = Table("thing")
    session = Listener()
    table.add(Owned(session, 1, 101))
    with pytest.raises(CommandRefused, match="thing 1 is in use"):
        table.check_new(session, 1)
    assert table.remove(101).id == 1
    table.check_new(session, 1)
    assert table.handle_or_none(session, 1) == 0
    assert table.find(101) is None
    with pytest.raises(CommandRefused, match="thing 1 does not exist"):
        table.handle(session, 1)


def test_what_belongs_to_a_key_is_there_in_the_order_of_its_coming_until_it_goes() -> None:
    groups: Groups[str, Owned] = Groups()
    one, other, third = (Owned(Listener(), 1, handle) for handle in (101, 102, 103))
    for key, owned in (("a", one), ("b", third), ("a", other), ("a", one)):
        groups.add(key, owned)
    assert groups.of("a") == [one, other]
    groups.discard("a", third)
    groups.discard("c", one)
    groups.discard("a", one)
    assert groups.of("a") == [other]
    groups.discard("a", other)
    assert (groups.of("a"), groups.pop("a"), groups.pop("b"), groups.of("b")) == ([], [], [third], [])
