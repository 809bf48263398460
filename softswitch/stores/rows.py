"""Rows of the tables made into records, and the statements that several changes are made of: SQLAlchemy Core.

Called by provisioning.py, which opens the transactions and knows the rules; checks none itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, insert, or_, select

from softswitch.errors import StoreError
from softswitch.interfaces import App, Binding, Cdr, Mode, PrivateNumber
from softswitch.stores.schema import apps, binding_parties, bindings, numbers, temporary_callees
from softswitch.stores.sqlite import decode_cdr

_DELETE_AT_ONCE = 1000


def insert_binding(connection: Connection, binding: Binding) -> None:
    """Write one binding as it is, no rule checked but the unique indexes (also for tests and benches)."""
    inserted = connection.execute(insert(bindings).values(structs.asdict(binding))).inserted_primary_key
    assert inserted is not None
    for party in (binding.a, binding.b) if binding.mode is Mode.AXB else ():
        connection.execute(insert(binding_parties).values(x=binding.x, party=party, seq=inserted.seq))


def private_number(connection: Connection, x: str) -> PrivateNumber | None:
    """X in the pool."""
    row = connection.execute(numbers_query().where(numbers.c.x == x)).one_or_none()
    return None if row is None else number_of(row)


def numbers_query() -> Select[Any]:
    """The pool, each X with its app."""
    return select(numbers.c.x, numbers.c.area_code, numbers.c.city, apps).join(apps, apps.c.key == numbers.c.app_key)


def cdr_or_words(call_id: str, record: bytes) -> Cdr | str:
    """The CDR in a row, or in words why there is none."""
    try:
        return decode_cdr(record)
    except StoreError as error:
        return f"call {call_id}: {error}"


def bindings_query() -> Select[Any]:
    """All bindings."""
    return select(bindings)


def all_equal(*pairs: tuple[ColumnElement[Any], object]) -> ColumnElement[bool]:
    """Every column equals its value; pairs without a value ask nothing."""
    return and_(True, *(column == value for column, value in pairs if value is not None))


def alive(now: float) -> ColumnElement[bool]:
    """Bindings that have not expired."""
    return or_(bindings.c.expires_at.is_(None), bindings.c.expires_at > now)


def remove(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Delete these bindings, in bulk: an X may carry 5000 pairs, and calls wait for the write lock."""
    for start in range(0, len(rows), _DELETE_AT_ONCE):
        ids = [row.id for row in rows[start : start + _DELETE_AT_ONCE]]
        seqs = [row.seq for row in rows[start : start + _DELETE_AT_ONCE]]
        connection.execute(delete(temporary_callees).where(temporary_callees.c.binding_id.in_(ids)))
        connection.execute(delete(binding_parties).where(binding_parties.c.seq.in_(seqs)))
        connection.execute(delete(bindings).where(bindings.c.seq.in_(seqs)))


def number_of(row: Row[Any]) -> PrivateNumber:
    """The record of a row of `numbers_query`."""
    return PrivateNumber(
        row.x, App(row.key, Mode(row.mode), row.extension_digits, row.recording), row.area_code, row.city
    )


def binding_of(row: Row[Any]) -> Binding:
    """The record of a row of `bindings_query`."""
    values = dict(row._mapping)
    del values["seq"]
    return Binding(**(values | {"mode": Mode(row.mode)}))
