"""Rows become the records that they were made of; what can't be read is told in words."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from softswitch.interfaces import App, Binding, Mode, PrivateNumber
from softswitch.stores.provisioning import open_provisioning, sqlite_engine
from softswitch.stores.rows import (
    alive,
    all_equal,
    binding_of,
    bindings_query,
    cdr_or_words,
    insert_binding,
    private_number,
    remove,
)
from softswitch.stores.schema import binding_parties, bindings
from tests.stores.contract import NOW, A, B, C, X


def test_bindings_come_back_as_they_were_until_they_are_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "s.db")
    open_provisioning(path).close()
    engine = sqlite_engine(path)
    kept = Binding("1", "shop", Mode.AXB, X, A, B, created_at=NOW, user_data="u")
    gone = Binding("2", "cars", Mode.AX, X, C, created_at=NOW, expires_at=NOW + 9)
    with engine.begin() as connection:
        for binding in (kept, gone):
            insert_binding(connection, binding)
        rows = connection.execute(bindings_query()).all()
        assert [binding_of(row) for row in rows] == [kept, gone]
        assert [row.id for row in connection.execute(bindings_query().where(alive(NOW + 9)))] == ["1"]
        assert connection.execute(bindings_query().where(all_equal((bindings.c.a, C), (bindings.c.b, None)))).one()
        remove(connection, rows)
        assert connection.execute(bindings_query()).all() == []
        assert connection.execute(select(binding_parties)).all() == []
    engine.dispose()


def test_an_x_comes_back_with_its_app(tmp_path: Path) -> None:
    path = str(tmp_path / "s.db")
    provisioning = open_provisioning(path)
    provisioning.add_number(X, App("shop", Mode.AXE, extension_digits=3), area_code="0755")
    provisioning.close()
    engine = sqlite_engine(path)
    with engine.connect() as connection:
        assert private_number(connection, X) == PrivateNumber(X, App("shop", Mode.AXE, 3), "0755")
        assert private_number(connection, A) is None
    engine.dispose()


def test_a_record_that_is_none_is_told_in_words() -> None:
    assert cdr_or_words("one", b"{}") == (
        "call one: a stored CDR can't be read: Object missing required field `call_id`"
    )
