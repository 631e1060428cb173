"""Plans a conversion from the lead, the request and the stored records: what is created, linked and changed.

Pure. A plan with problems in `blocked` must not be written; previews show the rest of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

from app import ids
from app.conversion.fields import (
    Filled,
    Target,
    account_values,
    columns_to_overwrite,
    contact_values,
    field_outcomes,
    fill,
    fill_consents,
)
from app.conversion.match import Lookup, Resolved, resolve, weak_account_keys, weak_contact_keys
from app.conversion.order import ConversionOrder
from app.conversion.sql import Found, SearchKeys
from app.errors import ClassNotAllowed, ContactNotInAccount, OwnerInvalid, RequestInvalid, TargetUnavailable
from app.journeys.owner import owner_invalid
from app.journeys.state import Lead
from app.matching.person_consents import UNKNOWN, Consents
from app.pipeline.create import check_phone, unavailable
from app.pipeline.forms import name_key
from app.pipeline.kinds import ACCOUNT, CONTACT, KEY_NAMES, OPPORTUNITY
from app.policy.document import Policy
from app.policy.facts import OWNERS, Actor
from app.problem import Problem

# Why a new opportunity has its owner; `converted_by`: the lead's own owner cannot own it, so that of who converts.
OwnerReason = Literal["requested", "lead_owner", "converted_by"]

# The columns of a contact that name somebody; a phone or website may be the organization's.
NAMING = ("email", "first_name", "last_name", "full_name", "external_id")


@dataclass(frozen=True, slots=True)
class NewIds:
    """Ids for records that may be created."""

    conversion: UUID = field(default_factory=ids.new_id)
    account: UUID = field(default_factory=ids.new_id)
    contact: UUID = field(default_factory=ids.new_id)
    opportunity: UUID = field(default_factory=ids.new_id)


@dataclass(frozen=True, slots=True)
class Part:
    """The account or the contact of a plan; `columns` are those to write, empty where nothing changes."""

    resolved: Resolved
    id: UUID | None
    filled: Filled
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpportunityPart:
    """The opportunity of a plan; `stage`, `name`, `owner_id` and `owner_reason` are set for a new one only."""

    outcome: Literal["created", "linked", "none"] | None
    id: UUID | None = None
    of_class: str | None = None
    stage: str | None = None
    name: str | None = None
    owner_id: UUID | None = None
    owner_reason: OwnerReason | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    account: Part
    contact: Part
    opportunity: OpportunityPart
    owner_id: UUID | None
    field_outcomes: list[dict[str, Any]]
    blocked: list[Problem]


@dataclass(frozen=True)
class PlanInputs:
    """What a plan is made from.

    `of_class`: the opportunity class that the policy opens from the lead's stage, or None. `hidden`: the caller may not
    read records, so problems show the number of candidates only. `actor`: who converts.
    """

    lead: Lead
    actor: Actor
    order: ConversionOrder
    policy: Policy
    of_class: str | None
    new: NewIds
    hidden: bool = False

    @cached_property
    def account(self) -> dict[str, Any]:
        """The columns of the account, from lead and caller."""
        return account_values(self.lead, self.order.caller_values("account"))

    @cached_property
    def contact(self) -> dict[str, Any]:
        """The columns of the contact, from lead and caller."""
        return contact_values(self.lead, self.order.caller_values("contact"))

    @cached_property
    def owner(self) -> tuple[UUID | None, OwnerReason | None]:
        """The owner of new records, and why: the one requested, else that of the lead, else who converts."""
        if self.order.owner_id is not None:
            return self.order.owner_id, "requested"
        if self.lead.owner is None:
            return None, None
        if self.lead.owner.may_own:
            return self.lead.owner.id, "lead_owner"
        return (self.actor.user_id, "converted_by") if self.actor.role in OWNERS else (None, None)

    @cached_property
    def account_mode(self) -> str:
        """The requested mode; `none` for a person without company and domain, who becomes a contact only (B2C)."""
        values, lead = self.account, self.lead
        named = any(values.get(name) for name in ("name", "domain", "external_id")) or lead.account_id is not None
        return "none" if self.order.account.mode == "match_or_create" and not named else self.order.account.mode

    @property
    def contact_mode(self) -> str:
        """The requested mode; `none` for an organization of which no person is known."""
        mode = self.order.contact.mode
        known = self.lead.kind == "person" or self.lead.contact_id is not None
        is_named = any(self.contact.get(name) for name in NAMING)
        return mode if mode != "match_or_create" or known or is_named else "none"


def search_keys(inputs: PlanInputs) -> SearchKeys:
    """The search keys for `sql.find`."""
    lead, order, contact = inputs.lead, inputs.order, inputs.contact
    account = {} if inputs.account_mode == "none" else inputs.account
    return SearchKeys(
        domain=account.get("domain"),
        account_external_id=account.get("external_id"),
        name_key=account.get("name_key") if inputs.account_mode == "match_or_create" else None,
        country=account.get("country"),
        email_key=contact.get("email_key"),
        contact_external_id=contact.get("external_id"),
        phone=contact.get("phone") if inputs.contact_mode == "match_or_create" else None,
        account_ids=_without_none(order.account.id, lead.account_id),
        contact_ids=_without_none(order.contact.id, lead.contact_id),
        opportunity_ids=_without_none(order.opportunity.id),
        user_ids=_without_none(order.owner_id, order.opportunity.owner_id, order.verification.by),
        lead_ids=[lead.id] if lead.consents else [],
    )


def make_plan(inputs: PlanInputs, found: Found) -> Plan:
    """The plan for the stored records. Those named by mode `use` must be among them."""
    account = _account(inputs, found)
    contact, contact_problem = _contact(inputs, found, account)
    opportunity, opportunity_problem = _opportunity(inputs, found, account)
    problems = (
        account.resolved.problem,
        contact.resolved.problem,
        contact_problem,
        opportunity_problem,
        *_invalid_users(inputs, found),
        *_invalid_phones(inputs),
    )
    parts = [part.filled for part in (account, contact)]
    blocked = [problem for problem in problems if problem is not None]
    return Plan(account, contact, opportunity, inputs.owner[0], field_outcomes(inputs.lead, parts), blocked)


def _account(inputs: PlanInputs, found: Found) -> Part:
    values, order, mode = dict(inputs.account), inputs.order.account, inputs.account_mode
    lookup = Lookup(ACCOUNT, mode, values, order.id, inputs.lead.account_id)
    resolved = resolve(lookup, found.accounts, weak_account_keys(values), hidden=inputs.hidden)
    if mode == "create" and not values.get("name"):  # a person without a company, who gets an account all the same
        values["name"] = values.get("domain") or display_name(inputs.lead)
        values["name_key"] = name_key(values["name"])
    return _part(inputs, "account", values, resolved, found.accounts)


def _contact(inputs: PlanInputs, found: Found, account: Part) -> tuple[Part, Problem | None]:
    values, order = dict(inputs.contact), inputs.order.contact
    lookup = Lookup(CONTACT, inputs.contact_mode, values, order.id, inputs.lead.contact_id)
    resolved = resolve(lookup, found.contacts, weak_contact_keys(values), hidden=inputs.hidden)
    if account.resolved.outcome != "none" and "website" not in order.values.model_fields_set:
        values.pop("website", None)  # the lead's website goes to the account where there is one
    part = _part(inputs, "contact", values, resolved, found.contacts)
    if part.id is not None:
        consents: Consents = {**dict.fromkeys(inputs.lead.consents, UNKNOWN), **found.consents.get(inputs.lead.id, {})}
        filled = fill_consents(part.filled, consents, resolved.record)
        part = replace(part, filled=filled, columns=filled.columns)
    if account.id is None or resolved.outcome in (None, "none"):
        return part, None
    current_account_id = resolved.record["account_id"] if resolved.record is not None else None
    if current_account_id in (None, account.id) or order.relink:
        return _in_account(part, account.id, current_account_id), None
    detail = "The contact belongs to another account: use that one, or set `contact.relink` to move the contact."
    known = {
        "contact_id": ids.show("contact", part.id or inputs.new.contact),
        "account_id": ids.show("account", current_account_id),
    }
    return part, ContactNotInAccount.in_field("contact.relink", detail, **({} if inputs.hidden else known))


def _in_account(part: Part, account_id: UUID, current_account_id: UUID | None) -> Part:
    if current_account_id == account_id:
        return part
    return Part(part.resolved, part.id, part.filled, {**part.columns, "account_id": account_id})


def _part(
    inputs: PlanInputs,
    target: Target,
    values: dict[str, Any],
    resolved: Resolved,
    rows: list[dict[str, Any]],
) -> Part:
    if resolved.outcome not in ("linked", "created"):
        return Part(resolved, None, Filled(target))
    order = inputs.order.account if target == "account" else inputs.order.contact
    from_caller = frozenset(order.values.model_fields_set)
    overwrite = columns_to_overwrite(target, order.overwrite, inputs.policy.conversion.overwrite)
    record = resolved.record
    protected = _keys_of_others(target, values, record, rows) if record is not None else frozenset()
    filled = fill(target, values, record, overwrite, from_caller, protected)
    new_id = inputs.new.account if target == "account" else inputs.new.contact
    return Part(resolved, new_id if record is None else record["id"], filled, filled.columns)


def _keys_of_others(
    target: Target, values: Mapping[str, Any], record: Mapping[str, Any], rows: list[dict[str, Any]]
) -> frozenset[str]:
    """The columns that must not be written, because another live record has the same key."""
    keys = (ACCOUNT if target == "account" else CONTACT).keys
    others = [row for row in rows if row["id"] != record["id"] and row["archived_at"] is None]
    protected = {key for key in keys for row in others if values.get(key) is not None and row[key] == values[key]}
    return frozenset(protected | {KEY_NAMES.get(key, key) for key in protected})


def _opportunity(inputs: PlanInputs, found: Found, account: Part) -> tuple[OpportunityPart, Problem | None]:
    order = inputs.order.opportunity
    if order.mode == "none":
        return OpportunityPart("none"), None
    wrong = _wrong_class(inputs)
    if order.mode == "use":
        row = next(row for row in found.opportunities if row["id"] == order.id)
        return OpportunityPart("linked", row["id"], row["class"]), wrong or _not_usable(row, account)
    stages = inputs.policy.opportunity.stages
    stage = next((one.name for one in stages if one.of_class == inputs.of_class), None)
    record = account.resolved.record
    name = order.name or (record["name"] if record else account.columns.get("name")) or display_name(inputs.lead)
    owner = (order.owner_id, "requested") if order.owner_id is not None else inputs.owner
    return OpportunityPart("created", inputs.new.opportunity, inputs.of_class, stage, name, *owner), wrong


def _wrong_class(inputs: PlanInputs) -> Problem | None:
    wanted = inputs.order.opportunity.of_class
    if wanted in (None, inputs.of_class) or inputs.of_class is None:
        return None
    detail = f"From this stage the policy opens an opportunity of class {inputs.of_class}, not {wanted}."
    fault = {"field": "opportunity.class", "code": "class_not_allowed", "detail": detail}
    return ClassNotAllowed(detail, errors=[fault], allowed=[inputs.of_class])


def _not_usable(row: Mapping[str, Any], account: Part) -> Problem | None:
    if row["archived_at"] is not None:
        return unavailable(OPPORTUNITY, row["id"], "opportunity.id")
    members = {"type": "opportunity", "id": ids.show("opportunity", row["id"])}
    if row["class"] in ("won", "lost"):
        detail = "The opportunity is closed: use an open one, or mode `create`."
        return TargetUnavailable.in_field("opportunity.id", detail, **members)
    if account.id is not None and row["account_id"] not in (None, account.id):
        return TargetUnavailable.in_field("opportunity.id", "The opportunity belongs to another account.", **members)
    return None


def _invalid_users(inputs: PlanInputs, found: Found) -> list[Problem]:
    order, users = inputs.order, found.users
    owners = (("owner_id", order.owner_id), ("opportunity.owner_id", order.opportunity.owner_id))
    wrong = [name for name, user_id in owners if user_id is not None and users.get(user_id) not in OWNERS]
    problems: list[Problem] = [owner_invalid(*wrong)] if wrong else []
    if order.verification.by is not None and order.verification.by not in users:
        detail = "names no active user"
        fault = {"field": "verification.by", "code": OwnerInvalid.code, "detail": detail}
        problems.append(OwnerInvalid(f"verification.by {detail}.", errors=[fault]))
    return problems


def _invalid_phones(inputs: PlanInputs) -> list[Problem]:
    problems: list[Problem] = []
    for part in ("account", "contact"):
        try:
            values = inputs.order.caller_values("account" if part == "account" else "contact")
            check_phone(values, inputs.lead.fields.get("country"), f"{part}.values.phone")
        except RequestInvalid as invalid:
            problems.append(invalid)
    return problems


def display_name(lead: Lead) -> str:
    """The name of a record that has none of its own: the lead's company, name, e-mail or phone."""
    names = (lead.fields.get(name) for name in ("company", "full_name", "last_name", "email", "phone"))
    return str(next((name for name in names if name), ids.show("lead", lead.id)))


def _without_none(*values: UUID | None) -> list[UUID]:
    return [value for value in values if value is not None]
