"""Who writes down what a session tells is a listener like the legs of a call."""

from __future__ import annotations

import pytest

from softswitch.sip.session_listener import SessionListener
from tests.support.recorder import Recorder


@pytest.mark.parametrize("name", [name for name in vars(SessionListener) if name.startswith("on_")])
def test_a_recorder_hears_everything(name: str) -> None:
    listener: SessionListener = Recorder()
    assert callable(getattr(listener, name))
