"""Secrets at rest: AES-256-GCM under a ring of keys, bound to the row and field they were written for.

Stored as `v1.<kid>.<base64 of nonce and ciphertext>`. The first key of the ring seals, every key opens, so a new key is
put in front and the old one stays until everything is sealed anew.
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
    """The sealed text was altered, moved from another row, or sealed under a key that is not in the ring."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """32-byte keys by kid, the sealing one first (`Settings.secret_keys`). They never show in a repr."""

    keys: dict[str, bytes] = field(repr=False)

    def seal(self, tenant_id: UUID, owner_id: UUID, name: str, plain: str) -> str:
        """Encrypt one field of one row of one tenant."""
        kid, key = next(iter(self.keys.items()))
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, plain.encode(), _bound_to(tenant_id, owner_id, name))
        return f"{VERSION}.{kid}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, tenant_id: UUID, owner_id: UUID, name: str, sealed: str) -> str:
        """Decrypt what `seal` made for this very field; CannotOpen for anything else."""
        version, _, rest = sealed.partition(".")
        kid, _, encoded = rest.partition(".")
        if version != VERSION or kid not in self.keys:
            raise CannotOpen(f"no key {kid!r} in the ring")
        try:
            raw = base64.b64decode(encoded, validate=True)
            plain = AESGCM(self.keys[kid]).decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(tenant_id, owner_id, name)
            )
        except (InvalidTag, binascii.Error, ValueError):
            raise CannotOpen("not what was sealed here") from None
        return plain.decode()


def _bound_to(tenant_id: UUID, owner_id: UUID, name: str) -> bytes:
    return f"{tenant_id}|{owner_id}|{name}".encode()
