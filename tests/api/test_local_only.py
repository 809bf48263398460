"""Who counts as a program on the switch's own machine."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import HTTPException, Request

from softswitch.api.local_only import local_only


def asked(client: str | None, server: str | None = "192.0.2.1") -> Request:
    scope: dict[str, Any] = {"type": "http", "client": client and (client, 1), "server": server and (server, 80)}
    return Request(scope)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "192.0.2.1"])
def test_loopback_and_the_address_itself_are_this_machine(client: str) -> None:
    local_only(asked(client))


@pytest.mark.parametrize(
    ("client", "server"), [("192.0.2.2", "192.0.2.1"), (None, "192.0.2.1"), ("192.0.2.2", None), ("socket", None)]
)
def test_all_others_are_refused(client: str | None, server: str | None) -> None:
    with pytest.raises(HTTPException) as refused:
        local_only(asked(client, server))
    assert refused.value.status_code == 403
