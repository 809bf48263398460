from collections.abc import Callable, Iterable
from typing import Any

from softswitch.sip.message import SipRequest, SipResponse

def plain(data: bytes, /) -> SipRequest | SipResponse | None: ...
def learn(
    headers: type,
    request: type,
    response: type,
    via: Callable[..., Any],
    name_addr: Callable[..., Any],
    cseq: Callable[..., Any],
    canonical_name: Callable[[str], str],
    names: dict[str, str],
    words: Iterable[str],
    /,
) -> None: ...
