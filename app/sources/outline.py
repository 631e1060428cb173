"""What an expression reads and what it can give, known without running it: for the checks made when a source is saved.

Only what is certain is told: an expression whose value depends on the request can give anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import jmespath

from app.sources.closures import children, members

Shape = Literal["object", "list", "text"]  # text: any single value
ANY: Final[frozenset[Shape]] = frozenset({"object", "list", "text"})
_SINGLE: Final[frozenset[Shape]] = frozenset({"text"})
_LIST: Final[frozenset[Shape]] = frozenset({"list"})
_OBJECT: Final[frozenset[Shape]] = frozenset({"object"})
_OF_NAME: Final = {"received_at": _SINGLE, "sha256": _SINGLE, "index": _SINGLE, "headers": _OBJECT, "query": _OBJECT}
# An item that is a text is `to_string(item)`: the bare name is nearly always a member forgotten.
_WHOLE: Final = {"body": _OBJECT, "item": _OBJECT}
_OF_NODE: Final = {
    "multi_select_dict": _OBJECT,
    **dict.fromkeys(("multi_select_list", "projection", "filter_projection", "value_projection", "flatten"), _LIST),
    **dict.fromkeys(("comparator", "not_expression"), _SINGLE),
}
_OF_FUNCTION: Final = {
    **dict.fromkeys(("pairs", "obj_values", "rest", "lines", "merge"), _OBJECT),
    **dict.fromkeys(("titled", "subfields", "split", "keys", "values", "map", "sort", "sort_by", "to_array"), _LIST),
    **dict.fromkeys(
        (
            *("text", "snake", "urlq", "join", "to_string", "to_number", "type", "length", "contains", "starts_with"),
            *("ends_with", "abs", "avg", "ceil", "floor", "sum"),
        ),
        _SINGLE,
    ),
}
_FIRST_ONLY: Final = ("projection", "filter_projection", "value_projection")  # the rest runs on each element


@dataclass(frozen=True, slots=True)
class Outline:
    """`names`: those that the expression reads of the values it is given, such as `item`; `reads_all`: it reads these
    values as a whole (`@`). `shapes`: what it can give; null, which any can give, is none. `constants`: texts that are
    written in it and that can be its value."""

    names: frozenset[str]
    reads_all: bool
    shapes: frozenset[Shape]
    constants: tuple[str, ...]

    @property
    def reads_nothing(self) -> bool:
        """Whether the value is the same for every request."""
        return not self.names and not self.reads_all


@lru_cache(maxsize=2048)
def outline(expression: str) -> Outline:
    """The outline of a valid expression."""
    root = jmespath.compile(expression).parsed
    read = list(_read(root))
    return Outline(frozenset(name for name in read if name), "" in read, _shapes(root), tuple(_constants(root)))


def _read(node: Any) -> Iterator[str]:
    """The names that are read of the values given; "" for all of them."""
    match node["type"]:
        case "field":
            yield node["value"]
        case "current" | "identity":
            yield ""
        case "expref":
            return
        case "subexpression" | "index_expression" | "pipe":
            first, *following = members(node)
            while first["type"] in ("current", "identity") and following:
                first, *following = following
            yield from _read(first)
        case kind if kind in _FIRST_ONLY:
            yield from _read(node["children"][0])
        case _:
            for child in children(node):
                yield from _read(child)


def _shapes(node: Any) -> frozenset[Shape]:
    kind = node["type"]
    if kind in _OF_NODE:
        return _OF_NODE[kind]
    match kind:
        case "field":
            return {**_OF_NAME, **_WHOLE}.get(node["value"], ANY)
        case "literal":
            return _shape_of(node["value"])
        case "function_expression":
            return _OF_FUNCTION.get(node["value"], ANY)
        case "or_expression":
            return frozenset().union(*map(_shapes, members(node)))
        case "and_expression":  # a false one before the last is "", false, [] or {}
            return _shapes(members(node)[-1])
        case "subexpression" | "pipe":
            last = members(node)[-1]
            return ANY if last["type"] in ("field", "current") else _shapes(last)
    return ANY


def _shape_of(value: Any) -> frozenset[Shape]:
    if value is None:
        return ANY
    return _OBJECT if isinstance(value, dict) else _LIST if isinstance(value, list) else _SINGLE


def _constants(node: Any) -> Iterator[str]:
    match node["type"]:
        case "literal" if isinstance(node["value"], str):
            yield node["value"]
        case "or_expression":
            for member in members(node):
                yield from _constants(member)
        case "and_expression":
            yield from _constants(members(node)[-1])
