"""Progress tones by country: frequencies, cadence and level as ITU-T E.180 supplement 2 has them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from media.tones import NAMES, TONES, UnknownTone, tone_samples
from tests.media.phone import alaw, linear, loudness

EVERY = [(country, name) for country in TONES for name in NAMES]


def test_the_countries_asked_for_are_there() -> None:
    assert {"cn", "us", "uk", "eu"} <= TONES.keys()
    assert all(tuple(tones) == NAMES for tones in TONES.values())


@pytest.mark.parametrize(("country", "name"), EVERY)
def test_a_tone_sounds_at_its_frequencies_at_minus_10_dbm0_and_is_silent_between(country: str, name: str) -> None:
    tone, codes = TONES[country][name], tone_samples(f"tone:{country}/{name}")
    assert len(codes) == round(sum(tone.cadence) * 8000)
    ends = [round(end * 8000) for end in itertools.accumulate(tone.cadence)]
    for place, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        part = linear(codes[start:end]).astype(float)
        if place % 2:
            assert np.all(np.abs(part) <= 8)
            continue
        power_dbm0 = 10 * np.log10(np.mean(part**2) / (32256**2 / 2)) + 3.14
        assert power_dbm0 == pytest.approx(-10, abs=0.3)
        each = 7110 / len(tone.frequencies) ** 0.5
        for frequency in tone.frequencies:
            assert loudness(codes[start:end], frequency) == pytest.approx(each, rel=0.15)


@pytest.mark.parametrize(
    ("path", "hertz", "cadence"),
    [
        ("tone:cn/ringback", (450,), (1.0, 4.0)),
        ("tone:cn/busy", (450,), (0.35, 0.35)),
        ("tone:cn/congestion", (450,), (0.7, 0.7)),
        ("tone:hk/ringback", (440, 480), (0.4, 0.2, 0.4, 3.0)),
        ("tone:hk/busy", (480, 620), (0.5, 0.5)),
        ("tone:hk/congestion", (480, 620), (0.25, 0.25)),
        ("tone:us/ringback", (440, 480), (2.0, 4.0)),
        ("tone:us/busy", (480, 620), (0.5, 0.5)),
        ("tone:us/congestion", (480, 620), (0.25, 0.25)),
        ("tone:uk/ringback", (400, 450), (0.4, 0.2, 0.4, 2.0)),
        ("tone:uk/busy", (400,), (0.375, 0.375)),
        ("tone:uk/congestion", (400,), (0.4, 0.35, 0.225, 0.525)),
        ("tone:eu/ringback", (425,), (1.0, 4.0)),
        ("tone:eu/busy", (425,), (0.5, 0.5)),
        ("tone:eu/congestion", (425,), (0.2, 0.2)),
    ],
)
def test_the_table_is_the_one_of_e_180(path: str, hertz: tuple[int, ...], cadence: tuple[float, ...]) -> None:
    country, name = path.removeprefix("tone:").split("/")
    assert (TONES[country][name].frequencies, TONES[country][name].cadence) == (hertz, cadence)


def test_a_tone_of_so_many_seconds_is_whole_cycles_and_no_shorter() -> None:
    assert tone_samples("tone:cn/busy/3") == tone_samples("tone:cn/busy") * 5
    assert len(tone_samples("tone:eu/busy/2")) == 16000


def test_the_codes_are_those_of_g711() -> None:
    codes = tone_samples("tone:eu/ringback")[:8000]
    amplitude = 32256 * 10 ** ((-10 - 3.14) / 20)
    exact = (amplitude * np.sin(2 * np.pi * 425 * np.arange(8000) / 8000)).astype(np.int16)
    assert codes == alaw(exact)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("tone:xx/busy", "no such country, expected one of cn, "),
        ("tone:cn/dial", "no such tone, expected one of ringback, busy, congestion"),
        ("tone:cn", "no such tone"),
        ("tone:cn/busy/long", "'long' seconds, expected a number up to 60"),
        ("tone:cn/busy/-1", "expected a number up to 60"),
        ("tone:cn/busy/inf", "expected a number up to 60"),
        ("tone:cn/busy/nan", "expected a number up to 60"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(path: str, reason: str) -> None:
    with pytest.raises(UnknownTone, match=reason):
        tone_samples(path)


def test_a_tone_says_what_it_is() -> None:
    assert str(TONES["uk"]["ringback"]) == "400 + 450 Hz, 0.4/0.2/0.4/2 s on/off"
