"""JMESPath with the mapping functions. Reads are tracked, so that unread members of an item are kept as `custom`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from app.matching.text import as_text
from app.sources.budget import Budget, TooCostly
from app.sources.closures import Step, build, cost, nodes
from app.sources.functions import MappingFunctions
from app.sources.reading import ReadTracker

MAX_EXPRESSION: Final = 4_000
MAX_NODES: Final = 2_000
MAX_NESTING: Final = 100
ROOTS: Final = frozenset({"body", "headers", "query", "received_at", "sha256", "item", "index"})


class ExpressionFailed(Exception):
    """An expression could not be evaluated on this item."""


@dataclass(frozen=True, slots=True)
class Unmapped:
    """An element of a list of which an expression made no item, and why."""

    element: Any
    why: str


@dataclass(frozen=True, slots=True)
class Loop:
    """The elements, and what is made of one and at what cost."""

    elements: Step
    each: Step
    steps: int


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression; `steps` is the cost of one evaluation without the repetitions of its loops. `is_word`:
    the expression is a bare word. `loop`: the parts of an expression that is made for each element of a list."""

    step: Step
    steps: int
    is_word: bool
    loop: Loop | None


@lru_cache(maxsize=2048)
def compiled(expression: str) -> Program:
    """The compiled expression, cached. Raises ValueError with the reason when it is invalid."""
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"an expression has at most {MAX_EXPRESSION} characters")
    try:
        root = jmespath.compile(expression).parsed
    except (JMESPathError, ValueError, RecursionError) as error:
        raise ValueError(f"not a JMESPath expression: {str(error).splitlines()[0][:200]}") from None
    _check(root)
    is_word = root["type"] == "field" and root["value"] not in ROOTS
    return Program(build(root), cost(root), is_word, _loop(root))


def _loop(root: Any) -> Loop | None:
    parts = _loop_parts(root)
    return Loop(build(parts[0]), build(parts[1]), cost(parts[1])) if parts else None


def _loop_parts(node: Any) -> tuple[Any, Any] | None:
    """The expression of the elements, and that of what is made of each."""
    match node["type"], node["children"]:
        case "projection", [elements, each]:
            return elements, each
        case "filter_projection", [elements, each, test]:
            return {**node, "children": [elements, {"type": "identity", "children": []}, test]}, each
        case "subexpression" | "pipe", [*first, last] if parts := _loop_parts(last):
            return {**node, "children": [*first, parts[0]]}, parts[1]
    return None


def _check(root: Any) -> None:
    found = list(nodes(root))
    if len(found) > MAX_NODES:
        raise ValueError(f"an expression has at most {MAX_NODES} parts, this one has {len(found)}")
    if max(depth for _, depth in found) > MAX_NESTING:
        raise ValueError(f"an expression is nested at most {MAX_NESTING} levels deep")
    references = sum(node["type"] == "expref" for node, _ in found)
    passed = sum(_check_call(node) for node, _ in found if node["type"] == "function_expression")
    if references != passed:
        raise ValueError("not a JMESPath expression: `&` stands only before an argument that a function evaluates")


def _check_call(node: Any) -> int:
    """The number of `&` arguments of a call.

    Raises ValueError for an unknown function or a wrong number of arguments.
    """
    name, arguments = node["value"], node["children"]
    signature = MappingFunctions.FUNCTION_TABLE.get(name, {}).get("signature")
    if signature is None:
        known = meant(name, MappingFunctions.FUNCTION_TABLE)
        raise ValueError(f"not a JMESPath expression: unknown function {name}{known}")
    if len(signature) != len(arguments) and not any(argument.get("variadic") for argument in signature):
        raise ValueError(f"not a JMESPath expression: {name} takes {len(signature)} arguments")
    pairs = zip(arguments, signature, strict=False)
    return sum(argument["type"] == "expref" and "expref" in wanted["types"] for argument, wanted in pairs)


