"""Compiles the frequent JMESPath node types to Python closures, which context faster than the library's interpreter.

A source evaluates about forty expressions for each submission. Parsing, functions and all other node types are the
library's; tests compare the results of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jmespath.visitor import TreeInterpreter

# (value, context): the Context of expressions.py tracks which members are read and holds the functions.
Step = Callable[[Any, Any], Any]


def build(node: Any) -> Step:
    """Compiles a node."""
    return _MAKERS.get(node["type"], _evaluate_in_library)(node)


def _evaluate_in_library(node: Any) -> Step:
    return lambda value, context: context.visit(node, value)


def _is_false(value: Any) -> bool:
    return value is None or value is False or value == "" or value == [] or value == {}


def _field(node: Any) -> Step:
    name = node["value"]

    def field(value: Any, context: Any) -> Any:
        if not isinstance(value, dict):
            return None
        context.reads.record(value, name)
        return value.get(name)

    return field


def _index(node: Any) -> Step:
    place = node["value"]

    def index(value: Any, context: Any) -> Any:
        return value[place] if isinstance(value, list) and -len(value) <= place < len(value) else None

    return index


def _chain(node: Any) -> Step:
    steps = [build(child) for child in node["children"]]

    def chain(value: Any, context: Any) -> Any:
        for step in steps:
            value = step(value, context)
        return value

    return chain


def _or(node: Any) -> Step:
    left, right = map(build, node["children"])

    def or_else(value: Any, context: Any) -> Any:
        found = left(value, context)
        return right(value, context) if _is_false(found) else found

    return or_else


def _comparator(node: Any) -> Step:
    if node["value"] not in ("eq", "ne"):
        # <, <=, > and >= have rules for values that cannot be ordered; they are rare, so the library evaluates them.
        return _evaluate_in_library(node)
    left, right = map(build, node["children"])
    compare = TreeInterpreter.COMPARATOR_FUNC[node["value"]]
    return lambda value, context: compare(left(value, context), right(value, context))


def _filter(node: Any) -> Step:
    base, each, test = map(build, node["children"])

    def filtered(value: Any, context: Any) -> Any:
        rows = base(value, context)
        if not isinstance(rows, list):
            return None
        kept = (row for row in rows if not _is_false(test(row, context)))
        return [found for row in kept if (found := each(row, context)) is not None]

    return filtered


def _call(node: Any) -> Step:
    name, steps = node["value"], [build(child) for child in node["children"]]
    return lambda value, context: context.functions.call_function(name, [step(value, context) for step in steps])


_MAKERS: Final[dict[str, Callable[[Any], Step]]] = {
    "field": _field,
    "index": _index,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "or_expression": _or,
    "comparator": _comparator,
    "filter_projection": _filter,
    "function_expression": _call,
    "current": lambda node: lambda value, context: value,
    "identity": lambda node: lambda value, context: value,
    "literal": lambda node: lambda value, context: node["value"],
}
