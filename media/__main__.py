"""`python -m media`: runs one media server until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import logging
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from media.engine import Settings
from media.ports import SocketOptions
from media.server import MediaServer, ServerSettings

PR_SET_PDEATHSIG = 1


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the members that the switch's own lines have."""

    def format(self, record: logging.LogRecord) -> str:
        """`exception` is there where the record has one."""
        told = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        line = {"event": record.getMessage(), "logger": record.name, "level": record.levelname.lower()}
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode({**line, "timestamp": told}).decode()


def configure_logging(style: str) -> None:
    """Warnings and errors on standard error, as `console` or `json` lines."""
    lines = logging.StreamHandler()
    console = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    lines.setFormatter(JsonFormatter() if style == "json" else console)
    logging.basicConfig(handlers=[lines])


def read_arguments(arguments: Sequence[str] | None = None) -> tuple[ServerSettings, int | None, str]:
    """The settings in `arguments` (default: the command line's), the pid that this process shall not outlive, and how
    log lines are written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m media",
        description="RTP media server: relays, plays, records and reads digits for controllers on a Unix socket.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--socket", required=True, metavar="PATH", help="Unix socket that controllers connect to")
    add("--bind", default="127.0.0.1", metavar="ADDRESS", help="address of the RTP ports")
    add("--ports", default=(20000, 29999), type=_port_range, metavar="FIRST-LAST", help="UDP ports for RTP and RTCP")
    add("--bind6", default="", metavar="ADDRESS", help="IPv6 address of the RTP ports for calls over IPv6")
    add("--workers", default=1, type=_count, metavar="N", help="threads that handle packets; 0: one a processor")
    add("--dscp", default=46, type=int, choices=range(64), metavar="DSCP", help="mark of what is sent; 46 is EF")
    add("--socket-buffer", default=0, type=_count, metavar="BYTES", help="of each port; 0: as the system has it")
    add("--packets-per-s", default=500, type=_count, metavar="N", help="at most, from the far end of a port")
    add("--silence-s", default=60.0, type=float, metavar="S", help="tell when nothing was received for so long")
    add("--grace-s", default=60.0, type=float, metavar="S", help="keep the calls of a controller that went away")
    add("--flush-s", default=4.0, type=float, metavar="S", help="at the end wait so long for the disk")
    add("--io", default="auto", choices=("auto", "epoll", "uring"), help="how sockets are read and written")
    add("--realtime", action="store_true", help="RTP before all other work (SCHED_RR); needs CAP_SYS_NICE")
    add(
        "--kernel-relay",
        action="store_true",
        help="plain streams pass in the kernel (BPF); needs CAP_BPF, CAP_NET_ADMIN",
    )
    add("--log-format", default="console", choices=("console", "json"), help="for people or for machines")
    add("--parent", default=None, type=int, metavar="PID", help="end when this parent process ends")
    values = parser.parse_args(arguments)
    first, last = values.ports
    engine = Settings(
        values.bind,
        first,
        last,
        values.silence_s,
        values.io,
        values.realtime,
        bind6=values.bind6,
        workers=values.workers or len(os.sched_getaffinity(0)),
        packets_per_s=values.packets_per_s,
        kernel_relay=values.kernel_relay,
        flush_s=values.flush_s,
        sockets=SocketOptions(values.dscp, values.socket_buffer),
    )
    return ServerSettings(values.socket, values.grace_s, engine), values.parent, values.log_format


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number that is not negative")
    return int(text)


def _port_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (dash and first.isdigit() and last.isdigit() and 1024 <= int(first) < int(last) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r}, expected FIRST-LAST within 1024-65535")
    return int(first), int(last)


def die_with_parent(parent: int) -> None:
    """Get SIGTERM when `parent` ends (prctl(2) PR_SET_PDEATHSIG); exits at once where it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def leave_process_group() -> None:
    """A Ctrl-C in the terminal is for the parent, who drains its calls before the media goes."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def allow_many_sockets() -> None:
    """Two sockets an endpoint: as many descriptors as this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(settings: ServerSettings) -> int:
    """Run until SIGTERM or SIGINT; the status: 1 where it can't listen, or recordings could not be completed."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = MediaServer(settings)
    try:
        await server.start()
    except OSError as error:
        print(f"python -m media: --socket {settings.socket}: {error.strerror}", file=sys.stderr)
        return 1
    await stopped.wait()
    return 0 if await server.stop() else 1


def main() -> None:
    """Entry point."""
    settings, parent, log_format = read_arguments()
    configure_logging(log_format)
    if parent is not None:
        die_with_parent(parent)
        leave_process_group()
    allow_many_sockets()
    with asyncio.Runner() as runner:
        status = runner.run(serve(settings))
        logging.shutdown()
        os._exit(status)  # any other way waits for threads, and one may stand at the disk


if __name__ == "__main__":
    main()
