"""The fuzz targets hold for their own seeds, and catch what they are there for."""

from __future__ import annotations

import pytest

from softswitch.sip import message as message_module
from tests.fuzz.__main__ import ALL
from tests.fuzz.targets import TARGETS, Target

SEEDS = [
    pytest.param(target, seed, id=f"{name}-{index}")
    for name, (target, seeds) in TARGETS.items()
    for index, seed in enumerate(seeds)
]


@pytest.mark.parametrize(("target", "seed"), SEEDS)
def test_a_target_holds_for_its_seed(target: Target, seed: bytes) -> None:
    target(seed)
    target(seed[: len(seed) // 2])


def test_every_target_is_fuzzed() -> None:
    assert set(ALL) == set(TARGETS)


def test_a_parser_that_raises_something_else_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: str) -> None:
        raise IndexError

    monkeypatch.setitem(message_module._PARSERS, "CSeq", broken)
    target, seeds = TARGETS["message"]
    with pytest.raises(IndexError):
        target(seeds[0])
