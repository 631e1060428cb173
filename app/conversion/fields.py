"""What a lead says of its company and its person, and what became of every field (lifecycle.md, section 4, item 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.journeys.state import Lead
from app.matching.company import registrable_domain
from app.matching.country import country_code
from app.matching.email import read_email
from app.matching.mailboxes import is_free_mail
from app.matching.normalize import CANONICAL
from app.pipeline.forms import account_columns, contact_columns, name_key

Outcome = Literal["copied", "filled", "kept_existing", "overwritten", "unmapped"]
Target = Literal["account", "contact"]

ACCOUNT_FIELDS: Final = {
    "company": "name",
    "domain": "domain",
    "website": "website",
    "phone": "phone",
    "industry": "industry",
    "employees": "employees",
    "country": "country",
    "language": "language",
}
CONTACT_FIELDS: Final = {
    name: name
    for name in (
        "email",
        "phone",
        "first_name",
        "last_name",
        "full_name",
        "job_title",
        "role",
        "seniority",
        "country",
        "language",
        "website",
    )
}
LONGEST_PHONE: Final = 255
FIELDS: Final[dict[Target, dict[str, str]]] = {"account": ACCOUNT_FIELDS, "contact": CONTACT_FIELDS}


@dataclass(frozen=True, slots=True)
class Filled:
    """What is written of one record, and what became of each column that was spoken of.

    `given` are the columns that the caller's own values speak of; they go before the lead's.
    """

    target: Target
    columns: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()


def account_said(lead: Lead, values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an account as lead and caller say them, without empty ones."""
    said = _of_lead("account", lead)
    said["name_key"] = name_key(said["name"])
    domain = registrable_domain(said["domain"]) if said["domain"] else None
    said["domain"] = domain if domain and not is_free_mail(domain) else None
    return _without_nothing(said | account_columns(values, lead.fields.get("country")))


def contact_said(lead: Lead, values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a contact as lead and caller say them, without empty ones."""
    said = _of_lead("contact", lead)
    email = read_email(said["email"]) if said["email"] else None
    said["email_key"] = email.key if email else None
    return _without_nothing(said | contact_columns(values, lead.fields.get("country")))


def _of_lead(target: Target, lead: Lead) -> dict[str, Any]:
    """What the lead says. A country or a phone that nobody can read stays with the lead, where it can be put right."""
    said = {column: lead.fields.get(name) for name, column in FIELDS[target].items()}
    country, phone = said["country"], said["phone"]
    said["country"] = country_code(country) if country else None
    said["phone"] = phone if phone and len(phone) <= LONGEST_PHONE else None
    return said


def _without_nothing(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if value not in (None, "")}


def overwritten(target: Target, *named: Sequence[str]) -> frozenset[str]:
    """The columns to replace, named by lead field or by column; `named` may speak of fields of the other record too."""
    fields = FIELDS[target]
    return frozenset(fields.get(name, name) for names in named for name in names)


def fill(
    target: Target,
    said: Mapping[str, Any],
    existing: Mapping[str, Any] | None,
    overwrite: frozenset[str],
    given: frozenset[str],
    held: frozenset[str] = frozenset(),
) -> Filled:
    """A new record takes all that is said; of an existing one empty columns are filled and those named replaced.

    `held` are columns that stay as they are: keys of another record.
    """
    columns: dict[str, Any] = {}
    outcomes: dict[str, Outcome] = {}
    for name, value in said.items():
        have = None if existing is None else existing.get(name)
        if existing is None:
            outcome: Outcome = "copied"
        elif name in held:
            outcome = "kept_existing"
        elif have in (None, ""):
            outcome = "filled"
        elif name in overwrite and have != value:
            outcome = "overwritten"
        else:
            outcome = "kept_existing"
        outcomes[name] = outcome
        if outcome != "kept_existing":
            columns[name] = value
    shown, derived = ("name", "name_key") if target == "account" else ("email", "email_key")
    columns.pop(derived, None)  # the key beside a name or an address goes with it
    if shown in columns:
        columns[derived] = said.get(derived)
    return Filled(target, columns, outcomes, said, given)


def field_outcomes(lead: Lead, filled: Sequence[Filled]) -> list[dict[str, Any]]:
    """Every field of the lead, own answers included, exactly once: `{field, target, outcome}`.

    A field that goes to two records names the account; `also` says what became of it at the contact.
    """
    lines = [_line(name, lead.fields.get(name), filled) for name in CANONICAL]
    own = ({"field": f"custom.{name}", "target": None, "outcome": "unmapped"} for name in lead.custom)
    return [*lines, *own]


def _line(name: str, value: Any, filled: Sequence[Filled]) -> dict[str, Any]:
    found = []
    for part in filled:
        column = FIELDS[part.target].get(name)
        if column is None or column not in part.outcomes or value in (None, ""):
            continue
        # Where the caller said something else, the lead's own value did not arrive.
        replaced = column in part.given and part.said[column] != value
        outcome = "kept_existing" if replaced else part.outcomes[column]
        found.append({"target": f"{part.target}.{column}", "outcome": outcome})
    if not found:
        return {"field": name, "target": None, "outcome": "unmapped"}
    return {"field": name, **found[0], **({"also": found[1:]} if found[1:] else {})}
