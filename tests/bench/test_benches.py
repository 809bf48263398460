"""The benchmarks still run: each is imported, and those that are cheap run their smallest plan. No figure is judged."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from softswitch.stores.sqlite import open_sqlite
from tests.bench import __main__ as all_of_them
from tests.bench import bench_store

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("__", "test_")))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_bench_can_be_imported(module: str) -> None:
    importlib.import_module(f"tests.bench.{module}")


def test_every_bench_is_in_the_one_run() -> None:
    assert {f"bench_{name}" for name in all_of_them.BENCHES} == {name for name in MODULES if name.startswith("bench_")}


def test_every_operation_of_the_store_is_measured(tmp_path: Path) -> None:
    path = str(tmp_path / "switch.db")
    bench_store.fill(path, 300)
    store = open_sqlite(path)
    for operation in bench_store.operations(store, 300).values():
        assert len(list(bench_store.measure(operation, 3))) == 3
    store.close()
