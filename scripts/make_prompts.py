"""Makes the built-in prompts: espeak-ng speaks them, this script turns them into A-law WAV files and their indexes.

Run from the repository's root: `python scripts/make_prompts.py [prompts]`. Needs espeak-ng and numpy. The same
espeak-ng gives the same bytes. Call treatment, section "Files": A-law, 8000 Hz, mono.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import wave
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RATE = 8000
FRAME = RATE // 50  # prompts are whole packets of 20 ms
PEAK = 10 ** (-6 / 20)
SILENCE = 10 ** (-45 / 20)
MARGIN = RATE * 30 // 1000  # kept before the first and after the last sound

# Language: (espeak-ng voice, words a minute, {name: words}).
LANGUAGES: dict[str, tuple[str, int, dict[str, str]]] = {
    "zh-CN": (
        "cmn-latn-pinyin",  # plain `cmn` of espeak-ng 1.51 reads many characters' pinyin as English
        185,
        {
            "no_binding": "请使用绑定号码呼叫",
            "no_permission": "您的号码暂无呼叫权限，请使用业务关联号码呼叫",
            "enter_extension": "请输入分机号",
            "invalid_extension": "分机号无效",
            "connecting": "正在为您转接，请稍候",
            "service_fault": "业务异常，通话即将挂断，请稍后重试",
            "last_minute": "本次通话时长还剩1分钟",
            "powered_off": "您拨打的号码已关机",
            "announcement": "【示例】来电",
        },
    ),
    "en-US": (
        "en-us",
        160,
        {
            "no_binding": "Please call from the number that is bound to this service.",
            "no_permission": "Your number may not call here. Please call from the number known to the service.",
            "enter_extension": "Please enter the extension.",
            "invalid_extension": "This extension is not valid.",
            "connecting": "We are connecting you. Please wait.",
            "service_fault": "A fault has occurred. This call is about to end. Please try again later.",
            "last_minute": "One minute of this call is left.",
            "powered_off": "The number you have dialled is switched off.",
            "announcement": "Call from Example",
        },
    ),
}

Samples: TypeAlias = NDArray[np.float64]


def main(directory: str = "prompts") -> None:
    """Write every prompt and one index.toml a language under `directory`."""
    for language, (voice, speed, prompts) in LANGUAGES.items():
        folder = Path(directory) / language
        folder.mkdir(parents=True, exist_ok=True)
        for name, words in prompts.items():
            audio = prepare(speak(words, voice, speed))
            (folder / f"{name}.wav").write_bytes(wav(encode_alaw(audio)))
            print(f"{language}/{name}.wav {len(audio) / RATE:.2f} s  {words}")
        (folder / "index.toml").write_text(index(prompts), encoding="utf-8")


def speak(words: str, voice: str, speed: int) -> Samples:
    """What espeak-ng says, at 8000 Hz, within -1 to 1."""
    spoken = words.strip().translate({ord("【"): " ", ord("】"): " "})
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", spoken]
    with wave.open(io.BytesIO(_streamed(subprocess.run(command, check=True, capture_output=True).stdout))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return resample(samples / 32768.0, file.getframerate(), RATE)


def _streamed(data: bytes) -> bytes:
    """espeak-ng can't know the length when it begins to write to a pipe: put it in."""
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:40] + struct.pack("<I", len(data) - 44) + data[44:]


def resample(samples: Samples, rate: int, to_rate: int, taps: int = 64) -> Samples:
    """Band-limited interpolation by a Hann-windowed sinc that also keeps out what `to_rate` can't carry."""
    cutoff = min(1.0, 0.95 * to_rate / rate)
    reach = int(taps / cutoff / 2)
    padded = np.concatenate([np.zeros(reach), samples, np.zeros(reach + 1)])
    moments = np.arange(int(len(samples) * to_rate / rate)) * (rate / to_rate)
    whole = moments.astype(int)
    result = np.zeros(len(moments))
    for offset in range(-reach + 1, reach + 1):
        distance = moments - (whole + offset)
        window = 0.5 + 0.5 * np.cos(np.pi * distance / reach)
        result += padded[whole + offset + reach] * cutoff * np.sinc(cutoff * distance) * window
    return result


def prepare(samples: Samples) -> Samples:
    """Trim silence at both ends, bring the peak to -6 dBFS, fill the last 20 ms."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE * np.max(np.abs(samples)))
    trimmed = samples[max(0, loud[0] - MARGIN) : loud[-1] + MARGIN]
    scaled = trimmed * (PEAK / np.max(np.abs(trimmed)))
    return np.concatenate([scaled, np.zeros(-len(scaled) % FRAME)])


def encode_alaw(samples: Samples) -> bytes:
    """ITU-T G.711 A-law: for each sample the code whose value is nearest."""
    codes = np.arange(256)
    values = np.array([decode_alaw(int(code)) for code in codes])
    order = np.argsort(values)
    middles = (values[order][1:] + values[order][:-1]) / 2
    return bytes(codes[order][np.searchsorted(middles, samples * 32768.0)].astype(np.uint8))


def decode_alaw(code: int) -> int:
    """The 16-bit linear value of one A-law code."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = (mantissa << 4) + 8 if exponent == 0 else (mantissa << 4) + 0x108 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


def wav(alaw: bytes) -> bytes:
    """A RIFF WAVE file, format 6 (A-law), 8000 Hz, mono."""
    form = struct.pack("<HHIIHHH", 6, 1, RATE, RATE, 1, 8, 0)
    fact = struct.pack("<I", len(alaw))
    body = b"WAVE" + b"".join(_chunk(*chunk) for chunk in ((b"fmt ", form), (b"fact", fact), (b"data", alaw)))
    return _chunk(b"RIFF", body)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def index(prompts: dict[str, str]) -> str:
    """The index.toml of one language."""
    entries = [
        f'[[prompt]]\nname = "{name}"\nfile = "{name}.wav"\nwords = "{words}"\napproved = true\n'
        for name, words in prompts.items()
    ]
    return "# Made by scripts/make_prompts.py.\n\n" + "\n".join(entries)


if __name__ == "__main__":
    main(*sys.argv[1:])
