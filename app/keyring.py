"""Encryption of secrets at rest: AES-256-GCM, with tenant, row and field as associated data.

Stored as `v1.<kid>.<base64 of nonce and ciphertext>`. The first key of the ring encrypts, every key decrypts. To
rotate, put a new key first and keep the old one until nothing is encrypted under it.
"""

import base64
import binascii
import os
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "v1"
NONCE_BYTES = 12


class CannotOpen(Exception):
    """The ciphertext was altered, copied from another row or field, or its key is not in the ring."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """32-byte keys by kid, the encrypting one first (`Settings.secret_keys`). Kept out of `repr`."""

    keys: dict[str, bytes] = field(repr=False)

    def seal(self, tenant_id: UUID, owner_id: UUID, name: str, plain: str) -> str:
        """Encrypt one field of one row of one tenant."""
        kid, key = next(iter(self.keys.items()))
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, plain.encode(), _associated_data(tenant_id, owner_id, name))
        return f"{VERSION}.{kid}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, tenant_id: UUID, owner_id: UUID, name: str, sealed: str) -> str:
        """Decrypt what `seal` returned for the same tenant, row and field; CannotOpen otherwise."""
        version, _, rest = sealed.partition(".")
        kid, _, encoded = rest.partition(".")
        if version != VERSION or kid not in self.keys:
            raise CannotOpen(f"the key ring has no key {kid!r}")
        try:
            raw = base64.b64decode(encoded, validate=True)
            plain = AESGCM(self.keys[kid]).decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], _associated_data(tenant_id, owner_id, name)
            )
        except (InvalidTag, binascii.Error, ValueError):
            raise CannotOpen("the ciphertext was altered, or belongs to another field") from None
        return plain.decode()


def _associated_data(tenant_id: UUID, owner_id: UUID, name: str) -> bytes:
    return f"{tenant_id}|{owner_id}|{name}".encode()
