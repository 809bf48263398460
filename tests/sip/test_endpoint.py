"""The core is what sessions take it for."""

from __future__ import annotations

import asyncio

from softswitch.sip.core import SipCore
from softswitch.sip.endpoint import Endpoint, PendingResponse
from softswitch.sip.session import local_response


def test_the_core_is_an_endpoint_and_a_future_is_a_pending_response() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        endpoint: Endpoint = SipCore([("10.0.0.1", 5060)], str, clock=lambda: 5.0, new_response=loop.create_future)
        assert endpoint.begin() == endpoint.now == 5.0
        pending: PendingResponse = endpoint.new_response()
        pending.set_result(local_response(200))
        assert (await pending).status == pending.result().status == 200
        endpoint.finish()

    asyncio.run(story())
