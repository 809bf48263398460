"""The in-memory store of the call tests behaves like the real ones."""

from __future__ import annotations

import pytest

from tests.stores.contract import BindingStoreContract
from tests.support.memory_store import MemoryStore


class TestMemoryStore(BindingStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def scene(self, store: MemoryStore) -> MemoryStore:
        return store
