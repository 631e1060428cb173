"""Which account and contact are meant: a certain one is used, without any one is made, all else is asked (item 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from app.errors import AmbiguousMatch, Problem
from app.matching.mailboxes import is_role_mailbox
from app.matching.names import same_name
from app.matching.text import fold
from app.pipeline.create import unavailable
from app.pipeline.kinds import CONTACT, Kind, candidate, held_keys, taken

Row = Mapping[str, Any]
Weak = Callable[[Row], list[str]]


@dataclass(frozen=True, slots=True)
class Sought:
    """What one record is looked for by: the certain keys (of `Kind.keys`), and the ids named or linked before."""

    kind: Kind
    mode: str
    keys: Mapping[str, Any]
    used: UUID | None = None
    linked: UUID | None = None
    made: UUID | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """`linked` to a record, `created`, `none`; or not known yet (None), with `problem` and what to choose from.

    `written`: a first try of this very transaction has made the record already.
    """

    outcome: Literal["linked", "created", "none"] | None
    record: Row | None = None
    problem: Problem | None = None
    candidates: list[dict[str, Any]] = field(default_factory=list)
    written: bool = False


def resolve(sought: Sought, rows: Iterable[Row], weak: Weak, *, hidden: bool = False) -> Resolved:
    """The record that is meant among the rows that were found by any of its keys."""
    kind, found = sought.kind, list(rows)
    if sought.mode == "none":
        return Resolved("none")
    if any(row["id"] == sought.made for row in found):
        return Resolved("created", written=True)
    if sought.mode == "use":
        return _used(kind, next(row for row in found if row["id"] == sought.used))
    live = [row for row in found if row["archived_at"] is None]
    strong = [row for row in live if _certain(sought, row)]
    if sought.mode == "create":
        return _free(sought, [row for row in live if held_keys(kind, row, sought.keys)], hidden)
    before = next((row for row in live if row["id"] == sought.linked), None)
    if before is not None:
        return Resolved("linked", before)
    if len(strong) == 1:
        return Resolved("linked", strong[0])
    asked = [(row, held_keys(kind, row, sought.keys)) for row in strong]
    asked = asked or [(row, keys) for row in live if (keys := weak(row))]
    return _ambiguous(kind, asked, hidden) if asked else Resolved("created")


def _certain(sought: Sought, row: Row) -> bool:
    keys = held_keys(sought.kind, row, sought.keys)
    if keys == ["email"] and sought.kind is CONTACT and is_role_mailbox(str(row["email_key"]).partition("@")[0]):
        # office@ is several people's: without the same name it finds somebody, and decides nothing.
        names = sought.keys.get("first_name"), sought.keys.get("last_name")
        return same_name(*names, row["first_name"], row["last_name"])
    return bool(keys)


def _used(kind: Kind, row: Row) -> Resolved:
    if row["archived_at"] is None:
        return Resolved("linked", row)
    return Resolved(None, problem=unavailable(kind, row["id"]))


def _free(sought: Sought, holders: list[Row], hidden: bool) -> Resolved:
    """A new record beside weak candidates, never beside one that holds a certain key."""
    if not holders:
        return Resolved("created")
    problem = taken(sought.kind, holders, sought.keys)
    candidates = problem.members["candidates"]
    return Resolved(None, problem=_hide(problem, hidden), candidates=[] if hidden else candidates)


def _ambiguous(kind: Kind, asked: list[tuple[Row, list[str]]], hidden: bool) -> Resolved:
    listed = [candidate(kind, row, keys) for row, keys in asked]
    detail = f"Say which {kind.name} is meant (mode use) or that it is new (mode create)."
    problem = _hide(AmbiguousMatch(detail, candidates=listed), hidden)
    return Resolved(None, problem=problem, candidates=[] if hidden else listed)


def _hide(problem: Problem, hidden: bool) -> Problem:
    """Who may not read records learns how many there are, and nothing else of them."""
    listed = problem.members["candidates"]
    problem.members["candidates_hidden"] = len(listed) if hidden else 0
    if hidden:
        problem.members["candidates"] = []
    return problem


def weak_account(said: Row) -> Weak:
    """Accounts of the same name, legal forms aside, in the same country."""

    def keys(row: Row) -> list[str]:
        alike = said.get("name_key") is not None and row["name_key"] == said["name_key"]
        return ["name_country"] if alike and row["country"] == said.get("country") else []

    return keys


def weak_contact(said: Row) -> Weak:
    """Contacts with the same phone and last name; or the mailbox of several people."""

    def keys(row: Row) -> list[str]:
        found = ["email"] if said.get("email_key") is not None and row["email_key"] == said["email_key"] else []
        last, other = said.get("last_name"), row["last_name"]
        if said.get("phone") and row["phone"] == said["phone"] and last and other and fold(last) == fold(other):
            found.append("phone_name")
        return found

    return keys
