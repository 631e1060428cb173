"""NKeys: the Ed25519 keys by which users of NATS sign in, and the files that hold one with its JWT. No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USER: Final = bytes([20 << 3])  # public keys of users begin with it, in base32 with U
SEED_OF_USER: Final = bytes([18 << 3 | 20 >> 2, 0])  # their seeds begin with it, in base32 with SU
JWT: Final = re.compile(r"-+BEGIN NATS USER JWT-+\s+([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\s")
USER_SEED: Final = re.compile(r"-+BEGIN USER NKEY SEED-+\s+([A-Z2-7]+)\s")


def key_of(seed: str) -> Ed25519PrivateKey:
    """The key of a seed `SU…`. Raises ValueError for anything else."""
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except ValueError:
        raise ValueError("a seed is in base32") from None
    body, check = raw[:-2], raw[-2:]
    if len(body) != 34 or body[:2] != SEED_OF_USER or check != _checksum(body):
        raise ValueError("a seed of a user has 58 characters and begins with SU")
    return Ed25519PrivateKey.from_private_bytes(body[2:])


def public_key(key: Ed25519PrivateKey) -> str:
    """`U…`, by which the server knows the user."""
    body = USER + key.public_key().public_bytes_raw()
    return base64.b32encode(body + _checksum(body)).decode().rstrip("=")


def signature(key: Ed25519PrivateKey, nonce: str) -> str:
    """The signature of what the server asks to sign."""
    return base64.urlsafe_b64encode(key.sign(nonce.encode())).decode().rstrip("=")


def read_file(text: str) -> tuple[str, str]:
    """The JWT and the seed of a credentials file. Raises ValueError."""
    token, seed = JWT.search(text), USER_SEED.search(text)
    if token is None or seed is None:
        raise ValueError("a credentials file has a user JWT and a user NKEY seed")
    return token[1], seed[1]


def _checksum(body: bytes) -> bytes:
    """CRC-16/XMODEM, the low byte first."""
    return binascii.crc_hqx(body, 0).to_bytes(2, "little")
