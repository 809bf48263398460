"""AXE: many A share X, each behind an extension E. X + E reaches A; an A who dials X calls its latest caller back.

Provisioning interface 4.5, section 12. Called by resolve.py; reads call-back records, never writes them: the call layer
does, when A is about to be rung.
"""

from __future__ import annotations

from softswitch.interfaces import Binding, BindingStore, NeedExtension, Rejection
from softswitch.routing.attempt import Attempt, Reached

CALL_BACK, OTHERS_TO_A = 1, 0  # CDR direction


async def decide(attempt: Attempt, store: BindingStore) -> Reached | NeedExtension | Rejection:
    """The A of the extension, a question for the extension, or the latest caller where an A calls.

    An A that dials an extension with X is asking for that extension and is treated as anyone else (it may well want
    another A of the same X); only X alone means "call back". Its own extension does not exist for it.
    """
    extension = attempt.extension
    binding = None
    if extension is None or attempt.from_fixed_line:
        binding = await store.axe_binding_of(attempt.x, attempt.caller, attempt.now)
    if binding is not None and attempt.from_fixed_line:
        attempt.trace.note("The caller is an A of {} and a fixed line, which may only be called.", attempt.x)
        return attempt.rejected(8023, binding, direction=OTHERS_TO_A if extension else CALL_BACK)
    if binding is not None:
        return await _call_back(attempt, binding, store)
    if extension is None:
        attempt.trace.note("No extension was dialled: the caller is asked for {} digits.", attempt.app.extension_digits)
        return NeedExtension(attempt.app.key, attempt.x, attempt.caller, attempt.app.extension_digits)
    return await _extension_called(attempt, extension, store)


async def _extension_called(attempt: Attempt, extension: str, store: BindingStore) -> Reached | Rejection:
    note = attempt.trace.note
    if not extension:
        note("The caller keyed no extension.")
        return attempt.rejected(8033)
    binding = await store.axe_binding(attempt.x, extension, attempt.now)
    if binding is None:
        note("Extension {} of {} is not bound, or its binding has expired.", extension, attempt.x)
        return attempt.rejected(8022)
    note("Binding {}: extension {} of {} is {}.", binding.id, extension, attempt.x, binding.a)
    if binding.a == attempt.caller:
        note("The caller dialled its own extension.")
        return attempt.rejected(8022, binding, direction=OTHERS_TO_A)
    return Reached(binding, binding.a, OTHERS_TO_A, binding.callee_ringback, extension)


async def _call_back(attempt: Attempt, binding: Binding, store: BindingStore) -> Reached | Rejection:
    note = attempt.trace.note
    note("The caller is the A of binding {}: it calls back.", binding.id)
    record = await store.latest_caller(attempt.x, attempt.caller)
    # A caller who withheld the number leaves a record that nobody can call.
    if record is not None and record.caller:
        age = attempt.now - record.at
        if not binding.callback_lifetime_s or age <= binding.callback_lifetime_s:
            note("The latest caller is {}, {:.0f} s ago.", record.caller, age)
            return Reached(binding, record.caller, CALL_BACK, binding.caller_ringback, binding.extension)
        note("The latest call is {:.0f} s old, records live {} s.", age, binding.callback_lifetime_s)
    else:
        note("Nobody has called this A through {}.", attempt.x)
    if binding.callback_number:
        note("The call-back number of the binding takes the call: {}.", binding.callback_number)
        return Reached(binding, binding.callback_number, CALL_BACK, binding.caller_ringback, binding.extension)
    return attempt.rejected(8019, binding, direction=CALL_BACK, tone=binding.callback_tone)
