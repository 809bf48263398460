"""The tables keep the records of interfaces.py field by field."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import fields
from sqlalchemy import Table

from softswitch.interfaces import App, Binding, CallbackRecord, TemporaryCallee
from softswitch.stores.schema import apps, bindings, callback_records, temporary_callees
from softswitch.stores.sqlite import CALL_PATH_SQL


@pytest.mark.parametrize(
    ("table", "record"),
    [(apps, App), (bindings, Binding), (callback_records, CallbackRecord), (temporary_callees, TemporaryCallee)],
)
def test_a_table_has_the_fields_of_its_record(table: Table, record: type) -> None:
    assert [column.name for column in table.columns if column.name != "seq"] == [field.name for field in fields(record)]


def test_the_call_path_selects_the_fields_of_a_binding_in_their_order() -> None:
    selected = re.match(r"SELECT (.*?) FROM", CALL_PATH_SQL["ax_binding"], re.DOTALL)
    assert selected is not None
    columns = [name.strip().removeprefix("bindings.") for name in selected[1].split(",")]
    assert columns == [field.name for field in fields(Binding)]
