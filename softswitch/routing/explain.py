"""A decision in words, for `softswitch explain`: how it was reached, and what would happen.

Called by the command line with what a Resolver built with `explain=True` returned; prints nothing itself.
"""

from __future__ import annotations

from softswitch.errors import FAILURES
from softswitch.interfaces import Decision, NeedExtension, Rejection, Route, Target


def explain(decision: Decision) -> list[str]:
    """The steps, numbered, and the outcome; one line each. Numbers are not masked: whoever asks has typed them."""
    steps = [f"{number}. {step}" for number, step in enumerate(decision.steps, 1)]
    return [*steps, *_outcome(decision)]


def _outcome(decision: Decision) -> list[str]:
    if isinstance(decision, Rejection):
        return _rejection(decision)
    if isinstance(decision, NeedExtension):
        return [f"=> Answer, play '{decision.prompt}' and collect {decision.digits} digits."]
    return _route(decision)


def _rejection(decision: Rejection) -> list[str]:
    failure = FAILURES[decision.failure_code]
    heard = f"the caller hears '{decision.tone}'" if decision.tone else "no tone"
    return [f"=> Refuse: {failure.code} {failure.words}; SIP {failure.status}, Q.850 {failure.cause}; {heard}."]


def _route(decision: Route) -> list[str]:
    lines = [f"=> Call {decision.callee} from {decision.display} (binding {decision.binding.id})."]
    for target in decision.targets:
        port = f":{target.port}" if target.port else ""  # else DNS tells it
        where = f"{target.user}@{target.host}{port} over {target.transport}"
        lines.append(f"   by {target.trunk}: {where}, {_shown(target)}, ringing {target.ring_s:g} s")
    return lines


def _shown(target: Target) -> str:
    """What the trunk reads of X, and what its callee does."""
    header = {"pai": "", "rpid": " (Remote-Party-ID)", "both": " (PAI and RPID)", "none": " (no assertion)"}
    words = f"showing {target.display}{header[target.identity]}"
    words += f" from {target.from_user}" if target.from_user else ""
    hidden = {"never": "", "caller": ", hidden where the caller asks for it", "always": ", hidden from the callee"}
    return words + hidden[target.privacy]
