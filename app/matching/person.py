"""The result of normalising: canonical fields, what was typed, and the identities of the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.matching.name_key import NameKey, name_key

LeadKind = Literal["person", "organization"]
IdentityKind = Literal["external", "email", "phone", "social", "domain"]
EmailStatus = Literal["valid", "invalid", "placeholder", "role", "free", "disposable"]
PhoneStatus = Literal["valid", "invalid", "shared"]  # shared: several leads have the number


@dataclass(frozen=True, slots=True)
class Identity:
    """One identifier of a person. Shared ones (phones, role mailboxes) may belong to several people.

    A `domain` is that of an organization, which a lead of this kind alone has.
    """

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
    """One normalised person, or an organization without one (`kind`).

    `fields` holds only canonical fields that have a value; `raw` what was typed, where that differs from the value.
    """

    fields: Mapping[str, str | int] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)
    identities: tuple[Identity, ...] = ()
    kind: LeadKind = "person"
    email_status: EmailStatus | None = None
    phone_status: PhoneStatus | None = None
    secondary_emails: tuple[str, ...] = ()
    email_domain: str | None = None
    role_mailbox: bool = False
    free_mail: bool = False
    flags: tuple[str, ...] = ()
    custom: Mapping[str, object] = field(default_factory=dict)

    @property
    def first_name(self) -> str | None:
        """The first name, or None."""
        return self._text("first_name")

    @property
    def last_name(self) -> str | None:
        """The last name, or None."""
        return self._text("last_name")

    @property
    def full_name(self) -> str | None:
        """The full name, or None."""
        return self._text("full_name")

    def _text(self, name: str) -> str | None:
        value = self.fields.get(name)
        return None if value is None else str(value)

    @property
    def name_key(self) -> NameKey:
        """The name in the form in which names are compared."""
        return name_key(self.first_name, self.last_name, self.full_name)

    @property
    def has_own_email(self) -> bool:
        """Whether there is an e-mail address that belongs to one person."""
        return any(one.kind == "email" and not one.shared for one in self.identities)

    @property
    def names_somebody(self) -> bool:
        """Whether anything identifies an individual: a name, an address or profile of their own, a job title."""
        named = not self.fields.keys().isdisjoint(("first_name", "last_name", "full_name", "job_title"))
        return named or self.has_own_email or any(one.kind == "social" for one in self.identities)
