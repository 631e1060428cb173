"""The frequent kinds of node of JMESPath's parse tree as Python functions: the library's answers, sooner.

A source evaluates forty expressions for each submission, so this is a hot path. The tree, the functions and all other
kinds of node stay the library's; tests hold both to the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jmespath.visitor import TreeInterpreter

# The context (expressions.py) comes with every call: it notes reads and has the functions.
Step = Callable[[Any, Any], Any]


def build(node: Any) -> Step:
    """The function of a node: (value, context) → value."""
    return _MAKERS.get(node["type"], _as_the_library)(node)


def _as_the_library(node: Any) -> Step:
    return lambda value, run: run.visit(node, value)


def _is_false(value: Any) -> bool:
    return value is None or value is False or value == "" or value == [] or value == {}


def _field(node: Any) -> Step:
    name = node["value"]

    def field(value: Any, run: Any) -> Any:
        if not isinstance(value, dict):
            return None
        run.reading.note(value, name)
        return value.get(name)

    return field


def _index(node: Any) -> Step:
    place = node["value"]

    def index(value: Any, run: Any) -> Any:
        return value[place] if isinstance(value, list) and -len(value) <= place < len(value) else None

    return index


def _chain(node: Any) -> Step:
    steps = [build(child) for child in node["children"]]

    def chain(value: Any, run: Any) -> Any:
        for step in steps:
            value = step(value, run)
        return value

    return chain


def _either(node: Any) -> Step:
    left, right = map(build, node["children"])

    def either(value: Any, run: Any) -> Any:
        found = left(value, run)
        return right(value, run) if _is_false(found) else found

    return either


def _comparator(node: Any) -> Step:
    if node["value"] not in ("eq", "ne"):
        # The ordering ones refuse what cannot be ordered: rare, and left to the library.
        return _as_the_library(node)
    left, right = map(build, node["children"])
    compare = TreeInterpreter.COMPARATOR_FUNC[node["value"]]
    return lambda value, run: compare(left(value, run), right(value, run))


def _filter(node: Any) -> Step:
    base, each, test = map(build, node["children"])

    def filtered(value: Any, run: Any) -> Any:
        rows = base(value, run)
        if not isinstance(rows, list):
            return None
        kept = (row for row in rows if not _is_false(test(row, run)))
        return [found for row in kept if (found := each(row, run)) is not None]

    return filtered


def _call(node: Any) -> Step:
    name, steps = node["value"], [build(child) for child in node["children"]]
    return lambda value, run: run.functions.call_function(name, [step(value, run) for step in steps])


_MAKERS: Final[dict[str, Callable[[Any], Step]]] = {
    "field": _field,
    "index": _index,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "or_expression": _either,
    "comparator": _comparator,
    "filter_projection": _filter,
    "function_expression": _call,
    "current": lambda node: lambda value, run: value,
    "identity": lambda node: lambda value, run: value,
    "literal": lambda node: lambda value, run: node["value"],
}
