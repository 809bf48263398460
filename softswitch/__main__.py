"""`softswitch` and `python -m softswitch`: the command line, before all of it is read.

A SIGHUP (reload) that reaches `serve` before it can obey would end it; serving.py lets it come when it can.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """The entry point `softswitch`."""
    if "serve" in sys.argv:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from softswitch.cli import main as command_line  # noqa: PLC0415 (a second may pass)

    command_line()


if __name__ == "__main__":
    main()
