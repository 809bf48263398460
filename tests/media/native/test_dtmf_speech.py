"""Talk-off (ITU-T Q.24 4): speech of four voices, in English and Chinese, holds no digit for the detector in dtmf.c."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCES = (HERE / "test_dtmf.c", ROOT / "media" / "native" / "g711.c")
TOOLS = ("cc", "espeak-ng", "sox")
LEAST_S = 240


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that tells the digits in a file."""
    program = tmp_path_factory.mktemp("dtmf") / "test_dtmf"
    subprocess.run(["cc", "-std=gnu11", "-O2", "-o", program, *SOURCES, "-lm"], check=True)
    return program


@pytest.mark.skipif(not all(shutil.which(tool) for tool in TOOLS), reason="no compiler, espeak-ng or sox")
@pytest.mark.parametrize(
    ("voice", "pitch", "words"),
    [
        ("en-us", 30, "docs/operations.md"),
        ("en-us+f3", 60, "docs/decisions.md"),
        ("cmn", 40, "README.zh-CN.md"),
        ("cmn+f2", 60, "README.zh-CN.md"),
    ],
)
def test_minutes_of_speech_hold_no_digit(voice: str, pitch: int, words: str, detector: Path, tmp_path: Path) -> None:
    text = (ROOT / words).read_text()[:8000]
    speak = ["espeak-ng", "-v", voice, "-p", str(pitch), "--stdout"]
    speech = subprocess.run(speak, input=text.encode(), capture_output=True, check=True).stdout
    audio = tmp_path / "speech.al"
    with audio.open("wb") as file:
        convert = ["sox", "-V1", "-t", "wav", "-", "-r", "8000", "-c", "1", "-t", "raw", "-e", "a-law", "-"]
        subprocess.run(convert, input=speech, stdout=file, check=True)
    assert audio.stat().st_size > LEAST_S * 8000
    told = subprocess.run([detector, audio], capture_output=True, text=True, check=True).stdout
    assert told == "\n"
