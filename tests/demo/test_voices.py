"""The voices of the demo are told apart by the recogniser: each finds its own sentence and chirp and no other's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demo.cast import Party, free_cast
from demo.recognise import RATE, find, find_all, listen_for, load
from demo.voices import SPOKEN_S, Voice, resample, speech

PARTIES = free_cast().all


@pytest.mark.parametrize("speaker", PARTIES, ids=lambda party: party.name)
@pytest.mark.parametrize("wanted", PARTIES, ids=lambda party: party.name)
def test_a_voice_is_recognised_as_itself_and_as_no_other(speaker: Party, wanted: Party) -> None:
    said = np.tile(speaker.voice.sentence(), 2)
    hearing = listen_for(said, wanted.voice.sentence())
    chirps = find_all(said, wanted.voice.chirp())
    if speaker is wanted:
        assert hearing is not None
        assert hearing.share == 1.0
        assert len(chirps) == 2
    else:
        assert hearing is None or hearing.share < 0.3
        assert chirps == []


def test_a_voice_lasts_longer_than_any_call(tmp_path: Path) -> None:
    voice = PARTIES[0].voice
    sentence = voice.write(tmp_path / "voice.wav")
    whole = load(tmp_path / "voice.wav")
    assert len(whole) >= SPOKEN_S * RATE
    assert find(whole[: len(sentence)], sentence) is not None


def test_a_chirp_sweeps_within_what_the_telephone_carries() -> None:
    for party in PARTIES:
        assert min(party.voice.sweep_hz) >= 300
        assert max(party.voice.sweep_hz) <= 3400


def test_speech_is_loud_and_says_something_else_for_other_words() -> None:
    one, other = speech("你好", "cmn-latn-pinyin", 50), speech("再见", "cmn-latn-pinyin", 50)
    assert np.max(np.abs(one)) > 0.05
    assert find(np.concatenate([np.zeros(RATE), other, np.zeros(RATE)]), one) is None


def test_resampling_keeps_a_tone_and_its_length() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(22050) / 22050)
    heard = resample(tone, 22050)
    assert len(heard) == RATE
    assert find(heard, np.sin(2 * np.pi * 1000 * np.arange(4000) / RATE), sure=0.99) is not None


def test_every_phone_has_ports_of_its_own() -> None:
    cast = free_cast()
    ports = [port for party in cast.all for port in (party.sip_port, *party.rtp_ports)]
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(cast.ports)
    assert all(party.rtp_ports.start % 2 == 0 for party in cast.all)
    assert isinstance(cast.driver.voice, Voice)
