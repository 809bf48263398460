"""A stand-in for the operations interface of a running switch, on a port of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass(frozen=True)
class Page:
    """What one path answers."""

    body: object
    status: int = 200


@dataclass
class Served:
    """Where it is served, and what it was asked and told."""

    port: int
    asked: list[str] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)


@contextmanager
def operations_page(pages: Mapping[tuple[str, str], Page]) -> Iterator[Served]:
    """Serve these pages, by method and path with query; others are 404."""

    class Answers(BaseHTTPRequestHandler):
        def answer(self) -> None:
            served.asked.append(f"{self.command} {self.path}")
            served.told.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            page = pages.get((self.command, self.path), Page({"detail": "Not Found"}, 404))
            self.send_response(page.status)
            self.end_headers()
            self.wfile.write(json.dumps(page.body).encode())

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answers)
    served = Served(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
