"""What a conversion replaces, and what the revert of it takes back or leaves in place. Pure.

Records are as PostgreSQL shows rows in JSON: ids and instants are text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from app import ids
from app.conversion.fields import consent_field
from app.conversion.plan import Part, Plan
from app.journeys.state import Lead
from app.matching.person_consents import Consents
from app.pipeline.kinds import ACCOUNT, CONTACT, OPPORTUNITY, Kind

Row = Mapping[str, Any]
Replaced = dict[str, dict[str, list[Any]]]

LINKS: Final = ("account_id", "contact_id", "opportunity_id")
# Each kind after those of which records hang on it.
FROM_LEAF: Final = (OPPORTUNITY, CONTACT, ACCOUNT)
# Columns that are written with another one, and are not shown.
SHOWN_AS: Final = {"name_key": "name", "email_key": "email"}
CONSENT: Final = consent_field("")


def replaced_by(lead: Lead, plan: Plan) -> Replaced:
    """The old and the new value of each link of the lead, and of each field of a record that existed before."""
    links = zip(LINKS, (plan.account.id, plan.contact.id, plan.opportunity.id), strict=True)
    return {
        "links": {name: [_text(getattr(lead, name)), _text(new)] for name, new in links},
        "account": dict(_replaced_in(plan.account)),
        "contact": dict(_replaced_in(plan.contact)),
    }


def _replaced_in(part: Part) -> Iterator[tuple[str, list[Any]]]:
    record = part.resolved.record or {}
    for name, new in part.columns.items() if record else ():
        if name == "consents":
            old: Consents = record[name]
            yield from ((consent_field(one), [old.get(one), new[one]]) for one in new if old.get(one) != new[one])
        elif record[name] != new:
            yield name, [_text(record[name]), _text(new)]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversion and what is stored now of its records, by the name of their kind.

    `others`: of each record, which other live records hang on it, as pairs of kind and id; two of each kind at most.
    `taken`: the columns of each record whose old value another live record has as its key by now.
    """

    id: UUID
    lead_id: UUID
    answer: Row
    replaced: Replaced | None
    rows: Mapping[str, Row] = field(default_factory=dict)
    others: Mapping[str, Collection[tuple[str, str]]] = field(default_factory=dict)
    taken: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Undo:
    """What a revert does: the records to archive, the columns to write by kind, and what is left in place and why."""

    archived: list[Kind] = field(default_factory=list)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    emptied: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)

    def shown(self, kept: Kept) -> dict[str, Any]:
        """As answers and events show it."""
        archived = [named(kind, kept.rows[kind.name]) for kind in self.archived]
        return {"archived": archived, "emptied": self.emptied, "left_in_place": self.left}


def named(kind: Kind, row: Row) -> dict[str, Any]:
    """A record by its kind and public id."""
    return {"type": kind.name, "id": ids.show(kind.name, UUID(row["id"]))}


def undo_of(kept: Kept) -> Undo:
    """Archives what the conversion made and nobody changed or uses since; elsewhere puts back what it replaced."""
    undo = Undo()
    going: set[tuple[str, str]] = set()
    for kind in FROM_LEAF:
        row = kept.rows.get(kind.name)
        if row is None:
            continue
        if kept.answer[kind.name]["outcome"] != "created":
            _put_back(undo, kind, row, kept)
            if "account_id" in undo.columns.get(kind.name, ()):  # a contact goes back to the account that it was in
                going.add((kind.name, row["id"]))
        elif row["archived_at"] is None:
            if (why := _stays_because(row, set(kept.others.get(kind.name, ())) - going)) is None:
                undo.archived.append(kind)
                going.add((kind.name, row["id"]))
            else:
                undo.left.append({**named(kind, row), "why": why})
    return undo


def _stays_because(row: Row, others: Collection[tuple[str, str]]) -> str | None:
    """Why a record that the conversion made is not archived."""
    if row["version"] != 1:
        return "changed_since"
    return next((f"has_other_{kind}" for kind, _ in sorted(others)), None)


def _put_back(undo: Undo, kind: Kind, row: Row, kept: Kept) -> None:
    """Gives each field of a record that existed before its old value, where it still has that of the conversion."""
    if kept.replaced is None:
        _leave(undo, kind, row, "not_recorded", _fields_written(kept.answer, kind))
        return
    # Of an opportunity that is used a conversion writes nothing.
    replaced, now = kept.replaced.get(kind.name, {}), _with_single_consents(row)
    back: list[str] = []
    stay: dict[str, list[str]] = {}
    for name, (old, new) in replaced.items():
        if name in SHOWN_AS or now.get(name) == old:
            continue
        why = _keeps_because(name, now.get(name), new, kept.taken.get(kind.name, ()))
        (back if why is None else stay.setdefault(why, [])).append(name)
    if back:
        undo.columns[kind.name] = _old_columns(row, replaced, back)
        undo.emptied.append({**named(kind, row), "fields": back})
    for why, names in stay.items():
        _leave(undo, kind, row, why, names)


def _keeps_because(name: str, current: Any, new: Any, taken: Collection[str]) -> str | None:
    """Why a field keeps its value. Who refused or withdrew a consent is held to it, whatever is taken back."""
    if current != new:
        return "changed_since"
    if name.startswith(CONSENT) and new["state"] in ("refused", "withdrawn"):
        return "consent_refused"
    return "key_taken" if name in taken else None


def _old_columns(row: Row, replaced: Mapping[str, list[Any]], back: Collection[str]) -> dict[str, Any]:
    """The columns to write, so that these fields have their old values again."""
    columns = {name: replaced[name][0] for name in back if not name.startswith(CONSENT)}
    columns |= {name: replaced[name][0] for name, shown in SHOWN_AS.items() if shown in columns and name in replaced}
    if columns.get("account_id") is not None:
        columns["account_id"] = UUID(columns["account_id"])
    if consents := {name.removeprefix(CONSENT): replaced[name][0] for name in back if name.startswith(CONSENT)}:
        merged = {**row["consents"], **consents}
        columns["consents"] = {name: one for name, one in merged.items() if one is not None}
    return columns


def _with_single_consents(row: Row) -> Row:
    return {**row, **{consent_field(name): one for name, one in (row.get("consents") or {}).items()}}


def _fields_written(answer: Row, kind: Kind) -> list[str]:
    """The fields that the conversion filled or overwrote in an existing record, as its answer lists them."""
    lines = [line for one in answer["field_outcomes"] for line in (one, *one.get("also", ()))]
    written = (line["target"] for line in lines if line["outcome"] in ("filled", "overwritten"))
    return [name.removeprefix(f"{kind.name}.") for name in written if name.startswith(f"{kind.name}.")]


def _leave(undo: Undo, kind: Kind, row: Row, why: str, fields: list[str]) -> None:
    if fields:
        undo.left.append({**named(kind, row), "why": why, "fields": fields})