def meant(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that a misspelt one is like; "" when there is none."""
    similar = get_close_matches(name, list(known), 1)
    return f" (did you mean {similar[0]}?)" if similar else ""


@lru_cache(maxsize=2048)
def is_literal(text: str) -> bool:
    """Whether the text is a literal: not valid JMESPath, or a single bare word."""
    try:
        return compiled(text).is_word
    except ValueError:
        return True


class Context:
    """Evaluates a document's expressions on named values and tracks which members were read.

    `failed` maps the place of each expression that could not be evaluated to the reason. `zone` applies to times
    without an offset. `budget` is shared by all items of a submission; TooCostly ends the mapping of the item.
    """

    def __init__(self, values: Mapping[str, Any], zone: tzinfo = UTC, budget: Budget | None = None) -> None:
        self.values = values
        self.zone = zone
        self.budget = budget or Budget(0)
        self.failed: dict[str, str] = {}
        self.reads = ReadTracker()
        self.functions = MappingFunctions(self.reads, self.budget)

    def visit(self, evaluated: tuple[Step, int], value: Any) -> Any:
        """The value of an expression that was passed to a function with `&`, for one element."""
        step, steps = evaluated
        self.budget.spend(steps)
        return step(value, self)

    def evaluate(self, expression: str, place: str = "") -> Any:
        """The value of an expression.

        Raises TooCostly when the budget is spent, ExpressionFailed when a function gets an argument of a wrong type.
        """
        program = compiled(expression)
        return self._run(program.step, program.steps, self.values, place or expression[:100])

    def items(self, expression: str, place: str) -> Any:
        """The value of an expression. Where it is made for each element of a list, one of which nothing can be made,
        and one that is null, is Unmapped and costs no other.

        Raises the exceptions of `evaluate`.
        """
        program = compiled(expression)
        if program.loop is None:
            return self.evaluate(expression, place)
        elements = self._run(program.loop.elements, program.steps, self.values, place)
        if not isinstance(elements, list):
            return None
        made = [self._item(program.loop, element, place) for element in elements]
        return self.budget.made([item for item in made if item is not None])

    def _item(self, loop: Loop, element: Any, place: str) -> Any:
        if element is None:
            return Unmapped(None, "this item is null")
        try:
            return self._run(loop.each, loop.steps, element, place)
        except ExpressionFailed as error:
            return Unmapped(element, str(error))

    def _run(self, step: Step, steps: int, value: Any, place: str) -> Any:
        try:
            self.budget.spend(steps)
            return step(value, self)
        except TooCostly as error:
            error.place = place
            raise
        except JMESPathTypeError as error:  # its own message holds the whole value
            wanted = " or ".join(error.expected_types)
            why = f"the function {error.function_name}() takes {wanted}, not {error.actual_type}"
            raise ExpressionFailed(why) from None
        # The functions run on untrusted input and may raise anything.
        except Exception as error:
            raise ExpressionFailed("the expression cannot be evaluated on this value") from error

    def value(self, expression: str | None, place: str = "") -> Any:
        """The value of an expression; None, with the reason in `failed`, when it cannot be evaluated.

        Raises TooCostly when the budget is spent.
        """
        if expression is None:
            return None
        try:
            found = self.evaluate(expression, place)
        except ExpressionFailed as error:
            self.failed.setdefault(place or expression[:100], str(error))
            return None
        self.charge(found, place or expression[:100])
        return found

    def charge(self, value: Any, place: str) -> None:
        """Charges for a result, which is read wholly once it has left its expression.

        Raises TooCostly over the budget.
        """
        try:
            self.budget.read(value)
        except TooCostly as error:
            error.place = place
            raise

    def holds(self, expression: str, place: str = "") -> bool:
        """Whether a condition is true. Not tracked: an answer read only by a condition stays in `custom`.

        Raises TooCostly when the budget is spent.
        """
        self.reads.enabled = False
        try:
            return self.evaluate(expression, place) not in (None, False, "", [], {})
        except ExpressionFailed:
            return False
        finally:
            self.reads.enabled = True

    def text(self, expression: str | None, place: str = "") -> str:
        """The value of an expression as text, or the literal itself. Raises TooCostly when the budget is spent."""
        if expression is not None and is_literal(expression):
            self.charge(expression, place)
            return expression
        return as_text(self.value(expression, place))
