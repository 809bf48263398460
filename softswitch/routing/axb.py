"""AXB: A and B see each other as X; whoever else dials X reaches nobody.

Provisioning interface 2.5. Called by resolve.py; reads one binding.
"""

from __future__ import annotations

from softswitch.interfaces import BindingStore, Rejection
from softswitch.routing.attempt import Attempt, Reached

A_TO_B, B_TO_A = 1, 0  # CDR direction
_ONLY = {A_TO_B: 1, B_TO_A: 2}  # the callDirection that still allows it when it is not 0


async def decide(attempt: Attempt, store: BindingStore) -> Reached | Rejection:
    """The other one of the pair, if the caller belongs to one on this X and may call."""
    note = attempt.trace.note
    # A caller that withholds its number is nobody's A or B.
    binding = await store.axb_binding(attempt.x, attempt.caller, attempt.now) if attempt.caller else None
    if binding is None:
        note("The caller has no binding on {}.", attempt.x)
        return attempt.rejected(8014)
    direction = A_TO_B if attempt.caller == binding.a else B_TO_A
    callee = (binding.b or "") if direction == A_TO_B else binding.a
    note("Binding {} has the caller as {}; the other party is {}.", binding.id, "BA"[direction], callee)
    if attempt.from_fixed_line:
        note("The caller is a fixed line, which may only be called.")
        return attempt.rejected(8023, binding, direction=direction)
    if binding.call_direction not in (0, _ONLY[direction]):
        note("Call direction {} of the binding does not allow it.", binding.call_direction)
        return attempt.rejected(8016, binding, direction=direction)
    ringback = binding.caller_ringback if direction == A_TO_B else binding.callee_ringback
    return Reached(binding, callee, direction, ringback)
