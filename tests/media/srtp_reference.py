"""SRTP from the RFCs, in plain Python and on no library: what the media core's packets are held against.

RFC 3711 4.1.1 (AES-CM), 4.2.1 (HMAC-SHA1), 4.3 (keys); RFC 7714 (AES-GCM); FIPS 197 (AES); NIST SP 800-38D (GHASH).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

HEADER = 12


def _double(value: int) -> int:
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _make_sbox() -> list[int]:
    powers = [1]
    for _ in range(254):
        powers.append(powers[-1] ^ _double(powers[-1]))
    box = [0x63] * 256
    for exponent, value in enumerate(powers):
        inverse = powers[-exponent % 255]
        spread = inverse * 0x101
        box[value] = (inverse ^ (spread >> 7) ^ (spread >> 6) ^ (spread >> 5) ^ (spread >> 4)) & 0xFF ^ 0x63
    return box


SBOX = _make_sbox()


class Aes:
    """The block cipher, one way."""

    def __init__(self, key: bytes) -> None:
        words, length, constant = [key[at : at + 4] for at in range(0, len(key), 4)], len(key) // 4, 1
        for index in range(length, 4 * (length + 7)):
            word = words[-1]
            if index % length == 0:
                word = bytes(SBOX[value] for value in word[1:] + word[:1])
                word = bytes([word[0] ^ constant]) + word[1:]
                constant = _double(constant)
            elif length > 6 and index % length == 4:
                word = bytes(SBOX[value] for value in word)
            words.append(_xor(words[index - length], word))
        self._keys = [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]

    def block(self, data: bytes) -> bytes:
        """The cipher of 16 bytes."""
        state = _xor(data, self._keys[0])
        for key in self._keys[1:-1]:
            state = _xor(_mixed(_shifted(state)), key)
        return _xor(_shifted(state), self._keys[-1])

    def stream(self, start: int, length: int) -> bytes:
        """`length` bytes of key stream, the counter beginning at `start`."""
        blocks = [self.block((start + index).to_bytes(16, "big")) for index in range(-(-length // 16))]
        return b"".join(blocks)[:length]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _shifted(state: bytes) -> bytes:
    return bytes(SBOX[state[(index + 4 * (index % 4)) % 16]] for index in range(16))


def _mixed(state: bytes) -> bytes:
    out = bytearray()
    for at in range(0, 16, 4):
        column = state[at : at + 4]
        whole = column[0] ^ column[1] ^ column[2] ^ column[3]
        out += bytes(
            column[index] ^ whole ^ (_double(column[index] ^ column[(index + 1) % 4]) & 0xFF) for index in range(4)
        )
    return bytes(out)


def _ghash(key: int, data: bytes) -> int:
    result = 0
    for at in range(0, len(data), 16):
        value, factor, product = result ^ int.from_bytes(data[at : at + 16], "big"), key, 0
        for bit in range(127, -1, -1):
            product ^= factor if value >> bit & 1 else 0
            factor = (factor >> 1) ^ (0xE1 << 120 if factor & 1 else 0)
        result = product
    return result


def gcm(aes: Aes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
    """AES-GCM: the cipher text with its tag of 16 bytes."""
    start = int.from_bytes(nonce + bytes([0, 0, 0, 1]), "big")
    text = _xor(plain, aes.stream(start + 1, len(plain)))
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * len(text)).to_bytes(8, "big")
    hashed = associated + bytes(-len(associated) % 16) + text + bytes(-len(text) % 16) + lengths
    tag = _ghash(int.from_bytes(aes.block(bytes(16)), "big"), hashed).to_bytes(16, "big")
    return text + _xor(tag, aes.stream(start, 16))


def derived(aes: Aes, salt: bytes, label: int, length: int) -> bytes:
    """A session key (RFC 3711 4.3.1, the rate being 0); a shorter salt is filled up (RFC 7714 11)."""
    start = int.from_bytes(salt + bytes(14 - len(salt)), "big") ^ label << 48
    return aes.stream(start << 16, length)


@dataclass(frozen=True)
class Sender:
    """One direction of a stream: protects packets whose numbers have gone round `rollovers` times."""

    suite: str
    key: bytes  # master key and salt

    def seal(self, packet: bytes, rollovers: int = 0) -> bytes:
        """The SRTP packet of an RTP packet with a plain header of 12 bytes."""
        wide = self.suite == "AEAD_AES_256_GCM"
        length = 32 if wide else 16
        master, salt = Aes(self.key[:length]), self.key[length:]
        cipher, session_salt = Aes(derived(master, salt, 0, length)), derived(master, salt, 2, len(salt))
        header, payload, ssrc = packet[:HEADER], packet[HEADER:], int.from_bytes(packet[8:12], "big")
        index = rollovers << 16 | int.from_bytes(packet[2:4], "big")
        if wide:
            nonce = ssrc << 48 | index
            return header + gcm(cipher, _xor(nonce.to_bytes(12, "big"), session_salt), payload, header)
        start = int.from_bytes(session_salt, "big") << 16 ^ ssrc << 64 ^ index << 16
        text = header + _xor(payload, cipher.stream(start, len(payload)))
        proof = hmac.digest(derived(master, salt, 1, 20), text + rollovers.to_bytes(4, "big"), hashlib.sha1)
        return text + proof[: 4 if self.suite.endswith("_32") else 10]
