"""A DNS server on loopback, for tests of what is asked over the wire."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """Answers from the lines of a zone: owner, TTL, IN, type, data. `rcode` other than NOERROR refuses everything."""

    def __init__(self, zone: str) -> None:
        self.zone = [line.split(None, 4) for line in zone.strip().splitlines()]
        self.asked: list[str] = []
        self.rcode = dns.rcode.NOERROR

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        question = dns.message.from_wire(data)
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.RA
        reply.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR:
            self._fill(reply)
        self.transport.sendto(reply.to_wire(), addr)

    def _fill(self, reply: dns.message.Message) -> None:
        name, kind = reply.question[0].name, dns.rdatatype.to_text(reply.question[0].rdtype)
        self.asked.append(f"{name.to_text()} {kind}")
        mine = [line for line in self.zone if dns.name.from_text(line[0]) == name]
        for owner, ttl, _, of, text in [line for line in mine if line[3] in (kind, "CNAME")]:
            reply.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", of, text))
            if of == "CNAME":
                reply.answer.append(dns.rrset.from_text(text, 100, "IN", "A", "192.0.2.1"))
        if not mine:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if not reply.answer:
            soa = "ns.example.com. admin.example.com. 1 2 3 4 20"
            reply.authority.append(dns.rrset.from_text("example.com.", 300, "IN", "SOA", soa))


@contextmanager
def serving(zone: str) -> Iterator[tuple[str, int]]:
    """Serve `zone` from a thread of its own; the address."""
    ready: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event, tuple[str, int]]] = queue.SimpleQueue()

    async def serve() -> None:
        over = asyncio.Event()
        async with name_server(zone) as (address, _):
            ready.put((asyncio.get_running_loop(), over, address))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    loop, over, address = ready.get(timeout=60)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


@asynccontextmanager
async def name_server(zone: str) -> AsyncIterator[tuple[tuple[str, int], NameServer]]:
    """Serve `zone` by UDP; yields the address and the server."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: NameServer(zone), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname"), server
    finally:
        transport.close()
