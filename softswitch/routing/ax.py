"""AX: X is A's second number. Anyone who dials X reaches A; A who dials X reaches the temporary callee.

Provisioning interface 3.5 and 3.6. Called by resolve.py; reads, never uses up, the temporary callee: the call layer
does that, when the call has reached it.
"""

from __future__ import annotations

from msgspec import structs

from softswitch.interfaces import Binding, BindingStore, Rejection
from softswitch.routing.attempt import Attempt, Reached

A_TO_OTHERS, OTHERS_TO_A = 1, 0  # CDR direction
_ONLY_A_CALLS, _ONLY_OTHERS_CALL = 1, 2  # callDirection


async def decide(attempt: Attempt, store: BindingStore) -> Reached | Rejection:
    """A, or the temporary callee where A itself calls."""
    binding = await store.ax_binding(attempt.x, attempt.now)
    if binding is None:
        attempt.trace.note("Nobody is bound to {}.", attempt.x)
        return attempt.rejected(8018)
    attempt.trace.note("Binding {}: {} belongs to {}.", binding.id, attempt.x, binding.a)
    if attempt.caller == binding.a:
        return await _a_calls(attempt, binding, store)
    return _others_call(attempt, binding)


async def _a_calls(attempt: Attempt, binding: Binding, store: BindingStore) -> Reached | Rejection:
    note = attempt.trace.note
    note("The caller is A: the call goes to the temporary callee.")
    if attempt.from_fixed_line:
        note("A is a fixed line, which may only be called.")
        return attempt.rejected(8023, binding, direction=A_TO_OTHERS)
    if binding.call_direction == _ONLY_OTHERS_CALL:
        note("Call direction 2 of the binding lets only others call.")
        return attempt.rejected(8016, binding, direction=A_TO_OTHERS)
    temporary = await store.temporary_callee(binding.id, attempt.now)
    if temporary is None:
        note("No temporary callee is set, or it has expired.")
        return attempt.rejected(8013, binding, direction=A_TO_OTHERS)
    note("The temporary callee is {}.", temporary.callee)
    if temporary.user_data:
        binding = structs.replace(binding, user_data=temporary.user_data)
    return Reached(binding, temporary.callee, A_TO_OTHERS, binding.caller_ringback)


def _others_call(attempt: Attempt, binding: Binding) -> Reached | Rejection:
    if binding.call_direction == _ONLY_A_CALLS:
        attempt.trace.note("Call direction 1 of the binding lets only A call.")
        return attempt.rejected(8016, binding, direction=OTHERS_TO_A)
    if not binding.turned_on:
        attempt.trace.note("The number is turned off.")
        return attempt.rejected(8104, binding, direction=OTHERS_TO_A)
    return Reached(binding, binding.a, OTHERS_TO_A, binding.callee_ringback)
