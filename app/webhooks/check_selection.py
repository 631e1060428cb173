"""What is wrong with the filter and the condition of a subscription, told when it is saved: what can never match."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.leads.consent import purposes
from app.policies import sql as policies_sql
from app.policies.published import active_policy
from app.policies.stages import PLACES
from app.policy.check_conditions import roots
from app.policy.conditions import walk
from app.policy.document import Policy
from app.policy.fault import Fault, did_you_mean, field_of, nearest, unknown
from app.policy.field_word import FieldIs
from app.policy.of_event import OF_EVENT, Selected, condition_faults, member_of, read_condition, reads_lead
from app.policy.person_words import ConsentIs
from app.policy.together import is_custom
from app.policy.view import ConditionBase
from app.policy.words import FromStage, IntoStage, as_values
from app.sources import sql as sources_sql
from app.webhooks.consenting import CONSENT
from app.webhooks.members import can_be, has_member, is_about_lead, may_be_list, stored_members, types_of, unknown_step

CONDITION: Final = "if"
STEPS: Final = ("from", "to")  # members of `data` whose values are stages that were left or entered
STANDS: Final = ("stage", "lead.stage")  # and where something stands
PASSED: Final = ("merged", "erased")  # kinds of stages that only journeys have: no lead stands in one
MOST_TOLD: Final = 20
NO_LEAD: Final = "no event of these types is about a lead: add such types, or leave this out"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be saved: types, filter and condition, as requests write them."""

    types: Sequence[str]
    filter: Mapping[str, Sequence[Any]]
    condition: Mapping[str, Any]


class Stages(NamedTuple):
    """The stages of leads, or of opportunities: those of steps, and those in which one stands."""

    steps: set[str]
    stands: set[str]


@dataclass(frozen=True, slots=True)
class Names:
    """What the policies of a tenant, its sources and its leads name."""

    stages: Mapping[str, Stages]
    purposes: Collection[str]


async def check_selection(tx: Tx, tenant_id: UUID, asked: Asked) -> list[dict[str, str]]:
    """The warnings of what may match, but never does now; as entries of `errors`.

    Raises RequestInvalid for what cannot match: members, values and stages that no event of the types has, and a
    condition with faults.
    """
    members = {name: values for name, values in asked.filter.items() if name != CONSENT}
    if not asked.filter and not asked.condition:
        return []
    needs_policy = CONSENT in asked.filter or asked.condition
    policy = (await active_policy(tx, tenant_id)).policy if needs_policy else None
    names = Names(await _stages(tx, tenant_id), await _purposes(tx, tenant_id, policy) if policy else set())
    types = types_of(asked.types)
    faults, found = list(_filter_faults(types, members, names.stages)), []
    if CONSENT in asked.filter:
        faults += _consent_faults(types, asked.filter[CONSENT], names.purposes)
    if policy and asked.condition:
        root = read_condition(asked.condition)
        found = root if isinstance(root, list) else list(_event_faults(types, root, names))
        if not isinstance(root, list):
            entering = {has_member(each, "to") for each in types}
            selected = Selected(partial(_has_several, types), entering.pop() if len(entering) == 1 else None)
            found = [*condition_faults(policy, root, members, selected), *found]
    faults += [_entry(one) for one in found if one.kind == "fault"]
    if faults:
        first = faults[0]
        raise RequestInvalid(f"{first['field']}: {first['detail']}", errors=faults[:MOST_TOLD])
    return [_entry(one) for one in found][:MOST_TOLD]


def condition_reads_lead(condition: Mapping[str, Any]) -> bool:
    """Whether the condition, as a request has it, is about leads; of one that cannot be read nothing is said here."""
    root = read_condition(condition) if condition else []
    return not isinstance(root, list) and reads_lead(root)


async def _stages(tx: Tx, tenant_id: UUID) -> dict[str, Stages]:
    return {
        name: Stages(
            await policies_sql.stages(tx, tenant_id, place), await policies_sql.stages(tx, tenant_id, place, PASSED)
        )
        for name, place in PLACES.items()
    }


async def _purposes(tx: Tx, tenant_id: UUID, policy: Policy) -> set[str]:
    """The purposes of consents: those every tenant has, that were used, and that its sources and its policy name."""
    catalogue = {one["purpose"] for one in await purposes(tx, tenant_id)}
    asked_by = (node for _, root, _ in roots(policy) for _, node, _ in walk(root))
    named = {node.consent.purpose for node in asked_by if isinstance(node, ConsentIs)}
    return catalogue | named | await sources_sql.consent_purposes(tx, tenant_id)


def _consent_faults(types: Sequence[str], wanted: Sequence[str], purposes: Collection[str]) -> Iterator[dict[str, str]]:
    if not any("lead_id" in stored_members(each) for each in types):
        yield {"field": f"filter.{CONSENT}", "code": "not_here", "detail": NO_LEAD}
    for number, purpose in enumerate(wanted):
        if purpose not in purposes:
            told = unknown("", "purpose", purpose, purposes)
            yield {"field": f"filter.{CONSENT}.{number}", "code": told.code, "detail": told.detail}


def _entry(fault: Fault) -> dict[str, str]:
    field = f"{CONDITION}.{field_of(fault.place)}" if fault.place else CONDITION
    return {"field": field, "code": fault.code, "detail": fault.detail}


