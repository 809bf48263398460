"""Finds the real programs that tests start: SIPp, Kamailio, baresip.

Called by the tests that start them. `scripts/setup` installs them where there is apt, so there a missing one is a
failure and never a test left out in silence; elsewhere the tests that need it are skipped.
"""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """Path of a program; without it the test fails where `package` could be installed by apt, else it is skipped."""
    folders = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    if path := shutil.which(name, path=folders):
        return path
    message = f"{name} is not installed (Debian: apt install {package})"
    if shutil.which("apt-get"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
