"""Compiles JMESPath syntax trees to Python closures, which evaluate faster than the library's interpreter.

A source evaluates about forty expressions for each submission. Parsing and the standard functions are the library's;
tests compare the results with those of its interpreter. Each loop is charged to the budget before it runs, and each
value that is made is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Number
from typing import Any, Final

from jmespath.visitor import TreeInterpreter, _Expression

# (value, context): the Context of expressions.py tracks which members are read and holds the functions and the budget.
Step = Callable[[Any, Any], Any]
# Nodes that the parser nests to the left and that are evaluated one after the other.
_CHAINS: Final = ("subexpression", "index_expression", "pipe")
_CHAINED: Final = {**dict.fromkeys(_CHAINS, "chain"), "or_expression": "or", "and_expression": "and"}


def build(node: Any) -> Step:
    """Compiles a node."""
    return _MAKERS[node["type"]](node)


def nodes(node: Any) -> Iterator[tuple[Any, int]]:
    """The node and all below it with their depth. A chain such as `a | b | c` is one level."""
    waiting = [(node, 1)]
    while waiting:
        found, depth = waiting.pop()
        yield found, depth
        for child in children(found):
            is_chained = _CHAINED.get(child["type"]) == _CHAINED.get(found["type"], "")
            waiting.append((child, depth if is_chained else depth + 1))


def cost(node: Any) -> int:
    """The steps of one evaluation of the node, without the repetitions of its loops."""
    return sum(1 for _ in nodes(node))


def children(node: Any) -> list[Any]:
    """The parts of a node that are nodes."""
    return [child for child in node["children"] if isinstance(child, dict)]


def members(node: Any) -> list[Any]:
    """The members of a chain in order, for example those of `a | b | c`."""
    kind = _CHAINED[node["type"]]
    in_order: list[Any] = []
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if _CHAINED.get(found["type"]) == kind:
            waiting.extend(reversed(found["children"]))
        else:
            in_order.append(found)
    return in_order


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


def _slice(node: Any) -> Step:
    wanted = slice(*node["children"])
    # Not charged here: the parser makes a projection of each slice.
    return lambda value, context: value[wanted] if isinstance(value, list) else None


def _chain(node: Any) -> Step:
    steps = [build(member) for member in members(node)]

    def chain(value: Any, context: Any) -> Any:
        for step in steps:
            value = step(value, context)
        return value

    return chain


def _or(node: Any) -> Step:
    *steps, last = [build(member) for member in members(node)]

    def or_else(value: Any, context: Any) -> Any:
        for step in steps:
            if not _is_false(found := step(value, context)):
                return found
        return last(value, context)

    return or_else


def _and(node: Any) -> Step:
    *steps, last = [build(member) for member in members(node)]

    def and_then(value: Any, context: Any) -> Any:
        for step in steps:
            if _is_false(found := step(value, context)):
                return found
        return last(value, context)

    return and_then


def _not(node: Any) -> Step:
    negated = build(node["children"][0])

    def not_(value: Any, context: Any) -> Any:
        found = negated(value, context)
        return False if _is_number(found) else not found

    return not_


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool)


def _comparator(node: Any) -> Step:
    left, right = map(build, node["children"])
    compare = TreeInterpreter.COMPARATOR_FUNC[node["value"]]

    def compared(value: Any, context: Any) -> Any:
        one = left(value, context)
        context.budget.read(one)
        return compare(one, right(value, context))

    def ordered(value: Any, context: Any) -> Any:
        one, other = left(value, context), right(value, context)
        context.budget.read(one)
        return compare(one, other) if _is_orderable(one) and _is_orderable(other) else None

    return compared if node["value"] in ("eq", "ne") else ordered


def _is_orderable(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _projection(node: Any) -> Step:
    base, each, steps = build(node["children"][0]), build(node["children"][1]), cost(node["children"][1])

    def projection(value: Any, context: Any) -> Any:
        rows = base(value, context)
        return _projected(rows, each, steps, context) if isinstance(rows, list) else None

    return projection


def _value_projection(node: Any) -> Step:
    base, each, steps = build(node["children"][0]), build(node["children"][1]), cost(node["children"][1])

    def value_projection(value: Any, context: Any) -> Any:
        members = base(value, context)
        return _projected(list(members.values()), each, steps, context) if isinstance(members, dict) else None

    return value_projection


def _projected(rows: list[Any], each: Step, steps: int, context: Any) -> list[Any]:
    context.budget.spend(len(rows) * steps)
    return context.budget.made([found for row in rows if (found := each(row, context)) is not None])


def _filter(node: Any) -> Step:
    base, each, test = map(build, node["children"])
    steps = cost(node["children"][1]) + cost(node["children"][2])

    def filtered(value: Any, context: Any) -> Any:
        rows = base(value, context)
        if not isinstance(rows, list):
            return None
        context.budget.spend(len(rows) * steps)
        kept = (row for row in rows if not _is_false(test(row, context)))
        return context.budget.made([found for row in kept if (found := each(row, context)) is not None])

    return filtered


def _flatten(node: Any) -> Step:
    base = build(node["children"][0])

    def flatten(value: Any, context: Any) -> Any:
        rows = base(value, context)
        if not isinstance(rows, list):
            return None
        context.budget.spend(sum(len(row) if isinstance(row, list) else 1 for row in rows))
        return context.budget.made([one for row in rows for one in (row if isinstance(row, list) else [row])])

    return flatten


def _multi_select_list(node: Any) -> Step:
    steps = [build(child) for child in node["children"]]

    def selected(value: Any, context: Any) -> Any:
        return None if value is None else context.budget.made([step(value, context) for step in steps])

    return selected


def _multi_select_dict(node: Any) -> Step:
    steps = [(pair["value"], build(pair["children"][0])) for pair in node["children"]]

    def selected(value: Any, context: Any) -> Any:
        return None if value is None else context.budget.made({name: step(value, context) for name, step in steps})

    return selected


def _call(node: Any) -> Step:
    name, steps = node["value"], [build(child) for child in node["children"]]
    return lambda value, context: context.functions.call_function(name, [step(value, context) for step in steps])


def _reference(node: Any) -> Step:
    """`&expression`, which a function evaluates on each element: it calls `context.visit` with the pair made here."""
    evaluated: Any = build(node["children"][0]), cost(node["children"][0])
    return lambda value, context: _Expression(evaluated, context)


_MAKERS: Final[dict[str, Callable[[Any], Step]]] = {
    "field": _field,
    "index": _index,
    "slice": _slice,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "comparator": _comparator,
    "projection": _projection,
    "value_projection": _value_projection,
    "filter_projection": _filter,
    "flatten": _flatten,
    "multi_select_list": _multi_select_list,
    "multi_select_dict": _multi_select_dict,
    "function_expression": _call,
    "expref": _reference,
    "current": lambda node: lambda value, context: value,
    "identity": lambda node: lambda value, context: value,
    "literal": lambda node: lambda value, context: node["value"],
}
