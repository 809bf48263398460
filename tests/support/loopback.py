"""An address of loopback for this run of the tests alone (Linux has all of 127.0.0.0/8): its ports are all free.

Called by the tests that need ports of certain numbers. Two runs beside each other have different process ids.
"""

from __future__ import annotations

import os

_PID = os.getpid()
HOST = f"127.{64 + (_PID >> 16) % 64}.{_PID >> 8 & 0xFF}.{_PID & 0xFF}"
