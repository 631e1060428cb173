"""Which members the `data` of each event type has, and which values these can have, by the schemas of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.events.about_leads import LeadEventData
from app.events.catalogue import TYPES
from app.ids import new_id
from app.journeys.shown import recorded_members
from app.journeys.state import Lead
from app.leads.schemas import LeadOut
from app.policy.facts import CRITERIA
from app.webhooks.accepted import is_of

LEAD: Final = "lead"
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The members of `data.lead` and, where their names are always the same, of its members.
OF_LEAD: Final = {
    **recorded_members(Lead(new_id(), _NEVER, _NEVER)),
    "score": dict.fromkeys(("fit", "engagement", "level", "temperature")),
    "bant": dict.fromkeys(CRITERIA),
    "raw": None,
}


def types_of(patterns: Iterable[str]) -> list[str]:
    """The event types that the patterns name, but the ping, which is sent to a subscription whatever it says."""
    return [name for name in TYPES if name != "subscription.ping" and any(is_of(name, each) for each in patterns)]


def is_about_lead(event_type: str) -> bool:
    """Whether events of the type may have a lead."""
    return issubclass(TYPES[event_type], LeadEventData)


def stored_members(event_type: str) -> set[str]:
    """The members of `data` as it is stored, which a filter compares."""
    return {info.alias or name for name, info in TYPES[event_type].model_fields.items()} - {LEAD}


def has_member(event_type: str, member: str) -> bool:
    """Whether `data` may have the member, such as `source.name`, `reached.name` or `lead.score.fit`."""
    path = tuple(member.split("."))
    if path[0] == LEAD:
        return is_about_lead(event_type) and len(path) > 1 and _is_in_lead(path[1:])
    return bool(_shapes(event_type, path))


def unknown_step(types: Sequence[str], member: str) -> tuple[str, str, set[str]]:
    """Of a member that no event of the types has: the steps that they have, the next step, and what they have instead.

    For `lead.score.fitt` that is `lead.score.`, `fitt`, and `fit`, `engagement` and so on.
    """
    steps = member.split(".")
    for number, step in enumerate(steps):
        known = {name for each in types for name in _names_in(each, tuple(steps[:number]))}
        if step not in known:
            break
    return "".join(f"{one}." for one in steps[:number]), step, set() if step in known else known


def _names_in(event_type: str, path: tuple[str, ...]) -> set[str]:
    """The names of members of this member; none where it is free."""
    if not path:
        return stored_members(event_type) | ({LEAD} if is_about_lead(event_type) else set())
    if path[0] == LEAD:
        node: Any = OF_LEAD
        for name in path[1:]:
            node = node.get(name) if isinstance(node, dict) else None
        return set(node) if isinstance(node, dict) else set()
    models = [one for one in _shapes(event_type, path) if isinstance(one, type) and issubclass(one, BaseModel)]
    return {info.alias or name for model in models for name, info in model.model_fields.items()}


def can_be(event_type: str, member: str, value: object) -> bool:
    """Whether the member can have the value. In free objects everything is possible."""
    path = tuple(member.split("."))
    if path[0] == LEAD and (len(path) == 1 or path[1] not in LeadOut.model_fields):
        return True
    return any(_fits(adapter, value) for adapter in _adapters(event_type, path))


def may_be_list(event_type: str, member: str) -> bool:
    """Whether the member, or one that it is in, may be a list, so that it has several values. What is free may be."""
    path = tuple(member.split("."))
    if path[0] == LEAD and (len(path) == 1 or path[1] not in LeadOut.model_fields):
        return True
    shapes: list[Any] = [LeadOut if path[0] == LEAD else TYPES[event_type]]
    for name in path[path[0] == LEAD :]:
        shapes = [inner for shape in shapes for inner in _inner(shape, name)]
        if any(map(_has_list, shapes)):
            return True
    return False


def _has_list(shape: Any) -> bool:
    origin = get_origin(shape)
    if origin in (Union, UnionType, Annotated):
        return any(map(_has_list, get_args(shape)[: 1 if origin is Annotated else None]))
    return shape is Any or list in (shape, origin)


def _is_in_lead(path: Sequence[str]) -> bool:
    node: Any = OF_LEAD
    for name in path:
        if not isinstance(node, dict) or not node:
            return True
        if name not in node:
            return False
        node = node[name]
    return True


@lru_cache(maxsize=2048)
def _shapes(event_type: str, path: tuple[str, ...]) -> tuple[Any, ...]:
    """The types that the member may have; none if there is no such member."""
    of_lead = path[0] == LEAD
    shapes: list[Any] = [LeadOut if of_lead else TYPES[event_type]]
    for name in path[of_lead:]:
        shapes = [inner for shape in shapes for inner in _inner(shape, name)]
    return tuple(one for shape in shapes for one in _plain(shape))


@lru_cache(maxsize=2048)
def _adapters(event_type: str, path: tuple[str, ...]) -> tuple[TypeAdapter[Any], ...]:
    # Objects are left out: what is compared is a text, a number, true, false or null.
    shapes = [
        shape for shape in _shapes(event_type, path) if not (isinstance(shape, type) and issubclass(shape, BaseModel))
    ]
    return tuple(TypeAdapter(shape, config=ConfigDict(strict=True)) for shape in shapes)


def _inner(shape: Any, name: str) -> Iterator[Any]:
    for plain in _plain(shape):
        kind = get_args(plain)[0] if get_origin(plain) is Annotated else plain
        if kind is Any or kind is dict or get_origin(kind) is dict:
            yield get_args(kind)[1] if get_args(kind) else Any
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            for own, info in kind.model_fields.items():
                if (info.alias or own) == name:
                    yield Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


def _plain(shape: Any) -> Iterator[Any]:
    """The types of a union, and of the items of a list, of which one has to fit."""
    origin, arguments = get_origin(shape), get_args(shape)
    if origin in (Union, UnionType):
        for one in arguments:
            yield from _plain(one)
    elif origin is list:
        yield from _plain(arguments[0])
    else:
        yield shape


def _fits(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_json(orjson.dumps(value))
    except ValidationError:
        return False
    return True
