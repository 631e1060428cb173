"""Standard Webhooks: `v1` (HMAC-SHA256) and `v1a` (ed25519) over `id.timestamp.body`, one signature per valid key."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Kind = Literal["v1", "v1a"]
Key = bytes | Ed25519PrivateKey

PREFIX: Final = "whsec_"
PRIVATE_PREFIX, PUBLIC_PREFIX = "whsk_", "whpk_"
SECRET_BYTES: Final = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
SEED_BYTES: Final = 32


def new_secret(kind: Kind = "v1") -> str:
    """A new secret: `whsec_`, or `whsk_` for an ed25519 key, and 32 random bytes in base64."""
    return _shown(PREFIX if kind == "v1" else PRIVATE_PREFIX, secrets.token_bytes(SECRET_BYTES))


def read_key(kind: Kind, secret: str) -> Key:
    """The key of a secret of this kind. Raises ValueError, with what a person has to write, for anything else."""
    return key_of(secret) if kind == "v1" else private_key_of(secret)


def key_of(secret: str) -> bytes:
    """The 24-64 key bytes of a `whsec_…` secret. Raises ValueError for anything else."""
    key = _decoded(secret, PREFIX, "a signing secret")
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError(f"a signing secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return key


def private_key_of(secret: str) -> Ed25519PrivateKey:
    """The key of a `whsk_…` secret: 32 bytes, or these and the 32 of the public key. Raises ValueError for others."""
    raw = _decoded(secret, PRIVATE_PREFIX, "an ed25519 key")
    if len(raw) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise ValueError("an ed25519 key has 32 bytes, or 64 with its public key")
    key = Ed25519PrivateKey.from_private_bytes(raw[:SEED_BYTES])
    if raw[SEED_BYTES:] not in (b"", key.public_key().public_bytes_raw()):
        raise ValueError("the last 32 bytes of an ed25519 key of 64 bytes are its public key; these are of another")
    return key


def public_key(key: Ed25519PrivateKey) -> str:
    """The public half as receivers get it: `whpk_` and 32 bytes in base64."""
    return _shown(PUBLIC_PREFIX, key.public_key().public_bytes_raw())


def signatures(keys: Sequence[Key], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: `v1,<base64>` or `v1a,<base64>` for each key, separated by spaces."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join([_signature(key, signed) for key in keys])


def _signature(key: Key, signed: bytes) -> str:
    if isinstance(key, bytes):
        return _shown("v1,", hmac.digest(key, signed, hashlib.sha256))
    return _shown("v1a,", key.sign(signed))


def _shown(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def _decoded(secret: str, prefix: str, name: str) -> bytes:
    if not secret.startswith(prefix):
        raise ValueError(f"{name} starts with {prefix}")
    try:
        return base64.b64decode(secret.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is base64 after {prefix}") from None
