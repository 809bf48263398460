"""Asks the running switch over its operations interface.

Called by the commands that need one: `calls`, `trunks`, `bans` and `trace`.
"""

from __future__ import annotations

from typing import Any

from softswitch.config import Config, split_address
from softswitch.errors import SoftswitchError

SWITCH_TIMEOUT_S = 5.0


def ask_switch(config: Config, path: str, *, method: str = "GET", told: dict[str, Any] | None = None) -> Any:
    """JSON of the switch's answer, to `told` as JSON; raises SoftswitchError where none comes, or a refusal."""
    import httpx  # noqa: PLC0415 (a quarter of a second to import)

    host, port = split_address(config.ops.listen)
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
    try:
        with httpx.Client(timeout=SWITCH_TIMEOUT_S, trust_env=False) as client:
            answer = client.request(method, url, json=told)
        if answer.is_client_error:
            raise SoftswitchError(f"the switch refuses: {_words(answer.json())}")
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise SoftswitchError(f"no answer from the switch at {url}; is it running? ({error})") from None


def _words(refusal: Any) -> str:
    """What FastAPI says of an error: a sentence, or a list of what is wrong with which member."""
    detail = refusal.get("detail") if isinstance(refusal, dict) else None
    if isinstance(detail, list):
        return "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in detail)
    return str(detail)
