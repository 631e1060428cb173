"""Which account and contact a conversion uses: the one with a matching strong key, or a new one where none matches.

Several strong matches, or only weak ones, are AmbiguousMatch: the caller chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from app.errors import AmbiguousMatch
from app.matching.mailboxes import is_role_mailbox
from app.matching.name_key import name_key, same_name
from app.matching.text import fold
from app.pipeline.create import unavailable
from app.pipeline.kinds import CONTACT, Kind, candidate, key_taken, shared_keys
from app.problem import Problem

Row = Mapping[str, Any]
WeakKeys = Callable[[Row], list[str]]


@dataclass(frozen=True, slots=True)
class Lookup:
    """How a record is looked up: by the values of its strong keys (`Kind.keys`), and by id.

    `use_id`: the record the caller named; `linked_id`: that of an earlier conversion.
    """

    kind: Kind
    mode: str
    keys: Mapping[str, Any]
    use_id: UUID | None = None
    linked_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """`linked` to a record, `created`, `none`; or undecided (None), with the `problem` and the candidates."""

    outcome: Literal["linked", "created", "none"] | None
    record: Row | None = None
    problem: Problem | None = None
    candidates: list[dict[str, Any]] = field(default_factory=list)


def resolve(lookup: Lookup, rows: Iterable[Row], weak: WeakKeys, *, hidden: bool = False) -> Resolved:
    """Chooses among the rows that share any key with the lookup."""
    kind, found = lookup.kind, list(rows)
    if lookup.mode == "none":
        return Resolved("none")
    if lookup.mode == "use":
        return _use(kind, next(row for row in found if row["id"] == lookup.use_id))
    live = [row for row in found if row["archived_at"] is None]
    strong = [row for row in live if _is_strong_match(lookup, row)]
    if lookup.mode == "create":
        return _create(lookup, [row for row in live if shared_keys(kind, row, lookup.keys)], hidden)
    linked = next((row for row in live if row["id"] == lookup.linked_id), None)
    if linked is not None:
        return Resolved("linked", linked)
    if len(strong) == 1:
        return Resolved("linked", strong[0])
    possible = [(row, shared_keys(kind, row, lookup.keys)) for row in strong]
    possible = possible or [(row, keys) for row in live if (keys := weak(row))]
    return _ambiguous(kind, possible, hidden) if possible else Resolved("created")


def _is_strong_match(lookup: Lookup, row: Row) -> bool:
    keys = shared_keys(lookup.kind, row, lookup.keys)
    if keys == ["email"] and lookup.kind is CONTACT and is_role_mailbox(str(row["email_key"]).partition("@")[0]):
        # office@ is shared by several people: without the same name the address is a weak key only.
        return same_name(*(name_key(one.get("first_name"), one.get("last_name")) for one in (lookup.keys, row)))
    return bool(keys)


def _use(kind: Kind, row: Row) -> Resolved:
    if row["archived_at"] is None:
        return Resolved("linked", row)
    return Resolved(None, problem=unavailable(kind, row["id"], f"{kind.name}.id"))


def _create(lookup: Lookup, holders: list[Row], hidden: bool) -> Resolved:
    """Mode create ignores weak matches; a record that holds a strong key is AlreadyExists."""
    if not holders:
        return Resolved("created")
    problem = key_taken(lookup.kind, holders, lookup.keys)
    candidates = problem.members["candidates"]
    return Resolved(None, problem=_hide_candidates(problem, hidden), candidates=[] if hidden else candidates)


def _ambiguous(kind: Kind, possible: list[tuple[Row, list[str]]], hidden: bool) -> Resolved:
    listed = [candidate(kind, row, keys) for row, keys in possible]
    detail = f"The {kind.name} may exist already: repeat with mode `use` and an id, or with mode `create`."
    problem = _hide_candidates(AmbiguousMatch(detail, candidates=listed), hidden)
    return Resolved(None, problem=problem, candidates=[] if hidden else listed)


def _hide_candidates(problem: Problem, hidden: bool) -> Problem:
    """Replaces the candidates with their number, for callers that may not read records."""
    listed = problem.members["candidates"]
    problem.members["candidates_hidden"] = len(listed) if hidden else 0
    if hidden:
        problem.members["candidates"] = []
    return problem


def weak_account_keys(values: Row) -> WeakKeys:
    """Matches accounts with the same name (legal form ignored) in the same country."""

    def keys(row: Row) -> list[str]:
        alike = values.get("name_key") is not None and row["name_key"] == values["name_key"]
        return ["name_country"] if alike and row["country"] == values.get("country") else []

    return keys


def weak_contact_keys(values: Row) -> WeakKeys:
    """Matches contacts with the same phone and last name, or with the same shared mailbox."""

    def keys(row: Row) -> list[str]:
        found = ["email"] if values.get("email_key") is not None and row["email_key"] == values["email_key"] else []
        last, other = values.get("last_name"), row["last_name"]
        if values.get("phone") and row["phone"] == values["phone"] and last and other and fold(last) == fold(other):
            found.append("phone_name")
        return found

    return keys
