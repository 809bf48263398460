from collections.abc import Callable

from softswitch.sip.addresses import Hop

class Mailbox:
    def __init__(self, fd: int, hop_of: Callable[[str, int], Hop]) -> None: ...
    def take(self, most: int, /) -> list[tuple[bytes, Hop]]: ...
