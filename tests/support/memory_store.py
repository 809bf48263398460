"""A BindingStore in dictionaries: the store of routing and call tests. Never a store of the product."""

from __future__ import annotations

from collections.abc import Iterable

from softswitch.interfaces import App, Binding, CallbackRecord, Mode, PrivateNumber, TemporaryCallee


class MemoryStore:
    """Implements `interfaces.BindingStore`; numbers are E.164 with `+`, as everywhere.

    `calls` counts the look-ups by name, so that a test can tell what a decision cost.
    """

    def __init__(
        self, apps: Iterable[App] = (), numbers: Iterable[PrivateNumber] = (), bindings: Iterable[Binding] = ()
    ) -> None:
        self.apps: dict[str, App] = {app.key: app for app in apps}
        self.numbers: dict[str, PrivateNumber] = {}
        self.bindings: dict[str, Binding] = {}
        self.callees: dict[str, TemporaryCallee] = {}
        self.records: dict[tuple[str, str], CallbackRecord] = {}
        self.calls: dict[str, int] = {}
        self._index: dict[tuple[str, ...], list[Binding]] = {}
        for number in numbers:
            self.add_number(number)
        for binding in bindings:
            self.add(binding)

    # Setting the scene

    def add_number(self, number: PrivateNumber) -> None:
        """Put an X into the pool."""
        self.apps.setdefault(number.app.key, number.app)
        self.numbers[number.x] = number

    def add(self, binding: Binding) -> Binding:
        """Add a binding, or replace the one of the same id; returns it."""
        self.remove(binding.id)
        self.bindings[binding.id] = binding
        for key in _keys(binding):
            self._index.setdefault(key, []).append(binding)
        return binding

    def remove(self, binding_id: str) -> None:
        """Unbind; nothing happens where the id is unknown."""
        binding = self.bindings.pop(binding_id, None)
        if binding is not None:
            for key in _keys(binding):
                self._index[key].remove(binding)

    def set_callee(
        self, binding_id: str, callee: str, *, expires_at: float = float("inf"), user_data: str = ""
    ) -> TemporaryCallee:
        """Set whom the next A -> X call of an AX binding reaches; returns the record."""
        record = TemporaryCallee(binding_id, callee, expires_at, user_data)
        self.callees[binding_id] = record
        return record

    # interfaces.BindingStore

    async def private_number(self, x: str) -> PrivateNumber | None:
        """The pool entry of `x`."""
        self._count("private_number")
        return self.numbers.get(x)

    async def axb_binding(self, x: str, party: str, now: float) -> Binding | None:
        """The AXB binding on `x` in which `party` is A or B."""
        return self._newest(now, "axb_binding", "AXB", x, party)

    async def ax_binding(self, x: str, now: float) -> Binding | None:
        """The AX binding of `x`."""
        return self._newest(now, "ax_binding", "AX", x)

    async def axe_binding(self, x: str, extension: str, now: float) -> Binding | None:
        """The AXE binding of (`x`, `extension`)."""
        return self._newest(now, "axe_binding", "AXE", x, "E", extension)

    async def axe_binding_of(self, x: str, a: str, now: float) -> Binding | None:
        """The newest AXE binding on `x` whose A is `a`."""
        return self._newest(now, "axe_binding_of", "AXE", x, "A", a)

    async def latest_caller(self, x: str, a: str) -> CallbackRecord | None:
        """The newest call-back record of (`x`, `a`)."""
        self._count("latest_caller")
        return self.records.get((x, a))

    async def remember_caller(self, record: CallbackRecord) -> None:
        """Replace the call-back record of (x, a)."""
        self._count("remember_caller")
        self.records[record.x, record.a] = record

    async def temporary_callee(self, binding_id: str, now: float) -> TemporaryCallee | None:
        """The unexpired temporary callee of an AX binding."""
        self._count("temporary_callee")
        record = self.callees.get(binding_id)
        return record if record is not None and record.expires_at > now else None

    async def consume_temporary_callee(self, binding_id: str, callee: str) -> None:
        """`callee` was reached: it is used up, unless another one has been set meanwhile."""
        self._count("consume_temporary_callee")
        if binding_id in self.callees and self.callees[binding_id].callee == callee:
            del self.callees[binding_id]

    def _count(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1

    def _newest(self, now: float, name: str, *key: str) -> Binding | None:
        self._count(name)
        live = [b for b in self._index.get(key, ()) if b.expires_at is None or b.expires_at > now]
        return max(live, key=lambda b: b.created_at, default=None)


def _keys(binding: Binding) -> list[tuple[str, ...]]:
    """What a binding is found by, one key a question."""
    if binding.mode is Mode.AXB:
        return [("AXB", binding.x, party) for party in (binding.a, binding.b) if party]
    if binding.mode is Mode.AX:
        return [("AX", binding.x)]
    return [("AXE", binding.x, "E", binding.extension or ""), ("AXE", binding.x, "A", binding.a)]
