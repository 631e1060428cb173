"""Encryption of secrets at rest: AES-256-GCM, with tenant, row and field as associated data.

Stored as `v1.<kid>.<base64 of nonce and ciphertext>`. The first key of the ring encrypts, every key decrypts. To
rotate, put a new key first and keep the old one until nothing is encrypted under it (`baton secrets reseal`).
"""

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION: Final = "v1"
NONCE_BYTES: Final = 12
SEALED_VALUE: Final = re.compile(rf"{VERSION}\.([^.]+)\.[A-Za-z0-9+/=]+")  # also where a text holds several


class CannotOpen(Exception):
    """The ciphertext was altered, copied from another row or field, or its key, `kid`, is not in the ring."""

    def __init__(self, kid: str, reason: str) -> None:
        super().__init__(f"{reason} (key id {kid!r})")
        self.kid = kid


@dataclass(frozen=True, slots=True)
class KeyRing:
    """32-byte keys by kid, the encrypting one first (`Settings.secret_keys`). Kept out of `repr`."""

    keys: dict[str, bytes] = field(repr=False)

    @property
    def first(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self.keys))

    def seal(self, tenant_id: UUID, owner_id: UUID, name: str, plain: str) -> str:
        """Encrypt one field of one row of one tenant."""
        nonce = os.urandom(NONCE_BYTES)
        key = self.keys[self.first]
        sealed = AESGCM(key).encrypt(nonce, plain.encode(), _associated_data(tenant_id, owner_id, name))
        return f"{VERSION}.{self.first}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, tenant_id: UUID, owner_id: UUID, name: str, sealed: str) -> str:
        """Decrypt what `seal` returned for the same tenant, row and field. Raises CannotOpen for anything else."""
        version, _, rest = sealed.partition(".")
        kid, _, encoded = rest.partition(".")
        if version != VERSION or kid not in self.keys:
            raise CannotOpen(kid, "the key ring lacks the key")
        try:
            raw = base64.b64decode(encoded, validate=True)
            plain = AESGCM(self.keys[kid]).decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], _associated_data(tenant_id, owner_id, name)
            )
        except (InvalidTag, binascii.Error, ValueError):
            raise CannotOpen(kid, "another key, an altered ciphertext, or one of another field") from None
        return plain.decode()

    def opens(self, tenant_id: UUID, owner_id: UUID, name: str, sealed: str) -> bool:
        """Whether `open` would decrypt it."""
        try:
            self.open(tenant_id, owner_id, name, sealed)
        except CannotOpen:
            return False
        return True

    def reseal(self, tenant_id: UUID, owner_id: UUID, name: str, text: str) -> str:
        """The text with every encrypted value in it encrypted under the first key.

        Raises CannotOpen when one of them cannot be decrypted.
        """

        def resealed(value: re.Match[str]) -> str:
            if value[1] == self.first:
                return value[0]
            return self.seal(tenant_id, owner_id, name, self.open(tenant_id, owner_id, name, value[0]))

        return SEALED_VALUE.sub(resealed, text)


def _associated_data(tenant_id: UUID, owner_id: UUID, name: str) -> bytes:
    return f"{tenant_id}|{owner_id}|{name}".encode()
