"""The plan of a conversion: from the lead, the order and what is stored, to what will be made. Pure.

A plan that has `blocked` cannot be carried out; the rest of it still says what can be said, for the preview.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

from app import ids
from app.conversion.fields import Filled, Target, account_said, contact_said, field_outcomes, fill, overwritten
from app.conversion.match import Resolved, Sought, resolve, weak_account, weak_contact
from app.conversion.order import ConversionOrder
from app.conversion.sql import Found
from app.errors import ClassNotAllowed, ContactNotInAccount, OwnerInvalid, Problem, TargetUnavailable
from app.journeys.state import Lead
from app.pipeline.create import unavailable
from app.pipeline.forms import name_key
from app.pipeline.kinds import ACCOUNT, CALLED, CONTACT, OPPORTUNITY
from app.policy.document import Policy


@dataclass(frozen=True, slots=True)
class NewIds:
    """The ids of what may be made, chosen before, so that a second try makes the same records."""

    conversion: UUID = field(default_factory=ids.new_id)
    account: UUID = field(default_factory=ids.new_id)
    contact: UUID = field(default_factory=ids.new_id)
    opportunity: UUID = field(default_factory=ids.new_id)


@dataclass(frozen=True, slots=True)
class Part:
    """An account or a contact: what becomes of it, and what is written of it (`columns`, none where nothing is)."""

    resolved: Resolved
    id: UUID | None
    filled: Filled
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        return self.resolved.outcome == "created" and not self.resolved.written


@dataclass(frozen=True, slots=True)
class Deal:
    """The opportunity. `stage` and `name` are those of a new one."""

    outcome: Literal["created", "linked", "none"] | None
    id: UUID | None = None
    of_class: str | None = None
    stage: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    account: Part
    contact: Part
    deal: Deal
    owner_id: UUID | None
    field_outcomes: list[dict[str, Any]]
    blocked: list[Problem]

    @property
    def fills_key(self) -> bool:
        """Whether an existing record gets a key that must be one record's alone."""
        pairs = ((ACCOUNT, self.account), (CONTACT, self.contact))
        return any(
            part.resolved.record is not None and not part.columns.keys().isdisjoint(kind.keys) for kind, part in pairs
        )


@dataclass(frozen=True)
class Case:
    """What a plan is made from. `of_class`: the class the policy opens from the lead's stage, None where none."""

    lead: Lead
    order: ConversionOrder
    policy: Policy
    of_class: str | None
    new: NewIds
    hidden: bool = False

    @cached_property
    def account(self) -> dict[str, Any]:
        """The columns of the account as lead and caller say them."""
        return account_said(self.lead, self.order.said_of("account"))

    @cached_property
    def contact(self) -> dict[str, Any]:
        """The columns of the contact as lead and caller say them."""
        return contact_said(self.lead, self.order.said_of("contact"))

    @cached_property
    def account_mode(self) -> str:
        """A person without company and domain becomes a contact alone (B2C)."""
        said, lead = self.account, self.lead
        named = any(said.get(name) for name in ("name", "domain", "external_id")) or lead.account_id is not None
        return "none" if self.order.account.mode == "match_or_create" and not named else self.order.account.mode


def search(case: Case) -> dict[str, Any]:
    """The keys of `sql.find` for a case."""
    lead, order, contact = case.lead, case.order, case.contact
    account = {} if case.account_mode == "none" else case.account
    people = (order.owner_id, order.opportunity.owner_id, order.verification.by)
    return {
        "domain": account.get("domain"),
        "account_external_id": account.get("external_id"),
        "name_key": account.get("name_key") if case.account_mode == "match_or_create" else None,
        "country": account.get("country"),
        "email_key": contact.get("email_key"),
        "contact_external_id": contact.get("external_id"),
        "phone": contact.get("phone") if order.contact.mode == "match_or_create" else None,
        "account_ids": _some(order.account.id, lead.account_id),
        "contact_ids": _some(order.contact.id, lead.contact_id),
        "opportunity_ids": _some(order.opportunity.id),
        "user_ids": _some(*people),
    }


def make_plan(case: Case, found: Found) -> Plan:
    """What the order makes of the lead, given what is stored. A record named by `use` must be among what was found."""
    account = _account(case, found)
    contact, apart = _contact(case, found, account)
    deal, closed = _deal(case, found, account)
    problems = (account.resolved.problem, contact.resolved.problem, apart, closed, *_people(case, found))
    parts = [part.filled for part in (account, contact)]
    owner_id = case.order.owner_id or (case.lead.owner.id if case.lead.owner else None)
    blocked = [problem for problem in problems if problem is not None]
    return Plan(account, contact, deal, owner_id, field_outcomes(case.lead, parts), blocked)


def _account(case: Case, found: Found) -> Part:
    said, order, mode = dict(case.account), case.order.account, case.account_mode
    sought = Sought(ACCOUNT, mode, said, order.id, case.lead.account_id, case.new.account)
    resolved = resolve(sought, found.accounts, weak_account(said), hidden=case.hidden)
    if mode == "create" and not said.get("name"):  # a person who is to be a company of his own
        said["name"] = said.get("domain") or called(case.lead)
        said["name_key"] = name_key(said["name"])
    return _part(case, "account", said, resolved, found.accounts, case.new.account)