def _filter_faults(
    types: Sequence[str], wanted: Mapping[str, Sequence[Any]], stages: Mapping[str, Stages]
) -> Iterator[dict[str, str]]:
    """Members that no event of the types has, and values that these never have."""
    having = {name: [each for each in types if name in stored_members(each)] for name in wanted}
    for name, values in wanted.items():
        if not having[name]:
            known = sorted({member for each in types for member in stored_members(each)})
            detail = f"`data` of no event of these types has a member `{name}`{did_you_mean(name, known)}"
            yield {"field": f"filter.{name}", "code": "unknown_member", "detail": detail}
            continue
        if not values:
            detail = "no value is in an empty list: write the values to accept, or leave the member out"
            yield {"field": f"filter.{name}", "code": "never_true", "detail": detail}
        for number, value in enumerate(values):
            if told := _never(having[name], name, value, stages):
                yield {"field": f"filter.{name}.{number}", "code": told.code, "detail": told.detail}
    if all(having.values()) and wanted and not set(types).intersection(*map(set, having.values())):
        detail = f"no event of these types has all of {', '.join(f'`{name}`' for name in wanted)}"
        yield {"field": "filter", "code": "never_true", "detail": detail}


def _event_faults(types: Sequence[str], root: ConditionBase, names: Names) -> Iterator[Fault]:
    """What a condition asks of members of `data`, of stages, purposes or of a lead, and no event of the types has."""
    about_leads, stages = any(map(is_about_lead, types)), names.stages
    entered = {stage for each in types for stage in _entered(each, stages)}
    for place, node, _ in walk(root):
        member = member_of(node)
        if member is not None and not any(has_member(each, member) for each in types):
            where = f"{place}/field" if isinstance(node, FieldIs) else place
            yield Fault(where, "unknown_member", f"no event of these types has `data.{member}`{_near(types, member)}")
        elif member is not None and isinstance(node, FieldIs):
            yield from _value_faults([each for each in types if has_member(each, member)], place, node, member, stages)
        elif member is None and not (node.members() or about_leads or (entered and isinstance(node, IntoStage))):
            yield Fault(place, "not_here", NO_LEAD)
        elif isinstance(node, ConsentIs) and node.consent.purpose not in names.purposes:
            yield unknown(f"{place}/consent/purpose", "purpose", node.consent.purpose, names.purposes)
        elif isinstance(node, FromStage | IntoStage):
            known = entered if isinstance(node, IntoStage) else _stages_of(types, "from", stages)
            for value in as_values(node.stages if isinstance(node, FromStage) else node.stage):
                if value is not None and value not in known:
                    yield _unknown_stage(f"{place}/{node.keyword}", value, known, _stages_of(types, "to", stages))


def _value_faults(
    types: Sequence[str], place: str, node: FieldIs, member: str, stages: Mapping[str, Stages]
) -> Iterator[Fault]:
    where = f"{place}/{node.comparison}"
    for value in node.values:
        plain = value.strip().casefold() if isinstance(value, str) else value
        told = _never(types, member, value, stages)
        if told and _never(types, member, plain, stages):
            yield Fault(where, told.code, told.detail)
            break  # a list may be long
    numbers = [bound for bound in node.bounds if bound is not None]
    if numbers and not any(can_be(each, member, number) for each in types for number in (*numbers, 0, 1)):
        yield Fault(
            where, "comparison_not_possible", f"`data.{member}` is no number: compare it with is, in or has_word"
        )


def _has_several(types: Sequence[str], field: str) -> bool:
    """Whether an event of the types may have several values of the field at once."""
    member = field.removeprefix(OF_EVENT)
    return is_custom(field) if member == field else any(may_be_list(each, member) for each in types)


def _never(types: Sequence[str], member: str, value: object, stages: Mapping[str, Stages]) -> Fault | None:
    """Why the member has the value in no event of the types, all of which have the member; None if it may."""
    known = _stages_of(types, member, stages) if member in STEPS + STANDS and isinstance(value, str) else None
    if known is not None and value not in known:
        return _unknown_stage("", str(value), known, _stages_of(types, "to", stages))
    if any(can_be(each, member, value) for each in types):
        return None
    return Fault("", "unknown_value", f"`data.{member}` is never {json.dumps(value)} in events of these types")


def _stages_of(types: Sequence[str], member: str, stages: Mapping[str, Stages]) -> set[str]:
    """The stages that the member may have in events of the types: those of leads, of opportunities, or of both."""
    nouns = {each.partition(".")[0] for each in types} if member != "lead.stage" else {"lead"}
    of = [names.steps if member in STEPS else names.stands for noun, names in stages.items() if noun in nouns]
    return set().union(*of)


def _entered(event_type: str, stages: Mapping[str, Stages]) -> set[str]:
    """What `{"stage": …}` may find in an event of the type: the stage that is entered, else that of the lead."""
    if has_member(event_type, "to"):
        return _stages_of([event_type], "to", stages)
    return stages["lead"].stands if is_about_lead(event_type) else set()


def _unknown_stage(place: str, stage: str, known: Iterable[str], steps: Collection[str]) -> Fault:
    if stage in steps:
        detail = f"events of these types never have the stage `{stage}`; they may have {', '.join(sorted(known))}"
        return Fault(place, "never_true", detail)
    detail = f"no policy of this tenant has a stage `{stage}`; stages are {', '.join(sorted(known))}"
    return Fault(place, "stage_unknown", detail)


def _near(types: Sequence[str], member: str) -> str:
    """The nearest name of the first step that no event has, with the steps before it; "" if none is near."""
    before, name, known = unknown_step(types, member)
    found = nearest(name, sorted(known))
    return f"; did you mean `data.{before}{found}`?" if found else ""
