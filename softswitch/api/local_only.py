"""Keeps what changes the switch, or shows too much, to programs on its own machine.

Called by the routers beside it. A proxy on this machine undoes it: docs/operations.md says so.
"""

from __future__ import annotations

import ipaddress

from fastapi import HTTPException, Request


def local_only(request: Request) -> None:
    """Refuse whoever is not on this machine: it asks from a loopback address, or from the one that it asks."""
    client, server = request.client, request.scope.get("server")
    host = "" if client is None else client.host
    try:
        if ipaddress.ip_address(host).is_loopback or (server and server[0] == host):
            return
    except ValueError:
        pass
    raise HTTPException(403, "only for programs on the switch's own machine")
