"""Maps lead fields to the columns of the account and the contact, and reports the outcome of every field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from app.journeys.state import Lead
from app.matching.company import company_domain
from app.matching.country import country_code
from app.matching.derive import is_derived, rederived
from app.matching.email import read_email
from app.matching.name_key import NameKey, compare
from app.matching.name_key import name_key as name_key_of
from app.matching.normalize import CANONICAL
from app.matching.person_consents import Consents, replacing
from app.pipeline.forms import DERIVED_COLUMNS, account_columns, contact_columns, name_key, with_derived

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
NAMES: Final = frozenset({"first_name", "last_name", "full_name"})
LONGEST_PHONE: Final = 255
FIELDS: Final[dict[Target, dict[str, str]]] = {"account": ACCOUNT_FIELDS, "contact": CONTACT_FIELDS}


@dataclass(frozen=True, slots=True)
class Filled:
    """The columns to write to one record, and the outcome of each column that has a value (`values`).

    `from_caller`: the columns that the caller gave; they take precedence over the lead's.
    """

    target: Target
    columns: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    from_caller: frozenset[str] = frozenset()


def account_values(lead: Lead, caller_values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the account from the lead, then from the caller, without empty values."""
    values = _lead_values("account", lead)
    values["name_key"] = name_key(values["name"])
    email = read_email(lead.fields["email"]) if lead.fields.get("email") else None
    if values["domain"]:
        is_role = email is not None and email.is_role
        values["domain"] = company_domain((values["domain"],), email.domain if email else None, role_mailbox=is_role)
    given = account_columns(caller_values, lead.fields.get("country"))
    return _without_empty(values | with_derived("account", {**values, "email": lead.fields.get("email")}, given))


def contact_values(lead: Lead, caller_values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the contact from the lead, then from the caller, without empty values."""
    values = _lead_values("contact", lead)
    email = read_email(values["email"]) if values["email"] else None
    values["email_key"] = email.key if email and not email.is_placeholder else None
    given = contact_columns(caller_values, lead.fields.get("country"))
    return _without_empty(values | with_derived("contact", values, given))


def _lead_values(target: Target, lead: Lead) -> dict[str, Any]:
    """The lead's values by column. An unknown country or overlong phone is not copied: it is corrected on the lead."""
    values = {column: lead.fields.get(name) for name, column in FIELDS[target].items()}
    country, phone = values["country"], values["phone"]
    values["country"] = country_code(country) if country else None
    values["phone"] = phone if phone and len(phone) <= LONGEST_PHONE else None
    return values


def _without_empty(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if value not in (None, "")}


def columns_to_overwrite(target: Target, *named: Sequence[str]) -> frozenset[str]:
    """The columns to replace, named by lead field or by column. Names of the other record's fields do no harm."""
    fields = FIELDS[target]
    return frozenset(fields.get(name, name) for names in named for name in names)


def fill(
    target: Target,
    values: Mapping[str, Any],
    existing: Mapping[str, Any] | None,
    overwrite: frozenset[str],
    from_caller: frozenset[str],
    protected: frozenset[str] = frozenset(),
) -> Filled:
    """A new record gets all values; in an existing one empty columns are filled and those in `overwrite` replaced.

    `protected`: columns that are not written, because another record holds the same key.
    """
    columns: dict[str, Any] = {}
    outcomes: dict[str, Outcome] = {}
    if existing is not None and target == "contact" and compare(_name_of(values), _name_of(existing)) == "other":
        protected |= NAMES - overwrite - from_caller  # parts of two names make a person who does not exist
    for name, value in values.items():
        current = None if existing is None else existing.get(name)
        if existing is None:
            outcome: Outcome = "copied"
        elif name in protected or (name not in overwrite | from_caller and is_derived(values, name)):
            outcome = "kept_existing"
        elif current in (None, ""):
            outcome = "filled"
        elif name in overwrite and current != value:
            outcome = "overwritten"
        else:
            outcome = "kept_existing"
        outcomes[name] = outcome
        if outcome != "kept_existing":
            columns[name] = value
    if existing is not None:
        _derive_anew(target, existing, columns, outcomes)
    shown, derived = ("name", "name_key") if target == "account" else ("email", "email_key")
    columns.pop(derived, None)  # written with the column it is derived from, or not at all
    if shown in columns:
        columns[derived] = values.get(derived)
    return Filled(target, columns, outcomes, values, from_caller)


def _name_of(values: Mapping[str, Any]) -> NameKey:
    return name_key_of(*(values.get(name) for name in ("first_name", "last_name", "full_name")))


def _derive_anew(
    target: Target, existing: Mapping[str, Any], columns: dict[str, Any], outcomes: dict[str, Outcome]
) -> None:
    """Derives the columns of an existing record from its own values after the conversion, not from the lead's."""
    names = [name for name in DERIVED_COLUMNS[target] if name in outcomes]
    for name, value in rederived(existing, {**existing, **columns}, frozenset(columns), names).items():
        columns[name] = value
        outcomes[name] = "filled" if existing.get(name) in (None, "") else "overwritten"


def fill_consents(filled: Filled, consents: Consents, existing: Mapping[str, Any] | None) -> Filled:
    """Adds to what is filled of a contact the consents of the lead that count for it (docs/decisions/0028)."""
    known: Consents = {} if existing is None else existing["consents"]
    newer = replacing(known, consents)
    outcomes: dict[str, Outcome] = dict.fromkeys(map(consent_field, consents), "kept_existing")
    for purpose in newer:
        outcomes[consent_field(purpose)] = (
            "copied" if existing is None else "overwritten" if purpose in known else "filled"
        )
    columns = {"consents": {**known, **newer}} if newer or existing is None else {}
    return replace(filled, columns={**filled.columns, **columns}, outcomes={**filled.outcomes, **outcomes})


def consent_field(purpose: str) -> str:
    """The name of a consent in `field_outcomes`."""
    return f"consents.{purpose}"


def field_outcomes(lead: Lead, filled: Sequence[Filled]) -> list[dict[str, Any]]:
    """Every field of the lead, custom ones and consents included, exactly once: `{field, target, outcome}`.

    For a field copied to two records, `target` is in the account, and `also` has the outcome in the contact.
    """
    lines = [_field_outcome(name, lead.fields.get(name), filled) for name in CANONICAL]
    custom = ({"field": f"custom.{name}", "target": None, "outcome": "unmapped"} for name in lead.custom)
    return [*lines, *custom, *(_consent_outcome(consent_field(purpose), filled) for purpose in lead.consents)]


def _consent_outcome(name: str, filled: Sequence[Filled]) -> dict[str, Any]:
    outcome = next((part.outcomes[name] for part in filled if name in part.outcomes), None)
    return {"field": name, "target": outcome and f"contact.{name}", "outcome": outcome or "unmapped"}


def _field_outcome(name: str, value: Any, filled: Sequence[Filled]) -> dict[str, Any]:
    found = []
    for part in filled:
        column = FIELDS[part.target].get(name)
        if column is None or column not in part.outcomes or value in (None, ""):
            continue
        # Where the caller gave another value, the lead's was not copied.
        replaced = column in part.from_caller and part.values[column] != value
        outcome = "kept_existing" if replaced else part.outcomes[column]
        found.append({"target": f"{part.target}.{column}", "outcome": outcome})
    if not found:
        return {"field": name, "target": None, "outcome": "unmapped"}
    return {"field": name, **found[0], **({"also": found[1:]} if found[1:] else {})}
