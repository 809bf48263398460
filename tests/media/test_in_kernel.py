"""The stories of other files once more, with the kernel's relay: whoever listens can't tell the difference.

Told again is what has streams that are long enough to get there, and something that comes in between.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from media.engine import Settings
from tests.media import support
from tests.media.test_audio_truth import *  # noqa: F403
from tests.media.test_far_ends import *  # noqa: F403
from tests.media.test_kernel_relay import refusal
from tests.media.test_server import *  # noqa: F403
from tests.media.test_taken_over import *  # noqa: F403

pytestmark = [  # type: ignore[assignment]  # not the one mark of those files
    pytest.mark.real_time,
    pytest.mark.skipif(bool(refusal()), reason=refusal()),
]


@pytest.fixture(autouse=True)
def in_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server of these tests has it."""
    monkeypatch.setattr(
        support, "Settings", lambda *given, **named: replace(Settings(*given, **named), kernel_relay=True)
    )
