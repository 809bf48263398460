"""What every BindingStore must do; each implementation's test module subclasses it and says how its scene is set."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

import pytest

from softswitch.interfaces import App, Binding, BindingStore, CallbackRecord, Mode, PrivateNumber, TemporaryCallee

X, X2 = "+8617000000001", "+8617000000002"
A, B, C = "+8613800000001", "+8613800000002", "+8613800000003"
NOW = 1_700_000_000.0

_T = TypeVar("_T")


class Scene(Protocol):
    """Puts records into the store under test, no rule checked."""

    def add_number(self, number: PrivateNumber) -> None: ...
    def add(self, binding: Binding) -> Binding: ...
    def set_callee(
        self, binding_id: str, callee: str, *, expires_at: float, user_data: str = ""
    ) -> TemporaryCallee: ...


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(coroutine)


class BindingStoreContract:
    """Subclasses give `store` and `scene` fixtures over the same empty store."""

    def test_an_x_of_the_pool_is_found_with_its_app(self, store: BindingStore, scene: Scene) -> None:
        number = PrivateNumber(X, App("shop", Mode.AXE, extension_digits=3, recording=False), "0755", "深圳")
        scene.add_number(number)
        assert run(store.private_number(X)) == number
        assert run(store.private_number(X2)) is None

    def test_an_axb_binding_is_found_from_both_sides_only(self, store: BindingStore, scene: Scene) -> None:
        binding = scene.add(Binding("1", "app", Mode.AXB, X, A, B, created_at=NOW))
        assert run(store.axb_binding(X, A, NOW)) == binding
        assert run(store.axb_binding(X, B, NOW)) == binding
        assert run(store.axb_binding(X, C, NOW)) is None
        assert run(store.axb_binding(X2, A, NOW)) is None
        assert run(store.ax_binding(X, NOW)) is None

    def test_every_option_of_a_binding_comes_back(self, store: BindingStore, scene: Scene) -> None:
        binding = Binding(
            id="1",
            app_key="app",
            mode=Mode.AXE,
            x=X,
            a=A,
            extension="0012",
            call_direction=2,
            created_at=NOW - 1.5,
            expires_at=NOW + 0.25,
            max_duration_s=3600,
            last_minute_tone="last.wav",
            record=True,
            announcement="shop.wav",
            caller_ringback="a.wav",
            callee_ringback="b.wav",
            turned_on=False,
            callback_tone="tone.wav",
            callback_number=C,
            callback_lifetime_s=7200,
            user_data="order-1",
        )
        scene.add(binding)
        assert run(store.axe_binding(X, "0012", NOW)) == binding

    def test_an_ax_binding_is_found_by_x(self, store: BindingStore, scene: Scene) -> None:
        binding = scene.add(Binding("1", "app", Mode.AX, X, A, created_at=NOW))
        assert run(store.ax_binding(X, NOW)) == binding
        assert run(store.ax_binding(X2, NOW)) is None
        assert run(store.axb_binding(X, A, NOW)) is None

    def test_axe_bindings_share_x_and_differ_by_extension(self, store: BindingStore, scene: Scene) -> None:
        first = scene.add(Binding("1", "app", Mode.AXE, X, A, extension="12", created_at=NOW))
        second = scene.add(Binding("2", "app", Mode.AXE, X, B, extension="13", created_at=NOW))
        assert run(store.axe_binding(X, "12", NOW)) == first
        assert run(store.axe_binding(X, "13", NOW)) == second
        assert run(store.axe_binding(X, "012", NOW)) is None
        assert run(store.ax_binding(X, NOW)) is None

    def test_of_several_extensions_of_one_a_the_newest_is_its_binding(self, store: BindingStore, scene: Scene) -> None:
        scene.add(Binding("1", "app", Mode.AXE, X, A, extension="12", created_at=NOW - 2))
        newest = scene.add(Binding("2", "app", Mode.AXE, X, A, extension="13", created_at=NOW - 1))
        scene.add(Binding("3", "app", Mode.AXE, X, A, extension="14", created_at=NOW - 3))
        assert run(store.axe_binding_of(X, A, NOW)) == newest
        assert run(store.axe_binding_of(X, B, NOW)) is None

    @pytest.mark.parametrize(("later_s", "found"), [(9.999, True), (10.0, False), (11.0, False)])
    def test_a_binding_is_gone_from_the_moment_it_expires(
        self, store: BindingStore, scene: Scene, later_s: float, found: bool
    ) -> None:
        scene.add(Binding("1", "app", Mode.AXB, X, A, B, created_at=NOW, expires_at=NOW + 10))
        scene.add(Binding("2", "app", Mode.AX, X2, A, created_at=NOW, expires_at=NOW + 10))
        scene.add(Binding("3", "app", Mode.AXE, X, C, extension="1", created_at=NOW, expires_at=NOW + 10))
        now = NOW + later_s
        assert (run(store.axb_binding(X, B, now)) is not None) is found
        assert (run(store.ax_binding(X2, now)) is not None) is found
        assert (run(store.axe_binding(X, "1", now)) is not None) is found
        assert (run(store.axe_binding_of(X, C, now)) is not None) is found

    def test_an_expired_extension_leaves_the_older_one_of_a(self, store: BindingStore, scene: Scene) -> None:
        older = scene.add(Binding("1", "app", Mode.AXE, X, A, extension="12", created_at=NOW - 9))
        scene.add(Binding("2", "app", Mode.AXE, X, A, extension="13", created_at=NOW - 5, expires_at=NOW))
        assert run(store.axe_binding_of(X, A, NOW)) == older

    def test_the_latest_caller_replaces_the_one_before(self, store: BindingStore) -> None:
        assert run(store.latest_caller(X, A)) is None
        run(store.remember_caller(CallbackRecord(X, A, B, NOW)))
        run(store.remember_caller(CallbackRecord(X, A, C, NOW + 1)))
        run(store.remember_caller(CallbackRecord(X2, A, B, NOW + 2)))
        assert run(store.latest_caller(X, A)) == CallbackRecord(X, A, C, NOW + 1)
        assert run(store.latest_caller(X2, A)) == CallbackRecord(X2, A, B, NOW + 2)

    def test_a_temporary_callee_lives_until_it_expires(self, store: BindingStore, scene: Scene) -> None:
        scene.add(Binding("1", "app", Mode.AX, X, A, created_at=NOW))
        callee = scene.set_callee("1", B, expires_at=NOW + 60, user_data="job-7")
        assert run(store.temporary_callee("1", NOW + 59)) == callee
        assert run(store.temporary_callee("1", NOW + 60)) is None
        assert run(store.temporary_callee("2", NOW)) is None

    def test_a_consumed_temporary_callee_is_gone(self, store: BindingStore, scene: Scene) -> None:
        scene.add(Binding("1", "app", Mode.AX, X, A, created_at=NOW))
        scene.set_callee("1", B, expires_at=NOW + 60)
        run(store.consume_temporary_callee("1", B))
        assert run(store.temporary_callee("1", NOW)) is None
        run(store.consume_temporary_callee("1", B))

    def test_another_callee_set_since_the_call_began_is_not_consumed(self, store: BindingStore, scene: Scene) -> None:
        scene.add(Binding("1", "app", Mode.AX, X, A, created_at=NOW))
        newer = scene.set_callee("1", C, expires_at=NOW + 60)
        run(store.consume_temporary_callee("1", B))
        assert run(store.temporary_callee("1", NOW)) == newer
