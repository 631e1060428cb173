"""The result of normalising: canonical fields, what was typed, and the identities of the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

IdentityKind = Literal["external", "email", "phone", "social"]
EmailStatus = Literal["valid", "invalid", "role", "free", "disposable"]


@dataclass(frozen=True, slots=True)
class Identity:
    """One identifier of a person. Shared ones (phones, role mailboxes) may belong to several people."""

    kind: IdentityKind
    namespace: str
    value: str
    primary: bool = False
    shared: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, value), by which it is looked up and locked."""
        return self.kind, self.namespace, self.value


@dataclass(frozen=True, slots=True)
class Person:
    """One normalised person. `fields` holds only canonical fields that have a value; `raw` what was typed."""

    fields: Mapping[str, str | int] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)
    identities: tuple[Identity, ...] = ()
    email_status: EmailStatus | None = None
    secondary_emails: tuple[str, ...] = ()
    email_domain: str | None = None
    role_mailbox: bool = False
    free_mail: bool = False
    flags: tuple[str, ...] = ()
    custom: Mapping[str, object] = field(default_factory=dict)

    @property
    def first_name(self) -> str | None:
        """The first name, or None."""
        return str(self.fields["first_name"]) if "first_name" in self.fields else None

    @property
    def last_name(self) -> str | None:
        """The last name, or None."""
        return str(self.fields["last_name"]) if "last_name" in self.fields else None