def _contact(case: Case, found: Found, account: Part) -> tuple[Part, Problem | None]:
    said, order = dict(case.contact), case.order.contact
    sought = Sought(CONTACT, order.mode, said, order.id, case.lead.contact_id, case.new.contact)
    resolved = resolve(sought, found.contacts, weak_contact(said), hidden=case.hidden)
    if account.resolved.outcome != "none" and "website" not in order.values.model_fields_set:
        said.pop("website", None)  # a website is the company's, where there is one
    part = _part(case, "contact", said, resolved, found.contacts, case.new.contact)
    if account.id is None or resolved.outcome is None:
        return part, None
    belongs = resolved.record["account_id"] if resolved.record is not None else None
    if belongs in (None, account.id) or order.relink:
        return _linked(part, account.id, belongs), None
    detail = "The contact belongs to another account: use that one, or relink the contact."
    known = {"contact_id": ids.show("contact", part.id or case.new.contact), "account_id": ids.show("account", belongs)}
    return part, ContactNotInAccount(detail, **({} if case.hidden else known))


def _linked(part: Part, account_id: UUID, belongs: UUID | None) -> Part:
    if belongs == account_id:
        return part
    return Part(part.resolved, part.id, part.filled, {**part.columns, "account_id": account_id})


def _part(
    case: Case, target: Target, said: dict[str, Any], resolved: Resolved, rows: list[dict[str, Any]], new_id: UUID
) -> Part:
    if resolved.outcome not in ("linked", "created"):
        return Part(resolved, None, Filled(target))
    order = case.order.account if target == "account" else case.order.contact
    given = frozenset(order.values.model_fields_set)
    overwrite = overwritten(target, order.overwrite, case.policy.conversion.overwrite)
    if resolved.record is None:
        filled = fill(target, said, None, overwrite, given)
        return Part(resolved, new_id, filled, filled.columns)
    held = _held(target, said, resolved.record, rows)
    filled = fill(target, said, resolved.record, overwrite, given, held)
    return Part(resolved, resolved.record["id"], filled, filled.columns)


def _held(
    target: Target, said: Mapping[str, Any], record: Mapping[str, Any], rows: list[dict[str, Any]]
) -> frozenset[str]:
    """The columns that may not be filled into an existing record: keys that another live record holds."""
    keys = (ACCOUNT if target == "account" else CONTACT).keys
    others = [row for row in rows if row["id"] != record["id"] and row["archived_at"] is None]
    held = {key for key in keys for row in others if said.get(key) is not None and row[key] == said[key]}
    return frozenset(held | {CALLED.get(key, key) for key in held})


def _deal(case: Case, found: Found, account: Part) -> tuple[Deal, Problem | None]:
    order = case.order.opportunity
    if order.mode == "none":
        return Deal("none"), None
    wrong = _wrong_class(case)
    if order.mode == "use":
        row = next(row for row in found.opportunities if row["id"] == order.id)
        return Deal("linked", row["id"], row["class"]), wrong or _not_usable(row, account)
    stages = case.policy.opportunity.stages
    stage = next((one.name for one in stages if one.of_class == case.of_class), None)
    record = account.resolved.record
    name = order.name or (record["name"] if record else account.columns.get("name")) or called(case.lead)
    return Deal("created", case.new.opportunity, case.of_class, stage, name), wrong


def _wrong_class(case: Case) -> Problem | None:
    wanted = case.order.opportunity.of_class
    if wanted in (None, case.of_class) or case.of_class is None:
        return None
    detail = f"From this stage the policy opens an opportunity of class {case.of_class}, not {wanted}."
    fault = {"field": "opportunity.class", "code": "class_not_allowed", "detail": detail}
    return ClassNotAllowed(detail, errors=[fault], allowed=[case.of_class])


def _not_usable(row: Mapping[str, Any], account: Part) -> Problem | None:
    if row["archived_at"] is not None:
        return unavailable(OPPORTUNITY, row["id"])
    members = {"type": "opportunity", "id": ids.show("opportunity", row["id"])}
    if row["class"] in ("won", "lost"):
        return TargetUnavailable("The opportunity is closed.", **members)
    if account.id is not None and row["account_id"] not in (None, account.id):
        return TargetUnavailable("The opportunity is another account's.", **members)
    return None


def _people(case: Case, found: Found) -> list[Problem]:
    order = case.order
    named = (
        ("owner_id", order.owner_id),
        ("opportunity.owner_id", order.opportunity.owner_id),
        ("verification.by", order.verification.by),
    )
    unknown = [name for name, user_id in named if user_id is not None and user_id not in found.users]
    faults = [{"field": name, "code": "owner_invalid", "detail": "names no active user"} for name in unknown]
    return [OwnerInvalid(f"{' and '.join(unknown)} must name an active user.", errors=faults)] if unknown else []


def called(lead: Lead) -> str:
    """What a lead is called where nothing better is known."""
    names = (lead.fields.get(name) for name in ("company", "full_name", "last_name", "email", "phone"))
    return str(next((name for name in names if name), ids.show("lead", lead.id)))


def _some(*values: UUID | None) -> list[UUID]:
    return [value for value in values if value is not None]
