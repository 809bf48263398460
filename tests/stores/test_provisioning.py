"""Provisioning: uniqueness and result codes of the provisioning interface sections 2 to 4 and 8.5."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import event

from softswitch.errors import BindingConflict, StoreError
from softswitch.interfaces import App, Cdr, Mode, PrivateNumber
from softswitch.stores.provisioning import (
    Provisioning,
    open_provisioning,
    sqlite_engine,
)
from softswitch.stores.rows import insert_binding
from softswitch.stores.rules import BindingOptions
from softswitch.stores.sqlite import open_sqlite
from tests.stores.contract import NOW, A, B, C, run

AXB_APP = App("shop", Mode.AXB)
AX_APP = App("cars", Mode.AX, recording=False)
AXE_APP = App("parcels", Mode.AXE, extension_digits=1)
XB, XB2 = "+8617000000011", "+8617000000012"
XS = [f"+861700000002{digit}" for digit in range(7)]
XE = "+8617000000031"
FOREIGN_X = "+8617099999999"
D = "+8613800000004"


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Provisioning]:
    path = tmp_path / "switch.db"
    open_provisioning(str(path)).close()
    store = Provisioning(sqlite_engine(str(path)), clock=clock, rng=random.Random(1))
    for x in (XB, XB2):
        store.add_number(x, AXB_APP, area_code="0755", city="深圳")
    for x in XS:
        store.add_number(x, AX_APP)
    store.add_number(XE, AXE_APP)
    yield store
    store.close()


def refused(code: str, action: Callable[[], object]) -> str:
    """The words of the BindingConflict with `code` that `action` must raise."""
    with pytest.raises(BindingConflict) as caught:
        action()
    assert caught.value.resultcode == code
    return str(caught.value)


# The pool


def test_a_privacy_number_is_nobodys_real_number(store: Provisioning) -> None:
    """What calls it would come back to us, and leave again, for ever."""
    words = f"Invalid request. {XB2} is a privacy number of the pool, not a real number"
    assert refused("1010002", lambda: store.bind_axb(XB, XB2, B)) == words
    assert refused("1010002", lambda: store.bind_axb(XB, A, XB2)) == words
    assert refused("1010002", lambda: store.bind_axb(XB, XB2, XB2.replace("+86", "+87"))) == words
    assert refused("1010002", lambda: store.bind_ax(XS[0], XB2)) == words
    assert refused("1010002", lambda: store.bind_axe(XE, XB2)) == words
    assert refused("1010002", lambda: store.bind_axe(XE, A, None, BindingOptions(callback_number=XB2))) == words
    store.bind_ax(XS[0], A)
    assert refused("1010002", lambda: store.set_callee(XB2, x=XS[0])) == words


def test_somebodys_real_number_becomes_no_privacy_number_until_it_is_unbound(store: Provisioning, clock: Clock) -> None:
    first = store.bind_axb(XB, A, B)
    second = store.bind_ax(XS[0], A)
    assert refused("1012010", lambda: store.add_number(A, AXB_APP)) == (
        f"{A} is A or B of binding {first.id}, {second.id}: unbind that first"
    )
    refused("1012010", lambda: store.add_number(B, AXB_APP))
    store.unbind(binding_id=first.id)
    store.add_number(B, AXB_APP)
    store.bind_axb(XB2, D, C, BindingOptions(duration_s=60))
    clock.now += 60
    store.add_number(D, AXB_APP)
    store.add_number(D, AXB_APP, city="深圳")


def test_numbers_are_listed_by_app_and_page(store: Provisioning) -> None:
    assert store.list_numbers(app_key="shop").items == [
        PrivateNumber(XB, AXB_APP, "0755", "深圳"),
        PrivateNumber(XB2, AXB_APP, "0755", "深圳"),
    ]
    second = store.list_numbers(page=2, page_size=4)
    assert (len(second.items), second.total) == (4, 10)
    assert store.list_numbers(app_key="nobody") == ([], 0)


def test_adding_a_number_again_updates_its_city_and_its_app(store: Provisioning) -> None:
    store.add_number(XB, structs.replace(AXB_APP, recording=False), area_code="010", city="北京")
    assert store.list_numbers(app_key="shop").items[0] == PrivateNumber(
        XB, structs.replace(AXB_APP, recording=False), "010", "北京"
    )


def test_a_number_belongs_to_one_app(store: Provisioning) -> None:
    assert "belongs to app shop" in refused("1012010", lambda: store.add_number(XB, App("other", Mode.AXB)))


def test_the_mode_of_an_app_never_changes(store: Provisioning) -> None:
    refused("1010040", lambda: store.add_number(FOREIGN_X, App("shop", Mode.AX)))
    refused("1010040", lambda: store.add_number(FOREIGN_X, App("parcels", Mode.AXE, extension_digits=2)))


@pytest.mark.parametrize("x", ["17000000001", "+", "+861700000000a", "", "+0755"])
def test_a_number_must_be_e164(store: Provisioning, x: str) -> None:
    refused("1010002", lambda: store.add_number(x, AXB_APP))


@pytest.mark.parametrize("app", [App("", Mode.AXB), App("k", Mode.AXE, 0), App("k", Mode.AXE, 5)])
def test_an_app_has_a_key_and_one_to_four_digits(store: Provisioning, app: App) -> None:
    refused("1010002", lambda: store.add_number(FOREIGN_X, app))


# AXB, 2.1


def test_an_axb_binding_carries_its_options(store: Provisioning) -> None:
    options = BindingOptions(duration_s=60, call_direction=1, record=True, announcement="shop.wav", user_data="order")
    binding = store.bind_axb(XB, A, B, options)
    assert (binding.app_key, binding.mode, binding.x, binding.a, binding.b) == ("shop", Mode.AXB, XB, A, B)
    assert (binding.created_at, binding.expires_at) == (NOW, NOW + 60)
    assert (binding.call_direction, binding.record, binding.announcement) == (1, True, "shop.wav")
    assert store.bindings(binding_id=binding.id) == ([binding], 1)


def test_an_x_holds_many_pairs_but_no_number_twice(store: Provisioning) -> None:
    store.bind_axb(XB, A, B)
    store.bind_axb(XB, C, D)
    store.bind_axb(XB2, A, B)
    for a, b in ((A, "+8613800000009"), ("+8613800000009", A), (B, "+8613800000009"), ("+8613800000009", D)):
        refused("1012010", lambda a=a, b=b: store.bind_axb(XB, a, b))  # type: ignore[misc]
    assert store.bindings(x=XB).total == 2


def test_a_and_b_are_two_numbers(store: Provisioning) -> None:
    refused("1012010", lambda: store.bind_axb(XB, A, A))


def test_an_expired_binding_does_not_block_and_is_removed(store: Provisioning, clock: Clock) -> None:
    store.bind_axb(XB, A, B, BindingOptions(duration_s=60))
    store.bind_axb(XB, C, D, BindingOptions(duration_s=60))
    clock.now += 59
    refused("1012010", lambda: store.bind_axb(XB, B, C))
    clock.now += 1
    binding = store.bind_axb(XB, B, C)
    assert store.bindings() == ([binding], 1)


def test_unbinding_frees_both_numbers(store: Provisioning) -> None:
    binding = store.bind_axb(XB, A, B)
    assert store.unbind(binding_id=binding.id) == [binding]
    store.bind_axb(XB, B, C)


# AX, 3.1


def test_an_x_of_ax_has_one_a(store: Provisioning) -> None:
    binding = store.bind_ax(XS[0], A, BindingOptions(turned_on=False))
    assert not binding.turned_on
    refused("1011005", lambda: store.bind_ax(XS[0], B))
    refused("1016002", lambda: store.bind_ax(XS[0], A))


def test_an_a_has_at_most_five_x(store: Provisioning) -> None:
    for x in XS[:5]:
        store.bind_ax(x, A)
    refused("1011003", lambda: store.bind_ax(XS[5], A))
    store.unbind(x=XS[0])
    store.bind_ax(XS[5], A)


def test_an_expired_ax_binding_does_not_block(store: Provisioning, clock: Clock) -> None:
    for x in XS[:5]:
        store.bind_ax(x, A, BindingOptions(duration_s=1))
    clock.now += 1
    store.bind_ax(XS[0], B)
    store.bind_ax(XS[5], A)


# AXE, 4.1


def test_an_extension_is_one_of_its_x(store: Provisioning) -> None:
    assert store.bind_axe(XE, A, "7").extension == "7"
    assert "7 of" in refused("1020167", lambda: store.bind_axe(XE, B, "7"))


def test_a_may_have_several_extensions(store: Provisioning) -> None:
    store.bind_axe(XE, A, "7")
    store.bind_axe(XE, A, "8")
    assert store.bindings(x=XE, a=A).total == 2


def test_a_free_extension_is_chosen_until_none_is_left(store: Provisioning, clock: Clock) -> None:
    store.bind_axe(XE, A, "5", BindingOptions(duration_s=60))
    chosen = {store.bind_axe(XE, B).extension for _ in range(8)}
    assert chosen == set("12346789")
    refused("1020167", lambda: store.bind_axe(XE, C))
    clock.now += 60
    assert store.bind_axe(XE, C).extension == "5"


def test_a_chosen_extension_has_the_digits_of_its_app(store: Provisioning) -> None:
    x = "+8617000000032"
    store.add_number(x, App("wide", Mode.AXE, extension_digits=3))
    for _ in range(20):
        extension = store.bind_axe(x, A).extension
        assert extension is not None
        assert len(extension) == 3
        assert 1 <= int(extension) <= 999


@pytest.mark.parametrize("extension", ["0", "12", "", "x", "٣", "1#"])
def test_an_extension_has_the_right_length_and_is_not_zero(store: Provisioning, extension: str) -> None:
    refused("1010002", lambda: store.bind_axe(XE, A, extension))


def test_callback_tone_and_number_exclude_each_other(store: Provisioning) -> None:
    options = BindingOptions(callback_tone="tone.wav", callback_number=B)
    assert "exclude" in refused("1010002", lambda: store.bind_axe(XE, A, None, options))
    store.bind_axe(XE, A, None, dataclasses.replace(options, callback_tone=None))


# All modes


def test_an_x_outside_the_pool_has_the_code_of_the_mode(store: Provisioning) -> None:
    refused("1012001", lambda: store.bind_axb(FOREIGN_X, A, B))
    refused("1011001", lambda: store.bind_ax(FOREIGN_X, A))
    refused("1012001", lambda: store.bind_axe(FOREIGN_X, A))


def test_an_x_of_another_app_is_not_found(store: Provisioning) -> None:
    refused("1012001", lambda: store.bind_axb(XB, A, B, app_key="other"))
    refused("1011001", lambda: store.bind_ax(XS[0], A, app_key="other"))
    store.bind_ax(XS[0], A, app_key="cars")


def test_an_app_is_bound_in_its_own_mode(store: Provisioning) -> None:
    refused("1010040", lambda: store.bind_axb(XS[0], A, B))
    refused("1010040", lambda: store.bind_ax(XE, A))
    refused("1010040", lambda: store.bind_axe(XB, A))


@pytest.mark.parametrize(
    "options",
    [
        BindingOptions(call_direction=3),
        BindingOptions(duration_s=7_776_001),
        BindingOptions(duration_s=-1),
        BindingOptions(max_duration_s=86401),
        BindingOptions(callback_lifetime_s=-1),
        BindingOptions(announcement="../secret.wav"),
        BindingOptions(caller_ringback=""),
        BindingOptions(callback_number="110"),
        BindingOptions(user_data="{order}"),
        BindingOptions(user_data="x" * 257),
    ],
)
def test_an_option_out_of_range_is_refused(store: Provisioning, options: BindingOptions) -> None:
    refused("1010002", lambda: store.bind_axb(XB, A, B, options))
    assert store.bindings().total == 0


def test_recording_needs_an_app_that_records(store: Provisioning) -> None:
    refused("1012012", lambda: store.bind_ax(XS[0], A, BindingOptions(record=True)))


# Unbind, 2.2, 3.2, 4.2


def test_unbinding_x_removes_all_its_pairs(store: Provisioning) -> None:
    pairs = [store.bind_axb(XB, A, B), store.bind_axb(XB, C, D)]
    kept = store.bind_axb(XB2, A, B)
    assert store.unbind(x=XB) == pairs
    assert store.bindings().items == [kept]


def test_unbinding_an_x_full_of_pairs_is_one_short_transaction(store: Provisioning, clock: Clock) -> None:
    template = store.bind_axb(XB, A, B)
    with store._writers.begin() as connection:
        for number in range(2500):
            pair = structs.replace(template, id=str(number), a=f"+8613900{number:06}", b=f"+8613700{number:06}")
            insert_binding(connection, pair)
    assert len(store.unbind(x=XB)) == 2501
    store.bind_axb(XB, A, "+8613900000001")


def test_unbinding_x_and_e_removes_that_extension(store: Provisioning) -> None:
    store.bind_axe(XE, A, "1")
    kept = store.bind_axe(XE, B, "2")
    store.unbind(x=XE, extension="1")
    assert store.bindings().items == [kept]


def test_the_id_wins_over_the_number(store: Provisioning) -> None:
    binding, kept = store.bind_axb(XB, A, B), store.bind_axb(XB2, A, B)
    store.unbind(binding_id=binding.id, x=XB2)
    assert store.bindings().items == [kept]


def test_unbinding_nothing_has_the_code_of_the_mode(store: Provisioning) -> None:
    refused("1012001", lambda: store.unbind(x=XB))
    refused("1011004", lambda: store.unbind(x=XS[0]))
    refused("1016001", lambda: store.unbind(x=XE, extension="1"))
    refused("1016001", lambda: store.unbind(x=FOREIGN_X))
    refused("1016001", lambda: store.unbind(binding_id="nothing"))
    refused("1010002", store.unbind)


def test_one_app_can_not_unbind_for_another(store: Provisioning) -> None:
    binding = store.bind_axb(XB, A, B)
    refused("1016001", lambda: store.unbind(binding_id=binding.id, app_key="other"))
    assert store.bindings().total == 1


def test_an_expired_binding_can_not_be_unbound(store: Provisioning, clock: Clock) -> None:
    binding = store.bind_axb(XB, A, B, BindingOptions(duration_s=5))
    clock.now += 5
    refused("1016001", lambda: store.unbind(binding_id=binding.id))


# Listing


def test_bindings_are_filtered_and_paged_in_the_order_they_were_made(store: Provisioning, clock: Clock) -> None:
    pair = store.bind_axb(XB, A, B)
    owned = store.bind_ax(XS[0], B)
    extended = store.bind_axe(XE, C, "3")
    expiring = store.bind_axe(XE, D, "4", BindingOptions(duration_s=5))
    assert store.bindings(page_size=2) == ([pair, owned], 4)
    assert store.bindings(page=2, page_size=2) == ([extended, expiring], 4)
    assert store.bindings(page=3, page_size=2) == ([], 4)
    assert store.bindings(mode=Mode.AX).items == [owned]
    assert store.bindings(app_key="parcels", extension="3").items == [extended]
    assert store.bindings(party=B).items == [pair, owned]
    assert store.bindings(b=B).items == [pair]
    clock.now += 5
    assert store.bindings(x=XE).items == [extended]
    refused("1010002", lambda: store.bindings(page=0))


def test_nobody_calls_itself(store: Provisioning) -> None:
    words = f"Invalid request. {A} is A itself: it would call itself"
    store.bind_ax(XS[0], A)
    assert refused("1010002", lambda: store.set_callee(A, x=XS[0])) == words
    assert refused("1010002", lambda: store.bind_axe(XE, A, None, BindingOptions(callback_number=A))) == words


# Temporary callee, 3.5


def test_a_temporary_callee_is_replaced_by_the_next(store: Provisioning, tmp_path: Path) -> None:
    binding = store.bind_ax(XS[0], A)
    first = store.set_callee(B, x=XS[0])
    assert (first.binding_id, first.expires_at) == (binding.id, NOW + 60)
    second = store.set_callee(C, binding_id=binding.id, x="ignored", duration_s=5, user_data="job")
    calls = open_sqlite(str(tmp_path / "switch.db"))
    assert run(calls.temporary_callee(binding.id, NOW)) == second
    calls.close()


def test_a_temporary_callee_goes_with_its_binding(store: Provisioning, tmp_path: Path) -> None:
    binding = store.bind_ax(XS[0], A)
    store.set_callee(B, x=XS[0])
    store.unbind(x=XS[0])
    calls = open_sqlite(str(tmp_path / "switch.db"))
    assert run(calls.temporary_callee(binding.id, NOW)) is None
    calls.close()


def test_a_temporary_callee_needs_an_ax_binding(store: Provisioning) -> None:
    store.bind_axb(XB, A, B)
    refused("1011004", lambda: store.set_callee(C, x=XS[0]))
    refused("1011004", lambda: store.set_callee(C, x=XB))
    refused("1010002", lambda: store.set_callee(C))


@pytest.mark.parametrize(("callee", "duration_s"), [("95588", 60), (B, 0), (B, 86401)])
def test_a_temporary_callee_out_of_range_is_refused(store: Provisioning, callee: str, duration_s: int) -> None:
    store.bind_ax(XS[0], A)
    refused("1010002", lambda: store.set_callee(callee, x=XS[0], duration_s=duration_s))


# CDRs, 6.2


@pytest.mark.parametrize("record", [b"{}", b"\xff", b'{"call_id":"\xff"}'])
def test_a_cdr_that_can_not_be_read_hides_no_other(store: Provisioning, tmp_path: Path, record: bytes) -> None:
    calls = open_sqlite(str(tmp_path / "switch.db"))
    run(calls.close_attempts([Cdr(name, call_in_at=NOW, words="通话") for name in ("one", "two", "three")]))
    calls.close()
    with sqlite3.connect(tmp_path / "switch.db") as connection:
        connection.execute("UPDATE cdrs SET record = CAST(? AS TEXT) WHERE call_id = 'two'", (record,))
    connection.close()
    found = store.cdrs()
    assert [(cdr.call_id, cdr.words) for cdr in found.items] == [("one", "通话"), ("three", "通话")]
    assert found.total == 3
    assert [words.partition(" can't")[0] for words in found.unreadable] == ["call two: a stored CDR"]


def test_cdrs_are_found_newest_first(store: Provisioning, tmp_path: Path) -> None:
    calls = open_sqlite(str(tmp_path / "switch.db"))
    records = [
        Cdr(str(number), x=XB, caller=A if number % 2 else B, call_in_at=NOW + number, mode=Mode.AXB, app_key="shop")
        for number in range(6)
    ]
    for record in records:
        run(calls.close_attempts([structs.replace(record, failure=8014) if record.call_id == "3" else record]))
    open_call = Cdr("open", x=XB, call_in_at=NOW)
    run(calls.open_attempt(open_call))
    calls.close()
    records[3] = structs.replace(records[3], failure=8014)
    assert store.cdrs() == (records[::-1], 6, [])
    assert store.cdrs(page=2, page_size=4) == ([records[1], records[0]], 6, [])
    assert store.cdrs(caller=A, failure=0).items == [records[5], records[1]]
    assert store.cdrs(failure=8014).items == [records[3]]
    assert store.cdrs(since=NOW + 2, until=NOW + 4).items == [records[3], records[2]]
    assert store.cdrs(call_id="4", app_key="shop", mode=Mode.AXB, x=XB).items == [records[4]]
    assert store.cdrs(finished=False).items == [open_call]
    assert store.cdrs(finished=None).total == 7


@pytest.mark.parametrize("of", [{}, {"x": XB}, {"since": NOW, "until": NOW + 9}], ids=["all", "of an X", "of a time"])
def test_cdrs_are_counted_without_reading_any(store: Provisioning, tmp_path: Path, of: dict[str, Any]) -> None:
    asked: list[tuple[str, Any]] = []
    event.listen(
        store._engine, "before_cursor_execute", lambda connection, cursor, sql, values, *_: asked.append((sql, values))
    )
    store.cdrs(**of)
    (count,) = [(sql, values) for sql, values in asked if "count(*)" in sql]
    with contextlib.closing(sqlite3.connect(tmp_path / "switch.db")) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {count[0]}", count[1])]
    looks = [step for step in plan if " cdrs" in step]
    assert looks and all("COVERING INDEX" in step or "ix_cdrs_unfinished" in step for step in looks), plan


# Faults


def test_a_store_that_can_not_be_read_is_a_store_error(tmp_path: Path) -> None:
    store = Provisioning(sqlite_engine(str(tmp_path / "empty.db")))
    with pytest.raises(StoreError, match="no such table: bindings"):
        store.bindings()
    with pytest.raises(StoreError, match="no such table"):
        store.bind_axb(XB, A, B)
    store.close()


def test_a_number_that_no_database_holds_is_the_askers_fault(store: Provisioning) -> None:
    for ask in (
        lambda: store.cdrs(page=10**19),
        lambda: store.bindings(page_size=10**19),
        lambda: store.cdrs(failure=10**19),
        lambda: store.list_numbers(page=10**19),
    ):
        assert "too large" in refused("1010002", ask)


def test_a_refused_change_leaves_nothing_behind(store: Provisioning, clock: Clock) -> None:
    store.bind_axb(XB, A, B, BindingOptions(duration_s=5))
    clock.now += 5
    refused("1010002", lambda: store.bind_axb(XB, A, C, BindingOptions(call_direction=9)))
    clock.now -= 5
    assert store.bindings().total == 1
