"""Many conversions in one request, by the same verb as single ones; a refused one does not affect the others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from app import ids
from app.conversion.convert import Asked, convert
from app.conversion.order import BatchOrder
from app.database.transaction import Tx
from app.errors import LeadNotFound
from app.journeys.load import OfLead
from app.problem import Problem
from app.web.auth import Caller
from app.web.gather import Member
from app.web.items import Malformed, well_formed


async def convert_batch(tx: Tx, caller: Caller, order: BatchOrder, now: datetime) -> list[dict[str, Any]]:
    """One result per item, in the order of the items: `{index, lead_id, status, conversion | problem}`.

    Items about the same company or person are converted one after the other. With `atomic` the first refusal is raised,
    with the `index` and `lead_id` of its item, and nothing is converted. What it names of the records that other items
    made, which are undone, is replaced by `conflicts_with_index`, the item that made them. Raises RequestInvalid where
    no item has the right form, or with `atomic` one has not.
    """
    items = well_formed(order.items, "items", needs_all=order.atomic)
    members: dict[int, Asked] = {index: Member(caller, OfLead(item.lead_id, item)) for index, item in items.items()}
    going = list(members.values())
    while going:
        recording = await convert(tx, caller.tenant_id, going, now)
        if recording is not None:
            await recording.write({})
        going = [one for one in going if one.later]
        for one in going:
            one.later = False
    if order.atomic:
        made = {id_: index for index, one in members.items() if one.result is not None for id_ in _made(one.result)}
        for one in members.values():
            if one.problem is not None:
                _leave_out(one.problem, made)
    return [
        _malformed(index, item) if isinstance(item, Malformed) else _result(index, members[index], atomic=order.atomic)
        for index, item in enumerate(order.items)
    ]


def _made(conversion: Mapping[str, Any]) -> list[str]:
    """The ids of a conversion and of the records that it made."""
    records = [conversion[name] for name in ("account", "contact", "opportunity")]
    made = [record["id"] for record in records if record["outcome"] == "created"]
    return [conversion["id"], conversion["transition_id"], *made]


def _leave_out(problem: Problem, made: Mapping[str, int]) -> None:
    """Replace the members of a problem that name one of the ids in `made` by the index of the item that made it."""
    for name, value in list(problem.members.items()):
        shown = orjson.dumps(value, default=str).decode()
        if found := [index for id_, index in made.items() if id_ in shown]:
            del problem.members[name]
            problem.members["conflicts_with_index"] = min(found)
            problem.detail = f"Item {min(found)} of this batch comes first: {problem.detail} Nothing is converted."


def _malformed(index: int, item: Malformed) -> dict[str, Any]:
    problem = item.problem(f"items.{index}")
    return {"index": index, "lead_id": None, "status": problem.status, "problem": problem.document()}


def _result(index: int, one: Asked, *, atomic: bool) -> dict[str, Any]:
    item_ref = {"index": index, "lead_id": ids.show("lead", one.wanted.lead_id)}
    if one.problem is None:
        return {**item_ref, "status": 201, "conversion": one.result}
    if isinstance(one.problem, LeadNotFound):
        one.problem = LeadNotFound.of("lead_id", f"there is no lead {item_ref['lead_id']}")
    for fault in one.problem.members.get("errors", ()):
        fault["field"] = f"items.{index}.{fault['field']}"
    if atomic:
        one.problem.members.update(item_ref)
        raise one.problem
    return {**item_ref, "status": one.problem.status, "problem": one.problem.document()}
